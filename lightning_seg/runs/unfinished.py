"""Runs that were stopped before their end, and what they were."""

from collections.abc import Iterable
from typing import Any

import yaml

from lightning_seg.errors import UserError
from lightning_seg.files import read_bytes
from lightning_seg.runs.fingerprint import differences, flatten
from lightning_seg.runs.folder import RunFolder

_MOST_BYTES = 2**20


class _Plain(yaml.SafeLoader):
    """YAML without aliases, which a few lines can unfold to any size."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it repeats itself")
        return super().compose_node(parent, index)


def refuse_half_done(folder: RunFolder, flat: dict[str, Any], apart: Iterable[str] = ()) -> None:
    """Look whether a run of another configuration was begun in a folder, whose epochs would be lost.

    Args:
        folder: where a run with the flat configuration ``flat`` is about to be trained.
        apart: keys that may differ, with all below them.

    One that has failed, and left no checkpoint, may be replaced: it was told of, and another configuration is its cure.

    Raises:
        UserError: there is one.
    """
    if flat["rerun"] or not folder.path.is_dir():
        return
    if folder.failure() is not None and not any(folder.path.glob("resume-*.ckpt")):
        return
    try:  # what may come from anywhere, of which nothing is resolved: values that follow from others are passed over
        text = read_bytes(folder.configuration, _MOST_BYTES).decode("utf-8")
        begun = yaml.load(text, _Plain)
        following = [key for key, value in flatten(begun).items() if "${" in str(value)]
        changed = differences(flat, begun, (*apart, *following)) if isinstance(begun, dict) else []
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return  # it cannot be told what it was
    if changed:
        raise UserError(
            f"{folder.path} holds a half-done run of another configuration ({'; '.join(changed)}); give that one's "
            "command to go on with it, name another study with study=..., or replace the run with rerun=true."
        )
