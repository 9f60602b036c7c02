"""Time of calls after the first: `saturax.jit` against `jax.jit`, for several argument counts.

    python benchmarks/call_overhead.py [--output overhead.json]

The function only adds tiny vectors and is not optimised, so that dispatch is all there is to time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import saturax
from provenance import provenance
from saturax import Options
from saturax.racing.interleave import interleave, ratio_of_medians

_COUNTS = (0, 1, 4, 16, 64)


def measure(count: int, budget_s: float) -> dict[str, Any]:
    """Microseconds of a call with `count` arguments, and saturax.jit's time over jax.jit's.

    The ratio of `again`, the same function under `jax.jit` once more, shows the noise.
    """
    arguments = [jnp.ones(4) for _ in range(count)]

    def function(*values: Any) -> Any:
        return sum(values, start=jnp.zeros(4))

    functions = {
        "jax": jax.jit(function),
        "again": jax.jit(lambda *values: function(*values)),
        "saturax": saturax.jit(function, options=Options(time_limit_s=0)),
    }
    calls = {name: lambda f=f: f(*arguments) for name, f in functions.items()}
    times = interleave(calls, budget_s)
    row: dict[str, Any] = {"arguments": count}
    for name, values in times.items():
        row[f"{name}_us"] = float(np.median(values)) * 1e6
    for name in ("saturax", "again"):
        row[f"{name}_ratio"], row[f"{name}_interval"] = ratio_of_medians(times[name], times["jax"])
        row[f"{name}_ratio_of_least"] = float(times[name].min() / times["jax"].min())
    return row


def main() -> None:
    """Print a row per argument count; write all with their provenance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds per argument count")
    options = parser.parse_args()
    rows = []
    for count in _COUNTS:
        row = measure(count, options.budget)
        low, high = row["saturax_interval"]
        print(
            f"{count:3} arguments: jax.jit {row['jax_us']:6.2f} us, saturax.jit "
            f"{row['saturax_us']:6.2f} us, ratio {row['saturax_ratio']:.3f} [{low:.3f}, {high:.3f}]"
            f", of least times {row['saturax_ratio_of_least']:.3f}"
            f" (jax.jit again: {row['again_ratio']:.3f}, {row['again_ratio_of_least']:.3f})"
        )
        rows.append(row)
    if options.output is not None:
        document = {"provenance": provenance(), "rows": rows}
        options.output.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
