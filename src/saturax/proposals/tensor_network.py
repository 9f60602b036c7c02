"""A tree of contractions as one tensor network.

    root[a…] = scale · Σ over all other labels of factor₁[…] · factor₂[…] · …

What takes part: `dot_general`, sums, products, negation, constant factors, and what moves elements
around them (transposes, broadcasts, reshapes that split or merge dimensions, diagonals).
Everything else is a factor. Dimensions of size 1 have no label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.ops import DotDimensions, GatherDimensions, Precision
from saturax.graph.types import TensorType, is_complex, is_float, is_integer
from saturax.proposals.masks import (
    diagonal_of_mask,
    gathered_diagonal,
    is_zero,
    number_of,
    splat_of_node,
)
from saturax.rules.arithmetic import accumulation_dtype, is_finite
from saturax.rules.shapes import blocks

Axis = tuple[int, ...]
"""One dimension as a row-major product of labels; () has size 1."""

MOST_FACTORS = 32
_DEEPEST = 200
MOVEMENT = ("transpose", "reshape", "broadcast_in_dim")
_CONTRACTIVE = ("dot_general", "reduce", "binary")


@dataclass(frozen=True)
class Factor:
    """Node `node` of the graph, with the labels of its dimensions."""

    node: int
    axes: tuple[Axis, ...]

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """All labels, in row-major order; one that occurs twice selects a diagonal."""
        return tuple(label for axis in self.axes for label in axis)


@dataclass(frozen=True)
class Network:
    """What `root` equals, and the nodes between root and factors (`interior`, root included).

    `sizes` holds the size of each label. Products are computed in `dtype`, with the `precision` of
    the dots in the network (the highest, where there were none).
    """

    root: int
    factors: tuple[Factor, ...]
    axes: tuple[Axis, ...]
    scale: complex
    sizes: Mapping[int, int]
    interior: frozenset[int]
    dtype: str
    precision: Precision

    @property
    def output(self) -> tuple[int, ...]:
        """The labels of the root's dimensions, in row-major order."""
        return tuple(label for axis in self.axes for label in axis)


@dataclass(frozen=True)
class Reading:
    """How networks are to be read off a graph: through nodes in `open`, others are factors.

    `summands` maps sums to what stands for them, an operand and its sign, each time they are met;
    they must be met as often as that: a product is linear in each of its factors.
    """

    graph: Graph
    open: Sequence[bool]
    summands: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)


def network_of(reading: Reading, root: int) -> Network | None:
    """The network whose result is node `root`; None if that is not a contraction or product."""
    node: Any = reading.graph.nodes[root]
    if not is_contractive(reading.graph, node) and gathered_diagonal(reading.graph, node) is None:
        return None
    reader = _Reader(reading, node.type.dtype)
    axes = reader.read(root, is_root=True)
    return reader.finish(root, axes)


def is_contractive(graph: Graph, node: Any) -> bool:
    """Whether a node is a sum of products of its operands, in its own type throughout."""
    if not isinstance(node.type, TensorType):
        return False
    dtype = node.type.dtype
    if not (is_float(dtype) or is_complex(dtype) or is_integer(dtype)):
        return False
    if node.op not in _CONTRACTIVE:
        return False
    for operand in node.operands:
        type = graph.nodes[operand].type
        if not isinstance(type, TensorType) or type.dtype != dtype or not type.size:
            return False
    if node.op == "dot_general":
        precision = Precision(*node.attributes[1])
        return not precision.algorithm and len(set(precision.operands)) <= 1
    is_sum = node.op == "reduce" and node.attributes[0] == "add"
    is_product = node.op == "binary" and node.attributes[0] == "multiply"
    return (is_sum or is_product) and accumulation_dtype(dtype) == dtype


class _MismatchError(Exception):
    """Labels of two dimensions have no common refinement."""


