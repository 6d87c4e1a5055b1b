"""The report's tables, as CSV, as LaTeX (booktabs) and for the page."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lightning_seg.catalogue import METRIC_NAMES, dataset_name, loss_name, model_name
from lightning_seg.data.rules import siblings_remedy
from lightning_seg.files import write_text
from lightning_seg.report.analysis import Analysis, Certainty
from lightning_seg.report.contrasts import Scope
from lightning_seg.report.published import Published
from lightning_seg.report.ranking import Ranking, metric_places
from lightning_seg.report.statistics import critical_difference
from lightning_seg.report.thresholds import HALF, ONE_CLASS, at
from lightning_seg.report.verdict import Verdict
from lightning_seg.wording import as_cell, counted, fixed

_WIDER = {Scope.MODELS: "p, other models", Scope.DATASETS: "p, other datasets"}
_P_VALUES = ("p", "p (all pairs)", *_WIDER.values())  # columns whose smallest values no digits show
_SMALLEST_P = 0.0001

_AT_MOST_THE_LINE = r"\ifdim\width>\linewidth\linewidth\else\width\fi"  # a width in LaTeX
_MOST_ROWS = 40  # of a LaTeX table on one page
_GREYS = {1: 0.7, 2: 0.8, 3: 0.9}  # place -> shade, on which black has a contrast of at least 9

_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\n": " ",
}


@dataclass
class Table:
    """A table of the report.

    Attributes:
        name: file name without ending.
        title, caption: plain text.
        data: unrounded values; all columns are shown, the index is not.
        digits: column -> digits after the point in the page and in LaTeX (4 where absent).
        places: place (1 to 3, else 0) of the cells that are shaded, with the columns of ``data``; None for none.
        footer: whether the last row is a sum that stays last and has its own digits.
    """

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    digits: dict[str, int]
    places: pd.DataFrame | None = None
    footer: bool = False

    @property
    def rows(self) -> list[list[object]]:
        """The cells, row by row, as Python's own numbers and texts."""
        return self.data.astype(object).to_numpy().tolist()

    def shown(self, row: int, column: str, value: object) -> str:
        """A cell as text."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return str(value)
        if pd.isna(value):
            return "–"
        if column in _P_VALUES and value < _SMALLEST_P:
            return f"< {_SMALLEST_P:.4f}"
        if self.footer and row == len(self.data) - 1:
            return f"{value:.3g}"
        return str(value) if isinstance(value, int) else fixed(value, self.digits.get(column, 4))


def save(table: Table, directory: Path) -> None:
    """Write ``<name>.csv`` (unrounded) and ``<name>.tex``."""
    directory.mkdir(parents=True, exist_ok=True)
    csv, tex = (directory / name for name in file_names(table))
    write_text(csv, table.data.map(as_cell).rename(columns=as_cell).to_csv(index=False))
    write_text(tex, latex(table))


def file_names(table: Table) -> tuple[str, str]:
    """The names of the files of :func:`save`."""
    return f"{table.name}.csv", f"{table.name}.tex"


def latex(table: Table) -> str:
    """A LaTeX ``table`` with booktabs rules, as wide as the text at most; every text is escaped.

    It is shaded where the page's table is, so that the caption holds for both. One that is longer than a page goes on
    in further ones of the same number.
    """
    columns = list(table.data.columns)
    numeric = [pd.api.types.is_numeric_dtype(table.data[column]) for column in columns]
    head = [
        f"  \\resizebox{{{_AT_MOST_THE_LINE}}}{{!}}{{%",
        f"  \\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numeric)}}}",
        "    \\toprule",
        f"    {' & '.join(escape_tex(str(column)) for column in columns)} \\\\",
        "    \\midrule",
    ]
    rows = []
    for row, values in enumerate(table.rows):
        cells = [
            _shade(table, row, column) + escape_tex(table.shown(row, column, value))
            for column, value in zip(columns, values, strict=True)
        ]
        rule = "    \\midrule\n" if table.footer and row == len(table.rows) - 1 else ""
        rows.append(f"{rule}    {' & '.join(cells)} \\\\")
    lines = [f"% needs \\usepackage{{{','.join(_packages(table))}}}"]
    for start in range(0, max(len(rows), 1), _MOST_ROWS):
        lines += [
            "\\begin{table}",
            "  \\centering",
            *_caption(table, continued=start > 0),
            *head,
            *rows[start : start + _MOST_ROWS],
            "    \\bottomrule",
            "  \\end{tabular}}",
            "\\end{table}",
        ]
    return "\n".join([*lines, ""])


def _caption(table: Table, continued: bool) -> list[str]:
    if continued:
        return ["  \\addtocounter{table}{-1}", f"  \\caption{{{escape_tex(table.title)} (continued).}}"]
    return [
        f"  \\caption{{{escape_tex(table.title)}. {escape_tex(table.caption)}}}",
        f"  \\label{{tab:{table.name.replace('_', '-')}}}",
    ]


def _packages(table: Table) -> list[str]:
    shaded = table.places is not None and bool((table.places > 0).to_numpy().any())
    return ["booktabs", *(["colortbl"] if shaded else []), "graphicx"]


def _shade(table: Table, row: int, column: str) -> str:
    if table.places is None or column not in table.places:
        return ""
    grey = _GREYS.get(int(table.places[column].get(row, 0)))
    return f"\\cellcolor[gray]{{{grey}}}" if grey else ""


def escape_tex(text: str) -> str:
    """``text`` with LaTeX's special signs made plain."""
    return "".join(_TEX.get(sign, sign) for sign in text).replace("–", "--")


