"""Running programs of the tests, and JAX functions of a dozen families to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saturax import Options
from saturax.graph.ir import Program
from saturax.jaxlib_compat import compile_module
from saturax.mlir_modules import without_donation
from saturax.stablehlo import emit_module, import_module

QUICK = Options(time_limit_s=2.0)
PREDICTED = Options(time_limit_s=4.0, measure=False)


def program_of(function: Callable[..., Any], *arguments: Any) -> Program:
    """The program that JAX makes of a function, with all its arguments."""
    return import_module(
        jax.jit(function, keep_unused=True).lower(*arguments).compiler_ir("stablehlo")
    )


def run(program: Program, inputs: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """Results of a program."""
    executable = compile_module(without_donation(emit_module(program)))
    return [np.asarray(result) for result in executable([jax.device_put(x) for x in inputs])]


def assert_equal(found: Sequence[Any], expected: Sequence[Any], tolerance: float = 2e-5) -> None:
    """Floats to within a share of the largest magnitude, everything else exactly."""
    assert len(found) == len(expected)
    for a, b in zip(map(np.asarray, found), map(np.asarray, expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if not jnp.issubdtype(a.dtype, np.inexact):
            np.testing.assert_array_equal(a, b)
            continue
        kind = np.complex128 if np.iscomplexobj(a) else np.float64
        wide = b.astype(kind)
        scale = float(np.max(np.abs(wide), initial=1e-30))
        np.testing.assert_allclose(a.astype(kind), wide, rtol=0, atol=tolerance * scale)


def normal(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Standard normal values in float32."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


def matrix_chain(n: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """(A B) x and its arguments: A (B x) is faster."""
    return lambda a, b, x: (a @ b) @ x, (normal(n, n), normal(n, n, seed=1), normal(n))


def _chain(g: np.random.Generator) -> Any:
    a, b, c, d = g.integers(1, 9, 4)
    shapes = ((a, b), (b, c), (c, d), (d,))
    return lambda x, y, z, v: ((x @ y) @ z) @ v, shapes


def _moves(g: np.random.Generator) -> Any:
    p, q = g.permutation(3), g.permutation(3)
    shape = tuple(g.integers(1, 5, 3))
    return lambda x: jnp.tanh(jnp.transpose(jnp.transpose(x, p), q)) + 1, (shape,)


def _projections(g: np.random.Generator) -> Any:
    n, m = g.integers(1, 7, 2)

    def function(x: Any, u: Any, v: Any, w: Any) -> Any:
        return jax.nn.softmax((x @ u) @ (x @ v).T) @ (x @ w)

    return function, ((n, m), (m, m), (m, m), (m, m))


def _recurrence(g: np.random.Generator) -> Any:
    steps, n = g.integers(1, 6), g.integers(1, 6)

    def function(x: Any, h: Any, w: Any, u: Any) -> Any:
        for t in range(steps):
            h = jnp.tanh(x[t] @ w + h @ u)
        return h

    return function, ((steps, 2, n), (2, n), (n, n), (n, n))


def _scan(g: np.random.Generator) -> Any:
    steps, n = g.integers(1, 6), g.integers(1, 6)

    def function(x: Any, h: Any, w: Any) -> Any:
        return jax.lax.scan(lambda h, x: (jnp.tanh(x @ w + h), h * 2), h, x)

    return function, ((steps, n), (n,), (n, n))


def _slices(g: np.random.Generator) -> Any:
    n, k = g.integers(2, 9), g.integers(1, 5)
    cut = int(g.integers(1, n))

    def function(x: Any, y: Any) -> Any:
        joined = jnp.concatenate([x, y], 1)
        return jnp.concatenate([joined[:, cut:], joined[:, :cut]], 1).sum(0) * 2

    return function, ((k, n), (k, n))


def _convolution(g: np.random.Generator) -> Any:
    c, o, w = g.integers(1, 4, 3)
    numbers = ("NHWC", "HWIO", "NHWC")

    def function(x: Any, k: Any, s: Any) -> Any:
        y = jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=numbers)
        return jax.nn.relu(y * s) + 1

    return function, ((1, 5, 5, c), (w, w, c, o), (o,))


def _normalisation(g: np.random.Generator) -> Any:
    n, m = g.integers(1, 9, 2)

    def function(x: Any, s: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        return (x - mean) * s / jnp.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-3)

    return function, ((n, m), (m,))


def _gradient(g: np.random.Generator) -> Any:
    n, m = g.integers(1, 7, 2)
    loss = lambda w, x: jnp.sum(jax.nn.gelu(x @ w) ** 2)  # noqa: E731
    return jax.value_and_grad(loss), ((m, m), (n, m))


def _batched(g: np.random.Generator) -> Any:
    b, n = g.integers(1, 6, 2)
    return jax.vmap(lambda x, y: (x @ y) @ (y @ x)), ((b, n, n), (b, n, n))


def _indexing(g: np.random.Generator) -> Any:
    n, m = g.integers(2, 7, 2)
    rows = jnp.asarray(g.integers(0, n, 3))

    def function(x: Any) -> Any:
        return x[rows].at[0].set(1.0), jnp.argmax(x, 1), jnp.where(x > 0, x, -x).cumsum(0)

    return function, ((n, m),)


def _integers(g: np.random.Generator) -> Any:
    n = int(g.integers(1, 7))

    def function(x: Any) -> Any:
        whole = (4 * x).astype(jnp.int32)
        return (whole @ whole) * 3 + whole - whole // 2, whole % 3 == 0

    return function, ((n, n),)


FAMILIES = {
    family.__name__.strip("_"): family
    for family in (
        _chain, _moves, _projections, _recurrence, _scan, _slices, _convolution, _normalisation,
        _gradient, _batched, _indexing, _integers,
    )
}  # fmt: skip
"""Name → a drawer of (function, shapes of its float32 arguments)."""


def instance(family: str, seed: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function of a family and arguments for it."""
    function, shapes = FAMILIES[family](np.random.default_rng(seed))
    return function, tuple(
        normal(*map(int, shape), seed=seed + 7 * index) for index, shape in enumerate(shapes)
    )
