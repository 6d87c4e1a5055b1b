"""``lightning-seg report --watch`` in a process of its own, with a stand-in for the building."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.report.make_study import make_study

# Says each time that it was called; the watching itself is real.
PROGRAM = """
import sys
from pathlib import Path
from lightning_seg.report import build
from lightning_seg.cli import report as command

def build_report(directory, refresh=None, **options):
    print(f"BUILT refresh={refresh}", flush=True)
    return Path(directory) / "report" / "index.html"

looks = 0
def look(seconds, sleep=command.time.sleep):
    global looks
    looks += 1
    print("LOOK", looks, flush=True)
    sleep(seconds)

build.build_report = build_report
command._REFRESH_SECONDS = 0.2
command.time.sleep = look
from lightning_seg.cli.app import app
app(["report", "demo", "--watch", "--output-dir", sys.argv[1]])
"""
PATIENCE_SECONDS = 120


@pytest.mark.slow
def test_it_builds_once_for_an_ended_run_and_on_ctrl_c_a_page_that_stays(tmp_path: Path) -> None:
    study = make_study(tmp_path / "demo", datasets=["isic"], models=["fcn"], losses=["dice", "bce"], cases=0)
    new = study / "isic" / "fcn" / "dice" / "repeat_3"
    new.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "300"},
    )
    killer = threading.Timer(PATIENCE_SECONDS, process.kill)
    killer.start()
    assert process.stdout is not None
    lines: list[str] = []

    def read_until(*starts: str) -> None:
        for start in starts:
            for line in process.stdout or ():
                lines.append(line.strip())
                if line.startswith(start):
                    break
            else:
                pytest.fail(f"it ended before {start!r}:\n" + "\n".join(lines))

    try:
        read_until("BUILT", "LOOK", "LOOK")  # nothing has ended
        (new / "error.txt.tmp").write_text("half a traceback")  # no run has ended by this
        read_until("LOOK", "LOOK")
        assert sum(line.startswith("BUILT") for line in lines) == 1
        (new / "result.json").write_text(json.dumps({"status": "finished"}))
        read_until("BUILT", "built again with 7 ended runs", "LOOK", "LOOK", "LOOK")
        process.send_signal(signal.SIGINT)
        lines += [line.strip() for line in process.stdout]
        assert process.wait() == 0
    finally:
        killer.cancel()
        process.kill()
        process.wait()
    assert [line for line in lines if line.startswith("BUILT")] == [*["BUILT refresh=0.2"] * 2, "BUILT refresh=None"]
    assert not any("Traceback" in line for line in lines)
