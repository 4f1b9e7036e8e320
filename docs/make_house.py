"""Makes ``docs/house.svg``: the rooms of the package and which of them use which, as the imports have it.

python docs/make_house.py

An arrow goes from a room to one that it imports. Those that other arrows imply are left out, and a room stands above
all that it uses; ``tests/house/test_picture.py`` fails when the picture is not the one that the imports give.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from html import escape
from pathlib import Path
from textwrap import wrap

PACKAGE = "langchain_memllm"
ROOT = Path(__file__).parents[1] / PACKAGE
PICTURE = Path(__file__).with_name("house.svg")

ROOMS: dict[str, tuple[str, ...]] = {
    "command line": ("cli", "demo", "bench", "__main__"),
    "reliability": ("verify",),
    "facade": ("plugin",),
    "integrations": ("adapters", "graph"),
    "turns": ("door", "turns"),
    "ingestion": ("ingest", "background"),
    "training": ("training",),
    "testing": ("testing",),
    "readers": ("chat", "deciders", "summaries"),
    "extraction": ("extraction",),
    "chat models": ("models", "replies", "dialects", "streams"),
    "local model": ("local",),
    "conversations": ("conversation", "scope", "reading"),
    "what is recalled": ("recalled", "gate", "hub", "chatfile", "render"),
    "moving": ("transfer", "triplefile"),
    "memory": ("memory", "admission", "agreement"),
    "recall": ("recall",),
    "stores": ("stores",),
    "indexes": ("nameindex", "factindex", "embeddings"),
    "rules": ("belief", "quotas", "relations", "grammar", "speaker", "placeholders", "salience"),
    "values": ("triples", "names", "times", "dates", "roles", "decisions"),
    "foundations": ("errors", "extras", "flow", "twins", "sharing", "arguments", "forking", "private"),
}

Graph = Mapping[str, AbstractSet[str]]


def modules() -> set[str]:
    """Modules and packages directly below the package."""
    files = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in ROOT.glob("*/__init__.py")}


def imports_of(source: str) -> set[str]:
    """Modules of the package that a source file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.module != PACKAGE else [f"{PACKAGE}.{name}" for name in names]
        found |= {name.split(".")[1] for name in names if name.startswith(f"{PACKAGE}.")}
    return found & modules()


def rooms() -> dict[str, set[str]]:
    """Which rooms each room uses.

    Raises:
        ValueError: A module has no room.
    """
    room_of = {module: room for room, held in ROOMS.items() for module in held}
    if homeless := modules() - set(room_of):
        raise ValueError(f"{sorted(homeless)} have no room; add them to ROOMS in docs/make_house.py, then run it")
    used: dict[str, set[str]] = {room: set() for room in ROOMS}
    for module in modules():
        file = ROOT / f"{module}.py"
        for path in [file] if file.exists() else sorted((ROOT / module).rglob("*.py")):
            used[room_of[module]] |= {room_of[each] for each in imports_of(path.read_text(encoding="utf-8"))}
    return {room: others - {room} for room, others in used.items()}


def floors(graph: Graph) -> dict[str, int]:
    """How high each room stands: one above the highest that it uses.

    Raises:
        ValueError: Rooms use each other in a circle.
    """
    heights: dict[str, int] = {}

    def height(room: str, above: tuple[str, ...]) -> int:
        if room in above:
            raise ValueError(f"these rooms use each other: {' -> '.join((*above, room))}")
        if room not in heights:
            heights[room] = 1 + max((height(each, (*above, room)) for each in graph[room]), default=-1)
        return heights[room]

    for room in graph:
        height(room, ())
    return heights


def reduced(graph: Graph) -> dict[str, set[str]]:
    """The arrows that no other arrows imply."""

    def reached(room: str) -> set[str]:
        return set(graph[room]).union(*(reached(each) for each in graph[room]))

    return {room: set(used) - set().union(*(reached(each) for each in used)) for room, used in graph.items()}


WIDTH, BOX, GAP, LINE = 1000, 168, 44, 15


def svg() -> str:
    """The picture."""
    graph = rooms()
    heights, arrows = floors(graph), reduced(graph)
    rows = [[room for room in ROOMS if heights[room] == floor] for floor in range(max(heights.values()), -1, -1)]
    lines = {room: wrap(" · ".join(held), 27) for room, held in ROOMS.items()}
    places: dict[str, tuple[float, float, float]] = {}
    top = 12.0
    for row in rows:
        tall = max(30 + LINE * len(lines[room]) for room in row)
        room_for = WIDTH / len(row)
        for at, room in enumerate(row):
            places[room] = (room_for * (at + 0.5), top, 30 + LINE * len(lines[room]))
        top += tall + GAP
    drawn = [_arrow(places[room], places[each]) for room in ROOMS for each in sorted(arrows[room])]
    boxes = [_box(room, lines[room], places[room]) for room in ROOMS]
    title = "The rooms of langchain-memllm; arrows point at what a room imports, always downwards"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top - GAP + 12:.0f}" role="img">',
            f"<title>{title}</title>",
            "<style>text{font:12px sans-serif;text-anchor:middle;fill:#444}"
            ".t{font-weight:bold;font-size:13px;fill:#111}rect{fill:#f6f8fa;stroke:#57606a}path{fill:none;stroke:#8c959f;marker-end:url(#a)}</style>",
            '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" style="fill:#8c959f;stroke:none;marker-end:none"/></marker></defs>',
            '<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>',
            *drawn,
            *boxes,
            "</svg>\n",
        ]
    )


def _arrow(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    x, y = start[0], start[1] + start[2]
    to_x, to_y = end[0], end[1]
    bend = min(60.0, (to_y - y) / 2)
    return f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y:.0f}"/>'


def _box(room: str, lines: list[str], place: tuple[float, float, float]) -> str:
    x, y, tall = place
    rows = "".join(
        f'<text x="{x:.0f}" y="{y + 34 + LINE * at:.0f}">{escape(line)}</text>' for at, line in enumerate(lines)
    )
    return (
        f'<g><rect x="{x - BOX / 2:.0f}" y="{y:.0f}" width="{BOX}" height="{tall:.0f}" rx="5"/>'
        f'<text class="t" x="{x:.0f}" y="{y + 17:.0f}">{escape(room)}</text>{rows}</g>'
    )


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