class _Reader:
    """Follows operands from the root, collecting factors and merging labels."""

    def __init__(self, reading: Reading, dtype: str) -> None:
        self.reading = reading
        self.graph = reading.graph
        self.dtype = dtype
        self.precision: Precision | None = None
        self.sizes: dict[int, int] = {}
        self.parts: dict[int, Axis] = {}
        self.factors: list[tuple[int, list[Axis]]] = []
        self.scale: complex = 1
        self.interior: list[int] = []
        self.masks: list[tuple[Axis, Axis]] = []
        self.abandoned: set[int] = set()
        self.substituted: list[int] = []

    # Labels.

    def new(self, size: int) -> Axis:
        """A fresh axis."""
        if size == 1:
            return ()
        label = len(self.sizes)
        self.sizes[label] = size
        return (label,)

    def resolve(self, axis: Axis) -> Axis:
        """The axis in labels that have neither been split nor identified with others."""
        found: list[int] = []
        pending = list(reversed(axis))
        while pending:
            label = pending.pop()
            if label in self.parts:
                pending.extend(reversed(self.parts[label]))
            else:
                found.append(label)
        return tuple(found)

    def size(self, axis: Axis) -> int:
        """Number of indices of an axis."""
        return prod(self.sizes[label] for label in axis)

    def unify(self, a: Axis, b: Axis) -> None:
        """Identify two axes of one size, splitting labels where the other's are smaller."""
        left, right = list(reversed(self.resolve(a))), list(reversed(self.resolve(b)))
        while left and right:
            first, second = left[-1], right[-1]
            if first == second:
                left.pop(), right.pop()
            elif self.sizes[first] == self.sizes[second]:
                self.parts[second] = (first,)
                left = [first if label == second else label for label in left[:-1]]
                right = [first if label == second else label for label in right[:-1]]
            else:
                self._split_larger(left, right)
        if left or right:
            raise _MismatchError

    def _split_larger(self, left: list[int], right: list[int]) -> None:
        """Split the larger of the last labels so that its first part is as large as the other."""
        smaller = min(self.sizes[left[-1]], self.sizes[right[-1]])
        larger = left if self.sizes[left[-1]] > smaller else right
        label = larger[-1]
        rest, remainder = divmod(self.sizes[label], smaller)
        if remainder or label in left[:-1] + right[:-1]:
            raise _MismatchError
        parts = self.new(smaller) + self.new(rest)
        self.parts[label] = parts
        larger[-1:] = reversed(parts)

    # Nodes.

    def read(self, index: int, *, is_root: bool = False, depth: int = 0) -> list[Axis]:
        """The axes of node `index`, whose factors are collected, or which becomes a factor."""
        node: Any = self.graph.nodes[index]
        full = len(self.factors) >= MOST_FACTORS or depth > _DEEPEST
        if not full and (is_root or self._may_enter(index, node)):
            before = self._position()
            precision, scale, first_label = self.precision, self.scale, len(self.sizes)
            self.interior.append(index)
            try:
                axes = self._enter(index, node, depth + 1)
            except _MismatchError:
                axes = None
            if axes is not None:
                return axes
            self.precision, self.scale = precision, scale
            self.abandoned.update(range(first_label, len(self.sizes)))
            for collected, count in zip(self._collected(), before, strict=True):
                del collected[count:]
        axes = [self.new(n) for n in node.type.shape]
        self.factors.append((index, axes))
        return axes

    def _collected(self) -> tuple[list[Any], ...]:
        return self.factors, self.interior, self.masks, self.substituted

    def _position(self) -> list[int]:
        """How much has been collected, to come back to."""
        return [len(collected) for collected in self._collected()]

    def _may_enter(self, index: int, node: Node) -> bool:
        """Whether to look into a node, by its type and by who else uses it."""
        type = node.type
        if not isinstance(type, TensorType) or type.dtype != self.dtype or not type.size:
            return False
        if node.op in MOVEMENT or node.op == "constant" or index in self.reading.summands:
            return True
        return self.reading.open[index]

    def _enter(self, index: int, node: Any, depth: int) -> list[Axis] | None:
        """The axes of a node that takes part; None if it does not."""
        if index in self.reading.summands:
            choices, met = self.reading.summands[index], self.substituted.count(index)
            self.substituted.append(index)
            operand, sign = choices[min(met, len(choices) - 1)]
            self.scale *= sign
            return self.read(operand, depth=depth)
        if node.op in MOVEMENT:
            return self._move(node, depth)
        if node.op == "constant":
            return self._constant(node.attributes[0])
        if is_contractive(self.graph, node):
            return self._contract(node, depth)
        if node.op == "gather":
            return self._diagonal(node, depth)
        if node.op == "ternary" or node.op == "unary":
            return self._mask_or_sign(index, node, depth)
        if node.op == "binary" and node.attributes[0] == "divide":
            return self._quotient(node, depth)
        return None

    def _move(self, node: Any, depth: int) -> list[Axis] | None:
        axes = self.read(node.operands[0], depth=depth)
        if node.op == "transpose":
            return [axes[d] for d in node.attributes[0]]
        if node.op == "broadcast_in_dim":
            shape, dimensions = node.attributes
            place = {d: axis for d, axis in zip(dimensions, axes, strict=True) if axis}
            return [place[d] if d in place else self.new(n) for d, n in enumerate(shape)]
        source: Any = self.graph.nodes[node.operands[0]].type
        result: list[Axis] = [()] * len(node.attributes[0])
        result = [() for _ in node.attributes[0]]
        for block in blocks(source.shape, node.attributes[0]) or ():
            whole: Axis = tuple(label for d in block.source for label in axes[d])
            fresh = [self.new(node.attributes[0][d]) for d in block.target]
            self.unify(whole, tuple(label for axis in fresh for label in axis))
            for dimension, axis in zip(block.target, fresh, strict=True):
                result[dimension] = axis
        return result

    def _constant(self, literal: Literal) -> list[Axis] | None:
        if not literal.is_splat or not is_finite(literal) or literal.value == 0:
            return None
        self.scale *= number_of(literal)
        return [self.new(n) for n in literal.type.shape]

    def _contract(self, node: Any, depth: int) -> list[Axis] | None:
        if node.op == "reduce":
            axes = self.read(node.operands[0], depth=depth)
            return [axis for d, axis in enumerate(axes) if d not in node.attributes[1]]
        if node.op == "dot_general":
            precision = Precision(*node.attributes[1])
            if self.precision is not None and self.precision != precision:
                return None
            self.precision = precision
        x, y = (self.read(operand, depth=depth) for operand in node.operands)
        if node.op == "binary":
            for a, b in zip(x, y, strict=True):
                self.unify(a, b)
            return x
        d = DotDimensions(*node.attributes[0])
        left, right = d.lhs_batch + d.lhs_contract, d.rhs_batch + d.rhs_contract
        for i, j in zip(left, right, strict=True):
            self.unify(x[i], y[j])
        free = [x[i] for i in d.lhs_free(len(x))] + [y[i] for i in d.rhs_free(len(y))]
        return [x[i] for i in d.lhs_batch] + free

    def _mask_or_sign(self, index: int, node: Any, depth: int) -> list[Axis] | None:
        """-x; x where two indices are equal, else 0; 1 where two indices are equal, else 0."""
        if node.attributes[0] == "negate":
            self.scale = -self.scale
            return self.read(node.operands[0], depth=depth)
        is_select = node.attributes[0] == "select"
        if not is_select and node.attributes[0] != ("convert", self.dtype):
            return None
        if is_select and not is_zero(self.graph, node.operands[2]):
            return None
        places = diagonal_of_mask(self.graph, node.operands[0])
        if places is None:
            return None
        if is_select:
            axes = self.read(node.operands[1], depth=depth)
        else:
            axes = [self.new(n) for n in node.type.shape]
        self.masks.append((axes[places[0]], axes[places[1]]))
        return axes

    def _diagonal(self, node: Any, depth: int) -> list[Axis] | None:
        """A gather of equal indices."""
        places = gathered_diagonal(self.graph, node)
        if places is None:
            return None
        axes = self.read(node.operands[0], depth=depth)
        first = axes[places[0]]
        self.masks += [(first, axes[place]) for place in places[1:]]
        whole = (axis for d, axis in enumerate(axes) if d not in places)
        offsets = GatherDimensions(*node.attributes[0]).offset_dims
        return [next(whole) if d in offsets else first for d in range(len(node.type.shape))]

    def _quotient(self, node: Any, depth: int) -> list[Axis] | None:
        """x / c for a constant c."""
        divisor = splat_of_node(self.graph, node.operands[1])
        if divisor is None or is_integer(self.dtype) or not is_finite(divisor):
            return None
        if divisor.value == 0 or accumulation_dtype(self.dtype) != self.dtype:
            return None
        self.scale /= number_of(divisor)
        return self.read(node.operands[0], depth=depth)

    # The whole.

    def finish(self, root: int, axes: list[Axis]) -> Network | None:
        """The network; None if a mask's diagonal is wanted as a matrix, or sums met too often."""
        choices = self.reading.summands.items()
        if Counter(self.substituted) != {index: len(chosen) for index, chosen in choices}:
            return None
        try:
            for a, b in self.masks:
                self.unify(a, b)
        except _MismatchError:
            return None
        output = tuple(map(self.resolve, axes))
        labels = [label for axis in output for label in axis]
        if len(set(labels)) < len(labels):
            return None
        factors = tuple(Factor(node, tuple(map(self.resolve, own))) for node, own in self.factors)
        used = {label for factor in factors for label in factor.labels} | set(labels)
        live = self.sizes.keys() - self.parts.keys() - self.abandoned
        # What no factor varies along is summed as often as it has indices.
        self.scale *= prod(self.sizes[label] for label in live - used)
        return Network(
            root=root,
            factors=factors,
            axes=output,
            scale=self.scale,
            sizes={label: self.sizes[label] for label in used},
            interior=frozenset(self.interior),
            dtype=self.dtype,
            precision=_precision(self.precision, self.dtype),
        )


def _precision(given: Precision | None, dtype: str) -> Precision:
    """The precision of dots in the network; sums of products were computed as they are."""
    if given is not None:
        return given
    is_single = dtype in ("f32", "complex<f32>")
    return Precision(("HIGHEST", "HIGHEST")) if is_single else Precision()
