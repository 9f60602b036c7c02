"""What a program prepares costs new memory where it is more than is kept from run to run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from running import program_of

from saturax.cost.device import Calibration
from saturax.cost.formulate import formulate
from saturax.cost.fresh_memory import charge_fresh_memory
from saturax.cost.model import PriceModel
from saturax.extract import dag_greedy, selected_us
from saturax.proposals.equality import Equalities
from saturax.search.represent import represent

_MB = 1 << 20
_MODEL = PriceModel(Calibration("test", fresh_memory_us_per_mb=100.0))
_WEIGHT = (512, 512)


def _scaled(count):
    """A chain of products with weights, the first `count` of which are made in every run."""

    def function(x, *weights):
        for index, weight in enumerate(weights):
            x = x @ (jnp.tanh(weight) if index < count else weight)
        return x

    return function


def _charge_us(function, *types):
    """What the memory of a program as it is costs."""
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in types]
    formulation = formulate(represent(program_of(function, *shapes).graph), _MODEL)
    original = formulation.original()
    charged = charge_fresh_memory(formulation, original, _MODEL)
    return selected_us(charged.problem, original) - selected_us(formulation.problem, original)


@pytest.mark.parametrize(
    ("weights", "prepared", "is_fresh"),
    [(40, 24, False), (64, 24, False), (40, 40, True), (64, 40, True)],
)
def test_what_is_prepared_decides_and_not_what_is_held(weights, prepared, is_fresh):
    """Of 40 and 64 MB of weights, 24 MB are made in memory that is kept, 40 MB are not."""
    found_us = _charge_us(_scaled(prepared), (4, 512), *[_WEIGHT] * weights)
    assert found_us == pytest.approx(100.0 * prepared * _MB / 1e6 if is_fresh else 0.0)


def test_a_product_s_result_is_not_prepared():
    assert _charge_us(lambda x, w, s: (x @ w) * s, (4, 3072), (3072, 3072), (3072,)) == 0.0


def test_what_the_original_prepares_is_spared_where_it_fits():
    """Of 24 MB and 16 MB more, which do not fit beside them, those are charged that are new."""

    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(4, 512), *[_WEIGHT] * 40]]
    graph = program_of(_scaled(24), *shapes).graph
    equalities = Equalities(graph)
    equalities.reason, builder = "test", equalities.builder
    for index, node in enumerate(graph.nodes):
        if node.op == "dot_general" and graph.nodes[node.operands[1]].op == "parameter":
            weight = equalities.value(node.operands[1])
            other = builder.make("unary", ("cosine",), (weight,))
            operands = (node.operands[0], other.index)
            equalities.equate(index, builder.append(node._replace(operands=operands)))
    formulation = formulate(represent(graph, equalities), _MODEL)
    original = set(formulation.original().values())
    costs = [1e6 if node in original else 1.0 for node in range(formulation.problem.node_count)]
    chosen = dag_greedy(formulation.problem.with_costs(costs))
    assert charge_fresh_memory(formulation, formulation.original(), _MODEL) is formulation
    charged = charge_fresh_memory(formulation, chosen, _MODEL)
    assert {formulation.prepared[node] for node in charged.charged} == {_MB}
    assert len(charged.charged) == 16
    assert not charged.charged & original
    assert charge_fresh_memory(charged, chosen, _MODEL) is charged
