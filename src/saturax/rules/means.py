"""Means of what is shifted: the shift comes out, whether the reduced dimensions are kept or not.

    mean(x ± c) = mean x ± c

so that x + c - mean(x + c), of which variances and normalisations are made, no longer depends on c.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    constant,
    full_like,
    reduce_,
    reshape,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, is_all
from saturax.rules.permutations import without
from saturax.rules.rule import ROUNDING, need, rule

MEAN = "Σ(x + c) = Σx + n·c"
Dimensions = tuple[int, ...]


def _need_mean(f: Any, g: Any, x: Value, d: Dimensions, e: Literal) -> None:
    """Go on if f(Σx, e) is the mean of x along d: a sum divided by the count, or the like."""
    n = prod(x.shape[i] for i in d)
    need(f in ("divide", "multiply") and g in ("add", "subtract") and x.dtype in REALS and n > 0)
    need(is_all(e, n) if f == "divide" else is_all(e, 1 / n) and n & (n - 1) == 0)


def _shifted(rng: np.random.Generator, *, is_kept: bool) -> dict[str, Any]:
    """A tensor of doubles, and what its sum along d is divided or multiplied by."""
    shape = tuple(rng.choice([1, 2, 3, 4], int(rng.integers(1, 4))).tolist())
    d = tuple(i for i in range(len(shape)) if i == 0 or rng.random() < 0.4)
    kept = tuple(1 if i in d else m for i, m in enumerate(shape))
    n = prod(shape[i] for i in d)
    f = "multiply" if n & (n - 1) == 0 and rng.random() < 0.5 else "divide"
    result = TensorType(kept if is_kept else without(shape, d), "f64")
    drawn: dict[str, Any] = {
        "f": f,
        "g": str(rng.choice(["add", "subtract"])),
        "x": TensorType(shape, "f64"),
        "d": d,
    }
    drawn["e"] = splat(n if f == "divide" else 1 / n, result)
    return drawn | ({"s": kept} if is_kept else {})


def _with_constant(rng: np.random.Generator, *, is_kept: bool) -> dict[str, Any]:
    drawn = _shifted(rng, is_kept=is_kept)
    return drawn | {"c": splat(rng.normal(), drawn["x"])}


def _with_repeated(rng: np.random.Generator, *, is_kept: bool) -> dict[str, Any]:
    drawn = _shifted(rng, is_kept=is_kept)
    shape, d = drawn["x"].shape, drawn["d"]
    b = tuple(i for i in range(len(shape)) if i not in d and rng.random() < 0.8)
    y = TensorType(tuple(shape[i] for i in b), "f64")
    return drawn | {"y": y, "t": shape, "b": b}


def _drawn(draw: Callable[..., dict[str, Any]], is_kept: bool) -> Any:
    return lambda rng: draw(rng, is_kept=is_kept)


@rule(
    lambda f, g, x, c, d, e: binary(f, reduce_("add", binary(g, x, constant(c)), d), constant(e)),
    numerics=ROUNDING,
    source=MEAN,
    examples=_drawn(_with_constant, is_kept=False),
)
def mean_of_shifted(f: Any, g: Any, x: Value, c: Literal, d: Any, e: Literal) -> Value | None:
    """Σ(x ± c) / n = Σx / n ± c for a splat c, n the count of terms; · 1/n too; real"""
    need(c.is_splat)
    _need_mean(f, g, x, d, e)
    mean = binary(f, reduce_("add", x, d), constant(e))
    return binary(g, mean, full_like(mean, c.value))


@rule(
    lambda f, g, x, c, d, s, e: binary(
        f, reshape(reduce_("add", binary(g, x, constant(c)), d), s), constant(e)
    ),
    numerics=ROUNDING,
    source=MEAN,
    examples=_drawn(_with_constant, is_kept=True),
)
def kept_mean_of_shifted(
    f: Any, g: Any, x: Value, c: Literal, d: Any, s: Any, e: Literal
) -> Value | None:
    """reshape(Σ(x ± c)) / n = reshape(Σx) / n ± c for a splat c, n the count of terms; real"""
    need(c.is_splat)
    _need_mean(f, g, x, d, e)
    mean = binary(f, reshape(reduce_("add", x, d), s), constant(e))
    return binary(g, mean, full_like(mean, c.value))


def _repeated(x: Value, y: Value, t: Any, b: Any, d: Any) -> Value:
    """What is the same along d, y broadcast to the shape of x, as one term of the mean along d."""
    need(all(t[j] == 1 or j not in d or y.shape[i] == 1 for i, j in enumerate(b)))
    own = [i for i, j in enumerate(b) if j in d]
    kept = without(range(x.rank), d)
    places = [kept.index(j) for j in b if j not in d]
    term: Value = broadcast_in_dim(reshape(y, without(y.shape, own)), without(t, d), places)
    return term


@rule(
    lambda f, g, x, y, t, b, d, e: binary(
        f, reduce_("add", binary(g, x, broadcast_in_dim(y, t, b)), d), constant(e)
    ),
    numerics=ROUNDING,
    source=MEAN,
    examples=_drawn(_with_repeated, is_kept=False),
)
def mean_beside_repeated(
    f: Any, g: Any, x: Value, y: Value, t: Any, b: Any, d: Any, e: Literal
) -> Value | None:
    """Σ(x ± bcast y) / n = Σx / n ± bcast y for y that is repeated along the n terms; real"""
    _need_mean(f, g, x, d, e)
    term = _repeated(x, y, t, b, d)
    return binary(g, binary(f, reduce_("add", x, d), constant(e)), term)


@rule(
    lambda f, g, x, y, t, b, d, s, e: binary(
        f, reshape(reduce_("add", binary(g, x, broadcast_in_dim(y, t, b)), d), s), constant(e)
    ),
    numerics=ROUNDING,
    source=MEAN,
    examples=_drawn(_with_repeated, is_kept=True),
)
def kept_mean_beside_repeated(
    f: Any, g: Any, x: Value, y: Value, t: Any, b: Any, d: Any, s: Any, e: Literal
) -> Value | None:
    """reshape(Σ(x ± bcast y)) / n = reshape(Σx) / n ± reshape(bcast y), y repeated; real"""
    _need_mean(f, g, x, d, e)
    term = reshape(_repeated(x, y, t, b, d), s)
    return binary(g, binary(f, reshape(reduce_("add", x, d), s), constant(e)), term)
