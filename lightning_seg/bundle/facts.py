"""What a study's records know of it, gathered for methods, licences, citations and checklists."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_seg import literature
from lightning_seg.bundle.contents import CONFIGURATIONS, RECORDS, SPLITS, Options, data_digest
from lightning_seg.bundle.terms import MADE_UP, published_source
from lightning_seg.catalogue import NETWORKS, dataset_name, loss_name, model_name
from lightning_seg.data.prepare.sources import Source
from lightning_seg.literature import Work

UNKNOWN = "not known to the program"


@dataclass(frozen=True)
class Facts:
    """What a bundle's records know.

    Attributes:
        options: of its report.
        runs: the table of runs.
        records: by run, without configuration.
        configurations: flat, by run.
        splits: by digest.
        answer: the verdict's paragraphs.
        digest: of the data.
        calibrated: whether runs have kept what calibration needs.
    """

    options: Options
    runs: pd.DataFrame
    records: Mapping[str, dict[str, Any]]
    configurations: Mapping[str, dict[str, Any]]
    splits: Mapping[str, Any]
    answer: list[str]
    digest: str
    calibrated: bool

    def names(self, kind: str) -> list[str]:
        """The datasets, models or losses, in order."""
        return sorted(map(str, self.runs[kind].unique()))

    def values(self, key: str) -> list[str]:
        """All values of a setting, the most frequent first, in words."""
        found = Counter(
            _in_words(flat[key]) for flat in self.configurations.values() if flat.get(key, "") not in ("", None)
        )
        return [value for value, _ in found.most_common()]

    def source(self, dataset: str) -> Source | None:
        """Where a published dataset comes from."""
        targets = {
            str(self.configurations.get(path, {}).get("dataset._target_", ""))
            for path in self.runs.loc[self.runs["dataset"] == dataset, "path"]
        }
        return next(
            (found for each in sorted(targets) if (found := published_source(dataset, each.rpartition(".")[2]))), None
        )

    def is_made_up(self, dataset: str) -> bool:
        """Whether its images are drawn by the program."""
        paths = self.runs.loc[self.runs["dataset"] == dataset, "path"]
        targets = {self.configurations.get(path, {}).get("dataset._target_") for path in paths}
        return targets - {None} == {MADE_UP}

    def loss_classes(self, loss: str) -> list[str]:
        """Classes of the terms of a loss."""
        prefix = "lightning_seg.losses."
        return sorted(
            {
                str(value).removeprefix(prefix)
                for path in self.runs.loc[self.runs["loss"] == loss, "path"]
                for key, value in self.configurations.get(path, {}).items()
                if key.startswith("loss.") and key.endswith("_target_") and str(value).startswith(prefix)
            }
        )

    @property
    def works(self) -> dict[str, Work]:
        """The publications behind all of it, by key."""
        found = dict(literature.STUDY)
        for dataset in self.names("dataset"):
            if (source := self.source(dataset)) and source.name in literature.DATASETS:
                found[f"dataset_{source.name}"] = literature.DATASETS[source.name]
        for model in self.names("model"):
            if model in literature.NETWORKS:
                found[f"network_{model}"] = literature.NETWORKS[model]
        for loss in self.names("loss"):
            parts = (
                ["FocalLoss"] if "focal" in loss.split("_") and not self.loss_classes(loss) else self.loss_classes(loss)
            )
            for part in parts:
                if part in literature.LOSSES:
                    found[f"loss_{part.lower()}"] = literature.LOSSES[part]
        return found | literature.GUIDELINES


def gather(folder: Path, runs: pd.DataFrame, options: Options, answer: list[str]) -> Facts:
    """From the folder of a bundle whose data have been read without complaint."""
    configurations, splits = (json.loads((folder / name).read_text()) for name in (CONFIGURATIONS, SPLITS))
    own = {address: {**configurations["common"], **flat} for address, flat in configurations["runs"].items()}
    records = json.loads((folder / RECORDS).read_text())
    kept = (folder / "predictions").is_dir()
    return Facts(options, runs, records, own, splits["splits"], answer, data_digest(folder), kept)


def licences(facts: Facts) -> str:
    """The terms of data, weights and program, as Markdown."""
    lines = ["# Licences and terms", "", "## Data", ""]
    for dataset in facts.names("dataset"):
        source = facts.source(dataset)
        told = f"{source.terms} {source.page}" if source else f"terms {UNKNOWN}."
        if facts.is_made_up(dataset):
            told = "drawn by the program from a seed; shows nobody."
        lines.append(f"- **{_plain(dataset_name(dataset))}**: {told}")
    lines += ["", "## Weights that networks start from", ""]
    for model in facts.names("model"):
        network = NETWORKS.get(model)
        told = UNKNOWN if network is None else f"{', '.join(network.weights) or 'none'}: {network.licences}"
        lines.append(f"- **{_plain(model_name(model))}**: {told}")
    lines += ["", "## Program", "", "- Lightning-Seg: MIT"]
    return "\n".join([*lines, ""])


def bibliography(facts: Facts) -> str:
    """All works, as BibTeX."""
    return "\n\n".join(work.bibtex(key) for key, work in sorted(facts.works.items())) + "\n"


def versions(facts: Facts) -> dict[str, Any]:
    """With which versions, and on which devices, how many runs were made."""
    kinds: dict[str, Counter[str]] = {}
    devices: Counter[str] = Counter()
    for record in facts.records.values():
        for name, version in (record.get("versions") or {}).items():
            kinds.setdefault(str(name), Counter())[str(version)] += 1
        if record.get("device"):
            devices[str(record["device"])] += 1
    report = {"lightning-seg": facts.options.program, "matplotlib": facts.options.drawing}
    counts = {name: dict(sorted(found.items())) for name, found in sorted(kinds.items())}
    return {"runs": counts, "devices": dict(sorted(devices.items())), "report": report}


def listed(names: list[str]) -> str:
    """Names with commas, for a sentence."""
    return ", ".join(names) or UNKNOWN


def shown(facts: Facts, kind: str) -> str:
    """The names shown for the datasets, models or losses."""
    name = {"dataset": dataset_name, "model": model_name, "loss": loss_name}[kind]
    return listed([name(each) for each in facts.names(kind)])


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(map(str, value)) + ")"
    return str(value)


def _plain(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in text)
