"""The loop by which JAX turns the row swaps of an LU factorisation into a permutation.

JAX's own lowering says what the loop looks like: a program's loop is that operation if it is the
very same. Where JAX counts in 64 bits, the loop is written with a 32-bit counter instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import jax
import jax.export
import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.ops import Routine, generic_of
from saturax.graph.types import TensorType

LOOP = "stablehlo.while"


@cache
def permutation_loop(pivots: TensorType, size: int, counts_wide: bool = False) -> Graph:
    """The program that makes a permutation of `size` rows from swaps of type `pivots`.

    With `counts_wide`, as JAX writes it where 64-bit types are enabled.
    """
    from saturax.stablehlo.importer import import_module

    def permutation(swaps: jax.Array) -> jax.Array:
        return jax.lax.linalg.lu_pivots_to_permutation(swaps, size)

    swaps = jax.ShapeDtypeStruct(pivots.shape, np.int32)
    with jax.enable_x64(counts_wide):
        exported = jax.export.export(jax.jit(permutation), platforms=("cpu",))(swaps)
    return import_module(exported.mlir_module_serialized, recognize_loops=False).graph


def read_permutation(nodes: Sequence[Node], result: Node) -> Node | None:
    """The `lu_permutation` that a result of a loop is, or None if it is something else."""
    (loop,) = result.operands
    operands = nodes[loop].operands
    swaps = nodes[operands[0]].type if operands else None
    if not (isinstance(swaps, TensorType) and swaps.dtype == "i32" and swaps.rank):
        return None
    type = result.type
    if not (isinstance(type, TensorType) and type.dtype == "i32" and type.rank == swaps.rank):
        return None
    if type.shape[:-1] != swaps.shape[:-1] or 0 in (*swaps.shape, *type.shape):
        return None
    size = type.shape[-1]
    if swaps.shape[-1] > size or len(operands) != _operand_count():
        return None
    for counts_wide in (False, True):
        template = permutation_loop(swaps, size, counts_wide)
        found = _matches(template, template.outputs[0], nodes, result)
        if found is not None:
            return Node("lu_permutation", (size, Routine()), (found,), result.type)
    return None


@cache
def _operand_count() -> int:
    """Operands of the loop, captured values included."""
    template = permutation_loop(TensorType((2,), "i32"), 2)
    loop = template.nodes[template.outputs[0]].operands[0]
    return len(template.nodes[loop].operands)


def _matches(template: Graph, at: int, nodes: Sequence[Node], node: Node) -> int | None:
    """The node that stands for the template's parameter if `node` is the template at `at`."""
    bound: set[int] = set()

    def same(inner: int, outer: int) -> bool:
        if template.nodes[inner].op == "parameter":
            bound.add(outer)
            return template.nodes[inner].type == nodes[outer].type
        return same_operation(template.nodes[inner], nodes[outer])

    def same_operation(expected: Node, found: Node) -> bool:
        if not _is_alike(expected, found):
            return False
        return all(map(same, expected.operands, found.operands))

    if not same_operation(template.nodes[at], node) or len(bound) != 1:
        return None
    return bound.pop()


def _is_alike(a: Node, b: Node) -> bool:
    """Whether nodes are the same operation, whatever the order of operations in its regions."""
    if (a.op, a.type, len(a.operands)) != (b.op, b.type, len(b.operands)):
        return False
    if a.attributes == b.attributes:
        return True
    first, second = generic_of(a), generic_of(b)
    if first is None or second is None or len(first.regions) != len(second.regions):
        return False
    same_regions = all(map(_is_same_function, first.regions, second.regions))
    return same_regions and first._replace(regions=()) == second._replace(regions=())


def _is_same_function(a: Graph, b: Graph) -> bool:
    """Whether graphs without effects have the same outputs, as expressions of their inputs."""
    known: set[tuple[int, int]] = set()

    def same(i: int, j: int) -> bool:
        if (i, j) not in known:
            first, second = a.nodes[i], b.nodes[j]
            if not _is_alike(first, second) or not all(map(same, first.operands, second.operands)):
                return False
            known.add((i, j))
        return True

    if a.inputs != b.inputs or a.effects or b.effects or len(a.outputs) != len(b.outputs):
        return False
    return all(map(same, a.outputs, b.outputs))
