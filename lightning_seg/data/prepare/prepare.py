"""Getting one published archive into its folder, whole or not at all."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from lightning_seg.data.dataset import FileDataset
from lightning_seg.data.prepare.download import download
from lightning_seg.data.prepare.sources import Source
from lightning_seg.data.prepare.unpack import is_archive, unpack
from lightning_seg.data.prepare.verify import verify
from lightning_seg.data.readers.layout import image_files
from lightning_seg.errors import UserError
from lightning_seg.terminal import errors, tracked
from lightning_seg.wording import filled, printable

Check = Callable[[FileDataset], object] | None

_BOUND = 4  # archives may unpack to so many times the published size: copies hold PNG and TIF, or superpixels


def prepare(
    source: Source,
    data_dir: Path,
    given: Path | None = None,
    console: Console | None = None,
    check: Callable[[FileDataset], object] | None = None,
    wanted: Sequence[str] = (),
) -> Path:
    """Put a published dataset into ``data_dir/<name>``, verified.

    Args:
        source: what to prepare.
        data_dir: the folder of all datasets.
        given: an archive or a folder of the dataset, or a folder of its archives; by default it is downloaded.
        console: where terms, progress and findings are shown.
        wanted: of an archive with several datasets, those that are asked for: where they are there, ``given`` is not
            needed.
        check: called with each dataset before it is put in place, to refuse it by an error or to cache it (a cache
            does not depend on where the folder lies), and once more when it is there.

    Returns:
        The folder.

    Raises:
        UserError: something is wrong with the download, the archive, the files or the disk. Nothing half-made is left
            but a partial download, which the next call continues. What a killed call leaves, the next one removes.
    """
    console = console or errors()
    target = data_dir / source.name
    about = f"  {source.page}\n  Terms: {source.terms}\n  Please cite: {source.citation}"
    console.print(
        f"[bold]{escape(source.title)}[/]\n{escape(filled(about, console.width))}", highlight=False, soft_wrap=True
    )
    if not _is_filled(target):
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            with _alone(target, console):
                if not _is_filled(target):
                    shutil.rmtree(_partial(target), ignore_errors=True)  # of a call that was killed
                    if given is None:
                        _download(source, data_dir, target, console, check)
                    else:
                        _take(source, given.expanduser(), data_dir, target, console, check)
                    if check is not None:  # again, so that a cache knows where its files lie for good
                        for dataset in _read(source, target).values():
                            check(dataset)
                    console.print(f"[green]Ready:[/] {_shown(target)}")
                    return target
        except OSError as error:
            raise UserError(f"{target} cannot be prepared ({error}); nothing was left there.") from error
    if given is not None and not (wanted and set(wanted) <= _there(source, target) and len(source.readers) > 1):
        raise UserError(f"{target} exists already; remove it first to prepare it from {given}.")
    console.print(f"Already there: {_shown(target)}")
    _inspect(source, target, console, check)
    return target


def _shown(text: object) -> str:
    """A text from anywhere, for the console."""
    return escape(printable(text))


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _partial(target: Path) -> Path:
    """The folder that becomes ``target``; its name is fixed, so that what a killed call leaves is found."""
    return target.with_name(f".{target.name}.partial")


@contextmanager
def _alone(target: Path, console: Console) -> Iterator[None]:
    """One process at a time prepares ``target``, others wait."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"Another command is preparing {_shown(target)}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(source: Source, data_dir: Path, target: Path, console: Console, check: Check) -> None:
    if not source.remotes:
        raise UserError(
            f"{source.title} has to be fetched by hand: on {source.page}, {source.by_hand}, and run "
            f"'lightning-seg prepare {next(iter(source.readers))} --from FILE', or unpack it to {target}."
        )
    downloads = data_dir / "downloads" / source.name
    there = sum(path.stat().st_size for path in downloads.glob("*")) if downloads.is_dir() else 0
    _check_disk(data_dir, max(0, sum(remote.bytes for remote in source.remotes) - there) + source.unpacked_bytes)
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        archives = [download(remote, downloads, source.page, console) for remote in source.remotes]
        with _put_in_place(target, str(downloads)) as partial:
            for archive, remote in zip(archives, source.remotes, strict=True):
                console.print(f"Unpacking {_shown(archive.name)}")
                unpack(archive, partial, _BOUND * source.unpacked_bytes, remote.only)
            if not all(_inspect(source, partial, console, check)):
                raise UserError(
                    f"{source.title}: what was downloaded is not the published dataset, as told above; its archives "
                    f"are kept in {downloads}."
                )
        for archive in archives:
            archive.unlink()
    finally:
        for folder in (downloads, downloads.parent):
            if not any(folder.iterdir()):
                folder.rmdir()


