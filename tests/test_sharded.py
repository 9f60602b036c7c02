"""Programs on a mesh of 8 devices: optimised, with the results and shardings of `jax.jit`.

XLA reads the number of host devices when it starts, so that each test is a process of its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest

_BEFORE = """
import dataclasses, warnings
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import saturax, saturax.report.text
from saturax import Options, SaturaxWarning
from saturax.cost.database import PriceDatabase
from saturax.cost.device import CALIBRATION_DOCUMENT, default_calibration

calibration = dataclasses.replace(default_calibration(), defaulted=())
PriceDatabase().put_document(calibration.device_key, CALIBRATION_DOCUMENT, calibration.to_json())

options = Options(time_limit_s=20, candidates=2, cache=False)
mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
rows, columns, tiles, everywhere = (
    NamedSharding(mesh, P(*s)) for s in (("a",), (None, "a"), ("a", "b"), ())
)
host = np.random.default_rng(0).standard_normal((768, 768)).astype("f") / 16
x = jax.device_put(host, tiles)
v = host[0]

def f(a, b, c):
    "A chain that is much faster in the other order."
    return (a @ b) @ c + c

def same(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.sharding == other.sharding, (one.sharding, other.sharding)
        assert one.aval == other.aval
        scale = float(np.max(np.abs(other)))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * scale)

def check(function, *arguments, is_optimised=True, **jit_options):
    plain = jax.jit(function, **jit_options)
    warnings.simplefilter("error", SaturaxWarning)
    for _ in range(3):  # eight devices on two busy cores: a race may be lost
        fast = saturax.jit(function, options=options, **jit_options)
        for _ in range(2):
            same(fast(*arguments), plain(*arguments))
        (report,) = fast.reports
        assert report.measured_on.startswith("8 devices"), report.measured_on
        if (report.outcome == "optimized") is is_optimised:
            break
    assert (report.outcome == "optimized") is is_optimised, saturax.report.text.explain(report)
    return report
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
        pytest.param(
            """
            check(f, x, x, v)
            check(f, host, host, v, in_shardings=(tiles, rows, everywhere))
            check(f, host, host, v, out_shardings=rows)
            """,
            id="shardings",
        ),
        pytest.param(
            """
            def constrained(a, c):
                product = jax.lax.with_sharding_constraint(a @ a, everywhere)
                return jax.lax.with_sharding_constraint((a @ a.T) @ c, rows), product
            check(constrained, x, v)

            @jax.shard_map(mesh=mesh, in_specs=(P("a"), P("a"), P()), out_specs=P("a"))
            def total(a, b, c):
                return ((a.T @ b) @ c)[:64] + jax.lax.psum(c.sum(), "a")
            report = check(total, x, x, v)
            assert "optimize_region" in report.rules

            @jax.shard_map(mesh=mesh, in_specs=P("a"), out_specs=(P("a"), P()))
            def exchange(a):
                around = jax.lax.ppermute(a, "a", [(i, (i + 1) % 4) for i in range(4)])
                gathered = jax.lax.all_gather(around, "a", tiled=True)
                part = jax.lax.psum_scatter(gathered @ a.T, "a", tiled=True)
                return part, jax.lax.pmax(jax.lax.pmean(a, "a").sum(), "a")
            check(lambda a: jax.tree.map(lambda y: y * 2 + 0, exchange(a)), x, is_optimised=False)
            """,
            id="constraints and shard_map",
        ),
        pytest.param(
            """
            def step(w, c):
                loss = lambda w: ((w @ w.T) @ c) @ c
                value, slope = jax.value_and_grad(loss)(w)
                return w - 1e-3 * slope, value
            check(step, x, v)

            seen = []
            def observed(a, b, c):
                y = f(a, b, c)
                jax.debug.callback(lambda t: seen.append(float(t)), y.sum())
                return y
            fast = saturax.jit(observed, options=options)
            same(fast(x, x, v), jax.jit(f)(x, x, v))
            jax.effects_barrier()
            count = len(seen)
            jax.jit(observed)(x, x, v)
            jax.effects_barrier()
            assert len(seen) == 2 * count > 0, (count, len(seen))
            assert fast.report.outcome == "optimized", saturax.report.text.explain(fast.report)
            """,
            id="training step and callback",
        ),
        pytest.param(
            """
            mesh = jax.make_mesh((8,), ("a",), axis_types=(AxisType.Explicit,))
            with jax.set_mesh(mesh):
                a = jax.device_put(host, NamedSharding(mesh, P("a", None)))
                # Every product carries a constraint, which holds the order in place.
                check(f, a, host, v, is_optimised=False)
            """,
            id="explicit sharding",
        ),
    ],
)
def test_sharded_programs_keep_results_and_shardings(body):
    _run_on_mesh(body)


