"""What fits into the time: pure choices, with made-up times in place of measured ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lightning_seg.advise.proposal import EFFORTS, PAPER, Effort, Proposal, candidates, propose, sweep_values
from lightning_seg.catalogue import LOSSES
from lightning_seg.config.compose import compose_config
from lightning_seg.errors import UserError

HOUR = 3600.0


def make(hours: float, *given: str, paper_run: float = HOUR / 10, halving: bool = False, slow: str = "") -> Proposal:
    """A proposal on a device on which a run at the paper's effort takes ``paper_run`` seconds."""
    single = [argument for argument in given if not argument.startswith(("model=", "loss=", "repeat="))]
    cfg = compose_config(["dataset=synthetic", *single])

    def timer(models: Sequence[str], effort: Effort) -> Mapping[str, float]:
        seconds = paper_run * effort.cost / PAPER.cost
        return {name: seconds * (100 if name == slow else 1) for name in models}

    return propose(cfg, ["dataset=synthetic", *given], hours, list(reversed(LOSSES)), halving, timer=timer)


def models_of(proposal: Proposal) -> list[str]:
    return next(value for value in proposal.overrides if value.startswith("model="))[6:].split(",")


def test_candidates_are_the_best_published_ones_and_the_baseline():
    assert candidates() == ["fcbformer", "emcadnet", "esfpnet", "unet"]


def test_only_what_is_cut_is_said_to_be():
    small = make(1000.0, "data.image_size=32")
    assert any("The paper's 224 pixels are cut to 32: the answer holds for this setting." in r for r in small.reasons)
    short = make(1000.0, "data.image_size=32", "trainer.max_epochs=9", "early_stopping.patience=3")
    [said] = [reason for reason in short.reasons if reason.startswith("The paper's")]
    assert "224 pixels are cut to 32 and 200 epochs are cut to 9" in said and "long training" in said
    assert not [reason for reason in make(1000.0).reasons if reason.startswith("The paper's")]


def test_who_has_chosen_a_network_is_not_told_of_it_again():
    with pytest.raises(UserError, match=r"or a smaller network such as model=unet model.width=16\.$"):
        make(0.001)
    with pytest.raises(UserError, match=r"or a smaller network\.$"):
        make(0.001, "model=unet", "model.width=16")


def test_paper_effort_is_kept_where_the_least_study_fits():
    least = make(3.0)
    assert (models_of(least), least.losses, least.repeats) == (["fcbformer"], list(LOSSES), ["0", "1", "2"])
    assert not [value for value in least.overrides if "image_size" in value or "max_epochs" in value]
    assert least.seconds == pytest.approx(3.0 * HOUR)


def test_time_goes_to_repeats_then_models_then_more_repeats():
    assert (len(make(5.0).repeats), models_of(make(5.0))) == (5, ["fcbformer"])
    assert (len(make(10.0).repeats), len(models_of(make(10.0)))) == (5, 2)
    assert (len(make(28.0).repeats), len(models_of(make(28.0)))) == (7, 4)
    assert len(make(1000.0).repeats) == 10
    assert len(make(1000.0, halving=True).repeats) == 5


def test_a_model_that_is_too_slow_is_passed_over():
    assert models_of(make(3.0, slow="fcbformer")) == ["emcadnet"]


def test_less_time_makes_the_runs_smaller_before_losses_go():
    small = make(1.0)
    assert small.losses == list(LOSSES) and "data.image_size=160" in small.overrides
    assert any("cut to 160" in reason for reason in small.reasons)
    smallest = EFFORTS[-1].cost / PAPER.cost * 0.1 * 3  # hours of one loss
    few = make(4.5 * smallest)
    assert few.losses == list(LOSSES[-4:]) and len(few.repeats) == 3
    assert any("only 4 of the ten fit" in reason for reason in few.reasons)


def test_nothing_fits_is_one_sentence_that_tells_what_would():
    with pytest.raises(UserError, match=r"^0\.001 h .* even for two losses with 3 repeats at 64 pixels, about \d"):
        make(0.001)


