"""What is said once, in however many processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_seg import once
from lightning_seg.once import VARIABLE, is_news, shared

ASK = "import sys; from lightning_seg.once import is_news; print([is_news(word) for word in sys.argv[1:]])"


def ask(folder: str | Path, *words: str) -> str:
    environment = os.environ | {VARIABLE: str(folder)}
    return subprocess.run(
        [sys.executable, "-c", ASK, *words], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def test_processes_that_share_say_a_thing_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(once, "_told", set())
    assert is_news("here") and not is_news("here")
    with shared() as folder:
        assert ask(folder, "here", "there", "there") == "[False, True, False]"  # the first was said before
        assert ask(folder, "there") == "[False]"
    assert ask(tmp_path / "gone", "there") == "[True]"  # where nothing can be noted, better twice than never
    assert not Path(folder).exists()
