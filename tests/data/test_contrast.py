import math

import numpy as np

from lightning_seg.data.contrast import lesion_contrast


def test_contrast_is_that_of_the_lesion_with_what_is_around_it() -> None:
    image = np.full((64, 64, 3), 100, dtype=np.uint8)
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:30, 20:30] = True
    image[mask] = 49
    image[50:, 50:] = 255  # too far away to count
    assert math.isclose(lesion_contrast(image, mask), (49 - 100) / 255, abs_tol=1e-6)
    assert math.isclose(lesion_contrast(255 - image, mask), (100 - 49) / 255, abs_tol=1e-6)


def test_contrast_is_nan_without_a_lesion_or_without_surroundings() -> None:
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    assert math.isnan(lesion_contrast(image, np.zeros((16, 16), dtype=bool)))
    assert math.isnan(lesion_contrast(image, np.ones((16, 16), dtype=bool)))