def test_a_single_loss_that_does_not_fit_is_told():
    with pytest.raises(UserError, match="even for one loss with 3 repeats"):
        make(0.001, "loss=dice")


def test_no_more_repeats_than_the_split_has(tmp_path: Path):
    folds = make(1000.0, "data.split=kfold")
    assert folds.repeats == list("01234")
    assert any("all that data.split=kfold has" in reason for reason in folds.reasons)
    halves = [f"data.fractions.{subset}={share}" for subset, share in (("train", 0.3), ("val", 0.2), ("test", 0.5))]
    for halving in (False, True):
        assert make(1000.0, "data.split=kfold", *halves, halving=halving).repeats == ["0", "1"]
    table = tmp_path / "split.csv"
    table.write_text("id,repeat_0,repeat_1,repeat_2,repeat_3\na,train,val,test,test\n")
    assert make(1000.0, f"data.split={table}").repeats == list("0123")


def test_one_epoch_is_singular():
    short = make(8.0, "trainer.max_epochs=1", "early_stopping.patience=1", "data.image_size=64")
    assert "up to 1 epoch)" in short.reasons[0]


def test_what_is_given_stays():
    proposal = make(100.0, "model=unet,fcn", "loss=dice,bce", "repeat=0,1,2,3", "data.image_size=96", "seed=7")
    assert proposal.line() == [
        "-m",
        "dataset=synthetic",
        "data.image_size=96",
        "seed=7",
        "model=unet,fcn",
        "loss=dice,bce",
        "repeat=0,1,2,3",
    ]


def test_all_given_models_must_fit():
    with pytest.raises(UserError, match="even for two losses with 5 repeats"):
        make(0.2, "model=unet,fcn", "repeat=0,1,2,3,4", slow="fcn")


def test_repeats_that_are_given_are_used_as_they_are():
    assert make(100.0, "repeat=3,4,5").line()[-1] == "repeat=3,4,5"


def test_values_of_a_key():
    given = ["model=unet,fcn", "+model.width=8", "loss=dice", "model=fcn"]
    assert sweep_values(given, "model") == ["fcn"]
    assert sweep_values(given[:2], "model") == ["unet", "fcn"]
    assert sweep_values(given, "repeat") is None
    with pytest.raises(UserError, match="cannot be read"):
        sweep_values(["model"], "model")


def test_trials_are_in_the_time_and_shorter_ones_take_less():
    def seconds(*given: str) -> float:
        return make(1000.0, "model=unet", "loss=dice,bce", "repeat=0,1", *given).seconds

    runs = 2 * 2 * HOUR / 10
    assert seconds() == pytest.approx(runs)
    assert seconds("tune=lr") == pytest.approx(runs + 2 * 3 * HOUR / 10)
    assert seconds("tune=lr", "tune.repeats=2") == pytest.approx(runs + 2 * 2 * 3 * HOUR / 10)
    assert seconds("tune=lr", "tune.epochs=50") == pytest.approx(runs + 2 * 3 * HOUR / 40)
    whole = ("model=unet", "data.image_size=224", "trainer.max_epochs=200", "early_stopping.patience=40")
    assert (len(make(8.0, *whole).repeats), len(make(8.0, *whole, "tune=lr").repeats)) == (8, 5)
    assert any("3 trials, which the time includes" in reason for reason in make(8.0, "tune=lr").reasons)


def test_launchers_that_run_side_by_side_are_counted(monkeypatch: pytest.MonkeyPatch):
    given = ("model=unet", "loss=dice,bce", "repeat=0,1", "tune=lr")
    alone = make(1000.0, *given)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    two = make(1000.0, *given, "hydra/launcher=gpus", "runs_per_gpu=3")  # which share a GPU's speed
    assert alone.seconds / 2 == pytest.approx(two.seconds, abs=60)
    assert any("On 2 devices of this machine" in reason for reason in two.reasons)
    assert "hydra/launcher=gpus" in two.overrides
    cluster = make(1000.0, *given, "hydra/launcher=slurm", "hydra.launcher.array_parallelism=4")
    assert cluster.seconds < two.seconds and any("4 jobs at once" in reason for reason in cluster.reasons)
