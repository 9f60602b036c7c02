"""What makes an e-node new to a pattern, by its place there.

Most changes of an e-node cannot lead to another match: at the root of a pattern its class does not
matter, and that an operand merged with another class does not where that operand is free.
"""

from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

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

    def comes_with(self, change: "Change") -> bool:
        """Whether e-nodes to which this happened are new."""
        return change.least <= self % 3 or (self.is_inner and change.is_placed)


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


class Change(NamedTuple):
    """What happened to an e-node: the least `Newness` that is no inner one, and if it was placed.

    E-nodes that were made were keyed and informed as well, and those that were keyed informed.
    """

    least: int
    is_placed: bool


def changes(egraph: EGraph, nodes: Iterable[int], since: int) -> dict[Change, list[int]]:
    """The e-nodes among `nodes` that changed after `since`, each under what happened to it."""
    found: dict[Change, list[int]] = {}
    created, keyed, informed, placed = egraph.created, egraph.keyed, egraph.informed, egraph.placed
    for node in nodes:
        least = 3
        if informed[node] > since:
            least = 2 if keyed[node] <= since else 1 if created[node] <= since else 0
        change = (least, placed[node] > since)
        if change in found:
            found[change].append(node)
        elif change != (3, False):
            found[Change(*change)] = [node]
    return dict(sorted(found.items()))
