"""The program that qualifies a device, at its smallest: that it checks, goes on, and tells what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import networks, right
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.tasks import UNFINISHED, Book, Context, Task

SOME = "network:unet,losses,metrics,resident,out of memory,step:unet,epoch:unet,side by side with MPS:2,paper"


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "gpu.json").read_text())["tasks"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is of a CPU")
def test_it_passes_on_a_cpu_and_says_that_this_proves_nothing_of_cuda(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path), "--only", SOME, "--minutes", "0"]) == UNFINISHED
    assert main(["--out", str(tmp_path), "--only", SOME]) == 0
    found = results(tmp_path)
    assert found.keys() == set(SOME.split(",")) and all(result["ok"] for result in found.values())
    assert found["network:unet"]["deviations"]["bf16"]["to_cpu"] > found["network:unet"]["deviations"]["fp32"]["to_cpu"]
    assert found["step:unet"]["ways"]["fp32"]["images_per_second"] > 0
    assert "needs --mps" in found["side by side with MPS:2"]["skipped"] and "epoch:" in found["paper"]["skipped"]
    assert "nothing here says anything about CUDA" in " ".join((tmp_path / "gpu.txt").read_text().split())
    before = (tmp_path / "gpu.json").read_bytes()
    assert main(["--out", str(tmp_path), "--only", SOME]) == 0 and (tmp_path / "gpu.json").read_bytes() == before


def test_a_network_may_be_as_far_from_the_recording_as_its_own_rounding_explains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context("cpu", miniature=True)
    right = networks.compare_with_recorded(context, "unet")
    assert right["ok"] and right["limit"] == networks.LIMIT_FP32 > 10 * right["cpu_to_float64"] > 0
    record = json.loads(networks.RECORD.read_text())
    for known in record["logits"]["unet"]:
        known["values"] = [value + 0.002 * known["deviation"] for value in known["values"]]
    other = tmp_path / "recorded.json"
    other.write_text(json.dumps(record))
    monkeypatch.setattr(networks, "RECORD", other)
    wrong = networks.compare_with_recorded(context, "unet")
    assert not wrong["ok"] and wrong["limit"] == right["limit"]
    # Of a network whose float32 is itself so far from float64, the same distance says nothing.
    logits = networks.logits
    monkeypatch.setattr(
        networks, "logits", lambda *given: [each + (0.001 * each.std() if given[1:] else 0) for each in logits(*given)]
    )
    assert networks.compare_with_recorded(context, "unet")["ok"]


def test_what_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = right.confusion_counts
    monkeypatch.setattr(right, "confusion_counts", lambda logits, masks: counts(logits, masks) + logits.ndim % 2)
    monkeypatch.setattr(right, "image_scores", lambda counts: {"dice": torch.rand(3)})
    assert main(["--out", str(tmp_path), "--only", "metrics", "--miniature"]) == 1
    assert "WRONG" in (tmp_path / "gpu.txt").read_text()


def test_a_task_that_ends_its_process_is_not_tried_a_third_time(tmp_path: Path) -> None:
    def dies(context: Context) -> dict[str, Any]:
        raise KeyboardInterrupt  # nothing that the book catches

    task, context = Task("deadly", dies), Context("cpu", miniature=True)
    for _ in range(2):
        book = Book(tmp_path / "gpu.json", context)
        assert not book.is_done(task)
        with pytest.raises(KeyboardInterrupt):
            book.run(task)
    assert Book(tmp_path / "gpu.json", context).is_done(task)
    assert results(tmp_path)["deadly"]["ok"] is False
    other = Context("cpu", miniature=False)
    with pytest.raises(SystemExit, match="another folder"):
        Book(tmp_path / "gpu.json", other)
