"""``lightning-seg advise``: looks at a dataset, proposes a study that fits the time, runs it, and gives the answer."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lightning_seg.cli.inspect import dataset_overrides, look_at
from lightning_seg.cli.shared import loading, say, say_commands, say_report
from lightning_seg.cli.study import run_until_settled
from lightning_seg.errors import UnreadableError, UserError
from lightning_seg.terminal import busy
from lightning_seg.wording import counted, filled, printable

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lightning_seg.advise.halving import Rule
    from lightning_seg.advise.proposal import Proposal
    from lightning_seg.data.inspect import Inspection

ADVICE = "advice.json"  # in the study's folder: what was proposed, so that the same command goes on with it
_FEW_IMAGES = 50


def advise(
    data: Annotated[str, typer.Argument(help="Your folder of images and masks, or a dataset of the configuration.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="What the proposal must keep, as for train: model=unet,fcn data.image_size=128 ...",
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.001, help="Time that the study may take.")] = 8.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Run the proposal without asking.")] = False,
    halving: Annotated[
        bool,
        typer.Option(
            "--halving",
            help="Drop losses that are surely worse on the way; errs in at most 5 % if all are about equally noisy.",
        ),
    ] = False,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help="The published protocol: one learning rate for all losses, no augmentation, random splits, threshold "
            "0.5. Otherwise the rate is tuned for each loss, images are augmented, similar ones stay on one side of a "
            "split, and validation images choose the threshold.",
        ),
    ] = False,
    until_settled: Annotated[
        bool,
        typer.Option(
            "--until-settled", help="End when all runs of the proposal would most likely give no other answer."
        ),
    ] = False,
) -> None:
    """Which loss for your images? Look at them, propose a study that fits the time, run it on yes, and answer."""
    with loading():
        from lightning_seg.advise.execute import check_models
        from lightning_seg.advise.studying import Grid
        from lightning_seg.files import refuse_links

    console = Console()
    if halving and until_settled:
        raise UserError("--halving and --until-settled are two ways to end early; choose one.")
    asked = _look(data, overrides or [], halving, paper, console)
    refuse_links(asked.place / ADVICE, asked.place.parent)
    proposal = _earlier_proposal(asked.place, asked.inputs, asked.given)
    if proposal is None:
        proposal = _propose(asked, hours, console)
    else:
        _say(console, "Proposal", [f"The one in {asked.place / ADVICE}: the study goes on."])
    line = proposal.line(repeats=range(asked.rule.looks[0])) if asked.rule else proposal.line()
    _show_line(console, line)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Run it now?")):
        console.print("Nothing was run: --yes runs it, and so does this line.", highlight=False)
        return
    check_models(proposal)
    _keep(proposal, asked.place, asked.inputs)
    if until_settled:
        run_until_settled(Grid(line[1:]), hours, console)
        return
    code = _run_halving(proposal, asked, hours, line, console) if asked.rule else _run_all(proposal, asked, console)
    if code:
        console.print("Some runs failed (above); the same command tries them again.")
        raise typer.Exit(code)


@dataclass(frozen=True)
class _Asked:
    """What the command line asks for.

    Attributes:
        found: what was seen of the images.
        cfg: configuration of one run.
        given: arguments that the proposal must keep.
        inputs: of this command, by which a later call knows whether it goes on with the same question.
        place: the study's folder.
        rule: by which losses are dropped on the way, if they are.
        paper: whether it is the published protocol.
    """

    found: "Inspection"
    cfg: "DictConfig"
    given: list[str]
    inputs: dict[str, Any]
    place: Path
    rule: "Rule | None"
    paper: bool


def _look(data: str, overrides: list[str], halving: bool, paper: bool, console: Console) -> _Asked:
    """Compose the configuration and look at the images.

    Raises:
        UserError: an argument is wrong, or images cannot be used.
    """
    with loading():
        from lightning_seg.advise.halving import Rule, looks_within
        from lightning_seg.advise.proposal import GRID_KEYS, sweep_values
        from lightning_seg.config.compose import compose_config
        from lightning_seg.config.overrides import override_value
        from lightning_seg.config.rules import check
        from lightning_seg.data.split import Fractions, count_repeats

    given = [*dataset_overrides(data), *overrides]
    if halving and sweep_values(given, "repeat") is not None:
        raise UserError("--halving decides itself how many repeats each loss gets: leave repeat= out.")
    cfg = compose_config([argument for argument in given if argument.split("=")[0] not in GRID_KEYS])
    check(cfg)
    found = look_at(cfg, console)
    if found.bad:
        raise UserError(
            f"{len(found.bad)} of {counted(len(found.bad) + len(found.ids), 'image')} cannot be used, as told above."
        )
    if cfg.study == "default":
        cfg.study = f"advise_{found.dataset.name}"
        given.append(f"study={override_value(cfg.study)}")
    rule = None
    if halving:
        shares = Fractions(**cfg.data.fractions)
        looks = looks_within(count_repeats(cfg.data.split, shares))
        rule = Rule(looks, test_to_train=shares.test / shares.train)
    inputs = {"data": data, "overrides": overrides, "halving": halving, "paper": paper}
    return _Asked(found, cfg, given, inputs, Path(cfg.output_dir).expanduser() / str(cfg.study), rule, paper)


def _propose(asked: _Asked, hours: float, console: Console) -> "Proposal":
    from lightning_seg.advise.features import measure_features, rank_by_likeness
    from lightning_seg.advise.proposal import CAREFUL, propose
    from lightning_seg.advise.words import likeness_sentences, promising_losses
    from lightning_seg.data.rules import SIBLINGS, siblings_remedy
    from lightning_seg.wording import duration

    found, cfg, given, rule = asked.found, asked.cfg, asked.given, asked.rule
    features = measure_features(found)
    ranked = rank_by_likeness(features)
    _say(console, "What it is like", likeness_sentences(features, ranked))
    reasons = []
    if len(found.ids) < _FEW_IMAGES:
        reasons.append(
            f"{counted(len(found.ids), 'image', 'are')} few: each test set is small, and only large differences show."
        )
    keys = [argument.split("=")[0] for argument in given]
    if not asked.paper:
        given = [*given, *(each for each in CAREFUL if each.split("=")[0] not in keys)]
        reasons += _careful_reasons(given)
    if not asked.paper and "data.split" not in keys and _leaks(found):
        given = [*given, "data.split=grouped"]
        together = (
            "Near duplicates" if cfg.data.groups in (None, SIBLINGS) else f"Images of one group of {cfg.data.groups}"
        )
        reasons.append(f"{together} are kept on one side of each split (data.split=grouped).")
    elif (counts := found.siblings.get(cfg.data.split)) and not isinstance(counts, str) and sum(counts):
        remedy = siblings_remedy(cfg.data.split)
        reasons.append(f"Test images have siblings in training, which makes scores too good: {remedy}.")
    with busy("timing") as mark:
        proposal = propose(cfg, given, hours, promising_losses(ranked[0].name), rule is not None, mark.update)
    if rule:
        *looks, last = map(str, rule.looks)
        reasons.append(
            f"After {' and '.join(filter(None, (', '.join(looks), last)))} repeats, losses that are surely worse than "
            f"another are dropped; it ends when the answer is settled, cannot be settled so, or {hours:g} h are over."
        )
    else:
        reasons.append(f"All of it takes about {duration(proposal.seconds)}, of the {duration(hours * 3600)} given.")
    _say(console, "Proposal", [*proposal.reasons, *reasons])
    return proposal


def _careful_reasons(given: Sequence[str]) -> list[str]:
    """Why the study is not the published one."""
    text = []
    if "tune=lr" in given:
        text.append("Each loss is tried with three learning rates and uses its best, by validation images (tune=lr).")
    if "augmentation=standard" in given:
        text.append("Training images are augmented, in the same way for all losses (augmentation=standard).")
    return [*text, "The answer is at the threshold that validation images choose. --paper is the published protocol."]


def _leaks(found: "Inspection") -> bool:
    """Whether random splits divide siblings that a grouped split would keep together."""
    random, grouped = found.siblings.get("random"), found.siblings.get("grouped")
    return isinstance(random, list) and sum(random) > 0 and isinstance(grouped, list)


def _run_all(proposal: "Proposal", asked: _Asked, console: Console) -> int:
    """Run a proposal to its end and give the answer; returns the exit code of the training."""
    from lightning_seg.advise.words import study_sentences
    from lightning_seg.cli.train import train_with

    code = train_with(proposal.line())
    _end_if_stopped(code, console)
    answer, following = study_sentences(asked.place, chosen_threshold=not asked.paper)
    _say(console, "Answer", answer)
    if following is not None:
        say_commands(f"\n{following}", console)
    say_report(asked.place, console)
    return code


def _run_halving(proposal: "Proposal", asked: _Asked, hours: float, shown: list[str], console: Console) -> int:
    """Run a proposal look by look and give the answer; returns the exit code of the training."""
    from lightning_seg.advise.execute import halve
    from lightning_seg.advise.words import dropped_sentences, halved_study_sentences, halving_sentences
    from lightning_seg.cli.train import train_with
    from lightning_seg.report.build import build_report

    rule, place = asked.rule, asked.place
    assert rule is not None
    halved = halve(
        proposal,
        rule,
        hours * 3600,
        tell=lambda before, after: _say(console, "", dropped_sentences(before, after)),
        announce=lambda arguments: None if arguments == shown else _show_line(console, arguments),
        train=train_with,
        chosen_threshold=not asked.paper,
    )
    words = halving_sentences(halved.end, rule, halved.models, halved.out_of_time)
    nothing_learned, failures = halved_study_sentences(place)
    _end_if_stopped(halved.code, console)
    at = [] if asked.paper else ["Dice here is that at the threshold which validation images choose for each run."]
    _say(console, "Answer", [*(nothing_learned or [*words, *at]), *failures])
    say_report(place, console)
    console.print(
        "It compares all losses on the repeats that all of them have, and its tests know nothing of the looks: "
        "what they add is in the answer above.",
        highlight=False,
    )
    left = halved.end.left
    if 1 < len(left) < len(proposal.losses):
        say(f"On the losses left, with all their repeats: {build_report(place, losses=left)}", console)
    return halved.code


def _end_if_stopped(code: int, console: Console) -> None:
    from lightning_seg.runs.stop import INTERRUPTED

    if code == INTERRUPTED:
        console.print("Stopped; the same command goes on from here.")
        raise typer.Exit(code)


def _earlier_proposal(place: Path, inputs: dict[str, Any], given: list[str]) -> "Proposal | None":
    """What an earlier call of the same command has proposed.

    Raises:
        UserError: the study was proposed for something else, or the file is not as this command writes it.
    """
    from lightning_seg.advise.proposal import read_proposal
    from lightning_seg.files import read_json

    path = place / ADVICE
    try:
        kept = read_json(path)
        if not isinstance(kept, dict) or not isinstance(kept.get("inputs"), dict):
            raise UnreadableError("it is no proposal")
        # What an older version did not ask for goes on as it was proposed.
        changed = [key for key, value in inputs.items() if kept["inputs"].get(key, value) != value]
        proposal = read_proposal(kept.get("proposal"), given) if not changed else None
    except FileNotFoundError:
        return None
    except UnreadableError as error:
        raise UserError(
            f"{path} cannot be read ({error}); remove it, or name another study with study=... ."
        ) from error
    if changed:
        values = "; ".join(f"{key} was {kept['inputs'].get(key)!r} and is now {inputs[key]!r}" for key in changed)
        raise UserError(f"The study in {place} was proposed for something else ({values}); name another with study=...")
    return proposal


def _keep(proposal: "Proposal", place: Path, inputs: dict[str, Any]) -> None:
    from lightning_seg.files import write_json

    place.mkdir(parents=True, exist_ok=True)
    write_json(place / ADVICE, {"inputs": inputs, "proposal": asdict(proposal)})


def _say(console: Console, title: str, sentences: Sequence[str]) -> None:
    if title:
        console.print(f"\n[bold]{title}[/]")
    for sentence in sentences:
        say(filled(printable(sentence), console.width, indent="  "), console)


def _show_line(console: Console, arguments: Sequence[str]) -> None:
    """The command, to be copied."""
    from lightning_seg.report.command_lines import quoted

    say_commands(f"\nlightning-seg train {' '.join(map(quoted, arguments))}", console)
