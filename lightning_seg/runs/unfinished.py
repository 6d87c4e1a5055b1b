"""Runs that were stopped before their end, and what they were."""

import logging
import re
from collections.abc import Iterable
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_seg.errors import UserError
from lightning_seg.files import read_bytes
from lightning_seg.runs.fingerprint import differences
from lightning_seg.runs.folder import RunFolder

log = logging.getLogger(__name__)

_MOST_BYTES = 2**20
_OWN = "${basename:"  # the one function that configurations call
# Any other, such as one that reads the environment; or what might become one; or an alias, which YAML repeats.
_FOREIGN = re.compile(r"\$\{[^}]*[:$]|^\s*([\w.-]+:|-)\s+[&*]", re.MULTILINE)


def _read(text: str) -> Any:
    """A configuration that may come from anywhere, of which nothing is resolved but its own keys.

    Raises:
        ValueError: it calls a function.
    """
    if _FOREIGN.search(text.replace(_OWN, "")):
        raise ValueError("it calls a function")
    return OmegaConf.to_container(OmegaConf.create(text), resolve=True)


def refuse_half_done(folder: RunFolder, flat: dict[str, Any], apart: Iterable[str] = ()) -> None:
    """Look whether a run of another configuration was begun in a folder, whose epochs would be lost.

    Args:
        folder: where a run with the flat configuration ``flat`` is about to be trained.
        apart: keys that may differ, with all below them.

    One that has not come as far as a checkpoint is told, and may be replaced: it could not be resumed either.

    Raises:
        UserError: there is one, as far as a checkpoint.
    """
    if flat["rerun"] or not folder.path.is_dir():
        return
    try:
        begun = _read(read_bytes(folder.configuration, _MOST_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException):
        return  # it cannot be told what it was
    if not isinstance(begun, dict) or not (changed := differences(flat, begun, apart)):
        return
    if any(folder.path.glob("resume-*.ckpt")):
        raise UserError(
            f"{folder.path} holds a half-done run of another configuration ({'; '.join(changed)}); give that one's "
            "command to go on with it, name another study with study=..., or replace the run with rerun=true."
        )
    log.warning(
        "%s: a run of another configuration (%s) was stopped before it was saved; it is replaced.",
        *(folder.path, "; ".join(changed)),
    )
