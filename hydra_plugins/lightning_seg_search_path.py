"""Hydra's extension point: it accepts plugins of this namespace package only."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from lightning_seg.config import plugins


class OwnConfiguration(SearchPathPlugin):
    """Lets Hydra find the parts that :mod:`lightning_seg.config.plugins` describes."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for path in plugins.search_paths():
            search_path.append(provider="lightning-seg", path=path)
