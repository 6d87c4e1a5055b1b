"""Predictions agree with the run's own test; bad files are named and the others go on."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lightning_seg.cli.predict import predict as command
from lightning_seg.data import Folder
from lightning_seg.errors import UserError
from lightning_seg.inference.images import find_images, name_images
from lightning_seg.inference.predict import confidence, disagreement, predict
from lightning_seg.inference.trained import Predictor, choose_device, find_weights
from tests.data.test_damaged import CASES, encoded, with_a_damaged_tag
from tests.inference.calls import invoke, read_csv

CPU = torch.device("cpu")
call = partial(invoke, command)


def images_of_the_test(run: Path, photos: Path) -> list[Path]:
    """The files of the run's test images, in the order of its test."""
    dataset = Folder(photos, "photos")
    files = {sample.id: sample.image for sample in dataset.samples}
    return [files[name] for name in json.loads((run / "split.json").read_text())["test"]]


@pytest.mark.parametrize("repeat", [0, 1])
def test_agrees_with_the_runs_own_test_to_the_last_bit(cell: Path, photos: Path, repeat: int) -> None:
    run = cell / f"repeat_{repeat}"
    dataset = Folder(photos, "photos")
    recorded = read_csv(run / "test_images.csv")
    predictor = Predictor(find_weights([run]), CPU)
    found = list(predict(predictor, images_of_the_test(run, photos)))
    assert [item.id for item in found] == [row["id"] for row in recorded]
    assert any(int(row["tp"]) for row in recorded)
    assert any(int(row["tn"]) for row in recorded)
    for item, row in zip(found, recorded, strict=True):
        assert item.probabilities is not None
        predicted = item.probabilities[0] > 0.5
        mask = dataset.read(dataset.ids().index(item.id), len(predicted))[1]
        counts = (predicted & mask, predicted & ~mask, ~predicted & mask, ~predicted & ~mask)
        assert [int(count.sum()) for count in counts] == [int(row[name]) for name in ("tp", "fp", "fn", "tn")]


def test_logits_of_the_example_cases_are_the_recorded_ones(cell: Path, photos: Path) -> None:
    cases = np.load(cell / "repeat_0" / "cases.npz")
    predictor = Predictor(find_weights([cell / "repeat_0"]), CPU)
    found = predictor.probabilities(np.ascontiguousarray(cases["images"].transpose(0, 2, 3, 1)))[0]
    assert np.array_equal(found, torch.sigmoid(torch.from_numpy(cases["logits"])).numpy())


def test_writes_masks_at_the_sources_size_and_a_row_for_each(cell: Path, photos: Path, tmp_path: Path) -> None:
    run = cell / "repeat_0" / "weights.safetensors"
    code, output = call(run, photos / "images", "--output", tmp_path, "--probabilities", "--device", "cpu")
    assert code == 0, output
    rows = read_csv(tmp_path / "predictions.csv")
    assert len(rows) == 20
    for row in rows:
        (source,) = (photos / "images").glob(f"{row['id']}.*")
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{row['id']}.png"))
        probability = np.asarray(Image.open(tmp_path / "probabilities" / f"{row['id']}.png"))
        size = Image.open(source).size
        assert mask.shape == probability.shape == size[::-1] == (int(row["height"]), int(row["width"]))
        assert set(np.unique(mask)) <= {0, 255}
        assert int(row["area_px"]) == (mask == 255).sum() == pytest.approx((probability > 32767.5).sum(), abs=3)
        assert float(row["area_fraction"]) == pytest.approx((mask == 255).mean(), abs=1e-6)
        assert (int(row["components"]) == 0) == (int(row["area_px"]) == 0)
        assert Image.open(tmp_path / "overlays" / f"{row['id']}.png").size == size
    assert any(int(row["area_px"]) for row in rows)


def test_ensemble_is_the_mean_and_shows_where_its_runs_disagree(cell: Path, photos: Path, tmp_path: Path) -> None:
    paths = images_of_the_test(cell / "repeat_0", photos)
    both = next(predict(Predictor(find_weights([cell]), CPU), paths))
    singles = [next(predict(Predictor(find_weights([cell / f"repeat_{k}"]), CPU), paths)) for k in (0, 1)]
    assert both.probabilities is not None
    for together, alone in zip(both.probabilities, singles, strict=True):
        assert alone.probabilities is not None
        assert np.array_equal(together, alone.probabilities[0])
    assert not np.array_equal(*both.probabilities)
    code, output = call(
        cell / "repeat_0", paths[0], "--with", cell / "repeat_1", "--output", tmp_path, "--device", "cpu"
    )
    assert code == 0, output
    row = read_csv(tmp_path / "predictions.csv")[0]
    assert float(row["disagreement"]) == pytest.approx(disagreement(both.probabilities), abs=1e-4)
    spread = np.asarray(Image.open(tmp_path / "disagreement" / f"{row['id']}.png"))
    assert spread.max() == pytest.approx(510 * both.probabilities.std(axis=0).max(), rel=0.2)


