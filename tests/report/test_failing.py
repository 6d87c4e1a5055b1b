"""Single test images: of which kind they are, whose annotation is suspicious, and what is shown of them."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lightning_seg.catalogue import COUNTS
from lightning_seg.predicted import BINS, PUBLISHED, THRESHOLDS, Predicted
from lightning_seg.report.consensus import Consensus, Masks, judged
from lightning_seg.report.failing import kinds_of, suspects
from lightning_seg.report.failing_tables import failing_tables
from lightning_seg.report.failure_pictures import strip
from lightning_seg.report.failures import Failures, find_failures, write_suspects
from lightning_seg.report.records import load_study
from lightning_seg.runs import predictions
from lightning_seg.runs.folder import RunFolder
from tests.report.make_study import make_study

SIDE = 48


def predicted(ids: list[str], masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Predicted:
    """What a run keeps of these masks (N, H, W), without its probabilities."""
    a, b = masks.reshape(len(masks), -1), truth.reshape(len(truth), -1)
    counts = np.stack([(a & b).sum(1), (a & ~b).sum(1), (~a & b).sum(1), (~a & ~b).sum(1)], axis=-1).astype(np.int32)
    assert len(COUNTS) == counts.shape[-1]
    every = np.repeat(counts[:, None], len(THRESHOLDS), axis=1)
    pixels = np.zeros((2, BINS + 1), dtype=np.int64)
    pixels[0, 0] = masks.size
    sums = np.zeros((2, BINS + 1))
    return Predicted(ids, every, pixels, sums, sums, np.packbits(masks, axis=-1), masks.shape[-1])


def lesions(rng: np.random.Generator, count: int) -> NDArray[np.bool_]:
    """Blobs of many sizes anywhere in the image, (count, SIDE, SIDE)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks = []
    for _ in range(count):
        centre, radii = rng.uniform(12, SIDE - 12, 2), rng.uniform(3, 11, 2)
        masks.append(((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1)
    return np.array(masks)


def as_seen(rng: np.random.Generator, truth: NDArray[np.bool_], hard: float) -> NDArray[np.bool_]:
    """A network's mask: the truth with a rough outline; of a hard image it is elsewhere, or nothing."""
    if rng.random() < hard:
        return np.roll(truth, rng.integers(-12, 13, 2), (0, 1)) & (rng.random() < 0.7)
    noise = ndimage.gaussian_filter(rng.normal(size=truth.shape), 1.5)
    return ndimage.gaussian_filter(truth.astype(float), 1) + 0.8 * noise > 0.5


def test_planted_broken_annotations_come_first() -> None:
    rng = np.random.default_rng(0)
    true = lesions(rng, 400)
    annotated = true.copy()
    broken = rng.permutation(400)[:20]
    for place, n in enumerate(broken):
        kinds = [np.roll(true[n], (9, 9), (0, 1)), ~true[n], true[(n + 7) % 400], np.zeros_like(true[n])]
        annotated[n] = kinds[place % 4]
    # A tenth of the images is hard: losses differ there, and fail, though the annotation is right.
    hard = np.where(rng.random(400) < 0.1, 0.8, 0.03)
    ids = [f"{n:03}" for n in range(400)]
    masks = [np.array([as_seen(rng, mask, h) for mask, h in zip(true, hard, strict=True)]) for _ in range(4)]
    table = judged([predicted(ids, mask, annotated) for mask in masks]).assign(dataset="d", model="m", repeat=0)
    found = suspects(Consensus(table))
    assert len(set(found["id"].head(30)) & {ids[n] for n in broken}) >= 15
    remarks = found.set_index("id")["remark"]
    assert remarks[ids[broken[1]]] == "lesion and background seem to be exchanged"
    assert remarks[ids[broken[3]]] == "nothing is annotated, a lesion is predicted"


def test_agreement_is_the_dice_of_two_losses_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    truth = lesions(rng, 6)
    masks = [np.array([as_seen(rng, mask, 0.3) for mask in truth]) for _ in range(3)]
    table = judged([predicted([*"abcdef"], mask, truth) for mask in masks])
    for n in range(6):
        pairs = [(masks[i][n], masks[j][n]) for i in range(3) for j in range(i)]
        shared, whole = sum((a & b).sum() for a, b in pairs), sum(a.sum() + b.sum() for a, b in pairs)
        assert table["agreement"][n] == pytest.approx(2 * shared / whole if whole else 1)
        most = np.sum([mask[n] for mask in masks], axis=0) >= 2
        assert table["called"][n] == pytest.approx(most.mean()) and table["size"][n] == pytest.approx(truth[n].mean())


def test_kinds_of_images() -> None:
    scores = {
        "hopeless": [0.0, 0.05, 0.02],
        "alone": [0.9, 0.03, 0.8],
        "disputed": [0.9, 0.2, 0.3],
        "fine": [0.9, 0.9, 0.9],
    }
    rows = [("d", i, loss, dice) for i, values in scores.items() for loss, dice in zip("abc", values, strict=True)]
    found = kinds_of(pd.DataFrame(rows, columns=["dataset", "id", "loss", "dice"]))
    assert found.hopeless == [("d", "hopeless")] and found.worst[0] == ("d", "disputed")
    assert found.disputed[0] == ("d", "alone") and found.alone == {"a": [], "b": [("d", "alone")], "c": []}
    (table,) = failing_tables(found, pd.DataFrame())
    assert table.data["Images"].tolist() == [0, 1, 0] and table.data["Such as"][1] == "d alone"


def test_pictures_have_the_proportions_of_the_image() -> None:
    mask = lesions(np.random.default_rng(0), 1)[0]
    shown = strip(
        ("d", "x"), np.zeros((300, 600, 3), np.uint8), mask, Masks("unet", 1, {"bce": mask}, {"bce": 1.0}), ["bce"]
    )

    for address in (shown["image"], shown["mask"], shown["losses"][0]["outline"]):
        picture = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
        assert picture.size == (256, 128)


def test_a_study_with_its_data_has_suspects_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    study = make_study(tmp_path / "demo", ["mine"], ["unet"], ["bce", "dice"], 1, images=9, cases=0)
    (folders,) = [sorted(study.glob("mine/unet/*/repeat_0"))]
    ids = pd.read_csv(folders[0] / "test_images.csv")["id"].tolist()
    truth = lesions(rng, 9)
    images = tmp_path / "data"
    for kind in ("images", "masks"):
        (images / kind).mkdir(parents=True)
    for name, mask in zip(ids, truth, strict=True):
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(images / "images" / f"{name}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(images / "masks" / f"{name}.png")
    for folder in folders:
        kept = predicted(ids, np.array([as_seen(rng, mask, 0.5) for mask in truth]), truth)
        predictions.write(RunFolder(folder), predictions.Predictions(kept, kept))
        record = json.loads((folder / "result.json").read_text())
        record["config"]["dataset"] = {"_target_": "lightning_seg.data.Folder", "root": str(images), "name": "mine"}
        record["config"]["data"] = {"image_size": SIDE, "cache_dir": str(tmp_path / "cache")}
        (folder / "result.json").write_text(json.dumps(record))
    found = failures_of(study)
    assert len(found.suspects) == 9 and found.galleries == [] and "is not decoded any longer" in found.notes[0]
    from lightning_seg.data import Folder
    from lightning_seg.data.cache import open_cache

    open_cache(Folder(root=images, name="mine"), SIDE, tmp_path / "cache")
    found = failures_of(study)
    assert found.galleries and not found.notes
    title, strips = found.galleries[0]
    assert title == "Suspicious annotations" and {loss["name"] for loss in strips[0]["losses"]} == {"BCE", "Dice"}
    write_suspects(found, tmp_path)
    assert pd.read_csv(tmp_path / "suspects.csv")["rank"].tolist() == list(range(1, 10))
    # One whose file is damaged costs the repeat, and is told.
    (folders[0] / "predictions.npz").write_bytes(b"nothing")
    assert failures_of(study).suspects.empty and "cannot be read" in failures_of(study).notes[0]


def failures_of(directory: Path) -> Failures:
    study = load_study(directory)
    return find_failures(study, study.runs, study.images, ["bce", "dice"])


def test_a_study_without_masks_has_no_suspects(tmp_path: Path) -> None:
    study = load_study(make_study(tmp_path / "demo", losses=["bce", "dice"], images=5, cases=0))
    found = find_failures(study, study.runs, study.images, ["bce", "dice"])
    assert found.suspects.empty and not found.galleries and not found.notes and found.kinds.worst
    write_suspects(found, tmp_path)
    assert not (tmp_path / "suspects.csv").exists() and PUBLISHED == 9
