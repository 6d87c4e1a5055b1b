"""Failures that one can see: what the report knows of single test images, worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_seg.files import write_text
from lightning_seg.report.consensus import read_consensus
from lightning_seg.report.failing import Kinds, kinds_of, suspects, wanted
from lightning_seg.report.failure_pictures import failure_galleries
from lightning_seg.report.records import Study
from lightning_seg.wording import as_cell

SUSPECTS = "suspects.csv"


@dataclass(frozen=True)
class Failures:
    """Single test images.

    Attributes:
        kinds: on which all losses fail, one alone does, or they disagree.
        suspects: of :func:`lightning_seg.report.failing.suspects`; empty where runs have kept no masks.
        galleries: (heading, strips of pictures); none where the data are not there.
        notes: sentences on what could not be read or shown.
    """

    kinds: Kinds
    suspects: pd.DataFrame
    galleries: list[tuple[str, list[dict[str, Any]]]]
    notes: list[str]


def find_failures(study: Study, runs: pd.DataFrame, images: pd.DataFrame, losses: Sequence[str]) -> Failures:
    """Find them.

    Args:
        runs: the compared rows of the study's table of runs.
        images: the test images of these runs.
        losses: the compared ones, in the order in which they are shown.
    """
    kinds = kinds_of(images)
    consensus = read_consensus(study, runs, losses, wanted(kinds))
    found = suspects(consensus)
    galleries, problems = failure_galleries(study, kinds, consensus, found, losses) if consensus.masks else ([], [])
    return Failures(kinds, found, galleries, [*consensus.problems, *problems])


def write_suspects(failures: Failures, directory: Path) -> None:
    """Write the list for annotators, where there is one."""
    if len(failures.suspects):
        write_text(directory / SUSPECTS, failures.suspects.map(as_cell).to_csv(index=False, float_format="%.4f"))
