"""``lightning-seg predict``: masks for images."""

from pathlib import Path
from typing import Annotated

import typer

from lightning_seg.cli.shared import (
    BatchOption,
    DeviceOption,
    FlipsOption,
    RunArgument,
    ThresholdOption,
    WithOption,
    loading,
    note,
    say,
    skip,
)
from lightning_seg.errors import UserError
from lightning_seg.terminal import errors, tracked
from lightning_seg.wording import counted


def predict(
    run: RunArgument,
    images: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted patterns such as 'a/**/*.jpg'.")],
    with_: WithOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the results are written.")
    ] = Path("predictions"),
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Probability maps too, as 16-bit PNG.")
    ] = False,
    overlays: Annotated[bool, typer.Option(help="Overlays, for looking at.")] = True,
    flips: FlipsOption = False,
    threshold: ThresholdOption = "0.5",
    batch_size: BatchOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Segment images with a finished run, or with the mean of several.

    Exits with 0 if every image was segmented, with 1 if some were not, with 2 if nothing could begin.
    """
    with loading():
        from lightning_seg.files import earlier_output
        from lightning_seg.inference import predict as prediction
        from lightning_seg.inference.images import find_images
        from lightning_seg.inference.threshold import HALF, choose_threshold
        from lightning_seg.inference.trained import Predictor, choose_device, find_weights, poor_remark, version_remark

    weights = find_weights([run, *(with_ or [])])
    chosen = choose_threshold(threshold, weights)
    predictor = Predictor(weights, choose_device(device), flips, chosen)
    note(version_remark(predictor.runs))
    note(f"lesion is where the probability exceeds {chosen.value:g}: {chosen.source}." if chosen != HALF else None)
    note(poor_remark(predictor.runs))
    paths, problems = find_images(images)
    if not paths:
        raise UserError("\n".join(problems))
    failed = len(problems)
    for problem in problems:
        skip(errors(), problem)
    saved = prediction.predict_into(
        predictor, paths, output, batch_size=batch_size, probabilities=probabilities, overlays=overlays
    )
    note(earlier_output(output))
    count = 0
    for sentence in tracked(saved, "Predicting", len(paths)):
        if sentence is None:
            count += 1
        else:
            failed += 1
            skip(errors(), sentence)
    say(f"{count} of {counted(len(paths), 'image')} segmented: {output}" if count else "No image was segmented.")
    if failed:
        raise typer.Exit(1)
