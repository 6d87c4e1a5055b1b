"""A loss, model or dataset of one's own: class, configuration and test, ready to be changed."""

import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from lightning_seg.config.compose import CONFIG_DIR
from lightning_seg.errors import UserError
from lightning_seg.files import write_text

KINDS = ("loss", "model", "dataset")


def new_part(kind: str, name: str, folder: Path) -> list[Path]:
    """Write ``<name>.py``, ``conf/<kind>/<name>.yaml`` and ``tests/test_<name>.py`` below ``folder``.

    Trained from that folder, ``<kind>=<name>`` is then a choice (see :mod:`lightning_seg.config.plugins`).

    Args:
        kind: ``loss``, ``model`` or ``dataset``.
        name: lower case letters, digits and underscores.
        folder: where the work is done.

    Returns:
        The three files.

    Raises:
        UserError: the kind is unknown, the name is no good or taken, or a file is there already.
    """
    if kind not in KINDS:
        raise UserError(f"There is no template for {kind!r}; choose one of {', '.join(KINDS)}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(f"{name!r} is no name for a module; use lower case letters, digits and underscores.")
    made = {
        "module.py.txt": folder / f"{name}.py",
        "conf.yaml.txt": folder / "conf" / kind / f"{name}.yaml",
        "test.py.txt": folder / "tests" / f"test_{name}.py",
    }
    for path in made.values():
        if path.exists():
            raise UserError(f"{path} exists already; choose another name, or remove it first.")
    if (CONFIG_DIR / kind / f"{name}.yaml").exists() or importlib.util.find_spec(name) is not None:
        raise UserError(f"{name!r} is taken, by a {kind} of that name or by an installed module; choose another.")
    usage = f"lightning-seg train {kind}={name}"
    values = {"name": name, "cls": "".join(word.capitalize() for word in name.split("_")), "usage": usage}
    templates = files("lightning_seg.parts") / "templates" / kind
    for template, path in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, Template((templates / template).read_text(encoding="utf-8")).substitute(values))
    return list(made.values())
