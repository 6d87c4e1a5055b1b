"""Reads the run records of a study, complete or not, into two tidy tables."""

import json
import math
import os
import shlex
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from lightning_seg import __version__
from lightning_seg.catalogue import COUNTS, METRICS
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import MOST_TABLE_BYTES, read_bytes, write_atomic
from lightning_seg.metrics.measures import MEASURES
from lightning_seg.report.settings import describe_differences, settings_hash, shared_settings
from lightning_seg.runs.collapse import collapse
from lightning_seg.runs.folder import MEASURES as MEASURES_FILE
from lightning_seg.runs.folder import RESULT, RunFolder, State
from lightning_seg.runs.record import Record
from lightning_seg.runs.remembered import remembered
from lightning_seg.studies.folder import StudyFolder
from lightning_seg.wording import counted

_LONGEST_ERROR = 300  # characters
EXTERNAL, CORRUPTION = "external_", "corruption_"  # of columns of the table of runs, <place>_<metric> follows
KEYS = ["dataset", "model", "loss", "repeat"]
_IMAGE_COLUMNS = ("id", *COUNTS, *METRICS)
_NO_METRICS = {"test_images", "test_to_train"}  # columns of the table of runs that are counts of images
# `result.json` and `test_images.csv` are written from the same numbers; a larger gap in Dice means a damaged record.
_AGREEMENT = 1e-3


@dataclass
class Study:
    """The records of a study.

    Attributes:
        directory: the study's folder.
        runs: one row a run: dataset, model, loss, repeat, status (finished, diverged, failed, running, missing or
            unreadable), collapse ("", "background" or "lesion"), test_dice, ..., seconds_fit, ..., settings (hash of
            what a fair comparison holds fixed), siblings (test images that have a sibling in training), split (how
            images were divided), fractions (and into what shares, as JSON), test_to_train (test images over training
            images), overrides (the command-line arguments that chose and set it, as a shell would read them), path.
        images: one row a test image of a run: the keys, id, tp, fp, fn, tn (pixels), dice, iou, precision, recall.
        problems: sentences on records that could not be read or do not agree with themselves.
        differences: sentences on settings that differ within a dataset x model cell.
        unasked: losses that the tables leave out on request.
        kept_in: where the command lines that a report shows find the study, if that is not where it was read.
    """

    directory: Path
    runs: pd.DataFrame
    images: pd.DataFrame
    problems: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    kept_in: Path | None = None

    @property
    def output_dir(self) -> Path:
        """Where command lines find the study."""
        return self.kept_in or self.directory.parent

    @property
    def name(self) -> str:
        """The study's name, which is its folder's."""
        return self.directory.resolve().name


def only_losses(study: Study, losses: Sequence[str]) -> Study:
    """The same study as if it had these losses alone; what others lack no longer limits the comparison.

    Raises:
        UserError: the study has no run of one of them.
    """
    held = sorted(study.runs["loss"].unique())
    if unknown := [loss for loss in losses if loss not in held]:
        raise UserError(f"{study.directory} has no run with {', '.join(unknown)}; it has {', '.join(held)}.")
    runs, images = (table[table["loss"].isin(losses)].reset_index(drop=True) for table in (study.runs, study.images))
    if len(images):  # an empty table has no categories
        images["loss"] = images["loss"].cat.remove_unused_categories()
    return replace(study, runs=runs, images=images, unasked=[loss for loss in held if loss not in losses])


def load_study(directory: Path, workers: int | None = None, images_of: str = "dice") -> Study:
    """Read all runs below ``<directory>/<dataset>/<model>/<loss>/repeat_<k>/``.

    Records that are damaged are told in ``problems`` and have the status "unreadable"; none is guessed.

    Args:
        directory: the study's folder.
        workers: reading threads; by default twice the processors.
        images_of: a measure of masks that the table of images shall have too.

    Raises:
        UserError: ``directory`` is no folder.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(f"There is no study folder {directory}: give the folder that holds <dataset>/<model>/<loss>/.")
    folders, problem = StudyFolder(directory).runs()
    problems = [problem] if problem else []
    with ThreadPoolExecutor(workers or 2 * (os.cpu_count() or 1)) as pool:
        records = list(pool.map(partial(_remembered_run, images_of=images_of), folders))
    problems += [problem for record in records for problem in record.problems]
    configured = [record for record in records if record.settings]
    differences = describe_differences(
        [record.settings or {} for record in configured],
        [(record.row["dataset"], record.row["model"]) for record in configured],
    )
    images = _join_images(records)
    runs = pd.DataFrame([record.row for record in records], columns=_run_columns(records))
    _add_versions_problem(runs, problems)
    _add_training_problems(runs, problems)
    return Study(directory, runs, images, problems, differences)


def write_tables(study: Study, output_dir: Path) -> list[Path]:
    """Write ``runs.parquet`` and ``images.parquet`` for work in pandas or R, each atomically."""
    written = []
    for name, frame in (("runs", study.runs), ("images", study.images)):
        target = output_dir / f"{name}.parquet"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        write_atomic(target, partial(parquet.write_table, table, compression="zstd"))
        written.append(target)
    return written


def metrics_of(runs: pd.DataFrame) -> list[str]:
    """The metrics in a table of runs: the four of the study, then a user's own."""
    names = [name.removeprefix("test_") for name in runs if name.startswith("test_") and name not in _NO_METRICS]
    return [*METRICS, *(name for name in names if name not in METRICS)]


