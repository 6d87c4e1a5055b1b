"""How often subgroups raise a false alarm, and what they find: made-up studies (tests/report/image_designs.py).

    python benchmarks/subgroup_alarms.py [studies [design]]      (500 studies of all rows take some ten minutes)

Spoken of: a division is told on which nothing depends. Pair told: within any subgroup, one loss is told to be better,
adjusted over all pairs and subgroups; false where all are equal. Size found: the division that is true is told, and on
the smallest third the first loss is told to be the best.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from lightning_seg.report.groups import groupings
from lightning_seg.report.subgroups import divisions
from tests.report.image_designs import ImageDesign, sites

NULL = {
    "2x2x5, 4 losses, 200 images": ImageDesign(),
    "1x1x5, 4 losses, 200 images": ImageDesign(1, 1),
    "1x3x3, 3 losses, 500 images": ImageDesign(1, 3, 3, 3, 500),
    "2x2x5, loss x image .05": ImageDesign(by_image=0.05),
    "1x4x5, 100 images, loss x image .05": ImageDesign(1, 4, pool=100, by_image=0.05),
    "3x4x5, 6 losses, loss x image .05": ImageDesign(3, 4, losses=6, by_image=0.05),
    "2x2x5, split .006": ImageDesign(by_split=0.006),
    "2x2x5, a tenth empty": ImageDesign(empties=0.1),
    "2x2x5, one better by .03 everywhere": ImageDesign(everywhere=0.03),
}
TRUE = {
    "2x2x5, .03 on small": ImageDesign(on_small=0.03),
    "2x2x5, .05 on small": ImageDesign(on_small=0.05),
    "3x4x5, 500 images, .03 on small": ImageDesign(3, 4, pool=500, on_small=0.03),
    "1x1x5, 500 images, .05 on small": ImageDesign(1, 1, pool=500, on_small=0.05),
}


def main(studies: int, chosen: str = "") -> None:
    """Print the tables, as Markdown."""
    print("| design | spoken of | pair told | size found |\n|---|---:|---:|---:|")
    for name, design in (NULL | TRUE).items():
        if chosen not in name:
            continue
        rng = np.random.default_rng(0)
        spoken = pair = found = 0
        for _ in range(studies):
            images = design.draw(rng)
            judged = divisions(images, groupings(images, sites(images))[0])
            spoken += any(d.told for d in judged if not design.on_small or d.title == "site")
            pair += any(s.worse for d in judged for s in d.subgroups)
            size = judged[0]
            small = size.subgroups[0]
            found += size.told and bool(small.worse) and small.order[0] == "l0"
        true = "-" if name in NULL else f"{100 * found / studies:.1f} %"
        print(f"| {name} | {100 * spoken / studies:.1f} % | {100 * pair / studies:.1f} % | {true} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500, sys.argv[2] if len(sys.argv) > 2 else "")
