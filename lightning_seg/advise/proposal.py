"""Which study fits into the time there is: models, losses, repeats and size, from steps timed on this device."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig

from lightning_seg.catalogue import LOSSES, loss_name, model_name
from lightning_seg.config.arguments import prepared
from lightning_seg.config.compose import explain
from lightning_seg.config.plugins import choices
from lightning_seg.data.split import Fractions, count_repeats
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.planning.estimate import make_plan
from lightning_seg.planning.schedule import makespan
from lightning_seg.planning.workers import Workers, workers_of
from lightning_seg.report.published import load_published
from lightning_seg.sweep.cells import grid_cells
from lightning_seg.sweep.tuning import grid_and_trials
from lightning_seg.wording import counted, duration

GRID_KEYS = ("model", "loss", "repeat")  # that a proposal decides, unless the user has
BASELINE = "unet"  # the common yardstick, which starts from no downloaded weights
BEST = 3  # models of the highest published Dice that are thought of beside it
FEWEST_REPEATS, USUAL_REPEATS, MOST_REPEATS = 3, 5, 10
CAREFUL = ("tune=lr", "augmentation=standard")  # beside a grouped split; the published protocol has none of them
_OF_ADVICE = ("data.split=grouped", *CAREFUL)
_OF_EFFORT = r"(data\.image_size|trainer\.max_epochs|early_stopping\.patience)=[0-9]{1,5}"
_GUESS = 2.0  # times timed at another size are scaled by pixels; they may be wrong by this factor


@dataclass(frozen=True)
class Effort:
    """How thoroughly each network is trained."""

    image_size: int
    max_epochs: int
    patience: int

    @property
    def cost(self) -> float:
        """Proportional to a run's time: pixels times epochs, half-way between earliest stop and last one."""
        return self.image_size**2 * (min(self.patience + 1, self.max_epochs) + self.max_epochs) / 2

    def overrides(self, cfg: DictConfig) -> list[str]:
        """What it changes of the configuration."""
        values = {
            "data.image_size": (self.image_size, cfg.data.image_size),
            "trainer.max_epochs": (self.max_epochs, cfg.trainer.max_epochs),
            "early_stopping.patience": (self.patience, cfg.early_stopping.patience),
        }
        return [f"{key}={value}" for key, (value, configured) in values.items() if value != configured]


PAPER = Effort(224, 200, 40)
EFFORTS = (PAPER, Effort(160, 100, 20), Effort(112, 60, 15), Effort(64, 30, 10))


@dataclass(frozen=True)
class Proposal:
    """A study that fits.

    Attributes:
        overrides: of ``train.py -m``, but losses and repeats.
        losses: choices of the configuration.
        repeats: their numbers.
        seconds: that it takes about, all runs one after the other.
        reasons: sentences on the choice.
    """

    overrides: list[str]
    losses: list[str]
    repeats: list[str]
    seconds: float
    reasons: list[str]

    def line(self, losses: Sequence[str] | None = None, repeats: range | None = None) -> list[str]:
        """The arguments of ``train.py``, for all of it or for some losses and repeats."""
        numbers = ",".join(map(str, repeats or self.repeats))
        return ["-m", *self.overrides, f"loss={','.join(losses or self.losses)}", f"repeat={numbers}"]


def read_proposal(value: object, given: Sequence[str]) -> Proposal:
    """A proposal from a file that may come from anywhere: nothing but what :func:`propose` may have written.

    Args:
        value: what the file holds.
        given: arguments of ``train.py`` that the user gives now, which are kept as they are.

    Raises:
        UnreadableError: it is no proposal for these arguments.
    """
    if not isinstance(value, dict) or value.keys() != {each.name for each in fields(Proposal)}:
        raise UnreadableError("it is no proposal")
    lists = [value[name] for name in ("overrides", "losses", "repeats", "reasons")]
    if not all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in lists):
        raise UnreadableError("it is no proposal")
    if not isinstance(value["seconds"], int | float) or not math.isfinite(value["seconds"]):
        raise UnreadableError("it is no proposal")
    overrides, losses, repeats, _ = lists
    kept = [argument for argument in given if argument.split("=")[0] not in GRID_KEYS]
    models = [argument.removeprefix("model=") for argument in overrides if argument.startswith("model=")]
    for argument in overrides:
        known = argument in kept or argument in _OF_ADVICE or re.fullmatch(_OF_EFFORT, argument)
        if not known and not argument.startswith("model="):
            raise UnreadableError(f"it sets {argument!r}, which no proposal does")
    if absent := set(kept) - set(overrides):
        raise UnreadableError(f"it leaves {min(absent)!r} out")
    if len(models) != 1:
        raise UnreadableError("it does not name its models once")
    for group, names in (("model", models[0].split(",")), ("loss", losses)):
        if unknown := set(names) - set(choices(group)) - set(sweep_values(given, group) or ()):
            raise UnreadableError(f"it names the {group} {min(unknown)!r}, which there is not")
    if not losses or not repeats or not all(re.fullmatch(r"[0-9]{1,4}", repeat) for repeat in repeats):
        raise UnreadableError("its repeats are no numbers")
    return Proposal(**value)


