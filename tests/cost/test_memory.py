"""Predicted memory against the compiler's own plan of its buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from saturax.cost.memory import memory_of
from saturax.jaxlib_compat import compile_module, default_device, memory_analysis
from saturax.stablehlo import import_module

Shapes = tuple[tuple[int, ...], ...]
D, W, V = (64, 256), (256, 512), (512, 256)
NCHW, OIHW = (1, 16, 32, 32), (32, 16, 3, 3)


def _step(w: Any, v: Any, x: Any) -> Any:
    def loss(w: Any, v: Any) -> Any:
        return jnp.sum(jnp.tanh(jnp.tanh(x @ w) @ v) ** 2)

    dw, dv = jax.grad(loss, (0, 1))(w, v)
    return w - 0.1 * dw, v - 0.1 * dv


def _scan(x: Any, w: Any) -> Any:
    def body(h: Any, row: Any) -> Any:
        h = jnp.tanh(h @ w + row)
        return h, h * 2

    return jax.lax.scan(body, jnp.zeros(w.shape[0]), x)


CASES: dict[str, tuple[Callable[..., Any], Shapes, str]] = {
    "nothing between": (lambda x, w: x @ w, (D, W), "float32"),
    "one value between": (lambda x, w: jnp.tanh(x @ w) @ w.T, (D, W), "float32"),
    "many values at a time": (
        lambda x, w, v: sum(jnp.tanh(x * i @ w) @ v for i in range(1, 6)), (D, W, V), "float32",
    ),
    "softmax": (lambda x: jax.nn.softmax(x @ x.T), ((128, 64),), "float32"),
    "16-bit products": (lambda x, w: jnp.tanh(x) @ jnp.exp(w), (D, W), "bfloat16"),
    "heads": (
        lambda x, w: jnp.einsum("tc,hcd->htd", x, w), ((64, 128), (4, 128, 32)), "float32",
    ),
    "a convolution in another order": (
        lambda x, k: jnp.tanh(jax.lax.conv_general_dilated(x, k, (1, 1), "SAME")),
        (NCHW, OIHW), "float32",
    ),
    "an update": (
        lambda x, y: jnp.tanh(jax.lax.dynamic_update_slice(jnp.exp(x) @ x.T, y, (0, 0))),
        ((256, 64), (8, 8)), "float32",
    ),
    "scattered gradients on a product": (
        lambda x, g: 3 * (x.T @ g + jnp.zeros((256, 512)).at[jnp.arange(64)].add(g)),
        (D, (64, 512)), "float32",
    ),
    "a number that two sums read": (
        lambda x: (jnp.sum(jnp.sqrt(x * x + 0.1), 1), jnp.sum(jnp.sqrt(x * 3 + 0.1), 0)),
        ((128, 128),), "float32",
    ),
    "a number that one sum reads": (
        lambda x: jnp.sum(jnp.sqrt(x * x + 0.1), 1), ((128, 128),), "float32",
    ),
    "a number that a sum and a loop read": (
        lambda x: (jnp.sum(jnp.sqrt(x + 0.1), 1), jnp.tanh(x * 0.1)), ((128, 128),), "float32",
    ),
    "rows that two sums scale": (
        lambda x, y: (jnp.sum(2 * jnp.sqrt(x) * y, 1), jnp.sum(3 * jnp.exp(x) * y, 1)),
        ((128, 128), (128,)), "float32",
    ),
    "a training step": (_step, (W, V, D), "float32"),
    "a loop": (_scan, ((64, 128), (128, 128)), "float32"),
    "a branch": (
        lambda x, w: jax.lax.cond(x[0, 0] > 0, lambda x: x @ w @ w.T @ w, lambda x: x @ w, x),
        (D, W), "float32",
    ),
}  # fmt: skip


def _lowered(name: str, **options: Any) -> Any:
    function, shapes, dtype = CASES[name]
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    return jax.jit(function, **options).lower(*arguments).compiler_ir("stablehlo")


@pytest.mark.skipif(default_device().platform != "cpu", reason="a model of XLA:CPU")
@pytest.mark.parametrize("name", CASES)
def test_temporary_values_are_those_that_the_compiler_plans(name: str) -> None:
    module = _lowered(name)
    planned, predicted = memory_analysis(compile_module(module)), memory_of(import_module(module))
    assert predicted.argument_bytes == planned.argument_bytes
    assert predicted.temporary_bytes == pytest.approx(planned.temporary_bytes, rel=0.15, abs=512)
    assert predicted.peak_bytes == pytest.approx(planned.peak_bytes, rel=0.02)


def test_donated_arguments_count_once() -> None:
    module = _lowered("a training step", donate_argnums=(0, 1))
    planned, predicted = memory_analysis(compile_module(module)), memory_of(import_module(module))
    assert predicted.aliased_bytes == planned.aliased_bytes == 2 * 256 * 512 * 4
    assert predicted.peak_bytes == pytest.approx(planned.peak_bytes, rel=0.15)
