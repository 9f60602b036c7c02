"""What programs do with a jitted function besides calling it: the same under `saturax.jit`.

A case is a function of `jit`; it is run under `jax.jit` and `saturax.jit`, and has to return equal
results or raise the same error with the same message. Uses on several devices are in
`test_sharded.py`.
"""

from __future__ import annotations

import collections
import functools
import inspect
import re
import threading
import traceback
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.custom_batching import custom_vmap
from jax.experimental import checkify, io_callback
from running import normal

import saturax
from saturax import Options

_OPTIONS = Options(time_limit_s=0.2, candidates=1, cache=False)
_W, _X, _B = normal(4, 4), normal(3, 4), normal(4)
_CASES: list[Any] = []


def _case(function):
    _CASES.append(pytest.param(function, id=function.__name__.strip("_")))
    return function


def _layer(w, x, b):
    return jnp.tanh(x @ w + b)


# ------------------------------------------------------------------ ahead of time


@_case
def _export(jit):
    exported = jax.export.export(jit(_layer))(_W, _X, _B)
    return exported.call(_W, _X, _B), exported.in_tree, exported.fun_name


@_case
def _compiled(jit):
    compiled = jit(_layer, donate_argnums=1).lower(_W, _X, _B).compile()
    return compiled(_W, _X, _B), compiled.input_shardings, compiled.output_shardings


@_case
def _compiled_called_with_others(jit):
    return jit(_layer).lower(_W, _X, _B).compile()(_W, _W, _B)


@_case
def _traced_lowered_compiled(jit):
    traced = jit(_layer).trace(_W, _X, _B)
    return traced.fun_name, traced.lower().compile()(_W, _X, _B), traced.jaxpr.out_avals


@_case
def _lowered_for_types(jit):
    types = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (_W, _X, _B)]
    return jit(_layer).lower(*types).compile()(_W, _X, _B)


@_case
def _lowered_information(jit):
    lowered = jit(_layer, donate_argnums=1).lower(_W, _X, _B)
    return lowered.args_info, lowered.out_info, lowered.in_tree


@_case
def _ahead_of_time_with_keywords_and_static(jit):
    named = jit(lambda a, *, b: a - b).lower(_X, b=_X).compile()
    static = jit(lambda a, n: a * n, static_argnums=1).lower(_X, 3).compile()
    return named(_X, b=_X * 2), static(_X)


@_case
def _compile_with_options(jit):
    options = {"xla_cpu_enable_fast_math": False}
    return jit(_layer).lower(_W, _X, _B).compile(compiler_options=options)(_W, _X, _B)


@_case
def _make_jaxpr_and_eval_shape(jit):
    jaxpr = jax.make_jaxpr(jit(_layer, inline=True))(_W, _X, _B)
    return jaxpr.out_avals, jax.eval_shape(jit(_layer), _W, _X, _B)


# ------------------------------------------------------------------ options of jax.jit


@_case
def _unknown_option(jit):
    return jit(_layer, static_argnum=1)


@_case
def _static_number_that_is_not_there(jit):
    return jit(_layer, static_argnums=7)(_W, _X, _B)


@_case
def _static_name_that_is_not_there(jit):
    return jit(_layer, static_argnames="nope")


@_case
def _unhashable_static(jit):
    return jit(lambda x, n: x, static_argnums=1)(_X, {})


@_case
def _static_from_the_end_and_by_default(jit):
    power = jit(lambda x, n=2: x**n, static_argnames=("n",))
    return (
        jit(lambda x, n: x * n, static_argnums=-1)(_X, 3),
        power(_X),
        power(_X, 3),
        power(_X, n=3),
    )


@_case
def _static_of_equal_hash(jit):
    class Factor:
        def __init__(self, n):
            self.n = n

        def __hash__(self):
            return 1

        def __eq__(self, other):
            return self.n == other.n

    scaled = jit(lambda x, factor: x * factor.n, static_argnums=1)
    return [scaled(_X, Factor(n)) for n in (2, 3, 2)]


@_case
def _donated_from_the_end(jit):
    x = jnp.array(_X)
    return jit(lambda a, b: a + b, donate_argnums=-1)(jnp.array(_X), x), x.is_deleted()


@_case
def _donated_and_transformed(jit):
    squares = jit(lambda v: v * v, donate_argnums=0)
    x, y, z = jnp.array(_X), jnp.array(_X), jnp.array(_X)
    gradient = jax.grad(lambda v: squares(v).sum())(x)
    pushed = jax.jvp(squares, (z,), (z,))
    return gradient, jax.vmap(squares)(y), pushed, [a.is_deleted() for a in (x, y, z)]


