"""Runs that were stopped before their end, and what they were."""

from collections.abc import Iterable
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.errors import UserError
from lightning_seg.runs.fingerprint import differences
from lightning_seg.runs.folder import RunFolder


def refuse_half_done(folder: RunFolder, flat: dict[str, Any], apart: Iterable[str] = ()) -> None:
    """Look whether a run of another configuration was begun in a folder, whose epochs would be lost.

    Args:
        folder: where a run with the flat configuration ``flat`` is about to be trained.
        apart: keys that may differ, with all below them.

    Raises:
        UserError: there is one, as far as a checkpoint.
    """
    if flat["rerun"] or not any(folder.path.glob("resume-*.ckpt")):
        return
    try:
        begun: Any = OmegaConf.to_container(OmegaConf.load(folder.configuration), resolve=True)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException):  # it cannot be told what it was
        return
    if isinstance(begun, dict) and (changed := differences(flat, begun, apart)):
        raise UserError(
            f"{folder.path} holds a half-done run of another configuration ({'; '.join(changed)}); give that one's "
            "command to go on with it, name another study with study=..., or replace the run with rerun=true."
        )
