"""What ``inspect`` finds, on data whose oddities are known."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from lightning_seg.cli import inspect as commands
from lightning_seg.config.build import build
from lightning_seg.config.compose import compose_config
from lightning_seg.config.rules import check
from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.data.inspect import Inspection, inspect_dataset, summary_table, write_page
from lightning_seg.data.inspect.page import outlined
from lightning_seg.data.readers.folder import Folder
from lightning_seg.data.readers.synthetic import Synthetic
from lightning_seg.data.readers.wound import Wound
from lightning_seg.data.split import Fractions
from lightning_seg.errors import UserError
from tests.data import make_layouts as layouts

SHARES = Fractions(0.6, 0.2, 0.2)


@pytest.fixture
def found(tmp_path: Path) -> Inspection:
    layouts.wound(tmp_path)
    return inspect_dataset(Wound(tmp_path), SHARES, 42, range(3))


def test_measures(found: Inspection) -> None:
    assert len(found.ids) == 8 and (found.sizes == 64).all() and not found.bad
    assert found.empty == ["0033"]
    assert np.isnan(found.contrasts[found.ids.index("0033")])
    assert found.areas.max() == pytest.approx(np.pi * 0.18**2, rel=0.05)
    assert (np.nan_to_num(found.contrasts, nan=1) > 0).all()  # the lesions' green is a brighter grey than the red
    assert found.values[32] == 16 and found.values.sum() == 8 * 64 * 64 == found.values[[0, 32, 255]].sum()
    assert found.exact == [("0022", "0066")]


def test_siblings_across_splits(found: Inspection) -> None:
    assert found.siblings["grouped"] == [0, 0, 0]
    counts = found.siblings["official"]
    assert isinstance(counts, list) and max(counts) == 1  # 0066 is tested, its twin 0022 is in training or validation
    table = Console(width=120, file=io.StringIO())
    table.print(summary_table(found))
    assert isinstance(table.file, io.StringIO) and "Images with a sibling" in table.file.getvalue()


def test_siblings_are_those_of_the_given_groups_as_in_training(tmp_path: Path) -> None:
    layouts.wound(tmp_path / "wound")
    dataset = Wound(tmp_path / "wound")
    table = tmp_path / "groups.csv"
    table.write_text("id,group\n" + "".join(f"{name},{int(name) <= 44}\n" for name in dataset.ids()))
    found = inspect_dataset(dataset, SHARES, 42, range(3), groups=table)
    assert found.groups == ["True"] * 4 + ["False"] * 4
    assert found.exact == [("0022", "0066")]  # of two groups: a duplicate all the same
    trained = [
        LesionDataModule(
            dataset, image_size=16, batch_size=4, eval_batch_size=4, fractions=SHARES, groups=table, seed=42,
            repeat=repeat, cache_dir=tmp_path / "cache", mean=(0, 0, 0), std=(1, 1, 1),
        )
        for repeat in range(3)
    ]  # fmt: skip
    for data in trained:
        data.setup()
    assert found.siblings["random"] == [data.siblings_in_training() for data in trained] == [1, 1, 1]


def test_bad_groups_are_an_error_before_any_image_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.kvasir(tmp_path / "mine")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "part.csv").write_text("id,group\ncju0qkwl35piu0993l0dewei0,a\n")
    monkeypatch.setattr("lightning_seg.data.inspect.measure._measure", lambda dataset, index: pytest.fail("read"))
    for name, sentence in {
        "absent": "absent.csv",
        "binary": "binary.csv cannot be read",
        "part": "gives no group to 4 of 5 images",
    }.items():
        result = run_cli(tmp_path / "mine" / "Kvasir-SEG", f"data.groups={tmp_path}/{name}.csv")
        assert isinstance(result.exception, UserError) and sentence in str(result.exception)


def test_bad_files_are_listed_and_the_rest_is_shown(tmp_path: Path) -> None:
    layouts.wound(tmp_path)
    dataset = Wound(tmp_path)
    dataset.samples[0].image.write_bytes(b"no image")
    layouts.save(np.zeros((9, 9), np.uint8), dataset.samples[1].masks[0])
    found = inspect_dataset(dataset, SHARES, 42, range(1))
    assert len(found.ids) == 6 and len(found.bad) == 2
    assert "cannot be read" in found.bad[0] and "is 9x9 but its image" in found.bad[1]
    write_page(found, tmp_path / "page.html")
    assert "is 9x9 but its image" in (tmp_path / "page.html").read_text()
    for sample in dataset.samples:
        sample.image.write_bytes(b"no image")
    with pytest.raises(UserError, match="none of its 8 images can be read"):
        inspect_dataset(dataset, SHARES, 42, range(1))


def test_the_page_needs_nothing_else_and_escapes_names(tmp_path: Path) -> None:
    layouts.kvasir(tmp_path / "kvasir")
    root = tmp_path / "mine"
    for kind in ("images", "masks"):
        shutil.copytree(tmp_path / "kvasir" / "Kvasir-SEG" / kind, root / kind)
        victim = next((root / kind).iterdir())
        for copy in ("<img src=x onerror=alert(1)>", "twin"):
            shutil.copy(root / kind / "cju0qkwl35piu0993l0dewei3.jpg", victim.with_name(f"{copy}.jpg"))
    found = inspect_dataset(Folder(root, "<b>mine</b>"), SHARES, 42, range(1))
    write_page(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<b>mine" not in page and "<img src=x" not in page and "&lt;img src=x" in page
    assert page.count("equal pixels") == 3
    for needed_elsewhere in ('src="http', "<script", "<link", "@import", "url(http"):
        assert needed_elsewhere not in page
    assert page.count("data:image/webp") == 7 + 2 * 3 and page.count("<svg") == 4


def test_the_page_says_of_how_many_images_and_small_areas_in_full(tmp_path: Path) -> None:
    layouts.wound(tmp_path)
    dataset = Wound(tmp_path)
    mask = np.zeros((64, 64), bool)
    mask[0, :2] = True  # 0.05 % of the image
    layouts.save(mask, dataset.samples[0].masks[0])
    write_page(inspect_dataset(dataset, SHARES, 42, range(1)), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<td>8 of 1,010 published</td>" in page
    # As text, or as Matplotlib's remark beside drawn letters: the report's figures set which, once they are imported.
    ticks = re.findall(r"(?:<!-- |>)([\d.]+) ?%(?: -->|</text>)", page)
    assert ticks == ["0.1", "1", "10", "100"]


def test_the_outline_lies_outside_the_mask() -> None:
    image, mask = layouts.lesion(1, 40, 40)
    drawn = np.asarray(outlined(image, mask))
    changed = (drawn != image).any(axis=2)
    assert changed.any() and not (changed & mask).any()


def run_cli(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(commands.inspect)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, UserError | SystemExit)
    return result


def test_command_on_a_dataset_and_on_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.kvasir(tmp_path / "data" / "kvasir")
    monkeypatch.chdir(tmp_path)
    assert run_cli("kvasir").exit_code == 0
    assert "Kvasir-SEG" in (tmp_path / "inspect" / "kvasir.html").read_text()
    result = run_cli("data/kvasir/Kvasir-SEG", "--output", tmp_path / "mine.html")
    assert result.exit_code == 0 and "Lesion area" in result.output and (tmp_path / "mine.html").is_file()
    for absent in ("kvasr", "läsionen"):
        assert "choose one of" in str(run_cli(absent).exception)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        *(("my data", "my_data"), ("a+b=c", "a+b=c"), ("it's (1)", "it_s_1_"), (".hidden", "hidden"), ("a~b", "a_b")),
        *(("2024", "2024"), ("1e3", "1e3"), ("null", "null"), ("läsionen", "läsionen"), ("back\\slash", "back_slash")),
    ],
)
def test_folders_of_any_name(folder: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = layouts.lesion(1, 20, 20)
    layouts.save(image, tmp_path / folder / "x.png")
    layouts.save(mask, tmp_path / folder / "x_mask.png")
    monkeypatch.chdir(tmp_path)
    cfg = compose_config([*commands.dataset_overrides(folder), "model=unet", "loss=bce"])
    check(cfg)
    dataset = build(cfg.dataset, "dataset")
    assert (dataset.name, dataset.root, dataset.ids()) == (name, Path(folder), ["x"])


def test_datasets_without_files(tmp_path: Path) -> None:
    found = inspect_dataset(Synthetic(count=12), SHARES, 42, range(1))
    write_page(found, tmp_path / "page.html")
    assert len(found.ids) == 12 and "official" not in found.siblings
