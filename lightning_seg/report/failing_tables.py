"""The tables of failing and suspicious images."""

import pandas as pd

from lightning_seg.catalogue import dataset_name, loss_name
from lightning_seg.report.failing import Kinds
from lightning_seg.report.tables import Table

_SUSPECTS, _NAMED = 30, 3  # rows on the page; images that are named


def failing_tables(kinds: Kinds, suspects: pd.DataFrame) -> list[Table]:
    """Which loss fails alone, how often; and the first of the list for annotators."""
    tables = []
    rows = []
    for loss, images in kinds.alone.items():
        named = [f"{dataset_name(dataset)} {name}" for dataset, name in images[:_NAMED]]
        rows.append((loss_name(loss), len(images), ", ".join(named)))
    if any(kinds.alone.values()):
        caption = "Test images on which this loss alone has a mean Dice below 0.1, and every other one 0.5 or more."
        data = pd.DataFrame(rows, columns=["Loss", "Images", "Such as"])
        tables.append(Table("alone", "Only this loss fails here", caption, data, {}))
    if len(suspects):
        data = suspects.head(_SUSPECTS).copy()
        data["dataset"] = [dataset_name(str(name)) for name in data["dataset"]]
        for share in ("annotated", "predicted"):
            data[share] *= 100
        shown = ["Rank", "Dataset", "Image", "Suspicion", "Losses agree", "Dice"]
        data.columns = [*shown, "Annotated (%)", "Predicted (%)", "Remark"]
        caption = (
            "Annotations to look at again: the losses agree with one another (Dice of two losses' masks, over all "
            "pairs) and not with the annotation. Suspicion is the difference, and half of it where most losses find "
            "nothing. Of each dataset the network with the highest mean Dice speaks. suspects.csv has 200."
        )
        digits = {"Suspicion": 3, "Losses agree": 3, "Dice": 3, "Annotated (%)": 2, "Predicted (%)": 2}
        tables.append(Table("suspects", "Suspicious annotations", caption, data, digits))
    return tables