def study_tables(analysis: Analysis, published: bool = False) -> dict[str, Table]:
    """All tables of a study's report, by name.

    Args:
        published: whether to set it beside the published tables where the two cannot be compared, too.
    """
    tables = [_coverage(analysis.coverage), _failed_runs(analysis.failed_runs)]
    if len(analysis.splits):
        tables.append(_splits(analysis.splits))
    if analysis.certainty:
        tables.append(overall_table(analysis.overall))
        tables += certainty_tables(analysis.certainty, analysis.rope)
    if analysis.by_dataset:
        tables.append(ranking_table(analysis.by_dataset, "dataset", dataset_name))
    if analysis.by_model:
        tables.append(ranking_table(analysis.by_model, "model", model_name))
    if analysis.variance is not None:
        shown = analysis.variance.rename_axis("term").reset_index()
        shown["share"] *= 100
        shown.columns = ["Term", "Sum of squares", "df", "Share (%)"]
        caption = f"Sequential sums of squares of the test {analysis.comparison.yardstick.title} of single runs."
        tables.append(Table("variance", "Shares of variance", caption, shown, {"Share (%)": 2, "Sum of squares": 5}))
    tables += [
        _beside(table, level)
        for level, table in analysis.beside_published.items()
        if published or level in analysis.comparable
    ]
    if len(analysis.failures):
        shown = (100 * analysis.failures).reset_index()
        shown["loss"] = [loss_name(str(loss)) for loss in shown["loss"]]
        shown.columns = ["Loss", "Dice < 0.1 (%)", "Empty prediction (%)"]
        digits = {"Dice < 0.1 (%)": 2, "Empty prediction (%)": 2}
        tables.append(Table("failures", "Failures", "Of the test images with a lesion.", shown, digits))
    if len(analysis.ranking):
        tables += [_images(analysis.ranking, "disagreement", "Most disputed images"), _images(analysis.ranking, "dice")]
    if len(analysis.costs):
        tables.append(_costs(analysis.costs, "model", "costs", model_name))
        tables.append(_costs(analysis.costs, "loss", "costs_by_loss", loss_name))
    return {table.name: table for table in tables}


def published_tables(published: Published, by_dataset: Ranking, by_model: Ranking) -> list[Table]:
    """Fig. 2 as printed.

    Args:
        by_dataset, by_model: the ranked printed tables.
    """
    return [
        overall_table(published.overall, published.derived),
        ranking_table(by_dataset, "dataset", dataset_name),
        ranking_table(by_model, "model", model_name),
    ]


