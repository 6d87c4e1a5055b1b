"""A dataset as plain images and masks."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from lightning_seg.data.dataset import FileDataset, LesionDataset, Problem, problems_of, raise_problems
from lightning_seg.data.images import MASK_THRESHOLD
from lightning_seg.errors import UserError
from lightning_seg.terminal import tracked

# In names of files, on some system.
_FORBIDDEN = str.maketrans(dict.fromkeys([*'/\\:*?"<>|', *map(chr, range(32))], "_"))


def write_plain(dataset: LesionDataset, target: Path) -> int:
    """Write ``images/<id>.png`` in 8-bit RGB and ``masks/<id>.png`` of 0 and 255, both upright and of full size.

    Subsets that the dataset's folders tell are kept, as ``train/images/<id>.png`` ...

    Args:
        dataset: what to write.
        target: a folder that does not exist or is empty. It is whole or absent in the end.

    Returns:
        The number of pairs.

    Raises:
        UserError: the dataset has no files, or some cannot be read; all are named. Or nothing can be written.
    """
    if not isinstance(dataset, FileDataset):
        raise UserError(f"Dataset {dataset.name!r} has no files to convert.")
    subset_of = {name: subset for subset, names in (dataset.by_folders() or {}).items() for name in names}
    ids = dataset.ids()
    names = [name.translate(_FORBIDDEN) for name in ids]
    if len(set(names)) < len(names):
        first, second = [name for name in ids if names.count(name.translate(_FORBIDDEN)) > 1][:2]
        raise UserError(f"{first!r} and {second!r} would be written under one name; rename one of them.")
    partial = target.with_name(f".{target.name}.partial")

    def write(index: int) -> UserError | None:
        name = names[index]
        folder = partial / subset_of.get(ids[index], "")
        with dataset.alone(index):
            try:
                picture, masks = dataset.load(index, max_side)
            except UserError as error:
                return error
            lesion = np.logical_or.reduce([np.asarray(mask) >= MASK_THRESHOLD for mask in masks])
            picture.image.save(folder / "images" / f"{name}.png")
            Image.fromarray(lesion.astype(np.uint8) * 255).save(folder / "masks" / f"{name}.png")
        return None

    max_side = 1 << 20  # full size
    problems: list[Problem | str] = []
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a call that was killed
        for subset in {"", *subset_of.values()} if not subset_of else set(subset_of.values()):
            for kind in ("images", "masks"):
                (partial / subset / kind).mkdir(parents=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for error in tracked(pool.map(write, range(len(ids))), "Writing", len(ids)):
                problems += problems_of(error) if error is not None else []
        raise_problems(dataset, problems)
        if target.is_dir():
            target.rmdir()  # it is empty
        partial.rename(target)
    except OSError as error:
        raise UserError(f"Nothing can be written to {target} ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(ids)
