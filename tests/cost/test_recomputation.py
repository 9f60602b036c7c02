"""What XLA computes several times costs as much, once it is chosen."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from saturax.assembly.repeated import hold_repeated
from saturax.cost.clusters import times_computed
from saturax.cost.device import default_calibration
from saturax.cost.formulate import Formulation, formulate
from saturax.cost.model import PriceModel
from saturax.cost.recomputation import charge_recomputation
from saturax.extract import selected_us
from saturax.graph.ir import Graph
from saturax.search.represent import represent
from saturax.stablehlo import import_module

_SHAPE = (256, 256)
MODEL = PriceModel(default_calibration())


def _graph(function: Any, *shapes: tuple[int, ...]) -> Graph:
    types = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes or (_SHAPE,)]
    module: Any = jax.jit(function).lower(*types)
    return import_module(module.compiler_ir("stablehlo")).graph


def _blur(x: Any) -> Any:
    """The middle is read where it is, the rest from a padded copy."""
    padded = jnp.pad(x, ((1, 1), (0, 0)))
    return 0.5 * x + 0.25 * padded[:-2] + 0.25 * padded[2:]


def _charged(graph: Graph) -> tuple[float, Formulation, float]:
    formulation = formulate(represent(graph), MODEL)
    original = formulation.original()
    before = selected_us(formulation.problem, original)
    charged = charge_recomputation(formulation, original, MODEL)
    return before, charged, selected_us(charged.problem, original)


def test_passes_of_a_blur_compute_those_before_them_again() -> None:
    once, twice, thrice = (_blur, lambda x: _blur(_blur(x)), lambda x: _blur(_blur(_blur(x))))
    most = [max(times_computed(_graph(each))) for each in (once, twice, thrice)]
    assert most == sorted(most)
    assert most[0] == 1 < most[1]
    before, charged, after = _charged(_graph(thrice))
    assert after > before
    original = charged.original()
    assert charge_recomputation(charged, original, MODEL) is charged  # charged already
    again = charged.repriced(MODEL)
    assert selected_us(again.problem, original) == pytest.approx(
        selected_us(charged.problem, original)
    )


def test_what_is_computed_once_costs_the_same() -> None:
    before, _, after = _charged(_graph(lambda x: jnp.tanh(x + 1) * (x - 2)))
    assert after == before


def test_what_is_computed_in_parts_is_computed_once() -> None:
    def distances(x: Any) -> Any:
        squares = (x[:, None, :3] - x[None, :, :3]) ** 2
        return jnp.sqrt(squares[..., 0] + squares[..., 1] + squares[..., 2])

    graph = _graph(distances)
    times = times_computed(graph)
    (square,) = (i for i, node in enumerate(graph.nodes) if node.attributes[:1] == ("multiply",))
    assert times[square] == pytest.approx(1.0)


def _relaxed(distances: Any, k: Any) -> Any:
    """A step of Floyd and Warshall's algorithm."""
    column = jax.lax.dynamic_slice_in_dim(distances, k, 1, 1)
    return jnp.minimum(distances, column + jax.lax.dynamic_slice_in_dim(distances, k, 1, 0))


def test_steps_in_one_kernel_read_where_they_are_for_each_element() -> None:
    """Such a kernel of two steps took 75 µs, of two at known places 14, and of one step 8."""

    def at(k: Any, steps: int) -> Any:
        def relaxed(x: Any) -> Any:
            first = jnp.int32(x[0, 0]) if k is None else k
            return _relaxed(_relaxed(x, first), first + 1) if steps == 2 else _relaxed(x, first)

        return relaxed

    costs_us = {
        (k, steps): _charged(_graph(at(k, steps)))[2] for k in (None, 3) for steps in (1, 2)
    }
    assert costs_us[None, 1] < 2 * costs_us[3, 1]
    assert costs_us[None, 2] > 4 * costs_us[3, 2] > 4 * costs_us[3, 1]


def _layers(x: Any, weights: Any, scale: Any) -> Any:
    """Each layer's x is written for its product, and computed again by all layers after it."""
    for _ in range(4):
        x = (x + x @ weights) * scale
    return x


def test_what_is_written_for_a_product_is_computed_again_in_loops() -> None:
    """With twelve such layers and normalisations, BERT took 1.1 to 1.7 times as long."""

    def sums(graph: Graph) -> list[float]:
        times = times_computed(graph)
        return [times[i] for i, x in enumerate(graph.nodes) if x.attributes[:1] == ("add",)]

    graph = _graph(_layers, _SHAPE, _SHAPE, _SHAPE[:1])
    assert sums(graph) == [4, 3, 2, 1]
    assert sums(hold_repeated(graph).graph) == [1, 3, 2, 1]


@pytest.mark.parametrize(("added", "times"), [((0, None), 256), ((slice(None), 0, None), 1)])
def test_rows_are_computed_for_each_row(added: Any, times: int) -> None:
    """What is added to each row takes as long as a matrix of it, what is added to columns none."""

    def function(x: Any) -> Any:
        return x + (1.5 * x[added] + 0.5) * x[added]

    assert max(times_computed(_graph(function))) == times


def test_a_choice_is_read_once_whatever_the_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Graph] = []

    def counted(graph: Graph) -> tuple[float, ...]:
        asked.append(graph)
        return times_computed(graph)

    monkeypatch.setattr("saturax.cost.recomputation.times_computed", counted)
    formulation = formulate(represent(_graph(_blur)), MODEL)
    original = formulation.original()
    for _ in range(2):
        formulation = formulation.repriced(MODEL)
        charge_recomputation(formulation, original, MODEL)
    assert len(asked) == 1
