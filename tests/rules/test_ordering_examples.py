"""Programs with sorts, extrema, cumulative operations, gathers and scatters that are equal."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from saturax import Options
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Program
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    SET,
    GatherDimensions,
    ReduceWindow,
    ScatterDimensions,
    add,
    arg_reduce,
    binary,
    constant,
    default_order,
    dynamic_update_slice,
    full,
    gather,
    get_result,
    iota,
    multiply,
    negate,
    reduce_,
    reduce_window,
    reshape,
    reverse,
    scatter,
    slice_,
    slice_dimension,
    sort,
    sort_pair,
    top_k,
    transpose,
    unary,
)
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType, numpy_dtype
from saturax.pipeline import optimize_program
from saturax.rules.rule import BITWISE, FINITE, ROUNDING
from saturax.rules.sort_keys import sort_by_integers
from saturax.rules.sorting_networks import comparators

from .proofs import proves, tensor

UP = default_order("f32")
ROWS = GatherDimensions((1,), (0,), (), (), (0,), 1)
INTO_ROWS = ScatterDimensions((1,), (0,), (), (), (0,), 1)
ALONG = GatherDimensions((), (1,), (0,), (0,), (1,), 2)


def at(*places: int) -> Any:
    return constant(Literal(np.asarray(places, np.int32)[:, None]))


def argsort(x: Any, d: int = 0) -> Any:
    indices = iota(d, TensorType(x.shape, "i32"))
    return get_result(sort_pair(x, indices, d, default_order(x.dtype)), 1)


def running(f: str, x: Any, *, is_reversed: bool = False) -> Any:
    """A cumulative operation along the first dimension of a matrix."""
    n = x.shape[0]
    padding = ((0, n - 1) if is_reversed else (n - 1, 0), (0, 0))
    return reduce_window(f, x, ReduceWindow((n, 1), (1, 1), (1, 1), (1, 1), padding))


def test_ends_of_sorted() -> None:
    def last(x: Any) -> Any:
        return slice_dimension(sort(x, 0, UP), 0, 7, 8)

    def first(x: Any) -> Any:
        return slice_dimension(sort(x, 0, UP), 0, 0, 1)

    def extremum(f: str) -> Any:
        return lambda x: reshape(reduce_(f, x, (0,)), (1,))

    assert proves(last, extremum("maximum"), tensor(8))
    assert proves(first, extremum("minimum"), tensor(8), numerics=FINITE)
    # An input may be NaN, which is sorted last.
    assert not proves(first, extremum("minimum"), tensor(8), numerics=ROUNDING)
    order = default_order("i32")
    assert proves(
        lambda x: slice_dimension(sort(x, 0, order), 0, 0, 1),
        extremum("minimum"), tensor(8, dtype="i32"), numerics=BITWISE,
    )  # fmt: skip


def test_reductions_and_sorts_of_sorted() -> None:
    assert proves(
        lambda x: reduce_("add", sort(x, 1, UP), (1,)), lambda x: reduce_("add", x, (1,)),
        tensor(4, 6),
    )  # fmt: skip
    assert proves(
        lambda x: sort(sort(reverse(x, (1,)), 1, UP), 1, UP), lambda x: sort(x, 1, UP),
        tensor(4, 6),
    )  # fmt: skip
    assert proves(
        lambda x: transpose(sort(transpose(x, (1, 0)), 0, UP), (1, 0)),
        lambda x: sort(x, 1, UP), tensor(4, 6), numerics=BITWISE,
    )  # fmt: skip


def test_taking_along_an_argsort_sorts() -> None:
    assert proves(
        lambda x: gather(x, reshape(argsort(x, 1), (4, 6, 1)), ALONG, (1, 1)),
        lambda x: sort(x, 1, UP), tensor(4, 6), numerics=BITWISE,
    )  # fmt: skip
    assert proves(
        lambda x: argsort(argsort(argsort(x))), argsort, tensor(6), numerics=BITWISE,
        only=("argsort",),
    )  # fmt: skip


def test_extrema_and_their_places() -> None:
    def place(f: str, x: Any) -> Any:
        return get_result(arg_reduce(f, x, 1), 1)

    assert proves(
        lambda x: place("maximum", negate(x)), lambda x: place("minimum", x), tensor(4, 6),
        numerics=BITWISE,
    )  # fmt: skip
    assert proves(
        lambda x: place("maximum", unary("exponential", multiply(x, full(2, x.type)))),
        lambda x: place("maximum", x), tensor(4, 6),
    )  # fmt: skip
    assert proves(
        lambda x: gather(x, reshape(place("maximum", x), (4, 1, 1)), ALONG, (1, 1)),
        lambda x: reshape(reduce_("maximum", x, (1,)), (4, 1)), tensor(4, 6),
    )  # fmt: skip
    assert proves(
        lambda x: get_result(top_k(x, 1), 0),
        lambda x: reshape(reduce_("maximum", x, (1,)), (4, 1)), tensor(4, 6, dtype="i32"),
        numerics=BITWISE,
    )  # fmt: skip


def test_parts_and_differences_of_cumulative_operations() -> None:
    assert proves(
        lambda x: slice_dimension(running("add", x), 0, 7, 8),
        lambda x: reshape(reduce_("add", x, (0,)), (1, 3)), tensor(8, 3),
    )  # fmt: skip
    assert proves(
        lambda x: reverse(running("add", reverse(x, (0,))), (0,)),
        lambda x: running("add", x, is_reversed=True), tensor(8, 3),
    )  # fmt: skip
    assert proves(
        lambda x: running("maximum", running("maximum", x)), lambda x: running("maximum", x),
        tensor(8, 3), numerics=BITWISE,
    )  # fmt: skip


def test_gathers_of_rows() -> None:
    assert proves(
        lambda x: gather(x, at(2, 4, 6), ROWS, (1, 3)),
        lambda x: slice_(x, (2, 0), (7, 3), (2, 1)), tensor(8, 3), numerics=BITWISE,
    )  # fmt: skip
    items = GatherDimensions((), (0,), (), (), (0,), 1)
    assert proves(
        lambda x, i, j: gather(gather(x, i, ROWS, (1, 3)), j, ROWS, (1, 3)),
        lambda x, i, j: gather(
            x, reshape(gather(reshape(i, (5,)), j, items, (1,)), (2, 1)), ROWS, (1, 3)
        ),
        tensor(8, 3), tensor(5, 1, dtype="i32"), tensor(2, 1, dtype="i32"), numerics=BITWISE,
    )  # fmt: skip


def test_scatters_of_rows() -> None:
    def start(i: int) -> list[Any]:
        return [full(k, TensorType((), "i32")) for k in (i, 0)]

    assert proves(
        lambda x, u: scatter(SET, x, at(2, 3, 4), u, INTO_ROWS),
        lambda x, u: dynamic_update_slice(x, u, start(2)), tensor(8, 3), tensor(3, 3),
        numerics=BITWISE,
    )  # fmt: skip
    assert proves(
        lambda x, u: scatter("add", x, at(*range(8)), u, INTO_ROWS), add, tensor(8, 3),
        tensor(8, 3), numerics=BITWISE,
    )  # fmt: skip
    assert proves(
        lambda x, u: scatter("add", x, at(0, 0, 1, 1, 2, 2), u, INTO_ROWS),
        lambda x, u: add(x, reduce_("add", reshape(u, (3, 2, 4)), (1,))),
        tensor(3, 4), tensor(6, 4),
    )  # fmt: skip


@pytest.mark.parametrize("f", ["add", "subtract"])
def test_step_of_an_embedding_adds_few_rows(f: str) -> None:
    def step(table: Any, u: Any, i: Any) -> Any:
        gradient = scatter("add", full(0, table.tensor), i, u, INTO_ROWS)
        return binary(f, table, multiply(gradient, full(0.1, table.tensor)))

    def rows(table: Any, u: Any, i: Any) -> Any:
        scaled = multiply(u, full(0.1 if f == "add" else -0.1, u.tensor))
        return scatter("add", table, i, scaled, INTO_ROWS)

    assert proves(step, rows, tensor(16, 4), tensor(3, 4), tensor(3, 1, dtype="i32"))


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
@pytest.mark.parametrize("direction", ["LT", "GT"])
def test_sorting_by_integers_of_every_width(dtype: str, direction: str) -> None:
    numbers = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0, 3.5, 1e-7, -2.0, 6e4]
    x = np.asarray(numbers, np.float64).astype(numpy_dtype(dtype))
    order = default_order(dtype, direction)
    builder = GraphBuilder((TensorType(x.shape, dtype),), exact=True)
    (parameter,) = builder.parameters
    with building(builder):
        plain = sort(parameter, 0, order)
        keys = sort_by_integers.apply({"d": 0, "o": order, "s": True}, {"x": parameter})
    assert keys is not None
    wanted, found = evaluate(builder.finish([plain, keys]), [x])
    np.testing.assert_array_equal(wanted.astype(np.float64), found.astype(np.float64))


@pytest.mark.parametrize("count", range(2, 12))
def test_networks_sort_whatever_there_is(count: int) -> None:
    """A network that sorts all sequences of zeros and ones sorts everything."""
    rows = np.array(list(product((0, 1), repeat=count)), np.int32)
    wanted = np.sort(rows, axis=1)
    for low, high in comparators(count):
        pair = rows[:, [low, high]]
        rows[:, low], rows[:, high] = pair.min(1), pair.max(1)
    np.testing.assert_array_equal(rows, wanted)


@pytest.mark.parametrize(
    "sorting",
    [
        lambda x: sort(x, 1, UP),
        lambda x: argsort(x, 1),
        lambda x: get_result(top_k(x, 2), 0),
        lambda x: get_result(top_k(x, 2), 1),
    ],
    ids=["sort", "argsort", "top values", "top places"],
)
def test_few_numbers_are_sorted_by_a_network(sorting: Any) -> None:
    """Floats, argsorts and the largest, too, by their integers: no sort is left."""
    builder = GraphBuilder((tensor(64, 3),))
    with building(builder):
        output = sorting(builder.parameters[0])
    program = Program(builder.finish([output]))
    found = optimize_program(program, Options(measure=False, cache=False)).program.graph
    assert not any(node.op in ("sort", "sort_pair", "top_k") for node in found.nodes)
    x = np.random.default_rng(0).integers(-1, 2, (64, 3)).astype(np.float32)
    expected, got = evaluate(program.graph, [x]), evaluate(found, [x])
    np.testing.assert_array_equal(expected[0], got[0])
