"""The extraction problem of an e-graph stands for its programs: read back, they are equal."""

from __future__ import annotations

import random

import jax
import jax.numpy as jnp
import pytest
from running import FAMILIES, assert_equal, instance, matrix_chain, normal, program_of, run

from saturax.assembly.precompute import precompute
from saturax.cost.device import Calibration
from saturax.cost.formulate import CHANGE_OF_MODE, formulate, read_program
from saturax.cost.model import PriceModel
from saturax.egraph import Limits, saturate
from saturax.extract import dag_cost, dag_greedy, is_valid, tree_greedy
from saturax.graph.ir import Program
from saturax.graph.types import TensorType
from saturax.proposals import propose
from saturax.rules import rules_within
from saturax.rules.rule import Numerics
from saturax.search.represent import represent


def _formulation(program, model=None, iterations=2):
    """Saturated with all rules that keep results equal over the reals."""
    equalities = propose(program.graph)
    represented = represent(program.graph, equalities)
    limits = Limits(time_limit_s=2.0, node_limit=2_000, iteration_limit=iterations)
    saturate(represented.egraph, rules_within(Numerics.ROUNDING), limits)
    return formulate(represented, model or PriceModel(Calibration("test")))


def _program(formulation, selection, program):
    extracted = read_program(formulation, selection)
    return program.with_graph(extracted.graph), extracted


@pytest.mark.parametrize("family", FAMILIES)
def test_original_reads_back(family):
    function, arguments = instance(family, 11)
    program = program_of(function, *arguments)
    formulation = _formulation(program)
    original = formulation.original()
    assert is_valid(formulation.problem, original)
    back, extracted = _program(formulation, original, program)
    assert back.graph.size() <= program.graph.size()
    assert len(extracted.enodes) == len(extracted.graph.nodes)
    assert_equal(run(back, arguments), jax.tree.leaves(jax.jit(function)(*arguments)), 1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_programs_at_random_prices_are_equal(family, seed):
    """Every selection is a program of the e-graph: random prices reach unusual ones."""
    function, arguments = instance(family, 20 + seed)
    program = program_of(function, *arguments)
    formulation = _formulation(program)
    problem = formulation.problem
    draw = random.Random(seed)
    costs = [draw.random() if cost < float("inf") else cost for cost in problem.cost_us]
    greedy = tree_greedy if seed % 2 else dag_greedy
    selection = greedy(problem.with_costs(costs))
    assert is_valid(problem, selection)
    found, extracted = _program(formulation, selection, program)
    expected = jax.tree.leaves(jax.jit(function)(*arguments))
    assert_equal(run(found, arguments), expected, 1e-4)
    frozen = precompute(extracted.graph, extracted.frozen, lambda g, x: run(Program(g), x))
    assert_equal(run(program.with_graph(frozen), arguments), expected, 1e-4)


def test_cheaper_order_is_found():
    function, arguments = matrix_chain(256)
    program = program_of(function, *arguments)
    formulation = _formulation(program)
    best = dag_greedy(formulation.problem)
    costs = [dag_cost(formulation.problem, s) for s in (best, formulation.original())]
    assert costs[0] < 0.5 * costs[1]
    graph = read_program(formulation, best).graph
    assert all(node.type.size == 256 for node in graph.nodes if node.op == "dot_general")


def test_used_kernels_are_what_a_selection_runs():
    function, arguments = matrix_chain(32)
    formulation = _formulation(program_of(function, *arguments))
    (square, vector) = sorted(
        formulation.used_kernels([formulation.original()]), key=lambda k: -k.type.size
    )
    assert (square.type.shape, vector.type.shape) == ((32, 32), (32,))
    assert all(kernel.is_measurable for kernel in (square, vector))


def test_measured_prices_are_used():
    function, arguments = matrix_chain(32)
    program = program_of(function, *arguments)
    model = PriceModel(Calibration("test"))
    formulation = _formulation(program, model)
    before = dag_cost(formulation.problem, formulation.original())
    for kernel in formulation.used_kernels([formulation.original()]):
        model.measured[kernel.key] = 1000.0
    formulation = formulate(formulation.represented, model)
    after = dag_cost(formulation.problem, formulation.original())
    assert before < 1000 < 2000 <= after < 2100


def _original_us(function, calibration, *types):
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in types]
    formulation = formulate(represent(program_of(function, *shapes).graph), PriceModel(calibration))
    return dag_cost(formulation.problem, formulation.original())


def test_loops_read_weights_from_afar():
    """Of twelve weights of 4 MB none is in a cache when its turn comes; what they become is."""
    near, far = (
        Calibration("test", bandwidth_gb_s=((1 << 25, 100.0), (1 << 26, rate)))
        for rate in (100.0, 10.0)
    )
    types = [(1024, 1024)] * 12
    times_us = [_original_us(lambda *w: jnp.tanh(sum(w)), c, *types) for c in (near, far)]
    read_us = 12 * 4 * 1024**2 / 1e3
    assert times_us[1] - times_us[0] == pytest.approx(read_us * (1 / 10 - 1 / 100))