def test_flips_average_the_four_views(cell: Path) -> None:
    run = find_weights([cell / "repeat_0"])
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    plain, flipped = Predictor(run, CPU), Predictor(run, CPU, flips=True)
    axes: list[tuple[int, ...]] = [(), (1,), (2,), (1, 2)]
    views = [np.flip(plain.probabilities(np.flip(image, a).copy())[0], a) for a in axes]
    assert np.allclose(flipped.probabilities(image)[0], np.mean(views, axis=0), atol=1e-6)
    assert not np.allclose(flipped.probabilities(image), plain.probabilities(image), atol=1e-4)


def test_confidence_is_the_mean_probability_of_the_masks_pixels() -> None:
    probability = np.array([[0.9, 0.8], [0.1, 0.2]], dtype=np.float32)
    assert confidence(probability) == pytest.approx(0.85)
    assert confidence(np.full((2, 2), 0.3, dtype=np.float32)) == pytest.approx(0.7)
    assert confidence(np.ones((2, 2), dtype=np.float32)) == 1


def test_disagreement_is_one_minus_the_mean_dice_of_pairs() -> None:
    a, b = np.zeros((2, 4, 4), dtype=np.float32)
    assert disagreement(np.stack([a, b])) == 0
    a[:2], b[1:3] = 1, 1
    assert disagreement(np.stack([a, b])) == pytest.approx(0.5)


def save_bad_images(folder: Path) -> dict[str, str]:
    """Images that cannot be used, and what must be said about each."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256).save(folder / "deep.png")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    photo.save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:1500])
    (folder / "text.jpg").write_text("no image")
    (folder / "none.png").write_bytes(b"")
    return {
        "cmyk.jpg": "CMYK",
        "deep.png": "16- or 32-bit grey",
        "dot.png": "1x1",
        "cut.png": "cannot be read as an image",
        "text.jpg": "cannot be read as an image",
        "none.png": "cannot be read as an image",
    }


def save_odd_images(folder: Path) -> dict[str, tuple[int, int]]:
    """Unusual images that can be used, and their upright size."""
    rng = np.random.default_rng(1)
    photo = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    photo.save(folder / "turned.jpg", exif=exif)
    photo.convert("RGBA").save(folder / "alpha.png")
    photo.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png")
    photo.convert("L").save(folder / "grey.png")
    return {"turned": (40, 60), "alpha": (60, 40), "palette": (60, 40), "grey": (60, 40)}


def test_each_bad_image_gets_one_sentence_and_the_rest_goes_on(cell: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "empty").mkdir()
    bad, odd = save_bad_images(images), save_odd_images(images)
    arguments = [cell / "repeat_0", images, tmp_path / "empty", tmp_path / "absent", str(tmp_path / "x*")]
    code, output = call(*arguments, "--output", tmp_path / "out", "--device", "cpu", "--batch-size", 2)
    assert code == 1
    for name, reason in bad.items():
        (sentence,) = [part for part in output.split("skipped: ") if part.startswith(f"{images / name}:")]
        assert reason in sentence
    assert f"{tmp_path / 'empty'}: there are no images" in output
    assert f"{tmp_path / 'absent'}: does not exist" in output
    assert f"{tmp_path / 'x*'}: no image matches" in output
    with pytest.raises(UserError, match="absent: does not exist"):
        call(cell / "repeat_0", tmp_path / "absent", "--output", tmp_path / "none", "--device", "cpu")
    assert not (tmp_path / "none").exists()
    rows = {row["id"]: row for row in read_csv(tmp_path / "out" / "predictions.csv")}
    assert rows.keys() == odd.keys() | {"whole"}
    for name, size in odd.items():
        assert Image.open(tmp_path / "out" / "masks" / f"{name}.png").size == size


def test_damaged_files_name_themselves_and_the_others_are_segmented(cell: Path, tmp_path: Path) -> None:
    """One of each kind that once ended the whole command: a TIFF's broken tag, a broken tag beside the orientation."""
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    (images / "turned.jpg").write_bytes(with_a_damaged_tag())
    (images / "whole.tif").write_bytes(encoded("TIFF"))
    (images / "._whole.tif").write_bytes(b"of macOS")
    damaged = ["cut.tif"]
    (images / "cut.tif").write_bytes(encoded("TIFF")[:-200])
    if CASES.is_dir():
        damaged += [Path(shutil.copy(path, images)).name for path in sorted(CASES.glob("*.tif"))]
    code, output = call(cell / "repeat_0", images, "--output", out, "--device", "cpu")
    assert code == 1 and output.count("skipped: ") == len(damaged), output
    for name in damaged:
        (sentence,) = [part for part in output.split("skipped: ") if part.startswith(f"{images / name}:")]
        assert "cannot be read as an image" in sentence
    assert {path.name for path in (out / "masks").iterdir()} == {"turned.png", "whole.png"}
    assert Image.open(out / "masks" / "turned.png").size == (30, 40)


