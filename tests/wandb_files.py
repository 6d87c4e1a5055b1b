"""Reads W&B's local run files back."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record


def read_records(path: Path) -> Iterator[Record]:
    """The records of W&B's local file: LevelDB's log format after a header of seven bytes."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    offset, whole, block = 7, b"", 32768
    while offset + 7 <= len(data):
        if block - offset % block < 7:  # the rest of a block is padding
            offset += block - offset % block
            continue
        length, kind = struct.unpack("<HB", data[offset + 4 : offset + 7])
        if not kind:
            break
        whole += data[offset + 7 : offset + 7 + length]
        offset += 7 + length
        if kind in (1, 4):  # the whole record, or its last part
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def read_run(path: Path) -> dict[str, Any]:
    """What W&B knows of a run."""
    known: dict[str, Any] = {"history": [], "summary": {}, "config": {}, "artifacts": []}
    for record in read_records(path):
        if record.HasField("run"):
            known["run"] = record.run
            known["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif record.HasField("history"):
            items = record.history.item
            known["history"].append({"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
        elif record.HasField("summary"):
            items = record.summary.update
            known["summary"] |= {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
        elif record.HasField("artifact"):
            known["artifacts"].append(record.artifact)
        elif record.HasField("exit"):
            known["exit_code"] = record.exit.exit_code
    return known
