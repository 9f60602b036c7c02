"""Saturation of every workload with all rules on: e-nodes, process seconds, memory, stop reasons.

    python -m benchmarks.saturation --output benchmarks/results/saturation.json [--names …]

Two runs a workload, in a process of its own: *grown*, as far as 100,000 e-nodes or the rules go,
and *interrupted*, with a deadline in the middle, for how far it is overshot. Process time, since
machines are shared; memory is how far the resident set rises above what it was before (Linux only).
Rows that the output has of other workloads stay if they are of the same revision.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from saturax.egraph import Limits, saturate
from saturax.graph.ir import Graph
from saturax.options import Options
from saturax.pipeline import active_rules
from saturax.proposals import propose
from saturax.search.represent import represent
from saturax.stablehlo import import_module

from .models import workloads
from .provenance import provenance
from .written import write_results

NODE_LIMIT = 100_000
_LONGEST_S, _DEADLINE_S = 30.0, 0.5


@dataclass(frozen=True)
class Row:
    """One workload. `overshoot_s` is wall time after a deadline of half a second."""

    workload: str
    mode: str
    operations: int
    propose_s: float
    nodes: int
    iterations: int
    process_s: float
    memory_mb: float
    stopped_by: str
    busiest_rules: tuple[tuple[str, int, float], ...]
    overshoot_s: float | None

    def line(self) -> str:
        """The row as text for the terminal."""
        overshoot = "      -" if self.overshoot_s is None else f"{1e3 * self.overshoot_s:7.0f}"
        return (
            f"{self.workload:22}{self.mode:10}{self.operations:6} operations "
            f"{self.nodes:7} e-nodes in {self.process_s:6.2f} s {self.memory_mb:6.0f} MB  "
            f"propose {self.propose_s:5.2f} s  overshoot {overshoot} ms  {self.stopped_by}"
        )


def _graph(name: str, mode: str, is_reduced: bool) -> Graph:
    (workload,) = workloads(names=[name])
    program = workload.build(is_reduced)
    with workload.context():
        if mode == "train":
            assert program.train_step is not None
            arguments = (program.parameters, *program.train_inputs)
            lowered = jax.jit(program.train_step).lower(*arguments)
        else:
            lowered = jax.jit(program.function).lower(program.parameters, *program.inputs)
        module: Any = lowered.compiler_ir("stablehlo")
        return import_module(module).graph


def _reset_peak_mb() -> float:
    """Forget the peak of the resident set: lowering and weights have it higher than e-graphs do."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_mb()


def _peak_mb() -> float:
    """The peak of the resident set. `ru_maxrss` begins with that of the process that spawned it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 1024


def _measure(name: str, mode: str, is_reduced: bool) -> Row:
    graph = _graph(name, mode, is_reduced)
    rules = active_rules(Options())
    saturate(represent(graph, propose(graph)).egraph, rules, Limits(iteration_limit=1))  # warm
    start = time.process_time()
    equalities = propose(graph)
    propose_s = time.process_time() - start
    represented = represent(graph, equalities)
    before_mb = _reset_peak_mb()
    start = time.process_time()
    found = saturate(represented.egraph, rules, Limits(_LONGEST_S, NODE_LIMIT))
    process_s = time.process_time() - start
    grown_mb = _peak_mb() - before_mb
    busiest = sorted(found.rules.items(), key=lambda item: -item[1].seconds)[:8]
    overshoot = None
    if process_s > _DEADLINE_S:
        fresh = represent(graph, equalities)
        began = time.perf_counter()
        saturate(fresh.egraph, rules, Limits(_DEADLINE_S, NODE_LIMIT))
        overshoot = time.perf_counter() - began - _DEADLINE_S
    return Row(
        name,
        mode,
        len(graph.nodes),
        propose_s,
        found.nodes,
        found.iterations,
        process_s,
        grown_mb,
        found.stop_reason.value,
        tuple((rule, s.applied, round(s.seconds, 3)) for rule, s in busiest),
        overshoot,
    )


def _other_rows(
    output: Path | None, revision: str, names: Sequence[str] | None
) -> list[dict[str, Any]]:
    """The rows of a revision that a file of results has of workloads not named."""
    if output is None or not output.exists() or names is None:
        return []
    found = json.loads(output.read_text())
    if found["provenance"]["git_revision"] != revision:
        return []
    return [row for row in found["rows"] if row["workload"] not in names]


def main() -> None:
    """Measure the workloads and print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", nargs="*")
    parser.add_argument("--modes", nargs="*", default=["arguments"], choices=["arguments", "train"])
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    origin = provenance()
    others = _other_rows(options.output, origin["git_revision"], options.names)
    context = multiprocessing.get_context("spawn")
    for workload in workloads(names=options.names):
        if workload.missing:
            print(f"{workload.name}: skipped, needs {', '.join(workload.missing)}")
            continue
        for mode in options.modes:
            if mode == "train" and not workload.build(True).train_step:
                continue
            with context.Pool(1) as pool:
                rows.append(pool.apply(_measure, (workload.name, mode, options.reduced)))
            print(rows[-1].line(), flush=True)
            write_results(options.output, origin, [*others, *map(asdict, rows)])


if __name__ == "__main__":
    main()
