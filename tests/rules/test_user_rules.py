"""Users' own rules: two JAX functions, checked, matched at any rank, and used by the pipeline."""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import saturax
from saturax import Options, OptionsError, RuleError, UserRule, rule
from saturax.egraph import EGraph, Limits, saturate
from saturax.graph.ops import is_commutative
from saturax.graph.types import TensorType
from saturax.pipeline import active_rules
from saturax.rules.facts import FactAnalysis
from saturax.rules.rule import BITWISE, ROUNDING
from saturax.testing import Evidence
from saturax.tracing import trace

from .proofs import tensor


def proves(own: UserRule, start: Any, goal: Any, *types: TensorType) -> bool:
    """Whether the forms of a rule alone equate two JAX functions."""
    egraph = EGraph(FactAnalysis(numerics=own.forms[0].numerics), is_commutative)
    ends = []
    for function in (start, goal):
        graph = trace(function, types)
        ids: list[int] = []
        for node in graph.nodes:
            operands = tuple(ids[i] for i in node.operands)
            ids.append(egraph.add(node.op, node.attributes, operands, node.type))
        ends.append(ids[graph.outputs[0]])
    saturate(egraph, own.forms, Limits(time_limit_s=30))
    return egraph.find(ends[0]) == egraph.find(ends[1])


def sum_of_differences(x: Any) -> Any:
    return jnp.sum(jnp.abs(x[:, None] - x[None, :]))


@pytest.fixture(scope="module")
def sorted_sum() -> UserRule:
    """What saturax does not know: the sum of all differences by a sort."""

    def by_sort(x: Any) -> Any:
        n = x.shape[0]
        return 2 * jnp.sum(jnp.sort(x) * (2 * jnp.arange(n, dtype=x.dtype) + 1 - n))

    return rule(
        sum_of_differences,
        by_sort,
        where=lambda x: x.ndim == 1 and jnp.issubdtype(x.dtype, jnp.floating),
    )


@pytest.fixture(scope="module")
def associate() -> UserRule:
    @rule(lambda a, b, x: (a @ b) @ x, where=lambda a, b, x: a.ndim == b.ndim == 2 >= x.ndim)
    def associate(a: Any, b: Any, x: Any) -> Any:
        """(a·b)·x = a·(b·x)"""
        return a @ (b @ x)

    return associate


def test_declaration(associate: UserRule) -> None:
    assert associate.name == "associate"
    assert associate.equation == "(a·b)·x = a·(b·x)"
    assert associate.numerics is ROUNDING
    assert associate.report.evidence[Evidence.FIELD] > 10
    assert {"f32", "i32", "complex<f32>"} <= set(associate.report.distribution.dtypes)
    np.testing.assert_allclose(associate(np.eye(2), 2 * np.eye(2), np.ones(2)), [2, 2])
    assert copy.deepcopy(associate) is associate


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f64", "i32", "complex<f32>"])
@pytest.mark.parametrize("last", [(9,), (9, 4)])
def test_found_at_other_sizes_and_types(associate: UserRule, dtype: str, last: Any) -> None:
    types = (tensor(5, 7, dtype=dtype), tensor(7, 9, dtype=dtype), tensor(*last, dtype=dtype))
    assert proves(
        associate,
        lambda a, b, x: -((a @ b) @ x),
        lambda a, b, x: -(a @ (b @ x)),
        *types,
    )


def test_not_found_where_the_left_side_differs(associate: UserRule) -> None:
    types = (tensor(5, 5), tensor(5, 5), tensor(5, 5))
    assert not proves(
        associate, lambda a, b, x: (a @ b.T) @ x, lambda a, b, x: a @ (b.T @ x[::-1]), *types
    )
    # Precision is an attribute of the left side like any other.
    assert not proves(
        associate,
        lambda a, b, x: jnp.matmul(jnp.matmul(a, b, precision="highest"), x),
        lambda a, b, x: a @ (b @ x),
        *types,
    )


