"""Growth of the e-graph engine: process seconds and MB until a node budget is reached.

    python benchmarks/egraph_growth.py --output growth.json [--nodes 100000]

Times are process times, since machines are shared; memory is the growth of the peak resident set,
each case in a process of its own.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saturax.egraph import (
    EGraph,
    Limits,
    PatternAttribute,
    PatternNode,
    PatternVar,
    Recipe,
    RecipeStep,
    pattern,
    saturate,
)

TYPE = ((4, 4), "f32")


@dataclass(frozen=True)
class TemplateRule:
    """A rule whose right side is a pattern over the same variables, all of one type."""

    name: str
    pattern: PatternNode
    right: PatternNode | PatternVar
    uses_facts: bool = False
    only_merges: bool = False

    def recipe(
        self,
        attributes: Mapping[str, Any],
        operand_types: Mapping[str, Any],
        root_type: Any,
        facts: Mapping[str, Any] | None = None,
    ) -> Recipe:
        """Build the right side."""
        steps: list[RecipeStep] = []

        def build(term: PatternNode | PatternVar) -> str | int:
            if isinstance(term, PatternVar):
                return term.name
            operands = tuple(build(operand) for operand in term.operands)
            values = tuple(
                attributes[a.name] if isinstance(a, PatternAttribute) else a
                for a in term.attributes
            )
            steps.append(RecipeStep(term.op, values, operands, root_type))
            return len(steps) - 1

        result = build(self.right)
        return Recipe(tuple(steps), result)


def binary(f: Any, x: Any, y: Any) -> PatternNode:
    """Pattern of a generic binary operation."""
    return pattern("binary", x, y, at=(f,))


def transpose(x: Any) -> PatternNode:
    """Pattern of a transpose."""
    return pattern("transpose", x, at=((1, 0),))


ASSOCIATIVITY = [
    TemplateRule(
        "associate_add",
        binary("add", binary("add", "x", "y"), "z"),
        binary("add", "x", binary("add", "y", "z")),
    ),
]
_F = PatternAttribute("f")
MIXED = [
    *ASSOCIATIVITY,
    TemplateRule(
        "distribute",
        binary("multiply", "x", binary("add", "y", "z")),
        binary("add", binary("multiply", "x", "y"), binary("multiply", "x", "z")),
    ),
    TemplateRule(
        "factor",
        binary("add", binary("multiply", "x", "y"), binary("multiply", "x", "z")),
        binary("multiply", "x", binary("add", "y", "z")),
    ),
    TemplateRule(
        "push_transpose",
        transpose(binary(_F, "x", "y")),
        binary(_F, transpose("x"), transpose("y")),
    ),
    TemplateRule(
        "pull_transpose",
        binary(_F, transpose("x"), transpose("y")),
        transpose(binary(_F, "x", "y")),
    ),
    TemplateRule("cancel_transposes", transpose(transpose("x")), PatternVar("x")),
]


def start(leaves: int, is_mixed: bool) -> EGraph:
    """Return an e-graph with a sum of leaves (of transposed products, if mixed)."""
    egraph = EGraph(None, lambda _, attributes: attributes in (("add",), ("multiply",)))
    total = None
    for index in range(leaves):
        term = egraph.add("parameter", (index,), (), TYPE)
        if is_mixed:
            other = egraph.add("parameter", (index // 2 + leaves,), (), TYPE)
            term = egraph.add("binary", ("multiply",), (term, other), TYPE)
            term = egraph.add("transpose", ((1, 0),), (term,), TYPE)
        total = term if total is None else egraph.add("binary", ("add",), (total, term), TYPE)
    return egraph


def run_case(name: str, node_limit: int) -> dict[str, Any]:
    """Grow one case to the node limit and return its figures."""
    is_mixed = name == "mixed"
    egraph = start(12 if is_mixed else 24, is_mixed)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limits = Limits(time_limit_s=120, node_limit=node_limit)
    begin = time.process_time()
    report = saturate(egraph, MIXED if is_mixed else ASSOCIATIVITY, limits)
    seconds = time.process_time() - begin
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    return {
        "case": name,
        "nodes": report.nodes,
        "classes": report.classes,
        "matches": sum(rule.matches for rule in report.rules.values()),
        "iterations": report.iterations,
        "stop_reason": report.stop_reason.value,
        "process_seconds": round(seconds, 3),
        "peak_growth_mb": round(grown_kb / 1024, 1),
        "rules": {rule: asdict(statistics) for rule, statistics in report.rules.items()},
    }


def main() -> None:
    """Run all cases, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="where to write the JSON")
    parser.add_argument("--nodes", type=int, default=100_000, help="node limit (default 100000)")
    arguments = parser.parse_args()
    results = []
    print(f"{'case':34} {'nodes':>8} {'classes':>8} {'matches':>9} {'seconds':>8} {'MB':>7}")
    for name in ("associativity and commutativity", "mixed"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            case = pool.apply(run_case, (name, arguments.nodes))
        results.append(case)
        print(
            f"{name:34} {case['nodes']:8} {case['classes']:8} {case['matches']:9} "
            f"{case['process_seconds']:8.2f} {case['peak_growth_mb']:7.1f}"
        )
    provenance = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": sys.version,
        "platform": platform.platform(),
        "device": platform.processor() or platform.machine(),
    }
    arguments.output.write_text(json.dumps({"provenance": provenance, "cases": results}, indent=2))


if __name__ == "__main__":
    main()
