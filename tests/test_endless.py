"""Loops whose steps depend on values: programs are not run on inputs on which they may not end."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from running import normal, program_of, run

import saturax
from saturax import Options
from saturax.checking.endless import MOST_STEPS, counting

_SHORT = Options(time_limit_s=1.0, cache=False)


def _doubled_until(x, most):
    """Doubles x until it is large: for ever if x is 0."""
    return jax.lax.while_loop(lambda v: jnp.max(v) < most, lambda v: v + v, x)


def _is_endless(function, *arguments):
    return [bool(found) for found in run(counting(program_of(function, *arguments)), arguments)]


def test_loops_are_counted():
    one, none = np.float32([1, 0.5]), np.float32([0, 0])
    assert _is_endless(lambda x: _doubled_until(x, 100.0), one) == [False]
    assert _is_endless(lambda x: _doubled_until(x, 100.0), none) == [True]


def test_loops_inside_of_loops_are_counted():
    def twice(x):
        step = lambda pair: (pair[0] * 0.0 + _doubled_until(pair[0], 9.0), pair[1] - 1.0)  # noqa: E731
        return jax.lax.while_loop(lambda pair: pair[1] > 0, step, (x, jnp.max(x)))

    assert _is_endless(twice, np.float32([2, 1])) == [False]
    assert _is_endless(lambda x: twice(x)[0] + 0 * _doubled_until(x, 9.0), np.float32([0])) == [
        True
    ]


def test_loops_inside_of_branches_are_counted():
    def guarded(x):
        loop = lambda v: _doubled_until(v, 100.0)  # noqa: E731
        return jax.lax.cond(x[1] > 0, loop, lambda v: jax.lax.cond(v[0] < 0, loop, jnp.sin, v), x)

    assert _is_endless(guarded, np.float32([1, 1])) == [False]
    assert _is_endless(guarded, np.float32([1, 0])) == [False]
    assert _is_endless(guarded, np.float32([-1, 0])) == [True]


def test_loops_inside_of_branches_in_loops_are_counted():
    def repeated(x):
        step = lambda i, v: jax.lax.cond(i == 3, lambda u: _doubled_until(u, 9.0), jnp.abs, v)  # noqa: E731
        return jax.lax.fori_loop(0, 5, step, x)

    assert _is_endless(repeated, np.float32([1, 2])) == [False]
    assert _is_endless(repeated, np.float32([0, 0])) == [True]


def test_branches_without_loops_are_not_counted():
    branch = lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)  # noqa: E731
    assert counting(program_of(branch, normal(4))) is None


def test_loops_that_count_to_a_constant_are_not_counted():
    assert (
        counting(program_of(lambda x: jax.lax.fori_loop(0, 9, lambda i, v: v @ v, x), normal(4, 4)))
        is None
    )


def test_many_steps_count_as_no_end():
    countdown = lambda x: jax.lax.while_loop(lambda v: v > 0, lambda v: v - 1.0, x)  # noqa: E731
    assert _is_endless(countdown, np.float32(MOST_STEPS - 1)) == [False]
    assert _is_endless(countdown, np.float32(MOST_STEPS + 1)) == [True]


def test_original_runs_where_no_inputs_end():
    def never(x):
        return jax.lax.while_loop(lambda v: jnp.max(v) < jnp.inf, lambda v: v * 0.5 @ v * 0, x)

    result = saturax.optimize(never, jax.ShapeDtypeStruct((8, 8), jnp.float32), options=_SHORT)
    assert result.report.outcome == "original"
    assert "no inputs" in result.report.reason
