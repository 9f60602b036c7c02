"""Steps that lose accuracy are found by the values that two programs have in common."""

from __future__ import annotations

import jax.numpy as jnp
from running import normal, program_of, run

from saturax.checking.blame import Blame, blame
from saturax.cost.formulate import Extracted
from saturax.graph.ir import Program
from saturax.stablehlo.widen import widen


def _extracted(function, names):
    """The graph of a function of one input; e-nodes are numbered by `names`, node by node."""
    graph = program_of(function, X).graph
    enodes = []
    unnamed = iter(range(1000, 2000))
    for node in graph.nodes:
        enodes.append(names.pop(0) if node.op in ("unary", "binary") else next(unnamed))
    assert not names
    return Extracted(graph, tuple(enodes), ())


X = normal(64)
# Nodes 1, 3 and 5 of the original are in one e-class each with the candidate's 11, 13 and 15.
CLASSES = {11: 1, 13: 3, 15: 5}
ORIGINAL = _extracted(lambda x: jnp.exp(-jnp.abs(x)), [1, 3, 5])


def _blame(candidate):
    return blame(
        ORIGINAL,
        candidate,
        lambda enode: CLASSES.get(enode, enode),
        lambda graph: [run(Program(graph), [X])],
        lambda graph: [run(widen(Program(graph)), [X])],
    )


def test_the_first_inexact_step_is_blamed_and_not_what_follows():
    def function(x):
        x, large = jnp.abs(x), jnp.exp(x + 14)
        return jnp.exp((large - x) - large)

    found = _blame(_extracted(function, [11, 20, 21, 22, 13, 15]))
    assert {22, 13} <= found.inexact
    assert not found.inexact & {11, 15}
    assert found.exact == {3: 3}


def test_equal_accuracy_is_no_blame():
    found = _blame(_extracted(lambda x: jnp.exp(0 - jnp.abs(x)), [11, 13, 15]))
    assert found == Blame()


def test_programs_without_common_values_are_not_run():
    candidate = _extracted(lambda x: jnp.exp(jnp.minimum(x, -x)), [20, 21, 22])
    never = lambda graph: [][0]  # noqa: E731
    assert blame(ORIGINAL, candidate, lambda enode: enode, never, never) == Blame()