def test_only_bad_images_make_no_table_and_exit_code_1(cell: Path, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    code, output = call(cell / "repeat_0", tmp_path, "--output", tmp_path / "out", "--device", "cpu")
    assert code == 1
    assert "No image was segmented" in output
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_100_megapixel_image_is_segmented_at_its_size(cell: Path, tmp_path: Path) -> None:
    Image.new("RGB", (10_000, 10_000), "pink").save(tmp_path / "huge.png")
    code, output = call(cell / "repeat_0", tmp_path / "huge.png", "--output", tmp_path / "out", "--device", "cpu")
    assert code == 0, output
    assert Image.open(tmp_path / "out" / "masks" / "huge.png").size == (10_000, 10_000)
    assert Image.open(tmp_path / "out" / "overlays" / "huge.png").size == (1024, 1024)


def truncate(run: Path) -> None:
    weights = run / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def replace_by_another_models(run: Path) -> None:
    state = load_file(run / "weights.safetensors")
    save_file({f"net.{key}": value for key, value in state.items()}, run / "weights.safetensors")


def replace_by_another_runs(run: Path) -> None:
    state = load_file(run / "weights.safetensors")
    save_file(state, run / "weights.safetensors", metadata={"fingerprint": "0" * 16})


def make_wider(run: Path) -> None:
    record = json.loads((run / "result.json").read_text())
    record["config"]["model"]["width"] = 8
    (run / "result.json").write_text(json.dumps(record))


def remove_record(run: Path) -> None:
    (run / "result.json").unlink()


def remove_weights(run: Path) -> None:
    (run / "weights.safetensors").unlink()


def replace_by_pickle(run: Path) -> None:
    torch.save({"weight": torch.ones(2)}, run / "weights.safetensors")


def lose_model_class(run: Path) -> None:
    record = json.loads((run / "result.json").read_text())
    record["config"]["model"]["_target_"] = "lightning_seg.models.Gone"
    (run / "result.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "damaged"),
        (replace_by_pickle, "no safetensors file"),
        (replace_by_another_models, "tensors missing"),
        (replace_by_another_runs, "another run's weights"),
        (make_wider, "of another shape"),
        (remove_record, "no finished run"),
        (remove_weights, "kept no weights"),
        (lose_model_class, "is no part of lightning-seg"),
    ],
)
def test_wrong_weights_are_refused_in_one_sentence(
    cell: Path, photos: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(cell / "repeat_0", run)
    damage(run)
    with pytest.raises(UserError, match=reason) as caught:
        call(run, photos / "images", "--output", tmp_path / "out", "--device", "cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_runs_that_prepare_images_differently_are_no_ensemble(cell: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(cell / "repeat_1", other)
    record = json.loads((other / "result.json").read_text())
    record["config"]["data"]["image_size"] = 64
    (other / "result.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="differently"):
        Predictor(find_weights([cell / "repeat_0", other]), CPU)


def test_unknown_device_is_refused() -> None:
    with pytest.raises(UserError, match="no device 'tpu9'"):
        choose_device("tpu9")


def test_folders_give_their_images_without_masks_and_each_once(tmp_path: Path) -> None:
    for name in ("a.png", "a_mask.png", "b_label.jpg", "note.txt", "deep/c.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, problems = find_images([str(tmp_path), str(tmp_path / "a.png"), f"{tmp_path}/deep/../*.png"])
    assert [path.name for path in found] == ["a.png", "a_mask.png", "b_label.jpg"]  # the pattern names the mask
    assert not problems
    assert [path.name for path in find_images([str(tmp_path)])[0]] == ["a.png", "b_label.jpg"]
    assert [path.name for path in find_images([f"{tmp_path}/**/*"])[0]][-1] == "c.PNG"


def test_ids_are_stems_unless_those_collide() -> None:
    def names(*paths: str) -> list[str]:
        return name_images([Path(path) for path in paths])

    assert names("/d/a.png", "/d/e/b.png") == ["a", "b"]
    assert names("/d/e/a.png", "/d/f/a.png") == ["e/a", "f/a"]
    assert names("/d/a.png", "/d/a.jpg") == ["a.png", "a.jpg"]