Timer = Callable[[Sequence[str], Effort], Mapping[str, float]]


def propose(
    cfg: DictConfig,
    given: Sequence[str],
    hours: float,
    order: Sequence[str],
    halving: bool,
    announce: Callable[[str], object] = print,
    timer: Timer | None = None,
) -> Proposal:
    """The most thorough study that fits into the time.

    First each run is to be as the paper's: its image size and epochs, if one model with all losses and three repeats
    fits so; else both are reduced. What time is left goes to repeats, up to five, then to more models, then to more
    repeats, as far as the split has them. What the user has given stays.

    Args:
        cfg: configuration with what is given.
        given: arguments of ``train.py`` that stay.
        hours: the time.
        order: losses from the most to the least promising, if not all fit.
        halving: whether losses will be dropped on the way, so that more than five repeats need not be planned.
        announce: told what is being timed.
        timer: from models and an effort to the seconds that a run takes; by default it times them on this device.

    Raises:
        UserError: nothing fits.
    """
    fixed = {name: sweep_values(given, name) for name in GRID_KEYS}
    kept = [argument for argument in given if argument.split("=")[0] not in fixed]
    models, losses = fixed["model"] or candidates(), fixed["loss"] or list(LOSSES)
    timer = timer or _timer(cfg, kept, losses[0], announce)
    available = count_repeats(cfg.data.split, Fractions(**cfg.data.fractions))
    most = min(USUAL_REPEATS if halving else MOST_REPEATS, available or MOST_REPEATS)
    trials, trial_epochs = _trials_of_a_cell([*kept, f"model={models[0]}", f"loss={losses[0]}", "repeat=0"])
    limits = _Limits(
        seconds=hours * 3600,
        trials=trials,
        trial_epochs=trial_epochs,
        workers=workers_of(kept),
        fewest=len(fixed["repeat"] or range(min(FEWEST_REPEATS, most))),
        most=len(fixed["repeat"] or range(most)),
        every_model=fixed["model"] is not None,
    )
    efforts = _efforts(cfg, kept)
    first = efforts[0] if _is_fast(cfg) else efforts[-1]
    fitting = _most_thorough(efforts, first, models, losses, order, limits, timer)
    effort, losses, names, times, count = fitting
    overrides = [*kept, f"model={','.join(names)}", *effort.overrides(cfg)]
    seconds = limits.of(effort).elapsed(times, names, len(losses), count)
    reasons = [*_reasons(fixed, names, losses, effort, times), *limits.remarks()]
    if fixed["repeat"] is None and not halving:
        if count == available:
            remark = f" (all that data.split={cfg.data.split} has)"
        else:
            remark = " (fewer than the usual five: more do not fit)" if count < USUAL_REPEATS else ""
        split = "each with its own split" if count > 1 else "with one split"
        reasons.append(f"Repeats: {count}, {split} that all models and losses share{remark}.")
    repeats = fixed["repeat"] or [str(number) for number in range(count)]
    return Proposal(overrides, losses, repeats, seconds, reasons)


class _Fitting(NamedTuple):
    """A study that fits: how thorough, with which losses and models, the seconds of a model's run, how many repeats."""

    effort: Effort
    losses: list[str]
    models: list[str]
    times: Mapping[str, float]
    repeats: int