def measures_of(runs: pd.DataFrame) -> list[str]:
    """The measures of masks in a table of runs, a user's own last."""
    return [name.removeprefix("measure_") for name in runs if name.startswith("measure_")]


def image_counts(runs: pd.DataFrame) -> dict[str, int]:
    """Number of images of every dataset, over all parts of its split; datasets without a record of it are left out."""
    return runs.groupby("dataset")["images"].max().dropna().astype(int).to_dict()


def load_curves(study: Study, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Training curves of the given runs (default: all): the keys, epoch (from 1), train_loss, val_loss, val_dice.

    Runs without a readable ``metrics.csv`` are left out.
    """
    rows = study.runs if rows is None else rows
    wanted = ["epoch", "train_loss", "val_loss", "val_dice"]

    def read(item: tuple[Any, ...]) -> pa.Table | None:
        dataset, model, loss, repeat, path = item
        history = RunFolder(study.directory / path).history
        table = remembered("curve", history, read=lambda: _read_curve(history, wanted))
        if table is None:
            return None
        return _with_keys(table, {"dataset": dataset, "model": model, "loss": loss, "repeat": repeat})

    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        tables = [t for t in pool.map(read, rows[[*KEYS, "path"]].itertuples(index=False, name=None)) if t is not None]
    if not tables:
        return pd.DataFrame(columns=[*KEYS, *wanted])
    return pa.concat_tables(tables).unify_dictionaries().to_pandas()


def _read_curve(history: Path, wanted: list[str]) -> pa.Table | None:
    try:
        table = csv.read_csv(_buffer(history), read_options=_serial())
        table = table.select(wanted).cast(pa.schema([(name, pa.float64()) for name in wanted]))
    except (OSError, ValueError, pa.ArrowException, KeyError):
        return None
    epochs = table["epoch"].to_numpy()
    if len(epochs) and epochs[0] == 0:  # tables of the first version count from 0
        table = table.set_column(0, "epoch", pa.array(epochs + 1))
    return table


@dataclass
class _Record:
    row: dict[str, Any]
    images: pa.Table | None = None
    settings: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)


def _remembered_run(folder: RunFolder, images_of: str) -> _Record:
    files = (folder.result, folder.test_images, folder.measures)
    found = remembered(f"run, {images_of}", *files, read=lambda: _read_run(folder, images_of))
    return replace(found)  # whose table of images is given away


def _read_run(folder: RunFolder, images_of: str) -> _Record:
    place = folder.address
    row: dict[str, Any] = {"dataset": folder.dataset, "model": folder.model, "loss": folder.loss}
    look = folder.look()
    row |= {"repeat": folder.repeat, "status": str(look.state), "collapse": "", "path": place, "settings": ""}
    row["error"] = look.failure.message[:_LONGEST_ERROR] if look.failure else ""
    found = _Record(row)
    if look.state is State.UNREADABLE:
        found.problems.append(f"{place}/{RESULT} cannot be read ({look.problem}); the run is left out.")
    if look.record is None:
        return found
    if look.record.status == "finished" and "dice" not in look.record.test:
        row["status"] = str(State.UNREADABLE)
        found.problems.append(
            f"{place}/{RESULT} cannot be read (a finished run without test metrics); the run is left out."
        )
        return found
    _fill_row(row, look.record)
    if look.record.config:
        found.settings = shared_settings(look.record.config, look.record.tuned)
        row["settings"] = settings_hash(found.settings)
    if row["status"] == "finished" and not math.isfinite(row["test_dice"]):
        found.problems.append(f"{place}/{RESULT} holds no finite test Dice; the run is left out of all means.")
    _read_images(found, folder)
    _read_measures(found, folder, images_of)
    return found


def _fill_row(row: dict[str, Any], record: Record) -> None:
    """Take what the tables need from a record."""
    row.update({f"test_{metric}": _number(record.test.get(metric)) for metric in METRICS})
    row.update({f"test_{metric}": value for metric, value in record.test.items() if metric not in METRICS})
    for prefix, places in ((EXTERNAL, record.external), (CORRUPTION, record.corruptions)):
        row.update(
            {f"{prefix}{place}_{name}": _number(v) for place, means in places.items() for name, v in means.items()}
        )
    for name in ("parameters", "epochs", "best_epoch", "best_val_dice", "seed"):
        row[name] = _number(getattr(record, name))
    row["siblings"] = _number(record.siblings_in_training)
    data = record.config.get("data")
    data = data if isinstance(data, dict) else {}
    row["split"] = str(data.get("split", ""))
    row["fractions"] = json.dumps(data.get("fractions") or {}, sort_keys=True)
    images = record.images
    row["images"] = _number(sum(images.values()) or None)
    row["test_to_train"] = images["test"] / images["train"] if images.get("test") and images.get("train") else math.nan
    row.update({f"seconds_{part}": _number(record.seconds.get(part)) for part in ("data", "fit", "test")})
    row["version"] = record.version
    row["training_version"] = record.training_version
    row["versions"] = json.dumps(record.versions, sort_keys=True)
    row["device"] = record.device
    row["fingerprint"] = record.fingerprint
    row["overrides"] = shlex.join(_settings_of(record.overrides))


def _settings_of(overrides: list[str]) -> list[str]:
    """The command-line arguments of a run that say neither where it lies nor how it is carried out."""
    aside = {"study", "repeat", "logger", "rerun", "output_dir"}
    return [argument for argument in overrides if argument.split("=")[0].lstrip("+~") not in aside]


def _read_images(record: _Record, folder: RunFolder) -> None:
    row, place = record.row, folder.address
    try:
        table = csv.read_csv(
            _buffer(folder.test_images),
            read_options=_serial(),
            convert_options=csv.ConvertOptions(column_types={"id": pa.string()}),
        )
        columns = [*_IMAGE_COLUMNS, *(["contrast"] if "contrast" in table.column_names else [])]
        types = [(name, pa.int32() if name in COUNTS else pa.float32()) for name in columns if name != "id"]
        table = table.select(columns).cast(pa.schema([("id", pa.string()), *types]))
        if any(table[name].null_count for name in ("id", *COUNTS)):
            raise UnreadableError("it has rows without values")
    except FileNotFoundError:
        if row["status"] == "finished":
            record.problems.append(f"{place} has no test_images.csv; its images are left out.")
        return
    except (OSError, ValueError, pa.ArrowException, KeyError) as error:
        record.problems.append(f"{place}/test_images.csv cannot be read ({_reason(error)}); its images are left out.")
        return
    if table.num_rows == 0:
        record.problems.append(f"{place}/test_images.csv has no rows.")
        return
    tp, fp, fn, tn = (table[name].to_numpy() for name in COUNTS)
    mean = np.nanmean(table["dice"].to_numpy()) if table["dice"].null_count < table.num_rows else math.nan
    if math.isfinite(row["test_dice"]) and not abs(mean - row["test_dice"]) <= _AGREEMENT:
        record.problems.append(
            f"{place}: the Dice of test_images.csv averages {mean:.4f}, result.json says {row['test_dice']:.4f}; "
            "its images are left out."
        )
        return
    row["test_images"] = table.num_rows
    row["failure_rate"] = float(np.mean(table["dice"].to_numpy() < 0.1))
    row["empty_predictions"] = float(np.mean(tp + fp == 0))
    row["collapse"] = collapse(tp, fp, fn, tn)
    record.images = _with_keys(table, {key: row[key] for key in KEYS})


def _read_measures(record: _Record, folder: RunFolder, images_of: str) -> None:
    """Add the means of the measures of masks to the row, and one of them to the table of images."""
    if record.images is None:
        return
    try:
        types = {"id": pa.string()}
        table = csv.read_csv(
            _buffer(folder.measures), read_options=_serial(), convert_options=csv.ConvertOptions(column_types=types)
        )
        if not table["id"].equals(record.images["id"]):
            raise UnreadableError("its images are not those of test_images.csv")
        scores = {name: _scores(table[name], name) for name in table.column_names if name != "id"}
    except FileNotFoundError:
        return
    except (OSError, ValueError, pa.ArrowException, KeyError) as error:
        record.problems.append(f"{folder.address}/{MEASURES_FILE} cannot be read ({_reason(error)}); it is left out.")
        return
    record.row |= {f"measure_{name}": float(values.mean()) for name, values in scores.items()}
    if images_of in scores and images_of not in record.images.column_names:
        record.images = record.images.append_column(images_of, pa.array(scores[images_of], pa.float32()))


def _scores(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """A column of measures; a user's own may lack values."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise UnreadableError(f"{name} holds no numbers")
    values = column.to_numpy().astype(float)
    if np.isinf(values).any() or (name in MEASURES and np.isnan(values).any()):
        raise UnreadableError(f"{name} holds what is no number")
    return values


def _join_images(records: Iterable[_Record]) -> pd.DataFrame:
    tables = [record.images for record in records if record.images is not None]
    for record in records:
        record.images = None
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in (*KEYS, *_IMAGE_COLUMNS)})
    joined = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
    joined = joined.set_column(joined.column_names.index("id"), "id", joined["id"].dictionary_encode())
    return joined.to_pandas(self_destruct=True, split_blocks=True)


