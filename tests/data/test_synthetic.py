"""The embedded dataset: the same for everybody, varied, and neither trivial nor broken."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lightning_seg.data import Synthetic

SIZE = 48


def test_an_image_depends_on_seed_index_and_size_alone() -> None:
    few, many = Synthetic(count=3, seed=5), Synthetic(count=30, seed=5)
    np.random.seed(1)
    first = [few.read(index, SIZE) for index in (2, 0, 1)]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda index: many.read(index, SIZE), (2, 0, 1)))
    for (image, mask), (other_image, other_mask) in zip(first, again, strict=True):
        assert np.array_equal(image, other_image) and np.array_equal(mask, other_mask)
    images = [image.tobytes() for image, _ in first] + [Synthetic(3, seed=6).read(0, SIZE)[0].tobytes()]
    assert len(set(images)) == 4


def test_ids_and_signature() -> None:
    dataset = Synthetic(count=12)
    assert dataset.ids() == sorted(dataset.ids()) and len(set(dataset.ids())) == 12
    signatures = [Synthetic(count=12, seed=seed).signature() for seed in (0, 1)] + [Synthetic(count=13).signature()]
    assert all(a != b for i, a in enumerate(signatures) for b in signatures[i + 1 :])


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    dataset = Synthetic(count=120)
    return [dataset.read(index, SIZE) for index in range(120)]


def test_lesions_are_of_many_sizes_and_sometimes_absent(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for image, mask in pairs:
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        assert mask.shape == (SIZE, SIZE) and mask.dtype == np.bool_
    shares = np.array([mask.mean() for _, mask in pairs])
    assert 0.01 < (shares == 0).mean() < 0.15
    assert shares.max() < 0.6
    low, high = np.quantile(shares[shares > 0], [0.1, 0.9])
    assert low < 0.02 and high > 0.12


def test_lesions_are_darker_but_no_threshold_finds_them(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    differences, best = [], []
    for image, mask in pairs:
        if not mask.any():
            continue
        grey = image.mean(axis=2)
        differences.append(grey[~mask].mean() - grey[mask].mean())
        dice = [2 * (mask & (grey < t)).sum() / (mask.sum() + (grey < t).sum()) for t in range(0, 256, 8)]
        best.append(max(dice))
    assert (np.array(differences) > 0).mean() > 0.9
    assert np.mean(best) < 0.85, "even the best threshold of each image should leave something to learn"
