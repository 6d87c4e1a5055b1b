"""What two runs must have in common to be called the same."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np


def outcome(directory: Path) -> dict[str, Any]:
    """All that a run computed, to the last bit, without its times."""
    record = json.loads((directory / "result.json").read_text())
    with (directory / "metrics.csv").open() as file:
        epochs = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    with np.load(directory / "cases.npz", allow_pickle=False) as cases:
        logits = cases["logits"].tobytes()
    with np.load(directory / "predictions.npz", allow_pickle=False) as kept:
        predictions = {name: kept[name].tobytes() for name in kept.files}
    return {
        "epochs": epochs,
        "test": record["test"],
        "best": (record["best_epoch"], record["best_val_dice"], record["epochs"]),
        "images": (directory / "test_images.csv").read_text(),
        "measures": (directory / "test_measures.csv").read_text(),
        "split": (directory / "split.json").read_text(),
        "logits": logits,
        "predictions": predictions,
        "weights": (directory / "weights.safetensors").read_bytes(),
    }
