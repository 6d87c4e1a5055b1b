"""Every command of README.md and of the site is run, page by page and in order, in a folder of its own.

What trains is made small by overrides that are added to the page's own. What needs a cluster is composed; downloads and
what talks to W&B's server are only parsed. A page's output counts as well: lines without figures must be printed, and a
block whose output begins with ``error:`` must fail with that sentence.
"""

import os
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PATIENCE_SECONDS, PROCESSES, call_main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("lightning-seg", "python", "make", "pip", "wandb")
# Needs a cluster, or more time and pretrained weights than there are here.
COMPOSED = re.compile(r"experiment=(paper|odyssey)|loss=survey|hydra/launcher=|fatnet")

RUN = "multirun/default/synthetic/unet/iou_focal/repeat_0"  # what README.md says that RUN stands for

SMALL = {
    "trainer": "cpu",
    "trainer.max_epochs": "1",
    "data.image_size": "32",
    "dataset.count": "20",
    "model.width": "8",
    "pretrained": "false",
    "logger": "csv",
    "repeat": "0",
    "hydra.sweeper.n_trials": "2",
}
SIZES = ("trainer.max_epochs", "data.image_size", "dataset.count", "model.width", "hydra.sweeper.n_trials")
WITH_WIDTH = {"unet"}  # of any size


@dataclass(frozen=True)
class Command:
    """A command and the output that the page shows for it."""

    line: str
    output: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return [RUN if word == "RUN" else word for word in shlex.split(self.line, comments=True)]

    @property
    def fails(self) -> bool:
        return bool(self.output) and self.output[0].startswith("error:")


def commands(body: str) -> Iterator[Command]:
    """The commands of a block: lines after a prompt, or where there is none, lines that begin with a program."""
    lines = body.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield Command(lines[start][2:], tuple(lines[start + 1 : stop]))
    else:
        yield from (Command(line, ()) for line in lines if line.partition(" ")[0] in PROGRAMS)


def steps(page: Path) -> Iterator[Command | tuple[str, str]]:
    """What a reader does: commands, and files (name and text) to write."""
    for block in FENCE.finditer(page.read_text(encoding="utf-8")):
        info, body = block["info"].strip(), block["body"]
        if title := re.search(r'title="([^"]+)"', info):
            yield title[1], body
        elif info in ("", "console"):
            yield from commands(body)


