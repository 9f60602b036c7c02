"""Plain JAX functions as graphs, traced for operands of given types, and graphs as patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Any

import jax
import numpy as np

from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar
from saturax.errors import SaturaxError
from saturax.graph.ir import Graph, Node
from saturax.graph.sampling import Draw
from saturax.graph.types import TensorType, mlir_dtype, numpy_dtype
from saturax.stablehlo import import_module

Function = Callable[..., Any]
Types = tuple[TensorType, ...]

RANKS = (0, 1, 2, 3)
"""Ranks that operands are drawn with."""

_DTYPES = ("f32", "bf16", "i32", "complex<f32>")
_SIZES = (1, 2, 3, 4)
# Asking whether types are accepted takes about a millisecond.
_MOST_RANKS, _RESIZED, _FEW = 256, 12, 4
_EMPTY_SHARE = 0.05


class NotTraceableError(SaturaxError):
    """A function takes no operands of these types, or does not return one array."""


def result_type(function: Function, types: Types) -> TensorType:
    """Type of the one array that a JAX function returns.

    Raises `NotTraceableError` if it raises or returns something else.
    """
    with _mode(types):
        try:
            result = jax.eval_shape(function, *structs(types))
        except Exception as error:  # whatever a user's function raises: it takes no such operands
            raise NotTraceableError(f"{type(error).__name__}: {error}") from error
    if not hasattr(result, "shape"):
        raise NotTraceableError(f"expected one array, got {type(result).__name__}: {result}")
    try:
        return TensorType(tuple(result.shape), mlir_dtype(np.dtype(result.dtype)))
    except (StopIteration, TypeError) as error:
        raise NotTraceableError(f"unknown element type {result.dtype}") from error


def trace(function: Function, types: Types) -> Graph:
    """The graph of a JAX function for operands of these types, each of which is an input.

    Raises `NotTraceableError` as `result_type` does, and if it has side effects.
    """
    result_type(function, types)
    with _mode(types):
        lowered = jax.jit(function, keep_unused=True).lower(*structs(types))
        module: Any = lowered.compiler_ir("stablehlo")
        graph = import_module(module).graph
    if graph.effects or graph.inputs != types:
        raise NotTraceableError("it has side effects, or operands that are not plain tensors")
    return graph


def structs(types: Types) -> list[jax.ShapeDtypeStruct]:
    """Operand types as JAX knows them."""
    return [jax.ShapeDtypeStruct(type.shape, numpy_dtype(type.dtype)) for type in types]


@contextmanager
def _mode(types: Types) -> Iterator[None]:
    """64-bit types exist only in JAX's 64-bit mode."""
    wide = any(type.dtype in ("f64", "i64", "ui64", "complex<f64>") for type in types)
    mode: Any = jax.config  # its stubs do not know its flags
    with jax.enable_x64(wide or mode.jax_enable_x64), np.errstate(all="ignore"):
        yield


def draw_types(accepts: Callable[[Types], bool], count: int, draw: Draw) -> list[Types]:
    """Operand types that `accepts` admits, of every combination of ranks that there is.

    Ranks are found with dimensions of one size; from there sizes are varied as far as they may.
    Booleans alone are tried only if nothing else is admitted.
    The types come in turns: one of each combination of ranks and element types, then the next.
    """
    ranks = list(product(RANKS, repeat=count))
    if len(ranks) > _MOST_RANKS:
        ranks = draw.shuffled(ranks)[:_MOST_RANKS]
    groups: list[list[Types]] = []
    for number, dtypes in enumerate(_dtype_choices(count)):
        if groups and set(dtypes) == {"i1"}:
            continue
        cubes = [
            tuple(TensorType((3,) * r, d) for r, d in zip(chosen, dtypes, strict=True))
            for chosen in ranks
        ]
        accepted = [cube for cube in cubes if accepts(cube)]
        if number == 0 and accepted:
            # What other element types are taken, is asked for these ranks only.
            ranks = [tuple(type.rank for type in cube) for cube in accepted]
        attempts = _RESIZED if number == 0 or len(accepted) <= _FEW else 1
        groups += [list(_resized(cube, accepts, draw, attempts)) for cube in accepted]
    turns = zip_longest(*groups)
    return [types for turn in turns for types in turn if types is not None]


