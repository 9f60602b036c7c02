"""JAX's own examples of its primitives, as installed with it: the same under `install`."""

from __future__ import annotations

import functools
import random
from collections import defaultdict

import jax
import numpy as np
import pytest

import saturax
from saturax import Options

pytest.importorskip("absl")
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]

_OF_EACH = 3  # of 5,594 examples, 3,149 are of scatters alone
_ROUNDINGS = 16
_PARTS = 12


@functools.cache
def _chosen():
    """Some examples of each of 132 primitives; read when they are wanted, which takes a second."""
    from absl import flags
    from jax._src.internal_test_util import test_harnesses

    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["pytest"])
    groups = defaultdict(list)
    for harness in test_harnesses.all_harnesses:
        groups[harness.group_name].append(harness)
    draw = random.Random(0)
    return [
        harness
        for each in groups.values()
        for harness in draw.sample(each, min(_OF_EACH, len(each)))
    ]


def _outcome(harness):
    """What a harness returns, or which error it raises."""
    function = jax.jit(lambda *args: harness.dyn_fun(*args))
    try:
        return jax.block_until_ready(function(*harness.dyn_args_maker(np.random.RandomState(0))))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("part", range(_PARTS))
def test_primitives(part, request):
    request.addfinalizer(saturax.uninstall)
    options = Options(time_limit_s=0.3, cache=False)
    for harness in _chosen()[part::_PARTS]:
        expected = _outcome(harness)
        saturax.install(options=options, minimum_operations=1, deny=())
        found = _outcome(harness)
        saturax.uninstall()
        _assert_same(found, expected)


def _assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if isinstance(other, str):
            assert one == other
            continue
        assert one.aval == other.aval  # shape, dtype and weak type
        assert one.sharding == other.sharding
        if jax.dtypes.issubdtype(other.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        if not jax.numpy.issubdtype(other.dtype, np.inexact):
            np.testing.assert_array_equal(one, other)
            continue
        kind = np.complex128 if np.iscomplexobj(other) else np.float64
        one, wide = np.asarray(one).astype(kind), np.asarray(other).astype(kind)
        rounding = _ROUNDINGS * float(jax.numpy.finfo(other.dtype).eps)
        largest = np.max(np.abs(wide), where=np.isfinite(wide), initial=0)
        np.testing.assert_allclose(one, wide, rtol=rounding, atol=rounding * largest)
