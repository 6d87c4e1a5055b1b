"""The table of all results."""

from typing import Any

from rich import box
from rich.table import Table


def table(content: dict[str, Any]) -> Table:
    """One row a task: whether it is right, and its figures in a line."""
    about = content["about"]
    title = ", ".join(
        f"{key} {value:.1f}" if isinstance(value, float) else f"{key} {value}" for key, value in about.items()
    )
    if not about["proves_cuda"]:
        title += ": nothing here says anything about CUDA"
    made = Table("task", "", "what was found", "s", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name, result in content["tasks"].items():
        verdict = "skipped" if "skipped" in result else "right" if result.get("ok") else "WRONG"
        if result.get("state") == "begun":
            verdict = "unfinished"
        made.add_row(name, verdict, "\n".join(lines(result)), f"{result.get('seconds', 0):.1f}")
    return made


def lines(result: dict[str, Any]) -> list[str]:
    """The figures of a result."""
    if told := result.get("skipped") or result.get("error"):
        return [str(told)]
    if "ways" in result:
        best = sorted(result["ways"].items(), key=lambda item: item[1]["seconds"])
        return [
            f"{way}: {each['images_per_second']:.3g} images/s, {each['share_of_peak']:.0%} of peak"
            + ("" if each["GiB"] != each["GiB"] else f", {each['GiB']:.2f} GiB")
            for way, each in best
        ]
    aside = ("state", "ok", "seconds", "attempts")
    return [f"{key}: {_short(value)}" for key, value in result.items() if key not in aside]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(each)}" for key, each in value.items())
    return str(value)