def _with_keys(table: pa.Table, keys: dict[str, Any]) -> pa.Table:
    for name, value in reversed(keys.items()):
        if isinstance(value, str):
            codes = pa.array(np.zeros(table.num_rows, dtype=np.int32))
            column: pa.Array = pa.DictionaryArray.from_arrays(codes, pa.array([value]))
        else:
            column = pa.array(np.full(table.num_rows, value, dtype=np.int32))
        table = table.add_column(0, name, column)
    return table


def _run_columns(records: list[_Record]) -> list[str]:
    """All columns, also where no run has them yet, so that an empty study has the same table."""
    measured = sorted({name for record in records for name in record.row if name.startswith("test_")} - _NO_METRICS)
    own = [name for name in measured if name.removeprefix("test_") not in METRICS]
    measures = list(dict.fromkeys(name for record in records for name in record.row if name.startswith("measure_")))
    columns = [*KEYS, "status", "collapse", *(f"test_{m}" for m in METRICS), *own, *measures, *_elsewhere(records)]
    columns += ["best_val_dice", "best_epoch", "epochs"]
    columns += [
        "failure_rate",
        "empty_predictions",
        "test_images",
        "images",
        "test_to_train",
        "siblings",
        "split",
        "fractions",
        "parameters",
        "seconds_data",
        "seconds_fit",
    ]
    columns += ["seconds_test", "seed", "device", "version", "versions", "training_version", "fingerprint", "settings"]
    columns += ["overrides", "error", "path"]
    return columns


