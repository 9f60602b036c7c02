"""The public harness: what instances are drawn, and what a report says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    constant,
    convert,
    convolution,
    divide,
    dot_general,
    full_like,
    multiply,
    reduce_,
    subtract,
    transpose,
    unary,
)
from saturax.graph.reference import UnsupportedError, evaluate
from saturax.graph.sampling import Draw
from saturax.graph.types import TensorType, is_complex, is_float
from saturax.rules.facts import (
    constant_of,
    is_diagonal,
    is_identity,
    is_lower_triangular,
    is_nonnegative,
    is_permutation_matrix,
    is_symmetric,
    one_hot_of,
)
from saturax.rules.rule import BITWISE, ROUNDING, Rule, need, rule
from saturax.testing import Evidence, check, instances
from saturax.testing.modular import PRIME, Residues, draw_residues, evaluate_residues
from saturax.testing.structured import structured_literal


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


# ------------------------------------------------------------------ exact arithmetic


def test_tolerance_hides_what_the_field_shows() -> None:
    """1e-12·y is far below what double precision is compared to."""

    @rule(lambda x, y: add(x, y), numerics=ROUNDING, source="a mistake")
    def add_almost(x: Value, y: Value) -> Value:
        """x + y = x + y + 2⁻⁴⁰·y"""
        need(x.dtype == "f64")
        return add(add(x, y), multiply(full_like(y, 2.0**-40), y))

    failure = check(add_almost, count=50).failures[0]
    assert failure.startswith("integers:")
    assert "modulo 2³¹-1" in failure


def test_quotients_are_compared_exactly() -> None:
    @rule(lambda x, y, z: add(divide(x, z), divide(y, z)), numerics=ROUNDING, source="algebra")
    def add_quotients(x: Value, y: Value, z: Value) -> Value:
        """x/z + y/z = (x + y)/z"""
        need(is_float(x.dtype) or is_complex(x.dtype))
        return divide(add(x, y), z)

    report = check(add_quotients, count=40)
    assert not report.failures
    assert report.evidence[Evidence.FIELD] > 25


def test_contractions_have_exact_evidence() -> None:
    @rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), numerics=ROUNDING, source="identity")
    def keep_dot(x: Value, y: Value, d: Any, p: Any, t: Any) -> Value:
        """x · y = 2 x · y - x · y"""
        need(is_float(t) or is_complex(t))
        product = dot_general(x, y, d, p, t)
        return subtract(dot_general(add(x, x), y, d, p, t), product)

    @rule(
        lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
        numerics=ROUNDING,
        source="identity",
    )
    def keep_convolution(x: Value, k: Value, w: Any, d: Any, g: Any, p: Any, t: Any) -> Value:
        """x * k = 2 x * k - x * k"""
        need((is_float(t) or is_complex(t)) and t == k.dtype)
        product = convolution(x, k, w, d, g, p, t)
        return subtract(convolution(x, add(k, k), w, d, g, p, t), product)

    for tested in (keep_dot, keep_convolution):
        report = check(tested, count=30)
        assert not report.failures
        assert report.evidence[Evidence.FIELD] >= 15


@pytest.mark.parametrize("tested", ["sum", "product", "complex product"])
def test_residues_are_the_integers_modulo_the_prime(tested: str) -> None:
    dtype = "complex<f64>" if tested.startswith("complex") else "f64"
    builder = GraphBuilder((TensorType((3, 4), dtype), TensorType((3, 4), dtype)))
    x, y = builder.parameters
    with building(builder):
        z = multiply(add(x, y), subtract(x, full_like(x, 0.5)))
        result = reduce_("add" if tested == "sum" else "multiply", z, (1,))
    graph = builder.finish([result])
    rng = np.random.default_rng(0)
    parts = [rng.integers(-4, 5, (3, 4)) * (1 + 0j) for _ in range(2)]
    if is_complex(dtype):
        parts = [part + 1j * rng.integers(-4, 5, (3, 4)) for part in parts]
    (expected,) = evaluate(graph, [p if is_complex(dtype) else p.real for p in parts])
    residues = [
        Residues(
            p.real.astype(np.int64) % PRIME,
            p.imag.astype(np.int64) % PRIME if is_complex(dtype) else None,
        )
        for p in parts
    ]
    found = evaluate_residues(graph, residues)
    assert isinstance(found, Residues)
    # Sixteenths of integers: n/16 is n·16⁻¹.
    for part, exact in zip(found.parts, (expected.real, expected.imag), strict=False):
        np.testing.assert_array_equal(part * 16 % PRIME, (16 * exact).astype(np.int64) % PRIME)


def test_what_has_no_meaning_over_a_field_is_left_to_the_reals() -> None:
    builder = GraphBuilder((TensorType((3,), "f32"),))
    with building(builder):
        graph = builder.finish([unary("sqrt", builder.parameters[0])])
    inputs = [draw_residues(TensorType((3,), "f32"), rng())]
    with pytest.raises(UnsupportedError, match="sqrt has no meaning over a field"):
        evaluate_residues(graph, inputs)


# ------------------------------------------------------------------ facts


def test_structured_constants_and_computed_operands_are_drawn() -> None:
    @rule(lambda x: unary("abs", x), numerics=BITWISE, source="algebra", uses_facts=True)
    def drop_absolute(x: Value) -> Value:
        """|x| = x if x ≥ 0 is known and x has no negative zero"""
        need(is_nonnegative(x) and x.dtype in ("i32", "i8"))
        return x

    report = check(drop_absolute, count=15)
    assert not report.failures
    assert report.applied == 15
    graphs = [i.operands["x"] for i in instances(drop_absolute, 40, rng())]
    assert {type(operand).__name__ for operand in graphs} == {"Graph", "Literal"}


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4)])
def test_structures(shape: tuple[int, ...]) -> None:
    asked = (is_identity, is_diagonal, is_lower_triangular, is_symmetric, is_permutation_matrix)
    found = set()
    draw = Draw(rng())
    for _ in range(200):
        builder = GraphBuilder()
        x = builder.make("constant", (structured_literal(draw, TensorType(shape, "f32")),), ())
        found |= {question.__name__ for question in asked if question(x)}
        if one_hot_of(x):
            found.add("one_hot")
    assert found == {question.__name__ for question in asked} | {"one_hot"}


def test_computed_examples() -> None:
    """An operand that is given as a graph is part of the left side."""

    def square(rng: np.random.Generator) -> dict[str, Any]:
        builder = GraphBuilder((TensorType((int(rng.integers(1, 4)),), "f32"),))
        (x,) = builder.parameters
        with building(builder):
            return {"x": builder.finish([multiply(x, x)])}

    @rule(
        lambda x: unary("abs", x),
        numerics=BITWISE,
        source="algebra",
        uses_facts=True,
        examples=square,
    )
    def drop_absolute_of_square(x: Value) -> Value:
        """|x| = x if x is a square"""
        need(is_nonnegative(x))
        return x

    report = check(drop_absolute_of_square)
    assert not report.failures
    assert report.share == 1


# ------------------------------------------------------------------ evidence


def test_report_tells_what_was_seen() -> None:
    report = check(merge_transposes, count=60)
    assert report.evidence[Evidence.BITS] + report.evidence[Evidence.INTEGERS] >= 55
    assert set(range(1, 5)) <= set(report.distribution.ranks)
    assert report.distribution.sizes[1] > 10
    assert {"f32", "i32", "bf16"} <= set(report.distribution.dtypes)


def test_rule_without_evidence_is_untested() -> None:
    @rule(lambda x: unary("sqrt", x), numerics=ROUNDING, source="nowhere", uses_facts=True)
    def root_of_negative(x: Value) -> Value:
        """√x = x where x = -1: both are never numbers together"""
        literal = constant_of(x)
        need(literal is not None and literal.is_splat and is_float(x.dtype) and literal.value == -1)
        return unary("sqrt", x)

    assert check(root_of_negative).failures[0].startswith("untested:")


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64", "f8E4M3FN"])
def test_adversarial_inputs_have_limits_and_neighbours(dtype: str) -> None:
    from ml_dtypes import finfo

    from saturax.graph.types import numpy_dtype
    from saturax.testing.inputs import Inputs, draw_tensor

    values = draw_tensor(TensorType((4000,), dtype), Inputs.ADVERSARIAL, Draw(rng()))
    wide = values.astype(np.float64)
    info: Any = finfo(numpy_dtype(dtype))
    for special in (info.max, -info.max, info.tiny, info.smallest_subnormal, 1 + float(info.eps)):
        assert (wide == float(special)).any(), special
    assert np.isnan(wide).any()
    assert (np.signbit(wide) & (wide == 0)).any()