def _most_thorough(
    efforts: Sequence[Effort],
    first: Effort,
    models: Sequence[str],
    losses: Sequence[str],
    order: Sequence[str],
    limits: "_Limits",
    timer: Timer,
) -> _Fitting:
    """The most thorough study within the limits.

    Args:
        efforts: from the most thorough.
        first: the one that is timed first, from which the others are guessed.
        models: in their order of preference.
        losses: that are wanted.
        order: of losses, from the most promising.
        limits: of time and repeats.
        timer: see :func:`propose`.

    Raises:
        UserError: nothing fits.
    """
    timed = {first: timer(models, first)}
    for effort in efforts:
        here = limits.of(effort)
        if effort not in timed:
            guess = {name: seconds * effort.cost / first.cost for name, seconds in timed[first].items()}
            if here.fit(guess, len(losses), _GUESS) is None:
                continue
            timed[effort] = timer(here.hopeful(guess, len(losses)), effort)
        if chosen := here.fit(timed[effort], len(losses)):
            return _Fitting(effort, list(losses), chosen[0], timed[effort], chosen[1])
    effort = efforts[-1]
    limits = limits.of(effort)
    times = timed.get(effort) or timer(models, effort)
    promising = [loss for loss in order if loss in losses] + [loss for loss in losses if loss not in order]
    while not (chosen := limits.fit(times, len(promising))):
        if len(promising) <= 2:
            raise _nothing_fits(times, len(promising), effort, limits)
        promising.pop()
    return _Fitting(effort, [loss for loss in losses if loss in promising], chosen[0], times, chosen[1])


