"""The source of matchers: for each variant of a pattern one nest of loops, in a Python function.

On the e-graphs of benchmarks/egraph_growth.py this was 1.5 to 2.4 times as fast as nested
closures for the rules with thousands of matches, and 0.8 to 1.2 times for those with few. Patterns
of one shape differ in their operations and attributes only, which the functions are given: a
function is compiled once for all of them, 242 shapes for the 871 rules of the default setting.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar

# Python nests at most 20 blocks in a function; an operation takes one or two.
_MOST_BLOCKS = 17
# Asking a rule takes as long as visiting so many e-nodes.
_FUEL_OF_ANSWER = 400

Factory = Callable[..., Callable[..., int]]


class Shape(NamedTuple):
    """What the source depends on of an operation of a pattern.

    An operand is a number, if it is a variable (the same for the same variable), else a shape.
    `is_tested` says whether attributes have to be looked at; `equal_attributes` which of them, by
    position, equal one of an earlier operation, by that one's index and its position there.
    `guarded` are the variables that stand here first and not for any class.
    """

    operands: "tuple[int | Shape, ...]"
    is_tested: bool
    equal_attributes: tuple[tuple[int, int, int], ...]
    guarded: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of operations."""
        return 1 + sum(operand.size for operand in self.operands if isinstance(operand, Shape))


@lru_cache(maxsize=4096)
def shape_of(pattern: PatternNode) -> Shape:
    """The shape of a pattern."""
    variables = {name: number for number, name in enumerate(pattern.variables)}
    attributes: dict[str, tuple[int, int]] = {}
    indices: Iterator[int] = iter(range(sum(1 for _ in pattern.walk())))

    def shape(node: PatternNode) -> Shape:
        index = next(indices)
        equal = []
        for position, attribute in enumerate(node.attributes):
            if isinstance(attribute, PatternAttribute):
                place = attributes.setdefault(attribute.name, (index, position))
                if place[0] != index:
                    equal.append((position, *place))
        operands = tuple(
            variables[operand.name] if isinstance(operand, PatternVar) else shape(operand)
            for operand in node.operands
        )
        guarded = tuple(
            variables[operand.name]
            for operand in node.operands
            if isinstance(operand, PatternVar) and operand.no_result_of is not None
        )
        return Shape(operands, not is_told_by_seed(node), tuple(equal), guarded)

    return shape(pattern)


def is_told_by_seed(node: PatternNode) -> bool:
    """Whether each e-node of the seed's kind or group has attributes that fit, seen on its own."""
    return not repeated_positions(node) and all(
        attribute.is_free
        if isinstance(attribute, PatternAttribute)
        else position == 0 and isinstance(attribute, str)
        for position, attribute in enumerate(node.attributes)
    )


def repeated_positions(node: PatternNode) -> list[tuple[int, int]]:
    """Pairs of positions at which an operation has the same attribute variable."""
    first: dict[str, int] = {}
    repeated = []
    for position, attribute in enumerate(node.attributes):
        if isinstance(attribute, PatternAttribute):
            seen = first.setdefault(attribute.name, position)
            if seen != position:
                repeated.append((seen, position))
    return repeated


@lru_cache(maxsize=4096)
def factory_of(shape: Shape, variant: int) -> Factory:
    """What makes the matching function of a variant from the tables of an e-graph."""
    namespace: dict[str, Any] = {}
    exec(compile(_Source(shape, variant).text, "<saturax pattern>", "exec"), namespace)
    factory: Factory = namespace["factory"]
    return factory


