"""What a new user types, and what is said."""

import json
import logging
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from lightning_seg import once
from lightning_seg.cli.app import app
from lightning_seg.config.compose import compose_config
from lightning_seg.config.overrides import line_to_type, readable
from lightning_seg.config.rules import check, check_training
from lightning_seg.data import Folder
from lightning_seg.data.cache import Cache
from lightning_seg.data.datamodule import LesionDataModule
from lightning_seg.data.duplicates import dataset_hashes
from lightning_seg.data.groups import image_groups
from lightning_seg.data.readers.clinicdb import ClinicDb
from lightning_seg.data.remarks import data_remarks, siblings_remark
from lightning_seg.data.split import Fractions, Split, make_split
from lightning_seg.errors import UserError
from lightning_seg.losses import WeightedSum
from lightning_seg.runs.folder import RunFolder
from lightning_seg.runs.unfinished import refuse_half_done
from lightning_seg.studies.folder import find_study
from tests.data import make_layouts as layouts
from tests.data.test_folder import picture

SHARES = Fractions(0.6, 0.2, 0.2)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


class TestHome:
    def test_arguments_with_a_tilde(self, home: Path) -> None:
        assert readable(["dataset.root=~/x", "a=~/b,~/c", "--output=~/y", "study=a~b", "~model.width", "x=~y"]) == [
            f"dataset.root={home}/x", f"a={home}/b,{home}/c", f"--output={home}/y", "study=a~b", "~model.width", "x=~y",
        ]  # fmt: skip
        assert readable(["dataset.root=~/my (data)"]) == [f"dataset.root='{home}/my (data)'"]

    def test_no_folder_called_tilde_is_ever_made(self, home: Path) -> None:
        layouts.kvasir(home / "set")
        (home / "groups.csv").write_text("id,group\n")
        cfg = compose_config(["dataset=folder", "dataset.root=~/set", "data.groups=~/groups.csv", "data_dir=~/all"])
        assert cfg.dataset.root == f"{home}/set" and cfg.data.groups == f"{home}/groups.csv"
        assert cfg.data.cache_dir == f"{home}/all/cache"
        flat = {
            "output_dir": "~/out", "study": "s", "dataset.name": "d", "model.name": "m", "loss.name": "l", "repeat": 0,
        }  # fmt: skip
        assert RunFolder.of(flat).path == home / "out/s/d/m/l/repeat_0"
        (home / "out/s").mkdir(parents=True)
        for place in ("s", "~/out/s", "../home/out/s/", f"{home}/out/s"):
            assert find_study(Path("~/out"), place).name == "s"
            assert find_study(Path("~/out"), place).path.resolve() == home / "out/s"
        dataset_hashes(Folder(home / "set/Kvasir-SEG", "mine"), "~/cache")
        assert (home / "cache").is_dir() and not list(Path.cwd().iterdir())
        cfg = compose_config(["output_dir='~/x'"])
        assert cfg.output_dir == "~/x"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("dataset.root=/x/my data (1)", "\"dataset.root='/x/my data (1)'\""),
        ("dataset.root=/x/a=b", "\"dataset.root='/x/a=b'\""),
        ("dataset.root=/x/läsion", "\"dataset.root='/x/läsion'\""),
    ],
)
def test_an_unreadable_override_shows_the_line_to_type(override: str, line: str) -> None:
    assert line_to_type(override) == line
    with pytest.raises(UserError) as error:
        compose_config([override])
    assert f"type it as {line} ." in str(error.value)
    cfg = compose_config(["dataset=folder", line.strip('"')])
    assert cfg.dataset.root == override.removeprefix("dataset.root=")


@pytest.mark.parametrize("choice", ["dataset.lesion=#ff0000", "dataset.lesion=>=128", "dataset.lesion=<128"])
def test_colours_and_bounds_need_no_quotes(choice: str, home: Path) -> None:
    cfg = compose_config(["dataset=folder", "dataset.root=/x", choice])
    assert cfg.dataset.lesion == choice.removeprefix("dataset.lesion=")


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["logger=null"], ["logger=null names no choice of logger; choose one of csv, default, none, wandb"]),
        (["logger=false"], ["choose one of csv, default, none, wandb"]),
        (
            ["experiment=null"],
            ["experiment=null names no choice", "paper, smoke", "leave experiment out"],
        ),
        (["data.fractions=[.8,.1,.1]"], ["data.fractions is no single value", "data.fractions.train=..."]),
        (["model=unet,fcn", "model.width=4"], []),
    ],
)
def test_values_for_groups(arguments: list[str], sentences: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(UserError) as error:
        compose_config(arguments if sentences else ["model=fcn", "model.width=4"])
    expected = sentences or ["There is no configuration key 'model.width' with model=fcn"]
    assert all(sentence in str(error.value) for sentence in expected)


def test_a_loss_without_weights() -> None:
    with pytest.raises(UserError, match=r"give each of its terms .* a number"):
        WeightedSum({}, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ("photos", 'photos is a folder; type dataset=folder "dataset.root=photos"'),
        ("phots", "There is no dataset 'phots', nor a folder of that name here; choose one of breast_benign, "),
        ("lay/x", "There is no folder lay/x: {} has no 'lay'"),
        ("photos/x/y", "There is no folder photos/x/y: {}/photos has no 'x'"),
    ],
)
def test_a_folder_that_is_missing_is_said_to_be(
    choice: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(sentence.format(tmp_path))):
        compose_config([f"dataset={choice}"])


