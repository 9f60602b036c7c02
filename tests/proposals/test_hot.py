"""Products with tensors that are 0 but at a few computed places, as reads and writes there."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by, proposed
from running import PREDICTED, normal, program_of

import saturax
from saturax.proposals.hot import read_hot_places
from saturax.rules.rule import BITWISE

TOKENS, WIDTH, EXPERTS, CAPACITY = 12, 5, 4, 3
PLACES = np.random.default_rng(0).integers(-1, 5, (2, TOKENS)).astype(np.int32)
X, GATES = normal(TOKENS, WIDTH), normal(TOKENS, EXPERTS)
RESULTS = normal(EXPERTS, CAPACITY, WIDTH)


def _places(i, j, gates):
    """gates[t, e] where e = i[t] and c = j[t], else 0: indices may be out of bounds."""
    hot = jax.nn.one_hot(i, EXPERTS) * gates
    return hot[:, :, None] * jax.nn.one_hot(j, CAPACITY)[:, None, :]


def _reads(places, gates, results):
    return jnp.einsum("tec,ecd->td", _places(*places, gates), results)


def _writes(places, gates, x):
    return jnp.einsum("tec,td->ecd", _places(*places, gates), x)


def _by_two(places, gates):
    """Two places a token, which may be the same."""
    first, second = places
    return _places(first, first, gates) + _places(second, second, -gates)


def _reads_two(places, gates, results):
    return jnp.einsum("tec,ecd->dt", _by_two(places, gates), results)


def _writes_flags(places, gates, x):
    return jnp.einsum("td,tec->cde", x, (_by_two(places, gates) > 0).astype(x.dtype))


def _groups(places, gates, x):
    """A group a place of its own: groups stay apart in what is written."""
    hot = jax.vmap(lambda i, j: _places(i, j, gates))(places[:, ::-1], places)
    x = jnp.stack([x, 2 * x])
    packed = jnp.einsum("gtec,gtd->egcd", hot, x)
    return packed, jnp.einsum("gtec,egcd->gtd", hot, jnp.sin(packed))


def _queue(logits, x, results):
    """Top-1 routing: experts take tokens in order, up to their capacity."""
    mask = jax.nn.one_hot(jnp.argmax(logits, -1), EXPERTS)
    position = (jnp.cumsum(mask, 0) - 1) * mask
    mask = mask * (position < CAPACITY)
    slot = jax.nn.one_hot(jnp.sum(position, -1).astype(jnp.int32), CAPACITY)
    dispatch = mask[:, :, None] * slot[:, None, :]
    weight = jnp.sum(jax.nn.softmax(logits) * mask, -1)
    packed = jnp.einsum("tec,td->ecd", dispatch, x)
    combine = dispatch * weight[:, None, None]
    return jnp.einsum("tec,ecd->td", combine, jnp.tanh(packed) * results)


CASES = {
    "reads": (_reads, 1, (PLACES, GATES, RESULTS)),
    "writes": (_writes, 1, (PLACES, GATES, X)),
    "reads_two": (_reads_two, 1, (PLACES, GATES, RESULTS)),
    "writes_flags": (_writes_flags, 1, (PLACES, GATES, X)),
    "groups": (_groups, 2, (PLACES, GATES, X)),
    "queue": (_queue, 2, (GATES, X, RESULTS)),
}


@pytest.mark.parametrize(("function", "count", "arguments"), CASES.values(), ids=CASES)
def test_both_sides_agree(function, count, arguments):
    assert len(proposed(read_hot_places, function, *arguments).pairs) == count


def test_large_products_become_reads_and_writes():
    i, j, y = np.zeros(512, np.int32), np.ones(512, np.int32), normal(8, 64, 128)

    def there_and_back(i, j, x, y):
        hot = jax.nn.one_hot(i, 8)[:, :, None] * jax.nn.one_hot(j, 64)[:, None, :]
        return jnp.einsum("tec,ecd->td", hot, jnp.einsum("tec,td->ecd", hot, x) + y)

    result = saturax.optimize(there_and_back, i, j, normal(512, 128), y, options=PREDICTED)
    text = result.to_stablehlo()
    assert "dot_general" not in text
    assert "stablehlo.gather" in text
    assert "stablehlo.scatter" in text


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda i, y: jax.nn.one_hot(i, EXPERTS) @ y, (PLACES[0], normal(EXPERTS, 3))),
        (lambda i, g, y: jnp.einsum("te,ed->td", g + jax.nn.one_hot(i, EXPERTS), y),
         (PLACES[0], GATES, normal(EXPERTS, 3))),
        (lambda i, g, y: (jnp.exp(jax.nn.one_hot(i, EXPERTS) * g)) @ y,
         (PLACES[0], GATES, normal(EXPERTS, 3))),
        (lambda i, g, y: (jax.nn.one_hot(i, EXPERTS) * g) @ jnp.where(y > 0, y, jnp.inf),
         (PLACES[0], GATES, normal(EXPERTS, 3))),
    ],
    ids=["rows_that_rules_know", "dense_sum", "not_0_at_0", "infinite"],
)  # fmt: skip
def test_other_products_are_left_alone(function, arguments):
    assert not found_by(read_hot_places, program_of(function, *arguments).graph).pairs


def test_every_bit_is_kept():
    graph = program_of(_reads, PLACES, GATES, RESULTS).graph
    assert not found_by(read_hot_places, graph, BITWISE).pairs
