"""The commands of ``lightning-seg`` for what comes after training."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

RunArgument = Annotated[
    Path, typer.Argument(help="A run's folder or weights file, or a cell's folder: the mean of its repeats.")
]
WithOption = Annotated[list[Path] | None, typer.Option("--with", help="One more run to average with; repeatable.")]
FlipsOption = Annotated[bool, typer.Option("--flips", help="Average over four mirrored views of each image.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Images at a time; by default as in the run's own test.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ... or mps.")]


def predict(
    run: RunArgument,
    images: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted patterns such as 'a/**/*.jpg'.")],
    with_: WithOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the results are written.")] = Path(
        "predictions"
    ),
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Probability maps too, as 16-bit PNG.")
    ] = False,
    overlays: Annotated[bool, typer.Option(help="Overlays, for looking at.")] = True,
    flips: FlipsOption = False,
    batch_size: BatchOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Segment images with a finished run, or with the mean of several.

    Exits with 0 if every image was segmented, with 1 if some were not, with 2 if nothing could begin.
    """
    from lightning_seg.inference import predict as prediction
    from lightning_seg.inference.images import find_images
    from lightning_seg.inference.trained import Predictor, choose_device, find_runs, version_remark

    console = Console(stderr=True)
    predictor = Predictor(find_runs([run, *(with_ or [])]), choose_device(device), flips)
    _note(version_remark(predictor.runs))
    paths, problems = find_images(images)
    failed = len(problems)
    for problem in problems:
        _skip(console, problem)
    saved = prediction.predict_into(
        predictor, paths, output, batch_size=batch_size, probabilities=probabilities, overlays=overlays
    )
    count = 0
    with _progress(console) as progress:
        for sentence in progress.track(saved, total=len(paths), description="Predicting"):
            if sentence is None:
                count += 1
            else:
                failed += 1
                _skip(progress.console, sentence)
    typer.echo(f"{count} of {len(paths)} images segmented: {output}" if count else "No image was segmented.")
    if failed:
        raise typer.Exit(1)


def evaluate(
    run: RunArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="The dataset, as in training: dataset=clinicdb dataset.root=...")
    ] = None,
    with_: WithOption = None,
    native: Annotated[bool, typer.Option("--native", help="Score at each image's own size, not at the run's.")] = False,
    distances: Annotated[
        bool, typer.Option(help="NSD (within 1 % of the diagonal) and HD95 (pixels) as well, by MONAI.")
    ] = True,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")] = Path("evaluation"),
    flips: FlipsOption = False,
    batch_size: BatchOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Score a finished run, or the mean of several, on another dataset.

    Of the run's own dataset, which is the default, only images of its test set are scored. Exits with 0 if every image
    was scored, with 1 if some were not, with 2 if nothing could begin.
    """
    from lightning_seg.inference import evaluate as evaluation
    from lightning_seg.inference.distances import load_monai
    from lightning_seg.inference.trained import Predictor, choose_device, find_runs, version_remark
    from lightning_seg.output import check_output

    check_output(output, evaluation.FILES)
    if distances:
        load_monai()
    console = Console(stderr=True)
    predictor = Predictor(find_runs([run, *(with_ or [])]), choose_device(device), flips)
    _note(version_remark(predictor.runs))
    dataset = evaluation.choose_dataset(predictor.runs[0], overrides or [])
    positions = evaluation.fair_positions(predictor.runs, dataset)
    if len(positions) < len(dataset.ids()):
        _note(
            f"{dataset.name} holds images of the training: only images of its own test set are scored "
            f"({len(positions)} of {len(dataset.ids())})."
        )
    scored = evaluation.evaluate(
        predictor, dataset, positions, native=native, distances=distances, batch_size=batch_size
    )
    rows = []
    with _progress(console) as progress:
        for row in progress.track(scored, total=len(positions), description="Evaluating"):
            if isinstance(row, str):
                _skip(progress.console, row)
            else:
                rows.append(row)
    if rows:
        scores = evaluation.write_evaluation(output, rows, predictor, dataset, native)
        table = Table("", "mean", "95 % interval", "median", title=f"{len(rows)} images of {dataset.name}")
        for name, values in scores.items():
            low, high = values["interval_95"]
            title = f"{name} ({values['unit']})" if "unit" in values else name
            table.add_row(title, f"{values['mean']:.4f}", f"{low:.4f} to {high:.4f}", f"{values['median']:.4f}")
        Console().print(table, evaluation.EMPTIES, highlight=False)
        typer.echo(f"{len(rows)} of {len(positions)} images scored: {output}")
    if len(rows) < len(positions):
        raise typer.Exit(1)


def _note(remark: str | None) -> None:
    if remark is not None:
        typer.echo(f"note: {remark}", err=True)


def _skip(console: Console, sentence: str) -> None:
    console.print(f"skipped: {sentence}", highlight=False, markup=False, soft_wrap=True)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder or weights file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the files.")] = Path("exported"),
    format_: Annotated[
        list[str] | None,
        typer.Option("--format", help="onnx, torch (a torch.export file) or, given twice, both.", show_default="onnx"),
    ] = None,
    dynamic_size: Annotated[
        bool, typer.Option("--dynamic-size", help="Leave height and width free; some networks cannot.")
    ] = False,
) -> None:
    """Write a run's network for other programs, checked against PyTorch, with its preprocessing and a model card."""
    from lightning_seg.errors import UserError
    from lightning_seg.inference.export import CARD, FORMATS, PREPROCESSING, export_run
    from lightning_seg.inference.trained import find_runs, load_run, version_remark

    weights = find_runs([run])
    if len(weights) > 1:
        raise UserError(f"{run} holds {len(weights)} runs, and one is exported at a time: choose one of its repeats.")
    trained = load_run(weights[0])
    _note(version_remark([trained]))
    found = export_run(trained, output, format_ or ["onnx"], dynamic_size)
    for name, difference in found.items():
        typer.echo(f"{output / FORMATS[name]}: logits differ from PyTorch's by at most {difference:.1e}")
    typer.echo(f"{output / PREPROCESSING}\n{output / CARD}")


