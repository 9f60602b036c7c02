"""Patterns compiled to Python functions that append matches to a list.

Matching is semi-naive. For a pattern of k operations, variant i finds the matches whose i-th
e-node is newer than `since` while those before it (in pre-order) are not. So all variants together
find each match that has a new e-node once, and variant 0 with since = -1 finds all matches. What
makes an e-node new depends on its place in the pattern (`saturax.egraph.newness`).
A match is a tuple: the e-nodes of the pattern's operations in pre-order, then the classes of the
operand variables.

What a rule does about matches with certain heads, and operands of certain types (of certain data,
if it uses facts), is remembered under that key in `answers`. Where that is nothing, matches are
dropped on the spot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from saturax.egraph.egraph import EGraph
from saturax.egraph.heads import exact_key
from saturax.egraph.newness import Newness, newness_of, stamps_of
from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar

Match = tuple[int, ...]
Key = tuple[int, ...]
Found = tuple[Any, Match]
"""The answer to a match, or its key where the answer is not known yet; and the match."""

# Python nests at most 20 blocks in a function; an operation takes one or two.
_MOST_BLOCKS = 17


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


@dataclass(frozen=True, slots=True)
class Matcher:
    """A pattern compiled for one e-graph.

    `levels[i]` is how far below the root the e-node of variant i lies, `newness[i]` what makes it
    new; `attributes` gives for each attribute variable the (operation, position) that binds it.
    """

    pattern: PatternNode
    variants: tuple[MatchFunction, ...]
    levels: tuple[int, ...]
    newness: tuple[Newness, ...]
    root_group: int
    variables: tuple[str, ...]
    attributes: tuple[tuple[str, int, int], ...]
    uses_facts: bool
    answers: dict[Key, Any]

    def all_matches(self, egraph: EGraph) -> list[Match]:
        """Return every match in a rebuilt e-graph."""
        output: list[Found] = []
        roots = egraph.classes_of_group(self.root_group)
        self.variants[0](roots, -1, output, 1 << 62, lambda: 1 << 62)
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


def compile_matcher(pattern: PatternNode, egraph: EGraph, *, uses_facts: bool = False) -> Matcher:
    """Compile a pattern for an e-graph; with `uses_facts`, answers depend on data of classes."""
    walked = list(pattern.walk())
    nodes = [node for _, node in walked]
    bound: dict[str, tuple[int, int]] = {}
    for index, node in enumerate(nodes):
        for position, attribute in enumerate(node.attributes):
            if isinstance(attribute, PatternAttribute):
                bound.setdefault(attribute.name, (index, position))
    tests = [_attribute_test(node, egraph) for node in nodes]
    factory = _factory(pattern, uses_facts)
    answers: dict[Key, Any] = {}
    variants = factory(
        egraph.groups,
        egraph.keys,
        egraph.stamp,
        [stamps_of(egraph, newness) for newness in newness_of(pattern, uses_facts)],
        egraph.data_id if uses_facts else egraph.type_id,
        answers,
        egraph.heads.commutative,
        egraph.heads.exact,
        [_seed(node, egraph) for node in nodes],
        [{} for _ in nodes],
        tests,
    )
    return Matcher(
        pattern,
        variants,
        tuple(level for level, _ in walked),
        newness_of(pattern, uses_facts),
        egraph.heads.group_index(pattern.op, len(pattern.operands), len(pattern.attributes)),
        pattern.variables,
        tuple((name, *place) for name, place in bound.items()),
        uses_facts,
        answers,
    )


def seed_chains(pattern: PatternNode, egraph: EGraph) -> tuple[tuple[int, ...], ...]:
    """For each operation of a pattern, in pre-order, the seeds from it up to the root.

    A seed is the kind of an e-node or, where the pattern leaves the first attribute open, its
    group.
    """
    path: list[int] = []
    chains = []
    for level, node in pattern.walk():
        path[level:] = [_seed(node, egraph)]
        chains.append(tuple(reversed(path)))
    return tuple(chains)


def _seed(node: PatternNode, egraph: EGraph) -> int:
    """The kind of an operation of the pattern, or its group where the first attribute is open."""
    arity, attribute_count = len(node.operands), len(node.attributes)
    first = node.attributes[0] if node.attributes else None
    if isinstance(first, PatternAttribute):
        return egraph.heads.group_index(node.op, arity, attribute_count)
    return egraph.heads.kind_index(node.op, arity, attribute_count, exact_key(first))


def _attribute_test(node: PatternNode, egraph: EGraph) -> Callable[[int], bool]:
    """Return whether a head's attributes fit one operation of the pattern, seen on its own."""
    literals = [
        (position, exact_key(attribute))
        for position, attribute in enumerate(node.attributes)
        if not isinstance(attribute, PatternAttribute)
    ]
    forms = [
        (position, attribute)
        for position, attribute in enumerate(node.attributes)
        if isinstance(attribute, PatternAttribute) and attribute.form is not None
    ]
    repeated = _repeated_positions(node)

    def test(head: int) -> bool:
        exact = egraph.heads.exact[head]
        return (
            all(exact[position] == literal for position, literal in literals)
            and all(exact[first] == exact[second] for first, second in repeated)
            and all(form.fits(egraph.heads.attributes[head][position]) for position, form in forms)
        )

    return test


