"""Prices of single operations: measured where known, else plausible and monotonous."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from running import normal, program_of

from saturax.cost.device import Calibration
from saturax.cost.kernel import BRANCHES, CONTROL_FLOW, Kernel, byte_size, kernel_at
from saturax.cost.loop_bodies import body_of, trip_us
from saturax.cost.loops import WHILE, trip_count
from saturax.cost.model import PriceModel
from saturax.cost.parts import bytes_of_part
from saturax.cost.plausible import least_us
from saturax.graph.ops import (
    Blocks,
    ConvDimensions,
    DotDimensions,
    Groups,
    Window,
    generic_of,
)
from saturax.graph.reference import evaluate
from saturax.graph.types import OpaqueType, TensorType, TupleType
from saturax.proposals.equality import Equalities
from saturax.rules.windows import channels_last
from saturax.search.pricing import branches_taken
from saturax.search.rounds import propose_regions


@pytest.fixture
def model():
    return PriceModel(Calibration("cpu | a test"))


def _kernel(function, *arguments, op=None):
    """The only kernel of a function, or the only one of operation `op`."""
    graph = program_of(function, *arguments).graph
    (node,) = [n for n in graph.nodes if (n.op == op if op else n.op != "parameter")]
    operands = tuple(graph.nodes[i].type for i in node.operands)
    return Kernel(node.op, node.attributes, operands, node.type)


def test_no_kernel_is_faster_than_its_bytes_and_products_can_be(model):
    dot = _dot(2048)
    by_products = dot.flops / (1e3 * model.calibration.dot_gflop_s["f32"])
    assert least_us(dot.graph, (), model.calibration) == pytest.approx(by_products / 2)
    vector = _kernel(jnp.matmul, normal(2048, 2048), normal(2048))
    near, far = (least_us(vector.graph, levels, model.calibration) for levels in ((), (3, 0)))
    assert 0 < near < far
    assert far < model.predict_us(dataclasses.replace(vector, levels=(3, 0)))
    whole = normal(2048, 2048)
    for function in (
        lambda x: jax.lax.fori_loop(0, 9, lambda _, y: y + x, x),
        lambda x: x.at[0].set(1.0),  # a row is written where it lies
    ):
        assert least_us(program_of(function, whole).graph, (), model.calibration) == 0.0


def _dot(n):
    return _kernel(jnp.matmul, normal(n, n), normal(n, n, seed=1))


def test_measured_price_counts(model):
    kernel = _dot(64)
    predicted = model.kernel_us(kernel)
    assert predicted > 0
    model.measured[kernel.key] = 123.0
    assert model.kernel_us(kernel) == 123.0


def test_a_product_measured_at_another_distance_says_what_it_takes(model):
    dot = _dot(768)
    far, farther = (dataclasses.replace(dot, levels=(0, level)) for level in (2, 3))
    unmeasured = model.kernel_us(farther)
    model.learn(far, 10 * unmeasured)
    assert model.kernel_us(farther) >= 10 * unmeasured
    assert model.kernel_us(dot) > unmeasured  # near
    model.learn(farther, 12 * unmeasured)
    assert model.kernel_us(farther) == 12 * unmeasured
    assert model.kernel_us(_dot(700)) < 10 * unmeasured


def test_a_product_faster_than_the_calibration_raises_hopes_for_others(model):
    known, other = _dot(512), _dot(640)
    expected, predicted = model.kernel_us(known), model.kernel_us(other)
    model.learn(known, 2 * expected)
    assert model.kernel_us(other) == predicted
    model.learn(_dot(16), 1e-3)  # too short to tell
    assert model.kernel_us(other) == predicted
    model.learn(known, expected / 2)
    assert model.kernel_us(other) < predicted / 2


def test_caution_is_for_what_nobody_has_measured(model):
    known, unknown = _dot(64), _dot(128)
    model.measured[known.key] = 123.0
    predicted = model.kernel_us(unknown)
    model.caution = 2.0
    assert model.kernel_us(known) == 123.0
    assert model.kernel_us(unknown) == 2 * predicted
    view = _kernel(lambda x: x.reshape(16, 4), normal(64))
    assert model.kernel_us(view) == PriceModel(model.calibration).kernel_us(view)


def _convolution(window, channels=1, groups=1, side=64):
    order = ("NHWC", "HWIO", "NHWC")
    return _kernel(
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=order, feature_group_count=groups
        ),
        normal(1, side, side, channels),
        normal(*window, channels // groups, channels, seed=1),
        op="convolution",
    )


def test_a_convolution_gathers_its_windows_for_every_group(model):
    """Of one channel, 192 × 192 with 3 × 1 takes 560 µs: its 221,184 operations take 1."""
    thin, single = (model.predict_us(_convolution(window)) for window in ((3, 1), (1, 1)))
    assert thin - single > model.elementwise_us("add", "f32", 100 * 64 * 64)
    depthwise = model.predict_us(_convolution((3, 1), channels=8, groups=8))
    assert depthwise > 6 * thin


def test_caution_expects_no_more_of_a_form_than_of_the_one_that_is_known(model):
    few, weights = normal(12, 768), normal(768, 3072, seed=1)
    known = _kernel(jnp.matmul, few, weights)
    other = _kernel(lambda x, w: jnp.einsum("ij,jk->ki", x, w), few, weights, op="dot_general")
    model.learn(known, 10 * model.predict_us(known))
    assert model.kernel_us(other) < model.kernel_us(known)  # so that it is tried
    model.caution = 2.0
    assert model.kernel_us(other) > 1.9 * model.kernel_us(known)


def test_a_misjudged_convolution_speaks_for_those_padded_otherwise(model):
    """Kernels of 3 × 3 are padded in two dimensions, those of 3 × 1 in one."""
    known, other, product = _convolution((3, 3)), _convolution((3, 1)), _dot(256)
    model.learn(known, 100 * model.predict_us(known))
    assert model.kernel_us(other) > 10 * model.predict_us(other)
    order = sorted([other, product], key=model.kernel_us, reverse=True)
    assert model.unmeasured([product, other]) == order


def test_larger_costs_more(model):
    prices = [model.predict_us(_dot(n)) for n in (8, 64, 256)]
    assert prices == sorted(prices)
    assert prices[-1] > 100 * (prices[0] - model.calibration.kernel_overhead_us)


def test_windows_of_a_scatter_cost_more_than_their_elements(model):
    def segments(count, width):
        values = np.ones((count, width), np.float32)
        add = jax.jit(lambda v, i: jnp.zeros((8, width), v.dtype).at[i].add(v, mode="drop"))
        return model.predict_us(_kernel(add, values, np.zeros(count, np.int32), op="scatter"))

    whole_rows, single_elements = segments(512, 64), segments(512 * 64, 1)
    assert whole_rows < single_elements / 3
    assert segments(512, 64) < segments(1024, 64) < segments(1024, 128)


def test_a_product_in_blocks_is_predicted_as_one_thread_computes_it(model):
    """Of 512 × 4096 it takes 0.9 to 1.1 ms, however fast two threads add."""
    matrix, vector, result = (TensorType(s, "f32") for s in ((512, 4096), (512,), (4096,)))
    attributes = (DotDimensions((), (), (0,), (0,)), Blocks((4,), True), "f32")
    predicted = model.predict_us(Kernel("blocked_dot", attributes, (matrix, vector), result))
    assert 250 < predicted < 1000


def test_an_operand_that_a_product_reads_in_another_order_is_written_anew(model):
    rows = model.kernel_us(_product("bik,k->bi", (8, 64, 256), (256,)))
    apart = model.kernel_us(_product("bijkl,jl->bik", (8, 8, 16, 8, 16), (16, 16)))
    assert apart > 3 * rows


def test_unmeasured_lists_the_expensive_first(model):
    kernels = [_dot(8), _dot(128), _dot(32)]
    assert model.unmeasured(kernels) == [kernels[1], kernels[2], kernels[0]]
    model.measured[kernels[1].key] = 1.0
    model.failed.add(kernels[2].key)
    assert model.unmeasured(kernels) == [kernels[0]]


def test_expensive_functions_cost_more_inside_a_fusion(model):
    x = normal(100, 100)
    add, exponential = (model.inline_us(_kernel(f, x)) for f in (lambda x: -x, jnp.exp))
    assert 0 < add < exponential


def test_bitcasts_and_splats_are_free(model):
    assert model.inline_us(_kernel(lambda x: x.reshape(12), normal(3, 4))) == 0
    assert model.inline_us(_kernel(lambda x: jnp.broadcast_to(x, (5, 3)), normal(3))) == 0


def test_strided_access_costs_more_than_contiguous(model):
    step, part = (
        model.inline_us(_kernel(f, normal(64, 64), op="slice"))
        for f in (lambda x: jax.lax.slice(x, (0, 0), (64, 64), (1, 2)), lambda x: x[:, :32])
    )
    assert step > part == 0


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        (lambda x: x[:, 3], 256),
        (lambda x: x[:, :3], 256),
        (lambda x: x[:, 4:36], 2 * 256),
        (lambda x: x[:, ::2], 256 * 64 * 4 / 64),
        (lambda x: x[3:9], 6 * 64 * 4 / 64),
        (lambda x: x[3], 64 * 4 / 64),
    ],
)
def test_a_part_is_read_in_lines(model, part, lines):
    """A column of 2,048 by 64 floats takes 1.5 µs, a row of 64 by 2,048 less than 0.2."""
    (kernel,) = (
        kernel_at(graph, node)
        for graph in [program_of(part, normal(256, 64)).graph]
        for node in graph.nodes
        if node.op == "slice"
    )
    assert bytes_of_part(kernel) == 64 * lines


def test_a_column_costs_more_than_a_row(model):
    column, row = (
        _kernel(function, normal(*shape), op="slice")
        for function, shape in ((lambda x: x[:, 3], (2048, 64)), (lambda x: x[3], (64, 2048)))
    )
    assert model.part_us(column) > 8 * model.part_us(row)
    assert model.predict_us(column) > model.predict_us(row)


@pytest.mark.parametrize(
    ("function", "is_measurable"),
    [
        (lambda x: x @ x, True),
        (lambda x: x.sum(0), True),
        (jnp.sort, True),
        (lambda x: x + 1, False),
        (lambda x: x.T.reshape(-1), False),
    ],
)
def test_what_is_measured(function, is_measurable):
    graph = program_of(function, normal(8, 8)).graph
    found = any(
        Kernel(n.op, n.attributes, tuple(graph.nodes[i].type for i in n.operands), n.type)
        .is_measurable
        for n in graph.nodes
        if n.operands
    )  # fmt: skip
    assert found is is_measurable


def test_what_refers_to_a_symbol_is_not_measured():
    """Found with PRNG keys: their sharding constraint names a mesh of the module."""
    graph = program_of(lambda k: jax.random.split(k)[0], jax.random.key(0)).graph
    closed = [
        Kernel(n.op, n.attributes, tuple(graph.nodes[i].type for i in n.operands), n.type)
        for n in graph.nodes
        if generic_of(n) and any("@" in text for _, text in generic_of(n).attributes)
    ]
    assert not any(kernel.is_measurable for kernel in closed)


def _loop(function, *arguments):
    graph = program_of(function, *arguments).graph
    return next(n for n in graph.nodes if n.op in CONTROL_FLOW)


def test_loops_cost_their_body_times_their_trips(model):
    node = _loop(lambda x: jax.lax.fori_loop(0, 7, lambda i, x: jnp.sin(x), x), normal(3))
    generic = generic_of(node)
    assert trip_count(generic) == 7
    kernel = Kernel(node.op, node.attributes, (), node.type)
    model.region_us.update(dict.fromkeys(generic.regions, 10.0))
    # A sine, two counts and a comparison, which are not launched as kernels of a program are.
    launch = model.calibration.kernel_overhead_us
    expected = launch + 7 * (20.0 - 4 * launch)
    assert model.predict_us(kernel) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("columns", "is_small"), [(4, True), (32, True), (48, False)])
def test_small_loops_run_in_one_function(columns, is_small):
    """So jaxlib 0.10.2 decides: these scans were compiled, and their HLO looked at."""

    def scan(x):
        return jax.lax.scan(lambda s, row: (s + row, s + row), jnp.zeros(columns), x)

    generic = generic_of(_loop(scan, normal(64, columns)))
    kernels = sum(body_of(region).light_kernels for region in generic.regions)
    assert kernels == 4
    each_us = trip_us(generic.regions, kernels * 0.3, 0.3) / kernels
    assert each_us == pytest.approx(0.001 if is_small else 0.02)


def test_products_are_called_in_every_trip():
    node = _loop(lambda x: jax.lax.fori_loop(0, 7, lambda i, x: x @ x, x), normal(3, 3))
    assert body_of(generic_of(node).regions[1]).has_calls


def test_loops_of_unknown_length_count_once():
    node = _loop(lambda x: jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x * 2, x), normal(3))
    assert trip_count(generic_of(node)) == 1


def test_branches_cost_the_dearest(model):
    node = _loop(lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x), normal(3))
    cheap, dear = generic_of(node).regions
    model.region_us.update({cheap: 1.0, dear: 5.0})
    kernel = Kernel(node.op, node.attributes, (), node.type)
    assert model.predict_us(kernel) == 5.0
    model.taken[cheap, dear] = 0
    assert model.predict_us(kernel) == 1.0


@pytest.mark.parametrize(("index", "place"), [(0, 0), (2, 2), (7, 2), (-1, 0)])
def test_branches_taken_on_examples(index, place):
    def function(i, x):
        return jax.lax.switch(i, [jnp.sin, jnp.cos, lambda x: jnp.tanh(x) * 2], x)

    arguments = (np.int32(index), normal(3))
    graph = program_of(function, *arguments).graph
    (node,) = (n for n in graph.nodes if n.op in BRANCHES)
    taken = branches_taken(graph, lambda g: evaluate(g, arguments))
    assert taken == {generic_of(node).regions: place}


def test_branch_of_a_condition():
    function = lambda p, x: jax.lax.cond(p, jnp.sin, jnp.cos, x)  # noqa: E731
    for is_true in (True, False):
        arguments = (np.bool_(is_true), normal(3))
        graph = program_of(function, *arguments).graph
        (node,) = (n for n in graph.nodes if n.op in BRANCHES)
        (place,) = branches_taken(graph, lambda g, a=arguments: evaluate(g, a)).values()
        taken = generic_of(node).regions[place]
        functions = [n.attributes[0] for n in taken.nodes if n.op == "unary"]
        assert functions == ["sine" if is_true else "cosine"]


def test_cumulative_window_costs_little_more_than_its_bytes(model):
    for n, at_most in ((1 << 10, 30), (1 << 20, 3_000)):
        kernel = _kernel(lambda x: jax.lax.cumsum(x), normal(n))
        assert kernel.op == "reduce_window"
        assert model.predict_us(kernel) < at_most


def test_bytes():
    f32 = TensorType((3, 4), "f32")
    assert byte_size(f32) == 48
    assert byte_size(TupleType((f32, f32))) == 96
    assert byte_size(OpaqueType("!stablehlo.token")) == 0
    assert _dot(4).bytes == 3 * 64
    assert _dot(4).flops == 2 * 4**3


def test_keys_tell_kernels_apart():
    kernels = [
        _dot(4),
        _dot(5),
        _kernel(lambda x, y: x @ y.T, normal(4, 4), normal(4, 4), op="dot_general"),
        _kernel(jnp.matmul, normal(4, 4).astype(np.float16), normal(4, 4).astype(np.float16)),
    ]
    assert len({k.key for k in (kernels[0], kernels[1], kernels[3])}) == 3
    assert dataclasses.replace(kernels[0]).key == kernels[0].key


def _product(equation, *shapes):
    return _kernel(lambda x, y: jnp.einsum(equation, x, y), *map(np.ones, shapes), op="dot_general")


def test_dimensions_of_one_element_do_not_tell_products_apart():
    key = _product("mk,kn->mn", (6, 8), (8, 16)).key
    assert _product("amk,kn->amn", (1, 6, 8), (8, 16)).key == key
    assert _product("amk,akn->amn", (1, 6, 8), (1, 8, 16)).key == key
    assert _product("mkc,ckn->mn", (6, 8, 1), (1, 8, 16)).key == key
    assert _product("mk,nk->mn", (6, 8), (16, 8)).key != key
    assert _product("amk,nk->amn", (1, 6, 8), (16, 8)).key != key
    vector = _product("k,kn->n", (8,), (8, 16))
    assert _product("ak,kn->an", (1, 8), (8, 16)).key == vector.key != key


@pytest.mark.parametrize(
    ("function", "is_measurable"),
    [
        (lambda x: jax.lax.fori_loop(0, 7, lambda i, x: jnp.sin(x), x), True),
        (lambda x: jax.lax.fori_loop(0, x.astype(int)[0], lambda i, x: jnp.sin(x), x), False),
        (lambda x: jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x * 2, x), False),
        (
            lambda x: jax.lax.fori_loop(
                0,
                3,
                lambda i, x: jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x * 2, x),
                x,
            ),
            False,
        ),
    ],
)
def test_only_loops_that_are_sure_to_end_are_measured(function, is_measurable):
    graph = program_of(function, normal(3)).graph
    node = next(n for n in graph.nodes if n.op in CONTROL_FLOW)
    operands = tuple(graph.nodes[i].type for i in node.operands)
    assert Kernel(node.op, node.attributes, operands, node.type).is_measurable == is_measurable


def test_loops_are_measured_without_the_results_that_are_operands():
    """With x and the weights among its results, XLA would carry them along."""

    def scan(x, w):
        return jax.lax.scan(lambda c, row: (jnp.tanh(c * w + row), c), x[0], x)[1]

    graph = program_of(scan, normal(9, 3), normal(3)).graph
    kernel = next(kernel_at(graph, n) for n in graph.nodes if n.op == WHILE)
    body = kernel.generic.regions[1]
    results = [kernel.graph.nodes[i].attributes[0] for i in kernel.graph.outputs]
    assert len(results) == 3  # the counter, what is carried and what is written
    assert all(body.nodes[body.outputs[k]].op != "parameter" for k in results)


@pytest.mark.parametrize("taken", [None, 0, 1])
def test_branches_that_examples_do_not_take_are_not_searched(monkeypatch, model, taken):
    function = lambda p, x: jax.lax.cond(p, jnp.sin, jnp.cos, x)  # noqa: E731
    graph = program_of(function, np.bool_(True), normal(3)).graph
    (node,) = (n for n in graph.nodes if n.op in BRANCHES)
    regions = generic_of(node).regions
    if taken is not None:
        model.taken[regions] = taken
    searched = []
    monkeypatch.setattr(
        "saturax.search.rounds._optimized_region",
        lambda run, region, *_: searched.append(region) or region,
    )
    propose_regions(None, Equalities(graph), (), SimpleNamespace(model=model))
    assert searched == list(regions if taken is None else regions[taken : taken + 1])


def test_convolutions_in_loops_are_the_library_s_with_features_last_only() -> None:
    window = Window((1,), ((2, 2),), (1,), (1,), (False,))
    first, last = ConvDimensions(0, 1, (2,), 1, 0, (2,), 0, 1, (2,)), channels_last(1)
    signal = TensorType((256, 1, 256), "f32"), TensorType((1, 1, 5), "f32")
    by_features = Kernel("convolution", (window, first, Groups(1, 1)), signal, signal[0])
    assert by_features.in_region.attributes[0].reversal == (True,)
    assert by_features.in_region.in_region == by_features.in_region
    signal = TensorType((256, 256, 1), "f32"), TensorType((5, 1, 1), "f32")
    features_last = Kernel("convolution", (window, last, Groups(1, 1)), signal, signal[0])
    assert features_last.in_region is features_last


def test_each_small_matrix_costs_lapack_a_call(model):
    def of_batch(count, n):
        return model.kernel_us(
            Kernel(
                "lu",
                ("lapack",),
                (TensorType((count, n, n), "f32"),),
                TupleType((TensorType((count, n, n), "f32"), TensorType((count, n), "i32"))),
            )
        )

    # Measured: 536 µs; by the rate of products it would be one.
    assert 250 < of_batch(4096, 2) < 1100
    assert of_batch(1, 2) < 20
    # A large one is as fast as products of blocks are.
    assert of_batch(1, 512) < 2 * 512**3 / 3 / 1000
