"""Residues by powers of two: what a mask of the lowest bits does not see."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import binary, constant, full_like, multiply
from saturax.graph.types import TensorType
from saturax.rules.conditions import INTEGERS, need_variable
from saturax.rules.rule import BITWISE, need, rule

TWOS_COMPLEMENT = "two's complement arithmetic"


def _and(x: Any, y: Any) -> Any:
    return binary("and", x, y)


def _masked_sum(rng: np.random.Generator) -> dict[str, Any]:
    type, k = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "ui32"]))), rng.integers(1, 5)
    added = splat(int(rng.integers(-3, 4) % 8) << int(k), type)
    f = str(rng.choice(["add", "subtract"]))
    return {"f": f, "x": type, "c": added, "d": splat((1 << int(k)) - 1, type)}


def _need_no_bits(x: Value, c: Literal, d: Literal) -> None:
    """Go on where the splat d is a mask of the lowest bits, which multiples of c do not have."""
    need(x.dtype in INTEGERS and c.is_splat and d.is_splat)
    mask = int(d.value)
    need(mask > 0 and mask & (mask + 1) == 0 and int(c.value) % (mask + 1) == 0)


@rule(
    lambda f, x, c, d: _and(binary(f, x, constant(c)), constant(d)),
    numerics=BITWISE,
    source=TWOS_COMPLEMENT,
    uses_facts=True,
    examples=_masked_sum,
)
def drop_multiple_under_mask(f: Any, x: Value, c: Literal, d: Literal) -> Value | None:
    """(x ± m·2ᵏ) ∧ (2ᵏ - 1) = x ∧ (2ᵏ - 1), integers"""
    need_variable(x)
    need(f in ("add", "subtract"))
    _need_no_bits(x, c, d)
    return _and(x, constant(d))


def _masked_product(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _masked_sum(rng)
    return drawn | {"y": drawn["x"]}


@rule(
    lambda x, c, d: _and(multiply(x, constant(c)), constant(d)),
    numerics=BITWISE,
    source=TWOS_COMPLEMENT,
    examples=_masked_product,
)
def mask_of_multiple(x: Value, c: Literal, d: Literal) -> Value | None:
    """(x · m·2ᵏ) ∧ (2ᵏ - 1) = 0, integers"""
    _need_no_bits(x, c, d)
    return full_like(x, 0)


@rule(
    lambda f, x, y, c, d: _and(binary(f, multiply(x, constant(c)), y), constant(d)),
    numerics=BITWISE,
    source=TWOS_COMPLEMENT,
    examples=_masked_product,
)
def drop_product_under_mask(f: Any, x: Value, y: Value, c: Literal, d: Literal) -> Value | None:
    """(x · m·2ᵏ + y) ∧ (2ᵏ - 1) = y ∧ (2ᵏ - 1), integers; ∨ and ⊕ too"""
    need(f in ("add", "or", "xor"))
    _need_no_bits(x, c, d)
    return _and(y, constant(d))
