"""A plan as tables."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from lightning_seg.machine.devices import cores
from lightning_seg.planning.estimate import CUDA_CONTEXT_BYTES, Plan, PlannedRun
from lightning_seg.planning.schedule import LAUNCHERS, makespan, scaling
from lightning_seg.planning.timed import MOST_SECONDS, STEPS
from lightning_seg.wording import agreeing, byte_count, counted, duration, printable

WORKERS = (1, 2, 4, 8, 16, 32, 64)


def print_plan(plan: Plan, price_per_hour: float | None = None, console: Console | None = None) -> None:
    """Print what a plan says of each model, each dataset, and the whole.

    Args:
        plan: of :func:`lightning_seg.planning.estimate.make_plan`.
        price_per_hour: of the device, in any currency.
        console: where to print.
    """
    console = console or Console()
    runs = plan.left
    trials = sum(run.is_trial for run in runs)
    of_them = f" ({counted(trials, 'trial')} of tune among them)" if trials else ""
    console.print(
        f"{counted(len(plan.done) + len(runs), 'run')}: {len(plan.done)} done, {len(runs)} left{of_them}",
        highlight=False,
    )
    if plan.others:
        console.print(
            f"{len(plan.others)} of them {agreeing(len(plan.others), 'lie')} where a finished run of another "
            f"configuration is, such as {printable(plan.others[0].folder.path)}: name another study with study=..., or "
            "add rerun=true.",
            highlight=False,
            markup=False,
        )
    if not runs:
        return
    timing = runs[0].timing
    console.print(f"timed on: {timing.device}", highlight=False)
    console.print(_models(plan, price_per_hour), _datasets(runs, price_per_hour))
    total = sum(run.seconds() for run in runs)
    least, most = (
        sum(run.seconds(limit(run)) for run in runs) for limit in (lambda r: r.epochs.least, lambda r: r.epochs.most)
    )
    reasons = sorted({run.epochs.reason for run in runs})
    lines = [
        f"One after the other: {duration(total)}{_money(total, price_per_hour)}"
        + (f", from {duration(least)} to {duration(most)} as runs stop early." if least < most else "."),
        f"Epochs of a run: {', '.join(f'{_span(runs, reason)} ({reason})' for reason in reasons)}.",
        f"To be written: {byte_count(sum(run.disk_bytes() for run in runs))} of results, "
        f"{byte_count(plan.cache_bytes)} of decoded datasets that are not there yet, and up to "
        f"{byte_count(max(run.checkpoint_bytes() for run in runs))} for the two checkpoints of each run under way.",
    ]
    for name in dict.fromkeys(run.cell.config["dataset.name"] for run in runs if run.sizes.assumed):
        lines.append(
            f"Subsets of {name} are assumed to follow data.fractions: it is not here to be split by data.split."
        )
    lines += _hurried(runs)
    if any(run.beside for run in runs):
        lines.append(_one_a_core(runs, total))
    console.print(*lines, sep="\n", highlight=False)
    console.print(_workers(runs))


def _hurried(runs: list[PlannedRun]) -> list[str]:
    """A sentence on networks of which fewer steps were timed than usual, where there are any."""
    steps = {run.cell.config["model.name"]: run.timing.steps for run in runs if run.timing.steps < STEPS}
    if not steps:
        return []
    which = ", ".join(f"{counted(count, 'step')} of {name}" for name, count in steps.items())
    return [
        f"After {duration(MOST_SECONDS)} the timing of a network ends: only {which} could be timed, so times are rough."
    ]


def _one_a_core(runs: list[PlannedRun], total: float) -> str:
    """Whether a run a core, with one thread each, takes less time than one run after the other with all threads."""
    together = makespan([run.seconds(timing=run.beside) for run in runs], cores())
    if together < total:
        return f"A run a core, each with one thread: {duration(together)}. Add hydra/launcher=cpus to the same line."
    return f"A run a core, each with one thread, would take {duration(together)}: one after the other is as fast."


def _gain(runs: list[PlannedRun]) -> float:
    """How many times the work of one run after the other gets done by a run a core."""
    return cores() * sum(run.seconds() for run in runs) / sum(run.seconds(timing=run.beside) for run in runs)


def _models(plan: Plan, price: float | None) -> Table:
    on_gpu = bool(plan.left[0].timing.device_bytes)
    table = _table("By model", "model", "runs", "train step", "eval batch", "a run", "hours", price=price)
    table.add_column("memory", justify="right")
    if on_gpu:
        table.add_column("fit side by side", justify="right")
    one_a_core = any(run.beside for run in plan.left)
    if plan.gains or one_a_core:
        table.add_column("two at once" if on_gpu else "one a core", justify="right")
    for name, runs in _grouped(plan.left, lambda run: run.cell.config["model.name"]):
        timing = runs[0].timing
        memory = max(run.peak_bytes() for run in runs)
        cells = [
            name,
            str(len(runs)),
            f"{timing.train_step * 1e3:.1f} ms",
            f"{timing.eval_batch * 1e3:.1f} ms",
            *_times(runs, price),
            byte_count(memory),
        ]
        if on_gpu:
            cells.append(str(side_by_side(memory, timing.device_bytes)))
        if plan.gains:
            cells.append(f"{plan.gains[name]:.2f} x" if name in plan.gains else "")
        if one_a_core:
            cells.append(f"{_gain(runs):.2f} x")
        table.add_row(*cells)
    return table


def _datasets(runs: list[PlannedRun], price: float | None) -> Table:
    table = _table("By dataset", "dataset", "images", "runs", "a run", "hours", price=price)
    for name, members in _grouped(runs, lambda run: run.cell.config["dataset.name"]):
        table.add_row(name, str(members[0].sizes.images), str(len(members)), *_times(members, price))
    return table


def _workers(runs: list[PlannedRun]) -> Table:
    by_repeat = _grouped(runs, lambda run: (run.is_trial, run.cell.config["repeat"]))
    batches = [[run.seconds() for run in members] for _, members in by_repeat]
    table = Table(
        title="On several devices like this one, the start of workers included",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("devices", justify="right")
    for launcher in LAUNCHERS:
        table.add_column(launcher.name, justify="right")
        table.add_column("if unordered", justify="right")
    for workers in WORKERS:
        if workers > len(runs):
            break
        results = [scaling(batches, workers, launcher) for launcher in LAUNCHERS]
        times = [duration(seconds) for result in results for seconds in (result.by_repeat, result.in_order)]
        table.add_row(str(workers), *times)
    return table


def side_by_side(peak_bytes: int, device_bytes: int) -> int:
    """How many runs that take so much fit into a GPU's memory at once; at least 1, since one was timed."""
    return max(1, int(0.95 * device_bytes // (peak_bytes + CUDA_CONTEXT_BYTES)))


def _table(title: str, first: str, *columns: str, price: float | None) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first)
    for name in (*columns, *(["cost"] if price is not None else [])):
        table.add_column(name, justify="right")
    return table


def _grouped(runs: list[PlannedRun], key: Callable[[PlannedRun], object]) -> Iterable[tuple[str, list[PlannedRun]]]:
    groups: dict[str, list[PlannedRun]] = defaultdict(list)
    for run in runs:
        groups[str(key(run))].append(run)
    return groups.items()


def _times(runs: list[PlannedRun], price: float | None) -> list[str]:
    """The columns "a run", "hours" and, with a price, "cost"."""
    total = sum(run.seconds() for run in runs)
    cells = [duration(total / len(runs)), f"{total / 3600:.1f}"]
    return cells if price is None else [*cells, f"{total / 3600 * price:.2f}"]


def _money(seconds: float, price: float | None) -> str:
    return "" if price is None else f" and {seconds / 3600 * price:.2f} in money"


def _span(runs: list[PlannedRun], reason: str) -> str:
    epochs = [run.epochs for run in runs if run.epochs.reason == reason]
    expected = sum(each.expected for each in epochs) / len(epochs)
    least, most = min(each.least for each in epochs), max(each.most for each in epochs)
    return f"{expected:.0f}" if least == most else f"{expected:.0f}, from {least} to {most}"
