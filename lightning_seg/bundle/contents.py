"""What of a study goes into a bundle, and how a study is made of that again.

A bundle's data are the Parquet tables of images, measures and epochs, the records without the places of the machine
that made them, each configuration and split once, and what runs have kept of their predictions but the masks. All else
in the bundle is worked out from these.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from lightning_seg.bundle.terms import may_be_shown
from lightning_seg.config.compose import nest
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import (
    csv_text,
    open_plain,
    read_bytes,
    read_json,
    read_table,
    write_atomic,
    write_bytes,
    write_json,
    write_text,
)
from lightning_seg.report.cases import MOST_BYTES, read_cases
from lightning_seg.report.records import KEYS, Study, load_curves, load_study, only_losses
from lightning_seg.runs import predictions
from lightning_seg.runs.failure import Failure, FailureKind
from lightning_seg.runs.fingerprint import flatten
from lightning_seg.runs.folder import RunFolder, State
from lightning_seg.studies.folder import is_address

FORMAT = 1
STUDY, RECORDS, CONFIGURATIONS, SPLITS = "study.json", "records.json", "configurations.json", "splits.json"
IMAGES, MEASURES, CURVES, GROUPS = "images.parquet", "measures.parquet", "curves.parquet", "groups.csv"
ELSEWHERE = "elsewhere.parquet"  # only of studies whose runs were tested on other images too
DATA = (STUDY, RECORDS, CONFIGURATIONS, SPLITS, IMAGES, MEASURES, CURVES, GROUPS, ELSEWHERE)
FOLDERS = ("predictions", "cases")  # of data, with a file for each run
_MOST_JSON = 512 * 2**20
_MOST_TABLE = 2 * 2**30  # bytes of a Parquet file, packed and unpacked
_PLACE = re.compile(r"(?<![\w.:/\\~])(?:~|[A-Za-z]:)?[/\\](?:[^\s'\",:;()\[\]{}=/\\]+[/\\])+")


@dataclass(frozen=True)
class Options:
    """How the report of a bundle is made.

    Attributes:
        name: of the study.
        made: when its last run began.
        program, drawing: versions of this program and of matplotlib.
        draws, rope, seed, losses, published, metric, formats: see :func:`lightning_seg.report.build.build_report`.
        format: version of the bundle's form.
    """

    name: str
    made: str
    program: str
    drawing: str
    draws: int
    rope: float
    seed: int
    losses: list[str]
    published: bool
    metric: str
    formats: list[str]
    format: int = FORMAT


def take(source: Path, options: Options, target: Path, groups: Path | None = None, images: bool = False) -> None:
    """Write a study's data into the folder of a bundle.

    Args:
        source: the study's folder.
        target: an existing folder.
        groups: a user's table that divides the test images.
        images: whether images of datasets that are not published ones may go in.
    """
    study = load_study(source, images_of=options.metric)
    if options.losses:
        study = only_losses(study, options.losses)
    runs = [RunFolder(source / path) for path in study.runs["path"]]
    write_json(target / STUDY, asdict(options))
    records = dict(_records(study, runs))
    configurations = {
        address: {key: _without_places(value) for key, value in flatten(record.pop("config")).items()}
        for address, record in records.items()
        if record.get("config")
    }
    write_json(target / RECORDS, records)
    write_json(target / CONFIGURATIONS, _in_common(configurations))
    write_json(target / SPLITS, _splits(runs))
    _write_parquet(target / IMAGES, study.images)
    _write_parquet(target / CURVES, load_curves(study))
    measured = [table for run in runs if (table := _rows_of(run, run.measures)) is not None]
    _write_parquet(target / MEASURES, pd.concat(measured, ignore_index=True) if measured else pd.DataFrame())
    if elsewhere := [table for run in runs for table in _elsewhere(run)]:
        _write_parquet(target / ELSEWHERE, pd.concat(elsewhere, ignore_index=True))
    for run in runs:
        _take_predictions(run, target)
        flat = configurations.get(run.address, {})
        if may_be_shown(run.dataset, str(flat.get("dataset._target_", "")), images):
            _take_cases(run, target)
    if groups is not None:
        write_bytes(target / GROUPS, read_bytes(groups, _MOST_JSON))


def data_files(folder: Path) -> list[str]:
    """The files of data in a bundle's folder, with slashes, sorted."""
    deeper = chain.from_iterable((folder / name).rglob("*.npz") for name in FOLDERS)
    found = [folder / name for name in DATA if (folder / name).is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in (*found, *deeper))


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_digest(folder: Path) -> str:
    """One SHA-256 that stands for all data of a bundle: it is what a paper cites."""
    lines = "".join(f"{digest(folder / name)}  {name}\n" for name in data_files(folder))
    return hashlib.sha256(lines.encode()).hexdigest()


