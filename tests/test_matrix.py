"""Every transformation over a dozen functions: `saturax.jit` and `jax.jit` give the same.

A row is a function with its arguments and `jax.jit` options, a column a use of it; what is compared
are values, structure, shape, dtype and weak type of the results.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from running import assert_equal, normal

import saturax
from saturax import Options, SaturaxWarning

_MEASURED = Options(time_limit_s=0.3, candidates=2, cache=False)
_PREDICTED = Options(time_limit_s=0.3, measure=False, cache=False)

Wrap = Callable[..., Any]
"""`jax.jit` or `saturax.jit`."""


@dataclass(frozen=True)
class Row:
    """A function, its arguments and how it is compiled.

    `differentiable` functions have float arguments and results; `plain` ones are called with
    positional arguments that may all be batched.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    is_plain: bool = True
    is_differentiable: bool = True


def _layer(w, x, b):
    return jnp.tanh(x @ w + b)


def _tree(p, x):
    return {"y": (x @ p["w"]) * p["s"][0], "none": None, "both": (x, p["s"][0] * 2)}


def _scale(x, *, by=2.0, shift=None):
    return x * by if shift is None else x * by + shift


def _power(x, n, mode):
    return x**n if mode == "power" else jnp.broadcast_to(x, (n, *x.shape)).sum(0)


def _axis(x, *, axis, keep=False):
    return x.sum(axis, keepdims=keep) / 3


def _step(state, gradient):
    return jax.tree.map(lambda s, g: s - 0.1 * g * g, state, gradient), gradient["w"].sum()


def _keys(key, x):
    first, second = jax.random.split(key)
    return x + jax.random.normal(first, x.shape), second


def _control(x, n):
    big = lax.cond(n > 2, lambda v: v * 2, lambda v: v - 1, x)
    doubled = lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * 1.5), (0, big))[1]
    total, sums = lax.scan(lambda c, v: (c + v, c * v), jnp.float32(0), doubled)
    return (
        total,
        lax.switch(n, [jnp.sin, jnp.cos], sums),
        lax.fori_loop(0, 3, lambda i, v: v + i, x),
    )


def _whole(x, y):
    return x @ y + (x << 1) % 5, x.astype(jnp.uint8), x > y


def _wave(z, w):
    return jnp.fft.fft(z * w).real, jnp.conj(z) @ w


@jax.custom_vjp
def _clipped(x):
    return x * x


_clipped.defvjp(lambda x: (x * x, x), lambda x, g: (jnp.clip(2 * x * g, -1, 1),))


@jax.custom_jvp
def _softened(x):
    return jnp.log1p(jnp.exp(x))


_softened.defjvp(lambda p, t: (_softened(*p), t[0] * jax.nn.sigmoid(p[0])))

_W, _X, _B = normal(4, 4), normal(3, 4), normal(4)
_KEY = jax.random.key(7)

ROWS = [
    Row("layer", _layer, (_W, _X, _B)),
    Row("trees", _tree, ({"w": _W, "s": [np.float32(2)]}, _X)),
    Row("keywords", _scale, (_X,), {"by": 3.0, "shift": _X}, is_plain=False),
    Row("static numbers", _power, (_X, 3, "power"), {}, {"static_argnums": (1, 2)}, False),
    Row("static names", _axis, (_X,), {"axis": 1, "keep": True},
        {"static_argnames": ("axis", "keep")}, False),
    Row("donated number", _step, ({"w": _W}, {"w": _W}), {}, {"donate_argnums": 0},
        False, False),
    Row("donated name", _step, ({"w": _W}, {"w": _W}), {}, {"donate_argnames": "state"},
        False, False),
    Row("keys", _keys, (_KEY, _X), is_plain=False, is_differentiable=False),
    Row("weak types", lambda x, y: (x * 2 + y, x), (1.5, 2), is_plain=False,
        is_differentiable=False),
    Row("control flow", _control, (_B, 4), is_plain=False, is_differentiable=False),
    Row("integers", _whole, (np.arange(9).reshape(3, 3), np.eye(3, dtype=np.int32)),
        is_differentiable=False),
    Row("complex", _wave, (_B + 1j * _B, _B - 2j), is_differentiable=False),
    Row("custom vjp", lambda x: _clipped(x) @ _W, (_X,)),
    Row("custom jvp", lambda x: _softened(x @ _W), (_X,)),
    Row("checkpoint", jax.checkpoint(lambda w, x: jnp.sin(jnp.sin(x @ w) @ w)), (_W, _X)),
    Row("inner jit", lambda x, b: jax.jit(jnp.add)(jax.jit(jnp.sin)(x), b), (_X, _B)),
    Row("kept unused", lambda x, y: x * 2, (_X, _B), {}, {"keep_unused": True, "inline": True}),
    Row("compiler options", lambda x: x @ x.T, (_X,), {},
        {"compiler_options": {"xla_cpu_enable_fast_math": False}}, False, False),
]  # fmt: skip


