"""The tables of the losses elsewhere."""

import pandas as pd

from lightning_seg.catalogue import loss_name
from lightning_seg.report.answer import join
from lightning_seg.report.elsewhere import Elsewhere
from lightning_seg.report.tables import Table
from lightning_seg.wording import counted


def elsewhere_tables(found: Elsewhere | None) -> list[Table]:
    """Mean of every loss at every place, and the best at home beside every other loss."""
    if found is None:
        return []
    order = [str(loss) for loss in found.home.sort_values(ascending=False, kind="stable").index]
    means = {"Home": found.home.loc[order]}
    means |= {place.title: pd.Series(place.here.means, place.here.losses).loc[order] for place in found.places}
    table = pd.DataFrame(means)
    shaded = table.rank(ascending=False, method="min")
    shaded = shaded.where(shaded <= 3, 0).astype(int).reset_index(drop=True)
    shaded.insert(0, "Loss", 0)
    table.insert(0, "Loss", [loss_name(loss) for loss in order])
    repeats = ", ".join(f"{place.title} {place.repeats}" for place in found.places)
    copies = [f"{counted(place.copies, 'image')} of {place.title}" for place in found.places if place.copies]
    leaks = f" Beware of copies of images at home: {join(copies)}." if copies else ""
    caption = (
        f"Mean {found.metric} over images, over blocks, of the same weights: at home on the test images, on all images "
        "of another dataset (by the runs that were trained elsewhere), and on the test images made worse (mean of "
        f"three strengths); the first three of each are shaded. Paired repeats: {repeats}.{leaks}"
    )
    return [Table("elsewhere", "Elsewhere", caption, table.reset_index(drop=True), {}, shaded), _differences(found)]


def _differences(found: Elsewhere) -> Table:
    rows = []
    for place in found.places:
        own = place.here.losses.index(found.best)
        for n, loss in enumerate(place.here.losses):
            if n != own:
                difference = 100 * float(place.here.means[own] - place.here.means[n])
                p = float(place.p[own, n]) if place.here.tested else float("nan")
                rows.append([place.title, loss_name(found.best), loss_name(loss), difference, p])
    columns = ["Place", "Best at home", "Against", "Difference", "p"]
    caption = (
        "The best loss at home against each other one, at every place: paired differences in points, and p-values "
        "that hold for all pairs and all places at once."
    )
    return Table(
        "elsewhere_differences",
        "Elsewhere, in differences",
        caption,
        pd.DataFrame(rows, columns=columns),
        {"Difference": 2},
    )
