"""Saturation with all rules, and the program that is chosen, do not depend on the hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import saturax

_CODE = """
import jax, jax.numpy as jnp, saturax
from saturax.egraph import Limits, saturate
from saturax.pipeline import active_rules
from saturax.proposals import propose
from saturax.search.represent import represent
from saturax.stablehlo import emit_module, import_module

def loss(w, v, x, y):
    state = jnp.zeros((4, 3))
    for time in range(3):
        first, second = jnp.split(x[time] @ w + state @ v, 2, axis=1)
        state = jax.nn.sigmoid(first) * state + jnp.tanh(second)
    joined = jnp.concatenate([2 * state[:, :2], state[:, 2:]], 1)
    return jnp.mean((jax.nn.softmax(joined) - y) ** 2)

def step(w, v, x, y):
    slopes = jax.grad(loss, (0, 1))(w, v, x, y)
    return [value - 0.1 * slope for value, slope in zip((w, v), slopes)]

shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((5, 6), (3, 6), (3, 4, 5), (4, 3))]
options = saturax.Options(time_limit_s=6000, measure=False)
graph = import_module(jax.jit(step).lower(*shapes).compiler_ir("stablehlo")).graph
egraph = represent(graph, propose(graph)).egraph
found = saturate(egraph, active_rules(options), Limits(time_limit_s=600, node_limit=4000))
print(found.stop_reason, egraph.keys, egraph.parent, egraph.data_id)
print([(id, egraph.nodes(id)) for id in egraph.classes()])
print(emit_module(saturax.optimize(step, *shapes, options=options).program))
"""


def test_a_training_step_is_the_same_for_all_hash_seeds() -> None:
    source = str(Path(saturax.__file__).parents[1])
    texts = {
        subprocess.run(
            [sys.executable, "-c", _CODE],
            env={**os.environ, "PYTHONPATH": source, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(texts) == 1
    assert len(texts.pop()) > 100_000
