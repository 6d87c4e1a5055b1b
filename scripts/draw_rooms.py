"""Draws the rooms of the package and the way of data between them: ``python scripts/draw_rooms.py``.

What is drawn follows from the code: rooms from the layers contract in ``pyproject.toml``, arrows from the imports. An
arrow points from a room to one that it uses; those that others imply are left out.
"""

import tomllib
from collections import defaultdict
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
PACKAGE = "lightning_seg"
WIDTH, BOX, HEIGHT, GAP = 760, 112, 34, 34  # pixels


def layers() -> list[list[str]]:
    """The rooms from top to bottom, those of one layer together."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (rows,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [row.split(" | ") for row in rows]


def arrows() -> dict[str, set[str]]:
    """Room -> rooms that it imports from."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules - {PACKAGE}:
        for used in graph.find_modules_directly_imported_by(module) - {PACKAGE}:
            rooms = module.split(".")[1], used.split(".")[1]
            if rooms[0] != rooms[1]:
                found[rooms[0]].add(rooms[1])
    return found


def reduced(found: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows that do not follow from others."""

    def reachable(room: str) -> set[str]:
        return {room}.union(*(reachable(used) for used in found.get(room, ())))

    return sorted(
        (room, used)
        for room, uses in found.items()
        for used in uses
        if not any(used in reachable(other) for other in uses - {used})
    )


def draw() -> str:
    """The picture as SVG."""
    rows = layers()
    places = {}
    for level, row in enumerate(rows):
        step = WIDTH / len(row)
        for column, room in enumerate(row):
            places[room] = (step * (column + 0.5), 20 + level * (HEIGHT + GAP))
    lines = []
    for room, used in reduced(arrows()):
        (x1, y1), (x2, y2) = places[room], places[used]
        top, bottom = y1 + HEIGHT, y2
        bend = (bottom - top) / 2
        lines.append(
            f'<path d="M{x1:.0f} {top:.0f} C{x1:.0f} {top + bend:.0f} {x2:.0f} {bottom - bend:.0f} {x2:.0f} '
            f'{bottom - 6:.0f}" class="arrow" marker-end="url(#tip)"/>'
        )
    boxes = [
        f'<rect x="{x - BOX / 2:.0f}" y="{y:.0f}" width="{BOX}" height="{HEIGHT}" rx="6" class="room"/>'
        f'<text x="{x:.0f}" y="{y + 22:.0f}">{escape(room)}</text>'
        for room, (x, y) in places.items()
    ]
    height = 40 + len(rows) * (HEIGHT + GAP) - GAP
    style = (
        "text{font:13px sans-serif;text-anchor:middle;fill:#1b1f24}.room{fill:#eef2fb;stroke:#3b4a6b}"
        ".arrow{fill:none;stroke:#6e7781;stroke-width:1.2}"
    )
    tip = (
        '<marker id="tip" markerWidth="8" markerHeight="8" refX="4" refY="3" orient="auto">'
        '<path d="M0 0L6 3L0 6z"/></marker>'
    )
    title = "Rooms of lightning_seg, top to bottom; an arrow points to what a room uses"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
        f"<title>{title}</title><style>{style}</style><rect width='100%' height='100%' fill='#fff'/><defs>{tip}</defs>",
        *lines,
        *boxes,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(PICTURE)
