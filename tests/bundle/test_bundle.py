"""A bundle says what follows from its data, is the same each time, and one changed number is found and named."""

import json
import re
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from lightning_seg import literature
from lightning_seg.bundle.archive import MANIFEST, pack, unpack_bundle
from lightning_seg.bundle.compare import differences
from lightning_seg.bundle.consistency import _means_elsewhere
from lightning_seg.bundle.contents import SPLITS, Options, _without_places, split_digest, take
from lightning_seg.bundle.terms import may_be_shown
from lightning_seg.bundle.verify import verify_bundle
from lightning_seg.catalogue import NETWORKS
from lightning_seg.cli.app import app
from lightning_seg.data.prepare.sources import SOURCES
from lightning_seg.errors import UserError
from tests.docs.described import undescribed
from tests.report.make_study import make_study

ROOT = Path(__file__).parents[2]
OPTIONS = Options("demo", "", "0", "0", 100, 0.005, 0, [], False, "dice", [])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("bundle")
    shutil.copytree(ROOT / "tests/fixtures/study_0_1_0", place / "before")
    asked = ["report", "before", "--output-dir", str(place), "--bundle", "--draws", "100"]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    return place / "before/report/before.zip"


def altered(bundle: Path, place: Path, change: Callable[[Path], None]) -> Path:
    """The bundle with changed files, whose digests are right again."""
    folder = place / "altered"
    folder.mkdir()
    unpack_bundle(bundle, folder)
    change(folder)
    pack(folder, place / "altered.zip")
    return place / "altered.zip"


def test_a_bundle_is_verified_and_holds_all_that_is_cited(bundle, tmp_path):
    found = CliRunner().invoke(app, ["verify", str(bundle)])
    assert found.exit_code == 0, found.output
    assert "answer: No loss stands out" in found.output and "verified:" in found.output
    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
        everything = b"".join(map(archive.read, names))
        texts = {name: archive.read(name).decode() for name in names if name.endswith((".md", ".tex", ".bib", ".json"))}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    wanted = {"index.html", "runs.parquet", "images.parquet", SPLITS, "configurations.json", "versions.json"}
    wanted |= {"checklist.md", "methods.tex", "references.bib", "LICENCES.md", "tables/pairs.csv", "figures/pairs.svg"}
    assert not undescribed(name.split("/")[0] + "/" * ("/" in name) for name in names)
    assert wanted <= set(names) and names[1:] == sorted(names[1:])
    assert b"workstation" not in everything and str(bundle.parent).encode() not in everything
    cited = set(",".join(re.findall(r"cite\{([^}]*)\}", texts["methods.tex"])).split(","))
    assert cited and cited <= set(re.findall(r"@article\{([^,]*),", texts["references.bib"]))
    assert "3 repeats" in texts["methods.tex"] and "not known to the program" in texts["checklist.md"]
    folder = tmp_path / "again"
    folder.mkdir()
    unpack_bundle(bundle, folder)
    pack(folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_a_changed_number_in_what_follows_is_named(bundle, tmp_path):
    texts = ("tables/pairs.csv", "tables/overall.tex", "methods.tex", "figures/intervals.svg", "index.html")

    def change(folder: Path) -> None:
        for name in texts:
            text = (folder / name).read_text()
            number = re.findall(r"0\.\d{3,}", text)[-1] if name != "methods.tex" else "0.6"
            place = text.rindex(number) + min(len(number), 5) - 1
            (folder / name).write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")
        runs = pd.read_parquet(folder / "runs.parquet")
        runs.loc[0, "parameters"] += 1
        runs.to_parquet(folder / "runs.parquet")

    faults = verify_bundle(altered(bundle, tmp_path, change)).faults
    assert {fault.split(",")[0] for fault in faults} == {*texts, "runs.parquet"}
    (told,) = [fault for fault in faults if fault.startswith("runs.parquet")]
    assert re.match(r"runs\.parquet, parameters of synthetic/unet/bce/repeat_0: '30752(\.0)?' is written, '30751", told)


def test_a_changed_score_of_an_image_is_named(bundle, tmp_path):
    def change(folder: Path) -> None:
        images = pd.read_parquet(folder / "images.parquet")
        images.loc[2, "dice"] += 0.001
        images.to_parquet(folder / "images.parquet")

    faults = verify_bundle(altered(bundle, tmp_path, change)).faults
    assert any(fault.startswith("images.parquet, dice of synthetic/unet/") for fault in faults), faults
    assert any(fault.startswith("records.json, test dice of") for fault in faults)
    assert any(fault.startswith("methods.tex") for fault in faults)  # which holds the digest of all data


def test_a_changed_split_is_named(bundle, tmp_path):
    def change(folder: Path) -> None:
        splits = json.loads((folder / SPLITS).read_text())
        split = next(iter(splits["splits"].values()))
        split["train"][0], split["val"][0] = split["val"][0], split["train"][0]
        (folder / SPLITS).write_text(json.dumps(splits))

    faults = verify_bundle(altered(bundle, tmp_path, change)).faults
    assert any(fault.startswith("splits.json: the split of") for fault in faults), faults


def test_a_wrong_digest_is_named(bundle, tmp_path):
    folder = tmp_path / "altered"
    folder.mkdir()
    unpack_bundle(bundle, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / "extra.txt").write_text("")
    (folder / "README.txt").write_text("")
    with zipfile.ZipFile(tmp_path / "altered.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    assert manifest["README.txt"] != split_digest({})
    found = CliRunner().invoke(app, ["verify", str(tmp_path / "altered.zip")])
    assert found.exit_code == 1
    assert "README.txt has another SHA-256" in found.output and "extra.txt is in the bundle" in found.output


@pytest.mark.parametrize("name, mode", [("../out", 0), ("/out", 0), ("link", stat.S_IFLNK | 0o777)])
def test_nothing_leads_out_of_a_bundle(tmp_path, name, mode):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="refused"):
        verify_bundle(tmp_path / "b.zip")
    assert not (tmp_path.parent / "out").exists()


def test_what_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "b.zip").write_text("no zip")
    with pytest.raises(UserError, match="is no bundle"):
        verify_bundle(tmp_path / "b.zip")
    with pytest.raises(UserError, match="There is no bundle"):
        verify_bundle(tmp_path / "c.zip")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr(MANIFEST, "{}")
    with pytest.raises(UserError, match=r"study\.json in the bundle cannot be read"):
        verify_bundle(tmp_path / "d.zip")


