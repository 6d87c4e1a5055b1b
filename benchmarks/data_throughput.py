"""Images per second of training data, ready to be trained on, from real foot-ulcer images (FUSeg).

    python benchmarks/data_throughput.py path/to/wound

Three ways to the same normalised float batches of 8 at 224 x 224: this package's loader with a warm cache; a plain
``Dataset`` that opens, converts and resizes with Pillow behind a ``DataLoader`` of two workers; and MONAI's
``CacheDataset`` with everything up to the resized image kept in memory.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import Stopwatch, alternate, report
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from lightning_seg.config.compose import compose_config
from lightning_seg.data.dataset import FileDataset
from lightning_seg.machine.speed import keep_freed_memory
from lightning_seg.training.factory import make_data

SIZE, BATCH = 224, 8


class PillowDataset(Dataset):
    """What is usually written: open, convert, resize, normalise, for each image of each epoch."""

    def __init__(self, images: list[Path], masks: list[Path], mean: list[float], std: list[float]) -> None:
        self.images, self.masks = images, masks
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.open(self.images[index]).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        mask = Image.open(self.masks[index]).convert("L").resize((SIZE, SIZE), Image.Resampling.NEAREST)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.std, torch.from_numpy(np.array(mask) > 127).float()[None]


def monai_loader(images: list[Path], masks: list[Path], mean: list[float], std: list[float], lean: bool):
    """MONAI's usual pipeline; all of it is cached. ``lean`` strips its metadata, which are slow to collate."""
    from monai.data import CacheDataset
    from monai.data import DataLoader as MonaiLoader
    from monai.transforms import (
        AsDiscreted,
        Compose,
        EnsureChannelFirstd,
        Lambdad,
        LoadImaged,
        NormalizeIntensityd,
        Resized,
        ToTensord,
    )

    def one_channel(mask):
        return mask[:1]

    pipeline = Compose(
        [
            LoadImaged(["image", "label"], reader="PILReader"),
            EnsureChannelFirstd(["image", "label"]),
            Resized(["image", "label"], (SIZE, SIZE), mode=("bilinear", "nearest")),
            Lambdad("label", one_channel),
            AsDiscreted("label", threshold=127),
            NormalizeIntensityd(
                "image",
                subtrahend=np.array(mean) * 255,
                divisor=np.array(std) * 255,
                channel_wise=True,
            ),
            *([ToTensord(["image", "label"], track_meta=False)] if lean else []),
        ]
    )
    files = [{"image": image, "label": mask} for image, mask in zip(images, masks, strict=True)]
    dataset = CacheDataset(files, pipeline, num_workers=2, progress=False)
    return MonaiLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="folder of the foot-ulcer images, in their official layout")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    keep_freed_memory()  # as every run of this package does; the other ways gain as much from it here
    with tempfile.TemporaryDirectory() as folder:
        cfg = compose_config(["dataset=wound", f"dataset.root={arguments.root}", f"data.cache_dir={folder}"])
        data = make_data(cfg)
        data.setup()
        train = data.split.train
        assert isinstance(data.dataset, FileDataset)
        samples = [data.dataset.samples[i] for i in train]
        files = [sample.image for sample in samples], [sample.masks[0] for sample in samples]
        pillow = DataLoader(
            PillowDataset(*files, cfg.data.mean, cfg.data.std),
            batch_size=BATCH,
            shuffle=True,
            num_workers=2,
            persistent_workers=True,
        )
        monai, lean_monai = (
            monai_loader(*files, list(cfg.data.mean), list(cfg.data.std), lean) for lean in (False, True)
        )

        def cached() -> Stopwatch:
            return epochs(lambda: (data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()), 20)

        times = alternate(
            {
                "warm cache": cached,
                "MONAI CacheDataset": lambda: epochs(lambda: monai, 3),
                "the same without metadata": lambda: epochs(lambda: lean_monai, 3),
                "Pillow, 2 workers": lambda: epochs(lambda: pillow, 1),
            },
            arguments.rounds,
        )
    report(f"An image of {len(train)} at {SIZE} x {SIZE}", times, "warm cache", per=len(train), unit="ms")


def epochs(loader, count: int) -> Stopwatch:
    """The time of one epoch, as the mean of ``count``."""
    watch = Stopwatch()
    watch.start()
    for _ in range(count):
        for _batch in loader():
            pass
    watch.stop()
    watch.wall, watch.cpu = watch.wall / count, watch.cpu / count
    return watch


if __name__ == "__main__":
    main()