def sweep_values(arguments: Sequence[str], name: str) -> list[str] | None:
    """The values that the arguments give a key, one or several; ``None`` if they do not mention it.

    Raises:
        UserError: an argument cannot be read.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(prepared(arguments))
    except OverrideParseException as error:
        raise UserError(explain(error)) from error
    for override in reversed(overrides):
        if override.get_key_element() == name:
            swept = override.is_sweep_override()
            return list(override.sweep_string_iterator()) if swept else [override.get_value_element_as_str()]
    return None


def candidates() -> list[str]:
    """The models that a study may have unless the user names some: the best published ones, and the baseline."""
    means = load_published().by_model.drop(columns="focal").mean(axis=1).sort_values(ascending=False)
    return [*[str(name) for name in means.index if name != BASELINE][:BEST], BASELINE]


@dataclass(frozen=True)
class _Limits:
    """What the time allows.

    Attributes:
        seconds: there are.
        trials: of each model and loss, before its runs.
        trial_epochs: of each, at most; None for as many as a run has.
        workers: that share the runs.
        fewest, most: repeats.
        every_model: whether all models must fit.
        share: of a run's time that a trial takes.
    """

    seconds: float
    trials: int
    trial_epochs: int | None
    workers: Workers
    fewest: int
    most: int
    every_model: bool
    share: float = 1.0

    def of(self, effort: Effort) -> "_Limits":
        """The same where each network is trained so thoroughly."""
        return replace(self, share=min(1.0, (self.trial_epochs or effort.max_epochs) / effort.max_epochs))

    def elapsed(self, times: Mapping[str, float], names: Sequence[str], losses: int, repeats: int) -> float:
        """Seconds until the last run ends: trials first, then runs, on all workers."""
        runs = [times[name] for name in names for _ in range(losses)]
        trials = [self.share * seconds for seconds in runs] * self.trials
        count, launcher = self.workers.count, self.workers.launcher
        return makespan(trials, count, launcher) + makespan(runs * repeats, count, launcher)

    def remarks(self) -> list[str]:
        """Sentences on what the time is made of."""
        text = [self.workers.remark] if self.workers.remark else []
        if self.trials:
            text.append(
                f"Before its runs, each model and loss has {counted(self.trials, 'trial')}, which the time includes."
            )
        return text

    def fit(self, times: Mapping[str, float], losses: int, slack: float = 1.0) -> tuple[list[str], int] | None:
        """As many models (in their order of preference) and repeats as the time allows; ``None`` if none.

        Args:
            times: seconds of a run of each model.
            losses: how many.
            slack: factor on the time.
        """
        available = self.seconds * slack

        def fits(names: Sequence[str], repeats: int) -> bool:
            return self.elapsed(times, names, losses, repeats) <= available

        starts = [list(times)] if self.every_model else [[name] for name in times]
        chosen = next((names for names in starts if fits(names, self.fewest)), None)
        if chosen is None:
            return None
        usual = min(max(self.fewest, USUAL_REPEATS), self.most)
        repeats = max(n for n in range(self.fewest, usual + 1) if fits(chosen, n))
        if repeats == usual:
            for name in times:
                if name not in chosen and fits([*chosen, name], repeats):
                    chosen = [*chosen, name]
        return chosen, max(n for n in range(repeats, self.most + 1) if fits(chosen, n))

    def hopeful(self, guess: Mapping[str, float], losses: int) -> list[str]:
        """The models that may fit, by times that are guessed."""
        return [name for name in guess if self.every_model or self.fit({name: guess[name]}, losses, _GUESS)]


def _efforts(cfg: DictConfig, given: Sequence[str]) -> list[Effort]:
    """The efforts to choose from, the greatest first; what the user has given does not vary."""
    keys = [argument.split("=")[0] for argument in given]
    efforts = [
        Effort(
            cfg.data.image_size if "data.image_size" in keys else effort.image_size,
            cfg.trainer.max_epochs if "trainer.max_epochs" in keys else effort.max_epochs,
            cfg.early_stopping.patience if "early_stopping.patience" in keys else effort.patience,
        )
        for effort in EFFORTS
    ]
    return list(dict.fromkeys(efforts))


def _is_fast(cfg: DictConfig) -> bool:
    return cfg.trainer.accelerator != "cpu" and torch.accelerator.is_available()


def _timer(cfg: DictConfig, given: Sequence[str], loss: str, announce: Callable[[str], object]) -> Timer:
    def seconds_of_a_run(models: Sequence[str], effort: Effort) -> Mapping[str, float]:
        cells = grid_cells(
            [*given, f"model={','.join(models)}", f"loss={loss}", "repeat=0", *effort.overrides(cfg), "rerun=true"]
        )
        plan = make_plan(cells, announce=lambda which: announce(f"timing {which} at {effort.image_size} pixels"))
        seconds: dict[str, float] = defaultdict(float)
        for run in plan.left:
            choice = next(value for value in run.cell.overrides if value.startswith("model="))
            seconds[choice.removeprefix("model=")] += run.seconds()
        return seconds

    return seconds_of_a_run


def _trials_of_a_cell(arguments: Sequence[str]) -> tuple[int, int | None]:
    """How many trials the arguments ask for before the runs of one model and loss, and their epochs if these differ."""
    if not any(argument.startswith(("tune=", "tune.")) for argument in arguments):
        return 0, None
    cells, trials = grid_and_trials(list(arguments))
    return len(trials), cells[0].config.get("tune.epochs")


def _reasons(
    fixed: Mapping[str, list[str] | None],
    models: Sequence[str],
    losses: Sequence[str],
    effort: Effort,
    times: Mapping[str, float],
) -> list[str]:
    lengths = ", ".join(f"{model_name(name)} {duration(times[name])}" for name in models)
    text = [
        f"A run takes about: {lengths} (at {effort.image_size} pixels, up to {counted(effort.max_epochs, 'epoch')})."
    ]
    if fixed["model"] is None:
        best = [name for name in models if name != BASELINE]
        why = "of the highest published mean Dice" if best else "the common yardstick"
        if best and len(best) < len(models):
            why += f", and {model_name(BASELINE)} as the common yardstick"
        text.append(f"Models: {', '.join(map(model_name, models))} ({why}; as many as fit).")
    if fixed["loss"] is None:
        left_out = [loss_name(loss) for loss in LOSSES if loss not in losses]
        text.append(
            f"Losses: only {len(losses)} of the ten fit; left out are {', '.join(left_out)}, which come last in the "
            "published table above: weak evidence, so give more --hours if you can."
            if left_out
            else "Losses: all ten, since no table can tell beforehand which is best here."
        )
    if cut := _cut(effort):
        text.append(cut)
    return text


def _cut(effort: Effort) -> str:
    """What of the paper's effort is cut, and what follows; empty if nothing is."""
    cuts, follows = [], ["the answer holds for this setting"]
    if effort.image_size < PAPER.image_size:
        cuts.append(f"{PAPER.image_size} pixels are cut to {effort.image_size}")
    if effort.max_epochs < PAPER.max_epochs:
        cuts.append(f"{PAPER.max_epochs} epochs are cut to {effort.max_epochs}")
        follows.append("losses that need long training are at a disadvantage")
    return f"The paper's {' and '.join(cuts)}: {', and '.join(follows)}." if cuts else ""


def _nothing_fits(times: Mapping[str, float], losses: int, effort: Effort, limits: _Limits) -> UserError:
    names = list(times) if limits.every_model else [min(times, key=lambda name: times[name])]
    seconds = limits.elapsed(times, names, losses, limits.fewest)
    example = "" if limits.every_model else " such as model=unet model.width=16"  # who has chosen knows one
    return UserError(
        f"{limits.seconds / 3600:g} h are too short even for {'one loss' if losses == 1 else 'two losses'} with "
        f"{counted(limits.fewest, 'repeat')} at {effort.image_size} pixels, about {duration(seconds)} on "
        f"this device; give more --hours, or a smaller network{example}."
    )
