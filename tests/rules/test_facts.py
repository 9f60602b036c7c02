"""Facts: every claim about random programs holds on adversarial inputs; joins; propagation ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rules.random_programs import Programs
from saturax.egraph import EGraph
from saturax.egraph.recipe import Told
from saturax.facts import (
    Affine,
    FactAnalysis,
    Facts,
    Known,
    Range,
    analysis,
    bands,
    blocks,
    elementwise,
    facts_of_nodes,
    masks,
    movement,
    ranges,
    sums,
    unknown,
)
from saturax.facts.model import SYMMETRIC, UNIT, Band, join
from saturax.facts.ranges import FALSE, TRUE
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    Routine,
    add,
    binary,
    broadcast_in_dim,
    compare,
    concatenate,
    convert,
    divide,
    dot_general,
    dynamic_update_slice,
    full,
    get_result,
    iota,
    is_commutative,
    lu,
    multiply,
    negate,
    pad,
    reduce_,
    reshape,
    select,
    slice_,
    subtract,
    transpose,
    unary,
)
from saturax.graph.reference import UnsupportedError, evaluate_nodes
from saturax.graph.types import TensorType, numpy_dtype
from saturax.numerics import BITWISE, FINITE, Numerics
from saturax.rules import facts as ask
from saturax.rules.rule import need, rule
from saturax.testing.inputs import Inputs, draw_inputs

# ------------------------------------------------------------------ what is claimed


def wrong(facts: Facts, x: np.ndarray[Any, Any]) -> str | None:
    """Which claim about x does not hold; None if all do."""
    known = facts.known
    if facts.constant is not None:
        wide = np.complex128 if x.dtype.kind in "fcV" else x.dtype
        if not np.array_equal(
            facts.constant.array.astype(wide), x.astype(wide), equal_nan=x.dtype.kind in "fcV"
        ):
            return "constant"
    if x.size == 0:
        return None
    return _wrong_range(known.range, x) or _wrong_structure(known, x)


def _wrong_range(claimed: Range | None, x: np.ndarray[Any, Any]) -> str | None:
    if claimed is None:
        return None
    if x.dtype.kind in "iub":
        inside = all(claimed.low <= int(v) <= claimed.high for v in x.reshape(-1))
        return None if inside else "range"
    wide = x.astype(np.float64)
    if np.isnan(wide).any() and not claimed.may_be_nan:
        return "never NaN"
    numbers = wide[~np.isnan(wide)]
    return None if ((claimed.low <= numbers) & (numbers <= claimed.high)).all() else "range"


def _wrong_structure(known: Known, x: np.ndarray[Any, Any]) -> str | None:
    for begin, end in known.zeros:
        if (x[tuple(map(slice, begin, end))] != 0).any():
            return "zeros"
    for d in known.one_hot:
        if not (((x == 0) | (x == 1)).all() and ((x == 1).sum(d) == 1).all()):
            return "one-hot"
    if known.is_integral and not np.all((x == np.floor(x)) | np.isnan(x)):
        return "integral"
    if known.affine is not None:
        grid = np.full(x.shape, known.affine.offset, np.float64)
        for index, stride in zip(np.indices(x.shape), known.affine.strides, strict=True):
            grid = grid + stride * index
        if not (x.astype(np.float64) == grid).all():
            return "affine"
    if known.matrix and _wrong_matrix(known.matrix, x):
        return _wrong_matrix(known.matrix, x)
    if known.band is not None and (x[..., ~_within(known.band, x)] != 0).any():
        return "band"
    if known.full is not None and not (x[..., _within(known.full, x)] == 1).all():
        return "full"
    return None


def _within(band: Band, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where the diagonals of a band are."""
    rows, columns = np.indices(x.shape[-2:])
    return (band.low <= columns - rows) & (columns - rows <= band.high)


