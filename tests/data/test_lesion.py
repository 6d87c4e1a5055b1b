"""Which mask values are lesion."""

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lightning_seg.data import Folder
from lightning_seg.data import dataset as data
from lightning_seg.data.cache import open_cache
from lightning_seg.data.layers import Layers
from lightning_seg.data.lesion import parse_lesion
from lightning_seg.data.readers import folder
from lightning_seg.data.remarks import border_share, inverted
from lightning_seg.errors import UserError
from tests.data import drawings
from tests.data import make_layouts as layouts


def digest(dataset: Folder, directory: Path) -> str:
    """Of the decoded dataset."""
    cache = open_cache(dataset, 32, directory)
    return hashlib.sha256(cache.images.tobytes() + np.packbits(cache.masks).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def true_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Made without any reader of masks."""
    side = 32
    root = tmp_path_factory.mktemp("true")
    drawings.images(root)
    pixels, masks = [], []
    for name, mask in drawings.drawn().items():
        with Image.open(root / "images" / f"{name}.png") as image:
            pixels.append(np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)).transpose(2, 0, 1))
        masks.append(np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST))[None])
    return hashlib.sha256(np.stack(pixels).tobytes() + np.packbits(np.stack(masks)).tobytes()).hexdigest()


@pytest.mark.parametrize("form", [*drawings.FORMS, *drawings.ANNOTATIONS])
def test_all_forms_of_one_drawing_give_one_cache(form: str, true_digest: str, tmp_path: Path) -> None:
    drawings.images(tmp_path / "set")
    (drawings.FORMS | drawings.ANNOTATIONS)[form](tmp_path / "set", drawings.drawn())
    unlabelled = "empty" if form in drawings.ANNOTATIONS and form != "YOLO" else "error"
    dataset = Folder(tmp_path / "set", "mine", unlabelled=unlabelled)
    assert digest(dataset, tmp_path / "cache") == true_digest
    assert open_cache(dataset, 32, tmp_path / "cache").reading == dataset.reading()


def masks_of(root: Path, write: Callable[[NDArray[np.bool_], Path], object], **options: object) -> Folder:
    drawings.images(root)
    drawings.each(write)(root, drawings.drawn())
    return Folder(root, "mine", **options)


def labels(mask: NDArray[np.bool_], path: Path) -> None:
    """Lesion 1, its left half 2, and a border of 255."""
    values = mask.astype(np.uint8)
    values[:, :14] *= 2
    values[:, -6:] = 255
    Image.fromarray(values).save(path)


def lesion_of(dataset: Folder, size: int = 48) -> NDArray[np.bool_]:
    return dataset.read(0, size)[1]


def test_several_labels_are_asked_for_once_with_their_areas(tmp_path: Path) -> None:
    dataset = masks_of(tmp_path, labels)
    with pytest.raises(UserError) as error:
        open_cache(dataset, 32, tmp_path / "cache")
    sentence = str(error.value)
    for part in (
        "The masks hold 0 (80 %)",
        "1 (5.6 %)",
        "2 (1.9 %)",
        "255 (12 %)",
        "which of it is lesion?",
        "dataset.lesion=255",
    ):
        assert part in sentence
    assert ("\n" not in sentence and not (tmp_path / "cache").is_dir()) or not list(
        (tmp_path / "cache").glob("mine-*/")
    )


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (1, {1}),
        ("1", {1}),
        ([1, 2], {1, 2}),
        ("nonzero", {1, 2, 255}),
        (">=128", {255}),
        ("<2", {0, 1}),
        ("> 1", {2, 255}),
    ],
)
def test_chosen_values(choice: str, wanted: set[int], tmp_path: Path) -> None:
    dataset = masks_of(tmp_path, labels, lesion=choice)
    with Image.open(tmp_path / "masks/a.png") as mask:
        values = np.asarray(mask.resize((48, 48), Image.Resampling.NEAREST))
    assert np.array_equal(lesion_of(dataset), np.isin(values, [*wanted]))
    assert f"dataset.lesion={'[1,2]' if choice == [1, 2] else choice}" in dataset.reading()


def test_a_value_that_does_not_occur(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.lesion=3 occurs in no mask; they hold 0 \("):
        masks_of(tmp_path, labels, lesion=3).reading()


def two_colours(mask: NDArray[np.bool_], path: Path) -> None:
    image = np.zeros((*mask.shape, 3), dtype=np.uint8)
    image[mask] = (255, 0, 0)
    image[-4:] = (0, 255, 0)
    Image.fromarray(image).save(path)


def test_colours_are_asked_for_and_chosen(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"#000000 \(.*#00ff00 \(10 %\).*\"dataset.lesion='#"):
        masks_of(tmp_path / "a", two_colours).reading()
    assert np.array_equal(
        lesion_of(masks_of(tmp_path / "b", two_colours, lesion="#ff0000")),
        lesion_of(masks_of(tmp_path / "c", drawings.red)),
    )
    with pytest.raises(UserError, match=r"cannot be told in masks that have colours"):
        masks_of(tmp_path / "d", two_colours, lesion=1).reading()


def test_voc_palette_of_several_classes(tmp_path: Path) -> None:
    def voc(mask: NDArray[np.bool_], path: Path) -> None:
        values = mask.astype(np.uint8)
        values[:, :14] *= 2
        image = Image.fromarray(values, mode="P")
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(path)

    with pytest.raises(UserError, match=r"1 = #800000 \(.*2 = #008000 \("):
        masks_of(tmp_path / "a", voc).reading()
    by_value = lesion_of(masks_of(tmp_path / "b", voc, lesion=2))
    assert by_value.any() and np.array_equal(by_value, lesion_of(masks_of(tmp_path / "c", voc, lesion="#008000")))


class TestAlpha:
    def test_a_photograph_cut_out_is_asked_for(self, tmp_path: Path) -> None:
        def cut_out(mask: NDArray[np.bool_], path: Path) -> None:
            photo = np.random.default_rng(0).integers(0, 255, (*mask.shape, 3), dtype=np.uint8)
            Image.fromarray(np.dstack([photo, mask * np.uint8(255)])).save(path)

        with pytest.raises(UserError, match=r"its alpha channel and its colours show different things"):
            masks_of(tmp_path / "a", cut_out).reading()
        assert np.array_equal(
            lesion_of(masks_of(tmp_path / "b", cut_out, lesion="alpha")),
            lesion_of(masks_of(tmp_path / "c", drawings.values(0, 255))),
        )

    def test_black_around_a_white_lesion_agrees(self, tmp_path: Path) -> None:
        def agreeing(mask: NDArray[np.bool_], path: Path) -> None:
            white = mask * np.uint8(255)
            Image.fromarray(np.dstack([white, white, white, white])).save(path)

        dataset = masks_of(tmp_path / "a", agreeing)
        assert dataset.reading().startswith("Lesion is where a mask is 255")

    def test_an_opaque_black_mask_among_those_in_the_alpha_channel_is_no_full_lesion(self, tmp_path: Path) -> None:
        drawings.images(tmp_path)
        drawings.each(drawings.alpha(255))(tmp_path, drawings.drawn())
        Image.new("RGBA", drawings.SIDES, (0, 0, 0, 255)).save(tmp_path / "masks/c.png")
        with pytest.raises(UserError, match=r"2 masks with the lesion in the alpha channel and 1 without"):
            Folder(tmp_path, "mine").reading()

    def test_a_constant_alpha_is_dropped(self, tmp_path: Path) -> None:
        def opaque(mask: NDArray[np.bool_], path: Path) -> None:
            white = mask * np.uint8(255)
            Image.fromarray(np.dstack([white, white, white, np.full_like(white, 255)])).save(path)

        assert lesion_of(masks_of(tmp_path, opaque)).mean() < 0.2


class TestShades:
    def test_a_stray_value_is_told_and_is_no_label(self, tmp_path: Path) -> None:
        drawings.images(tmp_path)
        drawings.each(drawings.values(0, 255))(tmp_path, drawings.drawn())
        with Image.open(tmp_path / "masks/a.png") as image:
            values = np.array(image)
        values[-1, -1] = 32
        Image.fromarray(values).save(tmp_path / "masks/a.png")
        reading = Folder(tmp_path, "mine").reading()
        assert reading.startswith("Lesion is where a mask is at least 128 of 255") and "32 (" in reading

    def test_a_third_label_that_jpeg_has_blurred_is_asked_for(self, tmp_path: Path) -> None:
        def three(mask: NDArray[np.bool_], path: Path) -> None:
            values = mask * np.uint8(255)
            values[24:, 24:] = 90
            Image.fromarray(values).save(path.with_suffix(".jpg"), quality=90)

        with pytest.raises(UserError, match="which of it is lesion"):
            masks_of(tmp_path, three).reading()

    def test_smoothed_outlines_are_shades(self, tmp_path: Path) -> None:
        def smooth(mask: NDArray[np.bool_], path: Path) -> None:
            small = Image.fromarray(mask * np.uint8(255)).resize((24, 20), Image.Resampling.BILINEAR)
            small.resize(drawings.SIDES, Image.Resampling.BICUBIC).save(path)

        assert "at least 128" in masks_of(tmp_path, smooth).reading()

    def test_one_mask_that_would_lose_its_lesion_is_named(self, tmp_path: Path) -> None:
        drawings.images(tmp_path)
        drawings.each(drawings.jpeg, ".jpg")(tmp_path, drawings.drawn())
        Image.fromarray(np.tile(np.uint8([0, 20]), (40, 24))).save(tmp_path / "masks/c.jpg", quality=95)
        with pytest.raises(UserError, match=r"c\.jpg: the mask's brightest value is \d+ of 255"):
            open_cache(Folder(tmp_path, "mine"), 32, tmp_path / "cache")


@pytest.mark.parametrize("choice", ["", "#ff", ">=x", None, "=1", []])
def test_choices_that_mean_nothing(choice: str) -> None:
    with pytest.raises(UserError, match=r"dataset\.lesion=.* is not valid"):
        parse_lesion(choice)


def test_lesions_that_are_black(tmp_path: Path) -> None:
    whole = np.ones((8, 8), dtype=bool)
    ring = whole.copy()
    ring[1:-1, 1:-1] = False
    assert border_share(ring) == border_share(whole) == 1 and border_share(~ring) == 0
    found = inverted(np.array([1.0, 0.9, 0.0]))
    assert found is not None and "2 of 3 images" in found and inverted(np.array([1.0, 0.0])) is None
    dataset = masks_of(tmp_path / "black", drawings.values(255, 0), lesion=0)
    assert np.array_equal(lesion_of(dataset), lesion_of(masks_of(tmp_path / "white", drawings.values(0, 255))))


class TestBlurred:
    """Explicit choices in masks of JPEG, whose noise around black is not 0 either."""

    SIDE = 96

    def masks(self, root: Path, colours: tuple[object, ...], lossy: bool = True) -> list[NDArray[np.bool_]]:
        """Masks in the one and the other colour by turns; whether they are in the first."""
        drawn = []
        for number in range(6):
            image, mask = layouts.lesion(number, self.SIDE, self.SIDE)
            layouts.save(image, root / f"images/{number}.png")
            coloured = np.where(mask[..., None], colours[number % 2], 0).astype(np.uint8)
            path = root / f"masks/{number}.{'jpg' if lossy else 'png'}"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(coloured.squeeze()).save(path, **({"quality": 60} if lossy else {}))
            drawn.append(mask)
        return drawn

    def wrong(self, root: Path, drawn: list[NDArray[np.bool_]], lesion: object) -> float:
        """The share of the pixels drawn that are read wrongly."""
        dataset = Folder(root, "blurred", lesion=lesion)
        found = [dataset.read(index, self.SIDE)[1] for index in range(len(drawn))]
        return sum((a != b).sum() for a, b in zip(found, drawn, strict=True)) / max(1, sum(map(np.sum, drawn)))

    def test_colours_are_asked_for_by_the_main_ones(self, tmp_path: Path) -> None:
        self.masks(tmp_path, ((255, 0, 0), (0, 255, 0)))
        with pytest.raises(UserError, match=r"noise of a format that blurs.*dataset.lesion=\['#[01f]") as caught:
            Folder(tmp_path, "blurred").rule()
        (first, second) = str(caught.value).split("dataset.lesion=[")[1].split("]")[0].split(",")
        assert {first[1:4], second[1:4]} <= {"#fe", "#ff", "#00", "#01"} and first[:4] != second[:4]

    def test_nonzero_and_one_colour(self, tmp_path: Path) -> None:
        drawn = self.masks(tmp_path, ((255, 0, 0), (0, 255, 0)))
        assert self.wrong(tmp_path, drawn, "nonzero") < 0.06
        red = [mask if number % 2 == 0 else np.zeros_like(mask) for number, mask in enumerate(drawn)]
        assert self.wrong(tmp_path, red, "#ff0000") < 0.06
        reading = Folder(tmp_path, "blurred", lesion="nonzero").reading()
        assert "6 masks whose format (JPG) blurs values, each pixel counts as the nearest of #000000, #" in reading

    def test_grey_labels(self, tmp_path: Path) -> None:
        drawn = self.masks(tmp_path, (120, 255))
        bright = [mask if number % 2 else np.zeros_like(mask) for number, mask in enumerate(drawn)]
        for lesion, wanted in (("nonzero", drawn), ([120, 255], drawn), (255, bright)):
            assert self.wrong(tmp_path, wanted, lesion) < 0.06, lesion
        with pytest.raises(UserError, match=r"lesion=3 cannot be told from noise in 6 mask.*mainly hold 0, 1?2"):
            Folder(tmp_path, "blurred", lesion=3).rule()

    def test_white_by_name_is_white_by_looking(self, tmp_path: Path) -> None:
        self.masks(tmp_path, (255, 255))
        auto, named = (Folder(tmp_path, "blurred", lesion=lesion) for lesion in ("auto", 255))
        for index in range(6):
            assert np.array_equal(auto.read(index, self.SIDE)[1], named.read(index, self.SIDE)[1])

    def test_lossless_files_of_such_a_format_are_taken_at_their_word(self, tmp_path: Path) -> None:
        drawn = self.masks(tmp_path, (1, 1), lossy=False)
        for path in (tmp_path / "masks").glob("*.png"):
            Image.open(path).save(path.with_suffix(".webp"), lossless=True)
            path.unlink()
        assert self.wrong(tmp_path, drawn, 1) == self.wrong(tmp_path, drawn, "nonzero") == 0


@pytest.mark.parametrize("choice", ["nonzero", [1, 2]])
def test_a_great_mask_takes_little_beside_itself(
    choice: str | list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = masks_of(tmp_path, labels, lesion=choice).rule()
    values = np.zeros((1000, 1000), dtype=np.int32)
    values[100:600, 200:900] = 1
    monkeypatch.setattr("lightning_seg.data.lesion._PART", 10_000)
    tracemalloc.start()
    lesion = rule.lesion(Layers("grey", values, None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(lesion, values == 1)
    assert peak < 2 * values.size  # of which the result is half


def test_no_photo_is_held_while_its_mask_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = masks_of(tmp_path, labels, lesion="nonzero")
    dataset.rule()
    opened: list[str] = []

    def watched(name: str, read: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments: (opened.append(name), read(*arguments))[1]

    monkeypatch.setattr(data, "open_image", watched("image", data.open_image))
    monkeypatch.setattr(folder, "open_layers", watched("mask", folder.open_layers))
    dataset.read(0, 48)
    assert opened == ["mask", "image"]
