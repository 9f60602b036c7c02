"""What proposals add is a constant factor of the program, whatever its shape, and comes quickly."""

from __future__ import annotations

import time
from functools import reduce
from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest
from equal_sides import found_by
from running import normal, program_of

from saturax.proposals import PROPOSALS

OWN = (
    "order_contractions",
    "merge_contractions",
    "merge_convolutions",
    "batch_contractions",
    "factor_sums",
    "share_terms",
    "sum_along_dimensions",
)
# Nodes added for a node of the program, and seconds for a thousand nodes (on a loaded machine).
# Seconds guard against growth that is not polynomial, above what is measured (0.02 to 1.8).
FACTOR, SECONDS = 4, 5.0
x, w = normal(4, 4), normal(4, 4, seed=1)


def _convolve(z, k):
    return jax.lax.conv_general_dilated(z, k, (1, 1), "SAME")


FAMILIES = {
    "chain": lambda n: (lambda *m: reduce(jnp.matmul, m), [x + i for i in range(n)]),
    "powers": lambda n: (lambda z: reduce(lambda a, _: a @ a, range(n), z), [x]),
    "squares": lambda n: (lambda z: reduce(lambda a, _: a * a + w, range(n), z), [x]),
    "residual": lambda n: (lambda z: reduce(lambda a, _: a @ w + a, range(n), z), [x]),
    "pyramid": lambda n: (lambda z: reduce(lambda a, i: (a + i) @ a - a * z, range(n), z), [x]),
    "recurrence": lambda n: (
        lambda z: reduce(lambda a, _: jnp.tanh(a @ w + z @ x), range(n), z),
        [x],
    ),
    "one sum": lambda n: (
        lambda *m: sum(a * i for i, a in enumerate(m)),
        [x + i for i in range(n)],
    ),
    "rolls": lambda n: (
        lambda z: sum(jnp.roll(z, (i, j), (0, 1)) for i in range(n // 4) for j in range(4)),
        [normal(n, n)],
    ),
    "many sums": lambda n: (
        lambda *m: [sum(m[(i + j) % n] for j in range(5)) for i in range(n)],
        [x + i for i in range(n)],
    ),
    "dots": lambda n: (lambda *m: [a @ b for a, b in pairwise(m)], [x + i for i in range(n)]),
    "gradient": lambda n: (
        jax.grad(lambda z: jnp.sum(reduce(lambda a, _: a @ w @ z, range(n), z))),
        [x],
    ),
    "convolutions": lambda n: (
        lambda z, *ks: [_convolve(z, k) for k in ks],
        [normal(1, 2, 5, 5), *(normal(2, 2, 3, 3, seed=i) for i in range(n))],
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_growth(family):
    for size in (10, 40, 80):
        function, arguments = FAMILIES[family](size)
        graph = program_of(function, *arguments).graph
        for name in OWN:
            start = time.process_time()
            found = found_by(PROPOSALS[name], graph)
            seconds = time.process_time() - start
            added = len(found.nodes) - len(graph.nodes)
            assert added <= FACTOR * len(graph.nodes), f"{name} adds {added} to {len(graph.nodes)}"
            assert seconds <= SECONDS * max(1, len(graph.nodes) / 1000), f"{name}: {seconds} s"