_USES = """
w = host[:64, :64]
small = jax.device_put(host[:64, :64], tiles)
quick = Options(time_limit_s=0.2, candidates=1, cache=False)
warnings.simplefilter("ignore", SaturaxWarning)

def layer(a, n=1):
    return jnp.tanh(a @ w) * n

def uses(jit):
    one = jit(layer)
    total = lambda a: one(a).sum()
    yield "grad", lambda: jax.grad(total)(small)
    yield "value_and_grad", lambda: jax.value_and_grad(total)(small)
    yield "jvp", lambda: jax.jvp(one, (small,), (small,))
    yield "vjp", lambda: jax.vjp(one, small)[1](small)
    yield "vmap", lambda: jax.vmap(one)(small)
    yield "scan", lambda: jax.lax.scan(lambda c, a: (c + one(a).sum(), a), 0.0, small)
    yield "checkpoint", lambda: jax.grad(jax.checkpoint(total))(small)
    yield "inner", lambda: jax.jit(lambda a: one(a) + 1)(small)
    yield "static", lambda: jit(layer, static_argnums=1)(small, 3)
    yield "in and out", lambda: jit(layer, in_shardings=rows, out_shardings=columns)(w)
    yield "shard_map in it", lambda: jit(jax.shard_map(
        lambda a: jax.lax.psum(a @ w, "a"), mesh=mesh, in_specs=P("a"), out_specs=P()))(w)
    yield "in shard_map", lambda: jax.shard_map(
        jit(lambda a: jax.lax.psum(a @ w, "a")), mesh=mesh, in_specs=P("a"), out_specs=P())(w)
    yield "pmap", lambda: jax.pmap(one)(host[:8, :64].reshape(8, 1, 64))
    yield "compiled", lambda: jit(layer).lower(small).compile()(small)
    yield "device", lambda: one(jax.device_put(w, jax.devices()[3]))
    yield "default device", lambda: on_default(one)
    yield "spmd_axis_name", lambda: jax.vmap(one, spmd_axis_name="a")(small.reshape(4, 16, 64))
    yield "other devices", lambda: jit(lambda a, b: a + b)(
        jax.device_put(w, jax.devices()[1]), jax.device_put(w, jax.devices()[2]))
    yield "does not divide", lambda: jit(layer, in_shardings=rows)(host[:3, :64])

def on_default(function):
    with jax.default_device(jax.devices()[5]):
        return function(w)

def outcome(use):
    try:
        return use()
    except Exception as error:
        return type(error).__name__

def donated(jit):
    a, b = jax.device_put(w, tiles), jax.device_put(w, rows)
    result = jit(lambda a, b: (a + 1, b * 2), donate_argnums=(0, 1))(a, b)
    assert a.is_deleted() and b.is_deleted()
    return result

fast = lambda f, **rest: saturax.jit(f, options=quick, **rest)
same(donated(fast), donated(jax.jit))
names = []
for (name, found), (_, expected) in zip(uses(fast), uses(jax.jit), strict=True):
    one, other = outcome(found), outcome(expected)
    if isinstance(other, str):
        assert one == other, (name, one, other)
    else:
        same(one, other)
    names.append(name)
print(len(names))
"""


