"""What XLA computes several times costs as much, once it is chosen."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

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


def _graph(function: Any) -> Graph:
    module: Any = jax.jit(function).lower(jax.ShapeDtypeStruct(_SHAPE, jnp.float32))
    return import_module(module.compiler_ir("stablehlo")).graph


def _blur(x: Any) -> Any:
    """The middle is read where it is, the rest from a padded copy."""
    padded = jnp.pad(x, ((1, 1), (0, 0)))
    return 0.5 * x + 0.25 * padded[:-2] + 0.25 * padded[2:]


def _charged(graph: Graph) -> tuple[float, Formulation, float]:
    formulation = formulate(represent(graph), PriceModel(default_calibration()))
    original = formulation.original()
    before = selected_us(formulation.problem, original)
    charged = charge_recomputation(formulation, original)
    return before, charged, selected_us(charged.problem, original)


def test_passes_of_a_blur_compute_those_before_them_again() -> None:
    once, twice, thrice = (_blur, lambda x: _blur(_blur(x)), lambda x: _blur(_blur(_blur(x))))
    most = [max(times_computed(_graph(each))) for each in (once, twice, thrice)]
    assert most == sorted(most)
    assert most[0] == 1 < most[1]
    before, charged, after = _charged(_graph(thrice))
    assert after > before
    original = charged.original()
    assert charge_recomputation(charged, original) is charged  # charged already
    again = charged.repriced(PriceModel(default_calibration()))
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
