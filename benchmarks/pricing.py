"""How long it takes to price an e-graph: with nothing measured before, and with a warm database.

    python -m benchmarks.pricing --workload llama --output benchmarks/results/pricing.json

The e-graph is that of one saturation of the workload. *Cold*: the stage `price` with an empty
database, where kernels that a cheapest program would run are compiled and timed between
extractions, as far as the share of the time limit goes. *Warm*: every e-node gets its price from
what that left in the database (`formulate`, `recall`, `repriced`). *Again*: the prices after one
more was learnt. *Stage*: all of the stage with a warm database, its extractions included.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

import saturax
from saturax.collector import collector_paused
from saturax.cost.database import PriceDatabase
from saturax.cost.device import default_calibration, identify
from saturax.cost.formulate import formulate
from saturax.cost.model import PriceModel
from saturax.egraph import Limits, saturate
from saturax.pipeline import active_rules
from saturax.proposals import propose
from saturax.run import Run
from saturax.search.pricing import Pricing
from saturax.search.represent import Represented, represent
from saturax.search.rounds import price
from saturax.stablehlo import import_module

from .models import workloads
from .provenance import provenance

_WANTED_S = {"cold": 60.0, "warm": 1.0}


def egraph_of(name: str, mode: str, is_reduced: bool) -> Represented:
    """The e-graph of a workload after one saturation with the usual limits."""
    (workload,) = workloads(names=[name])
    program = workload.build(is_reduced)
    function, inputs = program.function, program.inputs
    if mode == "train":
        if program.train_step is None:
            raise SystemExit(f"expected a workload with a training step, {name} has none")
        function, inputs = program.train_step, program.train_inputs
    with workload.context():
        lowered = jax.jit(function).lower(program.parameters, *inputs)
        graph = import_module(lowered.compiler_ir("stablehlo")).graph
    represented = represent(graph, propose(graph))
    nodes = 3_000 + 6 * len(graph.nodes)
    saturate(represented.egraph, active_rules(saturax.Options()), Limits(4.0, nodes, 3))
    return represented


def timed(action: Callable[[], object], profile: bool) -> float:
    """Seconds of an action; with `profile`, where they went is printed."""
    profiler = cProfile.Profile() if profile else None
    with collector_paused():
        start = time.perf_counter()
        if profiler is None:
            action()
        else:
            profiler.runcall(action)
        seconds = time.perf_counter() - start
    if profiler is not None:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return seconds


def measure(represented: Represented, limit_s: float, profile: bool) -> dict[str, Any]:
    """Seconds of pricing with an empty database and with what that left there."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for state in _WANTED_S:
            database = PriceDatabase(Path(folder) / "prices.sqlite")
            run = Run(saturax.Options(time_limit_s=limit_s), saturax.Report("pricing"), _silent)
            pricing = Pricing(run, identify(), database, PriceModel(default_calibration()))
            pricing.price_regions(represented.graph.nodes)
            if state == "warm":
                found["warm_s"] = timed(lambda: _prices(represented, pricing), profile)  # noqa: B023
                found["warm_counts"] = {"known": len(pricing.model.measured)}
                formulation = formulate(represented, pricing.model)
                found["again_s"] = timed(lambda: formulation.repriced(pricing.model), False)  # noqa: B023
            seconds = timed(lambda: price(run, represented, pricing, is_greedy=False), False)  # noqa: B023
            found["cold_s" if state == "cold" else "stage_s"] = seconds
            if state == "cold":
                found["cold_counts"] = dict(run.report.stages[-1].notes)
            database.close()
    return found


def _prices(represented: Represented, pricing: Pricing) -> None:
    formulation = formulate(represented, pricing.model)
    pricing.recall(formulation.kernels.values())
    formulation.repriced(pricing.model)


def _silent(stage: str, detail: str) -> None:
    """Nobody watches."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 when pricing is as fast as it is to be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--workload", default="llama", help="a name of benchmarks.models (default: %(default)s)")
    add("--mode", choices=("arguments", "train"), default="arguments")
    add("--reduced", action="store_true", help="small sizes")
    add("--limit", type=float, default=60.0, help="time limit of the optimisation, seconds")
    add("--profile", action="store_true", help="print where the seconds of warm pricing go")
    add("--output", type=Path, help="the JSON file")
    parsed = parser.parse_args(arguments)
    represented = egraph_of(parsed.workload, parsed.mode, parsed.reduced)
    enodes = sum(len(list(represented.egraph.nodes(c))) for c in represented.egraph.classes())
    found = {"operations": len(represented.graph.nodes), "enodes": enodes}
    found |= measure(represented, parsed.limit, parsed.profile)
    print(f"{parsed.workload} {parsed.mode}: {found['operations']} operations, {enodes} e-nodes")
    for state, wanted_s in _WANTED_S.items():
        seconds = found[f"{state}_s"]
        print(f"  {state:6}{seconds:8.2f} s (wanted: {wanted_s:g})  {found[f'{state}_counts']}")
    print(f"  again {found['again_s']:8.2f} s\n  stage {found['stage_s']:8.2f} s")
    if parsed.output is not None:
        document = {"provenance": provenance(), "results": found}
        parsed.output.write_text(json.dumps(document, indent=1) + "\n")
    return int(any(found[f"{state}_s"] > wanted for state, wanted in _WANTED_S.items()))


if __name__ == "__main__":
    sys.exit(main())
