"""The class FINITE leaves the e-graph consistent where a program writes down NaN or infinities."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import saturax
from rules.random_programs import Programs
from saturax.egraph import EGraph, Limits, saturate
from saturax.egraph.explain import explain
from saturax.facts import FactAnalysis, facts_of_nodes
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    compare,
    concatenate,
    divide,
    full_like,
    is_commutative,
    maximum,
    minimum,
    multiply,
    reduce_,
    select,
    slice_,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import rules_within
from saturax.rules.rule import FINITE, ROUNDING, Numerics, Rule


def saturated(graph: Graph, numerics: Numerics = FINITE) -> EGraph:
    egraph = EGraph(FactAnalysis(numerics=numerics), is_commutative)
    classes: list[int] = []
    for node in graph.nodes:
        operands = tuple(classes[i] for i in node.operands)
        classes.append(egraph.add(node.op, node.attributes, operands, node.type))
    limits = Limits(time_limit_s=3.0, node_limit=1500, iteration_limit=6)
    saturate(egraph, rules_within(numerics), limits)
    return egraph


def contradiction(egraph: EGraph) -> str | None:
    """Two constants that differ and are in one class, and by which rules they are; or None."""
    for owner in egraph.classes_of("constant"):
        nodes = egraph.nodes_of(owner, "constant")
        first = nodes[0].attributes[0]
        for other in nodes[1:]:
            if not _same(first, other.attributes[0]):
                steps = explain(egraph, nodes[0].id, other.id)
                reasons = ", ".join(f"{'  ' * s.depth}{s.reason}" for s in steps)
                return f"{first} = {other.attributes[0]} by {reasons}"
    return None


def _same(a: Literal, b: Literal) -> bool:
    """Whether two constants are equal up to rounding, the sign of zero and the kind of NaN."""
    if a.array.dtype.kind in "iub":
        return bool((a.array == b.array).all())
    x, y = a.array.astype(np.complex128), b.array.astype(np.complex128)
    return bool(np.allclose(x, y, rtol=1e-2, atol=1e-2, equal_nan=True))


# ------------------------------------------------------------------ programs


def _last(value: Value) -> Value:
    """The last element, so that what is true of all of them meets what is true of this one."""
    n = value.shape[0]
    return slice_(value, (n - 1,), (n,), (1,))


PROGRAMS: dict[str, Callable[[Value], Value]] = {
    "y ≠ y": lambda y: compare(y, y, "NE", "FLOAT"),
    "y ≥ y": lambda y: compare(y, y, "GE", "FLOAT"),
    "¬(y < 1)": lambda y: unary("not", compare(y, full_like(y, 1), "LT", "FLOAT")),
    "y - y": lambda y: subtract(y, y),
    "0 · y": lambda y: multiply(full_like(y, 0), y),
    "(y + 2) - y": lambda y: subtract(add(y, full_like(y, 2)), y),
    "Σ 0 · y": lambda y: reduce_("add", multiply(full_like(y, 0), y), (0,)),
    "exp(log y)": lambda y: unary("exponential", unary("log", y)),
}


def program_of(name: str, special: float) -> Graph:
    """A program of a vector with a constant at its end, and the last element of its result."""
    builder = GraphBuilder((TensorType((3,), "f32"),), exact=True)
    with building(builder):
        end = builder.make("constant", (splat(special, TensorType((1,), "f32")),), ())
        result = PROGRAMS[name](concatenate(builder.parameters[0], end, 0))
        return builder.finish([result, _last(result) if result.rank else result])


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", PROGRAMS)
def test_constants_in_part_of_a_value(name: str, special: float) -> None:
    assert contradiction(saturated(program_of(name, special))) is None


def test_without_the_guard_false_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rule, "_holds_of", lambda self, arguments: True)
    found = {name for name in PROGRAMS if contradiction(saturated(program_of(name, np.nan)))}
    assert {"y ≠ y", "y ≥ y", "y - y", "0 · y"} <= found


def _has_special(graph: Graph) -> bool:
    constants = (node.attributes[0] for node in graph.nodes if node.op == "constant")
    return not all(constant.is_finite for constant in constants)


def _check_random_programs(seeds: range) -> int:
    """Saturate the random programs in which there is a NaN or an infinity; return how many."""
    count = 0
    for seed in seeds:
        graph = Programs(seed).graph(6)
        if _has_special(graph):
            count += 1
            found = contradiction(saturated(graph))
            assert found is None, f"seed {seed}: {found}\n{graph}"
    return count


def test_constants_that_differ_are_never_equal() -> None:
    assert _check_random_programs(range(160)) > 10


@pytest.mark.long
def test_constants_that_differ_are_never_equal_in_the_long_run() -> None:
    assert _check_random_programs(range(1_000, 3_000)) > 100


def test_only_written_specials_spread() -> None:
    def told(build: Callable[[Value], Value]) -> bool:
        builder = GraphBuilder((TensorType((4,), "f32"),), exact=True)
        with building(builder):
            builder.finish([build(builder.parameters[0])])
        return facts_of_nodes(builder.nodes, ROUNDING)[-1].assumed_finite

    def masked(x: Value, special: float) -> Value:
        return select(compare(x, full_like(x, 0), "LT", "FLOAT"), full_like(x, special), x)

    assert told(lambda x: divide(unary("log", x), x))
    assert not told(lambda x: masked(x, np.inf))
    assert not told(lambda x: add(unary("exponential", masked(x, np.nan)), x))
    assert told(lambda x: unary("tanh", maximum(masked(x, -np.inf), full_like(x, 0)))) is False
    assert told(lambda x: minimum(full_like(x, 1), unary("logistic", full_like(x, -np.inf))))
    assert not told(lambda x: unary("log", full_like(x, 0)))
    assert not told(lambda x: reduce_("maximum", slice_(x, (0,), (0,), (1,)), (0,)))
    assert told(lambda x: reduce_("maximum", x, (0,)))
    assert told(lambda x: maximum(full_like(x, -np.inf), x))
    assert told(lambda x: minimum(x, full_like(x, np.inf)))
    assert not told(lambda x: maximum(x, full_like(x, np.inf)))
    assert not told(lambda x: minimum(x, full_like(x, -np.inf)))


OUT_OF_NOTHING: dict[str, Callable[[jax.Array], jax.Array]] = {
    "Σ(x · 0)": lambda x: jnp.sum(x * 0, 1),
    "Σ(x · 0) over all": lambda x: jnp.sum(x * 0),
    "Σx · 0": lambda x: jnp.sum(x, 1) * 0,
    "0 · mean x": lambda x: 0 * jnp.mean(x),
    "Σx - Σx": lambda x: jnp.sum(x, 1) - jnp.sum(x, 1),
    "2 · mean x - mean x · 2": lambda x: 2 * jnp.mean(x, 1) - jnp.mean(x, 1) * 2,
    "x · a - x · a": lambda x: x @ jnp.ones((6, 3)) - x @ jnp.full((6, 3), 1.0),
    "x · zeros": lambda x: x @ jnp.zeros((6, 3)),
    "zeros · x": lambda x: jnp.zeros((3, 4)) @ x,
    "(x · 0) · a": lambda x: (x * 0) @ jnp.arange(18.0).reshape(6, 3),
    "(x · a) · 0": lambda x: (x @ jnp.arange(18.0).reshape(6, 3)) * 0,
    "einsum with zero": lambda x: jnp.einsum("ij,kj,->ik", x, x, 0.0),
}


@pytest.mark.parametrize("special", [np.nan, np.inf])
@pytest.mark.parametrize("name", OUT_OF_NOTHING)
def test_no_number_comes_of_what_depends_on_a_nan(name: str, special: float) -> None:
    x = np.ones((4, 6), np.float32)
    x[1, 2] = special
    function = OUT_OF_NOTHING[name]
    found = np.isnan(_predicted(function, x, "rounding"))
    assert (found == np.isnan(jax.jit(function)(x))).all()
    assert found.any()


@pytest.mark.parametrize("name", OUT_OF_NOTHING)
def test_the_class_finite_takes_it_for_a_number(name: str) -> None:
    x = np.ones((4, 6), np.float32)
    x[1, 2] = np.nan
    assert not np.isnan(_predicted(OUT_OF_NOTHING[name], x, "finite")).any()


def _predicted(
    function: Callable[[jax.Array], jax.Array], x: np.ndarray, numerics: str
) -> np.ndarray:
    """What the program returns that looks cheapest, whatever a check would say of it."""
    options = saturax.Options(measure=False, cache=False, time_limit_s=10, numerics=numerics)
    with pytest.warns(saturax.SaturaxWarning, match="by prediction"):
        return np.asarray(saturax.jit(function, options=options)(x))
