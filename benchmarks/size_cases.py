"""Rewrites that win at one size and lose at another: does the model of whole programs see it?

    python -m benchmarks.size_cases --output benchmarks/results/size_cases.json

Each form is timed, in turns with the other, and predicted from its kernels measured one by one. A
decision counts where the measured times differ by more than 10 %; smaller differences are noise.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from saturax.collector import no_garbage_collection
from saturax.cost.concurrency import Load
from saturax.cost.device import default_calibration
from saturax.cost.measure import measure_modules
from saturax.cost.model import PriceModel
from saturax.cost.program import program_us, unmeasured
from saturax.cost.timing import TimedProgram
from saturax.graph.ir import Graph, Program
from saturax.jaxlib_compat import compile_module
from saturax.search.pricing import companion, module_of_cluster
from saturax.stablehlo import emit_module, import_module, to_bytecode

from .provenance import provenance
from .ranking.scores import NEAR_TIE
from .ranking.variants import random_inputs

_ROUNDS, _ROUND_S = 12, 0.03

Form = Callable[..., Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """Two forms of one computation, each a function of arrays of its own shapes."""

    name: str
    plain: tuple[Form, Sequence[Shape]]
    rewritten: tuple[Form, Sequence[Shape]]


@dataclass(frozen=True)
class Decision:
    """Speed-up of the rewritten form, measured and predicted; `is_right` is None for a near tie."""

    name: str
    measured: float
    predicted: float
    is_right: bool | None


def _convolution(layout: str) -> Form:
    kernel = "HWIO" if layout == "NHWC" else "OIHW"
    numbers = (layout, kernel, layout)
    return lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)


def _patches(x: Any, w: Any) -> Any:
    """A 3×3 convolution as a product with the matrix of all windows."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    columns = jnp.concatenate(windows, -1).reshape(height * width, -1)
    return (columns @ w.reshape(-1, w.shape[-1])).reshape(1, height, width, -1)


def _channels_last(x: Any, w: Any) -> Any:
    y = _convolution("NHWC")(x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0))
    return y.transpose(0, 3, 1, 2)


def _lstm(is_hoisted: bool) -> Form:
    def run(xs: Any, w: Any, u: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            h, c = carry
            i, f, g, o = jnp.split((x if is_hoisted else x @ w) + h @ u, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((xs.shape[1], u.shape[0]))
        return lax.scan(step, (zero, zero), xs @ w if is_hoisted else xs)[1]

    return run


def _cases() -> list[Case]:
    found = []
    for size, channels in ((7, 512), (28, 128), (56, 64)):
        shapes = ((1, size, size, channels), (3, 3, channels, channels))
        name = f"im2col of a 3x3 convolution, {size}x{size}x{channels}"
        found.append(Case(name, (_convolution("NHWC"), shapes), (_patches, shapes)))
    for size, channels in ((7, 512), (28, 128)):
        shapes = ((1, channels, size, size), (channels, channels, 3, 3))
        name = f"NCHW to NHWC, {size}x{size}x{channels}"
        found.append(Case(name, (_convolution("NCHW"), shapes), (_channels_last, shapes)))
    for batch in (1, 32):
        shapes = ((128, batch, 256), (256, 1024), (256, 1024))
        name = f"LSTM's input product before the loop, batch {batch}"
        found.append(Case(name, (_lstm(False), shapes), (_lstm(True), shapes)))
    x, w = (128, 768), (768, 768)
    three: tuple[Form, Sequence[Shape]] = (lambda x, a, b, c: (x @ a, x @ b, x @ c), (x, w, w, w))

    def merged(x: Any, weights: Any) -> Any:
        y = x @ weights
        return y[:, :768], y[:, 768:1536], y[:, 1536:]

    def merged_now(x: Any, a: Any, b: Any, c: Any) -> Any:
        return merged(x, jnp.concatenate([a, b, c], 1))

    found.append(Case("Q, K, V merged at run time", three, (merged_now, (x, w, w, w))))
    found.append(Case("Q, K, V merged beforehand", three, (merged, (x, (768, 2304)))))
    return found


def decide(case: Case) -> Decision:
    """Measure and predict both forms of a case."""
    forms = [case.plain, case.rewritten]
    graphs = [_graph(*form) for form in forms]
    measured = _times_us(graphs)
    predicted = _predictions_us(graphs)
    speedup, guess = measured[0] / measured[1], predicted[0] / predicted[1]
    is_near = max(speedup, 1 / speedup) <= 1 + NEAR_TIE
    return Decision(case.name, speedup, guess, None if is_near else (speedup > 1) == (guess > 1))


def _graph(form: Form, shapes: Sequence[Shape]) -> Graph:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    module: Any = jax.jit(form).lower(*arguments).compiler_ir("stablehlo")
    return import_module(module).graph


def _times_us(graphs: Sequence[Graph]) -> list[float]:
    modules = [to_bytecode(emit_module(Program(graph))) for graph in graphs]
    programs = [
        TimedProgram(compile_module(module), [random_inputs(graph.inputs)])
        for module, graph in zip(modules, graphs, strict=True)
    ]
    rounds: list[list[float]] = [[] for _ in programs]
    with no_garbage_collection():
        for _ in range(_ROUNDS):
            for program, found in zip(programs, rounds, strict=True):
                program.restart()
                program.run(_ROUND_S)
                timing = program.timing()
                assert timing is not None  # it has just run
                found.append(1e6 * timing.seconds)
    return [statistics.median(found) for found in rounds]


def _predictions_us(graphs: Sequence[Graph]) -> list[float]:
    model = PriceModel(default_calibration())
    kernels = [kernel for kernel in unmeasured(graphs, model, {}) if kernel.is_measurable]
    modules = [module_of_cluster(kernel) for kernel in kernels]
    results = measure_modules(modules, time_budget_s=60.0, beside=companion)
    prices: Mapping[str, Load] = {
        kernel.key: Load(result.time_us, result.cores)
        for kernel, result in zip(kernels, results, strict=True)
        if result is not None and result.time_us > 0  # others, and NaN, are predicted
    }
    cores = len(os.sched_getaffinity(0))
    return [program_us(graph, model, prices, cores) for graph in graphs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all decisions and write them with their provenance; 1 when one is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="the JSON file")
    parsed = parser.parse_args(arguments)
    decisions = []
    print(f"{'rewrite':52}{'measured':>9}{'predicted':>10}")
    for case in _cases():
        each = decide(case)
        decisions.append(each)
        verdict = {None: "near tie", True: "right", False: "WRONG"}[each.is_right]
        print(f"{each.name:52}{each.measured:9.2f}{each.predicted:10.2f}  {verdict}", flush=True)
    if parsed.output is not None:
        document = {"provenance": provenance(), "decisions": [asdict(each) for each in decisions]}
        parsed.output.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(each.is_right is False for each in decisions) else 0


if __name__ == "__main__":
    sys.exit(main())
