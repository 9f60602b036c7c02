"""A layer of a perceptron with its matrices on the right, on the left, and with held products.

    python -m benchmarks.holding [--output holding.json]

768 features, 3072 inside, GELU; by rows of the input. `right` is x·W as models write it, `left`
Wᵀ·xᵀ with W transposed beforehand, the transposes of results left to XLA, `held` the same with
barriers before them (`saturax.assembly.holding`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import lax

from saturax.racing.interleave import interleave, ratio_of_medians

from .provenance import provenance
from .written import write_results

_ROWS, _FEATURES, _INSIDE = (8, 16, 32, 64, 128, 256), 768, 3072


def _layer(w: Any, v: Any, x: Any) -> Any:
    return x + jax.nn.gelu(x @ w) @ v


def _on_the_left(finish: Callable[[Any], Any], w: Any, v: Any, x: Any) -> Any:
    return x + finish(v @ jax.nn.gelu(lax.dot_general(w, x, (((1,), (1,)), ((), ()))))).T


def measure(rows: int, budget_s: float) -> dict[str, Any]:
    """Median milliseconds of the three forms, and how many times as fast as the first they are."""
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, _FEATURES), np.float32)
    w = random.standard_normal((_FEATURES, _INSIDE), np.float32) / 28
    v = random.standard_normal((_INSIDE, _FEATURES), np.float32) / 55
    right = jax.device_put((w, v, x))
    left = jax.device_put((np.ascontiguousarray(w.T), np.ascontiguousarray(v.T), x))
    forms = {
        "right": (jax.jit(_layer), right),
        "left": (jax.jit(lambda *a: _on_the_left(lambda y: y, *a)), left),
        "held": (jax.jit(lambda *a: _on_the_left(lax.optimization_barrier, *a)), left),
    }
    expected = forms["right"][0](*right)
    for function, arguments in forms.values():
        np.testing.assert_allclose(function(*arguments), expected, rtol=0, atol=1e-4)
    calls = {
        name: lambda f=function, a=arguments: jax.block_until_ready(f(*a))
        for name, (function, arguments) in forms.items()
    }
    times = interleave(calls, budget_s)
    row: dict[str, Any] = {"rows": rows}
    for name, values in times.items():
        row[f"{name}_ms"] = float(np.median(values)) * 1e3
    for name in ("left", "held"):
        row[f"{name}_ratio"], row[f"{name}_interval"] = ratio_of_medians(
            times["right"], times[name]
        )
    return row


def main() -> None:
    """Print a line per number of rows; write all with their provenance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--budget", type=float, default=4.0, help="seconds per number of rows")
    options = parser.parse_args()
    rows = []
    for count in _ROWS:
        row = measure(count, options.budget)
        print(
            f"{count:4} rows: right {row['right_ms']:6.2f} ms, left {row['left_ratio']:.2f}x, "
            f"held {row['held_ratio']:.2f}x [{row['held_interval'][0]:.2f}, "
            f"{row['held_interval'][1]:.2f}]"
        )
        rows.append(row)
        write_results(options.output, provenance(), rows)


if __name__ == "__main__":
    main()
