"""Equal results of injective operations have equal operands.

Congruence tells that xᵖ = yᵖ where x = y; this is the way back. Without it a value that became
known in k ways through its transposes or reshapes stayed k values, each with its own forms.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saturax.egraph.egraph import EGraph

INJECTIVITY = "injectivity"


@dataclass(frozen=True, slots=True)
class EqualResults:
    """The justification: two e-nodes that are equal."""

    left: int
    right: int

    def premises(self, _egraph: "EGraph") -> list[tuple[int, int]]:
        """Return the pair."""
        return [(self.left, self.right)]


def equal_operands(egraph: "EGraph", class_id: int) -> Iterator[tuple[int, int, EqualResults]]:
    """Yield pairs of ids that must be equal since e-nodes of a class are, and by which of these."""
    heads, keys, original = egraph.heads, egraph.keys, egraph.original
    for group, nodes in egraph.groups[class_id].items():
        # Whether an operation is injective is the same for all e-nodes of a class and group.
        if group < 0 or len(nodes) < 2 or not heads.injective[keys[nodes[0]][0]]:
            continue
        first: dict[tuple[int, ...], int] = {}
        for node in nodes:
            head, *children = original[node]
            same = first.setdefault((head, *[egraph.type_id[child] for child in children]), node)
            if same != node:
                for a, b in zip(original[same][1:], children, strict=True):
                    yield a, b, EqualResults(same, node)
