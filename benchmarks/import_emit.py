"""Speed of importing and emitting StableHLO, in microseconds of CPU time an operation.

    python benchmarks/import_emit.py --output import_emit.json [--weights-mb 400]

The program is a chain of dots, reductions, layout and elementwise operations; the second part is
one constant of a given size as f32 and as bf16. Medians of several runs on one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from provenance import provenance
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Program
from saturax.graph.literal import Literal
from saturax.graph.ops import constant
from saturax.stablehlo import emit_module, import_module

TARGET_US = 20.0
"""What import and emission may cost an operation on a 2000-operation program."""


def chain(operations: int) -> Any:
    """A module of about this many operations, as JAX lowers it."""

    def f(x: Any, w: Any) -> Any:
        for i in range(operations // 15):
            x = jnp.tanh(x @ w + 1.0) * x.sum(1, keepdims=True)
            x = x.reshape(4, 16, 64).transpose(1, 0, 2).reshape(64, 64)[::-1] + float(i)
        return x

    x = np.ones((64, 64), np.float32)
    return jax.jit(f).lower(x, x).compiler_ir("stablehlo")


def operation_count(module: Any) -> int:
    """Operations of the entry function."""
    (function,) = module.body.operations
    return len(list(function.operation.regions[0].blocks[0].operations))


def cpu_seconds(function: Callable[[], Any], repeats: int = 9) -> float:
    """Median CPU time of calls of `function`."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def weights(dtype: Any, megabytes: float) -> Program:
    """A program that returns one random constant."""
    size = int(megabytes * 1e6) // np.dtype(dtype).itemsize
    array = np.random.default_rng(0).standard_normal(size, dtype=np.float32).astype(dtype)
    builder = GraphBuilder(exact=True)
    with building(builder):
        return Program(builder.finish([constant(Literal(array))]))


def measure(operations: int, megabytes: float) -> dict[str, Any]:
    """All figures by name."""
    module = chain(operations)
    program = import_module(module)
    emitted = emit_module(program)
    figures: dict[str, Any] = {
        "operations": operation_count(module),
        "import_us_per_operation": cpu_seconds(lambda: import_module(module))
        * 1e6
        / operation_count(module),
        "emit_us_per_operation": cpu_seconds(lambda: emit_module(program))
        * 1e6
        / operation_count(emitted),
        "target_us_per_operation": TARGET_US,
        "weights_mb": megabytes,
    }
    for dtype in (np.float32, ml_dtypes.bfloat16):
        constants = weights(dtype, megabytes)
        held = emit_module(constants)
        name = np.dtype(dtype).name
        figures[f"import_s_{name}"] = cpu_seconds(lambda held=held: import_module(held), 3)
        figures[f"emit_s_{name}"] = cpu_seconds(lambda p=constants: emit_module(p), 3)
    return figures


def main() -> None:
    """Print the figures and write them with their provenance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=2000, help="size of the program")
    parser.add_argument("--weights-mb", type=float, default=400, help="size of the constant")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    figures = measure(arguments.operations, arguments.weights_mb)
    for name, value in figures.items():
        print(f"{name:28} {value:10.4g}")
    if arguments.output is not None:
        result = {"provenance": provenance(), "figures": figures}
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
