"""A paragraph on methods, as LaTeX, written from what the records say and no more."""

from textwrap import wrap

from lightning_seg.bundle.facts import UNKNOWN, Facts, listed
from lightning_seg.catalogue import NETWORKS, dataset_name, loss_name, metric_name, model_name
from lightning_seg.report.tables import escape_tex
from lightning_seg.wording import counted


def methods(facts: Facts) -> str:
    """Data, splits, networks, losses, training, tests, and what the answer rests on; cites ``references.bib``."""
    sentences = [_data(facts), _splits(facts), _networks(facts), _losses(facts), _training(facts), _analysis(facts)]
    digest = "\\allowbreak ".join(wrap(facts.digest, 8))  # LaTeX would run it over the margin
    lines = [
        "% cites references.bib; numbers and names are those of the records",
        "\\paragraph{Methods.}",
        *sentences,
        "\\paragraph{Availability.}",
        f"The records, from which every table follows, have the SHA-256 digest \\texttt{{{digest}}}; "
        "\\texttt{lightning-seg verify} recomputes the answer from them.",
    ]
    return "\n".join([*lines, ""])


def _data(facts: Facts) -> str:
    counts = facts.runs.groupby("dataset", observed=True)["images"].max()
    parts = []
    for dataset in facts.names("dataset"):
        source = facts.source(dataset)
        cite = f"~\\cite{{dataset_{source.name}}}" if source else ""
        number = "" if counts.isna().get(dataset, True) else f" ({int(counts[dataset])} images)"
        parts.append(f"{escape_tex(dataset_name(dataset))}{cite}{number}")
    size = facts.values("data.image_size") or facts.values("dataset.size")
    resized = f" Images were resized to {size[0]} $\\times$ {size[0]} pixels." if len(size) == 1 else ""
    return f"We used {listed(parts)}.{resized}"


def _splits(facts: Facts) -> str:
    strategies = [escape_tex(value) for value in facts.values("data.split")]
    repeats = facts.runs["repeat"].nunique()
    shares = [facts.values(f"data.fractions.{part}") for part in ("train", "val", "test")]
    share = f" in shares of {' / '.join(each[0] for each in shares)}" if all(len(each) == 1 for each in shares) else ""
    how = f"by the strategy {listed(strategies)}" if strategies else f"in a way that is {UNKNOWN}"
    return (
        f"Images were divided into training, validation and test {how}{share}, in "
        f"{counted(repeats, 'repeat')}; within a repeat, all losses and networks shared the split "
        f"({counted(len(facts.splits), 'different split', 'are')} recorded)."
    )


def _networks(facts: Facts) -> str:
    parts = [
        escape_tex(model_name(model)) + (f"~\\cite{{network_{model}}}" if model in NETWORKS else "")
        for model in facts.names("model")
    ]
    started = facts.values("model.pretrained")
    weights = {"True": "started from ImageNet weights", "False": "were trained from scratch"}
    told = f" Encoders {weights[started[0]]}." if len(started) == 1 and started[0] in weights else ""
    return f"Networks were {listed(parts)}.{told}"


def _losses(facts: Facts) -> str:
    parts = []
    for loss in facts.names("loss"):
        keys = [f"loss_{part.lower()}" for part in facts.loss_classes(loss)]
        known = [key for key in keys if key in facts.works]
        parts.append(escape_tex(loss_name(loss)) + (f"~\\cite{{{','.join(known)}}}" if known else ""))
    return f"Losses were {listed(parts)}, compared as in~\\cite{{jang2025}}."


def _training(facts: Facts) -> str:
    asked = (
        ("optimizer._target_", "the optimiser {}"),
        ("optimizer.lr", "a learning rate of {}"),
        ("data.batch_size", "batches of {}"),
        ("trainer.batch_size", "batches of {}"),
        ("trainer.max_epochs", "at most {} epochs"),
        ("early_stopping.patience", "early stopping after {} epochs without a better validation Dice"),
        ("trainer.precision", "precision {}"),
        ("seed", "the seed {}"),
    )
    told = []
    for key, words in asked:
        values = [
            escape_tex(value.rpartition(".")[2] if key.endswith("_target_") else value) for value in facts.values(key)
        ]
        if values:
            told.append(words.format(" or ".join(values)))
    augmented = facts.values("augmentation._target_")
    told.append(f"augmentation {escape_tex(listed(augmented))}" if augmented else "no recorded augmentation")
    return f"Networks were trained with {listed(told)}; the epoch with the best validation Dice was tested once."


def _analysis(facts: Facts) -> str:
    options = facts.options
    statuses = facts.runs["status"].value_counts().to_dict()
    runs = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    answer = escape_tex(" ".join(facts.answer[:1]))
    return (
        f"Losses were compared by {escape_tex(metric_name(options.metric))} per image, averaged over test images and "
        "repeats within blocks of dataset and network, by paired differences with Tukey's adjustment over all pairs; "
        f"differences within {100 * options.rope:g} points count as equal, and the stability of ranks rests on "
        f"{options.draws:,} draws (seed {options.seed}). Of the runs, {runs}. The analysis by lightning-seg "
        f"{escape_tex(options.program)} concludes: {answer}"
    )