def certainty_tables(certainty: Certainty, rope: float, suffix: str = "") -> list[Table]:
    """Losses with intervals and stability; pairs; scopes; the tests of ranks; practical equivalence."""
    verdict, tables = certainty.verdict, []
    if certainty.drawn is not None:
        tables.append(_losses(certainty, suffix))
    if len(verdict.pairs):
        tables.append(_pairs(verdict, suffix))
    if verdict.unit != "none":
        tables.append(_scopes(verdict, suffix))
    tables.append(_omnibus(certainty, suffix))
    if certainty.equivalence is not None:
        shown = (100 * certainty.equivalence).loc[verdict.losses[1:]].rename_axis("loss").reset_index()
        shown["loss"] = [loss_name(loss) for loss in shown["loss"]]
        best = loss_name(verdict.losses[0])
        shown.columns = ["Against", f"{best} better (%)", "Equivalent (%)", f"{best} worse (%)"]
        caption = (
            f"Probabilities of the Bayesian correlated t-test; equivalent means within {100 * rope:g} "
            f"{verdict.yardstick.points}."
        )
        digits = {str(column): 1 for column in shown.columns[1:]}
        tables.append(Table(f"equivalence{suffix}", "Practical equivalence", caption, shown, digits))
    return tables


def _pairs(verdict: Verdict, suffix: str) -> Table:
    pairs = verdict.pairs
    data = pd.DataFrame(
        {
            "Higher mean": [loss_name(loss) for loss in pairs["a"]],
            "Lower mean": [loss_name(loss) for loss in pairs["b"]],
            "Mean difference": 100 * pairs["difference"],
        }
    )
    caption = f"Not tested, since there are no repeats; differences in {verdict.yardstick.points}."
    if verdict.unit != "none":
        data = data.assign(low=100 * pairs["low"], high=100 * pairs["high"], p=pairs["p"])
        data["p (all pairs)"] = pairs["p_adjusted"]
        for scope, column in _WIDER.items():
            if f"p_{scope}" in pairs:
                data[column] = pairs[f"p_{scope}"]
        caption = (
            f"Differences in {verdict.yardstick.points} with intervals that hold for all pairs at once (95 %), and "
            "Tukey's p-values: for these datasets and models, and where there are enough, for others like them."
        )
    data["P(improvement)"] = pairs["improvement"]
    digits = dict.fromkeys(["Mean difference", "low", "high", "P(improvement)"], 3)
    return Table(f"pairs{suffix}", "Every pair", caption, data, digits)


_CLAIMS = {
    Scope.HERE: "These datasets and models",
    Scope.MODELS: "Other models like these, on these datasets",
    Scope.DATASETS: "Other datasets like these",
}


def _scopes(verdict: Verdict, suffix: str) -> Table:
    """For what the answer holds: unit, error and what is told in each scope."""
    rows = [
        (
            _CLAIMS[scope],
            f"{counted(found.units, found.unit)}",
            100 * math.sqrt(2 * found.size),
            found.df,
            found.pair_df,
            ", ".join(loss_name(loss) for loss in verdict.worse_in(scope)) or "none",
        )
        for scope, found in verdict.scopes.items()
    ]
    best = loss_name(verdict.losses[0])
    columns = ["Holds for", "Unit", "Standard error", "df", "df of all losses", f"Worse than {best}"]
    points = verdict.yardstick.points
    caption = f"One difference, held against what varies in each scope; standard error of a pair in {points}."
    digits = {"Standard error": 3, "df": 1, "df of all losses": 1}
    return Table(f"scopes{suffix}", "For what it holds", caption, pd.DataFrame(rows, columns=columns), digits)


def ranking_table(ranking: Ranking, level: str, row_name: Callable[[str], str]) -> Table:
    """Fig. 2B or 2C with its score as last row."""
    order = ranking.order
    data = ranking.means[order].reset_index(drop=True)
    data.columns = [loss_name(loss) for loss in order]
    data.insert(0, level.capitalize(), [row_name(str(row)) for row in ranking.means.index])
    data.loc[len(data)] = ["Ranking score", *ranking.score[order]]
    caption = f"Mean {ranking.title}; below, the sum of 3, 2 and 1 points for the first three of each row."
    places = ranking.places[order].reset_index(drop=True).set_axis(data.columns[1:], axis=1)
    return Table(
        f"{level}_by_loss", f"{level.capitalize()}s x losses", caption, data, {}, _first_three(places), footer=True
    )


def _first_three(places: pd.DataFrame) -> pd.DataFrame:
    return places.where(places <= 3, 0).fillna(0).astype(int)


