"""Predicted against planned memory: how well `saturax.cost.memory` knows XLA's buffer assignment.

    python -m benchmarks.memory --reduced --modes arguments train
    python -m benchmarks.memory --folder FOLDER --output benchmarks/results/memory.json

Each workload is compiled, and the peak of the compiler's `memory_analysis()` (arguments, results
and temporary values) compared with the prediction; with `--folder`, so are the variants that
`benchmarks.cost_model` stored there: random extractions from the e-graphs of workloads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from saturax.cost.memory import memory_of
from saturax.jaxlib_compat import compile_module, memory_analysis
from saturax.stablehlo import import_module

from .provenance import provenance

_MODES = ("arguments", "train")
WANTED_ERROR = 0.15
"""The largest relative error of the peak that is aimed at."""


@dataclass(frozen=True)
class Row:
    """Bytes of one program: those that the compiler plans and those predicted."""

    name: str
    peak_bytes: int
    predicted_bytes: int
    temporary_bytes: int
    predicted_temporary_bytes: int

    @property
    def error(self) -> float:
        """Relative error of the predicted peak."""
        return self.predicted_bytes / max(self.peak_bytes, 1) - 1


def compare(name: str, module: Any) -> Row:
    """Compile a StableHLO module and predict its memory."""
    planned, predicted = memory_analysis(compile_module(module)), memory_of(import_module(module))
    return Row(
        name,
        planned.peak_bytes,
        predicted.peak_bytes,
        planned.temporary_bytes,
        predicted.temporary_bytes,
    )


def rows_of_workloads(
    names: Sequence[str] | None, modes: Sequence[str], is_reduced: bool
) -> Iterator[Row]:
    """Workloads as they are written, weights as arguments, and their training steps."""
    from .models import workloads

    for workload in workloads(names=names):
        if workload.missing:
            continue
        program = workload.build(is_reduced)
        for mode in modes:
            function, inputs = program.function, program.inputs
            if mode == "train":
                if program.train_step is None:
                    continue
                function, inputs = program.train_step, program.train_inputs
            with workload.context():
                lowered = jax.jit(function).lower(program.parameters, *inputs)
                yield compare(f"{workload.name} {mode}", lowered.compiler_ir("stablehlo"))


def rows_of_variants(folder: Path) -> Iterator[Row]:
    """The stored variants of segments of workloads."""
    from .ranking.variants import load

    for variant in load(folder):
        yield compare(variant.name, variant.path(folder).read_bytes())


def report(title: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Print and return how far predictions are off."""
    errors = sorted(abs(row.error) for row in rows)
    within = sum(error <= WANTED_ERROR for error in errors)
    summary = {
        "programs": len(rows),
        "within": within,
        "median_error": statistics.median(errors),
        "largest_error": errors[-1],
    }
    print(
        f"{title}: {within} of {len(rows)} programs within {WANTED_ERROR:.0%} of the compiler's "
        f"peak, median error {summary['median_error']:.1%}, largest {errors[-1]:.1%}"
    )
    for row in sorted(rows, key=lambda row: -abs(row.error)):
        if abs(row.error) > WANTED_ERROR:
            print(f"  {row.name:36}{row.predicted_bytes:14,} for {row.peak_bytes:14,} bytes")
    return summary | {"rows": [asdict(row) for row in rows]}


def _until(rows: Iterator[Row], seconds: float) -> list[Row]:
    deadline, found = time.monotonic() + seconds, []
    for row in rows:
        found.append(row)
        print(f"{row.name:40}{row.error:+8.1%}", file=sys.stderr, flush=True)
        if time.monotonic() > deadline:
            print("the time is over: the rest is left out", file=sys.stderr)
            break
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; 0 when all went well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--workloads", nargs="*", default=None, help="names; all by default")
    add("--modes", nargs="*", choices=_MODES, default=["arguments"])
    add("--reduced", action="store_true", help="small sizes")
    add("--folder", type=Path, help="of variants that benchmarks.cost_model has made")
    add("--limit", type=float, default=600.0, help="seconds for each of the two groups")
    add("--output", type=Path, help="the JSON file")
    parsed = parser.parse_args(arguments)
    of_workloads = rows_of_workloads(parsed.workloads, parsed.modes, parsed.reduced)
    results = {"workloads": report("workloads", _until(of_workloads, parsed.limit))}
    if parsed.folder is not None:
        rows = _until(rows_of_variants(parsed.folder), parsed.limit)
        results["variants"] = report("variants", rows)
    if parsed.output is not None:
        document = {"provenance": provenance(), "results": results}
        parsed.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
