"""CLAIM, TRIPOD+AI and Metrics Reloaded, as far as the records can answer them; the rest is the authors' to fill in.

Items are named in this project's own words; the guidelines' own are in their publications, see ``references.bib``.
"""

import csv
from collections.abc import Mapping
from importlib import resources

import pandas as pd

from lightning_seg.bundle.facts import UNKNOWN, Facts, listed, shown
from lightning_seg.report.records import measures_of
from lightning_seg.wording import counted


def checklist(facts: Facts, images: pd.DataFrame) -> list[list[str]]:
    """Rows of guideline, item, what it asks for, and what the records know.

    Args:
        images: the table of test images.
    """
    known = {**_of_data(facts, images), **_of_models(facts), **_of_results(facts)}
    with resources.files("lightning_seg.bundle").joinpath("checklist.csv").open(encoding="utf-8") as file:
        items = list(csv.DictReader(file))
    rows = [[item["guideline"], item["item"], item["asks for"], known.get(item["fact"]) or UNKNOWN] for item in items]
    return [["Guideline", "Item", "Asks for", "What the records know"], *rows]


def as_markdown(rows: list[list[str]]) -> str:
    """The checklist as a page."""
    head, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
    answered = sum(row[-1] != UNKNOWN for row in body)
    told = f"{counted(answered, 'row', 'are', of=len(body))} answered from the records; the authors know the others."
    return "\n".join(["# Checklist", "", told, "", *lines, ""])


def _of_data(facts: Facts, images: pd.DataFrame) -> dict[str, str]:
    sources = [
        f"{name}: {source.page if (source := facts.source(name)) else UNKNOWN}" for name in facts.names("dataset")
    ]
    counts = facts.runs.groupby("dataset", observed=True)["images"].max().dropna()
    size = facts.values("data.image_size")
    siblings = facts.runs["siblings"].dropna()
    groups = facts.values("data.groups")
    found = {
        "question": f"Which of these losses to train with: {shown(facts, 'loss')}.",
        "sources": "; ".join(sources) + ".",
        "counts": "; ".join(f"{name}: {int(count)} images" for name, count in counts.items()),
        "preprocessing": f"Resized to {listed(size)} pixels." if size else "",
        "exclusions": f"Left out: {listed(excluded)}." if (excluded := facts.values("dataset.exclude")) else "",
        "splits": f"{listed(facts.values('data.split'))}; {counted(len(facts.splits), 'split')} in splits.json, "
        "with digests.",
        "reference": "Masks of the datasets, pixel by pixel." if len(images) else "",
        "predictors": "The image alone." if len(images) else "",
        "task": "Semantic segmentation, two classes." if len(images) else "",
    }
    if len(siblings):
        held = f"kept together by {listed(groups)}" if groups else "no groups were given"
        found["disjoint"] = (
            f"Images; {held}. Test images with a near duplicate or group member in training: at most "
            f"{int(siblings.max())} in a run."
        )
    if len(images):
        whole = images[["tp", "fp", "fn", "tn"]].sum(axis=1)
        share = (images["tp"] + images["fn"]) / whole
        lesion = share[share > 0]
        found["empties"] = f"{100 * float((share == 0).mean()):.1f} % of tested images have no lesion."
        found["imbalance"] = f"Lesions cover {100 * float(share.mean()):.2f} % of the pixels of tested images."
        if len(lesion):
            low, middle, high = (100 * float(lesion.quantile(q)) for q in (0.05, 0.5, 0.95))
            found["sizes"] = f"Lesions cover {middle:.2f} % of an image (median; 5 to 95 %: {low:.2f} to {high:.2f} %)."
    return found


def _of_models(facts: Facts) -> Mapping[str, str]:
    def settings(*keys: str) -> str:
        told = [f"{key.removesuffix('._target_')} {listed(found)}" for key in keys if (found := facts.values(key))]
        return "; ".join(told)

    versions = {
        str(version) for record in facts.records.values() for version in [(record.get("versions") or {}).get("torch")]
    }
    versions -= {"None"}
    return {
        "networks": f"{shown(facts, 'model')}; references.bib.",
        "weights": settings("model.pretrained"),
        "software": f"Lightning-Seg {facts.options.program}; PyTorch {listed(sorted(versions))}; versions.json.",
        "training": settings(
            "optimizer._target_", "optimizer.lr", "data.batch_size", "trainer.max_epochs", "early_stopping.patience"
        ),
        "selection": "The epoch with the best validation Dice; test images are read once, at the end.",
        "ensembles": "None.",
        "threshold": "Probability 0.5; where runs have kept what it needs, also the one that validation images choose.",
        "protocol": "configurations.json, resolved, for every run.",
        "availability": f"This bundle; SHA-256 of its data {facts.digest}.",
    }


def _of_results(facts: Facts) -> Mapping[str, str]:
    runs, options = facts.runs, facts.options
    measures = measures_of(runs)
    ended = runs["status"].value_counts().to_dict()
    return {
        "missing": "Runs: " + ", ".join(f"{count} {status}" for status, count in sorted(ended.items())) + ".",
        "metrics": "Dice, IoU, precision and recall of each image.",
        "boundary": listed([name for name in measures if name.startswith(("nsd", "hd95"))]) if measures else "",
        "instances": listed([name for name in measures if name.startswith("lesion")]) if measures else "",
        "calibration": "Brier score and expected calibration error, in tables/thresholds." if facts.calibrated else "",
        "aggregation": "Mean over images of a run, repeats of a block, and blocks (dataset x model).",
        "uncertainty": f"Intervals for all pairs at once (95 %), Tukey's p-values, {options.draws:,} draws for ranks.",
        "robustness": "Repeats with new splits and starts; subgroups by lesion size and contrast.",
        "internal": "Test images of each split.",
        "performance": " ".join(facts.answer[:1]),
        "failures": "tables/failures, tables/failed_runs and tables/worst_images.",
    }
