"""What W&B's file of an offline run would have ``wandb sync`` read and send."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_seg.errors import UnreadableError
from lightning_seg.files import open_plain

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined] # made when it is imported

_MOST_BYTES = 2**30
_BLOCK = 32768  # bytes; LevelDB's log format, after W&B's seven
_MAGIC = b":W&B"
_WHOLE, _FIRST, _MIDDLE, _LAST = range(1, 5)
# Of what this program never logs: W&B would read folders of events, or take part in others' artifacts.
_FOREIGN = ("tbrecord", "request", "use_artifact", "noop_link_artifact")


def read_records(path: Path) -> Iterator["Record"]:
    """The records of W&B's file of a run, up to where it was cut off.

    Raises:
        UnreadableError: it is no such file. Nothing is passed over, since W&B's own reader might take it up again.
    """
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined] # made when it is imported

    with open_plain(path, _MOST_BYTES) as file:
        data = file.read(_MOST_BYTES)
    if data and data[:4] != _MAGIC:
        raise UnreadableError("it is no file of W&B's")
    offset, begun = 7, b""
    while offset + 7 <= len(data):
        left = _BLOCK - offset % _BLOCK
        if left < 7:  # padding
            offset += left
            continue
        length, kind = struct.unpack("<HB", data[offset + 4 : offset + 7])
        if not kind and not any(data[offset:]):  # room that was kept and not used
            return
        follows = kind in (_MIDDLE, _LAST)
        if 7 + length > left or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST) or follows != bool(begun):
            raise UnreadableError("its records are damaged")
        begun += data[offset + 7 : offset + 7 + length]
        offset += 7 + length
        if offset > len(data):  # the run was killed while it wrote
            return
        if kind in (_WHOLE, _LAST):
            record = Record()
            try:
                record.ParseFromString(begun)
            except DecodeError as error:
                raise UnreadableError("its records are damaged") from error
            begun = b""
            yield record


def foreign_file(run: Path) -> str | None:
    """Why a run that was logged offline would have files read that are not its own; ``None`` if it would not.

    Args:
        run: W&B's folder of the run.
    """
    from wandb.sdk.artifacts.staging import get_staging_dir

    own = [run.parent.resolve(), Path(get_staging_dir()).resolve()]  # where W&B keeps what it is to upload
    try:
        for path in run.glob("*.wandb"):
            for record in read_records(path):
                kind = record.WhichOneof("record_type")
                if kind in _FOREIGN:
                    return f"{path.name} holds a {kind}, which no run of this program does"
                named = [Path(item.path) for item in record.files.files]
                if odd := next((each for each in named if each.is_absolute() or ".." in each.parts), None):
                    return f"{path.name} names the file {odd}, which is not the run's"
                manifest = record.artifact.manifest
                local = [manifest.manifest_file_path, *(entry.local_path for entry in manifest.contents)]
                for each in filter(None, local):
                    if not any(Path(each).resolve().is_relative_to(place) for place in own):
                        return f"{path.name} names the file {each}, which is not the run's"
    except (OSError, ValueError) as error:
        return f"{path.name} cannot be read ({error})"
    return None