def _losses(certainty: Certainty, suffix: str) -> Table:
    assert certainty.drawn is not None
    verdict = certainty.verdict
    order = verdict.losses
    intervals = certainty.drawn.intervals().loc[order]
    stability = certainty.drawn.stability.loc[order]
    data = pd.DataFrame(
        {
            "Loss": [loss_name(loss) for loss in order],
            "To type": order,
            "Mean": intervals["mean"],
            "Low": intervals["shown_low"],
            "High": intervals["shown_high"],
            "To the mean": 100 * intervals["contrast"],
            "its low": 100 * intervals["contrast_low"],
            "its high": 100 * intervals["contrast_high"],
            "To the best": 100 * intervals["to_best"],
            "low": 100 * intervals["to_best_low"],
            "high": 100 * intervals["to_best_high"],
            "Mean rank": verdict.omnibus.mean_ranks.loc[order],
            "First (%)": 100 * stability[("mean", "first")],
            "First three (%)": 100 * stability[("mean", "first three")],
            "Level low": intervals["mean_low"],
            "Level high": intervals["mean_high"],
            "Verdict": ["worse" if loss in verdict.worse else "cannot be told apart" for loss in order],
        }
    )
    data.loc[order[0], "Verdict"] = "better than all" if verdict.winner else "highest mean"
    for dispute in verdict.disputes:
        data.loc[dispute.loss, "Verdict"] = "mean and ranks disagree"
    caption = (
        f"Mean {verdict.yardstick.title}; from low to high the 95 % interval of its distance to the "
        f"mean of all losses, drawn around that mean. The same distance in {verdict.yardstick.points}, with the "
        "interval of a single comparison; the difference to the best with an interval that holds for all pairs at "
        "once, since the best is chosen from the data; and how often the loss is first, and among the first three, in "
        "draws of the study. The level's interval is of the mean itself: also of how hard other splits, or other "
        "datasets and models, are."
    )
    digits = dict.fromkeys(["To the mean", "its low", "its high", "To the best", "low", "high", "Mean rank"], 2)
    digits |= {"First (%)": 1, "First three (%)": 1}
    return Table(f"losses{suffix}", "Losses", caption, data.reset_index(drop=True), digits)


def _omnibus(certainty: Certainty, suffix: str) -> Table:
    test = certainty.verdict.omnibus
    rows = [
        ("Rows", str(test.units), "of the tested table"),
        ("Losses", str(test.losses), ""),
    ]
    if test.units > 1:
        f = f"{test.f:.4g}" if math.isfinite(test.f) else "infinite"
        rows += [
            ("Friedman chi-square", f"{test.chi2:.4g}", _p(test.p)),
            ("Iman-Davenport F", f, _p(test.p_f) + (", since all rows agree" if f == "infinite" else "")),
            ("Nemenyi critical difference", _or_none(critical_difference(test.units, test.losses)), "mean ranks"),
        ]
    detectable = _or_none(100 * certainty.verdict.power.detectable)
    rows.append(("Detectable difference", detectable, f"{certainty.verdict.yardstick.points}, 80 % power, adjusted"))
    data = pd.DataFrame(rows, columns=["Statistic", "Value", "Note"])
    caption = "The customary second reading, which counts every block as independent; what this design can see."
    return Table(f"tests{suffix}", "Tests of ranks", caption, data, {})


