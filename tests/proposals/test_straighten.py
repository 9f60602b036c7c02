"""Branches whose choice is known are seen through by all proposals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from running import normal, program_of

from saturax.graph.reference import evaluate
from saturax.proposals import propose
from saturax.proposals.straighten import without_known_branches

x = normal(4)
BRANCHES = (jnp.sin, lambda z: 2 * z, jnp.abs)


def test_the_branch_that_is_taken():
    for number, expected in ((0, np.sin(x)), (1, 2 * x), (2, abs(x)), (7, abs(x)), (-3, np.sin(x))):
        function = lambda z, n=number: jax.lax.switch(n, BRANCHES, z) + 1  # noqa: E731
        graph = program_of(function, x).graph
        straight = without_known_branches(graph)
        assert straight is not None
        assert not any("case" in node.op for node in straight.graph.nodes)
        (found,) = evaluate(straight.graph, [x])
        np.testing.assert_allclose(found, expected + 1, rtol=1e-6)


def test_several_results_and_conditions():
    def function(z):
        low, high = jax.lax.cond(True, lambda a: (a - 1, a + 1), lambda a: (a, a), z)
        return low * high

    straight = without_known_branches(program_of(function, x).graph)
    assert straight is not None
    (found,) = evaluate(straight.graph, [x])
    np.testing.assert_allclose(found, (x - 1) * (x + 1), rtol=1e-6)


def test_unknown_choices_stay():
    graph = program_of(lambda n, z: jax.lax.switch(n, BRANCHES, z), 1, x).graph
    assert without_known_branches(graph) is None
    assert without_known_branches(program_of(jnp.sin, x).graph) is None


def test_equalities_are_about_the_original():
    graph = program_of(lambda a: jnp.diagonal(a @ a).sum() * 1.0, normal(4, 4)).graph
    equalities = propose(graph)
    assert equalities.graph is graph
    reasons = {reason for *_, reason in equalities.pairs}
    assert {"choose_branches", "order_contractions"} <= reasons
    assert all(equalities.nodes[i].type == equalities.nodes[j].type for i, j, _ in equalities.pairs)
