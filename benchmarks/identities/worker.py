"""Measures rows in a process of its own: one line of JSON each, so that a crash costs one row.

    python -m benchmarks.identities.worker SYSTEM OPTIONS_JSON OUTPUT_FILE NAME…

SYSTEM is `saturax` (which also measures the given and the ideal form under XLA) or a peer.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

import saturax
from saturax.command.bench import relative_difference as output_difference
from saturax.jaxlib_compat import compile_module
from saturax.racing.interleave import interleave, ratio_of_medians
from saturax.stablehlo import emit_module, import_module, to_portable_artifact, widen

from ..systems import enzyme_jit
from . import identities
from .hlo import cost_of
from .row import Identity

_OPTIMISED_ON, _MEASURED_ON = 0, 1
# Times the error of the given form that another form may have, and what nobody can tell apart.
_ERROR_FACTOR, _LEAST_ERROR = 16.0, 1e-6

PEERS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {"enzyme": enzyme_jit}
"""Other optimisers that can be measured: function → its jitted, optimised form."""


def measure_saturax(row: Identity, known: Mapping[str, Any], budget_s: float) -> dict[str, Any]:
    """The row's record of the given and ideal form under XLA and of the given under saturax."""
    arguments = row.arguments(_OPTIMISED_ON)
    started = time.monotonic()
    settings = dict(known) | {"numerics": row.numerics, "cache": False}
    if settings["database"] is not None:
        settings["database"] = Path(settings["database"])
    result = saturax.optimize(
        jax.jit(row.given, keep_unused=True), *arguments, options=saturax.Options(**settings)
    )
    seconds = time.monotonic() - started
    functions = {
        "xla": jax.jit(row.given),
        "saturax": _optimised(row, result, arguments),
        "ideal": jax.jit(row.ideal),
    }
    record = _measured(row, functions, budget_s)
    report = result.report
    record["saturax"] |= {
        "outcome": report.outcome,
        "reason": report.reason,
        "warnings": report.warnings,
        "rules": report.rules,
        "candidates": [
            {"name": c.name, "outcome": c.outcome, "ratio": c.ratio, "reason": c.reason}
            for c in report.candidates
        ],
        "seconds": seconds,
    }
    return record


def measure_peer(row: Identity, peer: str, budget_s: float) -> dict[str, Any]:
    """The row's record of the given form under XLA and under a peer."""
    return _measured(row, {"xla": jax.jit(row.given), peer: PEERS[peer](row.given)}, budget_s)


def _optimised(
    row: Identity, result: saturax.Optimized, arguments: tuple[jax.Array, ...]
) -> Callable[..., Any]:
    """The optimised program as a function of the row's arguments."""
    if result.report.outcome != "optimized":
        return jax.jit(lambda *inputs: row.given(*inputs))
    exported = jax.export.export(jax.jit(row.given, keep_unused=True))(*arguments)
    module = to_portable_artifact(emit_module(result.program))
    return jax.jit(dataclasses.replace(exported, mlir_module_serialized=module).call)


def _measured(
    row: Identity, functions: Mapping[str, Callable[..., Any]], budget_s: float
) -> dict[str, Any]:
    """Cost, error and time of each function, by name."""
    arguments = row.arguments(_MEASURED_ON)
    exact = _reference(row, arguments)
    compiled = {name: f.lower(*arguments).compile() for name, f in functions.items()}  # type: ignore[attr-defined]
    calls = {
        name: lambda run=run: jax.block_until_ready(run(*arguments))
        for name, run in compiled.items()
    }
    times = interleave(calls, budget_s)
    record: dict[str, Any] = {}
    for name, run in compiled.items():
        ratio, interval = ratio_of_medians(times["xla"], times[name])
        record[name] = {
            "cost": dataclasses.asdict(cost_of(run)),
            "error": _error(exact, run(*arguments)),
            "us": 1e6 * float(np.median(times[name])),
            "ratio": ratio,
            "interval": interval,
        }
    if "ideal" in times and "saturax" in times:
        ratio, interval = ratio_of_medians(times["ideal"], times["saturax"])
        record["saturax"] |= {"ratio_to_ideal": ratio, "interval_to_ideal": interval}
    allowed = max(_LEAST_ERROR, _ERROR_FACTOR * record["xla"]["error"])
    for measured in record.values():
        measured["is_accurate"] = measured["error"] <= allowed
    return record


def _reference(row: Identity, arguments: tuple[jax.Array, ...]) -> list[np.ndarray]:
    """Outputs of the given program in double precision."""
    lowered: Any = jax.jit(row.given, keep_unused=True).lower(*arguments)
    program = import_module(lowered.compiler_ir("stablehlo"))
    executable = compile_module(emit_module(widen(program)))
    return [np.asarray(output) for output in executable(list(arguments))]


def _error(exact: list[np.ndarray], outputs: Any) -> float:
    """The largest error of any output, relative to that output's largest magnitude."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(outputs)]
    pairs = zip(exact, leaves, strict=True)
    return max((relative_difference(a.astype(b.dtype), b) for a, b in pairs), default=0.0)


def relative_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest distance relative to the largest magnitude; infinite where kinds of values differ."""
    return np.inf if expected.dtype != found.dtype else output_difference(expected, found)


def main(arguments: list[str]) -> None:
    """Measure the named rows and append their records to the output file, one a line."""
    system, options, output, *names = arguments
    known = json.loads(options)
    budget_s = known.pop("budget_s")
    for row in identities(names):
        with row.context():
            if system == "saturax":
                record = measure_saturax(row, known, budget_s)
            else:
                record = measure_peer(row, system, budget_s)
        with Path(output).open("a") as stream:
            stream.write(json.dumps({"name": row.name, **record}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
