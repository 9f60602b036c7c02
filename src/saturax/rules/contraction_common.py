"""Common factors of products that read the other factor in different layouts: x·y ± x·zᵀ."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import DotDimensions, Precision, binary, dot_general, transpose
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import is_uniform
from saturax.rules.rule import ROUNDING, need, rule

BILINEAR = "matrix multiplication is bilinear"
LINEAR_FUNCTIONS = ("add", "subtract")


def _roles(
    batch: tuple[int, ...], contract: tuple[int, ...], rank: int
) -> tuple[tuple[int, ...], int]:
    """The dimensions of an operand in the order of their roles: batch, contracted, free."""
    used = (*batch, *contract)
    return (*used, *(i for i in range(rank) if i not in used)), len(used)


def _like(y: Value, z: Value, roles_of_y: Any, roles_of_z: Any) -> Any:
    """z, each dimension where the one of the same role is in y."""
    (of_y, used), (of_z, other) = roles_of_y, roles_of_z
    need(y.rank == z.rank and used == other and of_y != of_z)
    place = dict(zip(of_y, of_z, strict=True))
    moved = transpose(z, tuple(place[i] for i in range(y.rank)))
    need(moved.shape == y.shape)
    return moved


def _transposed(rng: np.random.Generator) -> dict[str, Any]:
    """Two products of a matrix, with a matrix and with the transpose of one."""
    n, m, k = (int(i) for i in rng.integers(1, 4, 3))
    t = str(rng.choice(["f32", "i32", "f64"]))
    x, y, z = (TensorType(shape, t) for shape in ((n, k), (k, m), (m, k)))
    plain, turned = DotDimensions((), (), (1,), (0,)), DotDimensions((), (), (1,), (1,))
    return {"x": x, "y": y, "z": z, "d": plain, "e": turned, "t": t, "f": "subtract"}


@rule(
    lambda f, x, y, z, d, e, p, t: binary(
        f, dot_general(x, y, d, p, t), dot_general(x, z, e, p, t)
    ),
    numerics=ROUNDING,
    source=BILINEAR,
    examples=_transposed,
)
def factor_left_operand_of_transposed(
    f: str, x: Value, y: Value, z: Value, d: Any, e: Any, p: Precision, t: str
) -> Any:
    """x·y ± x·zᵀ = x · (y ± zᵀ)"""
    d, e = DotDimensions(*d), DotDimensions(*e)
    need(f in LINEAR_FUNCTIONS and is_uniform(t, x, y, z))
    need((d.lhs_batch, d.lhs_contract) == (e.lhs_batch, e.lhs_contract))
    roles = (_roles(i.rhs_batch, i.rhs_contract, y.rank) for i in (d, e))
    return dot_general(x, binary(f, y, _like(y, z, *roles)), d, p, t)


def _turned(rng: np.random.Generator) -> dict[str, Any]:
    """The same with the common matrix on the right."""
    n, m, k = (int(i) for i in rng.integers(1, 4, 3))
    t = str(rng.choice(["f32", "i32", "f64"]))
    x, y, z = (TensorType(shape, t) for shape in ((n, k), (k, n), (k, m)))
    plain, turned = DotDimensions((), (), (1,), (0,)), DotDimensions((), (), (0,), (0,))
    return {"x": x, "y": y, "z": z, "d": plain, "e": turned, "t": t, "f": "subtract"}


@rule(
    lambda f, x, y, z, d, e, p, t: binary(
        f, dot_general(x, z, d, p, t), dot_general(y, z, e, p, t)
    ),
    numerics=ROUNDING,
    source=BILINEAR,
    examples=_turned,
)
def factor_right_operand_of_transposed(
    f: str, x: Value, y: Value, z: Value, d: Any, e: Any, p: Precision, t: str
) -> Any:
    """x·z ± yᵀ·z = (x ± yᵀ) · z"""
    d, e = DotDimensions(*d), DotDimensions(*e)
    need(f in LINEAR_FUNCTIONS and is_uniform(t, x, y, z))
    need((d.rhs_batch, d.rhs_contract) == (e.rhs_batch, e.rhs_contract))
    roles = (_roles(i.lhs_batch, i.lhs_contract, x.rank) for i in (d, e))
    return dot_general(binary(f, x, _like(x, y, *roles)), z, d, p, t)