@_case
def _donated_in_scan_cond_and_checkpoint(jit):
    total = jit(lambda a, b: a + b, donate_argnums=0)
    scanned = lax.scan(lambda c, v: (total(c, v), v), jnp.zeros(4), _X)
    gradient = jax.grad(jax.checkpoint(lambda v: total(v, _X).sum()))(jnp.array(_X))
    return scanned, lax.cond(True, total, lambda a, b: a - b, jnp.array(_X), _X), gradient


@_case
def _static_and_transformed(jit):
    power = jit(lambda x, n: (x**n).sum(), static_argnums=1)
    outer = jax.jit(lambda x, n: power(x, n), static_argnums=1)(_X, 3)
    return (
        outer,
        jax.grad(power)(_X, 3),
        jax.vmap(lambda x: power(x, 2))(_X),
        jax.hessian(lambda x: power(x, 3))(_B),
    )


# ------------------------------------------------------------------ contexts


@_case
def _precision(jit):
    product = jit(lambda a, b: a @ b)
    first = product(_W, _W)
    with jax.default_matmul_precision("highest"):
        return first, product(_W, _W), "HIGHEST" in product.lower(_W, _W).as_text()


@_case
def _strict_promotion(jit):
    with jax.numpy_dtype_promotion("strict"):
        return jit(lambda a, b: a + b)(np.float32(1), np.int32(1))


@_case
def _without_jit(jit):
    with jax.disable_jit():
        return jit(lambda x: x * 2 if x.sum() > 0 else -x)(jnp.abs(_X))


@_case
def _nans_are_errors(jit):
    with jax.debug_nans(True):
        return jit(lambda x: jnp.log(x) * 2)(-jnp.ones(3))


@_case
def _nans_are_errors_in_later_calls(jit):
    with jax.debug_nans(True):
        function = jit(lambda x: jnp.log(x) * 2)
        function(jnp.ones(3))
        return function(-jnp.ones(3))


@_case
def _leaks_are_checked(jit):
    with jax.checking_leaks():
        return jit(_layer)(_W, _X, _B)


@_case
def _transfers_are_forbidden(jit):
    double, x = jit(lambda x: x * 2 + 1), jnp.array(_X)
    with jax.transfer_guard("disallow"):
        return double(x), double(x)


@_case
def _x64(jit):
    with jax.enable_x64(True):
        square, plus = jit(lambda x: x @ x.T), jit(lambda x: x + 1)
        return square(_X.astype(np.float64)), jit(lambda: jnp.arange(3))(), plus(2**40)


# ------------------------------------------------------------------ arguments and results


@_case
def _no_arguments_no_results(jit):
    return jit(lambda: jnp.arange(3) * 2)(), jit(lambda x: None)(_X)


@_case
def _results_that_are_inputs_or_numbers(jit):
    return jit(lambda x, y: (y, x, None, {}))(_X, 2), jit(lambda x: (1, 2.5, True, 1j))(_X)


@_case
def _text_as_result(jit):
    return jit(lambda x: "text")(_X)


@_case
def _objects_as_argument(jit):
    return jit(lambda x: x)(np.array([None]))


@_case
def _number_too_large(jit):
    return jit(lambda x: x + 1)(2**40)


@_case
def _empty_and_boolean(jit):
    chosen = jit(lambda p, x: jnp.where(p, x, -x))(True, _X)
    return jit(lambda x: (x @ _W).sum(0))(np.zeros((0, 4), np.float32)), chosen


@_case
def _named_tuples_partials_and_varied_arguments(jit):
    pair = collections.namedtuple("pair", "a b")
    swapped = jit(lambda t: pair(t.b, t.a * 2))(pair(_X, _B))
    applied = jit(lambda g, x: g(x))(jax.tree_util.Partial(jnp.dot, _X), _W)
    varied = jit(lambda *a, **k: sum(a) + k["z"])(1.0, _X, z=2.0)
    return (
        tuple(swapped),
        swapped._fields,
        applied,
        varied,
        jit(functools.partial(_layer, _W))(_X, _B),
    )


@_case
def _keys(jit):
    key = jax.random.key(1, impl="rbg")
    raw = jit(lambda k: jax.random.normal(k, (3,)))(jax.random.PRNGKey(3))
    split = jit(lambda k: jax.random.split(k)[0])(key)
    return jax.random.key_data(split), jit(lambda k: jax.random.uniform(k, (3,)))(key), raw


@_case
def _narrow_types(jit):
    kinds = ("bfloat16", "float16", "float8_e4m3fn")
    totals = [jit(lambda x: (x @ x.T).sum())(jnp.asarray(_X, kind)) for kind in kinds]
    return [x.astype(jnp.float32) for x in totals], jit(lambda x: x.astype(jnp.int4) * 1)(
        jnp.arange(4)
    ).astype(jnp.int32)


