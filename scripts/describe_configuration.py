"""Writes the reference of the configuration and its JSON schema: ``python scripts/describe_configuration.py``.

Both follow from ``conf/`` and the comments in it, so that a key has its description in one place.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from lightning_seg.cli.help import comments_of
from lightning_seg.config.compose import CONFIG_DIR, compose_config

ROOT = Path(__file__).parents[1]
PAGE, SCHEMA = ROOT / "docs" / "configuration.md", ROOT / "docs" / "schema" / "config.json"
HIDDEN = {"defaults", "hydra"}
GROUPS = (
    ("dataset", "What is segmented"),
    ("model", "Networks"),
    ("loss", "Losses"),
    ("optimizer", "Optimisers"),
    ("scheduler", "Learning rates over epochs"),
    ("trainer", "Where and how precisely is computed"),
    ("logger", "What is logged where"),
    ("augmentation", "What training images are changed by"),
    ("tune", "What is tried for each loss"),
    ("metric", "Further scores"),
    ("experiment", "Whole studies"),
)
HEAD = """# Configuration

Every key, with its default and what it does. `key=value` on the command line overrides any of them, `group=choice`
chooses another file; `lightning-seg train --help` shows both for what is chosen. This page is written by
`python scripts/describe_configuration.py` from `conf/`.

An editor that knows YAML checks your own `conf/experiment/*.yaml` by [the schema](schema/config.json).
"""


def page() -> str:
    """The reference, as Markdown."""
    parts = [
        HEAD.strip(),
        "## Values",
        "| key | default | |\n|---|---|---|\n" + "\n".join(_rows(CONFIG_DIR / "config.yaml", "")),
    ]
    for group, title in GROUPS:
        parts.append(f"## {title}: `{group}`")
        for path in sorted((CONFIG_DIR / group).glob("*.yaml")):
            rows = "\n".join(_rows(path, f"{group}."))
            parts.append(" ".join([f"**`{group}={path.stem}`**", _head(path)]).strip())
            if rows:
                parts.append(f"| key | value | |\n|---|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def schema() -> str:
    """The JSON schema of a configuration file, such as those of ``conf/experiment``."""
    values = OmegaConf.to_container(compose_config([]), resolve=False)
    assert isinstance(values, dict)
    found = {str(key): _schema_of(value) for key, value in values.items() if key not in HIDDEN}
    # A choice of a group has keys of its own.
    loose = {group: {"type": "object"} for group, _ in GROUPS}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lightning-Seg configuration",
        "type": "object",
        "properties": found | loose | {"defaults": {"type": "array"}, "hydra": {"type": "object"}},
        "additionalProperties": False,
        "$defs": {"reference": {"type": "string", "pattern": r"^\$\{"}},
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _rows(path: Path, prefix: str) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    comments = dict(comments_of(text))
    for key, value in _flat(yaml.safe_load(text) or {}):
        if key.split(".")[0] not in HIDDEN and key not in ("name", "_target_"):
            yield f"| `{_package(text, prefix)}{key}` | `{_shown(value)}` | {comments.get(key, '')} |"


def _package(text: str, prefix: str) -> str:
    """What is written before a file's keys."""
    return "" if text.startswith("# @package _global_") else prefix


def _head(path: Path) -> str:
    """The comment that a file begins with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in ("fractions", "params"):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).strip('"').replace("|", "\\|")


def _schema_of(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"type": "object", "properties": {str(key): _schema_of(each) for key, each in value.items()}}
    if isinstance(value, bool):
        kind = "boolean"
    elif isinstance(value, int | float):
        kind = "number"
    else:  # text, a list, or nothing yet: other kinds are allowed where these are
        return {}
    return {"anyOf": [{"type": kind}, {"type": "null"}, {"$ref": "#/$defs/reference"}]}


if __name__ == "__main__":
    SCHEMA.parent.mkdir(exist_ok=True)
    for path, text in ((PAGE, page()), (SCHEMA, schema())):
        path.write_text(text, encoding="utf-8")
        print(path)