def _take(source: Source, given: Path, data_dir: Path, target: Path, console: Console, check: Check) -> None:
    if not given.exists():
        raise UserError(f"--from {given}: there is no such file or folder.")
    archives = [given] if given.is_file() else [path for path in sorted(given.iterdir()) if is_archive(path)]
    if given.is_dir() and (image_files(given) or not archives):
        files = _files_of(source, given)
        if odd := [path for path in files if not path.is_file()]:
            raise UserError(f"{odd[0]} is no file, nor a link to one, and is not copied.")
        _check_disk(data_dir, sum(path.stat().st_size for path in files))
        with _put_in_place(target, str(given)) as partial:
            for path in tracked(files, "Copying", len(files), console):
                copy = partial / path.relative_to(given)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
            _inspect(source, partial, console, check)
        return
    _check_disk(data_dir, source.unpacked_bytes)
    with _put_in_place(target, str(given)) as partial:
        for archive in archives:
            console.print(f"Unpacking {_shown(archive)}")
            unpack(archive, partial, _BOUND * source.unpacked_bytes)
        _inspect(source, partial, console, check)


def _read(source: Source, root: Path) -> dict[str, FileDataset]:
    """The datasets that lie in ``root``: all of the source's, or those of which there are any images.

    Raises:
        UserError: there is none, or one has bad files.
    """
    found: dict[str, FileDataset] = {}
    failures = []
    for name, reader in source.readers.items():
        try:
            found[name] = reader(root)
        except UserError as error:
            if "there are no images" not in str(error):
                raise
            failures.append(error)
    if not found:
        raise failures[0]
    return found


def _there(source: Source, root: Path) -> set[str]:
    """The datasets that lie in ``root``."""
    try:
        return set(_read(source, root))
    except UserError:
        return set()


def _files_of(source: Source, root: Path) -> list[Path]:
    samples = [sample for dataset in _read(source, root).values() for sample in dataset.samples]
    return [path for sample in samples for path in (sample.image, *sample.masks)]


def _inspect(source: Source, root: Path, console: Console, check: Check) -> list[bool]:
    """Say what was found in ``root`` and have it checked; for each dataset, whether it is the published one.

    A part of a dataset or a re-encoded copy is told, but accepted.

    Raises:
        UserError: it is another dataset.
    """
    genuine = []
    for name, dataset in _read(source, root).items():
        found = verify(dataset, source.name)
        if len(found.strange) == found.images:
            raise UserError(
                f"{root} does not hold {source.title}: none of its {found.images:,} images is of that dataset, such as "
                f"{found.strange[0]}; train on it with dataset=folder dataset.root=... ."
            )
        genuine.append(found.genuine)
        console.print(f"[{'green' if found.genuine else 'yellow'}]{name}[/]: {_shown(found)}", highlight=False)
        if check is not None:
            check(dataset)
    return genuine


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} has {free / 10**9:.1f} GB free, but {needed / 10**9:.1f} GB are needed; free some space or "
            "choose another disk with --data-dir."
        )


@contextmanager
def _put_in_place(target: Path, origin: str) -> Iterator[Path]:
    """A temporary folder beside ``target`` that becomes it if all goes well, and vanishes if not.

    Errors then speak of ``origin``, where the files came from, not of the vanished folder.
    """
    partial = _partial(target)
    try:
        partial.mkdir()
        yield partial
        if target.is_dir():
            target.rmdir()  # it is empty: checked before
        partial.rename(target)
    except UserError as error:
        raise UserError(str(error).replace(str(partial), origin)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