def _total(tree):
    return sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(tree))


def _batched(tree, n):
    return jax.tree.map(lambda x: jnp.stack([jnp.asarray(x) * (k + 1) for k in range(n)]), tree)


def _plain(f, a, k):
    return f(*_fresh(a), **k), f(*_fresh(a), **k)


def _lowered(f, a, k):
    compiled = f.lower(*a, **k).compile()
    return compiled.out_tree == jax.tree.structure(f(*_fresh(a), **k)), f.eval_shape(*a, **k)


def _traced(f, a, k):
    traced = f.trace(*a, **k)
    return traced.out_info, str(traced.in_avals if hasattr(traced, "in_avals") else "")


def _in_jit(f, a, k):
    a = _fresh(a)
    return jax.jit(lambda x: f(x, *a[1:], **k))(a[0])


def _exported(f, a, k):
    plain = jax.jit(lambda x: f(x, *a[1:], **k))
    return jax.export.export(plain)(a[0]).call(a[0])


def _grad(f, a, k):
    return jax.grad(lambda x: _total(f(x, *a[1:], **k)))(a[0])


def _value_and_grad(f, a, k):
    return jax.value_and_grad(lambda x: _total(f(x, *a[1:], **k)))(a[0])


def _jvp(f, a, k):
    return jax.jvp(lambda x: f(x, *a[1:], **k), (a[0],), (a[0],))


def _vjp(f, a, k):
    result, pull = jax.vjp(lambda x: f(x, *a[1:], **k), a[0])
    return result, pull(result)


def _linearize(f, a, k):
    result, push = jax.linearize(lambda x: f(x, *a[1:], **k), a[0])
    return result, push(a[0])


def _hessian(f, a, k):
    return jax.hessian(lambda x: _total(f(x, *a[1:], **k)))(a[0])


def _checkpointed(f, a, k):
    return jax.grad(jax.checkpoint(lambda x: _total(f(x, *a[1:], **k))))(a[0])


def _vmap(f, a, k):
    return jax.vmap(f)(*_batched(a, 3))


def _vmap_of_vmap(f, a, k):
    return jax.vmap(jax.vmap(f))(*_batched(_batched(a, 2), 3))


def _vmap_with_axis(f, a, k):
    summed = lambda *b: lax.psum(f(*b), "i")  # noqa: E731
    return jax.vmap(summed, axis_name="i")(*_batched(a, 3))


def _scanned(f, a, k):
    return lax.scan(lambda c, b: (c + 1, f(*b)), 0, _batched(a, 3))


def _cond(f, a, k):
    return lax.cond(True, f, f, *a)


def _while(f, a, k):
    zero = jax.tree.map(jnp.zeros_like, f(*_fresh(a)))
    strong = jax.tree.map(lambda x: lax.convert_element_type(x, x.dtype), zero)
    body = lambda c: (c[0] + 1, jax.tree.map(lambda x, o: x.astype(o.dtype), f(*a), strong))  # noqa: E731
    return lax.while_loop(lambda c: c[0] < 2, body, (0, strong))


