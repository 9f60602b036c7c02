"""Patterns compiled to Python functions (`saturax.egraph.loops`) that append matches to a list.

Matching is semi-naive. For a pattern of k operations, variant i finds the matches whose i-th
e-node is newer than `since` while those before it (in pre-order) are not. So all variants together
find each match that has a new e-node once, and variant 0 with since = -1 finds all matches. What
makes an e-node new depends on its place in the pattern (`saturax.egraph.newness`).
A match is a tuple: the e-nodes of the pattern's operations in pre-order, then the classes of the
operand variables.

What a rule does about matches with certain heads, and operands of certain types (of certain data,
if it uses facts), is asked once and remembered under that key. Where that is nothing, matches are
dropped on the spot, and so are those about which it has been done: in some e-graphs that are nine
of ten.
"""

from collections.abc import Callable
from typing import Any, Protocol

from saturax.egraph.egraph import EGraph
from saturax.egraph.heads import exact_key, groups_of, kind_index
from saturax.egraph.loops import factory_of, is_told_by_seed, repeated_positions, shape_of
from saturax.egraph.newness import newness_of, stamps_of
from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar

Match = tuple[int, ...]
Key = tuple[int, ...]
Answer = Callable[[Key, Match], Any]
"""What a rule does about the matches of a key, one of which is given; None if that is nothing."""
Usefulness = Callable[[Any, Match], Any]
"""What of an answer is still to be done about a match; None if that is nothing."""
Found = tuple[Any, Match]
"""The answer to a match, which is not None, and the match."""


class MatchFunction(Protocol):
    """Appends what was found at `roots` to `output`; returns how many roots were finished.

    `refuel` returns how many e-nodes may be visited until it is asked again; 0 means stop.
    """

    def __call__(
        self,
        roots: list[int],
        since: int,
        output: list[Found],
        capacity: int,
        refuel: Callable[[], int],
    ) -> int:
        """Match."""


class Matcher:
    """A pattern compiled for one e-graph; a variant is compiled when it is first asked for.

    `levels[i]` is how far below the root the e-node of variant i lies; `attributes` gives for each
    attribute variable the (operation, position) that binds it.
    """

    def __init__(
        self,
        pattern: PatternNode,
        egraph: EGraph,
        answer: Answer = lambda _key, _match: True,
        useful: Usefulness = lambda answer, _match: answer,
        *,
        uses_facts: bool = False,
    ) -> None:
        """Take a pattern; with `uses_facts`, answers depend on data of classes."""
        walked = list(pattern.walk())
        nodes = [node for _, node in walked]
        self.pattern = pattern
        self.uses_facts = uses_facts
        self.levels = tuple(level for level, _ in walked)
        self.variables = pattern.variables
        self.attributes = binding_places(pattern)
        self._shape = shape_of(pattern)
        self._variants: list[MatchFunction | None] = [None] * len(nodes)
        self._tables: tuple[Any, ...] = (
            egraph.groups,
            egraph.keys,
            egraph.stamp,
            [stamps_of(egraph, newness) for newness in newness_of(pattern, uses_facts)],
            egraph.data_id if uses_facts else egraph.type_id,
            {},
            answer,
            useful,
            egraph.heads.commutative,
            egraph.heads.exact,
            [_seed(node) for node in nodes],
            [{} for _ in nodes],
            [attribute_test(node, egraph) for node in nodes],
            _guards(nodes, self.variables, egraph),
        )

    def variant(self, index: int) -> MatchFunction:
        """The function that finds the matches of a variant."""
        found = self._variants[index]
        if found is None:
            found = self._variants[index] = factory_of(self._shape, index)(*self._tables)
        return found

    def all_matches(self, egraph: EGraph) -> list[Match]:
        """Return every match that has an answer, in a rebuilt e-graph."""
        output: list[Found] = []
        roots = list(egraph.classes())
        self.variant(0)(roots, -1, output, 1 << 62, lambda: 1 << 62)
        return [match for _, match in output]

    def key_of(self, egraph: EGraph, match: Match) -> Key:
        """Return what the answer to a match depends on: heads, and types or data of variables."""
        nodes, classes = match[: len(self.levels)], match[len(self.levels) :]
        kinds = egraph.data_id if self.uses_facts else egraph.type_id
        return (*[egraph.keys[node][0] for node in nodes], *[kinds[id] for id in classes])

    def binding(self, match: Match) -> dict[str, int]:
        """Return the class of each operand variable."""
        return dict(zip(self.variables, match[len(self.levels) :], strict=True))

    def attribute_values(self, egraph: EGraph, match: Match) -> dict[str, Any]:
        """Return the value of each attribute variable."""
        return {
            name: egraph.heads.attributes[egraph.keys[match[node]][0]][position]
            for name, node, position in self.attributes
        }


