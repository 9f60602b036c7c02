"""Predicted against measured times of equivalent programs: does the price model rank as the device?

    python -m benchmarks.cost_model --folder FOLDER --output benchmarks/results/cost_model.json

Variants of segments of all workloads (random extractions from their e-graphs, checked to be
equal) are made once and stored as StableHLO in the folder; then timed and priced, with one thread
pinned to a core and with all threads, each in a process of its own; then scored, for saturax's
model and for four baselines. Every step goes on where an earlier run stopped; `--steps` chooses.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from .provenance import provenance

_STEPS = ("make", "time", "price", "report")
_THREADS = ("one", "all")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="of programs, times and prices")
    add("--output", type=Path, help="the JSON file")
    add("--steps", nargs="*", choices=_STEPS, default=list(_STEPS))
    add("--threads", nargs="*", choices=_THREADS, default=list(_THREADS))
    add("--workloads", nargs="*", default=None, help="names; all by default")
    add("--segments", type=int, default=1, help="segments of each workload")
    add("--variants", type=int, default=4, help="of each segment, besides the original")
    add("--seed", type=int, default=0)
    add("--reduced", action="store_true", help="small sizes: a test of the benchmark only")
    add("--limit", type=float, default=600.0, help="seconds of each step of timing and pricing")
    return parser.parse_args(arguments)


def make_all(parsed: argparse.Namespace) -> None:
    """Make the variants of those workloads that have none yet."""
    from .models import workloads
    from .ranking.variants import make

    parsed.folder.mkdir(parents=True, exist_ok=True)
    for workload in workloads(names=parsed.workloads):
        file = parsed.folder / f"{workload.name}.json"
        if workload.missing or file.exists():
            continue
        made = make(
            parsed.folder, workload, parsed.segments, parsed.variants, parsed.seed, parsed.reduced
        )
        file.write_text(json.dumps([asdict(variant) for variant in made], indent=1))
        print(f"{workload.name}: {len(made)} programs", file=sys.stderr, flush=True)


def run_workers(parsed: argparse.Namespace, step: str) -> None:
    """Time or price the variants under each number of threads."""
    for threads in parsed.threads:
        command = [sys.executable, "-m", "benchmarks.ranking.worker", "--step", step]
        command += ["--folder", str(parsed.folder), "--threads", threads]
        subprocess.run([*command, "--limit", str(parsed.limit)], check=True)


def report(folder: Path, threads: str) -> dict[str, Any]:
    """Score all models under one number of threads, print the table and what is ranked worst."""
    from .ranking.predictions import MODELS, device_of, graph_of, wanted_kernels
    from .ranking.scores import score
    from .ranking.variants import load
    from .ranking.worker import TURNS

    times = json.loads((folder / f"times-{threads}.json").read_text())
    device = device_of(folder, threads)
    groups: dict[str, list[str]] = defaultdict(list)
    predicted: dict[str, dict[str, float]] = {name: {} for name in MODELS}
    for variant in load(folder):
        if any(turn not in times.get(variant.name, {}) for turn in TURNS):
            continue
        groups[variant.group].append(variant.name)
        graph = graph_of(variant.path(folder))
        for name, predict in MODELS.items():
            predicted[name][variant.name] = predict(graph, device, times[variant.name])
    measured = {name: times[name]["rounds_us"] for some in groups.values() for name in some}
    scores = {name: score(measured, predicted[name], groups) for name in MODELS}
    first = next(iter(scores.values()))
    print(
        f"\n{threads} thread(s): {len(measured)} programs in {len(groups)} groups, {first.pairs} "
        f"pairs, {first.near_ties} near ties left out (differences under 10 % are noise)"
    )
    wanted = {kernel.key for kernel in wanted_kernels(folder)}
    known = len(wanted & device.model.measured.keys())
    print(f"{known} of {len(wanted)} single operations, which the baselines add up, are measured")
    print(f"{'model':26}{'pairs':>8}{'regret':>9}{'worst':>9}{'Spearman':>10}{'error':>9}")
    for name, each in scores.items():
        print(f"{name:26}{each.line()}")
    return {
        "operations_measured": [known, len(wanted)],
        "scores": {name: asdict(each) for name, each in scores.items()},
        "programs": {
            name: {"measured_us": quantiles(rounds, n=4)[0]}
            | {"spread": (max(rounds) - min(rounds)) / median(rounds)}
            | {model: round(predicted[model][name], 3) for model in MODELS}
            for name, rounds in measured.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; 0 when all went well."""
    parsed = parse(arguments)
    if "make" in parsed.steps:
        make_all(parsed)
    for step in ("time", "price"):
        if step in parsed.steps:
            run_workers(parsed, step)
    if "report" not in parsed.steps:
        return 0
    results: Mapping[str, Any] = {each: report(parsed.folder, each) for each in parsed.threads}
    if parsed.output is not None:
        parsed.output.parent.mkdir(parents=True, exist_ok=True)
        document = {"provenance": provenance(), "results": results}
        parsed.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