def _dtype_choices(count: int) -> Iterator[tuple[str, ...]]:
    """Element types of the operands: all alike, then one an index or a condition; Booleans last."""
    for dtype in _DTYPES:
        yield (dtype,) * count
    if count > 1:
        for i in range(count):
            for other in ("i32", "i1"):
                yield tuple(other if j == i else "f32" for j in range(count))
    yield ("i1",) * count


def _resized(
    cube: Types, accepts: Callable[[Types], bool], draw: Draw, attempts: int
) -> Iterator[Types]:
    """The types given, and some with other sizes, found by equal sizes that change together."""
    yield cube
    places = [(i, d) for i, type in enumerate(cube) for d in range(type.rank)]
    found = {cube}
    for _ in range(attempts if places else 0):
        current = draw.pick(sorted(found, key=str))
        changed = _changed(current, places, draw)
        if changed not in found and accepts(changed):
            found.add(changed)
            yield changed


def _changed(types: Types, places: Sequence[tuple[int, int]], draw: Draw) -> Types:
    """Another size for one to three dimensions."""
    size = 0 if draw.chance(_EMPTY_SHARE) else draw.pick(_SIZES)
    shapes = [list(type.shape) for type in types]
    for i, d in draw.shuffled(places)[: draw.integer(1, min(3, len(places)))]:
        shapes[i][d] = size
    return tuple(type.with_shape(tuple(s)) for type, s in zip(types, shapes, strict=True))


# ------------------------------------------------------------------ patterns

# Functions and result numbers belong to the structure of a left side; other attributes vary.
_STRUCTURAL = ("unary", "binary", "ternary", "reduce", "get_result")


@dataclass(frozen=True)
class Form:
    """A left side at some operand types: its structure, and the attributes that vary."""

    pattern: PatternNode
    attributes: Mapping[str, Any]


def form_of(graph: Graph, operands: tuple[str, ...]) -> Form:
    """The structure of a graph whose inputs have these names; its output is an operation."""
    return _Former(operands, graph).form()


class _Former:
    """Turns a graph into a pattern with attribute variables, numbered from the root down."""

    def __init__(self, operands: tuple[str, ...], graph: Graph) -> None:
        self.operands = operands
        self.graph = graph
        self.attributes: dict[str, Any] = {}
        self.built: dict[int, PatternNode | PatternVar] = {}

    def form(self) -> Form:
        root = self._build(self.graph.outputs[0])
        assert isinstance(root, PatternNode), "expected an operation"
        return Form(root, self.attributes)

    def _build(self, index: int) -> PatternNode | PatternVar:
        if index not in self.built:
            self.built[index] = self._built(self.graph.nodes[index])
        return self.built[index]

    def _built(self, node: Node) -> PatternNode | PatternVar:
        if node.op == "parameter":
            number: Any = node.attributes[0]
            return PatternVar(self.operands[number])
        attributes = tuple(
            attribute
            if node.op in _STRUCTURAL and isinstance(attribute, str | int)
            else self._variable(attribute)
            for attribute in node.attributes
        )
        return PatternNode(node.op, attributes, tuple(map(self._build, node.operands)))

    def _variable(self, value: Any) -> PatternAttribute:
        # A space keeps it apart from the operands' names.
        name = f"attribute {len(self.attributes)}"
        self.attributes[name] = value
        return PatternAttribute(name)


def tree_size(graph: Graph) -> int:
    """Operations of the output as a tree, where a shared one counts for each use."""
    sizes: list[int] = []
    for node in graph.nodes:
        sizes.append(int(node.op != "parameter") + sum(sizes[i] for i in node.operands))
    return sizes[graph.outputs[0]]