def test_left_side_of_many_operations() -> None:
    """More loops than Python nests: the matcher goes on in functions of its own."""

    def normalize(x: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) / jnp.sqrt(variance + 1e-5)

    def standardize(x: Any) -> Any:
        d = x - x.mean(-1, keepdims=True)
        return d * jax.lax.rsqrt((d * d).mean(-1, keepdims=True) + 1e-5)

    own = rule(normalize, standardize, name="normalize", where=lambda x: x.ndim in (1, 2))
    sizes = [sum(1 for _ in form.pattern.walk()) for form in own.forms]
    assert max(sizes) > 20
    assert proves(own, normalize, standardize, tensor(8, 16))
    assert proves(own, normalize, standardize, tensor(8, 1))
    assert not proves(own, lambda x: normalize(x) + 1, standardize, tensor(8, 16))


def test_conditions_and_constants() -> None:
    own = rule(
        lambda p, x: jnp.where(p, x * 4.0, 0.0),
        name="scaled_choice",
        numerics="bitwise",
        right=lambda p, x: jnp.where(p, (x + x) + (x + x), 0.0),
        where=lambda p, x: p.dtype == bool and p.shape == x.shape,
    )
    assert own.numerics is BITWISE
    assert own.report.evidence[Evidence.BITS] > 10
    types = (tensor(3, 4, dtype="i1"), tensor(3, 4))
    assert proves(own, own.left, own.right, *types)
    assert not proves(own, lambda p, x: jnp.where(p, x * 2.0, 0.0), own.right, *types)


def test_boolean_rules() -> None:
    own = rule(
        lambda x, y: x & (x | y),
        lambda x, y: x,
        name="absorb",
        numerics="bitwise",
        where=lambda x, y: x.shape == y.shape and x.dtype == bool,
    )
    assert proves(own, own.left, own.right, tensor(3, dtype="i1"), tensor(3, dtype="i1"))


FALSE_PAIRS: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "operands swapped": (lambda a, b: a @ b, lambda a, b: b @ a, {}, "values|integers"),
    "sign lost": (lambda x: jnp.sqrt(x * x), lambda x: x, {}, "values"),
    "NaN lost": (lambda x: x - x, jnp.zeros_like, {"numerics": "bitwise"}, "bits"),
    "overflow": (
        lambda x: x * 2 // 2,
        lambda x: x,
        {"where": lambda x: x.dtype == "int32"},
        "integers",
    ),
    "axis": (lambda x: jnp.sum(x.T, 0), lambda x: jnp.sum(x, 0), {}, "values|integers"),
    "only square": (
        lambda a, b: jnp.trace(a @ b),
        lambda a, b: jnp.sum(a * b.T),
        {"where": lambda a, b: a.ndim == b.ndim == 2},
        "values",
    ),
    "detour": (
        lambda x: x * x,
        lambda x: (x.astype("bfloat16") * x.astype("bfloat16")).astype(x.dtype),
        {"where": lambda x: x.dtype == "float32"},
        "precision",
    ),
}


@pytest.mark.parametrize("name", FALSE_PAIRS)
def test_false_pair_is_refused_with_a_counterexample(name: str) -> None:
    left, right, options, kinds = FALSE_PAIRS[name]
    with pytest.raises(RuleError, match=f"^({kinds}): rule wrong") as caught:
        rule(left, right, name="wrong", **options)
    assert "left side:" in str(caught.value)
    assert "right side:" in str(caught.value)


_VECTOR = jax.ShapeDtypeStruct((3,), jnp.float32)
UNSUITABLE: dict[str, tuple[Any, str]] = {
    "nameless": (lambda: rule(lambda x: -x, lambda x: -x), "needs a name"),
    "no operation": (
        lambda: rule(lambda x: x, lambda x: x, name="r", examples=[(_VECTOR,)]),
        "match everything",
    ),
    "unused": (
        lambda: rule(lambda x, y: -x, lambda x, y: x * y, name="r", examples=[(_VECTOR, _VECTOR)]),
        "does not use y",
    ),
    "arity": (lambda: rule(lambda x: -x, lambda x, y: x, name="r"), "the same operands"),
    "raises": (lambda: rule(lambda x: x.foo, lambda x: x, name="r"), "no attribute"),
    "two arrays": (lambda: rule(lambda x: (x, x), lambda x: x, name="r"), "expected one array"),
    "nowhere": (
        lambda: rule(lambda x: -x, lambda x: -x, name="r", where=lambda x: False),
        "`where` says",
    ),
    "class": (lambda: rule(lambda x: -x, lambda x: -x, name="r", numerics="exact"), "expected one"),
    "too large": (
        lambda: rule(
            lambda x: sum(jnp.sin(x + i) for i in range(30)),
            jnp.sin,
            name="r",
            examples=[(_VECTOR,)],
        ),
        "expected 40 at most",
    ),
    "example": (
        lambda: rule(
            lambda a, b: a @ b,
            lambda a, b: a @ b,
            name="r",
            examples=[(np.ones((2, 3)), np.ones((2, 3)))],
        ),
        "does not apply to operands",
    ),
}