@_case
def _deleted_argument(jit):
    total, x = jit(lambda a, b: a + b, donate_argnums=0), jnp.array(_X)
    total(x, _X)
    return total(x, _X)


# ------------------------------------------------------------------ transformations


@_case
def _jacobians_and_transposes(jit):
    both = jax.jacrev(jit(_layer), argnums=(0, 2))(_W, _X, _B)
    loop = lambda x: lax.while_loop(  # noqa: E731
        lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, x)
    )[1]
    return both, jax.jacfwd(jit(loop))(_B), jax.linear_transpose(jit(lambda x: x @ _W), _X)(_X)


@_case
def _gradient_of_a_while_loop(jit):
    loop = lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]  # noqa: E731
    return jax.grad(jit(loop))(1.0)


@_case
def _batched_over_some_axes(jit):
    return jax.vmap(jit(_layer), in_axes=(None, 0, None), out_axes=1)(_W, _X, _B)


@_case
def _custom_batching(jit):
    @custom_vmap
    def double(x):
        return x * 2

    double.def_vmap(lambda size, batched, x: (x * 3, True))
    return jax.vmap(jit(double))(_X), jit(jax.vmap(double))(_X)


@_case
def _checkpoint_with_a_policy(jit):
    policy = jax.checkpoint_policies.dots_saveable
    return jax.grad(jax.checkpoint(lambda w: jit(_layer)(w, _X, _B).sum(), policy=policy))(_W)


@_case
def _mapped_and_scanned(jit):
    return lax.map(jit(lambda x: x @ _W), _X), lax.associative_scan(jit(lambda a, b: a * b), _X)


# ------------------------------------------------------------------ effects and errors


@_case
def _checked_errors(jit):
    def positive(x):
        checkify.check(x.sum() > 0, "must be positive")
        return x * 2

    error, result = jit(checkify.checkify(positive))(-jnp.abs(_X))
    return str(error.get()).split(" (")[0], result


@_case
def _ordered_callbacks(jit):
    seen = []

    def noisy(x):
        for i in range(3):
            io_callback(lambda v, i=i: seen.append((i, float(v))), None, x.sum() * i, ordered=True)
        return x * 2

    function = jit(noisy)
    results = [function(jnp.ones(3)) for _ in range(2)]
    jax.effects_barrier()
    return seen, results


@_case
def _mutable_arrays(jit):
    reference = jax.new_ref(jnp.zeros(3))

    def add(reference, x):
        reference[...] += x
        return x * 2

    function = jit(add)
    results = [function(reference, jnp.ones(3)) for _ in range(2)]
    return reference[...], results


@_case
def _errors_in_the_function(jit):
    def inner(x):
        return x @ jnp.ones((5, 5))

    def outer(x):
        return inner(x) + 1

    try:
        jit(outer)(_X)
    except TypeError as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        return [name for name in names if name in ("inner", "outer")], str(error)


@_case
def _values_needed_while_tracing(jit):
    return jit(lambda x: jnp.zeros(int(x)))(3)


@_case
def _leaked_tracer(jit):
    leaked = []
    jit(lambda x: leaked.append(x))(_X)
    try:
        leaked[0] + 1
    except jax.errors.UnexpectedTracerError as error:
        return type(error), "escaped" in str(error)


@_case
def _what_is_no_function(jit):
    return jit(3)


# ------------------------------------------------------------------ as an object


@_case
def _signature_and_attributes(jit):
    def named(a, b=2, *, c=3):
        """What it does."""
        return a

    function = jit(named)
    function.mine = 3
    text = str(inspect.signature(function))
    return text, function.__doc__, function.__name__, function.mine, hash(function) is not None


@_case
def _method_with_its_object_static(jit):
    class Model:
        def __init__(self):
            self.w = _W

        @functools.partial(jit, static_argnums=0)
        def __call__(self, x):
            return x @ self.w

    model = Model()
    return model(_X), model(_X)


@_case
def _several_threads_at_once(jit):
    function, results = jit(lambda x: x @ _W), [None] * 6

    def work(i):
        results[i] = function(np.full((i % 3 + 1, 4), 1.0, np.float32))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _outcome(case, jit):
    """What a case returns or raises."""
    try:
        return "returned", case(jit)
    except Exception as error:
        return type(error).__name__, re.sub("0x[0-9a-f]+", "", str(error)).splitlines()[:1]


def _assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if isinstance(other, jax.Array):
            assert one.aval == other.aval  # shape, dtype and weak type
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
        else:
            assert one == other


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
@pytest.mark.filterwarnings("ignore::saturax.SaturaxWarning")
@pytest.mark.parametrize("case", _CASES)
def test_same_as_jax_jit(case):
    expected = _outcome(case, jax.jit)
    _assert_same(_outcome(case, functools.partial(saturax.jit, options=_OPTIONS)), expected)
