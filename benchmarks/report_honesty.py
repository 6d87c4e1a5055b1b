"""Is the certainty that the report states honest? Made-up studies of the paper's size, whose truth is known.

python benchmarks/report_honesty.py [studies]      (200 studies take about 10 minutes on two processors)
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.report.honesty import Design, false_winners, interval_coverage, share_found
from tests.report.make_study import Truth

DESIGNS = {
    "6 x 12 blocks, 5 repeats": (Design(), Truth()),
    "6 x 12 blocks, 5 repeats, losses depend strongly on the block": (Design(), Truth(interaction_sd=0.02)),
    "6 x 12 blocks, 5 repeats, losses depend on the dataset": (
        Design(),
        Truth(interaction_sd=0.0, loss_dataset_sd=0.01),
    ),
    "3 x 4 blocks, 3 repeats": (Design(3, 4, repeats=3), Truth()),
    "2 x 2 blocks, 3 repeats": (Design(2, 2, repeats=3), Truth()),
    "one block, 5 repeats": (Design(1, 1), Truth()),
}


def main(studies: int) -> None:
    """Print the shares for every design."""
    for name, (design, truth) in DESIGNS.items():
        winner, worse, unlimited = false_winners(design, studies, truth)
        covered = interval_coverage(design, studies, truth)
        stated, found = share_found(design, studies, truth, "focal")
        print(name)
        print(f"  equal losses: a winner in {winner:.1%}, a worse loss in {worse:.1%} of {studies} studies,")
        print(f"    {unlimited:.1%} without the words 'on these datasets' or 'models'")
        print(f"  95 % intervals cover: {', '.join(f'{kind} {share:.1%}' for kind, share in covered.items())}")
        print(f"  planted {100 * stated:.2f} Dice points, stated to be found in 80 %: found in {found:.1%}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
