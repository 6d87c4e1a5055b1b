"""Made-up studies down to the single image, whose truth is known: what subgroups are held against.

Dice of image i of dataset d under model m, repeat r and loss l is

    level of i (small lesions are harder) + effect(l) + effect on small lesions(l)
       + loss x image, shared by all models and repeats + loss x split, shared by all models + run + noise (wider on
       small lesions)

Every repeat tests another fifth of a dataset's images, drawn at random, so that splits overlap as those of a study do.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class ImageDesign:
    """A study's size, and how its Dice come about; standard deviations in Dice (0-1).

    Attributes:
        pool: images of a dataset, of which each repeat tests a fifth.
        everywhere: how much better the first loss is on all images.
        on_small: how much better it is, beyond that, on the smallest third.
        by_image, by_split, by_run: loss x image, loss x split, run.
        empties: share of images without a lesion.
    """

    datasets: int = 2
    models: int = 2
    repeats: int = 5
    losses: int = 4
    pool: int = 200
    everywhere: float = 0.0
    on_small: float = 0.0
    by_image: float = 0.02
    by_split: float = 0.002
    by_run: float = 0.008
    empties: float = 0.0

    def draw(self, rng: np.random.Generator) -> pd.DataFrame:
        """One study's test images: dataset, model, repeat, loss, id, size, contrast, site, dice."""
        tables = [self._dataset(name, rng) for name in (f"d{n}" for n in range(self.datasets))]
        images = pd.concat(tables, ignore_index=True)
        return images.astype(dict.fromkeys(("dataset", "model", "loss", "id"), "category"))

    def _dataset(self, name: str, rng: np.random.Generator) -> pd.DataFrame:
        m, r, k, n = self.models, self.repeats, self.losses, self.pool
        size = np.exp(rng.normal(-3.0, 1.0, n)).clip(0.002, 0.6)
        small = size <= np.quantile(size, 1 / 3)
        size[rng.random(n) < self.empties] = 0.0
        contrast, site = rng.uniform(0, 0.5, n), rng.integers(0, 3, n)
        level = 0.75 + 0.05 * np.log10(size + 0.002) + rng.normal(0, 0.04, n)
        effect = np.zeros((n, k))
        effect[:, 0] = self.everywhere + self.on_small * small
        effect += rng.normal(0, self.by_image, (n, k))
        tested = np.stack([rng.permutation(n)[: n // 5] for _ in range(r)])  # (repeats, images)
        split = rng.normal(0, self.by_split, (1, r, k, 1)) if self.by_split else 0.0
        run = split + rng.normal(0, self.by_run, (m, r, k, 1))
        width = np.where(small, 0.1, 0.05)[tested][None, :, None]
        true = (level[tested][:, None] + np.moveaxis(effect[tested], -1, 1))[None]
        dice = (true + run + width * rng.normal(0, 1, (m, r, k, n // 5))).clip(0, 1)
        code = [index.ravel() for index in np.indices(dice.shape)]
        image = tested[code[1], code[3]]
        return pd.DataFrame(
            {
                "dataset": name,
                "model": np.array([f"m{n}" for n in range(m)])[code[0]],
                "repeat": code[1],
                "loss": np.array([f"l{n}" for n in range(k)])[code[2]],
                "id": np.array([f"{name}_{n}" for n in range(n)])[image],
                "size": size[image],
                "contrast": contrast[image],
                "site": site[image],
                "dice": dice.ravel(),
            }
        )


def sites(images: pd.DataFrame) -> pd.DataFrame:
    """A user's table of the images, as it is read."""
    return images[["id", "site"]].drop_duplicates("id").astype(str).reset_index(drop=True)