def binding_places(pattern: PatternNode) -> tuple[tuple[str, int, int], ...]:
    """For each attribute variable of a pattern, the operation and the position that bind it."""
    bound: dict[str, tuple[int, int]] = {}
    for index, (_, node) in enumerate(pattern.walk()):
        for position, attribute in enumerate(node.attributes):
            if isinstance(attribute, PatternAttribute):
                bound.setdefault(attribute.name, (index, position))
    return tuple((name, *place) for name, place in bound.items())


def seed_chains(pattern: PatternNode) -> tuple[tuple[int, ...], ...]:
    """For each operation of a pattern, in pre-order, the seeds from it up to the root.

    A seed is the kind of an e-node or, where the pattern leaves open what the first attribute
    names, its group.
    """
    path: list[int] = []
    chains = []
    for level, node in pattern.walk():
        path[level:] = [_seed(node)]
        chains.append(tuple(reversed(path)))
    return tuple(chains)


def root_operands(pattern: PatternNode) -> tuple[tuple[int, int], ...]:
    """The positions, from 1, and the seeds of the root's operands that are operations."""
    return tuple(
        (position, _seed(operand))
        for position, operand in enumerate(pattern.operands, 1)
        if isinstance(operand, PatternNode)
    )


def _seed(node: PatternNode) -> int:
    """The kind of an operation of the pattern, or its group where nothing names a function."""
    arity, attribute_count = len(node.operands), len(node.attributes)
    first = node.attributes[0] if node.attributes else None
    if isinstance(first, PatternAttribute):
        return kind_index(node.op, arity, attribute_count, first.form)
    return kind_index(node.op, arity, attribute_count, exact_key(first))


def _guards(
    nodes: list[PatternNode], variables: tuple[str, ...], egraph: EGraph
) -> dict[int, Callable[[int], bool]]:
    """For each guarded variable, by number, whether it must not stand for a class."""
    return {
        variables.index(operand.name): _made_by(operand.no_result_of, egraph)
        for node in nodes
        for operand in node.operands
        if isinstance(operand, PatternVar) and operand.no_result_of is not None
    }


def _made_by(op: str, egraph: EGraph) -> Callable[[int], bool]:
    """Return whether a class is what an operation makes of another class."""
    groups, keys = egraph.groups, egraph.keys

    def is_made(id: int) -> bool:
        there = groups[id]
        for group in groups_of(op):
            for node in there.get(group, ()):
                if keys[node][1] != id:
                    return True
        return False

    return is_made


def head_tests(pattern: PatternNode) -> tuple[tuple[int, PatternNode | None], ...]:
    """For each operation of a pattern its seed and, where that does not tell all, itself."""
    nodes = [node for _, node in pattern.walk()]
    return tuple([(_seed(node), None if is_told_by_seed(node) else node) for node in nodes])


def attribute_test(node: PatternNode, egraph: EGraph) -> Callable[[int], bool]:
    """Return whether a head's attributes fit one operation of the pattern, seen on its own."""
    literals = [
        (position, exact_key(attribute))
        for position, attribute in enumerate(node.attributes)
        if not isinstance(attribute, PatternAttribute)
    ]
    forms = [
        (position, attribute)
        for position, attribute in enumerate(node.attributes)
        if isinstance(attribute, PatternAttribute) and not attribute.is_free
    ]
    repeated = repeated_positions(node)

    def test(head: int) -> bool:
        exact = egraph.heads.exact[head]
        return (
            all(exact[position] == literal for position, literal in literals)
            and all(exact[first] == exact[second] for first, second in repeated)
            and all(form.fits(egraph.heads.attributes[head][position]) for position, form in forms)
        )

    return test
