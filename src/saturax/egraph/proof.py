"""The proof forest: one edge per union, between the very e-nodes that it equated."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from saturax.egraph.egraph import EGraph

CONGRUENCE = "congruence"
SWAPPED_CONGRUENCE = "congruence, operands swapped"


class Justification(Protocol):
    """Why a rule could fire: pairs of ids which had to be equal beforehand."""

    def premises(self, egraph: "EGraph") -> list[tuple[int, int]]:
        """Return pairs of permanent ids whose equality the step relies on."""


class ProofEdge(NamedTuple):
    """An equality between an e-node and its parent `target` in the proof forest.

    It reads `e-node = target` from left to right, unless `is_reversed`.
    """

    target: int
    reason: str
    is_reversed: bool
    justification: Justification | None


class ProofForest:
    """The edge towards the root of its tree, for each e-node; None at roots."""

    def __init__(self) -> None:
        """Start without e-nodes; the e-graph appends None to `edges` for each new one."""
        self.edges: list[ProofEdge | None] = []

    def link(
        self,
        left: int,
        right: int,
        reason: str,
        justification: Justification | None,
        is_right_smaller: bool,
    ) -> None:
        """Join two trees by an edge; the smaller one is re-rooted, which keeps this cheap."""
        node, target = (right, left) if is_right_smaller else (left, right)
        edge: ProofEdge | None = ProofEdge(target, reason, is_right_smaller, justification)
        while edge is not None:
            following = self.edges[node]
            self.edges[node] = edge
            if following is None:
                return
            edge = ProofEdge(
                node, following.reason, not following.is_reversed, following.justification
            )
            node = following.target

    def path(self, a: int, b: int) -> list[tuple[int, ProofEdge, bool]]:
        """Return the way from a to b as `(e-node, its edge, whether walked towards the root)`."""
        up, down = self._to_root(a), self._to_root(b)
        while up and down and up[-1][0] == down[-1][0]:
            up.pop()
            down.pop()
        return [(n, e, True) for n, e in up] + [(n, e, False) for n, e in reversed(down)]

    def _to_root(self, node: int) -> list[tuple[int, ProofEdge]]:
        path = []
        edge = self.edges[node]
        while edge is not None:
            path.append((node, edge))
            node = edge.target
            edge = self.edges[node]
        return path