def made_small(arguments: list[str], grid: bool) -> list[str]:
    """A training's overrides with those of ``SMALL`` that apply, which replace the page's own sizes."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    small = dict(SMALL)
    if given.get("dataset", "synthetic") != "synthetic":
        del small["dataset.count"]
    if "experiment" in given or not set(given.get("model", "unet").split(",")) <= WITH_WIDTH:
        del small["model.width"]
    if any(key.startswith("logger") for key in given):
        del small["logger"]
    search = given.get("hydra/sweeper") == "search"
    if not grid or search:
        del small["repeat"]
    if not search:
        del small["hydra.sweeper.n_trials"]
    kept = [argument for argument in arguments if argument.partition("=")[0] not in SIZES]
    return kept + [f"{key}={value}" for key, value in small.items() if key in SIZES or key not in given]


def compose(arguments: list[str], grid: bool) -> int:
    """What training would begin with: the cells of a corner of the grid, or the configuration of one run."""
    from lightning_seg.sweep.cells import grid_cells

    if not grid:
        return call_main([*arguments, "--cfg", "job"])
    corner = {"model": "fcn", "loss": "bce", "repeat": "0"}
    given = {argument.partition("=")[0] for argument in arguments}
    overrides = [*arguments, *(f"{key}={value}" for key, value in corner.items() if key not in given)]
    cells = grid_cells([argument for argument in overrides if argument != "-m"])
    for cell in cells:
        cell.folder.path.mkdir(parents=True, exist_ok=True)  # for `status`
    return 0 if cells else 1


def run_lightning_seg(arguments: list[str]) -> int:
    from lightning_seg.cli.app import main

    name, *rest = arguments
    grid = "-m" in rest or any(argument.startswith("experiment=") for argument in rest)
    if name in ("train", "plan") and "--help" not in rest and "--cfg" not in rest:
        if COMPOSED.search(" ".join(rest)):
            return compose(rest, grid or name != "train")
        rest = made_small(rest, grid or name != "train")
    if name == "advise":
        rest = made_small([*rest, "model=unet", "loss=bce,dice", "dataset=folder"], grid=True)
        rest.remove("dataset=folder")  # said by the folder itself
    if (name == "prepare" and "--from" not in rest) or name in ("dashboard", "sync", "study") or "--wandb" in rest:
        return parse(arguments)
    if name == "report":
        rest = [*rest, "--draws", "200"]
    if name == "train":
        return call_main(sorted(rest, key=lambda argument: not argument.startswith("-")))
    sys.argv = ["lightning-seg", name, *rest]
    main()
    return 0


def parse(arguments: list[str]) -> int:
    """Whether the command line is understood; nothing is done."""
    import typer

    from lightning_seg.cli.app import app

    group = typer.main.get_command(app)
    command = group.commands[arguments[0]]  # type: ignore[attr-defined]
    command.make_context(arguments[0], arguments[1:])
    return 0


def run_python(arguments: list[str]) -> int:
    match arguments:
        case ["train.py", *rest]:
            return run_lightning_seg(["train", *rest])
        case ["-m", "pytest", *rest]:
            sys.path.insert(0, "")
            return int(pytest.main([*rest, "-p", "no:cacheprovider"]))
        case [script]:
            runpy.run_path(script, run_name="__main__")
            return 0
    raise ValueError(f"python {arguments} is not known here")


def child(words: list[str], directory: Path, output: Path) -> None:
    os.chdir(directory)
    os.environ.update(HOME=str(directory), NETRC=str(directory / "netrc"), WANDB_API_KEY="", COLUMNS="200")
    os.environ.pop("WANDB_MODE", None)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    program, *arguments = words
    sys.exit(run_lightning_seg(arguments) if program == "lightning-seg" else run_python(arguments))


def in_process(words: list[str], directory: Path, output: Path) -> tuple[int, str, str]:
    """Run a command in a forked child: exit code, standard output, standard error."""
    process = PROCESSES.Process(target=child, args=(words, directory, output))
    process.start()
    process.join(PATIENCE_SECONDS)
    if process.exitcode is None:
        process.kill()
        pytest.fail(f"{shlex.join(words)} is still running after {PATIENCE_SECONDS} s")
    return process.exitcode, *((output / name).read_text(encoding="utf-8") for name in ("out", "err"))


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def check_of_others(words: list[str]) -> None:
    """Commands of other programs are not run, but must name what there is."""
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["pip", "install", "-e", requirement]:  # a checkout: no index has this package's name
            found = re.fullmatch(r"\.(?:\[([a-z,]+)\])?", requirement)
            assert found, requirement
            assert set(found[1].split(",") if found[1] else ()) <= extras()
        case ["wandb", name, *_]:
            from wandb.cli.cli import cli

            assert name in cli.commands
        case _:
            pytest.fail(f"{words[0]} is not known here")


def plain(text: str) -> str:
    return " ".join(text.split())


def check_output(command: Command, printed: str) -> None:
    for line in command.output:
        if plain(line) and "..." not in line and not re.search(r"\d|─|━", line.removeprefix("error:")):
            assert plain(line) in plain(printed), f"{command.line} no longer prints: {line}"


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with what the pages take for granted: own images, their patients, and copies of published datasets."""
    from lightning_seg.data import Synthetic
    from tests.data import make_layouts

    work = tmp_path / "work"
    for folder in ("images", "masks"):
        (work / "my_lesions" / folder).mkdir(parents=True)
    data = Synthetic(count=20)
    for index, name in enumerate(data.ids()):
        for folder, array in zip(("images", "masks"), data.read(index, 48), strict=True):
            picture = array if array.dtype == np.uint8 else array.astype(np.uint8) * 255
            Image.fromarray(picture).save(work / "my_lesions" / folder / f"{name}.png")
    shutil.copytree(work / "my_lesions" / "images", work / "photos")
    rows = [f"{name},patient_{index // 2}" for index, name in enumerate(data.ids())]
    (work / "patients.csv").write_text("\n".join(["id,group", *rows]))
    make_layouts.wound(work / "data" / "wound")
    make_layouts.kvasir(work / "Downloads" / "Kvasir-SEG")
    make_layouts.clinicdb(work / "Downloads" / "CVC-ClinicDB")
    return work


WITH_COMMANDS = [page for page in PAGES if any(isinstance(step, Command) for step in steps(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands(page: Path, workplace: Path, tmp_path: Path) -> None:
    for step in steps(page):
        if not isinstance(step, Command):
            name, text = step
            (workplace / name).parent.mkdir(parents=True, exist_ok=True)
            (workplace / name).write_text(text, encoding="utf-8")
        elif step.words[0] not in ("lightning-seg", "python"):
            check_of_others(step.words)
        else:
            code, out, err = in_process(step.words, workplace, tmp_path)
            assert code == (2 if step.fails else 0), f"$ {step.line}\n{out}{err}"
            check_output(step, out + err)
            if step.fails:
                assert plain(" ".join(step.output)) in plain(err)


def test_extras_named_in_the_text_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"extra `(\w+)`", page.read_text(encoding="utf-8"))}
    assert {"monai", "smp"} <= named <= extras()


def test_commands_are_found() -> None:
    from lightning_seg.cli.app import app

    assert len(WITH_COMMANDS) >= 10
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = [step.line for step in steps(ROOT / "README.md") if isinstance(step, Command)]
    assert any(line.startswith("python train.py experiment=demo") for line in readme)
    assert "`make demo`" in text
    assert f"`RUN` stands for a run's folder, such as `{RUN}`" in text
    listed = {words[1] for line in readme if (words := line.split())[0] == "lightning-seg"}
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands - {"train", "new"} <= listed  # these two are told elsewhere on the page
