"""Under which licence encoder weights are published."""

import timm


def licence_of(weights: str) -> str:
    """The licence of encoder weights by name; "not stated" where timm knows of none."""
    if weights.startswith(("nvidia/", "mit_")):
        return "NVIDIA, non-commercial"
    cfg = timm.get_pretrained_cfg(weights)
    licence = cfg.license if cfg is not None else None
    return licence if licence and licence != "unknown" else "not stated"
