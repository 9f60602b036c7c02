"""What makes an e-node new to a pattern, by its place there.

Most changes of an e-node cannot lead to another match: at the root of a pattern its class does not
matter, and that an operand merged with another class does not where that operand is free.
"""

from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

from saturax.egraph.egraph import EGraph
from saturax.egraph.pattern import PatternNode, PatternVar


class Newness(IntEnum):
    """Why an e-node counts as new: it was made, or …"""

    MADE = 0
    """… nothing else."""
    KEYED = 1
    """… an operand merged with another class."""
    INFORMED = 2
    """… that, or more is known of an operand."""
    PLACED = 3
    """… it came into another class."""
    PLACED_OR_KEYED = 4
    PLACED_OR_INFORMED = 5

    @property
    def is_inner(self) -> bool:
        """Whether the class of the e-node matters."""
        return self >= Newness.PLACED


def stamps_of(egraph: EGraph, newness: Newness) -> tuple[list[int], list[int]]:
    """Two lists of times by e-node: it is new if it is later in either (or the first, if equal)."""
    changed = (egraph.created, egraph.keyed, egraph.informed)[newness % 3]
    return (changed, egraph.placed) if newness.is_inner else (changed, changed)


@lru_cache(maxsize=8192)
def newness_of(pattern: PatternNode, uses_facts: bool) -> tuple[Newness, ...]:
    """The kind of each operation of a pattern, in pre-order."""
    nodes = [node for _, node in pattern.walk()]
    uses = Counter(o.name for node in nodes for o in node.operands if isinstance(o, PatternVar))
    kinds = [_newness(node, uses, uses_facts) for node in nodes]
    return (kinds[0], *[Newness(kind + Newness.PLACED) for kind in kinds[1:]])


def _newness(node: PatternNode, uses: Counter[str], uses_facts: bool) -> Newness:
    variables = [o.name for o in node.operands if isinstance(o, PatternVar)]
    if uses_facts and variables:
        return Newness.INFORMED
    is_free = len(variables) == len(node.operands) and all(uses[name] == 1 for name in variables)
    return Newness.MADE if is_free else Newness.KEYED


def newly(egraph: EGraph, nodes: Iterable[int], since: int) -> dict[Newness, list[int]]:
    """The e-nodes among `nodes` that became new after `since`, in each sense."""
    found: dict[Newness, list[int]] = {kind: [] for kind in Newness}
    created, keyed, informed, placed = egraph.created, egraph.keyed, egraph.informed, egraph.placed
    for node in nodes:
        if placed[node] > since:
            for kind in (Newness.PLACED, Newness.PLACED_OR_KEYED, Newness.PLACED_OR_INFORMED):
                found[kind].append(node)
        elif informed[node] > since:
            found[Newness.PLACED_OR_INFORMED].append(node)
            if keyed[node] > since:
                found[Newness.PLACED_OR_KEYED].append(node)
        if informed[node] > since:
            found[Newness.INFORMED].append(node)
            if keyed[node] > since:
                found[Newness.KEYED].append(node)
                if created[node] > since:
                    found[Newness.MADE].append(node)
    return found