def _wrong_matrix(bits: int, x: np.ndarray[Any, Any]) -> str | None:
    n, m = x.shape[-2:]
    if bits & UNIT and not (n == m and (x[..., range(n), range(n)] == 1).all()):
        return "unit"
    if bits & SYMMETRIC:
        mirrored = np.swapaxes(x, -1, -2)
        same = (x == mirrored) | ((x != x) & (mirrored != mirrored)) if n == m else np.False_
        return None if np.all(same) else "symmetric"
    return None


def check_claims(graph: Graph, inputs: list[Any], numerics: Numerics = BITWISE) -> int:
    """Compare facts with values; return how many nodes something is known of."""
    facts = facts_of_nodes(graph.nodes, numerics)
    values = evaluate_nodes(graph, inputs)
    for index, (told, value) in enumerate(zip(facts, values, strict=True)):
        claim = wrong(told, value)
        assert claim is None, f"{claim} is false of %{index}: {told}\n{value}\n{graph}"
    return sum(told.known != Known() for told in facts)


# ------------------------------------------------------------------ random programs


def _check_random_programs(seeds: range) -> None:
    known = total = 0
    for seed in seeds:
        programs = Programs(seed)
        graph = programs.graph(12)
        for kind in (Inputs.ADVERSARIAL, Inputs.REALS):
            drawn = draw_inputs(graph.inputs, kind, programs.draw)
            with np.errstate(all="ignore"):
                inputs = [
                    x.astype(numpy_dtype(t.dtype)) for x, t in zip(drawn, graph.inputs, strict=True)
                ]
            try:
                known += check_claims(graph, inputs)
            except UnsupportedError:
                continue
            total += len(graph.nodes)
    assert known > 0.3 * total


def test_facts_of_random_programs_hold() -> None:
    _check_random_programs(range(400))


@pytest.mark.long
def test_facts_of_many_random_programs_hold() -> None:
    _check_random_programs(range(1000, 20_000))


def test_assumes_finite_holds_of_finite_values() -> None:
    for seed in range(300):
        programs = Programs(seed)
        graph = programs.graph(12)
        inputs = draw_inputs(graph.inputs, Inputs.INTEGERS, programs.draw)
        try:
            values = evaluate_nodes(graph, inputs)
        except UnsupportedError:
            continue
        if all(np.isfinite(v.astype(np.complex128)).all() for v in values):
            check_claims(graph, inputs, FINITE)


# ------------------------------------------------------------------ the check is tested, too


def _touching(direction: str, x: Range, y: Range) -> tuple[bool, bool]:
    return x.low < y.high, x.high > y.low


FALSE_TRANSFERS: dict[str, tuple[Any, str, Any]] = {
    "no overflow": (ranges, "rounded", lambda low, high, nan, dtype, *_: Range(low, high, nan)),
    "touching ranges are ordered": (ranges, "outcomes", _touching),
    "integers do not wrap": (ranges, "wrapped", lambda low, high, dtype: Range(low, high)),
    "every product with 0 is 0": (elementwise, "is_absorbed", lambda other, absorb: True),
    "complements keep 0": (elementwise, "KEEPS_ZERO", elementwise.KEEPS_ZERO | {"not"}),
    "transposes keep everything": (analysis._MOVEMENT, "transpose", lambda a, x, t: x[0].known),
    "slices keep everything": (analysis._MOVEMENT, "slice", lambda a, x, t: x[0].known),
    "blocks may overlap anything": (blocks, "intersect", lambda a, b: a),
    "masks are one-hot": (masks, "_hot_dimensions", lambda d, shape: tuple(range(len(shape)))),
    "slabs begin at 0": (masks, "_false_slabs", lambda f, d, shape: (blocks.whole(shape),)),
    "transposes keep bands": (movement, "flipped", lambda band: band),
    "slices keep bands": (movement, "thinned", lambda band, offset, step: band),
    "masks may be true nowhere": (masks, "held_band", lambda flags, shape: bands.EMPTY),
    "masks are true somewhere": (masks, "full_band", lambda flags, shape: bands.whole_band(shape)),
    "sums of one term": (sums, "_times", lambda count, value: value),
}


