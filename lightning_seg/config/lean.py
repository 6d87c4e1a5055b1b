"""Many configurations of one program, composed one after the other in a fraction of the time that Hydra takes for each.

Hydra reads every file anew for each composition, and composes its own settings with the program's. Here files are read
once, and Hydra's own settings are left out. What comes out is what Hydra composes: the first configuration is composed
both ways, and where they differ, or anything is wrong, Hydra does it all. Who composes a whole grid looks at its last
cell as well, see :func:`lightning_seg.sweep.cells.compose_cells`.
"""

import copy
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

# The package of a file that has none of its own is its group, so that this is all of Hydra's own.
_HYDRA = "hydra"


class _Copies(CachingConfigRepository):
    """What has been read, as copies, since composing changes it; finding out what is to be composed does not.

    Args:
        kept: what is copied.
    """

    def __init__(self, kept: CachingConfigRepository) -> None:
        self.delegate = kept

    def load_config(self, config_path: str) -> ConfigResult | None:
        kept = self.delegate.load_config(config_path)
        if kept is None:
            return None
        result = copy.copy(kept)
        result.config, result.header = copy.deepcopy(kept.config), dict(kept.header)
        result.defaults_list = copy.deepcopy(kept.defaults_list)
        return result


class Composer:
    """Composes the configurations of a grid's cells, without Hydra's node.

    Args:
        loader: Hydra's.
        config: what it has loaded for the whole grid.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._loader, self._config = loader, config
        self._files: CachingConfigRepository | None = None
        if isinstance(loader, ConfigLoaderImpl):
            self._files = CachingConfigRepository(loader.repository)
        self._base: tuple[list[str], DictConfig] | None = None  # the first composition, where the two ways agreed

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration that ``train.py`` with these arguments has.

        Raises:
            HydraException, OmegaConfBaseException: an argument is wrong.
        """
        overrides = list(overrides)
        if self._files is None:
            return self.compose_in_full(overrides)
        try:
            lean = self._changed(self._files, overrides) or self._lean(self._files, overrides)
        except HydraException:  # of which Hydra itself tells better
            return self.compose_in_full(overrides)
        if self._base is None:
            full = self.compose_in_full(overrides)
            if _plain(lean) != _plain(full):
                self._files = None
                return full
            self._base = overrides, lean
        return copy.deepcopy(lean) if lean is self._base[1] else lean

    def compose_in_full(self, overrides: Sequence[str]) -> DictConfig:
        """The same by Hydra itself.

        Raises:
            HydraException, OmegaConfBaseException: an argument is wrong.
        """
        cfg = self._loader.load_sweep_config(self._config, list(overrides))
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    def _changed(self, files: CachingConfigRepository, overrides: list[str]) -> DictConfig | None:
        """The first configuration with other values; ``None`` where more than values is changed."""
        if self._base is None or len(overrides) != len(self._base[0]):
            return None
        given = [text for text, before in zip(overrides, self._base[0], strict=True) if text != before]
        keys = [text.partition("=")[0] for text in self._base[0]]
        parsed = OverridesParser.create().parse_overrides(given)
        places = [keys.index(each.key_or_group) if each.key_or_group in keys else -1 for each in parsed]
        for change, text, place in zip(parsed, given, places, strict=True):
            key = change.key_or_group
            others = [other.lstrip("+~") for number, other in enumerate(keys) if number != place]
            if (
                place < 0
                or overrides[place] != text
                or not text.startswith(f"{key}=")
                or change.is_sweep_override()
                or isinstance(change.value(), dict)
                or files.group_exists(key)
                or any(f"{other}.".startswith(f"{key}.") for other in others)
                or any(key.startswith(f"{other}.") and not files.group_exists(other) for other in others)
            ):
                return None
        cfg = copy.deepcopy(self._base[1])
        ConfigLoaderImpl._apply_overrides_to_config(parsed, cfg)
        return cfg

    def _lean(self, files: CachingConfigRepository, overrides: list[str]) -> DictConfig:
        """What :class:`ConfigLoaderImpl` does to load a configuration, but for Hydra's node."""
        overrides = [*self._config.hydra.overrides.hydra, *overrides]
        loader = self._loader
        assert isinstance(loader, ConfigLoaderImpl)
        parsed = OverridesParser.create().parse_overrides(overrides)
        loader.validate_sweep_overrides_legal(parsed, run_mode=RunMode.RUN, from_shell=True)
        found = create_defaults_list(
            files, self._config.hydra.job.config_name, parsed, prepend_hydra=True, skip_missing=False
        )
        kept = [each for each in found.defaults if str(each.package).split(".")[0] != _HYDRA]
        cfg = loader._compose_config_from_defaults_list(kept, _Copies(files))
        OmegaConf.set_struct(cfg, True)
        changes = [each for each in found.config_overrides if each.key_or_group.split(".")[0] != _HYDRA]
        loader._apply_overrides_to_config(changes, cfg)
        with open_dict(cfg):
            cfg.pop("hydra", None)
        OmegaConf.copy_cache(from_config=self._config, to_config=cfg)
        return cfg


def _plain(cfg: DictConfig) -> object:
    return OmegaConf.to_container(cfg, resolve=False)
