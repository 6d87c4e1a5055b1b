"""Tables of readings, of thresholds and calibration, and of what was tuned."""

import pandas as pd

from lightning_seg.catalogue import loss_name
from lightning_seg.report.analysis import Analysis
from lightning_seg.report.kept import by_loss
from lightning_seg.report.readings import Reading, ranks
from lightning_seg.report.tables import Table
from lightning_seg.report.thresholds import CHOSEN
from lightning_seg.report.trials import rows
from lightning_seg.wording import fixed


def reading_tables(analysis: Analysis) -> dict[str, Table]:
    """All of them that the records allow, by name."""
    tables = []
    if len(analysis.readings.readings) > 1:
        tables += [readings_table(analysis.readings.readings), readings_long(analysis.readings.readings)]
    if len(analysis.kept.runs):
        tables.append(thresholds_table(by_loss(analysis.kept, analysis.overall.loc["dice"])))
    if analysis.trials.choices:
        tables.append(tuned_table(rows(analysis.trials)))
    return {table.name: table for table in tables}


def readings_table(readings: list[Reading]) -> Table:
    """Loss x reading for the page: rank, difference to the best, and whether it is worse than the best."""
    order = readings[0].verdict.losses
    columns = {"Loss": [loss_name(loss) for loss in order]}
    for reading in readings:
        found = ranks(reading.verdict)
        columns[reading.name] = [_cell(found, loss, reading.tested) for loss in order]
    caption = (
        "Rank of the mean Dice and, in brackets, the difference to the best in Dice points; * worse than the best by "
        "the tests of that reading, which is judged on its own; without it the loss is in the group of the best. "
        f"{_key(readings)}{_untested(readings)}"
    )
    return Table("readings", "Every reading", caption, pd.DataFrame(columns), {})


def readings_long(readings: list[Reading]) -> Table:
    """The same with a row for each loss and reading, unrounded."""
    parts = []
    for reading in readings:
        found = ranks(reading.verdict).loc[reading.verdict.losses].rename_axis("loss").reset_index()
        found.insert(0, "study", reading.study)
        found.insert(1, "settings", ", ".join(reading.settings))
        found.insert(2, "threshold", reading.threshold)
        found.insert(3, "repeats", reading.repeats)
        found["tested"] = reading.tested
        parts.append(found)
    return Table(
        "readings_long", "Every reading", "One row a loss and reading.", pd.concat(parts, ignore_index=True), {}
    )


def thresholds_table(by_loss: pd.DataFrame) -> Table:
    """Of :func:`lightning_seg.report.kept.by_loss`."""
    shown = by_loss.rename_axis("loss").reset_index()
    shown["loss"] = [loss_name(str(loss)) for loss in shown["loss"]]
    order = ["loss", "dice", "chosen_dice", "threshold", "lowest", "highest", "brier", "calibration_error"]
    shown = shown[order].sort_values("chosen_dice", ascending=False)
    shown.columns = [
        *("Loss", "Dice at 0.5", "Dice at the chosen threshold", "Chosen threshold", "Lowest", "Highest"),
        *("Brier score", "Calibration error"),
    ]
    caption = (
        "Each run's threshold has the highest mean Dice on its own validation images, of 0.05, 0.10, ... 0.95, and of "
        "equals it is the one nearest to 0.5. Means over blocks, with the lowest and highest threshold of single runs. "
        "Brier score and expected calibration error (15 bins) are over all pixels of the test images; lower is better."
    )
    digits = dict.fromkeys(["Chosen threshold", "Lowest", "Highest"], 2)
    return Table("thresholds", "Thresholds and calibration", caption, shown, digits)


def tuned_table(data: pd.DataFrame) -> Table:
    """Of :func:`lightning_seg.report.trials.rows`."""
    caption = "Each loss had the same trials, judged on validation images alone."
    return Table("tuned", "What was tuned", caption, data, {})


def _cell(found: pd.DataFrame, loss: str, tested: bool) -> str:
    rank, difference = int(found.at[loss, "rank"]), 100 * float(found.at[loss, "difference"])
    mark = "*" if tested and not found.at[loss, "in_group"] else ""
    return f"{rank} ({fixed(difference)}){mark}" if rank > 1 else f"{rank}"


def _key(readings: list[Reading]) -> str:
    """What the headings say, for those that there are."""
    tuned, common = any(reading.tuned for reading in readings), any(not reading.tuned for reading in readings)
    chosen = any(reading.threshold == CHOSEN for reading in readings)
    text = "Threshold 0.5: a pixel is lesion where its probability exceeds 0.5."
    text += " Chosen threshold: the one of each run with the best Dice on its own validation images." if chosen else ""
    text += " Common settings: all losses are trained with the same." if common else ""
    return text + (" Tuned settings: each loss has those that its trials have chosen." if tuned else "")


def _untested(readings: list[Reading]) -> str:
    names = [reading.name for reading in readings if not reading.tested]
    return f" Not tested: {'; '.join(names)}." if names else ""
