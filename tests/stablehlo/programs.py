"""JAX programs that between them use every family of operations, with arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_random = np.random.default_rng(0)


class Example(NamedTuple):
    """A function, its arguments and how `jax.jit` is to treat it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any] = {}  # noqa: RUF012


def _normal(*shape: int, dtype: Any = np.float32) -> Any:
    return _random.normal(size=shape).astype(dtype)


def _integers(*shape: int, high: int = 8, dtype: Any = np.int32) -> Any:
    return _random.integers(0, high, size=shape).astype(dtype)


EXAMPLES: dict[str, Example] = {}


def _example(*arguments: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        EXAMPLES[function.__name__] = Example(function, arguments, options)
        return function

    return add


_X, _Y = _normal(4, 6), _normal(4, 6)
_SQUARE = _normal(5, 5)
_POSITIVE = (_SQUARE @ _SQUARE.T + 5 * np.eye(5)).astype(np.float32)
_IMAGE, _KERNEL = _normal(2, 9, 8, 4), _normal(3, 3, 4, 6)


@_example(_X, _Y)
def unary_functions(x: Any, y: Any) -> Any:
    u = jnp.abs(x) + 0.5
    real = (jnp.exp, jnp.expm1, jnp.tanh, jnp.sin, jnp.cos, jnp.tan, jnp.floor, jnp.ceil)
    positive = (jnp.log, jnp.log1p, jnp.sqrt, lax.rsqrt, jnp.cbrt)
    more = (jnp.sign, jnp.round, jnp.isfinite, lax.logistic, jnp.negative)
    return [f(x) for f in real + more] + [f(u) for f in positive]


@_example(_X, _Y)
def special_functions(x: Any, y: Any) -> Any:
    special = jax.scipy.special
    u = jnp.clip(x, -0.9, 0.9)
    return (
        special.erf(x),
        special.erfc(x),
        lax.erf_inv(u),
        special.gammaln(jnp.abs(x) + 1),
        special.digamma(jnp.abs(x) + 1),
        jnp.arcsin(u),
        jnp.arctanh(u),
        jnp.sinh(x),
        jnp.cosh(x),
        jnp.square(x),
        jnp.nextafter(x, y),
        special.zeta(jnp.abs(x) + 2, jnp.abs(y) + 1),
        special.polygamma(1, jnp.abs(x) + 1),
        special.i1e(x),
    )


@_example(_X, _Y)
def binary_functions(x: Any, y: Any) -> Any:
    arithmetic = (x + y, x - y, x * y, x / y, jnp.abs(x) ** y)
    return (
        arithmetic,
        jnp.arctan2(x, y),
        jnp.maximum(x, y),
        jnp.minimum(x, y),
        jnp.fmod(x, y),
        x > y,
        x == y,
        (x > 0) & (y > 0) | (x < y),
        lax.complex(x, y),
    )


@_example(_integers(7), _integers(7) + 1)
def integer_functions(x: Any, y: Any) -> Any:
    u = x.astype(np.uint8)
    bits = (x << y, x >> 1, lax.shift_right_logical(x, y), x ^ y, ~x, x & y)
    return (
        bits,
        x // y,
        x % y,
        lax.population_count(u),
        lax.clz(x),
        u.astype(jnp.int4),
        jnp.sign(x),
        u < u[::-1],
        lax.bitcast_convert_type(u, np.int8),
        lax.bitcast_convert_type(x, np.int8),
        lax.mulhi(x, y),
    )


@_example(_X, np.bool_(True), np.float32(-0.5))
def selection(x: Any, p: Any, low: Any) -> Any:
    return (
        jnp.where(x > 0, x, -x),
        lax.select(p, x, x * 2),
        lax.clamp(low, x, np.float32(0.5)),
        lax.clamp(x, x * 2, x + 1),
        lax.reduce_precision(x, 8, 7),
    )


@_example(_X)
def shapes(x: Any) -> Any:
    return (
        x.T.reshape(2, 12),
        jnp.broadcast_to(x[:, None], (4, 3, 6)),
        x[::-1, 1:5:2],
        jnp.pad(x, ((1, 2), (0, 3)), constant_values=2.0),
        lax.pad(x, np.float32(0), ((-1, 0, 1), (0, -2, 0))),
        jnp.concatenate([x, x * 2, x[:1], x + 1], 0),
        jnp.stack([x, x]),
        jnp.tile(x, (2, 3)),
        jnp.arange(6.0) + x,
        lax.broadcasted_iota(np.int32, (3, 4), 1),
    )


@_example(_X, np.int32(1), np.int32(7))
def dynamic_windows(x: Any, i: Any, j: Any) -> Any:
    s = lax.dynamic_slice(x, (i, j), (2, 3))
    return s, lax.dynamic_update_slice(x, s * 2, (j, i)), x.at[i].set(0)


@_example(_X, _Y, _normal(2, 4, 3), _normal(2, 3, 5))
def contractions(x: Any, y: Any, a: Any, b: Any) -> Any:
    return (
        x @ y.T,
        jnp.einsum("bij,bjk->bki", a, b),
        lax.dot_general(a, b.transpose(1, 2, 0), (((2,), (0,)), ((0,), (2,)))),
        jnp.dot(x, y.T, precision="highest"),
        lax.dot_general(x, y.T, (((1,), (0,)), ((), ())), preferred_element_type=jnp.float32),
        jnp.vdot(x, y),
        jnp.dot(x, y.T, precision=lax.DotAlgorithmPreset.F32_F32_F32),
        jnp.outer(x[0], y[0]),
    )


@_example(_IMAGE, _KERNEL)
def convolutions(x: Any, k: Any) -> Any:
    convolve = partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return (
        convolve(x, k, (1, 1), "SAME"),
        convolve(x, k, (2, 1), ((1, 0), (2, 3)), rhs_dilation=(2, 1)),
        convolve(x, k[:, :, :1, :4], (1, 1), "VALID", feature_group_count=4),
        convolve(x, k[:, :, :, :4], (1, 1), "VALID", batch_group_count=2),
        lax.conv_transpose(x, k, (2, 2), "SAME"),
        jax.grad(lambda x, k: convolve(x, k, (2, 2), "SAME").sum(), 1)(x, k),
        lax.conv(x.transpose(0, 3, 1, 2), k.transpose(3, 2, 0, 1), (1, 1), "VALID"),
        convolve(x, k, (1, 1), "SAME", precision="highest"),
    )


@_example(_X, _integers(3, 4))
def reductions(x: Any, n: Any) -> Any:
    return (
        x.sum(0),
        x.max(),
        x.min(1),
        x.prod(1),
        x.mean((0, 1)),
        (x > 0).all(0),
        (x > 0).any(1),
        n.sum(1),
        n.max(0),
        n.min(),
        jnp.argmax(x, 1),
        jnp.argmin(x),
        jnp.bitwise_and.reduce(n),
        jnp.bitwise_xor.reduce(n),
        lax.reduce(x, np.float32(1), lax.add, (0,)),
        lax.reduce(x, np.float32(-0.0), lax.add, (0,)),
        lax.reduce((x, x * 2), (np.float32(0),) * 2, lambda a, b: (a[0] + b[0], a[1] * b[0]), (1,)),
        jax.nn.logsumexp(x, 1),
        x.var(0),
    )


@_example(_X, _IMAGE)
def windows(x: Any, image: Any) -> Any:
    dims, strides = (1, 2, 3, 1), (1, 2, 1, 1)

    def pool(image: Any) -> Any:
        return lax.reduce_window(image, -jnp.inf, lax.max, dims, strides, "SAME")

    return (
        pool(image),
        lax.reduce_window(image, 0.0, lax.add, dims, strides, "VALID"),
        lax.reduce_window(image, 1.0, lax.add, dims, strides, "VALID"),
        jax.grad(lambda image: (pool(image) ** 2).sum())(image),
        jnp.cumsum(x, 0),
        jnp.cumprod(x, 1),
        lax.cummax(x, 1),
        lax.cumlogsumexp(x, 0),
    )


@_example(_X, _integers(9))
def sorting(x: Any, n: Any) -> Any:
    return (
        jnp.sort(x, 1),
        jnp.argsort(x[:, 0]),
        lax.sort((n, n * 2 + 1), num_keys=1),
        lax.top_k(x, 3),
        jnp.median(x),
        jnp.unique(n, size=5),
        jnp.searchsorted(jnp.sort(x[0]), x[1]),
        lax.approx_max_k(x, 2),
    )


@_example(_X, _integers(5, high=4), _normal(5, 6))
def indexing(x: Any, i: Any, y: Any) -> Any:
    return (
        x[i],
        x[i, i],
        jnp.take_along_axis(x, jnp.argsort(x, 1), 1),
        x.at[i].add(y),
        x.at[i].set(y),
        x.at[i].max(y, mode="drop"),
        x.at[i, i].multiply(2.0, unique_indices=False),
        jax.ops.segment_sum(y, i, 4),
        jax.vmap(lambda row, j: row[j])(y, i),
        jax.grad(lambda x: (x[i] ** 2).sum())(x),
    )


@_example(_SQUARE, np.int32(1))
def control_flow(x: Any, i: Any) -> Any:
    def step(c: Any, y: Any) -> Any:
        return jnp.tanh(c @ x) + y, c.sum()

    nested = lax.fori_loop(
        0, 3, lambda j, a: lax.while_loop(lambda b: b.sum() < 50, lambda b: b * b + j + 1, a), x
    )
    return (
        lax.fori_loop(0, 5, lambda j, c: c @ x * 0.1 + j, x),
        lax.scan(step, x, jnp.stack([x, x * 2, x * 3])),
        lax.while_loop(lambda c: c[0] < i + 3, lambda c: (c[0] + 1, c[1] + x), (0, x)),
        lax.cond(i > 0, lambda a: a @ x, lambda a: a + i, x),
        lax.switch(i, [lambda a: a, lambda a: a * x, lambda a: jnp.sort(a)], x),
        nested,
        lax.map(lambda r: jnp.sort(r) + x[0], x),
        lax.associative_scan(jnp.add, x),
        jax.grad(lambda w: lax.scan(lambda c, _: (jnp.tanh(c @ w), None), x, None, 4)[0].sum())(x),
    )


@_example(_POSITIVE, _SQUARE)
def linear_algebra(a: Any, b: Any) -> Any:
    return (
        jnp.linalg.cholesky(a),
        jnp.linalg.solve(a, b),
        jnp.linalg.qr(b),
        jnp.linalg.svd(b, compute_uv=False),
        jnp.linalg.eigvalsh(a),
        jnp.linalg.inv(a),
        jax.scipy.linalg.solve_triangular(a, b, lower=True),
        jax.scipy.linalg.lu(a),
        jnp.linalg.det(b),
    )


@_example(_X)
def fourier(x: Any) -> Any:
    z = jnp.fft.fft(x)
    return z, jnp.fft.rfft(x), jnp.fft.ifft2(z), jnp.abs(z), jnp.angle(z), (z * (1 + 2j)).real


@_example(np.uint32(3))
def random_numbers(seed: Any) -> Any:
    key = jax.random.key(seed)
    a, b = jax.random.split(key)
    bits = lax.rng_bit_generator(jnp.arange(4, dtype=np.uint32), (5,), np.uint32)
    return (
        jax.random.normal(a, (4,)),
        jax.random.permutation(b, 10),
        jax.random.bernoulli(a, 0.3, (5,)),
        jax.random.key_data(b),
        jax.random.exponential(a, (3,)),
        bits,
    )


@_example(jax.random.key(0))
def random_keys(key: Any) -> Any:
    return jax.random.split(key, 3), jax.random.uniform(key, (2,))


@_example(_X, _Y)
def low_precision(x: Any, y: Any) -> Any:
    b, h = x.astype(jnp.bfloat16), x.astype(jnp.float16)
    table = jnp.asarray(np.linspace(-3, 3, 24).reshape(4, 6), jnp.bfloat16)
    small = np.linspace(-3, 3, 6)
    return (
        b @ y.astype(jnp.bfloat16).T,
        (b + table).astype(np.float32),
        h * np.float16(1.5) + np.array(small, np.float16),
        x.astype(jnp.float8_e4m3fn).astype(np.float32),
        b.sum(1),
        jnp.max(b),
        jnp.asarray(small, jnp.float8_e5m2).astype(np.float32) * x,
        lax.dot_general(b, b.T, (((1,), (0,)), ((), ())), preferred_element_type=np.float32),
        jnp.arange(6).astype(jnp.int4) + jnp.array([1, -2, 3, -4, 5, -6], jnp.int4),
        jnp.array([True, False]) & (x[0, 0] > 0),
    )


@_example(np.zeros((0, 3), np.float32), np.float32(2), np.zeros((1, 1, 1), np.int8))
def odd_shapes(empty: Any, scalar: Any, one: Any) -> Any:
    return (
        empty.sum(0),
        empty.T @ empty,
        jnp.concatenate([empty, jnp.ones((2, 3))]),
        scalar * 2,
        one.reshape(()),
        jnp.broadcast_to(scalar, (0,)),
        empty + np.zeros((0, 3), np.float32),
    )


@_example(_X, _X * (1 + 1j))
def complex_numbers(x: Any, z: Any) -> Any:
    table = np.array([1 + 2j, -0.1 - 0.7j, np.inf, 0, 3, 1e-20j], np.complex64)
    w = z * table + x
    return w, w @ z.T, jnp.conj(w), jnp.exp(z), z.sum(), jnp.abs(w), w.imag, jnp.sqrt(z), z == w


@_example(_X, _Y, donate_argnums=(0,))
def donation(x: Any, y: Any) -> Any:
    return x + y, (x * y).sum()


@_example(_X)
def composites(x: Any) -> Any:
    @partial(lax.composite, name="example.scale")
    def scale(x: Any) -> Any:
        return jnp.sin(x) * 2

    return scale(x), lax.optimization_barrier((x, x * 2))


@_example(_X)
def callbacks(x: Any) -> Any:
    jax.debug.print("first {}", x[0, 0])
    jax.debug.print("first {}", x[0, 0])
    shape = jax.ShapeDtypeStruct((4, 6), np.float32)
    from jax.experimental import io_callback

    return io_callback(lambda a: np.asarray(a) + 1, shape, x, ordered=False) + jax.pure_callback(
        np.sin, shape, x
    )


@_example(_normal(40, 30))
def large_constants(x: Any) -> Any:
    random = np.random.default_rng(1)
    tables = [random.normal(size=(40, 30)).astype(t) for t in (np.float32, jnp.bfloat16)]
    return x + tables[0], x + tables[1], x * (random.normal(size=30) + 1j).astype(np.complex64)


@_example(_X, _Y)
def nested_jit(x: Any, y: Any) -> Any:
    inner = jax.jit(lambda a: jnp.tanh(a) + 1)
    outer = jax.jit(lambda a, b: inner(inner(a)) * inner(b))
    return outer(x, y), outer(x, y), outer(y, x)