@pytest.mark.parametrize("name", UNSUITABLE)
def test_unsuitable_rule_says_why(name: str) -> None:
    declare, message = UNSUITABLE[name]
    with pytest.raises(RuleError, match=message):
        declare()


def test_examples_are_the_operands_that_are_checked() -> None:
    images = jax.ShapeDtypeStruct((2, 4, 5, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((1, 1, 3, 6), jnp.float32)

    def convolve(x: Any, k: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=numbers)

    own = rule(
        convolve,
        lambda x, k: x @ k[0, 0],
        name="pointwise",
        where=lambda x, k: k.ndim == 4 and k.shape[:2] == (1, 1),
        examples=[(images, kernel)],
    )
    assert own.report.applied >= 10
    assert proves(own, own.left, own.right, tensor(1, 7, 7, 8), tensor(1, 1, 8, 4))


def test_unknown_operations_are_compared_by_xla() -> None:
    """What our reference has no meaning for is run in double precision."""
    own = rule(
        lambda x: jnp.flip(jnp.sort(x, stable=False), 0),
        lambda x: -jnp.sort(-x, stable=False),
        name="sort_backwards",
        where=lambda x: x.ndim == 1 and jnp.issubdtype(x.dtype, jnp.floating),
    )
    assert own.report.evidence[Evidence.REALS] > 3


def test_key_identifies_what_was_traced(sorted_sum: UserRule) -> None:
    def make(factor: float) -> UserRule:
        return rule(
            lambda x: x * factor,
            lambda x: factor * x,
            name="swap",
            where=lambda x: x.ndim == 1 and x.dtype == "float32",
        )

    assert make(2.0).key == make(2.0).key != make(3.0).key
    assert sorted_sum.key in repr(sorted_sum)


def test_pipeline_uses_them(sorted_sum: UserRule) -> None:
    x = np.random.default_rng(0).normal(size=2_000).astype(np.float32)
    options = Options(time_limit_s=20, cache=False)
    result = saturax.optimize(sum_of_differences, x, rules=[sorted_sum], options=options)
    assert result.report.outcome == "optimized"
    assert "by_sort" in result.report.rules
    fast = saturax.jit(sum_of_differences, rules=[sorted_sum], options=options)
    np.testing.assert_allclose(fast(x), sum_of_differences(x.astype(np.float64)), rtol=1e-4)
    assert "by_sort" in fast.report.rules


def test_a_name_that_a_built_in_rule_has(sorted_sum: UserRule) -> None:
    own = rule(
        sum_of_differences,
        sorted_sum.right,
        name="merge_transposes",
        where=lambda x: x.ndim == 1 and x.dtype == np.float32,
    )
    assert own.name == "merge_transposes"
    assert own.forms[0].name == "user.merge_transposes"
    x = np.random.default_rng(0).normal(size=2_000).astype(np.float32)
    options = Options(measure=False, cache=False, user_rules=(own,))
    result = saturax.optimize(sum_of_differences, x, options=options)
    assert any(name.startswith("user.merge_transposes") for name in result.report.rules)
    assert "merge_transposes" in {built_in.name for built_in in active_rules(options)}


def test_options(sorted_sum: UserRule) -> None:
    options = Options(rules=("layout",), user_rules=(sorted_sum,))
    assert {r.family for r in active_rules(options)} == {"layout", "user"}
    with pytest.raises(OptionsError, match="which numerics='bitwise' does not admit"):
        Options(numerics="bitwise", user_rules=(sorted_sum,))
    with pytest.raises(OptionsError, match="expected rules made by saturax"):
        Options(user_rules=(sum_of_differences,))  # type: ignore[arg-type]
    with pytest.raises(OptionsError, match="two of your rules are called by_sort"):
        Options(user_rules=(sorted_sum, sorted_sum))
