"""Parts from outside this package: where their configuration and their code are found.

* The working directory: YAML files in its ``conf/<group>/`` are choices like the built-in ones, and the modules beside
  ``conf`` can be named by ``_target_``.
* Installed packages: an entry point of the group ``lightning_seg.conf`` names a package that holds such folders, as in
  ``[project.entry-points."lightning_seg.conf"]`` ``mine = "my_package.conf"``.

Both are searched after the built-in configuration, so that they add choices and never change one.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType

from lightning_seg.config.compose import CONFIG_DIR

ENTRY_POINT_GROUP = "lightning_seg.conf"


def own_conf() -> Path | None:
    """The working directory's ``conf``, if it has one."""
    folder = Path.cwd() / "conf"
    return folder if folder.is_dir() else None


def search_paths() -> list[str]:
    """Where Hydra looks besides the built-in configuration."""
    own = own_conf()
    packages = [f"pkg://{point.value}" for point in entry_points(group=ENTRY_POINT_GROUP)]
    return ([f"file://{own}"] if own else []) + packages + ["variants://"]  # see lightning_seg.config.variants


def import_from_working_directory() -> None:
    """Let ``_target_`` name modules that lie beside the working directory's ``conf``; installed ones come first."""
    own = own_conf()
    if own and str(own.parent) not in sys.path:
        sys.path.append(str(own.parent))


def choices(group: str) -> list[str]:
    """What can be chosen in a group such as ``model``, sorted: built-in, from packages and the user's own."""
    if GlobalHydra.instance().is_initialized():
        return GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)
