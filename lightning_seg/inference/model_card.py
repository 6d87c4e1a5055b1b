"""A model card in Markdown, from nothing but a run's record."""

import math
import statistics
from contextlib import suppress
from typing import Any

from omegaconf import DictConfig

from lightning_seg.catalogue import METRIC_NAMES, METRICS, NETWORKS, dataset_name, loss_name
from lightning_seg.data.prepare.sources import SOURCES, Source
from lightning_seg.data.rules import BY_FRACTIONS
from lightning_seg.errors import UserError
from lightning_seg.inference.intervals import bootstrap_interval
from lightning_seg.inference.tested import tested_ids, tested_images
from lightning_seg.inference.threshold import HALF, Threshold, dice_at, kept_predictions
from lightning_seg.inference.trained import TrainedRun
from lightning_seg.models.licences import licence_of
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.record import Record
from lightning_seg.runs.tuning import describe
from lightning_seg.wording import as_markdown, counted

_OWN_FACTS = ("Architecture", "Source", "Data")  # with their links


def model_card(run: TrainedRun, threshold: Threshold = HALF) -> str:
    """The run's data, protocol, results with intervals, limits and licences, with the threshold to use it with."""
    record, config = run.record, run.config
    facts = NETWORKS.get(record.model)
    source = _source(record.dataset)
    title = as_markdown(f"{facts.title if facts else record.model}, trained on {dataset_name(record.dataset)}")
    sections = [
        f"# {title}",
        "Segments lesions: from an RGB image to a map of the probability of lesion. For research; **not a medical "
        "device**, and not to be used for diagnosis or treatment.",
        "## Network",
        _bullets(
            ("Architecture", f"{facts.title} ({facts.authors} {facts.year}, {facts.source})" if facts else None),
            ("Encoder", facts.encoder if facts else None),
            ("Configuration", ", ".join(f"{k}={v}" for k, v in config.model.items() if k not in ("name", "_target_"))),
            ("Parameters", f"{record.parameters:,}" if record.parameters is not None else None),
            ("Started from", _origins(record) or "random weights"),
        ),
        "## Data",
        _bullets(
            ("Dataset", source.title if source else record.dataset),
            ("Source", source.page if source else None),
            ("Images", _images(record)),
            ("Split", f"{_split(config)} (ids in the run's split.json)"),
            ("Input", f"RGB, {config.data.image_size} x {config.data.image_size}; see preprocessing.json"),
        ),
        "## Training",
        _bullets(
            ("Loss", loss_name(record.loss)),
            ("Optimizer", _optimizer(config)),
            ("Batch size", config.data.get("batch_size")),
            ("Epochs", _epochs(record, config)),
            ("Augmentation", _augmentation(config)),
            ("Tuned", _tuned(record)),
            ("Seed, repeat", f"{record.seed}, {record.repeat}"),
            ("Device", record.device),
            ("Software", ", ".join(f"{k} {v}" for k, v in record.versions.items() if v and k != "git_commit")),
        ),
        "## Results",
        _results(run, threshold),
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
    """Lines of a list; values may come from a record, but those of this program's own tables."""
    return "\n".join(
        f"- **{name}**: {value if name in _OWN_FACTS else as_markdown(value)}"
        for name, value in items
        if value is not None
    )


def _images(record: Record) -> str | None:
    parts = (("train", "training"), ("val", "validation"), ("test", "testing"))
    return ", ".join(f"{record.images[name]} for {purpose}" for name, purpose in parts if name in record.images) or None


def _optimizer(config: DictConfig) -> str | None:
    node = config.get("optimizer")
    if not isinstance(node, DictConfig):
        return None
    return f"{str(node.get('_target_')).rpartition('.')[2]}, {_options(node)}"


def _options(node: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in node.items() if key != "_target_" and value is not None)


def _source(dataset: str) -> Source | None:
    return next((source for source in SOURCES if dataset in source.readers), None)


def _origins(record: Record) -> str:
    origins = (record.weights_source or {}).values()
    return ", ".join(
        f"{origin.get('encoder')} ({origin.get('file')}, SHA-256 {origin.get('sha256', '')[:12]})" for origin in origins
    )


def _licences(record: Record) -> str:
    encoders = [origin.get("encoder", "") for origin in (record.weights_source or {}).values()]
    return ", ".join(f"{encoder}: {licence_of(encoder)}" for encoder in encoders)


def _epochs(record: Record, config: DictConfig) -> str | None:
    if record.best_epoch is None or record.best_val_dice is None:
        return None
    return (
        f"{record.epochs}, of at most {config.trainer.get('max_epochs')}; weights of epoch {record.best_epoch}, "
        f"which had the best validation Dice ({record.best_val_dice:.4f})"
    )


def _split(config: DictConfig) -> str:
    strategy, fractions = config.data.get("split", "random"), config.data.get("fractions")
    names = ("train", "val", "test")
    known = isinstance(fractions, DictConfig) and all(isinstance(fractions.get(name), int | float) for name in names)
    if strategy not in BY_FRACTIONS or not known:  # the images are counted above
        return str(strategy)
    return f"{strategy}, {' / '.join(f'{100 * fractions[name]:g}' for name in names)} %"


def _augmentation(config: DictConfig) -> str:
    node = config.get("augmentation")
    return (
        f"{str(node.get('_target_')).rpartition('.')[2]}, {_options(node)}"
        if isinstance(node, DictConfig) and node
        else "none"
    )


def _tuned(record: Record) -> str | None:
    """What trials have chosen for this loss, on validation images."""
    return f"{describe(record.tuned)}, on validation images alone" if record.tuned else None


def _results(run: TrainedRun, threshold: Threshold) -> str:
    rows = tested_images(RunFolder(run.directory))
    lines = ["| metric | mean | 95 % interval | median |", "| --- | ---: | ---: | ---: |"]
    for name in METRICS:
        values = [float(row[name]) for row in rows]
        low, high = bootstrap_interval(values)
        cells = (METRIC_NAMES[name], f"{statistics.fmean(values):.4f}", f"{low:.4f} to {high:.4f}")
        lines.append(f"| {' | '.join(cells)} | {statistics.median(values):.4f} |")
    empty = sum(int(row["tp"]) + int(row["fn"]) == 0 for row in rows)
    note = (
        f"Means over {counted(len(rows), 'test image')} ({empty} without a lesion), at the network's input size; a "
        "pixel is lesion where its probability exceeds 0.5. Both masks empty score 1, one of them 0. The interval is a "
        "bootstrap over test images: it says nothing about other splits or trainings."
    )
    return "\n".join([*lines, "", note, "", _threshold_and_calibration(run, threshold), *_siblings(run)])


def _threshold_and_calibration(run: TrainedRun, threshold: Threshold) -> str:
    """The threshold to use, the Dice there and how true the probabilities are on the test images, where known."""
    use = f"**Threshold to use**: {threshold.value:g} ({threshold.source})."
    try:
        found = kept_predictions(RunFolder(run.directory))
    except UserError:  # of an older version
        return use if threshold == HALF else f"{use} The scores above are not of this threshold."
    if threshold != HALF:
        there = dice_at(found, threshold.value)
        known = "not counted" if there is None else f"{there:.4f}"
        use += f" Mean Dice of the test images there is {known}; the scores above are those at 0.5."
    return (
        f"{use} Over all pixels of the test images the probabilities have a Brier score of {found.test.brier:.4f} and "
        f"an expected calibration error of {found.test.calibration_error:.4f} (15 bins)."
    )


def _siblings(run: TrainedRun) -> list[str]:
    """One line on the run's repeats, if their records lie beside it."""
    scores, tested = [], []
    for repeat in RunFolder(run.directory).siblings():
        record = repeat.record()
        if record is not None and math.isfinite(score := record.test.get("dice", math.nan)):
            with suppress(UserError):  # of a sibling that is not whole, which then does not count
                tested.append(tested_ids(repeat))
                scores.append(score)
    if len(scores) < 2:
        return []
    shared = all(ids == tested[0] for ids in tested)
    each = "all on the same test images, each with its own start" if shared else "each with its own split and start"
    return [
        "",
        f"Over the {len(scores)} repeats of this setting, {each}, test Dice is {statistics.fmean(scores):.4f} on "
        f"average, with a standard deviation of {statistics.stdev(scores):.4f}.",
    ]


def _limits(run: TrainedRun) -> str:
    count = run.record.images.get("train")
    images = "an unknown number of images" if count is None else counted(count, "image")
    limits = [
        f"Trained on {images} of one source: on images of another camera, clinic or population it may "
        "fail without a sign. Score it there first (`lightning-seg evaluate`).",
        f"Images are squeezed to {run.config.data.image_size} x {run.config.data.image_size}: lesions of a few "
        "pixels at that size are lost, and outlines are no finer.",
        "Probabilities are as the loss has left them; nothing has calibrated them afterwards.",
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
