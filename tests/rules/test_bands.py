"""Bands of matrices: masks that a product, sum, transpose, slice or inverse does not need go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from saturax.facts import bands
from saturax.facts.bands import EMPTY
from saturax.facts.model import Band
from saturax.graph.build import Value
from saturax.tracing import trace

from .proofs import proves, tensor

TYPES = (tensor(6, 6), tensor(6, 6))
FAMILIES = ("known_masks", "constants", "layout", "indexing", "selection")
tril, triu = jnp.tril, jnp.triu


def _solve(a: Any, b: Any, *, lower: bool, left: bool = True, unit: bool = True) -> Any:
    return lax.linalg.triangular_solve(a, b, left_side=left, lower=lower, unit_diagonal=unit)


CASES: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "lower · lower": (tril, lambda a, b: tril(a) @ tril(b)),
    "upper · upper": (triu, lambda a, b: triu(a) @ triu(b)),
    "strict · lower": (lambda x: tril(x, -1), lambda a, b: tril(a, -1) @ tril(b)),
    "strict · strict": (lambda x: triu(x, 2), lambda a, b: triu(a, 1) @ triu(b, 1)),
    "banded · banded": (lambda x: tril(x, 2), lambda a, b: tril(a, 1) @ tril(b, 1)),
    "sum": (tril, lambda a, b: tril(a) @ tril(b) + tril(a)),
    "transposed": (tril, lambda a, b: triu(a).T @ tril(b)),
    "transposed product": (triu, lambda a, b: (tril(a) @ tril(b)).T),
    "scaled": (triu, lambda a, b: 2 * (triu(a) @ triu(b))),
    "slice": (lambda x: tril(x, 1), lambda a, b: tril(a)[1:, 2:]),
    "inverse · lower": (tril, lambda a, b: _solve(a, tril(b), lower=True)),
    "upper · inverse": (triu, lambda a, b: _solve(a, triu(b), lower=False, left=False)),
}

NEEDED: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "lower · upper": (tril, lambda a, b: tril(a) @ triu(b)),
    "strict of lower": (lambda x: tril(x, -1), lambda a, b: tril(a) @ tril(b)),
    "too narrow": (lambda x: tril(x, 1), lambda a, b: tril(a, 1) @ tril(b, 1)),
    "inverse of the other kind": (tril, lambda a, b: _solve(a, tril(b), lower=False)),
    "perhaps no inverse": (tril, lambda a, b: _solve(a, tril(b), lower=True, unit=False)),
}


def _drops_mask(mask: Callable[[Any], Any], inner: Callable[[Any, Any], Any]) -> bool:
    def built(function: Callable[..., Any]) -> Callable[..., Value]:
        graph = trace(function, TYPES)
        return lambda *operands: operands[0].builder.inline(graph, list(operands))[0]

    masked = built(lambda a, b: mask(inner(a, b)))
    return proves(masked, built(inner), *TYPES, only=FAMILIES)


@pytest.mark.parametrize("name", CASES)
def test_mask_is_dropped(name: str) -> None:
    assert _drops_mask(*CASES[name])


@pytest.mark.parametrize("name", NEEDED)
def test_mask_is_needed(name: str) -> None:
    assert not _drops_mask(*NEEDED[name])


def _diagonals(band: Band | None) -> set[int]:
    return set() if band is None else set(range(band.low, band.high + 1))


def test_arithmetic_of_bands() -> None:
    rng = np.random.default_rng(0)
    shape = (4, 5)
    every = _diagonals(bands.whole_band(shape))
    for _ in range(300):
        a, b = (Band(*sorted(map(int, rng.integers(-3, 5, 2)))) for _ in range(2))
        a = EMPTY if rng.random() < 0.1 else a
        offset, step = int(rng.integers(-3, 4)), int(rng.integers(1, 4))
        assert _diagonals(bands.common(a, b)) == _diagonals(a) & _diagonals(b)
        assert _diagonals(bands.hull(a, b)) >= _diagonals(a) | _diagonals(b)
        sums = {i + j for i in _diagonals(a) for j in _diagonals(b)}
        assert _diagonals(bands.product_band(a, b)) == sums
        assert _diagonals(bands.flipped(a)) == {-i for i in _diagonals(a)}
        kept = {i for i in range(-20, 20) if offset + step * i in _diagonals(a)}
        assert _diagonals(bands.thinned(a, offset, step)) == kept
        assert _diagonals(bands.spread(a, offset, step)) >= {
            offset + step * i for i in _diagonals(a)
        }
        assert _diagonals(bands.outside(a, shape)) >= every - _diagonals(a)
        assert _diagonals(bands.inside_outside(a, shape)) <= every - _diagonals(a)
