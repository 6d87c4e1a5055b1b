"""Files of arrays (NPZ) that may come from anywhere: sizes are known before reading, nothing is unpickled."""

import math
import zlib
from collections.abc import Collection
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from lightning_seg.errors import UnreadableError
from lightning_seg.files import open_plain

Arrays = dict[str, NDArray]


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays without objects as one compressed NPZ file."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_arrays(path: Path, names: Collection[str], most_bytes: int) -> Arrays:
    """Some arrays of an NPZ file.

    Args:
        path: of the file.
        names: of the arrays to read; others are passed over.
        most_bytes: what the file, and what all these arrays together, may take.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableError: it is no such file, lacks an array, or holds too much.
    """
    try:
        with open_plain(path, most_bytes) as file, ZipFile(file) as archive:
            arrays: Arrays = {}
            for name in names:
                arrays[name] = _read_array(archive, f"{name}.npy", most_bytes)
                most_bytes -= arrays[name].nbytes
            return arrays
    except (UnreadableError, FileNotFoundError):
        raise
    except KeyError as error:
        raise UnreadableError(str(error.args[0])) from error
    except (OSError, ValueError, BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise UnreadableError(str(error) or type(error).__name__) from error


def _read_array(archive: ZipFile, name: str, most_bytes: int) -> NDArray:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise UnreadableError(f"{name} is of version {version}")
        shape, fortran, dtype = read_header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or fortran or size > most_bytes:
            raise UnreadableError(f"{name} has {math.prod(shape):.3g} elements of {dtype}")
        content = file.read(size)
    if len(content) != size:
        raise UnreadableError(f"{name} is cut short")
    return np.frombuffer(content, dtype).reshape(shape)