EVERYWHERE = [_plain, _lowered, _traced, _in_jit]
IF_PLAIN = [_vmap, _vmap_of_vmap, _vmap_with_axis, _scanned, _cond, _while]
IF_DIFFERENTIABLE = [
    _grad, _value_and_grad, _jvp, _vjp, _linearize, _hessian, _checkpointed, _exported,
]  # fmt: skip


_ALL_USES = EVERYWHERE + IF_PLAIN + IF_DIFFERENTIABLE


def _marks(row: Row, use: Callable[..., Any]) -> Any:
    """Half of the table is in the default run, measured and predicted; the rest is `long`."""
    return pytest.mark.long if (ROWS.index(row) // 2 + _ALL_USES.index(use)) % 2 else ()


def _uses(row: Row) -> list[Callable[..., Any]]:
    """The uses that `jax.jit` itself allows for a row."""
    chosen = EVERYWHERE + IF_PLAIN * row.is_plain + IF_DIFFERENTIABLE * row.is_differentiable
    forbidden: set[Callable[..., Any]] = set()
    if "compiler_options" in row.options:
        forbidden = {_in_jit}  # not on a jit inside another
    if row.name == "custom vjp":
        forbidden = {_jvp, _linearize, _hessian}  # no forward mode
    return [use for use in chosen if use not in forbidden]


def _fresh(tree: Any) -> Any:
    """The same arguments in buffers of their own, so that they can be donated."""
    is_array = lambda x: isinstance(x, np.ndarray | jax.Array)  # noqa: E731
    return jax.tree.map(lambda x: jnp.asarray(x).copy() if is_array(x) else x, tree)


def _assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for one, other in pairs:
        if isinstance(one, jax.Array):
            assert one.aval == other.aval  # shape, dtype and weak type
            assert_equal([_data(one)], [_data(other)], 1e-4)
        elif hasattr(one, "shape"):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
        else:
            assert one == other


def _data(leaf: jax.Array) -> jax.Array:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


@functools.cache
def _optimised(name: str, measured: bool) -> Any:
    row = next(row for row in ROWS if row.name == name)
    options = _MEASURED if measured else _PREDICTED
    return saturax.jit(row.function, options=options, **row.options)


@pytest.mark.filterwarnings("ignore:.*chosen by prediction")
@pytest.mark.filterwarnings("error::saturax.SaturaxWarning")
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
@pytest.mark.parametrize(
    ("row", "use"),
    [
        pytest.param(row, use, id=f"{row.name}-{use.__name__.strip('_')}", marks=_marks(row, use))
        for row in ROWS
        for use in _uses(row)
    ],
)
def test_same_as_jax_jit(row, use):
    """One use under measuring, the other way round by prediction: rows alternate."""
    fast = _optimised(row.name, ROWS.index(row) % 2 == 0)
    plain = jax.jit(row.function, **row.options)
    expected = use(plain, _fresh(row.arguments), row.keywords)
    _assert_same(use(fast, _fresh(row.arguments), row.keywords), expected)


_OUTER = {
    "grad": lambda f: jax.grad(lambda *a: _total(f(*a))),
    "value and grad": lambda f: jax.value_and_grad(lambda *a: _total(f(*a))),
    "jvp": lambda f: lambda *a: jax.jvp(f, a, a),
    "vjp": lambda f: lambda *a: jax.vjp(f, *a)[1](f(*a)),
    "hessian": lambda f: jax.hessian(lambda *a: _total(f(*a))),
    "vmap": lambda f: lambda *a: jax.vmap(f)(*_batched(a, 2)),
    "vmap of grad": lambda f: (
        lambda *a: jax.vmap(jax.grad(lambda *b: _total(f(*b))))(*_batched(a, 2))
    ),
    "scan": lambda f: lambda *a: _scanned(f, a, {}),
    "cond": lambda f: lambda *a: _cond(f, a, {}),
    "checkpoint": lambda f: jax.grad(jax.checkpoint(lambda *a: _total(f(*a)))),
}


@pytest.mark.filterwarnings("error::saturax.SaturaxWarning")
@pytest.mark.parametrize("outer", _OUTER)
@pytest.mark.parametrize("name", ["layer", "custom vjp"])
def test_transformed_functions_are_what_is_optimised(name, outer):
    """saturax.jit outside, the transformation of an inner saturax.jit within."""
    if name == "custom vjp" and outer in ("jvp", "hessian"):
        pytest.skip("a custom vjp has no forward mode")
    row = next(row for row in ROWS if row.name == name)
    inner = saturax.jit(row.function, options=_MEASURED)
    fast = saturax.jit(_OUTER[outer](inner), options=_MEASURED)
    _assert_same(fast(*row.arguments), jax.jit(_OUTER[outer](row.function))(*row.arguments))
    assert inner.reports == []
    assert len(fast.reports) == 1


def test_x64():
    with jax.enable_x64(True):
        for function in (_layer, lambda w, x, b: jax.grad(lambda v: _layer(w, v, b).sum())(x)):
            arguments = [x.astype(np.float64) for x in (_W, _X, _B)]
            fast = saturax.jit(function, options=_MEASURED)
            _assert_same(fast(*arguments), jax.jit(function)(*arguments))


def test_x64_is_switched_between_calls():
    fast = saturax.jit(lambda x: x * 2, options=_MEASURED)
    for enabled in (False, True, False):
        with jax.enable_x64(enabled):
            assert fast(1.0).dtype == (np.float64 if enabled else np.float32)


def test_device_and_shardings_of_one_device():
    device = jax.devices()[0]
    there = jax.sharding.SingleDeviceSharding(device)
    for options in ({"in_shardings": there}, {"out_shardings": there}):
        fast = saturax.jit(lambda x: x @ x.T, options=_MEASURED, **options)
        result = fast(_X)
        assert result.sharding == jax.jit(lambda x: x @ x.T, **options)(_X).sharding
        assert fast.report.operations_before > 0


def test_errors_are_those_of_the_function():
    def branch(x, flag):
        if flag > 0:
            return x
        return -x

    fast = saturax.jit(branch, options=_MEASURED)
    with pytest.raises(jax.errors.TracerBoolConversionError) as raised:
        fast(_X, 1)
    assert "branch at" in str(raised.value)
    assert "argument flag" in str(raised.value)
    assert raised.value.__context__ is None  # no error of ours stands before it
    files = [frame.path.name for frame in raised.traceback]
    assert __file__.rpartition("/")[2] in files[1:]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'flag'"):
        fast(_X)
    with pytest.raises(TypeError, match="as an abstract array"):
        fast("text", 1)
    with pytest.raises(ValueError, match="Non-hashable static"):
        saturax.jit(branch, static_argnums=1)(_X, [])


def test_warnings_point_to_the_caller():
    fast = saturax.jit(lambda a, b, x: (a @ b) @ x, options=_PREDICTED)
    with pytest.warns(SaturaxWarning, match="chosen by prediction") as caught:
        fast(_W, _W, _B)
    assert {w.filename for w in caught} == {__file__}


def test_donated_buffers_are_gone_by_number_and_by_name():
    for options in ({"donate_argnums": 0}, {"donate_argnames": ("state",)}):
        fast = saturax.jit(lambda state, x: state + x, options=_MEASURED, **options)
        for _ in range(2):
            state, x = jnp.array(_X), jnp.array(_X)
            fast(state, x)
            assert state.is_deleted()
            assert not x.is_deleted()


def test_it_looks_like_the_function():
    fast = saturax.jit(_layer)
    assert fast.__wrapped__ is _layer
    assert (fast.__name__, fast.__module__) == ("_layer", __name__)
    assert "saturax.jit" in repr(fast)
    assert callable(fast)


def test_jax_clears_its_caches_of_optimised_functions_too():
    fast = saturax.jit(lambda x: x * 2 + 1, options=_MEASURED)
    fast(_X)
    fast(_X)
    jax.clear_caches()
    fast(_X)
    assert len(fast.reports) == 2
