"""Write lightning_seg/advise/published_features.csv: the traits of the published datasets, as `advise` compares them.

It needs the datasets, in DATA as `lightning-seg prepare` leaves them or wherever else their files lie:

    python scripts/measure_published.py DATA            # all that are found
    python scripts/measure_published.py DATA wound isic # these alone; the other rows stay

The committed table was measured on all labelled images of wound (uwm-bigdata/wound-segmentation), clinicdb (the PNG
copy in krishnakaushik25/Medical-Image-Segmentation-DL), breast_benign and breast_malignant
(yirutsai/Breast-ultrasound-dataset) and kvasir (the re-encoded copy in hieutt99/show-project-kvasir-keras at 07697df).
Of isic only 40 images of the validation split were at hand; its number of images is the full set's.
"""

import csv
import sys
from dataclasses import fields
from pathlib import Path

from hydra.utils import instantiate

from lightning_seg.advise.features import Features, as_row, measure_features
from lightning_seg.config.compose import compose_config
from lightning_seg.data.inspect import inspect_dataset
from lightning_seg.data.split import Fractions
from lightning_seg.errors import UserError
from lightning_seg.files import write_text

TABLE = Path(__file__).parents[1] / "lightning_seg" / "advise" / "published_features.csv"
DATASETS = ("isic", "wound", "clinicdb", "kvasir", "breast_benign", "breast_malignant")


def main(data: Path, names: list[str]) -> None:
    rows: dict[str, dict[str, str]] = {}
    if TABLE.is_file():
        with TABLE.open(newline="", encoding="utf-8") as file:
            rows = {row["dataset"]: row for row in csv.DictReader(file)}
    for name in names or DATASETS:
        folder = data / ("busi" if name.startswith("breast") else name)
        try:
            dataset = instantiate(compose_config([f"dataset={name}", f"dataset.root='{folder}'"]).dataset)
        except Exception as error:
            if names or not isinstance(error.__cause__, UserError):
                raise
            print(f"{name}: {error.__cause__}", file=sys.stderr)
            continue
        found = inspect_dataset(dataset, Fractions(0.6, 0.2, 0.2), seed=42, repeats=[])
        traits = as_row(measure_features(found))
        rows[name] = {"dataset": name, **traits, "measured_on": traits["images"], "images": str(dataset.full_count)}
        print(rows[name])
    columns = ["dataset", "measured_on", *(field.name for field in fields(Features))]
    lines = [",".join(columns), *(",".join(rows[name][key] for key in columns) for name in DATASETS if name in rows)]
    write_text(TABLE, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
