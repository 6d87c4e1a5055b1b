"""``lightning-seg export``: a run's network for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from lightning_seg.cli.shared import ThresholdOption, loading, note, say


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder or weights file.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the files.")] = Path(
        "exported"
    ),
    format_: Annotated[
        list[str] | None,
        typer.Option("--format", help="onnx, torch (a torch.export file) or, given twice, both.", show_default="onnx"),
    ] = None,
    dynamic_size: Annotated[
        bool, typer.Option("--dynamic-size", help="Leave height and width free; some networks cannot.")
    ] = False,
    threshold: ThresholdOption = "0.5",
) -> None:
    """Write a run's network for other programs, checked against PyTorch, with its preprocessing and a model card."""
    from lightning_seg.errors import UserError

    with loading():
        from lightning_seg.files import earlier_output
        from lightning_seg.inference.export import CARD, FORMATS, PREPROCESSING, export_run
        from lightning_seg.inference.threshold import choose_threshold
        from lightning_seg.inference.trained import find_weights, load_run, poor_remark, version_remark

    weights = find_weights([run])
    if len(weights) > 1:
        raise UserError(f"{run} holds {len(weights)} runs, and one is exported at a time: choose one of its repeats.")
    chosen = choose_threshold(threshold, weights)
    trained = load_run(weights[0])
    note(version_remark([trained]))
    note(poor_remark([trained]))
    note(earlier_output(output))
    found = export_run(trained, output, format_ or ["onnx"], dynamic_size, chosen)
    for name, difference in found.items():
        say(f"{output / FORMATS[name]}: logits differ from PyTorch's by at most {difference:.1e}")
    say(f"lesion is where the probability exceeds {chosen.value:g}: {chosen.source}")
    say(f"{output / PREPROCESSING}\n{output / CARD}")
