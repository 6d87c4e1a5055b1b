"""What decoded datasets take, and which of them are of no use any more."""

import logging
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lightning_seg.cli.app import app
from lightning_seg.data import Folder, Synthetic
from lightning_seg.data.cache import open_cache
from lightning_seg.data.caches import kept_caches
from tests.data import make_layouts as layouts


def test_caches_of_changed_data_are_told_and_removed_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layouts.kvasir(tmp_path / "set")
    root, caches = tmp_path / "set" / "Kvasir-SEG", tmp_path / "data" / "cache"
    open_cache(Folder(root, "mine"), 16, caches)
    open_cache(Synthetic(count=2), 16, caches)
    assert [cache.outdated for cache in kept_caches(caches)] == [False, None]
    next((root / "images").iterdir()).touch()
    with caplog.at_level(logging.INFO):
        open_cache(Folder(root, "mine"), 16, caches)
    assert "1 cache of data that have changed, of" in caplog.text
    shown = CliRunner().invoke(app, ["caches", "--data-dir", str(tmp_path / "data")]).output
    assert shown.count("in use") == 1 and "of data that have changed" in shown.replace("\n", " ")
    assert len(kept_caches(caches)) == 3
    removed = CliRunner().invoke(app, ["caches", "--data-dir", str(tmp_path / "data"), "--remove"]).output
    assert "1 removed" in removed and [cache.outdated for cache in kept_caches(caches)] == [False, None]
    shutil.rmtree(root)  # an unmounted disk is no changed dataset
    assert [cache.outdated for cache in kept_caches(caches)] == [None, None]


def test_a_cache_follows_its_data_when_they_move(tmp_path: Path) -> None:
    layouts.kvasir(tmp_path / "set")
    caches = tmp_path / "cache"
    open_cache(Folder(tmp_path / "set" / "Kvasir-SEG", "mine"), 16, caches)
    (tmp_path / "set").rename(tmp_path / "moved")
    assert [cache.outdated for cache in kept_caches(caches)] == [None]
    open_cache(Folder(tmp_path / "moved" / "Kvasir-SEG", "mine"), 16, caches)
    assert [cache.outdated for cache in kept_caches(caches)] == [False]
    next(caches.glob("*/origin.json")).unlink()  # as an older version has left it
    open_cache(Folder(tmp_path / "moved" / "Kvasir-SEG", "mine"), 16, caches)
    assert [cache.outdated for cache in kept_caches(caches)] == [False]
