"""A folder of images and annotations from anywhere: looked at, converted, trained on; names are not obeyed."""

import json
import os
import re
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from lightning_seg.cli.convert import convert
from lightning_seg.cli.inspect import inspect
from lightning_seg.data import Synthetic
from lightning_seg.report.cases import load_cases
from lightning_seg.report.records import load_study
from lightning_seg.wording import from_cell
from tests.conftest import CONF, Train
from tests.inference.calls import invoke, read_csv

SIDE = 32
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
LABEL = "\x1b]0;owned\x07<script>alert(1)</script>[red]x[/red] ${oc.env:TOKEN} $(touch ran) =cmd()"
NAMES = (
    *("\x1b[31mred\x1b[0m", "[red]x", "[", "<img src=x onerror=alert(1)>", "=HYPERLINK(1)", "a;=cmd()", "-1+1", "@x"),
    *(
        "${oc.env:TOKEN}",
        "$(touch ran)",
        "`touch ran`",
        "; touch ran",
        "\u202egnp",
        "'\"",
        "x\ny",
        "%s%n",
        "{0}",
    ),
    *("--help", "~", "😀", "&amp;", "nul\x7f", "e\u0301", "]]>", "{{ 7*7 }}", "CON", " x "),
)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images whose names are payloads, outlined in one file of annotations whose class is another one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "a-secret")
    folder = tmp_path / "received"
    folder.mkdir()
    source = Synthetic(count=len(NAMES))
    images, annotations = [], []
    for index, name in enumerate(NAMES):
        Image.fromarray(source.read(index, SIDE)[0]).save(folder / f"{name}.png", format="PNG")
        images.append({"id": index, "file_name": f"{name}.png", "width": SIDE, "height": SIDE})
        outline = [4, 4, 20, 4, 20, 20, 4, 20]
        annotations.append({"image_id": index, "category_id": 1, "segmentation": [outline]})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": LABEL}]}
    (folder / f"{NAMES[0]}.json").write_text(json.dumps(content))
    return folder


def nothing_ran(folder: Path) -> bool:
    return not (folder.parent / "ran").exists() and not (folder / "ran").exists()


def test_a_hostile_folder_is_looked_at(hostile: Path, tmp_path: Path) -> None:
    code, output = invoke(inspect, hostile, f"data_dir={tmp_path / 'data'}")
    assert code == 0
    assert not OBEYED.search(output)
    page = (tmp_path / "inspect" / "received.html").read_text()
    assert not OBEYED.search(page)
    assert "[red]x[/red]" in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "a-secret" not in page + output
    assert "49" not in re.findall(r"<figcaption>([^<]*)", page)
    assert nothing_ran(hostile)


def test_bad_files_of_hostile_names_are_listed(hostile: Path, tmp_path: Path) -> None:
    for name in NAMES[:5]:
        (hostile / f"{name}.png").write_bytes(b"\x89PNG" + name.encode())
    code, output = invoke(inspect, hostile, f"data_dir={tmp_path / 'data'}")
    assert code == 1
    page = (tmp_path / "inspect" / "received.html").read_text()
    assert not OBEYED.search(output + page)
    assert "\\x1b[31mred" in page
    assert "<img src=x" not in page


def test_a_hostile_folder_is_converted(hostile: Path, tmp_path: Path) -> None:
    code, output = invoke(convert, hostile, tmp_path / "plain")
    assert code == 0
    assert not OBEYED.search(output)
    masks = sorted(path.name for path in (tmp_path / "plain" / "masks").iterdir())
    assert len(masks) == len(NAMES)
    assert not any(set(name) & set('/\\:*?"<>|\n\x1b') for name in masks)
    assert nothing_ran(hostile)


def small(train: Train, *arguments: str) -> tuple[int, str, str]:
    options = (f"--config-dir={CONF}", "trainer=cpu", "data.image_size=32", "model=tiny", "logger=csv")
    return train.here(*options, "loss=bce", "trainer.max_epochs=1", "dataset=folder", *arguments, small=False)


def test_a_hostile_folder_is_trained_on(hostile: Path, train: Train) -> None:
    """End to end: the run, its tables, the study's status and the data of its report."""
    code, out, err = small(train, f"dataset.root={hostile}", "cases=2")
    assert code == 0, err
    [run] = (train.directory / "multirun/default").glob("*/tiny/bce/repeat_0")
    told = (run / "train.log").read_text()
    assert not OBEYED.search(out + err + told)
    rows = read_csv(run / "test_images.csv")
    assert {from_cell(row["id"]) for row in rows} < {unicodedata.normalize("NFC", name) for name in NAMES}
    assert not any(row["id"].startswith(("=", "@")) or ";=" in row["id"] for row in rows)
    assert "a-secret" not in told + (run / "result.json").read_text()
    found = load_study(train.directory / "multirun/default")
    assert found.runs["status"].tolist() == ["finished"]
    assert not found.problems
    assert len(found.images) == len(rows)
    cases, problems = load_cases(found, ["bce"])
    assert len(cases) == 2
    assert not problems
    assert nothing_ran(hostile)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"images": [{"id": 1, "file_name": "../../etc/passwd"}]}', b"\x1b[31m"],
)
def test_annotations_that_are_none_end_a_training_in_a_sentence(content: bytes, hostile: Path, train: Train) -> None:
    [notes] = hostile.glob("*.json")
    notes.write_bytes(content)
    code, out, err = small(train, f"dataset.root={hostile}")
    assert code == 2
    assert err.startswith("error: ")  # before it is said where results go
    assert not OBEYED.search(out + err)


def test_images_that_are_no_files_end_a_training_in_a_sentence(hostile: Path, train: Train) -> None:
    os.mkfifo(hostile / "pipe.png")
    (hostile / "device.png").symlink_to("/dev/zero")
    code, _, err = small(train, f"dataset.root={hostile}")
    assert code in (0, 2)
    assert "Traceback" not in err
