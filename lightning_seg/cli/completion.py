"""What a shell can complete of ``group=choice`` and ``key=value``, without loading what trains."""


def complete(incomplete: str) -> list[str]:
    """The arguments of ``train`` and ``plan`` that begin like this one; in a list, the last value is completed."""
    from lightning_seg.config.compose import CONFIG_DIR
    from lightning_seg.config.plugins import choices

    groups = sorted(path.name for path in CONFIG_DIR.iterdir() if path.is_dir() and path.name != "hydra")
    key, sign, values = incomplete.partition("=")
    if sign:
        known, comma, begun = values.rpartition(",")
        offered = sorted(choices(key)) if key in groups else []
        return [f"{key}={known}{comma}{choice}" for choice in offered if choice.startswith(begun)]
    keys = [f"{name}=" for name in (*groups, *_keys())]
    return sorted({name for name in keys if name.startswith(incomplete)})


def _keys() -> list[str]:
    from lightning_seg.config.compose import compose_config
    from lightning_seg.runs.fingerprint import flatten

    return [key for key in flatten(compose_config([])) if not key.endswith("_target_")]
