"""The tables of subgroups: the losses' order on each part of the images, and how sure it is."""

import pandas as pd

from lightning_seg.catalogue import loss_name
from lightning_seg.report.ranking import metric_places
from lightning_seg.report.subgroups import ForWhom, Subgroup
from lightning_seg.report.tables import Table

_KEYS = ("Divided by", "Part", "Images")


def subgroup_tables(for_whom: ForWhom) -> list[Table]:
    """The order of the losses on every part, and every loss beside the best one there; none without divisions."""
    found = [(division.title, subgroup) for division in for_whom.divisions for subgroup in division.subgroups]
    if not found:
        return []
    return [_order(found), _differences(found)]


def _order(found: list[tuple[str, Subgroup]]) -> Table:
    losses = found[0][1].here.losses
    means = pd.DataFrame([subgroup.here.means for _, subgroup in found], columns=losses)
    ordered = list(means.mean().sort_values(ascending=False, kind="stable").index)
    data = means[ordered].rename(columns=loss_name)
    for place, (name, values) in enumerate(zip(_KEYS, _keys(found), strict=True)):
        data.insert(place, name, values)
    data["p"] = [subgroup.p_interaction for _, subgroup in found]
    places = metric_places(means[ordered]).rename(columns=loss_name)
    caption = (
        "Mean over the images of each part, over blocks; the first three of each row are shaded. p: whether any two "
        "losses differ otherwise there than on the rest of the images, adjusted for all pairs and parts."
    )
    return Table("subgroups", "For whom", caption, data, {}, places.where(places <= 3, 0))


def _differences(found: list[tuple[str, Subgroup]]) -> Table:
    rows = []
    for (title, subgroup), images in zip(found, _keys(found)[2], strict=True):
        here = subgroup.here
        own = here.losses.index(subgroup.order[0])
        for loss in subgroup.order[1:]:
            other = here.losses.index(loss)
            difference, margin = 100 * (here.means[own] - here.means[other]), 100 * subgroup.margins[own, other]
            names = [loss_name(subgroup.order[0]), loss_name(loss)]
            interval = [difference - margin, difference + margin]
            rows.append([title, subgroup.level.name, images, *names, difference, *interval, subgroup.p[own, other]])
    columns = [*_KEYS, "Best", "Against", "Difference", "low", "high", "p"]
    caption = (
        "The best loss of every part against each other one: paired differences in points, with 95 % intervals and "
        "p-values that hold for all pairs and all parts at once."
    )
    data = pd.DataFrame(rows, columns=columns)
    return Table("subgroup_differences", "For whom, in differences", caption, data, dict.fromkeys(columns[5:8], 2))


def _keys(found: list[tuple[str, Subgroup]]) -> tuple[list[str], list[str], list[int]]:
    titles = [title for title, _ in found]
    return titles, [subgroup.level.name for _, subgroup in found], [subgroup.level.images for _, subgroup in found]