class _Source:
    """Writes the source of one variant."""

    def __init__(self, shape: Shape, variant: int) -> None:
        self.new = variant
        self.count = shape.size
        self.lines: list[str] = []
        # Of operations whose loops have begun, and what is to be compared once more of them have.
        self.begun: set[int] = set()
        self.comparisons: list[tuple[int, int, int, int]] = []
        self.blocks = 1
        self.part_indents: list[int] = []
        self.variables: dict[int, str] = {}
        self._write(
            "def factory(groups, keys, stamp, stamps, kinds, answers, ask, useful, "
            "commutative, exact, group, memos, tests, guards):",
            0,
        )
        for index in range(self.count):
            self._write(
                f"group{index}, memo{index}, test{index}, (changed{index}, placed{index}) = "
                f"group[{index}], memos[{index}], tests[{index}], stamps[{index}]",
                1,
            )
        self._function(shape)
        self._write("return match", 1)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def _write(self, line: str, indent: int) -> None:
        self.lines.append("    " * indent + line)

    def _function(self, shape: Shape) -> None:
        self._write("def match(roots, since, output, capacity, refuel):", 1)
        self._write("append = output.append", 2)
        self._write("answer_to = answers.get", 2)
        self._write("room = capacity - len(output)", 2)
        self._write("fuel = refuel()", 2)
        self._write("if fuel <= 0 or room <= 0: return 0", 2)
        self._write("for done, root in enumerate(roots):", 2)
        self._candidates(0, "root", 3)
        indent = self._node(0, shape, 3)
        variables = [name for _, name in sorted(self.variables.items())]
        nodes = "".join(f"n{index}, " for index in range(self.count))
        classes = "".join(f"{name}, " for name in variables)
        heads = "".join(f"h{index}, " for index in range(self.count))
        kinds = "".join(f"kinds[{name}], " for name in variables)
        self._write(f"key = ({heads}{kinds})", indent)
        self._write("answer = answer_to(key, key)", indent)
        self._write("if answer is key:", indent)
        self._write(f"answer = answers[key] = ask(key, ({nodes}{classes}))", indent + 1)
        self._write(f"fuel -= {_FUEL_OF_ANSWER}", indent + 1)
        self._write("if answer is None: continue", indent)
        self._write(f"found = ({nodes}{classes})", indent)
        self._write("answer = useful(answer, found)", indent)
        self._write("if answer is None: continue", indent)
        self._write("append((answer, found))", indent)
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

    def _node(self, index: int, shape: Shape, indent: int) -> int:
        """Write the loops of one operation and of those below it; return the inner indent.

        The operand below which the e-node is new goes first: mostly there is none, and what
        another operand may be need not be gone through.
        """
        indent = self._loop(index, indent)
        places = [f"k{index}[{position + 1}]" for position in range(len(shape.operands))]
        if len(places) == 1 and shape.operands[0] in self.variables:
            # Few e-nodes have the operand, and attributes take longer to look at.
            self._variable(shape.operands[0], places[0], shape.guarded, indent)
            self._attributes(shape, index, indent)
            return indent
        self._attributes(shape, index, indent)
        if len(places) >= 2:
            self._write(
                f"for o in ((1, 2) if commutative[h{index}] and k{index}[1] != k{index}[2] "
                "else (1,)):",
                indent,
            )
            indent += 1
            places[:2] = [f"k{index}[o]", f"k{index}[3 - o]"]
        below: list[tuple[int, Shape]] = []
        following = index + 1
        for operand, place in zip(shape.operands, places, strict=True):
            if isinstance(operand, Shape):
                # `o` is overwritten by inner loops, so the class is read now; and an operand
                # without candidates ends the search before those of another are gone through.
                self._candidates(following, place, indent)
                below.append((following, operand))
                following += operand.size
            else:
                self._variable(operand, place, shape.guarded, indent)
        below.sort(key=lambda item: not item[0] <= self.new < item[0] + item[1].size)
        for first, operand in below:
            indent = self._node(first, operand, indent)
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
        return indent + 1

    def _is_old(self, index: int) -> str:
        old = f"changed{index}[n{index}] <= since"
        return f"{old} and placed{index}[n{index}] <= since" if index else old

    def _attributes(self, shape: Shape, index: int, indent: int) -> None:
        self._write(f"h{index} = k{index}[0]", indent)
        if shape.is_tested:
            self._write(f"fits = memo{index}.get(h{index})", indent)
            self._write(
                f"if fits is None: fits = memo{index}[h{index}] = test{index}(h{index})", indent
            )
            self._write("if not fits: continue", indent)
        self.begun.add(index)
        self.comparisons += [(index, *equal) for equal in shape.equal_attributes]
        for comparison in list(self.comparisons):
            here, position, node, there = comparison
            if {here, node} <= self.begun:
                self.comparisons.remove(comparison)
                self._write(
                    f"if exact[h{here}][{position}] != exact[h{node}][{there}]: continue", indent
                )

    def _variable(self, number: int, place: str, guarded: tuple[int, ...], indent: int) -> None:
        local = self.variables.get(number)
        if local is None:
            local = self.variables[number] = f"x{number}"
            self._write(f"{local} = {place}", indent)
            if number in guarded:
                self._write(f"if guards[{number}]({local}): continue", indent)
        else:
            self._write(f"if {place} != {local}: continue", indent)
