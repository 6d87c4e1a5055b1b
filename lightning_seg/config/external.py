"""The datasets that ``external=[...]`` names, beside the one that a run is trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lightning_seg.config.compose import compose_config, plain
from lightning_seg.config.overrides import override_value
from lightning_seg.errors import UserError


def external_nodes(choices: Sequence[str], data_dir: str, own: Mapping[str, object]) -> dict[str, DictConfig]:
    """Each dataset's configuration by its name, without the run's own: a grid over two tests each on the other.

    Args:
        choices: as in ``dataset=<choice>``, or folders of images and masks.
        data_dir: where published datasets lie.
        own: configuration of the run's own dataset.

    Raises:
        UserError: there is no such choice, or two have one name.
    """
    nodes: dict[str, DictConfig] = {}
    for choice in choices:
        node = _node(choice, data_dir)
        if node.name == own.get("name") or (_root(node) is not None and _root(node) == _root(own)):
            continue
        if node.name in nodes:
            given = ",".join(choices)
            raise UserError(f"external=[{given}] has two datasets called {node.name!r}; name one otherwise.")
        nodes[node.name] = node
    return nodes


def refuse_absent(nodes: Mapping[str, DictConfig]) -> None:
    """Make sure that the folders are there, before hours of training rest on them.

    Raises:
        UserError: one is not.
    """
    for name, node in nodes.items():
        root = _root(node)
        if root is not None and not root.is_dir():
            raise UserError(
                f"external=[...] tests on {name!r} at the end of each run, and its folder {root} does not exist; run "
                f"'lightning-seg prepare {name}' if it is a published one, or set root in conf/dataset/{name}.yaml."
            )


def _node(choice: str, data_dir: str) -> DictConfig:
    is_folder = "/" in choice and Path(choice).expanduser().is_dir()
    chosen = ["dataset=folder", f"dataset.root={override_value(choice)}"] if is_folder else [f"dataset={choice}"]
    node = compose_config([*chosen, f"data_dir={override_value(str(data_dir))}"]).dataset
    return OmegaConf.create(plain(node))


def _root(node: Mapping[str, object]) -> Path | None:
    root = node.get("root")
    return Path(str(root)).expanduser().resolve() if root else None
