"""What each part of saturax contributes: the same workloads with one part changed or left out.

    python -m benchmarks.ablations --output benchmarks/results/ablations.json   # about 40 minutes
    python -m benchmarks.ablations --names nasrnn squeezenet --groups effort --output …

What a family of rules or a proposal adds is judged by predicted time, on the programs found with
and without it, and only where it took part in the result: what it might have hindered is not seen.
Price models, extraction, segments and effort decide what is measured, so their programs are timed,
all variants of a workload interleaved. A number above 1 says how much slower the variant is.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

import saturax
from saturax.proposals import PROPOSALS
from saturax.racing.interleave import interleave, ratio_of_medians
from saturax.rules import all_rules, families

from .accuracy import SEEDS, Judge, problem_of
from .apart import run_apart
from .cases import Case
from .document import Document
from .markdown_table import markdown
from .models import workloads
from .study_model import StudyModel
from .summary import mean_of
from .systems import System, saturax_full, xla
from .worker import Task

GROUPS = ("rules", "prices", "extraction", "segments", "effort")
WORKLOADS = (
    "nasrnn", "bert", "llama_cache", "resnet_nhwc", "kan1", "squeezenet", "mobilenet_v2",
    "lstm_batch1", "nbody", "vmap_attention", "diffusion_step", "image_filters",
)  # fmt: skip
"""Some of every kind; bert repeats itself, so that segments matter."""
_EFFORTS_S = (3.0, 6.0, 24.0)

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Variant:
    """saturax with changed options, or with something in it replaced while it runs."""

    group: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    patch: Patch = contextlib.nullcontext

    def build(self, case: Case, options: saturax.Options) -> System:
        """The case optimised by this variant."""
        with self.patch():
            return saturax_full(case, replace(options, **self.options))


def patched(target: str, value: Any) -> Patch:
    """Replaces an attribute by its dotted name."""
    return lambda: mock.patch(target, value)


def segments_of(factor: float) -> Patch:
    """Cuts repetitive programs into segments so many times as large."""

    def patch() -> AbstractContextManager[Any]:
        from saturax.search.partition import LARGEST, SMALLEST, partition

        def other(graph: Any) -> Any:
            return partition(graph, int(factor * SMALLEST), int(factor * LARGEST))

        return mock.patch("saturax.search.outline.partition", other)

    return patch


MEASURED = (
    Variant(
        "prices",
        "the study's",
        patch=patched("saturax.search.device_prices.PriceModel", StudyModel),
    ),
    Variant(
        "prices",
        "nothing measured",
        patch=patched("saturax.search.pricing.Pricing.complete", lambda self, kernels: False),
    ),
    Variant("extraction", "greedy", {"extraction": "greedy"}),
    Variant(
        "extraction",
        "no variation by measuring",
        patch=patched("saturax.racing.refine.MeasuredSearch.refine", lambda self: 0),
    ),
    Variant("extraction", "one candidate", {"candidates": 1}),
    Variant(
        "segments",
        "none",
        patch=patched("saturax.search.outline.repetitive_partition", lambda _: None),
    ),
    Variant("segments", "half as large", patch=segments_of(0.5)),
    Variant("segments", "twice as large", patch=segments_of(2.0)),
    *(Variant("effort", f"{limit:g} s", {"time_limit_s": limit}) for limit in _EFFORTS_S),
    Variant("effort", "low", {"effort": "low"}),
    Variant("effort", "high", {"effort": "high"}),
)  # fmt: skip


def without(name: str) -> Variant:
    """saturax without a family of rules or a proposal, by prediction."""
    if name in PROPOSALS:
        others = {key: value for key, value in PROPOSALS.items() if key != name}
        patch = patched("saturax.proposals.PROPOSALS", others)
        return Variant("rules", f"without {name}", {"measure": False}, patch)
    kept = tuple(family for family in families() if family != name)
    return Variant("rules", f"without {name}", {"measure": False, "rules": kept})


def parts_of(report: saturax.Report) -> list[str]:
    """The families and proposals that took part in a result."""
    family = {rule.name: rule.family for rule in all_rules()}
    names = (family.get(name, name) for name in report.rules)
    return [name for name in dict.fromkeys(names) if name in PROPOSALS or name in families()]


def ablate(task: Task, groups: Sequence[str]) -> dict[str, Any]:
    """All variants of one workload: what each costs, relative to saturax as it is."""
    (workload,) = workloads(names=[task.workload])
    options = task.saturax_options()
    with workload.context():
        case = task.case(workload)
        assert case is not None
        full = saturax_full(case, options)
        assert full.report is not None
        found = {"outcome": full.report.outcome, "variants": []}
        if "rules" in groups:
            found["variants"] += predicted(case, options, parts_of(full.report))
        chosen = [variant for variant in MEASURED if variant.group in groups]
        if not _is_segmented(full.report):
            chosen = [variant for variant in chosen if variant.group != "segments"]
        found["variants"] += measured(case, options, full, chosen, task.budget_s)
    return found


def _is_segmented(report: saturax.Report) -> bool:
    return any("parts" in stage.notes for stage in report.stages)


def predicted(case: Case, options: saturax.Options, parts: Sequence[str]) -> list[dict[str, Any]]:
    """The predicted time without each part over that with all of them."""

    def time_us(variant: Variant) -> float:
        """Of the better one of original and result."""
        report = variant.build(case, options).report
        assert report is not None
        known = (report.predicted_optimized_us, report.predicted_original_us)
        return min(time for time in known if time is not None)

    if not parts:
        return []
    base = time_us(Variant("rules", "all", {"measure": False}))
    return [
        {
            "group": "rules",
            "name": variant.name,
            "ratio": time_us(variant) / base,
            "is_predicted": True,
        }
        for variant in map(without, parts)
    ]


def measured(
    case: Case,
    options: saturax.Options,
    full: System,
    variants: Sequence[Variant],
    budget_s: float,
) -> list[dict[str, Any]]:
    """The measured time of each variant's program over saturax's, interleaved."""
    if not variants:
        return []
    systems = {"full": full} | {v.name: v.build(case, options) for v in variants}
    judge, arguments = Judge.of(case, xla(case, options)), case.arguments_of(SEEDS[0])
    calls = {
        name: (lambda system=system: jax.block_until_ready(system(*arguments)))
        for name, system in systems.items()
    }
    times = interleave(calls, budget_s * len(calls) / 2)
    rows = []
    for variant in variants:
        ratio, interval = ratio_of_medians(times[variant.name], times["full"])
        rows.append(
            {
                "group": variant.group,
                "name": variant.name,
                "ratio": ratio,
                "interval": interval,
                "ms": 1e3 * float(np.median(times[variant.name])),
                "optimise_s": systems[variant.name].optimise_s,
                "problem": problem_of(judge.evidence(systems[variant.name])),
                "is_predicted": False,
            }
        )
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of all variants: geometric mean and worst workload."""
    pairs = [(row["workload"], variant) for row in rows for variant in row.get("variants", ())]
    names = dict.fromkeys((variant["group"], variant["name"]) for _, variant in pairs)
    cells = []
    for group, name in sorted(names, key=lambda pair: GROUPS.index(pair[0])):
        own = [(v["ratio"], w) for w, v in pairs if (v["group"], v["name"]) == (group, name)]
        worst, workload = max(own)
        how = "predicted" if group == "rules" else "measured"
        mean = mean_of(ratio for ratio, _ in own)
        cells.append((group, name, how, f"{len(own)}", f"{mean:.2f}×", f"{worst:.2f}× {workload}"))
    header = ("part", "variant", "how", "workloads", "slower by (mean)", "at most")
    return markdown(header, cells, left=3)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--names", nargs="*", default=WORKLOADS, help="workloads (default: a dozen)")
    add("--groups", nargs="*", default=GROUPS, choices=GROUPS, help="default all")
    add("--time-limit", type=float, default=12.0, help="seconds of a search (%(default)s)")
    add("--budget", type=float, default=3.0, help="seconds of timing two variants (%(default)s)")
    add("--reduced", action="store_true", help="small sizes: a test of the benchmark only")
    add("--row-limit", type=float, default=900.0, help="seconds a workload may take in all")
    add("--output", type=Path, required=True, help="the JSON file")
    add("--resume", action="store_true", help="keep the rows of the file that are there already")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ablations, print the table; exit code 1 if a workload failed."""
    parsed = parse(arguments)
    known = run_apart({"do": "calibrate", "database": None}, parsed.row_limit)
    provenance, calibration = known["provenance"], known["calibration"]
    provenance["command"] = shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])
    document = Document.open(parsed.output, provenance, calibration, parsed.resume)
    options = {"time_limit_s": parsed.time_limit}
    for name in parsed.names:
        task = Task(name, "arguments", options, parsed.reduced, parsed.budget)
        head = asdict(task) | {"wanted": sorted(parsed.groups)}
        row = document.find(head)
        if row is None:
            request = {"do": "ablate", "task": asdict(task), "groups": list(parsed.groups)}
            row = head | {"outcome": "failed"}
            try:
                row |= run_apart(request, parsed.row_limit)
            except RuntimeError as error:
                row["problem"] = str(error)
            document.add(row)
        print(f"{name}: {row.get('problem') or row['outcome']}", flush=True)
    document.write()
    rows = list(document.rows.values())
    print(table(rows))
    return int(any(row["outcome"] == "failed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