class TestGroups:
    def test_groups_that_training_would_not_heed_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "groups.csv").write_text("id,group\n")
        cfg = compose_config([f"data.groups={tmp_path}/groups.csv"])
        check(cfg)  # inspect counts with them
        with pytest.raises(UserError, match=r"has no effect with data\.split=random.*add data\.split=grouped"):
            check_training(cfg)
        for split in ("grouped", "kfold"):
            check_training(compose_config([f"data.groups={tmp_path}/groups.csv", f"data.split={split}"]))
        check_training(compose_config(["data.groups=folders", "data.split=grouped"]))

    def test_semicolons_are_named(self, tmp_path: Path) -> None:
        layouts.kvasir(tmp_path)
        (tmp_path / "groups.csv").write_text("id;group\na;1\n")
        with pytest.raises(UserError, match="separated by semicolons; save it with commas"):
            image_groups(Folder(tmp_path / "Kvasir-SEG", "mine"), tmp_path / "groups.csv")

    def test_a_split_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        for stem in "abc":
            picture(tmp_path / f"{stem}.png")
            picture(tmp_path / f"{stem}_mask.png", slice(0, 3))
        lists = json.dumps({"train": ["a"], "val": ["b"], "test": ["c"]})
        (tmp_path / "split.json").write_text(lists, encoding="utf-8-sig")
        split = make_split(str(tmp_path / "split.json"), Folder(tmp_path, "mine"), SHARES, 42, 0)
        assert [part.tolist() for part in split] == [[0], [1], [2]]