def split_digest(split: Any) -> str:
    """SHA-256 of a split's subsets and their ids."""
    return hashlib.sha256(json.dumps(split, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_options(folder: Path) -> Options:
    """What a bundle says of how it was made.

    Raises:
        UserError: it says no such thing.
    """
    found = _read_json(folder / STUDY)
    hints = {field.name: field.type for field in fields(Options)}
    fit = isinstance(found, dict) and found.keys() == hints.keys()
    if not fit or found["format"] != FORMAT:
        raise UserError(f"{STUDY} in the bundle is not of the form that this version of lightning-seg reads.")
    texts = [
        *(found[key] for key in ("name", "made", "program", "drawing", "metric")),
        found["losses"],
        found["formats"],
    ]
    numbers = (found["draws"], found["seed"], found["rope"])
    good = all(isinstance(text, str) for text in texts[:5])
    good = good and all(isinstance(each, list) and all(isinstance(name, str) for name in each) for each in texts[5:])
    good = good and all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
    if not good or not 100 <= found["draws"] <= 1_000_000 or not 0 <= found["rope"] <= 1:
        raise UserError(f"{STUDY} in the bundle holds other values than a report has.")
    if not re.fullmatch(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,254}", found["name"]):
        raise UserError(f"{STUDY} in the bundle does not name a study.")
    return Options(**found)


def restore(folder: Path, target: Path) -> None:
    """Make a study's folder of a bundle's data, as far as reports read it.

    Args:
        folder: of the bundle's files, which may come from anywhere.
        target: the study's folder, which does not exist yet.

    Raises:
        UserError: the data are of another form.
    """
    records, configurations = _by_run(folder / RECORDS), _read_json(folder / CONFIGURATIONS)
    splits = _read_json(folder / SPLITS)
    try:
        common, own = configurations["common"], configurations["runs"]
        named = {address: splits["splits"][name] for address, name in splits["runs"].items()}
        for address, record in records.items():
            run = RunFolder(target / address)
            run.path.mkdir(parents=True)
            flat = {**common, **own[address]} if address in own else {}
            _write_record(run, record, nest(flat))
            if address in named:
                write_json(run.split, named[address])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"The bundle's records, configurations and splits do not fit one another ({error}).") from error
    for name, file in ((IMAGES, "test_images"), (MEASURES, "measures"), (CURVES, "history")):
        _restore_table(read_parquet(folder / name), records, target, file)
    for kind, file in (("predictions", "predictions"), ("cases", "cases")):
        for path in (folder / kind).rglob("*.npz"):
            address = path.relative_to(folder / kind).with_suffix("").as_posix()
            if address in records:
                path.rename(getattr(RunFolder(target / address), file))


def read_parquet(path: Path) -> pd.DataFrame:
    """A Parquet table that may come from anywhere: how much it unpacks to is known before it is read.

    Raises:
        UserError: it is no such table, or too large.
    """
    try:
        with open_plain(path, _MOST_TABLE) as file:
            opened = parquet.ParquetFile(file)
            groups = [opened.metadata.row_group(n) for n in range(opened.metadata.num_row_groups)]
            cells = opened.metadata.num_rows * max(opened.metadata.num_columns, 1)
            if sum(group.total_byte_size for group in groups) > _MOST_TABLE or 8 * cells > _MOST_TABLE:
                raise UnreadableError("it unpacks to too much")
            return opened.read(use_threads=False).to_pandas(ignore_metadata=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path.name} in the bundle cannot be read ({str(error).splitlines()[0]}).") from error


def _records(study: Study, runs: list[RunFolder]) -> Iterator[tuple[str, dict[str, Any]]]:
    for run, error in zip(runs, study.runs["error"], strict=True):
        look = run.look()
        if look.record is not None:
            record = look.record.as_json() | {"host": ""}
            config = record.pop("config")
            yield run.address, {**_without_places(record), "config": config}
        else:
            yield run.address, {"state": str(look.state), "message": _without_places(str(error))}


def _write_record(run: RunFolder, record: dict[str, Any], config: dict[str, Any]) -> None:
    state = record.get("state")
    if state is None:
        write_json(run.result, record | {"config": config})
    elif state == State.FAILED:
        write_text(run.error, str(record.get("message")))
        write_json(run.failure_file, Failure(FailureKind.OTHER, str(record.get("message"))).as_json())
    elif state == State.UNREADABLE:
        write_text(run.result, "")


def _without_places(value: Any) -> Any:
    """A recorded value in which no path tells more than its last part."""
    if isinstance(value, str):
        return _PLACE.sub("", value)
    if isinstance(value, list):
        return [_without_places(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_places(each) for key, each in value.items()}
    return value


def _in_common(configurations: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Flat configurations by run, as what all share and what each has of its own."""
    every = list(configurations.values())
    missing = object()
    common = {
        key: value
        for key, value in (every[0] if every else {}).items()
        if all(_same(other.get(key, missing), value) for other in every)
    }
    own = {
        address: {key: value for key, value in flat.items() if key not in common}
        for address, flat in configurations.items()
    }
    return {"common": common, "runs": own}


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _splits(runs: list[RunFolder]) -> dict[str, Any]:
    """Every split once, by its digest, and the digest of each run's."""
    splits, by_run = {}, {}
    for run in runs:
        try:
            split = read_json(run.split)
        except (FileNotFoundError, UnreadableError):
            continue
        name = split_digest(split)
        splits[name], by_run[run.address] = split, name
    return {"splits": splits, "runs": by_run}


def _rows_of(run: RunFolder, path: Path, texts: tuple[str, ...] = ("id",)) -> pd.DataFrame | None:
    """One of a run's tables, with the run's keys before it; all columns but ``texts`` are numbers."""
    try:
        table = pd.DataFrame(read_table(path))
        numbers = table.drop(columns=[*texts]).astype(float)
    except (FileNotFoundError, UnreadableError, ValueError, KeyError):
        return None
    keys = {"dataset": run.dataset, "model": run.model, "loss": run.loss, "repeat": run.repeat}
    return pd.concat([pd.DataFrame(keys, index=table.index), table[[*texts]], numbers], axis=1)


def _elsewhere(run: RunFolder) -> Iterator[pd.DataFrame]:
    """Tables of a run's tests on other images; ``place`` is another dataset's name, or "" for its own made worse."""
    record = run.record()
    for name in record.external if record else ():
        if Path(name).name == name and (table := _rows_of(run, run.external(name))) is not None:
            yield table.assign(place=name, kind="", strength=0.0)
    if (table := _rows_of(run, run.corruptions, ("kind", "id"))) is not None:
        yield table.assign(place="")


def _take_predictions(run: RunFolder, target: Path) -> None:
    try:
        found = predictions.read(run, masks=False)
    except (FileNotFoundError, UnreadableError):
        return
    path = target / "predictions" / f"{run.address}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    predictions.write_file(path, found)


def _take_cases(run: RunFolder, target: Path) -> None:
    try:
        read_cases(run.cases)
    except (FileNotFoundError, UnreadableError):
        return
    path = target / "cases" / f"{run.address}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, read_bytes(run.cases, MOST_BYTES))


def _write_parquet(path: Path, frame: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_atomic(path, partial(parquet.write_table, table, compression="zstd"))


def _read_json(path: Path) -> Any:
    try:
        return read_json(path, _MOST_JSON)
    except (FileNotFoundError, UnreadableError) as error:
        raise UserError(f"{path.name} in the bundle cannot be read ({error}).") from error


def _by_run(path: Path) -> dict[str, dict[str, Any]]:
    found = _read_json(path)
    if not isinstance(found, dict) or not all(is_address(key) and isinstance(found[key], dict) for key in found):
        raise UserError(f"{path.name} in the bundle names no runs.")
    return found


def _restore_table(table: pd.DataFrame, records: dict[str, Any], target: Path, file: str) -> None:
    """Write the rows of each run as the CSV file that they were."""
    if table.empty:
        return
    try:
        columns = [name for name in table if name not in KEYS]
        table[columns[0]]
        groups = table.groupby(KEYS, observed=True, sort=False)
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(f"A table in the bundle does not say of which runs it is ({error}).") from error
    for (dataset, model, loss, repeat), rows in groups:
        address = f"{dataset}/{model}/{loss}/repeat_{repeat}"
        if address not in records:
            raise UserError(f"A table in the bundle has rows of {address}, which has no record.")
        kept = rows[columns].dropna(axis=1, how="all") if file != "test_images" else rows[columns]
        cells = [list(map(_cell, values)) for values in kept.itertuples(index=False, name=None)]
        write_text(getattr(RunFolder(target / address), file), csv_text([kept.columns, *cells]))


def _cell(value: Any) -> object:
    """A value as CSV has it; a float32 from Parquet with as many digits as it needs, none for what is missing."""
    if pd.isna(value):
        return ""
    return value if isinstance(value, str | int) else repr(value.item() if hasattr(value, "item") else value)