def _is_told_by_seed(node: PatternNode) -> bool:
    """Whether each e-node of the seed's kind or group has attributes that fit, seen on its own."""
    return not _repeated_positions(node) and all(
        attribute.form is None
        if isinstance(attribute, PatternAttribute)
        else position == 0 and isinstance(attribute, str)
        for position, attribute in enumerate(node.attributes)
    )


def _repeated_positions(node: PatternNode) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    repeated = []
    for position, attribute in enumerate(node.attributes):
        if isinstance(attribute, PatternAttribute):
            seen = first.setdefault(attribute.name, position)
            if seen != position:
                repeated.append((seen, position))
    return repeated


@lru_cache(maxsize=4096)
def _factory(pattern: PatternNode, uses_facts: bool) -> Callable[..., tuple[MatchFunction, ...]]:
    namespace: dict[str, Any] = {}
    source = _Source(pattern, newness_of(pattern, uses_facts))
    exec(compile(source.text, "<saturax pattern>", "exec"), namespace)
    factory: Callable[..., tuple[MatchFunction, ...]] = namespace["factory"]
    return factory


class _Source:
    """Writes the source of a pattern's matchers: one nest of loops per variant.

    On the e-graphs of benchmarks/egraph_growth.py this was 1.5 to 2.4 times as fast as nested
    closures for the rules with thousands of matches, and 0.8 to 1.2 times for those with few.
    """

    def __init__(self, pattern: PatternNode, newness: tuple[Newness, ...]) -> None:
        self.pattern = pattern
        self.is_inner = [kind.is_inner for kind in newness]
        self.lines: list[str] = []
        self.count = sum(1 for _ in pattern.walk())
        self._write(
            "def factory(groups, keys, stamp, stamps, kinds, answers, "
            "commutative, exact, group, memos, tests):",
            0,
        )
        for index in range(self.count):
            self._write(
                f"group{index}, memo{index}, test{index}, (changed{index}, placed{index}) = "
                f"group[{index}], memos[{index}], tests[{index}], stamps[{index}]",
                1,
            )
        for variant in range(self.count):
            self._variant(variant)
        names = "".join(f"variant{index}, " for index in range(self.count))
        self._write(f"return ({names})", 1)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def _write(self, line: str, indent: int) -> None:
        self.lines.append("    " * indent + line)

    def _variant(self, variant: int) -> None:
        self.new = variant
        self.next_node = 0
        self.blocks = 1
        self.part_indents: list[int] = []
        self.operand_variables: dict[str, str] = {}
        self.attribute_variables: dict[str, str] = {}
        self._write(f"def variant{variant}(roots, since, output, capacity, refuel):", 1)
        self._write("append = output.append", 2)
        self._write("answer_to = answers.get", 2)
        self._write("room = capacity - len(output)", 2)
        self._write("fuel = refuel()", 2)
        self._write("if fuel <= 0 or room <= 0: return 0", 2)
        self._write("for done, root in enumerate(roots):", 2)
        self._candidates(0, "root", 3)
        indent = self._node(self.pattern, 3)
        nodes = "".join(f"n{index}, " for index in range(self.count))
        classes = "".join(f"{name}, " for name in self.operand_variables.values())
        heads = "".join(f"h{index}, " for index in range(self.count))
        kinds = "".join(f"kinds[{name}], " for name in self.operand_variables.values())
        self._write(f"key = ({heads}{kinds})", indent)
        self._write("answer = answer_to(key, key)", indent)
        self._write("if answer is None: continue", indent)
        self._write(f"append((answer, ({nodes}{classes})))", indent)
        self._write("room -= 1", indent)
        self._write(f"if not room: {self._stop}", indent)
        self._end_parts()
        self._write("return len(roots)", 2)

    @property
    def _stop(self) -> str:
        """The statement that ends the search: a part tells the part around it."""
        return "return True" if self.part_indents else "return done"

    def _begin_part(self, indent: int) -> int:
        """Go on in a function of its own; return the indent there."""
        self.part_indents.append(indent)
        self.blocks = 0
        self._write("def part():", indent)
        self._write("nonlocal fuel, room", indent + 1)
        return indent + 1

    def _end_parts(self) -> None:
        """Call the parts from where each was defined, the innermost first."""
        while self.part_indents:
            indent = self.part_indents.pop()
            self._write(f"if part(): {self._stop}", indent)

    def _node(self, node: PatternNode, indent: int) -> int:
        """Write the loops of one operation and of those below it; return the inner indent."""
        index = self.next_node
        self.next_node += 1
        indent = self._loop(index, indent)
        self._attributes(node, index, indent)
        if len(node.operands) >= 2:
            self._write(
                f"for o in ((1, 2) if commutative[h{index}] and k{index}[1] != k{index}[2] "
                "else (1,)):",
                indent,
            )
            indent += 1
        places = [f"k{index}[{position + 1}]" for position in range(len(node.operands))]
        if len(places) >= 2:
            places[:2] = [f"k{index}[o]", f"k{index}[3 - o]"]
        below: list[PatternNode] = []
        following = self.next_node
        for position, operand in enumerate(node.operands):
            if isinstance(operand, PatternVar):
                self._operand_variable(operand.name, places[position], indent)
            else:
                # `o` is overwritten by inner loops, so the class is read now; and an operand
                # without candidates ends the search before those of another are gone through.
                self._candidates(following, places[position], indent)
                following += sum(1 for _ in operand.walk())
                below.append(operand)
        for operand in below:
            indent = self._node(operand, indent)
        return indent

    def _candidates(self, index: int, owner: str, indent: int) -> None:
        """Write what looks up the e-nodes of a class that one operation may stand for."""
        nodes = f"s{index}"
        self._write(f"{nodes} = groups[{owner}].get(group{index})", indent)
        newest = f" or stamp[{nodes}[-1]] <= since" if index == self.new else ""
        self._write(f"if {nodes} is None{newest}: continue", indent)

    def _loop(self, index: int, indent: int) -> int:
        nodes, node = f"s{index}", f"n{index}"
        if self.blocks + 2 > _MOST_BLOCKS:
            indent = self._begin_part(indent)
        self.blocks += 2
        is_new = index == self.new
        self._write(f"fuel -= len({nodes})", indent)
        self._write("if fuel < 0:", indent)
        self._write("fuel = refuel()", indent + 1)
        self._write(f"if fuel <= 0: {self._stop}", indent + 1)
        order = f"reversed({nodes})" if is_new else nodes
        self._write(f"for {node} in {order}:", indent)
        if is_new:
            self._write(f"if stamp[{node}] <= since: break", indent + 1)
            self._write(f"if {self._is_old(index)}: continue", indent + 1)
        elif index < self.new:
            self._write(f"if not ({self._is_old(index)}): continue", indent + 1)
        self._write(f"k{index} = keys[{node}]", indent + 1)
        self._write(f"h{index} = k{index}[0]", indent + 1)
        return indent + 1

    def _is_old(self, index: int) -> str:
        old = f"changed{index}[n{index}] <= since"
        return f"{old} and placed{index}[n{index}] <= since" if self.is_inner[index] else old

    def _attributes(self, node: PatternNode, index: int, indent: int) -> None:
        if not _is_told_by_seed(node):
            self._write(f"fits = memo{index}.get(h{index})", indent)
            self._write(
                f"if fits is None: fits = memo{index}[h{index}] = test{index}(h{index})", indent
            )
            self._write("if not fits: continue", indent)
        own: set[str] = set()
        for position, attribute in enumerate(node.attributes):
            if not isinstance(attribute, PatternAttribute) or attribute.name in own:
                continue
            own.add(attribute.name)
            place = f"exact[h{index}][{position}]"
            bound = self.attribute_variables.setdefault(attribute.name, place)
            if bound != place:
                self._write(f"if {place} != {bound}: continue", indent)

    def _operand_variable(self, name: str, place: str, indent: int) -> None:
        local = self.operand_variables.get(name)
        if local is None:
            local = self.operand_variables[name] = f"x{len(self.operand_variables)}"
            self._write(f"{local} = {place}", indent)
        else:
            self._write(f"if {place} != {local}: continue", indent)
