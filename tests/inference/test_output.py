"""No command replaces a file that no such command has written; giving a command again replaces its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_seg.cli.evaluate import evaluate
from lightning_seg.cli.export import export
from lightning_seg.cli.gallery import gallery
from lightning_seg.cli.inspect import inspect
from lightning_seg.cli.predict import predict
from lightning_seg.errors import UserError
from lightning_seg.report.figures.style import Figure
from tests.inference.calls import invoke, read_csv


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def own(tmp_path: Path, photos: Path) -> Path:
    """A user's dataset, whose masks are named as its images."""
    shutil.copytree(photos, tmp_path / "own")
    for mask in (tmp_path / "own" / "masks").iterdir():
        mask.rename(mask.with_stem(mask.stem.removesuffix("_mask")))
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("images", "output", "reason"),
    [
        ("images", ".", "holds the input image .*/images/"),
        ("images", "images", "holds the input image .*/images/"),
        ("../elsewhere", ".", r"masks/synthetic_0000\.png and 19 more files would be replaced"),
        ("images", "note.txt", r"note\.txt is a file"),
    ],
)
def test_predict_leaves_the_users_files_alone(cell: Path, own: Path, images: str, output: str, reason: str) -> None:
    shutil.copytree(own / "images", own.parent / "elsewhere")
    (own / "note.txt").write_text("mine")
    before = content(own)
    with pytest.raises(UserError, match=reason) as caught:
        invoke(predict, cell / "repeat_0", own / images, "--output", own / output, "--device", "cpu")
    assert "\n" not in str(caught.value)
    assert content(own) == before


@pytest.mark.parametrize(
    ("command", "arguments", "name"),
    [
        (evaluate, ["--no-distances", "--device", "cpu"], "summary.json"),
        (export, ["--format", "torch"], "preprocessing.json"),
        (export, ["--format", "torch"], "MODEL_CARD.md"),
    ],
)
def test_evaluate_and_export_leave_the_users_files_alone(
    cell: Path, tmp_path: Path, command: Callable[..., None], arguments: list[str], name: str
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} would be replaced"):
        invoke(command, cell / "repeat_0", "--output", tmp_path, *arguments)
    assert content(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("output", [None, "mine/page.html"])
def test_inspect_leaves_the_users_files_alone(
    output: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(output or "inspect/synthetic.html")
    arguments = ["synthetic", "dataset.count=3", *(["--output", output] if output else [])]
    page.parent.mkdir()
    page.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr("lightning_seg.data.inspect.inspect_dataset", lambda *_, **__: pytest.fail("images are read"))
        with pytest.raises(UserError, match=f"{page.name} would be replaced"):
            invoke(inspect, *arguments)
    assert content(page.parent) == {page.name: b"mine"}
    page.unlink()
    for _ in range(2):
        assert invoke(inspect, *arguments)[0] == 0
    assert page.stat().st_size > 1000


def test_gallery_leaves_the_users_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(figure: Figure, directory: Path) -> None:
        (directory / f"{figure.name}.svg").write_text("drawn")

    monkeypatch.setattr("lightning_seg.report.figures.style.save", save)
    (tmp_path / "losses_by_logit.svg").write_text("mine")
    with pytest.raises(UserError, match=r"losses_by_logit\.svg would be replaced"):
        invoke(gallery, "dice", "--output", tmp_path)
    assert content(tmp_path) == {"losses_by_logit.svg": b"mine"}
    for _ in range(2):
        assert invoke(gallery, "dice", "--output", tmp_path / "own")[0] == 0


def test_all_commands_may_share_a_folder_and_be_given_again(cell: Path, own: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    run = cell / "repeat_0"
    for overlays in ("--no-overlays", "--overlays", "--overlays"):
        earlier = (tmp_path / "out").exists()
        code, output = invoke(predict, run, own / "images", overlays, "--output", tmp_path / "out", "--device", "cpu")
        assert code == 0, output
        assert ("of an earlier command; what has the same name is replaced" in output) == earlier
        for command, arguments in (
            (evaluate, ["--no-distances", "--device", "cpu"]),
            (export, ["--format", "torch"]),
        ):
            code, output = invoke(command, run, "--output", tmp_path / "out", *arguments)
            assert code == 0 and "of an earlier command; what has the same name is replaced" in output, output
    assert len(read_csv(tmp_path / "out" / "predictions.csv")) == 20
    assert (tmp_path / "README.md").read_text() == "mine"


def cut_off(*_: object) -> str:
    raise InterruptedError


def test_what_an_interrupted_call_has_left_is_replaced(
    cell: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [cell / "repeat_0", own / "images", "--output", tmp_path / "out", "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr("lightning_seg.inference.predict.csv_text", cut_off)  # before the table
        with pytest.raises(InterruptedError):
            invoke(predict, *arguments)
    assert list((tmp_path / "out" / "masks").iterdir())
    assert not (tmp_path / "out" / "predictions.csv").exists()
    assert invoke(predict, *arguments)[0] == 0
