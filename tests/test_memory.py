"""Too little memory is said in one sentence, and may pass."""

import pytest
import torch

from lightning_seg.config.build import build
from lightning_seg.config.compose import compose_config
from lightning_seg.errors import OutOfMemoryError, UserError
from lightning_seg.machine.memory import in_one_sentence, is_out_of_memory
from tests.conftest import Train

PETABYTE = 2**50


def allocate() -> None:
    torch.empty(PETABYTE, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("error", "whose"),
    [
        (None, "this machine's"),
        (torch.OutOfMemoryError("CUDA out of memory."), "the GPU's"),
        (MemoryError(), "this machine's"),
    ],
)
def test_a_run_says_what_does_not_fit(error: Exception | None, whose: str) -> None:
    with pytest.raises(OutOfMemoryError) as caught, in_one_sentence(compose_config(["data.batch_size=5"])):
        if error is not None:
            raise error
        allocate()
    for part in ("unet", whose, "data.batch_size=5", "data.image_size=224", "smaller"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_stay() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), in_one_sentence(compose_config([])):
        raise RuntimeError("shapes differ")


def test_building_does_not_call_it_a_mistake() -> None:
    node = compose_config([]).model
    node._target_ = f"{__name__}.Huge"
    with pytest.raises(RuntimeError) as caught:
        build(node, "model")
    assert is_out_of_memory(caught.value) and not isinstance(caught.value, UserError)


class Huge(torch.nn.Module):
    """A network that fits nowhere."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        allocate()


def test_a_grid_tries_again(train: Train) -> None:
    code, out, err = train.here("-m", "retry=1", "repeat=0", "model._target_=tests.test_memory.Huge")
    assert code == 1 and "1 failed" in out
    assert "tried again: 1 failed run" in err
    assert err.count("FAILED: tiny does not fit into this machine's memory") == 2