@pytest.mark.parametrize(
    "dataset, images, shown", [("wound", True, False), ("mine", False, False), ("mine", True, True)]
)
def test_only_images_that_may_be_shown_go_in(tmp_path, dataset, images, shown):
    study = make_study(tmp_path / "demo", [dataset], ["unet"], ["dice", "bce"], repeats=1, images=4)
    (tmp_path / "bundle").mkdir()
    take(study, OPTIONS, tmp_path / "bundle", images=images)
    assert (tmp_path / "bundle" / "cases").is_dir() is shown


def test_terms_are_those_of_the_source_whatever_the_name():
    targets = {path.stem: OmegaConf.load(path)["_target_"] for path in (ROOT / "conf/dataset").glob("*.yaml")}
    shown = {name for name, target in targets.items() if may_be_shown(name, target, own=False)}
    assert shown == {"isic", "synthetic"}
    assert not may_be_shown("my_name", targets["wound"], own=True)
    assert may_be_shown("my_name", targets["folder"], own=True)
    assert not may_be_shown("isic", targets["folder"], own=False)


def test_recorded_paths_tell_their_last_part_alone():
    said = {"a": ["dataset.root=/home/jane/clinic/wounds", "C:\\Users\\x\\y.csv"], "b": "https://a.org/b/c", "c": "a/b"}
    kept = {"a": ["dataset.root=wounds", "y.csv"], "b": "https://a.org/b/c", "c": "a/b"}
    assert _without_places(said) == kept


def test_rounding_is_no_difference_and_the_smallest_shown_digit_is_one(tmp_path):
    one, other = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text("a,0.12345678901234\n")
    other.write_text("a,0.12345678901235\n")
    assert not list(differences("x.csv", one, other))
    other.write_text("a,0.12345679\n")
    assert list(differences("x.csv", one, other)) == [
        "x.csv, line 1: '0.12345678901234' is written, '0.12345679' follows from the data."
    ]


def test_numbers_of_publications_are_the_same_wherever_they_stand():
    for name, network in NETWORKS.items():
        assert literature.NETWORKS[name].number in network.source and literature.NETWORKS[name].year == network.year
    for source in SOURCES:
        assert literature.DATASETS[source.name].number in source.citation
    code = "".join(path.read_text() for path in (ROOT / "lightning_seg/losses").glob("*.py"))
    for name, work in literature.LOSSES.items():
        assert f"class {name}(" in code
        assert name == "FocalLoss" or not work.number or work.number.partition(":")[2] in code
    assert literature.STUDY["jang2025"].number.removeprefix("doi:") in (ROOT / "CITATION.cff").read_text()


def test_means_on_other_images_are_held_against_them():
    keys = {"dataset": "kvasir", "model": "unet", "loss": "dice", "repeat": 0}
    scores = [{**keys, "dice": dice, "iou": dice, "precision": 1.0, "recall": 1.0} for dice in (0.2, 0.4)]
    places = [{"place": "clinicdb", "kind": ""}, {"place": "", "kind": "blur"}]
    rows = pd.DataFrame([score | place for place in places for score in scores])
    means = {"dice": 0.3, "iou": 0.3, "precision": 1.0, "recall": 1.0}
    record = {"external": {"clinicdb": means}, "corruptions": {"blur": means}}
    assert list(_means_elsewhere(rows, {"kvasir/unet/dice/repeat_0": record})) == []
    record["corruptions"] = {"blur": means | {"dice": 0.31}}
    (found,) = _means_elsewhere(rows, {"kvasir/unet/dice/repeat_0": record})
    assert "dice of kvasir/unet/dice/repeat_0 on blur: 0.31 is written" in found