class TestRemarks:
    def cache(self, masks: np.ndarray) -> Cache:
        contrasts = np.where(masks.any(axis=(1, 2, 3)), 0.1, np.nan).astype(np.float32)
        return Cache([], np.zeros((len(masks), 3, 8, 8), np.uint8), masks, contrasts)

    def test_a_subset_without_any_lesion(self) -> None:
        masks = np.zeros((6, 1, 8, 8), dtype=bool)
        masks[:3, 0, 4, 4] = True
        split = Split(np.array([0, 1]), np.array([2]), np.array([3, 4, 5]))
        assert data_remarks(self.cache(masks), split) == [
            "the test set has no lesion at all, so that scores there say nothing; check the masks, or the split"
        ]
        (remark,) = data_remarks(self.cache(np.zeros_like(masks)), split)
        assert remark.startswith("the training, validation and test sets have no lesion at all")
        masks[3, 0, 4, 4] = True
        assert data_remarks(self.cache(masks), split) == []

    def test_lesions_that_seem_to_be_the_background(self) -> None:
        masks = np.ones((3, 1, 8, 8), dtype=bool)
        masks[:, :, 3:5, 3:5] = False
        (remark,) = data_remarks(self.cache(masks), Split(*(np.array([index]) for index in range(3))))
        assert "3 of 3 images" in remark and "dataset.lesion=0" in remark

    def test_siblings_are_told_once_with_the_key_that_mends_it(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        once._told.clear()
        for number in range(10):
            image, mask = layouts.lesion(number // 5, 64, 64)
            layouts.save(image[:, :: (-1) ** number], tmp_path / f"images/{number}.png")
            layouts.save(mask, tmp_path / f"masks/{number}.png")
        with caplog.at_level(logging.INFO):
            for _ in range(2):
                data = LesionDataModule(
                    Folder(tmp_path, "twins"), image_size=16, batch_size=4, eval_batch_size=4, fractions=SHARES,
                    seed=42, repeat=0, cache_dir=tmp_path / "cache", mean=(0, 0, 0), std=(1, 1, 1),
                )  # fmt: skip
                data.setup()
                assert data.siblings_in_training() == 2
        said = [record.message for record in caplog.records if "Dataset twins" in record.message]
        assert len(said) == 2 and "Lesion is where a mask is 255" in said[0]
        assert "2 of 2 test images have a sibling" in said[1] and "data.split=grouped" in said[1]
        assert siblings_remark(0, 2, "random") is None

    def test_a_video_divided_at_random_is_told_of_a_published_dataset_too(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        once._told.clear()
        layouts.clinicdb(tmp_path, tuple(range(2, 22)))  # of one sequence
        with caplog.at_level(logging.WARNING):
            for repeat in range(2):
                data = LesionDataModule(
                    ClinicDb(tmp_path), image_size=16, batch_size=4, eval_batch_size=4, fractions=SHARES,
                    seed=42, repeat=repeat, cache_dir=tmp_path / "cache", mean=(0, 0, 0), std=(1, 1, 1),
                )  # fmt: skip
                data.setup()
                assert data.siblings_in_training() == len(data.split.test) == 4
        (said,) = [record.message for record in caplog.records if "sibling" in record.message]
        assert said.startswith("Dataset clinicdb: 4 of 4 test images have a sibling")
        assert "too good, as in the published study; data.split=grouped keeps" in said

    @pytest.mark.parametrize(
        ("split", "remedy"),
        [
            ("kfold", "data.groups=siblings beside data.split=kfold keeps"),
            ("folders", "; data.split=grouped keeps"),
            ("own.json", "put them into one subset of the file, or take data.split=grouped"),
        ],
    )
    def test_siblings_across_any_split_are_told_once_a_study(
        self, split: str, remedy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        once._told.clear()
        subsets = {name: [f"{number}{name}" for number in range(3)] for name in ("train", "val", "test")}
        for name, ids in subsets.items():
            for number, stem in enumerate(ids):  # the same three images in each subset
                image, mask = layouts.lesion(number, 64, 64)
                layouts.save(image, tmp_path / f"set/{name}/{stem}.png")
                layouts.save(mask, tmp_path / f"set/{name}/{stem}_mask.png")
        dataset = Folder(tmp_path / "set", "mine")
        assert dataset.ids() == sorted(stem for ids in subsets.values() for stem in ids)
        (tmp_path / "own.json").write_text(json.dumps(subsets))
        path = str(tmp_path / split) if split.endswith("json") else split

        def told(groups: str | None, repeat: int) -> int:
            data = LesionDataModule(
                dataset, image_size=16, batch_size=4, eval_batch_size=4, fractions=SHARES, split=path, groups=groups,
                seed=42, repeat=repeat, cache_dir=tmp_path / "cache", mean=(0, 0, 0), std=(1, 1, 1),
            )  # fmt: skip
            data.setup()
            return data.siblings_in_training()

        with caplog.at_level(logging.WARNING):
            assert sum(told(None, repeat) for repeat in range(3)) > 2
        (said,) = [record.message for record in caplog.records if "sibling" in record.message]
        assert remedy in said
        if split == "kfold":  # what was told to do
            assert not any(told("siblings", repeat) for repeat in range(3))


class TestHalfDone:
    @pytest.mark.parametrize("saved", [True, False])
    def test_a_half_done_run_of_another_configuration_is_not_replaced(self, saved: bool, tmp_path: Path) -> None:
        folder = RunFolder(tmp_path / "s/d/m/l/repeat_0")
        folder.configuration.parent.mkdir(parents=True)
        folder.configuration.write_text(OmegaConf.to_yaml({"optimizer": {"lr": 0.001}, "threads": 2, "rerun": False}))
        flat = {"optimizer.lr": 0.01, "threads": 1, "rerun": False}
        if saved:
            (folder.path / "resume-0123.ckpt").write_bytes(b"")
        with pytest.raises(UserError, match=r"half-done run of another configuration \(optimizer\.lr was 0\.001"):
            refuse_half_done(folder, flat)
        refuse_half_done(folder, flat | {"optimizer.lr": 0.001})
        refuse_half_done(folder, flat | {"rerun": True})
        folder.configuration.write_text("{")
        refuse_half_done(folder, flat)

    def test_a_failed_run_may_be_mended_by_another_configuration(self, tmp_path: Path) -> None:
        folder = RunFolder(tmp_path / "s/d/m/l/repeat_0")
        folder.configuration.parent.mkdir(parents=True)
        folder.configuration.write_text(OmegaConf.to_yaml({"optimizer": {"lr": 0.001}, "rerun": False}))
        folder.write_failure(ValueError("too much memory"))
        refuse_half_done(folder, {"optimizer.lr": 0.01, "rerun": False})
        (folder.path / "resume-0123.ckpt").write_bytes(b"")  # its epochs could go on
        with pytest.raises(UserError, match="half-done run of another configuration"):
            refuse_half_done(folder, {"optimizer.lr": 0.01, "rerun": False})


def test_the_second_breast_set_is_ready_when_the_first_was_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.busi(tmp_path / "busi")
    with zipfile.ZipFile(tmp_path / "busi.zip", "w") as archive:
        for path in sorted((tmp_path / "busi").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path / "busi"))
    monkeypatch.chdir(tmp_path)
    for name in ("breast_benign", "breast_malignant"):
        result = CliRunner().invoke(app, ["prepare", name, "--from", "busi.zip", "--no-cache"])
        assert result.exception is None, result.exception
    assert "Already there" in result.output
