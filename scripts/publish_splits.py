"""Write the splits of the paper's five repeats beside the ids of the published datasets.

Each lightning_seg/data/published/<dataset>.csv lists a dataset's ids and, where one exists, its official split; this
script (re)writes the columns repeat_0 to repeat_4 and digests.json. It needs no images:

    python scripts/publish_splits.py
"""

import csv
import json
from pathlib import Path

from lightning_seg.data.split import SUBSETS, Fractions, random_split, split_digest

FOLDER = Path(__file__).parents[1] / "lightning_seg" / "data" / "published"
REPEATS = 5
SEED = 42
FRACTIONS = Fractions(train=0.6, val=0.2, test=0.2)


def main() -> None:
    digests = {}
    for path in sorted(FOLDER.glob("*.csv")):
        with path.open(newline="") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["id"])
        ids = [row["id"] for row in rows]
        table = [{"id": row["id"], "official": row.get("official", "")} for row in rows]
        digests[path.stem] = []
        for repeat in range(REPEATS):
            split = random_split(len(ids), FRACTIONS, SEED, repeat)
            digests[path.stem].append(split_digest(ids, split))
            for subset in SUBSETS:
                for position in getattr(split, subset):
                    table[position][f"repeat_{repeat}"] = subset
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
    (FOLDER / "digests.json").write_text(json.dumps(digests, indent=2) + "\n")


if __name__ == "__main__":
    main()
