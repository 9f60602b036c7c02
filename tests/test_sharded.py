"""Programs on a mesh of 8 devices: results and shardings of `jax.jit`, and a report that says why.

XLA reads the number of host devices when it starts, so that each test is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

_BEFORE = """
import warnings
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import saturax
from saturax import Options, SaturaxWarning

options = Options(time_limit_s=0.3, cache=False)
mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
rows, tiles, everywhere = (NamedSharding(mesh, P(*s)) for s in (("a",), ("a", "b"), ()))
host = np.random.default_rng(0).standard_normal((16, 16)).astype("f")
x = jax.device_put(host, tiles)

def f(a, b):
    return jnp.tanh(a @ b) + a

def same(found, expected):
    assert found.sharding == expected.sharding, (found.sharding, expected.sharding)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

def check(function, *arguments, **jit_options):
    fast = saturax.jit(function, options=options, **jit_options)
    plain = jax.jit(function, **jit_options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            same(fast(*arguments), plain(*arguments))
    assert len(caught) == 1 and "on several devices" in str(caught[0].message), caught
    (report,) = fast.reports
    assert report.outcome == "original" and "on several devices" in report.reason
"""


def _run_on_mesh(body: str) -> str:
    flags = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", _BEFORE + textwrap.dedent(body)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("check(f, x, x)", id="sharded arguments"),
        pytest.param("check(f, host, host, in_shardings=(tiles, everywhere))", id="in_shardings"),
        pytest.param("check(f, host, host, out_shardings=tiles)", id="out_shardings"),
        pytest.param("check(f, x, x, in_shardings=tiles, out_shardings=rows)", id="both"),
        pytest.param(
            """
            @jax.shard_map(mesh=mesh, in_specs=P("a", None), out_specs=P())
            def total(block):
                return jax.lax.psum(block.T @ block, "a")
            check(total, jax.device_put(host, rows))
            """,
            id="shard_map with psum",
        ),
        pytest.param(
            """
            def constrained(a):
                return jax.lax.with_sharding_constraint(a @ a, everywhere) * 2
            check(constrained, host)
            """,
            id="with_sharding_constraint",
        ),
    ],
)
def test_sharded_programs_run_as_under_jax_jit(body):
    _run_on_mesh(body)


def test_one_function_on_one_device_and_on_a_mesh():
    _run_on_mesh(
        """
        fast = saturax.jit(f, options=options)
        same(fast(host, host), jax.jit(f)(host, host))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SaturaxWarning)
            same(fast(x, x), jax.jit(f)(x, x))
        same(fast.lower(x, x).compile()(x, x), jax.jit(f)(x, x))
        first, second = fast.reports
        assert "several devices" not in first.reason and "several devices" in second.reason
        """
    )


def test_installed():
    printed = _run_on_mesh(
        """
        expected = jax.jit(f)(x, x)
        jax.clear_caches()
        installed = saturax.install(options=options, minimum_operations=1)
        same(jax.jit(f)(x, x), expected)
        print(installed.summary())
        """
    )
    assert "several devices" in " ".join(printed.split())
