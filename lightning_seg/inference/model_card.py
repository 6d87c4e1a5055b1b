"""A model card in Markdown, from nothing but a run's record."""

import csv
import json
import statistics
from typing import Any

from lightning_seg.catalogue import METRIC_NAMES, METRICS, NETWORKS, dataset_name, loss_name
from lightning_seg.data.prepare.sources import SOURCES, Source
from lightning_seg.data.rules import BY_FRACTIONS
from lightning_seg.inference.intervals import bootstrap_interval
from lightning_seg.inference.trained import TrainedRun
from lightning_seg.models.licences import licence_of
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record


def model_card(run: TrainedRun) -> str:
    """The run's data, protocol, results with intervals, limits and licences."""
    record, config = run.record, run.config
    facts = NETWORKS.get(record.model)
    source = _source(record.dataset)
    title = f"{facts.title if facts else record.model}, trained on {dataset_name(record.dataset)}"
    sections = [
        f"# {title}",
        "Segments lesions: from an RGB image to a map of the probability of lesion. For research; **not a medical "
        "device**, and not to be used for diagnosis or treatment.",
        "## Network",
        _bullets(
            ("Architecture", f"{facts.title} ({facts.authors} {facts.year}, {facts.source})" if facts else None),
            ("Encoder", facts.encoder if facts else None),
            ("Configuration", ", ".join(f"{k}={v}" for k, v in config.model.items() if k not in ("name", "_target_"))),
            ("Parameters", f"{record.parameters:,}"),
            ("Started from", _origins(record) or "random weights"),
        ),
        "## Data",
        _bullets(
            ("Dataset", source.title if source else record.dataset),
            ("Source", source.page if source else None),
            ("Images", "{train} for training, {val} for validation, {test} for testing".format(**record.images)),
            ("Split", f"{_split(config)} (ids in the run's split.json)"),
            ("Input", f"RGB, {config.data.image_size} x {config.data.image_size}; see preprocessing.json"),
        ),
        "## Training",
        _bullets(
            ("Loss", loss_name(record.loss)),
            ("Optimizer", f"{config.optimizer._target_.rpartition('.')[2]}, {_options(config.optimizer)}"),
            ("Batch size", config.data.batch_size),
            ("Epochs", _epochs(record, config)),
            ("Augmentation", "none"),
            ("Seed, repeat", f"{record.seed}, {record.repeat}"),
            ("Device", record.device),
            ("Software", ", ".join(f"{k} {v}" for k, v in record.versions.items() if v and k != "git_commit")),
        ),
        "## Results",
        _results(run),
        "## Limits",
        _limits(run),
        "## Licences",
        _bullets(
            ("Code", "MIT"),
            ("Weights it started from", _licences(record) or "none"),
            ("Data", source.terms if source else "not known to this program; ask the data's owner"),
        ),
        "Whether the terms of data and of the first weights extend to trained weights is not settled law; the stricter "
        "reading is that they do.",
    ]
    if source:
        sections += ["## Please cite", source.citation]
    return "\n\n".join(sections) + "\n"


def _bullets(*items: tuple[str, Any]) -> str:
    return "\n".join(f"- **{name}**: {value}" for name, value in items if value is not None)


def _options(node: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in node.items() if key != "_target_" and value is not None)


def _source(dataset: str) -> Source | None:
    return next((source for source in SOURCES if dataset in source.readers), None)


def _origins(record: Record) -> str:
    origins = (record.weights_source or {}).values()
    return ", ".join(f"{origin['encoder']} ({origin['file']}, SHA-256 {origin['sha256'][:12]})" for origin in origins)


def _licences(record: Record) -> str:
    encoders = [origin["encoder"] for origin in (record.weights_source or {}).values()]
    return ", ".join(f"{encoder}: {licence_of(encoder)}" for encoder in encoders)


def _epochs(record: Record, config: Any) -> str | None:
    if record.best_epoch is None or record.best_val_dice is None:
        return None
    return (
        f"{record.epochs}, of at most {config.trainer.max_epochs}; weights of epoch {record.best_epoch + 1}, which had "
        f"the best validation Dice ({record.best_val_dice:.4f})"
    )


def _split(config: Any) -> str:
    strategy = config.data.get("split", "random")
    if strategy not in BY_FRACTIONS:  # the images are counted above
        return strategy
    shares = " / ".join(f"{100 * config.data.fractions[name]:g}" for name in ("train", "val", "test"))
    return f"{strategy}, {shares} %"


def _results(run: TrainedRun) -> str:
    with RunFolder(run.directory).test_images.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = ["| metric | mean | 95 % interval | median |", "| --- | ---: | ---: | ---: |"]
    for name in METRICS:
        values = [float(row[name]) for row in rows]
        low, high = bootstrap_interval(values)
        cells = (METRIC_NAMES[name], f"{statistics.fmean(values):.4f}", f"{low:.4f} to {high:.4f}")
        lines.append(f"| {' | '.join(cells)} | {statistics.median(values):.4f} |")
    empty = sum(int(row["tp"]) + int(row["fn"]) == 0 for row in rows)
    note = (
        f"Means over the {len(rows)} test images ({empty} without a lesion), at the network's input size; a pixel is "
        "lesion where its probability exceeds 0.5. Both masks empty score 1, one of them 0. The interval is a "
        "bootstrap over test images: it says nothing about other splits or trainings."
    )
    return "\n".join([*lines, "", note, *_siblings(run)])


def _siblings(run: TrainedRun) -> list[str]:
    """One line on the run's repeats, if their records lie beside it."""
    repeats = RunFolder(run.directory).siblings()
    records = {repeat: record for repeat in repeats if (record := repeat.record()) is not None}
    scores = [record.test["dice"] for record in records.values()]
    if len(scores) < 2:
        return []
    tested = [json.loads(repeat.split.read_text(encoding="utf-8"))["test"] for repeat in records]
    shared = all(ids == tested[0] for ids in tested)
    each = "all on the same test images, each with its own start" if shared else "each with its own split and start"
    return [
        "",
        f"Over the {len(scores)} repeats of this setting, {each}, test Dice is {statistics.fmean(scores):.4f} on "
        f"average, with a standard deviation of {statistics.stdev(scores):.4f}.",
    ]


def _limits(run: TrainedRun) -> str:
    images = run.record.images
    limits = [
        f"Trained on {images['train']} images of one source: on images of another camera, clinic or population it may "
        "fail without a sign. Score it there first (`lightning-seg evaluate`).",
        f"Images are squeezed to {run.config.data.image_size} x {run.config.data.image_size}: lesions of a few "
        "pixels at that size are lost, and outlines are no finer.",
        "Probabilities are not calibrated.",
    ]
    data = run.config.data
    strategy = data.get("split", "random")
    if strategy != "grouped" and not (strategy == "kfold" and data.get("groups")):
        limits.append(
            "The split is not known to keep the images of a patient, a video or a lesion together: where it divides "
            "them, the test images are not independent of the training images, and the scores may be too high."
        )
    if run.record.status == "diverged":
        limits.append("The training loss became infinite or not a number at some epoch.")
    return "\n".join(f"- {limit}" for limit in limits)
