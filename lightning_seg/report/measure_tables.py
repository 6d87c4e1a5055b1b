"""The table of the measures of masks."""

import pandas as pd

from lightning_seg.catalogue import loss_name
from lightning_seg.metrics.measures import MEASURES
from lightning_seg.report.families import Measures
from lightning_seg.report.tables import Table


def measure_tables(measures: Measures | None) -> list[Table]:
    """Mean of every measure under every loss; none where runs have none."""
    if measures is None:
        return []
    means = measures.means.T.rename_axis("loss")
    shown = [name for name in means if name not in MEASURES or MEASURES[name].family != "count"]
    places = pd.DataFrame({name: means[name].rank(ascending=_lower(name), method="min") for name in shown})
    titles = {name: _title(name) for name in shown}
    order = means.index[places.iloc[:, 0].argsort(kind="stable")] if shown else means.index
    data = means.loc[order, shown].rename(columns=titles)
    data.insert(0, "Loss", [loss_name(str(loss)) for loss in order])
    if {"lesions", "lesions_missed"} <= set(means):
        data["Lesions missed (%)"] = (100 * means["lesions_missed"] / means["lesions"]).loc[order]
    firsts = places.where(places <= 3, 0).astype(int).loc[order].rename(columns=titles).reset_index(drop=True)
    caption = (
        "Mean over test images, over blocks; the first three of each measure are shaded. NSD: share of both outlines "
        "that lies within 1 % (0.5 %) of the image's diagonal of the other. HD95: how far outlines are apart, as "
        "a share of the diagonal, but for the farthest 5 % (lower is better). Lesions are connected components: found "
        "where any pixel is predicted, or with an IoU of at least 0.1, one predicted for one true lesion. Both masks "
        "empty count 1 (HD95 0), one of them 0 (HD95 1)."
    )
    table = data.reset_index(drop=True)
    return [Table("measures", "Boundaries and lesions", caption, table, {"Lesions missed (%)": 2}, firsts)]


def _title(name: str) -> str:
    if name not in MEASURES:
        return name
    title = MEASURES[name].title
    return title[:1].upper() + title[1:]


def _lower(name: str) -> bool:
    return name in MEASURES and not MEASURES[name].higher_is_better
