"""The kernels of two programs beside each other, for the report."""

from __future__ import annotations

from collections import Counter

from saturax.collector import collector_paused
from saturax.graph.ir import Graph
from saturax.report.model import KernelReport
from saturax.search.pricing import Pricing

# Cheaper kernels do not appear in the report.
_LEAST_SHOWN_US = 0.05


@collector_paused()
def compare_kernels(before: Graph, after: Graph, pricing: Pricing) -> list[KernelReport]:
    """The kernels of two programs with their prices, those first that differ in most time."""
    counts: list[Counter[str]] = []
    prices: dict[str, float] = {}
    measured: set[str] = set()
    for graph in (before, after):
        formulation = pricing.alone(graph)
        signatures = formulation.problem.signatures or ()
        seen: Counter[str] = Counter()
        for node in formulation.original().values():
            price_us = formulation.problem.cost_us[node]
            if price_us >= _LEAST_SHOWN_US:
                name = str(signatures[node])
                seen[name] += 1
                prices[name] = price_us
                if signatures[node] in pricing.model.measured:
                    measured.add(name)
        counts.append(seen)
    reports = [
        KernelReport(name, price_us, name in measured, counts[0][name], counts[1][name])
        for name, price_us in prices.items()
    ]
    return sorted(reports, key=lambda k: -k.price_us * (abs(k.before - k.after) + 1e-3 * k.before))
