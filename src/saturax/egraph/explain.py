"""Explanations: which rules make two e-nodes equal, read off the proof forest.

Every union left one edge between the e-nodes it was made for. The path between two e-nodes is the
chain of reasons; a step's premises (equal children of congruent e-nodes, and what a rule's match
took for equal) are explained in turn, each pair once, so that the list stays linear in the forest.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from saturax.egraph.egraph import EGraph
from saturax.egraph.injectivity import INJECTIVITY
from saturax.egraph.proof import CONGRUENCE, SWAPPED_CONGRUENCE, ProofEdge
from saturax.egraph.store import INPUT


@dataclass(frozen=True, slots=True)
class Step:
    """One equality `left = right` between e-nodes by permanent id.

    `reason` is a rule's name or a congruence marker; `is_forward` says that the rule was used from
    left to right. Steps of `depth` d + 1 explain premises of a step of depth d.
    """

    left: int
    right: int
    reason: str
    is_forward: bool
    depth: int

    @property
    def is_congruence(self) -> bool:
        """Whether the two are equal just because their operands are, or what is made of them."""
        return self.reason in (CONGRUENCE, SWAPPED_CONGRUENCE, INJECTIVITY)


def explain(egraph: EGraph, a: int, b: int) -> tuple[Step, ...]:
    """List the steps from e-node (or class) `a` to `b`, then the steps of their premises.

    Raises ValueError if the two are not known to be equal.
    """
    if egraph.find(a) != egraph.find(b):
        raise ValueError(
            f"{egraph.node(a)} and {egraph.node(b)} are in different classes, so there is nothing "
            "to explain. Compare find(a) with find(b) first."
        )
    steps: list[Step] = []
    explained: set[tuple[int, int]] = set()
    listed: set[tuple[int, int]] = set()
    waiting = [(a, b, 0)]
    for left, right, depth in waiting:
        if left == right or (left, right) in explained:
            continue
        explained.update(((left, right), (right, left)))
        for source, edge, is_upward in egraph.proof.path(left, right):
            if (source, edge.target) in listed:
                continue
            listed.add((source, edge.target))
            steps.append(_step(source, edge, is_upward, depth))
            waiting += [(x, y, depth + 1) for x, y in _premises(egraph, source, edge)]
    return tuple(steps)


def rules_between(
    egraph: EGraph, original_ids: Iterable[int], chosen: Sequence[int], roots: Iterable[int] = ()
) -> Counter[str]:
    """Count the rule applications by which the `chosen` e-nodes follow from the original ones.

    Both are permanent ids of e-nodes. A chosen e-node whose class holds an original one counts
    every distinct step between them; one in a new class counts the rule that made it. `roots` are
    the original's results. Where one of them, or an operand of an original e-node that was chosen,
    is taken from another e-node of its class, that is a step, too: what only drops operations
    chooses nothing new.
    """
    originals: dict[int, int] = {}
    original_nodes = set()
    for id in original_ids:
        originals.setdefault(egraph.find(id), id)
        original_nodes.add(id)
    used: dict[tuple[str, int, int], None] = {}

    def use(start: int, end: int) -> None:
        for step in explain(egraph, start, end):
            if not step.is_congruence:
                low, high = sorted((step.left, step.right))
                used[step.reason, low, high] = None

    taken = {egraph.find(id): id for id in chosen} | {id: id for id in chosen}

    def use_instead(id: int) -> None:
        use(id, taken.get(id, taken.get(egraph.find(id), id)))

    for wanted in roots:
        use_instead(wanted)
    for id in chosen:
        if id in original_nodes:
            for operand in egraph.original[id][1:]:
                use_instead(operand)
            continue
        start = originals.get(egraph.find(id))
        if start is None:
            if egraph.origin(id) != INPUT:
                used[egraph.origin(id), id, id] = None
            continue
        use(start, id)
    return Counter(reason for reason, _, _ in used)


def _step(source: int, edge: ProofEdge, is_upward: bool, depth: int) -> Step:
    if is_upward:
        return Step(source, edge.target, edge.reason, not edge.is_reversed, depth)
    return Step(edge.target, source, edge.reason, edge.is_reversed, depth)


def _premises(egraph: EGraph, source: int, edge: ProofEdge) -> list[tuple[int, int]]:
    if edge.justification is not None:
        return edge.justification.premises(egraph)
    a, b = list(egraph.original[source][1:]), list(egraph.original[edge.target][1:])
    if edge.reason == SWAPPED_CONGRUENCE:
        b[:2] = b[1], b[0]
    elif edge.reason != CONGRUENCE:
        return []
    return list(zip(a, b, strict=True))