def _or_none(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "none"


def _p(value: float) -> str:
    return f"p = {value:.3g}" if value > 0 else "p < 1e-300"  # which is as small as numbers get


def overall_table(means: pd.DataFrame, derived: Collection[tuple[str, str]] = ()) -> Table:
    """Fig. 2A in numbers.

    Args:
        derived: (metric, loss) of the means that follow from other tables, which the caption names.
    """
    data = means.T.sort_values("dice", ascending=False)
    data.insert(0, "Loss", [loss_name(str(loss)) for loss in data.index])
    data = data.rename(columns=METRIC_NAMES).reset_index(drop=True)
    caption = "Mean over blocks; the first three of each metric are shaded, where all means are known."
    if derived:
        named = ", ".join(f"{METRIC_NAMES[metric]} of {loss_name(loss)}" for metric, loss in derived)
        caption += f" Not printed in the figure, but the mean of the other tables' cells: {named}."
    places = metric_places(data.drop(columns="Loss").T).T
    return Table("overall", "Overall means", caption, data, {}, _first_three(places))


def _coverage(coverage: pd.DataFrame) -> Table:
    data = coverage.rename_axis("Dataset").reset_index()
    data["Dataset"] = [dataset_name(str(name)) for name in data["Dataset"]]
    data.columns = [str(column).capitalize() for column in data.columns]
    return Table(
        "coverage", "Coverage", "Runs by state; missing ones were announced or begun and have left no result.", data, {}
    )


def _splits(splits: pd.DataFrame) -> Table:
    data = splits.copy()
    data["dataset"] = [dataset_name(str(name)) for name in data["dataset"]]
    data.columns = ["Dataset", "Split", "Repeats", "Test images", "With a sibling in training", "Least", "Most"]
    caption = (
        "Test images that have a near duplicate, a frame of their sequence or another image of their group among the "
        "training images: mean, least and most over the repeats. Scores on them say little on new patients."
    )
    remedies = [siblings_remedy(str(strategy)) for strategy in splits["split"][splits["most"] > 0]]
    if remedies:
        caption += f" In a study of its own, {', and '.join(dict.fromkeys(remedies))}."
    digits = dict.fromkeys(["Repeats", "Least", "Most"], 0) | {"Test images": 1, "With a sibling in training": 1}
    return Table("splits", "Siblings across splits", caption, data, digits)


def _failed_runs(failed_runs: pd.DataFrame) -> Table:
    data = failed_runs.reset_index()
    data["loss"] = [loss_name(str(loss)) for loss in data["loss"]]
    data.columns = ["Loss", "Failed", "Diverged", "Unreadable", "All background", "All lesion", "Where"]
    caption = f"Runs that failed, diverged, left damaged records, or predict {ONE_CLASS}, {at(HALF)}."
    return Table("failed_runs", "Failed and collapsed runs", caption, data, {})


def _beside(table: pd.DataFrame, level: str) -> Table:
    data = table.reset_index()
    data["loss"] = [loss_name(str(loss)) for loss in data["loss"]]
    data["difference"] *= 100
    data.columns = ["Loss", "This study", "Published", "Difference", "Rank here", "Rank published"]
    over = "12 models" if level == "dataset" else "6 datasets"
    caption = (
        f"Mean Dice over the {level}s that both have, over all {'model' if level == 'dataset' else 'dataset'}s of this "
        f"study here and over the paper's {over} there. Difference in Dice points."
    )
    digits = {"Difference": 2, "Rank here": 1, "Rank published": 1}
    return Table(f"beside_published_{level}s", f"Beside the published {level}s", caption, data, digits)


def _images(ranking: pd.DataFrame, by: str, title: str = "Worst images") -> Table:
    data = ranking.sort_values(by, ascending=by == "dice").head(20).copy()
    data["dataset"] = [dataset_name(str(name)) for name in data["dataset"]]
    data["best"], data["worst"] = ([loss_name(loss) or "–" for loss in data[column]] for column in ("best", "worst"))
    data["size"] *= 100
    data["id"] = data["id"].astype(str)
    data.columns = ["Dataset", "Image", "Mean Dice", "Disagreement", "Best loss", "Worst loss", "Lesion (%)"]
    caption = "Mean over models and repeats; disagreement is the standard deviation over losses."
    name = "disputed_images" if by == "disagreement" else "worst_images"
    return Table(name, title, caption, data, {"Lesion (%)": 2})


def _costs(costs: pd.DataFrame, level: str, name: str, row_name: Callable[[str], str]) -> Table:
    data = costs.groupby(level=level).mean().sort_values("test_dice", ascending=False).reset_index()
    data[level] = [row_name(str(row)) for row in data[level]]
    data["parameters"] /= 1e6
    data.columns = [level.capitalize(), "Mean Dice", "Minutes", "Epochs", "Best epoch", "Parameters (M)"]
    other = "model" if level == "loss" else "loss"
    caption = f"Means over the compared runs of a {level}, each {other} weighing the same. Epochs are counted from 1."
    if level == "loss":  # a loss has no parameters of its own
        data = data.drop(columns="Parameters (M)")
    digits = {"Minutes": 1, "Epochs": 1, "Best epoch": 1, "Parameters (M)": 1}
    return Table(name, f"Cost per {level}", caption, data, digits)
