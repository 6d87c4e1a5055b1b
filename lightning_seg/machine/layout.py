"""Which networks gain by keeping their feature maps in NHWC order, as ``trainer=fast`` and ``cpu_fast`` do for them."""

from lightning_seg.catalogue import NETWORKS

# With bfloat16 on a CPU (`benchmarks/switches.py`): their depthwise and dilated convolutions lose what others gain.
_SLOWER = ("fcbformer", "ducknet")


def channels_last_helps(model: str) -> bool:
    """Whether it was measured to help the network of that name; of others nothing is known."""
    return model in NETWORKS and model not in _SLOWER