def _elsewhere(records: list[_Record]) -> list[str]:
    """The columns of tests elsewhere, other datasets first."""
    held = list(dict.fromkeys(name for record in records for name in record.row))
    return [name for prefix in (EXTERNAL, CORRUPTION) for name in held if name.startswith(prefix)]


def _add_versions_problem(runs: pd.DataFrame, problems: list[str]) -> None:
    versions = runs.loc[runs["version"].notna() & (runs["version"] != ""), "version"].value_counts()
    if len(versions) > 1:
        parts = ", ".join(f"{counted(int(count), 'run')} by {version}" for version, count in versions.items())
        problems.append(f"The runs were made by different versions of lightning-seg: {parts}.")
    elif len(versions) and versions.index[0] != __version__:
        problems.append(
            f"All runs were made by lightning-seg {versions.index[0]}; this report is by {__version__}, whose own runs "
            "may differ."
        )


def _add_training_problems(runs: pd.DataFrame, problems: list[str]) -> None:
    """A sentence for each network whose runs do not all train alike."""
    for model, found in runs[runs["training_version"].notna()].groupby("model", sort=True):
        counts = found["training_version"].astype(int).value_counts().sort_index()
        if len(counts) > 1:
            parts = " and ".join(f"{count} by version {version}" for version, count in counts.items())
            problems.append(
                f"The runs of {model} do not all train alike, {parts} of its training behaviour, which "
                "docs/networks.md tells apart; rerun=true replaces the older ones."
            )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _buffer(path: Path) -> pa.BufferReader:
    return pa.BufferReader(read_bytes(path, MOST_TABLE_BYTES))


def _serial() -> csv.ReadOptions:
    return csv.ReadOptions(use_threads=False)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error.args[0]!r}"
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
