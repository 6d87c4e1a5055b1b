"""Running out of memory, of a GPU or of the machine, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.utilities.memory import is_oom_error
from omegaconf import DictConfig

from lightning_seg.errors import OutOfMemoryError


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory could not be had."""
    return error is not None and (isinstance(error, MemoryError | torch.OutOfMemoryError) or is_oom_error(error))


@contextmanager
def in_one_sentence(cfg: DictConfig) -> Iterator[None]:
    """Turn the many errors of too little memory into the one of a run.

    Raises:
        OutOfMemoryError: in place of such an error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        whose = "this machine's" if "CPUAllocator" in str(error) or isinstance(error, MemoryError) else "the GPU's"
        raise OutOfMemoryError(
            f"{cfg.model.name} does not fit into {whose} memory with data.batch_size={cfg.data.batch_size}, "
            f"data.eval_batch_size={cfg.data.eval_batch_size} and data.image_size={cfg.data.image_size}: make one of "
            "them smaller, or end what else takes memory."
        ) from error