def test_uses_on_a_mesh_are_those_of_jax_jit():
    """Transformations, static and donated arguments, devices, and what is refused."""
    assert _run_on_mesh(_USES).split() == ["19"]


def test_one_function_on_one_device_and_on_a_mesh():
    _run_on_mesh(
        """
        from saturax.jaxlib_compat import default_device
        from saturax.search import device_prices

        calibrated, where = device_prices.calibrated, []

        def calibrate(run, database):
            where.append(default_device().id)
            return calibrated(run, database)

        device_prices.calibrated = calibrate
        fast = saturax.jit(f, options=options)
        same(fast(host, host, v), jax.jit(f)(host, host, v))
        same(fast(x, x, v), jax.jit(f)(x, x, v))
        same(fast.lower(x, x, v).compile()(x, x, v), jax.jit(f)(x, x, v))
        there = jax.device_put(host, jax.devices()[3])
        same(fast(there, there, v), jax.jit(f)(there, there, v))
        assert [report.measured_on for report in fast.reports] == [
            "one device", "8 devices", "one device"
        ]
        assert where == [0, 0, 3]  # where it runs, each time
        """
    )


def test_programs_for_more_devices_than_there_are_stay_as_they_are():
    _run_on_mesh(
        """
        text = jax.jit(f).lower(x, x, v).as_text()
        text = text.replace("num_partitions = 8", "num_partitions = 16")
        report = saturax.optimize_module(text, options=options).report
        assert report.reason == "it runs on 16 devices, 8 more than there are here", report.reason
        """
    )


def test_installed():
    _run_on_mesh(
        """
        expected = jax.jit(f)(x, x, v)
        jax.clear_caches()
        installed = saturax.install(options=options, minimum_operations=1)
        same(jax.jit(f)(x, x, v), expected)
        (decision,) = [d for d in installed.decisions if d.program == "jit_f"]
        assert decision.report.outcome == "optimized"
        assert decision.report.measured_on == "8 devices"
        """
    )


_TWO_PROCESSES = """
import sys, warnings
import jax, jax.numpy as jnp, numpy as np
jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
from jax.sharding import NamedSharding, PartitionSpec as P
import saturax

warnings.simplefilter("error", saturax.SaturaxWarning)
mesh = jax.make_mesh((4,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
sharding = NamedSharding(mesh, P("a"))
host = np.random.default_rng(0).standard_normal((16, 16)).astype("f")
x = jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
f = lambda a, b: (jnp.tanh(a @ b) @ b, (a * b).sum())
for measure in (True, False):
    fast = saturax.jit(f, options=saturax.Options(time_limit_s=3, measure=measure))
    for one, other in zip(fast(x, x), jax.jit(f)(x, x)):
        assert one.sharding == other.sharding
        for a, b in zip(one.addressable_shards, other.addressable_shards):
            np.testing.assert_array_equal(a.data, b.data)
    assert "several processes" in fast.report.reason, fast.report.reason
local = saturax.jit(lambda a, b: (a @ b) @ b[0], options=saturax.Options(time_limit_s=3))
np.testing.assert_allclose(local(host, host), (host @ host) @ host[0], rtol=1e-3, atol=1e-3)
assert local.report.measured_on == "one device"
print("done", flush=True)
"""


def test_two_processes_run_the_original_and_the_report_says_so():
    """Programs of one process are optimised there as ever."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = str(listener.getsockname()[1])
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _TWO_PROCESSES, port, str(number)],
            env=os.environ | flags,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    results = [worker.communicate(timeout=300) for worker in workers]
    for worker, (printed, errors) in zip(workers, results, strict=True):
        assert worker.returncode == 0, errors
        assert "done" in printed
