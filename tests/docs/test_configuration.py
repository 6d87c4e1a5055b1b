"""The reference of the configuration says what ``conf/`` says, and its schema knows right files from wrong ones."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def described() -> ModuleType:
    """``scripts/describe_configuration.py``."""
    place = ROOT / "scripts" / "describe_configuration.py"
    specification = importlib.util.spec_from_file_location("describe_configuration", place)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_page_and_schema_are_current(described: ModuleType) -> None:
    for path, text in ((described.PAGE, described.page()), (described.SCHEMA, described.schema())):
        assert path.read_text(encoding="utf-8") == text, "run python scripts/describe_configuration.py"


def test_every_value_of_the_main_file_is_there(described: ModuleType) -> None:
    text = described.page()
    for key, _ in described._flat(yaml.safe_load((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))):
        assert key.split(".")[0] in described.HIDDEN or f"`{key}`" in text, key


@pytest.mark.parametrize("name", ["paper", "demo", "smoke", "odyssey"])
def test_the_schema_takes_the_experiments(name: str) -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "config.json").read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load((ROOT / "conf" / "experiment" / f"{name}.yaml").read_text()), schema)


@pytest.mark.parametrize("wrong", [{"sed": 1}, {"seed": "one"}, {"data": {"image_size": "big"}}, {"model": "unet"}])
def test_the_schema_refuses(wrong: dict) -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "config.json").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)
