"""A disk that takes no more, a folder that is gone, a name that is too long: one sentence that names the file."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.export import export as trace

from lightning_seg.cli.train import fail
from lightning_seg.files import write_atomic, write_text
from lightning_seg.inference.export import _save_torch
from lightning_seg.runs import run
from lightning_seg.runs.resume import DirectCheckpointIO
from lightning_seg.sweep import worker
from tests.conftest import Train

FULL = Path("/dev/full")


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG, errno.EACCES, errno.EISDIR, errno.ENOTDIR]
)
def test_an_error_of_the_disk_is_a_sentence(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        fail(OSError(number, os.strerror(number), "place/file"))
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: place/file cannot be written ({os.strerror(number).lower()})")
    assert "Errno" not in said


def test_pytorchs_writers_say_that_the_disk_is_full(tmp_path: Path) -> None:
    program = trace(torch.nn.Conv2d(3, 1, 1), (torch.zeros(1, 3, 4, 4),))
    state = {"w": torch.zeros(100_000)}
    for write in (lambda: _save_torch(program, FULL), lambda: DirectCheckpointIO().save_checkpoint(state, FULL)):
        with pytest.raises(OSError) as caught:
            write()
        assert caught.value.errno == errno.ENOSPC


def test_weights_on_a_full_disk_name_their_file(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        try:
            save_file({"w": torch.zeros(3)}, tmp_path / "absent" / "w")
        except Exception as error:
            raise RuntimeError("I/O error: No space left on device (os error 28)") from error

    with pytest.raises(OSError, match=r"No space left on device: .*weights'"):
        write_atomic(tmp_path / "weights", write)
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / ("x" * 300), "")
    assert caught.value.errno == errno.ENAMETOOLONG


def test_a_run_folder_that_is_removed_in_training_is_told(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(*arguments: object) -> None:
        shutil.rmtree(train.directory / "multirun")
        raise FileNotFoundError(2, "No such file or directory", "metrics.csv")

    monkeypatch.setattr(run, "write_weights", vanish)
    code, _, message = train.here("loss=bce")
    assert code == 2
    assert "repeat_0 has vanished in training" in message
    assert ".tmp" not in message


def test_a_run_that_another_sweep_has_finished_is_counted_by_that_one_alone(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends between this sweep's look and its own start."""
    original = worker.train_or_find

    def late(cfg: object) -> tuple[float, bool]:
        original(cfg)  # type: ignore[arg-type]  # the other sweep
        return original(cfg)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "train_or_find", late)
    code, out, _ = train.here("-m", "loss=bce", "repeat=0")
    assert code == 0
    assert "1 elsewhere" in out
    assert " ran" not in out
