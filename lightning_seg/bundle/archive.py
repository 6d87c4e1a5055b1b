"""The zip file of a bundle: written alike whenever the files are alike, read as a file from anywhere."""

import zipfile
from pathlib import Path

from lightning_seg.bundle.contents import digest
from lightning_seg.data.prepare.unpack import unpack
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.files import open_plain, read_json, write_atomic, write_json

MANIFEST = "manifest.json"
_MOST_BYTES = 4 * 2**30  # of a bundle, packed and unpacked
_MOMENT = (1980, 1, 1, 0, 0, 0)  # of every member: the first that a zip file can name


def pack(folder: Path, target: Path) -> None:
    """Write the files of a folder, and a manifest of their digests, into one zip file.

    Names are in alphabetical order, and times and permissions are always the same.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if name != MANIFEST]
    write_json(folder / MANIFEST, {name: digest(folder / name) for name in names})
    write_atomic(target, lambda temporary: _write(folder, [MANIFEST, *names], temporary))


def unpack_bundle(bundle: Path, folder: Path) -> dict[str, str]:
    """Unpack a bundle that may come from anywhere into an empty folder.

    Returns:
        the manifest: SHA-256 by name.

    Raises:
        UserError: it is no such file, too large, damaged, or holds links or paths that lead out of it.
    """
    try:
        with open_plain(bundle, _MOST_BYTES, follow=True):
            pass
    except FileNotFoundError as error:
        raise UserError(f"There is no bundle {bundle}.") from error
    except UnreadableError as error:
        raise UserError(f"{bundle} cannot be read: {error}.") from error
    if not zipfile.is_zipfile(bundle) or bundle.suffix.lower() != ".zip":
        raise UserError(f"{bundle} is no bundle: give the zip file that `lightning-seg report STUDY --bundle` wrote.")
    try:
        unpack(bundle, folder, _MOST_BYTES)
        found = read_json(folder / MANIFEST)
    except (UnreadableError, OSError) as error:
        raise UserError(f"{bundle} has no readable {MANIFEST} ({error}): it is no bundle, or it is damaged.") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise UserError(f"{bundle}: its {MANIFEST} is no list of digests.")
    return found


def _write(folder: Path, names: list[str], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, _MOMENT)
            info.external_attr = 0o644 << 16
            info.create_system = 3  # the same on Windows
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, (folder / name).read_bytes())
