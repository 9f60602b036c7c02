"""Proofs by z3: true rules are proved, false ones are not, and elements mean what they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saturax.errors import RuleError
from saturax.graph.build import Value
from saturax.graph.ops import (
    add,
    concatenate,
    dynamic_slice,
    maximum,
    multiply,
    negate,
    pad,
    reverse,
    slice_,
    subtract,
    transpose,
    unary,
)
from saturax.graph.reference import evaluate_operation
from saturax.graph.types import TensorType
from saturax.rules import all_rules
from saturax.rules.rule import BITWISE, Rule, need, rule
from saturax.testing.evidence import PROVED, recorded

from .false_rules import FALSE_RULES

pytestmark = pytest.mark.oracle
z3 = pytest.importorskip("z3", reason="needs z3: pip install '.[oracle]'")

from saturax.testing.smt import prove, values  # noqa: E402 (needs z3)

BY_NAME = {rule.name: rule for rule in all_rules()}

INDEX_RULES = {
    "merge_transposes": 3,
    "push_transpose_through_unary": 2,
    "push_transpose_through_reverse": 2,
    "merge_slices": 1,
    "slice_before_reverse": 1,
    "slice_of_concatenate": 1,
    "slice_before_unary": 1,
    "slice_of_padding": 1,
    "update_everything_2d": 2,
    "drop_clamped_indices_2d": 2,
    "slice_of_update_1d": 1,
}
"""Rules about places, and the rank up to which they must be proved within half a minute."""

VALUE_RULES = (
    "negate_twice complement_twice differ_twice complement_junction combine_with_complement "
    "merge_complements negate_difference_exactly cancel_addend_exactly add_negated swap_comparison"
).split()


@pytest.mark.parametrize("name", INDEX_RULES)
def test_index_rule_is_proved_for_all_sizes(name: str) -> None:
    proof = prove(BY_NAME[name], time_limit_s=30)
    assert proof.is_complete, proof.open
    assert proof.proved["f32"] >= INDEX_RULES[name]


@pytest.mark.parametrize("name", VALUE_RULES)
def test_elementwise_rule_is_proved_for_all_values(name: str) -> None:
    proof = prove(BY_NAME[name], time_limit_s=60)
    assert {"i8", "i32"} <= set(proof.proved), proof.open
    assert not proof.has_constants


@pytest.mark.parametrize("name", sorted(FALSE_RULES))
def test_false_rule_is_not_proved(name: str) -> None:
    false, kinds = FALSE_RULES[name]
    if not {"bits", "integers", "values"} & set(kinds):
        pytest.skip("its sides are equal in value, or it does not apply")
    try:
        proof = prove(false, time_limit_s=5)
    except RuleError:
        return
    # It may be right for some element types (a rule about NaN is, on integers), for low ranks, or
    # for the constants that were drawn.
    on_floats = {"f16", "f32"} & set(proof.proved)
    assert not on_floats or proof.has_constants or min(proof.proved.values()) in (1, 2)


def test_counterexample_of_index_arithmetic() -> None:
    """Slices of slices whose starts are added without the stride."""

    @rule(
        lambda x, a, b, s, c, d, t: slice_(slice_(x, a, b, s), c, d, t),
        numerics=BITWISE,
        source="a mistake",
    )
    def merge_slices_wrongly(x: Value, a: Any, b: Any, s: Any, c: Any, d: Any, t: Any) -> Value:
        """x[a::s][c::t] = x[a+c::s·t]"""
        need(all(n > 0 for n in x.shape))
        starts = tuple(i + j for i, j in zip(a, c, strict=True))
        strides = tuple(i * j for i, j in zip(s, t, strict=True))
        counts = [-(-(j - i) // k) for i, j, k in zip(c, d, t, strict=True)]
        ends = [i + (n - 1) * k + 1 for i, n, k in zip(starts, counts, strides, strict=True)]
        need(all(n > 0 for n in counts))
        need(all(e <= n for e, n in zip(ends, x.shape, strict=True)))
        return slice_(x, starts, tuple(ends), strides)

    proof = prove(merge_slices_wrongly, time_limit_s=30)
    assert "f32" not in proof.proved
    assert "sat" in proof.open["f32"]


def test_case_that_no_instance_shows() -> None:
    """Wrong for one size only, which random instances do not reach."""

    @rule(lambda x, d: reverse(x, d), numerics=BITWISE, source="a mistake")
    def reverse_almost(x: Value, d: Any) -> Value:
        """reverse(x) = reverse(x), but for 1000 elements x"""
        return x if x.rank == 1 and x.shape[0] == 1000 else reverse(x, d)

    assert "sat" in prove(reverse_almost).open["f32"]


@pytest.mark.parametrize("sides", ["pad", "concatenate", "dynamic_slice"])
def test_other_index_arithmetic(sides: str) -> None:
    def crop(x: Value, v: Value, a: Any, b: Any) -> Value:
        """Padding twice with one value is padding once."""
        need(all(i >= 0 for i in a + b))
        zeros = (0,) * x.rank
        return pad(x, v, tuple(2 * i for i in a), tuple(2 * i for i in b), zeros)

    def rejoin(x: Value, y: Value, d: Any) -> Value:
        """-(x, y) = (-x, -y)"""
        return concatenate(negate(x), negate(y), d)

    def move(x: Value, i: Value, n: Any) -> Value:
        """(-x)[i] = -(x[i])"""
        return negate(dynamic_slice(x, [i], n))

    tested: dict[str, Rule] = {
        "pad": rule(
            lambda x, v, a, b: pad(pad(x, v, a, b, (0,)), v, a, b, (0,)),
            numerics=BITWISE,
            source="index arithmetic",
        )(crop),
        "concatenate": rule(
            lambda x, y, d: negate(concatenate(x, y, d)), numerics=BITWISE, source="parallel"
        )(rejoin),
        "dynamic_slice": rule(
            lambda x, i, n: dynamic_slice(negate(x), [i], n), numerics=BITWISE, source="parallel"
        )(move),
    }
    proof = prove(tested[sides], time_limit_s=60)
    assert "f32" in proof.proved, proof.open


def test_opaque_functions_are_not_confused() -> None:
    @rule(lambda f, x, p: unary(f, transpose(x, p)), numerics=BITWISE, source="a mistake")
    def forget_function(f: Any, x: Value, p: Any) -> Value:
        """f(xᵖ) = xᵖ"""
        need(f in ("exponential", "tanh"))
        return transpose(x, p)

    assert "f32" not in prove(forget_function).proved


_FUNCTIONS = {
    "i8": "add subtract multiply divide remainder maximum minimum and or xor shift_left "
    "shift_right_logical shift_right_arithmetic negate not abs sign popcnt count_leading_zeros",
    "ui8": "add subtract multiply divide remainder maximum minimum shift_left shift_right_logical "
    "shift_right_arithmetic",
    "f16": "add subtract multiply divide maximum minimum negate abs sign sqrt floor ceil "
    "round_nearest_even round_nearest_afz",
    "i1": "add multiply maximum minimum and or xor not",
}
_UNARY = frozenset(
    "negate not abs sign popcnt count_leading_zeros sqrt floor ceil round_nearest_even "
    "round_nearest_afz".split()
)


@pytest.mark.parametrize(
    ("dtype", "f"), [(dtype, f) for dtype, names in _FUNCTIONS.items() for f in names.split()]
)
def test_elements_mean_what_the_reference_says(dtype: str, f: str) -> None:
    type = TensorType((40,), dtype)
    rng = np.random.default_rng(0)
    operands = [_special(dtype, rng) for _ in range(1 if f in _UNARY else 2)]
    op = "unary" if f in _UNARY else "binary"
    expected = evaluate_operation(op, (f,), operands, type)
    for i in range(type.size):
        elements = [values.constant(x[i], dtype) for x in operands]
        found = values.apply(f, elements, dtype, dtype)
        assert z3.is_true(z3.simplify(found == values.constant(expected[i], dtype))), (
            [x[i] for x in operands],
            expected[i],
        )


def _special(dtype: str, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if dtype == "i1":
        return rng.random(40) < 0.5
    if dtype == "f16":
        special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 65504, 6e-8, 0.5, -2.5, 1.5]
        return np.where(rng.random(40) < 0.5, rng.choice(special, 40), rng.normal(0, 9, 40)).astype(
            np.float16
        )
    low = 0 if dtype == "ui8" else -128
    drawn = rng.integers(low, low + 256, 40)
    drawn[:6] = (0, low, low + 255, 1, 0, 7)
    return drawn.astype(np.uint8 if dtype == "ui8" else np.int8)


def test_recorded_proofs_can_be_repeated() -> None:
    """A sample of what docs/rules.md says to be proved."""
    names = [name for name, status in recorded().items() if PROVED in status and name in BY_NAME]
    assert len(names) > 100
    for name in names[:: len(names) // 12]:
        assert prove(BY_NAME[name], time_limit_s=60).proved, name


def test_rules_on_floats_with_their_meaning() -> None:
    @rule(lambda x, y: maximum(x, y), numerics=BITWISE, source="a mistake")
    def maximum_by_sum(x: Value, y: Value) -> Value:
        """max(x, y) = max(x, y) + 0·x"""
        return add(maximum(x, y), multiply(subtract(x, x), y))

    assert "z3 says sat" in prove(maximum_by_sum).open["f16"]
