"""The public harness: what instances are drawn, and what a report says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import add, constant, convert, dot_general, multiply, transpose, unary
from saturax.graph.types import TensorType, is_float
from saturax.rules.facts import constant_of
from saturax.rules.rule import BITWISE, ROUNDING, Rule, need, rule
from saturax.testing import check, instances


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@rule(lambda x, p, q: transpose(transpose(x, p), q), numerics=BITWISE, source="StableHLO spec")
def merge_transposes(x: Value, p: Any, q: Any) -> Value:
    """(xᵖ)ᑫ = x^(p∘q)"""
    return transpose(x, tuple(p[i] for i in q))


@rule(lambda x, c: add(x, constant(c)), numerics=BITWISE, source="IEEE 754")
def drop_negative_zero(x: Value, c: Literal) -> Value:
    """x + -0 = x"""
    need(is_float(x.dtype) and c.is_splat and c.value == 0 and np.signbit(np.float64(c.value)))
    return x


@rule(lambda x, y: multiply(x, y), numerics=BITWISE, source="IEEE 754", uses_facts=True)
def drop_unit_factor(x: Value, y: Value) -> Value:
    """x · 1 = x"""
    literal = constant_of(y)
    need(literal is not None and literal.is_splat and literal.value == 1 and y.dtype != "i1")
    return x


def test_true_rule_passes() -> None:
    report = check(merge_transposes, count=25)
    assert (report.applied, report.drawn, report.failures) == (25, 25, ())
    assert report.share == 1
    report.raise_if_failed()


@pytest.mark.parametrize("tested", [drop_negative_zero, drop_unit_factor], ids=lambda r: r.name)
def test_constants_are_drawn_where_rules_ask_for_them(tested: Rule) -> None:
    report = check(tested, count=25)
    assert not report.failures
    assert report.applied == 25
    assert 0 < report.share < 0.5


def test_same_seed_gives_same_instances() -> None:
    first, second = ([str(i) for i in instances(merge_transposes, 10, rng())] for _ in range(2))
    assert first == second


def test_variables_that_occur_twice_are_bound_once() -> None:
    @rule(
        lambda x, y, p: add(transpose(x, p), transpose(y, p)), numerics=BITWISE, source="StableHLO"
    )
    def pull(x: Value, y: Value, p: Any) -> Value:
        """xᵖ + yᵖ = (x + y)ᵖ"""
        return transpose(add(x, y), p)

    for instance in instances(pull, 20, rng()):
        transposes = [node for node in instance.left.nodes if node.op == "transpose"]
        assert len({node.attributes for node in transposes}) == 1


def test_element_types_suit_the_functions() -> None:
    @rule(lambda x: unary("exponential", convert(x, "f32")), numerics=BITWISE, source="identity")
    def keep(x: Value) -> Value:
        """exp(f32(x)) = exp(f32(x))"""
        return unary("exponential", convert(x, "f32"))

    found = {instance.inputs[0].dtype for instance in instances(keep, 100, rng())}  # type: ignore[union-attr]
    assert len(found) >= 8


def test_examples_are_used() -> None:
    @rule(
        lambda x, y, d, p, t: dot_general(x, y, d, p, t),
        numerics=ROUNDING,
        source="identity",
        examples=lambda rng: {"x": TensorType((5, 7), "f32"), "t": "f32"},
    )
    def keep(x: Value, y: Value, d: Any, p: Any, t: Any) -> Value:
        """x · y = x · y for x of one shape"""
        need(x.shape == (5, 7))
        return dot_general(x, y, d, p, t)

    report = check(keep, count=25)
    assert not report.failures
    assert report.share > 0.9


def test_dtypes_can_be_chosen() -> None:
    for instance in instances(merge_transposes, 10, rng(), dtypes=("i8",)):
        assert instance.inputs[0].dtype == "i8"  # type: ignore[union-attr]


def test_expansive_rules_may_grow() -> None:
    def right(x: Value, y: Value) -> Value:
        """x + y = 1·x + y"""
        return add(add(add(x, y), y), unary("negate", y))

    bounded = rule(lambda x, y: add(x, y), numerics=ROUNDING, source="algebra")(right)
    expansive = rule(lambda x, y: add(x, y), numerics=ROUNDING, source="algebra", expansive=True)
    assert any("explosive" in failure for failure in check(bounded).failures)
    assert not any("explosive" in failure for failure in check(expansive(right)).failures)
