"""Writes a bundle: first the data, then all that follows from them alone."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib

from lightning_seg import __version__
from lightning_seg.bundle.archive import pack
from lightning_seg.bundle.checklist import as_markdown, checklist
from lightning_seg.bundle.contents import DATA, FOLDERS, GROUPS, Options, data_files, read_options, restore, take
from lightning_seg.bundle.facts import bibliography, gather, licences, versions
from lightning_seg.bundle.methods import methods
from lightning_seg.files import csv_text, write_json, write_text
from lightning_seg.metrics.measures import MEASURES
from lightning_seg.report.answer import NOTHING_USABLE, ROPE
from lightning_seg.report.build import read_analysis, write_report
from lightning_seg.report.draws import DRAWS
from lightning_seg.report.fill import fill_measures
from lightning_seg.studies.folder import StudyFolder

_README = """This is the study {name}, as lightning-seg {program} reports it.

index.html        the report's page, with figures/ and tables/ (CSV and LaTeX)
runs.parquet      a row for each run; images.parquet: for each test image of a run; measures.parquet, curves.parquet
records.json      what runs have recorded; configurations.json: their settings, resolved; splits.json: ids, by SHA-256
methods.tex       a paragraph on methods; references.bib; LICENCES.md; versions.json
checklist.md      CLAIM, TRIPOD+AI and Metrics Reloaded, filled in with what the records know; checklist.csv
manifest.json     SHA-256 of every file

SHA-256 of the data: {digest}

    lightning-seg verify {name}.zip

recomputes the answer from the data, and says which number in this bundle is another.
"""


@dataclass(frozen=True)
class Derived:
    """What follows from a bundle's data.

    Attributes:
        answer: the verdict's paragraphs.
        digest: of the data.
    """

    answer: list[str]
    digest: str


def write_bundle(
    study_dir: Path,
    target: Path,
    draws: int = DRAWS,
    rope: float = ROPE,
    seed: int = 0,
    losses: Sequence[str] = (),
    published: bool = False,
    groups: Path | None = None,
    metric: str = "dice",
    formats: Collection[str] = (),
    images: bool = False,
) -> Derived:
    """Write a study as one zip file; the same records give the same bytes.

    Args:
        study_dir: the study's folder.
        target: the zip file.
        images: whether images of your own datasets go in; those of published ones do where their terms allow it.
        draws, rope, seed, losses, published, groups, metric, formats: see
            :func:`lightning_seg.report.build.build_report`.

    Raises:
        UserError: see there.
    """
    if metric in MEASURES:
        fill_measures(study_dir)
    options = Options(
        name=study_dir.resolve().name,
        made=_last_start(study_dir),
        program=__version__,
        drawing=matplotlib.__version__,
        draws=draws,
        rope=rope,
        seed=seed,
        losses=list(losses),
        published=published,
        metric=metric,
        formats=sorted(formats),
    )
    with TemporaryDirectory() as place:
        folder = Path(place) / "bundle"
        folder.mkdir()
        take(study_dir, options, folder, groups, images)
        read_options(folder)  # so that what is written can be read again
        derived = derive(folder, folder)
        pack(folder, target)
    return derived


def derive(folder: Path, target: Path) -> Derived:
    """Write all that follows from a bundle's data.

    Args:
        folder: of the data.
        target: where to write; the same folder, or an existing other one.

    Raises:
        UserError: the data are of another form.
    """
    options = read_options(folder)
    groups = folder / GROUPS if (folder / GROUPS).is_file() else None
    with TemporaryDirectory() as place:
        data = Path(place) / "data"
        for name in data_files(folder):
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, data / name)
        study = Path(place) / options.name
        restore(data, study)
        how = (options.draws, options.rope, options.seed, options.losses, groups, options.metric)
        analysis = read_analysis(study, *how, kept_in=Path("multirun"))
        write_report(analysis, target, published=options.published, formats=options.formats, made=options.made)
    for hidden in target.rglob(".*.json"):
        hidden.unlink()
    answer = analysis.certainty.answer if analysis.certainty else [NOTHING_USABLE]
    facts = gather(folder, analysis.study.runs, options, answer)
    rows = checklist(facts, analysis.study.images)
    write_text(target / "checklist.md", as_markdown(rows))
    write_text(target / "checklist.csv", csv_text(rows))
    write_text(target / "methods.tex", methods(facts))
    write_text(target / "references.bib", bibliography(facts))
    write_text(target / "LICENCES.md", licences(facts))
    write_json(target / "versions.json", versions(facts))
    readme = _README.format(name=options.name, program=options.program, digest=facts.digest)
    write_text(target / "README.txt", readme)
    return Derived(answer, facts.digest)


def is_data(name: str) -> bool:
    """Whether a file of a bundle is one from which the others follow."""
    return name in DATA or name.split("/")[0] in FOLDERS


def _last_start(study_dir: Path) -> str:
    starts = [record.started for run in StudyFolder(study_dir).runs()[0] if (record := run.record()) is not None]
    return (max(starts, default="")[:16].replace("T", " ") + " UTC").strip()
