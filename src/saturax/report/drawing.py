"""Two graphs as drawings, side by side: what stayed is grey, what went or came is coloured.

Values flow downwards. An operation counts as kept if the other graph has one with the same
attributes and types; of a large graph only the surroundings of what changed are drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from saturax.graph.fingerprint import canonical_text
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType, TupleType, Type

MOST_OPERATIONS = 48
_CHARACTER, _HEIGHT, _ROW, _GAP, _MARGIN = 7, 38, 66, 14, 10
_LONGEST = 26
_SWEEPS = 4
_LEAVES = ("parameter", "constant")


@dataclass(frozen=True)
class Drawing:
    """An SVG text, and how many operations of the graph it does not show."""

    svg: str
    hidden: int


def draw_both(before: Graph, after: Graph) -> tuple[Drawing, Drawing]:
    """Drawings of a graph before and after."""
    in_before, in_after = _signatures(before), _signatures(after)
    return (
        _draw(before, _changed(in_before, in_after), "gone"),
        _draw(after, _changed(in_after, in_before), "new"),
    )


def _signatures(graph: Graph) -> list[str]:
    """What makes an operation the same in another graph."""
    return [
        f"{node.op}{canonical_text(node.attributes)}"
        f"({','.join(str(graph.nodes[i].type) for i in node.operands)}){node.type}"
        for node in graph.nodes
    ]


def _changed(mine: Sequence[str], theirs: Sequence[str]) -> set[int]:
    """The operations that the other graph lacks, or has fewer of."""
    left = Counter(theirs)
    changed = set()
    for index, signature in enumerate(mine):
        if left[signature]:
            left[signature] -= 1
        else:
            changed.add(index)
    return changed


def _draw(graph: Graph, changed: set[int], mark: str) -> Drawing:
    shown = _shown(graph, changed)
    rows = _rows(graph, shown)
    boxes = _boxes(graph, rows)
    width = max((x + w for x, _, w in boxes.values()), default=0) + _MARGIN
    height = _ROW * len(rows) + _MARGIN
    parts = [
        _edge(boxes[i], boxes[n]) for n in shown for i in graph.nodes[n].operands if i in boxes
    ]
    outputs = set(graph.outputs)
    for index in shown:
        style = mark if index in changed else "kept"
        parts.append(_box(graph.nodes[index], boxes[index], style, index in outputs))
    svg = (
        f'<svg viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
        f'role="img">{"".join(parts)}</svg>'
    )
    return Drawing(svg, len(graph.nodes) - len(shown))


def _shown(graph: Graph, changed: set[int]) -> list[int]:
    """The operations to draw: all of a small graph, else those that changed and their operands."""
    if len(graph.nodes) <= MOST_OPERATIONS:
        return list(range(len(graph.nodes)))
    chosen: set[int] = set()
    for index in sorted(changed) or range(len(graph.nodes)):
        if len(chosen) >= MOST_OPERATIONS:
            break
        chosen.add(index)
        chosen.update(graph.nodes[index].operands[:3])
    return sorted(chosen)


def _rows(graph: Graph, shown: Sequence[int]) -> list[list[int]]:
    """Operations by row: below all of their operands, parameters just above their first user."""
    known = set(shown)
    row: dict[int, int] = {}
    for index in shown:
        above = [row[i] for i in graph.nodes[index].operands if i in known]
        row[index] = 1 + max(above, default=-1)
    for index in reversed(shown):
        if not [i for i in graph.nodes[index].operands if i in known]:
            below = [row[n] for n in shown if index in graph.nodes[n].operands]
            row[index] = max(row[index], min(below, default=1) - 1)
    rows: list[list[int]] = [[] for _ in range(1 + max(row.values(), default=-1))]
    for index in shown:
        rows[row[index]].append(index)
    return _untangled(graph, [each for each in rows if each])


def _untangled(graph: Graph, rows: list[list[int]]) -> list[list[int]]:
    """Rows in an order in which few edges cross: each operation near its neighbours' middle."""
    place = {index: position for row in rows for position, index in enumerate(row)}
    users: dict[int, list[int]] = {index: [] for index in place}
    for index in place:
        for operand in graph.nodes[index].operands:
            if operand in users:
                users[operand].append(index)
    for sweep in range(_SWEEPS):
        is_downwards = sweep % 2 == 0
        for row in rows if is_downwards else reversed(rows):
            middle = {}
            for index in row:
                near = list(graph.nodes[index].operands) if is_downwards else users[index]
                places = [place[i] for i in near if i in place]
                middle[index] = sum(places) / len(places) if places else place[index]
            row.sort(key=lambda index: middle[index])
            place.update({index: position for position, index in enumerate(row)})
    return rows


Box = tuple[float, float, float]
"""Left edge, upper edge, width."""


def _boxes(graph: Graph, rows: list[list[int]]) -> dict[int, Box]:
    widths = {
        index: _CHARACTER * max(map(len, _labels(graph.nodes[index]))) + 2 * _GAP
        for row in rows
        for index in row
    }
    spans = [sum(widths[i] for i in row) + _GAP * (len(row) - 1) for row in rows]
    boxes: dict[int, Box] = {}
    for number, row in enumerate(rows):
        x = _MARGIN + (max(spans) - spans[number]) / 2
        for index in row:
            boxes[index] = x, _MARGIN + _ROW * number, widths[index]
            x += widths[index] + _GAP
    return boxes


def _edge(start: Box, end: Box) -> str:
    x, y = start[0] + start[2] / 2, start[1] + _HEIGHT
    u, v = end[0] + end[2] / 2, end[1]
    bend = (v - y) / 2
    return (
        f'<path class="edge" d="M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} '
        f'{u:.0f} {v - bend:.0f} {u:.0f} {v:.0f}"/>'
    )


def _box(node: Node, box: Box, style: str, is_output: bool) -> str:
    x, y, width = box
    name, type = map(escape, _labels(node))
    shape = "leaf" if node.op in _LEAVES else "operation"
    middle = x + width / 2
    return (
        f'<g class="{style} {shape}{" output" if is_output else ""}">'
        f"<title>{escape(_details(node))}</title>"
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{_HEIGHT}" rx="5"/>'
        f'<text x="{middle:.0f}" y="{y + 16:.0f}">{name}</text>'
        f'<text class="type" x="{middle:.0f}" y="{y + 31:.0f}">{type}</text></g>'
    )


def _labels(node: Node) -> tuple[str, str]:
    """An operation's two lines: its name and its result's type."""
    name = node.op.removeprefix("stablehlo.")
    first = node.attributes[0] if node.attributes else None
    if node.op in ("unary", "binary", "ternary"):
        name = first if isinstance(first, str) else " ".join(map(str, _as_tuple(first)))
    elif node.op == "parameter":
        name = f"input {first}"
    elif isinstance(first, Literal) and first.is_splat:
        name = f"{first.data.reshape(-1)[0]:.6g}" if first.data.dtype.kind == "f" else "constant"
    return name[:_LONGEST], type_text(node.type)[:_LONGEST]


def _as_tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _details(node: Node) -> str:
    attributes = ", ".join("{…}" if isinstance(a, Graph) else str(a) for a in node.attributes)
    return f"{node.op}[{attributes}] : {node.type}"[:600]


def type_text(type: Type) -> str:
    """A type in few characters, such as f32[3×4]."""
    if isinstance(type, TensorType):
        return f"{type.dtype}[{'×'.join(map(str, type.shape))}]"
    return f"{len(type.elements)} values" if isinstance(type, TupleType) else str(type)
