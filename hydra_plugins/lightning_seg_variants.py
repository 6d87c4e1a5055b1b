"""Hydra's extension point: it accepts plugins of this namespace package only."""

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from lightning_seg.config import variants


class VariantSource(ConfigSource):
    """Makes the configuration of each choice that :mod:`lightning_seg.config.variants` describes."""

    @staticmethod
    def scheme() -> str:
        return "variants"

    def load_config(self, config_path: str) -> ConfigResult:
        config = OmegaConf.create(variants.content(config_path.removeprefix("loss/")))
        return ConfigResult(self.provider, self.full_path(), config, header={"package": None})

    def is_config(self, config_path: str) -> bool:
        group, _, choice = config_path.partition("/")
        return group == "loss" and variants.parse(choice) is not None

    def is_group(self, config_path: str) -> bool:
        return False

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return []
