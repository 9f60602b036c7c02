"""What the optimiser does is not seen as what a user did: JAX's counts of events are those of
`jax.jit`, and what a user forbids does not hold for it."""

from __future__ import annotations

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import util

import saturax
from saturax import Options

_OPTIONS = Options(time_limit_s=0.5, cache=False)
_EVENTS = ("batched_device_put_start", "lower_jaxpr_to_module", "trace_to_jaxpr")


def _program(x, y):
    return jnp.tanh(x @ y) @ y.T * 2.0 + y


def _events(monkeypatch, call):
    """How often a call transfers, lowers and traces."""
    counts = Counter()
    monkeypatch.setattr(util, "test_event_listener", lambda name, *_: counts.update([name]))
    jax.block_until_ready(call())
    return {name: counts[name] for name in _EVENTS}


@pytest.fixture
def installed():
    yield saturax.install(options=_OPTIONS, minimum_operations=1)
    saturax.uninstall()


def _first_call(x):
    return jax.jit(lambda x, y: _program(x, y))(x, x)


def test_nothing_more_is_transferred_lowered_or_traced(monkeypatch, request):
    x = np.random.default_rng(0).standard_normal((16, 16), np.float32)
    _first_call(x)  # what is traced once in a process
    expected = _events(monkeypatch, lambda: _first_call(x))
    installation = request.getfixturevalue("installed")
    assert _events(monkeypatch, lambda: _first_call(x)) == expected
    assert [decision.report is not None for decision in installation.decisions] == [True]


def test_nothing_is_forbidden_by_a_guard_of_transfers(installed):
    x = jnp.ones((16, 16))
    with jax.transfer_guard("disallow_explicit"):
        _first_call(x)
    (decision,) = [each for each in installed.decisions if each.operations > 3]
    assert "internal error" not in (decision.reason or decision.report.reason)
