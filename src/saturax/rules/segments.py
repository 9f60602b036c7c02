"""Reductions over those that have a label, for each label: as updates of a row for each.

`jnp.max(jnp.where(labels[:, None] == jnp.arange(n), x[:, None], -jnp.inf), 0)` is a maximum for
each label. Of sums that are written as products, `picks` knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import binary, broadcast_in_dim, identity_value, reduce_, select
from saturax.graph.types import TensorType
from saturax.rules.conditions import INTEGERS, REALS, exactly, is_exact
from saturax.rules.facts import splat_of
from saturax.rules.indices import holds_indices
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to, without
from saturax.rules.picks import HISTOGRAM, added, axis_of, hot_example, is_exact_pick, is_hot
from saturax.rules.rule import BITWISE, ROUNDING, Examples, Rule, need, rule


def _segments(
    f: Any, x: Value, i: Value, s: Any, e: Any, t: Any, h: Any, w: Value, g: Any, d: Any
) -> Any:
    """What w has where i names a place, reduced by f for each place along the axis of x.

    Of the comparison of x and i, with the shape s, dimension k is dimension h[k] of the shape t.
    """
    axis, labelled = h[axis_of(x, i, s, e)], tuple(h[k] for k in e)
    need(tuple(t[k] for k in h) == tuple(s) and set(d) == set(labelled))
    need(axis not in g and i.size > 1 and holds_indices(i.dtype, t[axis]))
    rest = without(range(len(t)), (axis, *labelled))
    order = [*labelled, *rest]
    places = [order.index(k) for k in g]
    rows = transposed(w, sorted(range(w.rank), key=places.__getitem__))
    each = broadcast_in_dim(rows, [t[k] for k in order], sorted(places))
    found = added(t[axis], i, each, f)
    return transposed(found, permutation_to((axis, *rest), without(range(len(t)), d)))


def _example(*, is_boolean: bool, is_repeated: bool) -> Examples:
    """Labels of one or two dimensions, and values that are the same for all labels."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        drawn = hot_example(rng)
        axis, t = drawn.pop("axis"), drawn["s"]
        h = tuple(range(len(t)))
        if is_repeated:
            place, size = int(rng.integers(0, len(t) + 1)), int(rng.integers(1, 4))
            t, h = (*t[:place], size, *t[place:]), tuple(k + (k >= place) for k in h)
        f = "or" if is_boolean else str(rng.choice(["add", "maximum", "minimum"]))
        dtype = "i1" if is_boolean else str(rng.choice(["f32", "f64", "i32"]))
        g = tuple(k for k in range(len(t)) if k != h[axis] and rng.random() < 0.8)
        w = TensorType(tuple(t[k] for k in g), dtype)
        drawn |= {"w": w, "u": t, "g": g, "d": tuple(h[k] for k in drawn["e"])}
        drawn |= {"t": t, "h": h} if is_repeated else {}
        if is_boolean:
            return drawn
        return drawn | {"f": f, "c": Literal(np.asarray(identity_value(f, dtype)), t)}

    return draw


def _exact_example(*, is_repeated: bool) -> Examples:
    drawn = _example(is_boolean=False, is_repeated=is_repeated)

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        while True:
            one = dict(drawn(rng))
            if is_exact(one["f"], one["w"].dtype):
                return one

    return draw


def _rule(*, is_index_first: bool, is_repeated: bool) -> Rule:
    def left(f, x, i, s, e, k, w, u, g, c, d):
        hot = is_hot(x, i, s, e, k, is_index_first=is_index_first)
        return reduce_(f, select(hot, broadcast_in_dim(w, u, g), c), d)

    def left_repeated(f, x, i, s, e, k, t, h, w, u, g, c, d):
        hot = broadcast_in_dim(is_hot(x, i, s, e, k, is_index_first=is_index_first), t, h)
        return reduce_(f, select(hot, broadcast_in_dim(w, u, g), c), d)

    def right_repeated(
        f: Any, x: Value, i: Value, s: Any, e: Any, k: Any, t: Any, h: Any, w: Value, u: Any,
        g: Any, c: Value, d: Any,
    ) -> Any:  # fmt: skip
        value = splat_of(c)
        need(f in ("add", "maximum", "minimum") and (w.dtype in REALS or w.dtype in INTEGERS))
        need(value is not None and value == identity_value(f, w.dtype))
        return _segments(f, x, i, s, e, t, h, w, g, d)

    def right(
        f: Any, x: Value, i: Value, s: Any, e: Any, k: Any, w: Value, u: Any, g: Any, c: Value,
        d: Any,
    ) -> Any:  # fmt: skip
        return right_repeated(f, x, i, s, e, k, s, tuple(range(len(s))), w, u, g, c, d)

    written = right_repeated if is_repeated else right
    written.__name__ = "reduce_segments" + ("_repeated" if is_repeated else "")
    written.__name__ += "" if is_index_first else "_turned"
    written.__doc__ = "Σₖ (wₖ where iₖ = j, else 0) for all j = zeros, + wₖ at iₖ; max, min alike"
    return rule(
        left_repeated if is_repeated else left,
        numerics=ROUNDING,
        source=HISTOGRAM,
        uses_facts=True,
        examples=_example(is_boolean=False, is_repeated=is_repeated),
    )(written)


reduce_segments = _rule(is_index_first=True, is_repeated=False)
reduce_segments_turned = _rule(is_index_first=False, is_repeated=False)
reduce_segments_repeated = _rule(is_index_first=True, is_repeated=True)
reduce_segments_repeated_turned = _rule(is_index_first=False, is_repeated=True)
reduce_segments_exactly, reduce_segments_turned_exactly = (
    exactly(r, is_exact_pick, _exact_example(is_repeated=False))
    for r in (reduce_segments, reduce_segments_turned)
)
reduce_segments_repeated_exactly, reduce_segments_repeated_turned_exactly = (
    exactly(r, is_exact_pick, _exact_example(is_repeated=True))
    for r in (reduce_segments_repeated, reduce_segments_repeated_turned)
)


def _boolean_rule(*, is_index_first: bool) -> Rule:
    def left(x, i, s, e, k, w, u, g, d):
        hot = is_hot(x, i, s, e, k, is_index_first=is_index_first)
        return reduce_("or", binary("and", hot, broadcast_in_dim(w, u, g)), d)

    def right(x: Value, i: Value, s: Any, e: Any, k: Any, w: Value, u: Any, g: Any, d: Any) -> Any:
        need(w.dtype == "i1")
        return _segments("or", x, i, s, e, s, tuple(range(len(s))), w, g, d)

    right.__name__ = "any_of_segments" + ("" if is_index_first else "_turned")
    right.__doc__ = "Whether iₖ = j and wₖ for any k, for all j = false, ∨ wₖ at iₖ"
    return rule(
        left,
        numerics=BITWISE,
        source=HISTOGRAM,
        uses_facts=True,
        examples=_example(is_boolean=True, is_repeated=False),
    )(right)


any_of_segments = _boolean_rule(is_index_first=True)
any_of_segments_turned = _boolean_rule(is_index_first=False)
