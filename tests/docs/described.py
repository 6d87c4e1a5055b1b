"""The files that the docs describe."""

import re
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "results.md"


def undescribed(names: Iterable[str]) -> set[str]:
    """Those of these files and folders, which end in a slash, that the page on files says nothing of."""
    first = [line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    described = {name for cell in first for name in re.findall(r"`([^`]*)`", cell)}
    patterns = [re.sub(r"<[^>]*>", ".+", re.escape(name).replace(r"\<", "<").replace(r"\>", ">")) for name in described]
    return {name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns)}
