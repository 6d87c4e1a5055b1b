"""Where studies lie."""

from pathlib import Path

from lightning_seg.errors import UserError


def find_study(output_dir: Path, name: str) -> Path:
    """The folder of a study, ``<output_dir>/<name>``; a folder whose name starts with a point is none.

    Raises:
        UserError: there is no such study; the message names those that there are.
    """
    output_dir = output_dir.expanduser()
    directory = output_dir / name
    if name.startswith(".") or not directory.is_dir():
        known = sorted(path.name for path in output_dir.glob("[!.]*") if path.is_dir())
        choices = f"studies there are {', '.join(known)}" if known else "train a run first"
        raise UserError(f"There is no study {name!r} in {output_dir}; {choices}.")
    return directory
