"""How often the halving of ``advise --halving`` drops the best loss, on made-up studies (tests/advise/simulation.py).

python benchmarks/halving_rates.py [studies]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.advise.simulation import EQUAL, PUBLISHED, SPREAD, Truth, collapsing, heavy, simulate, skewed

WORST = {"image_sd": 0.015, "run_sd": 0.0}
TRUTHS = {
    "equal, all noise the images'": (Truth(EQUAL, **WORST), 1),
    "equal, loss x split .006, runs .012": (Truth(EQUAL, image_sd=0.006), 3),
    "published": (Truth(PUBLISHED), 3),
    "published, loss x split .006": (Truth(PUBLISHED, image_sd=0.006), 3),
    "wide apart, loss x split .006": (Truth(SPREAD, image_sd=0.006), 3),
    "heavy tails": (Truth(EQUAL, **WORST, noise=heavy), 1),
    "skewed": (Truth(EQUAL, **WORST, noise=skewed), 1),
    "collapsing runs": (Truth(EQUAL, image_sd=0.005, noise=collapsing), 1),
    "one loss 3 x as noisy": (Truth(EQUAL, **WORST, noisiness={"focal": 3.0}), 1),
    "unequal noise": (Truth(EQUAL, **WORST, noisiness={"bce": 1.5, "iou": 0.5, "dice": 0.6, "focal": 2.0}), 1),
    "the best loss 3 x as noisy": (Truth(EQUAL, **WORST, noisiness={"dice_bce": 3.0}), 1),
}


def main(studies: int) -> None:
    """Print the table, as Markdown."""
    print("| losses | models | errors | runs of the full grid | losses left |\n|---|---:|---:|---:|---:|")
    for name, (truth, models) in TRUTHS.items():
        found = simulate(truth, models, studies)
        print(f"| {name} | {models} | {found.errors:.1%} | {found.runs:.0%} | {found.left:.1f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
