"""A study for one's own Python: its tables, its verdict, its answer in words."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from lightning_seg.report.answer import scope_of, sentences
from lightning_seg.report.comparison import Comparison, compare
from lightning_seg.report.records import Study
from lightning_seg.report.records import load_study as read_study
from lightning_seg.report.verdict import Verdict, judge_comparison
from lightning_seg.studies.folder import find_study
from lightning_seg.wording import counted


@dataclass
class LoadedStudy(Study):
    """What :func:`load_study` gives: pandas tables ``runs`` and ``images``, and what they say.

    ``verdict`` has ``winner``, a loss or None, ``losses`` by their mean, ``worse`` and ``pairs``; ``answer`` is the
    report's, in words.
    """

    @cached_property
    def comparison(self) -> Comparison:
        """What of the study can be compared."""
        return compare(self)

    @cached_property
    def verdict(self) -> Verdict:
        """Which losses are told apart."""
        return judge_comparison(self.comparison)

    @cached_property
    def answer(self) -> list[str]:
        """The answer in paragraphs, the most important first."""
        pairs = self.comparison.pairs["dice"]
        return sentences(self.verdict, scope_of(pairs) if len(pairs) else "")

    def __repr__(self) -> str:
        return f"<study {self.name}: {counted(len(self.runs), 'run')}. {self.answer[0]}>"


def load_study(study: str | Path, output_dir: str | Path = "multirun") -> LoadedStudy:
    """Read a study.

    Args:
        study: its name, or its folder.
        output_dir: where studies lie.

    Raises:
        UserError: there is no such study.
    """
    folder = Path(study).expanduser()
    if len(folder.parts) == 1 and not folder.is_dir():
        folder = find_study(Path(output_dir).expanduser(), str(study)).path
    found = read_study(folder)
    return LoadedStudy(**{each.name: getattr(found, each.name) for each in fields(Study)})
