"""What is written into a received folder stays there: no link in it is written through."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from lightning_seg.cli.predict import predict
from lightning_seg.dashboard.upload import find_offline
from lightning_seg.errors import UserError
from lightning_seg.files import check_output, write_atomic, write_bytes, write_json, write_text
from lightning_seg.report.build import build_report
from lightning_seg.report.figures.style import new, save
from lightning_seg.report.records import load_study, write_tables
from lightning_seg.report.tables import Table
from lightning_seg.report.tables import save as save_table
from lightning_seg.runs.folder import RunFolder
from lightning_seg.studies.folder import StudyFolder
from tests.conftest import Train
from tests.inference.calls import invoke
from tests.report.make_study import make_study

WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: write_text(path, "new"),
    "bytes": lambda path: write_bytes(path, b"new"),
    "json": lambda path: write_json(path, "new"),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's own folder, with a file that must stay as it is."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / ".bashrc").write_text("mine")
    return folder


def untouched(home: Path) -> bool:
    return [path.name for path in home.iterdir()] == [".bashrc"] and (home / ".bashrc").read_text() == "mine"


@pytest.mark.parametrize("name", WRITERS)
def test_a_temporary_file_is_new_and_no_link_is_written_through(name: str, home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "file.tmp").symlink_to(home / ".bashrc")
    (place / "file").symlink_to(home / ".bashrc")
    WRITERS[name](place / "file")
    assert untouched(home)
    assert "new" in (place / "file").read_text()
    assert not (place / "file").is_symlink()
    assert sorted(path.name for path in place.iterdir()) == ["file", "file.tmp"]


def test_files_have_the_permissions_of_any_other(tmp_path: Path) -> None:
    def library(path: Path) -> None:  # as safetensors writes
        path.unlink()
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    former = os.umask(0o027)
    try:
        write_atomic(tmp_path / "weights", library)
        write_text(tmp_path / "text", "")
    finally:
        os.umask(former)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("weights", "text")] == [0o640, 0o640]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def slow(temporary: Path) -> None:
        temporary.write_text("slow")
        write_text(path, "fast")  # another process, meanwhile

    write_atomic(path, slow)
    assert path.read_text() == "slow"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: .*/file'"):
        write_atomic(tmp_path / "file", lambda temporary: Path("/dev/full").write_text("x"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"/absent/file'"):
        write_text(tmp_path / "absent" / "file", "x")


@pytest.mark.parametrize("name", ["report", "report/tables", "report/figures", "report/wandb"])
def test_a_report_is_written_into_no_linked_folder(name: str, tmp_path: Path, home: Path) -> None:
    study = make_study(tmp_path / "study", ["isic"], ["unet"], ["dice", "bce"], repeats=1, cases=0)
    (study / name).parent.mkdir(exist_ok=True)
    (study / name).symlink_to(home)
    with pytest.raises(UserError, match="is a link"):
        build_report(study, draws=100)
    assert untouched(home)


def test_a_reports_files_replace_links(tmp_path: Path, home: Path) -> None:
    study = make_study(tmp_path / "study", ["isic"], ["unet"], ["dice"], repeats=1, cases=0)
    loaded = load_study(study)
    place = tmp_path / "report"
    place.mkdir()
    table = Table("losses", "t", "c", loaded.runs[["loss", "test_dice"]], {})
    names = ["losses.csv", "losses.tex", "f.svg", "f.pdf", "f.png", "runs.parquet", "images.parquet"]
    for name in [*names, *(f"{name}.part" for name in names), *(f"{name}.tmp" for name in names)]:
        (place / name).symlink_to(home / ".bashrc")
    save_table(table, place)
    save(new("f", "t", "c"), place)
    write_tables(loaded, place)
    assert untouched(home)
    assert all((place / name).is_file() and not (place / name).is_symlink() for name in names)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "train.log",
            "metrics.csv",
            "claim.json",
            ".hydra",
            ".hydra/config.yaml",
            "wandb",
            "split.json",
            "profile.txt",
        ),
        *("", "..", "../..", "../../..", "../../../../.lock"),
    ],
)
def test_a_run_trains_in_no_linked_folder(name: str, tmp_path: Path, home: Path, train: Train) -> None:
    run = tmp_path / "multirun/default/synthetic/tiny/bce/repeat_0"
    path = Path(os.path.normpath(run / name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(home / ".bashrc" if "." in name.strip("./") or name.endswith(".lock") else home)
    code, _, message = train.here("loss=bce", f"output_dir={tmp_path / 'multirun'}")
    assert code == 2
    assert "is a link" in message
    assert untouched(home)


def test_nothing_is_tidied_away_behind_a_link(tmp_path: Path, home: Path) -> None:
    run = tmp_path / "study/a/b/c/repeat_0"
    run.parent.mkdir(parents=True)
    (home / "result.json").write_text('{"status": "finished"}')
    (home / "mine.tmp").write_text("")
    run.symlink_to(home)
    with pytest.raises(UserError, match="is a link"):
        RunFolder(run).tidy()
    assert (home / "mine.tmp").exists()


def test_linked_runs_are_told_and_not_read(study: Path, tmp_path: Path) -> None:
    (study / "synthetic" / "unet" / "mine").symlink_to(study / "synthetic" / "unet" / "dice")
    begun, _, problem = StudyFolder(study).survey()
    assert {run.loss for run in begun} == {"bce", "dice", "failing", "iou_focal", "focal"}
    assert "left out: 1 folder in the study" in problem


def test_an_output_folder_received_with_links_is_refused(run: Path, tmp_path: Path, home: Path) -> None:
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    out = tmp_path / "out"
    out.mkdir()
    (out / "masks").symlink_to(home)
    with pytest.raises(UserError, match="is a link"):
        invoke(predict, run, tmp_path / "photo.png", "--output", out)
    (out / "masks").unlink()
    (out / "predictions.csv").symlink_to(home / "absent")
    with pytest.raises(UserError, match="would be replaced"):
        check_output(out, ["predictions.csv"])
    assert untouched(home)


def test_locks_follow_no_links(tmp_path: Path, home: Path) -> None:
    (tmp_path / "lock").symlink_to(home / ".bashrc")
    with pytest.raises(OSError), FileLock(tmp_path / "lock", timeout=0):
        pass
    assert untouched(home)


@pytest.mark.parametrize(
    "name", ["synthetic/unet/dice/repeat_0/wandb", "synthetic/unet/dice/repeat_0", "report/wandb", "report"]
)
def test_no_linked_run_is_uploaded(name: str, study: Path, tmp_path: Path) -> None:
    other = tmp_path / "private" / "wandb" / "offline-run-20260101_000000-abc"
    other.mkdir(parents=True)
    (other / "run-abc.wandb").touch()
    path = study / name
    if path.is_dir():
        path.rename(tmp_path / "away")
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(other.parent if name.endswith("wandb") else other.parents[1])
    assert find_offline(study) == ([], [])


def test_a_log_of_wandb_is_not_written_through(study: Path, home: Path) -> None:
    wandb = study / "synthetic/unet/dice/repeat_0/wandb"
    folder = wandb / "offline-run-20260101_000000-abc"
    folder.mkdir(parents=True)
    (folder / "run-abc.wandb").touch()
    assert find_offline(study) == ([folder], [])
    (wandb / "latest-run").symlink_to(folder.name)  # W&B's own
    assert find_offline(study) == ([folder], [])
    (wandb / "debug-cli.root.log").symlink_to(home / ".bashrc")
    assert find_offline(study) == ([], [])


def test_what_killed_writers_leave_is_cleared(study: Path, run: Path) -> None:
    left = [study / ".0123.tmp", run / ".0123.tmp", run / ".hydra" / ".0123.tmp", run / "old.json.tmp"]
    left[2].parent.mkdir(exist_ok=True)
    for path in left:
        path.write_text("")
    StudyFolder(study).announce([])
    RunFolder(run).tidy()
    assert not any(path.exists() for path in left)


def test_no_file_behind_a_link_is_uploaded(study: Path, home: Path) -> None:
    folder = study / "synthetic/unet/dice/repeat_0/wandb/offline-run-20260101_000000-abc"
    (folder / "files" / "media").mkdir(parents=True)
    (folder / "logs").mkdir()
    (folder / "run-abc.wandb").touch()
    (folder / "logs" / "debug-core.log").symlink_to(home / ".bashrc")  # W&B's own, which it does not upload
    assert find_offline(study) == ([folder], [])
    (folder / "files" / "media" / "x.png").symlink_to(home / ".bashrc")
    assert find_offline(study) == ([], [])
