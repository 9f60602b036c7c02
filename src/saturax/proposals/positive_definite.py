"""Matrices that are symmetric positive definite by construction, such as X·Xᵀ + c·1 with c > 0."""

from __future__ import annotations

from saturax.graph.build import Value
from saturax.graph.ops import DotDimensions
from saturax.graph.types import is_float
from saturax.rules.facts import is_identity, is_positive, splat_of
from saturax.rules.solving import swap

_DEEPEST = 8


def is_positive_definite(x: Value, depth: int = _DEEPEST) -> bool:
    """Whether x is known to hold real symmetric positive definite matrices."""
    if depth == 0 or not is_float(x.dtype):
        return False
    if is_identity(x):
        return True
    inner = _mirrored(x) or _scaled(x)
    if inner is not None:
        return is_positive_definite(inner, depth - 1)
    f = x.node.attributes[0] if x.node.op == "binary" else None
    if f != "add":
        return False
    first, second = (_operand(x, i) for i in range(2))
    return any(
        is_positive_definite(one, depth - 1) and is_semidefinite(other, depth - 1)
        for one, other in ((first, second), (second, first))
    )


def is_semidefinite(x: Value, depth: int = _DEEPEST) -> bool:
    """Whether x is known to hold real symmetric matrices without negative eigenvalues."""
    if depth == 0 or not is_float(x.dtype):
        return False
    inner = _mirrored(x) or _scaled(x)
    if inner is not None:
        return is_semidefinite(inner, depth - 1)
    if x.node.op == "binary" and x.node.attributes[0] == "add":
        return all(is_semidefinite(_operand(x, i), depth - 1) for i in range(2))
    return _is_gram(x) or is_positive_definite(x, depth - 1)


def _operand(x: Value, i: int) -> Value:
    index = x.node.operands[i]
    return Value(x.builder, index, x.builder.nodes[index].type)


def _mirrored(x: Value) -> Value | None:
    """What x is the transpose of, in the last two dimensions; else None."""
    is_transpose = x.node.op == "transpose" and x.node.attributes[0] == swap(x.rank)
    return _operand(x, 0) if is_transpose else None


def _scaled(x: Value) -> Value | None:
    """What x is a product of with one positive number, or a quotient by one; else None."""
    f = x.node.attributes[0] if x.node.op == "binary" else None
    if f not in ("multiply", "divide"):
        return None
    for i in (1, 0) if f == "multiply" else (1,):
        number = _operand(x, i)
        if _is_uniform(number) and is_positive(number):
            return _operand(x, 1 - i)
    return None


def _is_uniform(x: Value) -> bool:
    """Whether all elements of x are one number."""
    while x.node.op in ("broadcast_in_dim", "reshape"):
        x = _operand(x, 0)
    return x.size == 1 or splat_of(x) is not None


def _is_gram(x: Value) -> bool:
    """Whether x is Y·Yᵀ: a product of one value with itself, all but one dimension shared."""
    if x.node.op != "dot_general" or x.rank < 2:
        return False
    d = DotDimensions(*x.node.attributes[0])  # type: ignore[misc]
    (left, first), (right, second) = (_untransposed(_operand(x, i)) for i in range(2))
    if left.index != right.index or left.dtype != x.dtype:
        return False
    same_batch = [first[i] for i in d.lhs_batch] == [second[i] for i in d.rhs_batch]
    pairs = zip(d.lhs_contract, d.rhs_contract, strict=True)
    same_sum = all(first[i] == second[j] for i, j in pairs)
    free = len(first) - len(d.lhs_batch) - len(d.lhs_contract)
    return same_batch and same_sum and free == 1


def _untransposed(x: Value) -> tuple[Value, tuple[int, ...]]:
    """What x is transposed from, and the dimension of that which each dimension of x is."""
    order = tuple(range(x.rank))
    while x.node.op == "transpose":
        p: tuple[int, ...] = x.node.attributes[0]  # type: ignore[assignment]
        order = tuple(p[i] for i in order)
        x = _operand(x, 0)
    return x, order
