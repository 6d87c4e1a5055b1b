"""Splits: who goes where, and who must stay together."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lightning_seg.data
from lightning_seg.data.dataset import LesionDataset
from lightning_seg.data.duplicates import dataset_hashes, difference_hash, joined, similar_pairs
from lightning_seg.data.groups import image_groups
from lightning_seg.data.readers.clinicdb import SEQUENCE_STARTS, ClinicDb
from lightning_seg.data.readers.isic import Isic
from lightning_seg.data.readers.kvasir import Kvasir
from lightning_seg.data.readers.wound import Wound
from lightning_seg.data.split import (
    SUBSETS,
    Fractions,
    Split,
    count_repeats,
    make_split,
    random_split,
    siblings_in_training,
    split_digest,
)
from lightning_seg.errors import UserError
from tests.data import make_layouts as layouts

PUBLISHED = Path(lightning_seg.data.__file__).parent / "published"
SHARES = Fractions(0.6, 0.2, 0.2)


class Named(LesionDataset):
    """A dataset of names alone, in given groups."""

    name = "named"

    def __init__(self, count: int, groups: list[str] | None = None, official: dict[str, list[str]] | None = None):
        self._ids = [f"{index:04d}" for index in range(count)]
        self._groups, self._official = groups, official
        self.pictures_read = 0

    def ids(self) -> list[str]:
        return self._ids

    def signature(self) -> Any:
        return len(self._ids)

    def read(self, index: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        self.pictures_read += 1
        image, mask = layouts.lesion(index // 2, size, size)  # two and two are equal
        return image, mask

    def groups(self) -> list[str] | None:
        return self._groups

    def official(self) -> dict[str, list[str]] | None:
        return self._official


def of_sizes(sizes: list[int]) -> Named:
    return Named(sum(sizes), [f"group {number}" for number, size in enumerate(sizes) for _ in range(size)])


def assert_partition(split: Split, count: int) -> None:
    assert sorted(np.concatenate(split).tolist()) == list(range(count))
    assert all(len(part) and (np.diff(part) > 0).all() and part.dtype == np.int64 for part in split)


class TestRandom:
    def test_is_the_papers(self) -> None:
        split = make_split("random", Named(1010), SHARES, 42, 3)
        expected = random_split(1010, SHARES, 42, 3)
        assert all(np.array_equal(left, right) for left, right in zip(split, expected, strict=True))
        assert [len(part) for part in split] == [606, 202, 202]

    @pytest.mark.parametrize("name", ["isic", "wound", "clinicdb", "kvasir", "breast_benign", "breast_malignant"])
    def test_published_tables_hold_what_is_drawn_today(self, name: str) -> None:
        counts = {"isic": 2750, "wound": 1010, "clinicdb": 612, "kvasir": 1000, "breast_benign": 437}
        with (PUBLISHED / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        ids = [row["id"] for row in rows]
        assert len(ids) == counts.get(name, 210) and ids == sorted(ids)
        digests = json.loads((PUBLISHED / "digests.json").read_text())[name]
        for repeat in range(5):
            split = random_split(len(ids), SHARES, 42, repeat)
            assert split_digest(ids, split) == digests[repeat]
            for subset in SUBSETS:
                assert [ids[i] for i in getattr(split, subset)] == [
                    row["id"] for row in rows if row[f"repeat_{repeat}"] == subset
                ]


class TestGrouped:
    @pytest.mark.parametrize("repeat", range(5))
    def test_no_group_is_divided_and_sizes_are_met(self, repeat: int) -> None:
        sizes = np.random.default_rng(repeat).integers(1, 25, 29).tolist()
        dataset = of_sizes(sizes)
        split = make_split("grouped", dataset, SHARES, 42, repeat)
        assert_partition(split, sum(sizes))
        groups = dataset.groups()
        assert groups is not None
        owners = [{groups[i] for i in part} for part in split]
        assert not owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2]
        wanted = [len(part) for part in random_split(sum(sizes), SHARES, 42, repeat)]
        assert [len(part) for part in split] == wanted  # 29 small groups reach any sum

    def test_sizes_are_as_near_as_the_groups_allow(self) -> None:
        split = make_split("grouped", of_sizes([7] * 10), SHARES, 42, 0)
        assert [len(part) for part in split] == [42, 14, 14]
        split = make_split("grouped", of_sizes([50, 17, 15, 18]), SHARES, 42, 0)
        assert sorted(len(part) for part in split)[:2] in ([15, 18], [17, 18])

    def test_depends_on_seed_and_repeat_alone(self) -> None:
        dataset = of_sizes([3] * 40)
        first = make_split("grouped", dataset, SHARES, 42, 0)
        assert split_digest(dataset.ids(), make_split("grouped", dataset, SHARES, 42, 0)) == split_digest(
            dataset.ids(), first
        )
        others = [make_split("grouped", dataset, SHARES, seed, repeat) for seed, repeat in ((42, 1), (43, 0))]
        assert all(split_digest(dataset.ids(), other) != split_digest(dataset.ids(), first) for other in others)

    def test_groups_too_large_to_divide(self) -> None:
        with pytest.raises(UserError, match="the groups too large"):
            make_split("grouped", of_sizes([5, 5]), SHARES, 42, 0)

    def test_near_duplicates_stay_together_and_hashes_are_kept(self, tmp_path: Path) -> None:
        dataset = Named(40)
        split = make_split("grouped", dataset, SHARES, 42, 0, cache_dir=tmp_path)
        assert all({i ^ 1 for i in part.tolist()} == set(part.tolist()) for part in split)
        again = Named(40)
        make_split("grouped", again, SHARES, 42, 1, cache_dir=tmp_path)
        assert dataset.pictures_read == 40 and again.pictures_read == 0

    def test_a_users_groups(self, tmp_path: Path) -> None:
        path = tmp_path / "groups.csv"
        dataset = of_sizes([1] * 30)
        path.write_text("id,group\n" + "".join(f"{name},{int(name) % 10}\n" for name in dataset.ids()))
        split = make_split("grouped", dataset, SHARES, 42, 0, groups=path)
        assert all(len({i % 10 for i in part.tolist()}) * 3 == len(part) for part in split)
        path.write_text("id,group\n0000,a\n")
        with pytest.raises(UserError, match="no group to 29 of 30 images"):
            make_split("grouped", dataset, SHARES, 42, 0, groups=path)
        path.write_text("image,patient\n0000,a\n")
        with pytest.raises(UserError, match="columns 'id' and 'group'"):
            make_split("grouped", dataset, SHARES, 42, 0, groups=path)
        with pytest.raises(UserError, match="cannot be read"):
            make_split("grouped", dataset, SHARES, 42, 0, groups=tmp_path / "absent.csv")

    def test_an_image_has_one_group_whatever_the_spaces(self, tmp_path: Path) -> None:
        path, dataset = tmp_path / "groups.csv", of_sizes([1] * 3)
        path.write_text("id,group\n0000 , a\n0001,a \n0001,a\n0002,b\n")
        assert image_groups(dataset, path) == ["a", "a", "b"]
        path.write_text("id,group\n0000,a\n0001,a\n0002,b\n0001,b\n")
        with pytest.raises(UserError, match="has '0001' in two groups, 'a' and 'b'"):
            image_groups(dataset, path)


class TestKfold:
    def test_every_image_is_tested_once(self) -> None:
        splits = [make_split("kfold", Named(53), SHARES, 42, repeat) for repeat in range(5)]
        for split in splits:
            assert_partition(split, 53)
            assert len(split.test) in (10, 11) and len(split.val) == 11
        assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(53))

    def test_keeps_a_users_groups_together(self, tmp_path: Path) -> None:
        path, dataset = tmp_path / "groups.csv", Named(60)
        path.write_text("id,group\n" + "".join(f"{name},{int(name) % 15}\n" for name in dataset.ids()))
        for repeat in range(5):
            split = make_split("kfold", dataset, SHARES, 42, repeat, groups=path)
            assert siblings_in_training(split, [str(i % 15) for i in range(60)]) == 0
            assert len(split.test) == 12

    def test_has_no_more_repeats_than_parts(self) -> None:
        with pytest.raises(UserError, match="5 parts, so repeat=5 does not exist; use 0 to 4"):
            make_split("kfold", Named(50), SHARES, 42, 5)


class TestOfficial:
    def test_isic_from_its_folders(self, tmp_path: Path) -> None:
        layouts.isic(tmp_path)
        dataset = Isic(tmp_path)
        split = make_split("official", dataset, SHARES, 42, 0)
        assert [dataset.ids()[i] for i in split.val] == ["ISIC_0001769", "ISIC_0015627"]
        assert [dataset.ids()[i] for i in split.test] == ["ISIC_0012086", "ISIC_0012092"]

    def test_validation_is_drawn_where_there_is_none(self, tmp_path: Path) -> None:
        layouts.wound(tmp_path)
        dataset = Wound(tmp_path)
        splits = [make_split("official", dataset, SHARES, 42, repeat) for repeat in range(8)]
        assert all([dataset.ids()[i] for i in split.test] == ["0066", "0077", "0088"] for split in splits)
        assert all([len(part) for part in split] == [4, 1, 3] for split in splits)
        assert len({split.val.item() for split in splits}) > 1

    def test_kvasir_lists_of_the_authors(self, tmp_path: Path) -> None:
        test_id, train_id, other = "cju0s690hkp960855tjuaqvv0", "cju0qkwl35piu0993l0dewei2", "cju0qoxqj9q6s0835b43399p4"
        for name in (test_id, train_id, other, "unheard-of"):
            image, mask = layouts.lesion(1, 20, 20)
            layouts.save(image, tmp_path / "images" / f"{name}.jpg")
            layouts.save(mask, tmp_path / "masks" / f"{name}.jpg")
        official = Kvasir(tmp_path).official()
        assert official == {"train": [train_id, other], "test": [test_id]}

    def test_absent_or_incomplete(self) -> None:
        with pytest.raises(UserError, match="has no official split"):
            make_split("official", Named(10), SHARES, 42, 0)
        with pytest.raises(UserError, match="only those of train"):
            make_split("official", Named(10, official={"train": ["0001"]}), SHARES, 42, 0)


class TestFile:
    def test_a_runs_own_record(self, tmp_path: Path) -> None:
        path = tmp_path / "split.json"
        path.write_text(json.dumps({"train": ["0003", "0001"], "val": ["0000"], "test": ["0002"]}))
        split = make_split(str(path), Named(4), SHARES, 42, 0)
        assert [part.tolist() for part in split] == [[1, 3], [0], [2]]

    def test_the_published_tables(self) -> None:
        with (PUBLISHED / "breast_malignant.csv").open() as file:
            ids = [row["id"] for row in csv.DictReader(file)]
        dataset = Named(210)
        dataset._ids = ids
        for repeat in range(5):
            split = make_split(str(PUBLISHED / "breast_malignant.csv"), dataset, SHARES, 0, repeat)
            expected = random_split(210, SHARES, 42, repeat)
            assert all(np.array_equal(left, right) for left, right in zip(split, expected, strict=True))

    def test_a_subset_column_and_images_left_out(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "mine.csv"
        path.write_text("id,subset\n0000,train\n0001,val\n0002,test\n")
        split = make_split(str(path), Named(5), SHARES, 42, 0)
        assert [part.tolist() for part in split] == [[0], [1], [2]]
        assert "leaves out 2 of the dataset's 5 images" in caplog.text

    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("a.json", '{"train": ["9"], "val": ["0001"], "test": ["0002"]}', "dataset 'named' lacks, such as '9'"),
            ("a.json", '{"train": ["0001"], "val": ["0001"], "test": ["0002"]}', "more than once, such as '0001'"),
            ("a.json", '{"train": ["0001"], "test": ["0002"]}', "must hold the lists"),
            ("a.json", "[", "cannot be read"),
            ("a.csv", "id,fold\n0001,1\n", "needs the columns"),
            ("a.csv", "id,subset\n0001,valid\n", "has 'valid' in the column 'subset'"),
            ("a.csv", "id,subset\n0001,train\n0002,test\n", "each needs at least one"),
        ],
    )
    def test_bad_files(self, name: str, content: str, sentence: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=sentence):
            make_split(str(tmp_path / name), Named(5), SHARES, 42, 0)

    def test_neither_strategy_nor_file(self) -> None:
        with pytest.raises(UserError, match="one of random, grouped, official, folders, kfold nor a file"):
            make_split("randm", Named(5), SHARES, 42, 0)


class TestCountRepeats:
    @pytest.mark.parametrize(
        ("strategy", "header", "expected"),
        [
            *(("random", "", None), ("official", "", None), ("kfold", "", 5)),
            *(("a.csv", "id,repeat_0,repeat_1,repeat_2", 3), ("a.csv", "id,subset", None), ("a.json", "", None)),
        ],
    )
    def test_is_how_many_can_be_split(
        self, strategy: str, header: str, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        dataset = Named(30, official={"train": [f"{i:04d}" for i in range(20)], "test": ["0020", "0021"]})
        subsets = [SUBSETS[index % 3] for index in range(30)]
        rows = zip(dataset.ids(), subsets, strict=True)
        lines = [",".join([name, *[subset] * header.count(",")]) for name, subset in rows]
        (tmp_path / "a.csv").write_text("\n".join([header, *lines]))
        few = {subset: [name] for subset, name in zip(SUBSETS, dataset.ids(), strict=False)}
        (tmp_path / "a.json").write_text(json.dumps(few))
        count = count_repeats(strategy, SHARES)
        assert count == expected
        make_split(strategy, dataset, SHARES, 42, 11 if count is None else count - 1)
        if count is not None:
            with pytest.raises(UserError):
                make_split(strategy, dataset, SHARES, 42, count)


class TestDuplicates:
    def test_sequences_of_clinicdb(self, tmp_path: Path) -> None:
        layouts.clinicdb(tmp_path)
        dataset = ClinicDb(tmp_path)
        assert dict(zip(dataset.ids(), dataset.groups() or [], strict=True)) == {
            "1": "sequence 1", "2": "sequence 1", "10": "sequence 1", "26": "sequence 2", "51": "sequence 3",
            "612": "sequence 29",
        }  # fmt: skip
        assert len(SEQUENCE_STARTS) == 29

    def test_equal_images_are_found(self, tmp_path: Path) -> None:
        layouts.wound(tmp_path)
        dataset = Wound(tmp_path)
        pairs = similar_pairs(dataset_hashes(dataset), 0)
        assert [(dataset.ids()[a], dataset.ids()[b]) for a, b in zip(*pairs[:2], strict=True)] == [("0022", "0066")]
        assert image_groups(dataset).count("0022") == 2

    def test_hash_outlives_size_compression_and_brightness(self) -> None:
        image, other = (
            Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)).resize((400, 300))
            for seed in (0, 1)
        )
        hashed = difference_hash(image)
        assert hashed.shape == (256,) and 20 < hashed.sum() < 236
        small = image.resize((200, 150)).point(lambda value: value * 0.8)
        assert (difference_hash(small) != hashed).sum() <= 20
        assert (difference_hash(other) != hashed).sum() > 60

    def test_pairs_across_blocks_and_chains(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lightning_seg.data.duplicates._BLOCK", 3)
        hashes = np.random.default_rng(0).random((10, 256)) < 0.5
        hashes[7] = hashes[1]
        hashes[7, :5] ^= True
        hashes[9] = hashes[7]
        hashes[9, 10:15] ^= True
        pairs = similar_pairs(hashes, 5)
        assert list(zip(*(part.tolist() for part in pairs), strict=True)) == [(1, 7, 5), (7, 9, 5)]
        assert joined(10, pairs).tolist() == [0, 1, 2, 3, 4, 5, 6, 1, 8, 1]

    def test_siblings_are_counted(self) -> None:
        split = Split(np.array([0, 1]), np.array([2]), np.array([3, 4, 5]))
        assert siblings_in_training(split, ["a", "b", "c", "a", "c", "b"]) == 2
