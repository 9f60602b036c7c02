"""Linear steps through transforms that change nothing but place and scale, and others like them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import fft as jsf

from saturax.graph.build import prune
from saturax.graph.ir import Graph
from saturax.graph.reference import evaluate
from saturax.proposals import propose
from saturax.rules.rule import BITWISE, ROUNDING
from saturax.stablehlo import import_module

N = 12
X = np.random.default_rng(0).normal(size=(3, N)).astype(np.float32)
PHASES = np.exp(-2j * np.pi * np.arange(N) * 5 / N).astype(np.complex64)


def stated(f: Callable[..., Any], x: Any = X, numerics: Any = ROUNDING) -> list[str]:
    """The operations that a program's results are said to be, and the values checked."""
    module: Any = jax.jit(f).lower(x).compiler_ir("stablehlo")
    found = propose(import_module(module).graph, numerics)
    assert not found.failures
    pairs = [(i, j) for i, j, reason in found.pairs if reason == "see_through_linear_maps"]
    for i, j in pairs:
        graphs = [prune(Graph(found.graph.inputs, tuple(found.nodes), (k,))) for k in (i, j)]
        (want,), (have,) = (evaluate(graph, [x], reals=True) for graph in graphs)
        np.testing.assert_allclose(have, want, 0, 1e-5)
    return [found.nodes[j].op for i, j in pairs if i in found.graph.outputs]


@pytest.mark.parametrize(
    ("f", "op"),
    [
        (lambda x: jsf.idct(jsf.dct(x)), "parameter"),
        (lambda x: jsf.dct(jsf.idct(x, norm="ortho"), norm="ortho"), "parameter"),
        (lambda x: jsf.idct(3 * jsf.dct(x[:, 1:])), "binary"),
        (lambda x: jsf.idctn(jsf.dctn(jnp.tanh(x))), "unary"),
        (lambda x: jnp.fft.ifft(jnp.fft.fft(x + 0j) * PHASES), "concatenate"),
        (
            lambda x: jnp.fft.fft(jnp.fft.fftshift(jnp.fft.ifftshift(jnp.fft.ifft(x + 0j)))),
            "binary",
        ),
    ],
)
def test_what_leads_back_is_what_it_began_with(f: Callable[..., Any], op: str) -> None:
    assert stated(f) == [op]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jsf.idct(jsf.dct(x), norm="ortho"),
        lambda x: jsf.idct(jsf.dct(x) + 1),
        lambda x: jsf.idct(jsf.dct(x) * x),
        lambda x: jsf.idct(jnp.abs(jsf.dct(x))),
        lambda x: jsf.idct(jsf.dct(x).at[:, -1].set(0)),
        lambda x: jsf.idct(jsf.dct(x, axis=0), axis=1),
        lambda x: jsf.idct(jsf.dct(jnp.where(x > 0, x, jnp.inf))),
        lambda x: jnp.fft.ifft(jnp.fft.fft(x + 0j) * PHASES**0.5),
        # A step of the heat equation that is short, but more than rounding.
        lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * np.exp(-1e-6 * np.arange(N // 2 + 1)), N),
    ],
)
def test_other_steps_do_not(f: Callable[..., Any]) -> None:
    assert stated(f) == []


def test_steps_are_equal_up_to_rounding_only() -> None:
    assert stated(lambda x: jsf.idct(jsf.dct(x)), numerics=BITWISE) == []