def test_new_prices_are_those_of_a_formulation_made_anew():
    def function(x, w):
        y = jnp.concatenate([(x @ w).T, x.T @ w], 0)
        return jax.nn.softmax(y[:256] @ y[256:], axis=-1).sum(0)

    program = program_of(function, normal(256, 256), normal(256, 256))
    model = PriceModel(Calibration("test"))
    before = _formulation(program, model)
    for index, kernel in enumerate(before.kernels.values()):
        if index % 2:
            model.learn(kernel, 10.0 * (1 + index))
    again, anew = before.repriced(model), formulate(before.represented, model)
    assert again.problem.cost_us == anew.problem.cost_us != before.problem.cost_us
    assert {heavy.kernel.op for heavy in again.heavy.values()} >= {
        "dot_general", "reduce", "concatenate", "transpose"
    }  # fmt: skip


def test_the_original_takes_its_cheapest_modes_at_new_prices():
    """Whether its part of the problem is known from other prices or not."""
    program = program_of(lambda x, y: jnp.sum(x.T * y, 0) @ y, normal(256, 256), normal(256, 256))
    model = PriceModel(Calibration("test"))
    before = _formulation(program, model)
    modes = [before.original()]
    for price_us in (1e-3, 1e5):
        for kernel in before.kernels.values():
            if kernel.op == "transpose":
                model.learn(kernel, price_us)
        again, anew = before.repriced(model), formulate(before.represented, model)
        assert again.original() == anew.original()
        modes.append(again.original())
    assert modes[1] != modes[2]
    assert before.original() == modes[0]


def test_fusion_is_cheaper_than_going_through_memory():
    """One kernel for a chain of elementwise functions, however long."""
    chain = program_of(lambda x: -jnp.abs(-jnp.sign(x)) + x, normal(512, 512))
    single = program_of(lambda x: -x, normal(512, 512))
    costs = []
    for program in (chain, single):
        formulation = formulate(represent(program.graph), PriceModel(Calibration("test")))
        costs.append(dag_cost(formulation.problem, formulation.original()))
    assert costs[0] < 3 * costs[1]  # four kernels would cost more


@pytest.mark.parametrize(("copy_us", "expected"), [(100.0, "blocked_dot"), (1.0, "dot_general")])
def test_a_product_takes_its_matrix_in_where_a_copy_costs_more(copy_us, expected):
    """A slice is read inside a product in blocks, and written for any other."""
    program = program_of(lambda w, x: w[1] @ x, normal(3, 288, 256), normal(256))
    model = PriceModel(Calibration("test"))
    price_of = {"dot_general": 20.0, "blocked_dot": 60.0, "slice": copy_us}
    for kernel in _formulation(program, model).kernels.values():
        model.measured[kernel.key] = price_of.get(kernel.op, 1000.0)
    formulation = _formulation(program, model)
    graph = read_program(formulation, dag_greedy(formulation.problem)).graph
    assert expected in {node.op for node in graph.nodes}


def test_a_product_in_blocks_waits_for_a_distant_matrix_like_any_other():
    """All weights of a program are read between two uses of one."""
    matrices = [normal(512, 512) for _ in range(4)]
    program = program_of(lambda x, *ws: [w @ x for w in ws], normal(512), *matrices)
    kernels = _formulation(program, iterations=1).kernels.values()
    shapes = (512, 512), (512,)
    operands = tuple(TensorType(shape, "f32") for shape in shapes)
    found = {k.levels for k in kernels if k.op == "blocked_dot" and k.operands == operands}
    assert found == {(1, 0)}


def test_constants_only_is_frozen():
    table = jnp.asarray(normal(8, 8))
    program = program_of(lambda x: x @ (table @ table), normal(8))
    formulation = _formulation(program, iterations=1)
    extracted = read_program(formulation, formulation.original())
    assert [extracted.graph.nodes[i].op for i in extracted.frozen] == ["dot_general"]


def test_what_depends_on_an_input_is_not_frozen_though_it_equals_a_constant():
    table = jnp.asarray(normal(8, 8))
    program = program_of(lambda x: (jnp.sort(x), table @ table), normal(8, 8))
    represented = represent(program.graph)
    represented.egraph.union(*represented.roots, "said to be equal")
    represented.egraph.rebuild()
    formulation = formulate(represented, PriceModel(Calibration("test")))
    node = represented.egraph.node
    costs = [
        float("inf") if enode != CHANGE_OF_MODE and node(enode).op == "dot_general" else cost
        for enode, cost in zip(formulation.enodes, formulation.problem.cost_us, strict=True)
    ]
    extracted = read_program(formulation, dag_greedy(formulation.problem.with_costs(costs)))
    assert any(node.op == "parameter" for node in extracted.graph.nodes)
    assert extracted.frozen == ()


def test_nodes_without_an_enode_change_the_mode_only():
    formulation = _formulation(program_of(lambda x: x + 1, normal(3)))
    for enode, operands in zip(formulation.enodes, formulation.operands, strict=True):
        assert enode != CHANGE_OF_MODE or len(operands) == 1