def models(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Which; by default all, your own included. With --start, settings too: dataset=wound"),
    ] = None,
    time: Annotated[bool, typer.Option("--time", help="Time one image on this CPU, too; builds each network.")] = False,
    start: Annotated[
        bool, typer.Option("--start", help="What each predicts before the first step, and which loss corrects it.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the networks: paper, encoder, parameters, cost and licence of the weights they start from."""
    from lightning_seg.errors import UserError
    from lightning_seg.parts import first_logits
    from lightning_seg.parts import models as catalogue

    settings = [name for name in names or [] if "=" in name]
    chosen = [name for name in names or [] if "=" not in name] or catalogue.model_names()
    if settings and not start:
        raise UserError(f"{settings[0]} is no network; settings are for --start alone.")
    if start:
        with _progress(Console(stderr=True)) as progress:
            tracked = progress.track(chosen, description="Starting")
            starts = [first_logits.measure_start(name, settings) for name in tracked]
        text, table = first_logits.as_markdown(starts), first_logits.as_table(starts)
    else:
        entries = [catalogue.measure(name, timed=time) for name in chosen]
        text, table = catalogue.as_markdown(entries), catalogue.as_table(entries)
    if markdown:
        typer.echo(text, nl=False)
    else:
        Console().print(table)


def new(
    kind: Annotated[str, typer.Argument(help="loss, model or dataset.")],
    name: Annotated[str, typer.Argument(help="Lower case letters, digits and underscores.")],
) -> None:
    """Write a loss, model or dataset of your own into this folder: class, configuration and a test that passes."""
    from lightning_seg.parts.scaffold import new_part

    for path in new_part(kind, name, Path()):
        typer.echo(f"wrote {path}")
    typer.echo(f"Try it: python -m pytest tests/test_{name}.py\nUse it: lightning-seg train {kind}={name}")


def gallery(
    losses: Annotated[list[str] | None, typer.Argument(help="Which; by default all, your own included.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the figures.")] = Path("gallery"),
) -> None:
    """Draw the losses: value and slope against logit and overlap, and their pull on difficult masks."""
    from lightning_seg.catalogue import BASIC_LOSSES, is_compound
    from lightning_seg.config.build import build_nameless
    from lightning_seg.config.compose import compose_config
    from lightning_seg.config.plugins import choices
    from lightning_seg.output import check_output, mark_output
    from lightning_seg.report.figures.losses import gallery as draw
    from lightning_seg.report.figures.style import file_names, save

    every = sorted(choices("loss"), key=lambda name: (name not in BASIC_LOSSES, not is_compound(name)))
    names = losses or [name for name in every if name != "monai"]
    built = {name: build_nameless(compose_config([f"loss={name}"]).loss, "loss") for name in names}
    figures = draw(built)
    files = [name for figure in figures for name in file_names(figure)]
    check_output(output, files)
    mark_output(output, files)
    for figure in figures:
        save(figure, output)
        typer.echo(f"{output / figure.name}.png: {figure.title}")