@pytest.mark.parametrize("name", FALSE_TRANSFERS)
def test_false_transfer_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, mistake = FALSE_TRANSFERS[name]
    if isinstance(module, dict):
        monkeypatch.setitem(module, attribute, mistake)
    for other in (module, elementwise, movement, analysis, sums):
        if hasattr(other, attribute):
            monkeypatch.setattr(other, attribute, mistake)
    ranges.unary_range.cache_clear()
    ranges.binary_range.cache_clear()
    try:
        with pytest.raises((AssertionError, TypeError, IndexError)):
            _check_random_programs(range(6000))
    finally:
        ranges.unary_range.cache_clear()
        ranges.binary_range.cache_clear()


# ------------------------------------------------------------------ what must be known

F, N = TensorType((4, 4), "f32"), TensorType((4, 4), "i32")


def _mask(direction: str, shift: int = 0) -> Value:
    return compare(add(iota(0, N), full(shift, N)), iota(1, N), direction, "SIGNED")


def _zero(type: TensorType = F) -> Value:
    return full(0, type)


GRAM = DotDimensions((), (), (1,), (1,))
KNOWN: dict[str, tuple[Any, Any]] = {
    "exp": (lambda x: unary("exponential", x), ask.is_nonnegative),
    "exp is not positive": (lambda x: unary("exponential", x), lambda v: not ask.is_positive(v)),
    "1 + x²": (lambda x: add(multiply(x, x), full(1, F)), ask.is_positive),
    "x · y has no sign": (lambda x: multiply(x, negate(x)), lambda v: not ask.is_nonnegative(v)),
    "a sum of squares": (lambda x: reduce_("add", multiply(x, x), (0,)), ask.is_nonnegative),
    "a norm": (lambda x: unary("sqrt", reduce_("add", multiply(x, x), (0,))), ask.is_nonnegative),
    "tanh is bounded": (lambda x: unary("tanh", x), lambda v: ask.bounds_of(v)[1] < 1.001),
    "tanh of NaN": (lambda x: unary("tanh", x), lambda v: not ask.never_nan(v)),
    "a parameter is not finite": (lambda x: x, lambda v: not ask.is_finite(v)),
    "integers as floats": (lambda x: convert(iota(0, N), "f32"), ask.is_finite),
    "a sum of integers": (
        lambda x: reduce_("add", add(unary("floor", x), convert(iota(0, N), "f32")), (0,)),
        ask.is_integral,
    ),
    "a quotient of integers": (
        lambda x: divide(unary("floor", x), full(2, F)),
        lambda v: not ask.is_integral(v),
    ),
    "a count that wraps": (
        lambda x: iota(0, TensorType((300,), "i8")),
        lambda v: ask.iota_of(v) is None,
    ),
    "a count that rounds": (
        lambda x: iota(0, TensorType((300,), "bf16")),
        lambda v: ask.iota_of(v) is None,
    ),
    "a count": (lambda x: iota(1, N), lambda v: ask.iota_of(v) == Affine(0, (0, 1))),
    "a count backwards": (
        lambda x: subtract(full(3, N), iota(0, N)),
        lambda v: ask.iota_of(v) == Affine(3, (-1, 0)),
    ),
    "a count in rows": (
        lambda x: reshape(iota(0, TensorType((6,), "i32")), (2, 3)),
        lambda v: ask.iota_of(v) == Affine(0, (3, 1)),
    ),
    "a wrapped index": (
        lambda x: select(
            compare(iota(0, N), full(0, N), "LT", "SIGNED"), add(iota(0, N), full(4, N)), iota(0, N)
        ),
        lambda v: ask.iota_of(v) == Affine(0, (1, 0)),
    ),
    "identity": (lambda x: convert(_mask("EQ"), "f32"), ask.is_identity),
    "a shifted diagonal": (lambda x: convert(_mask("EQ", 1), "f32"), ask.is_upper_triangular),
    "which is no identity": (
        lambda x: convert(_mask("EQ", 1), "f32"),
        lambda v: not ask.is_identity(v) and not ask.is_diagonal(v),
    ),
    "tril": (lambda x: select(_mask("GE"), x, _zero()), ask.is_lower_triangular),
    "triu of 1": (lambda x: select(_mask("LT"), x, _zero()), ask.is_upper_triangular),
    "triu by a negated mask": (
        lambda x: select(_mask("GT", -1), _zero(), x),
        lambda v: not ask.is_lower_triangular(v),
    ),
    "diag": (lambda x: select(_mask("EQ"), x, _zero()), ask.is_diagonal),
    "tril transposed": (
        lambda x: transpose(select(_mask("GE"), x, _zero()), (1, 0)),
        ask.is_upper_triangular,
    ),
    "a Gram matrix": (lambda x: dot_general(x, x, GRAM, Precision(), "f32"), ask.is_symmetric),
    "a permutation": (
        lambda x: convert(
            compare(subtract(full(3, N), iota(0, N)), iota(1, N), "EQ", "SIGNED"), "f32"
        ),
        ask.is_permutation_matrix,
    ),
    "one-hot of two counts": (
        lambda x: convert(_mask("EQ", -1), "f32"),
        lambda v: ask.one_hot_of(v) == (),
    ),
    "zeros behind": (
        lambda x: concatenate(x, _zero(), 1),
        lambda v: ask.zero_blocks_of(v) == (((0, 4), (4, 8)),),
    ),
    "zeros around": (
        lambda x: pad(x, _zero(TensorType((), "f32")), (1, 0), (0, 2), (0, 0)),
        lambda v: set(ask.zero_blocks_of(v)) == {((0, 0), (1, 6)), ((0, 4), (5, 6))},
    ),
    "zeros updated": (
        lambda x: dynamic_update_slice(
            _zero(TensorType((4, 8), "f32")), x, [_zero(TensorType((), "i32"))] * 2
        ),
        lambda v: ask.zero_blocks_of(v) == (((0, 4), (4, 8)),),
    ),
    "zeros cut": (
        lambda x: slice_(concatenate(x, _zero(), 1), (0, 2), (4, 6), (1, 1)),
        lambda v: ask.zero_blocks_of(v) == (((0, 2), (4, 4)),),
    ),
    "0 · x may be NaN": (lambda x: multiply(x, _zero()), lambda v: not ask.is_zero(v)),
    "0 · n is 0": (lambda x: multiply(_zero(N), convert(x, "i32")), ask.is_zero),
    "remainders": (
        lambda x: binary("remainder", convert(x, "i32"), full(5, N)),
        lambda v: ask.bounds_of(v) == (-4, 4),
    ),
    "masked bits": (
        lambda x: binary("and", convert(x, "i32"), full(7, N)),
        lambda v: ask.bounds_of(v) == (0, 7),
    ),
    "a factorisation by LU reports no illegal argument": (
        lambda x: get_result(lu(x, Routine("lapack", False)), 2),
        lambda v: ask.bounds_of(v) == (0, 4),
    ),
    "pivots count from 1": (
        lambda x: get_result(lu(x, Routine("lapack", False)), 1),
        lambda v: ask.bounds_of(v) == (1, 4),
    ),
    "a logistic ends at 1": (
        lambda x: unary("logistic", x),
        lambda v: ask.bounds_of(v) == (0, 1),
    ),
    "a hyperbolic tangent ends at 1": (
        lambda x: unary("tanh", x),
        lambda v: ask.bounds_of(v) == (-1, 1),
    ),
    "an error function may round beyond 1": (
        lambda x: unary("chlo.erf", x),
        lambda v: ask.bounds_of(v)[1] > 1,
    ),
    "softmax": (
        lambda x: divide(
            unary("exponential", x),
            broadcast_in_dim(reduce_("add", unary("exponential", x), (1,)), (4, 4), (0,)),
        ),
        lambda v: not ask.never_nan(v),
    ),
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_is_known(case: str) -> None:
    build, holds = KNOWN[case]
    builder = GraphBuilder((F,))
    with building(builder):
        assert holds(build(builder.parameters[0]))


# ------------------------------------------------------------------ joining and propagating


def test_joining_knows_what_either_side_knows() -> None:
    for seed in range(200):
        programs = Programs(seed)
        facts = facts_of_nodes(programs.graph(8).nodes)
        for told in facts:
            nothing = unknown(told.type)
            assert join(told, told) is told
            for joined in (join(told, nothing), join(nothing, told)):
                assert replace(joined, refinements=told.refinements) == told


def test_ranges_of_merged_classes_intersect() -> None:
    a = Facts(F, None, False, Known(Range(0.0, 5.0, True)))
    b = Facts(F, None, True, Known(Range(-1.0, 3.0, False), UNIT, band=Band(-1, 0)))
    assert join(a, b).known == Known(Range(0.0, 3.0, False), UNIT, band=Band(-1, 0))
    assert join(a, b).is_frozen
    contradiction = Facts(F, None, False, Known(Range(7.0, 8.0)))
    assert join(a, contradiction).known.range == a.known.range


def test_propagation_ends_where_a_class_holds_its_own_half() -> None:
    egraph = EGraph(FactAnalysis(), is_commutative)
    x = egraph.add("parameter", (0,), (), F)
    bounded = egraph.add("unary", ("logistic",), (x,), F)
    half = egraph.add("constant", (splat(0.5, F),), (), F)
    product = egraph.add("binary", ("multiply",), (bounded, half), F)
    egraph.union(bounded, product, "claim")
    assert egraph.rebuild()
    assert 0 < egraph.data(bounded).known.range.high < 0.1


def test_equal_operands_are_noticed_when_classes_merge() -> None:
    egraph = EGraph(FactAnalysis(), is_commutative)
    x, y = (egraph.add("parameter", (k,), (), F) for k in (0, 1))
    product = egraph.add("binary", ("multiply",), (x, y), F)
    assert egraph.data(product).known == Known()
    egraph.union(x, y, "claim")
    egraph.rebuild()
    assert egraph.data(product).known.range.low == 0


def test_decided_comparisons() -> None:
    small, large = Range(0, 3), Range(4, 9)
    for direction, outcome in {
        "LT": TRUE,
        "LE": TRUE,
        "GT": FALSE,
        "EQ": FALSE,
        "NE": TRUE,
    }.items():
        for kind, found in {"SIGNED": outcome, "TOTALORDER": None}.items():
            f = ("compare", direction, kind)
            assert ranges.binary_range(f, small, large, "i32") == found


def test_large_constants_are_left_alone() -> None:
    large = Literal(np.arange(1 << 17, dtype=np.float32))
    told = FactAnalysis().make("constant", (large,), (), large.type)
    assert told.constant == large
    assert told.known == Known()


@pytest.mark.parametrize(
    ("condition", "is_enough"),
    [
        (lambda x: ask.constant_of(x) is None, True),
        (lambda x: not ask.is_nonnegative(x), False),
        (lambda x: ask.constant_of(unary("abs", x)) is None, False),
        (lambda x: x.facts.known is not None, False),
    ],
)
def test_a_rule_says_whether_it_read_no_more_than_outlines(condition, is_enough) -> None:
    @rule(lambda x: unary("negate", x), numerics=BITWISE, source="test", uses_facts=True)
    def asking(x):
        """-x = -x"""
        need(condition(x))
        return unary("negate", x)

    type = TensorType((3,), "f32")
    told = Told(x=unknown(type))
    asking.recipe({}, {"x": type}, type, told)
    assert told.is_outline_enough == is_enough
