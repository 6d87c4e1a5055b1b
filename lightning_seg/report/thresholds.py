"""The thresholds at which records are read, and what is counted at them, in words."""

from lightning_seg.runs.collapse import SHARE

HALF, CHOSEN = "0.5", "chosen"
ONE_CLASS = f"one class for at least {100 * SHARE:g} % of their test images"  # what collapsed runs predict


def at(threshold: str) -> str:
    """Where predictions are read, for a sentence."""
    return "at threshold 0.5" if threshold == HALF else "at the threshold that validation images choose"
