"""Prices that races contradict are measured again: one of a disturbed second would stay for ever.

A prediction need not be right, but what it says of two programs is said by the kernels that one of
them has and the other has not. Where a race says something else of the two, these are measured once
more, the most influential first, and the best program at the corrected prices joins the races.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import log

from saturax.collector import collector_paused
from saturax.cost.formulate import Formulation
from saturax.cost.fresh_memory import charge_fresh_memory
from saturax.cost.kernel import Kernel
from saturax.extract import Selection, extract
from saturax.racing.refine import MeasuredSearch
from saturax.run import Run, unless_interrupted
from saturax.search.outline import Outline
from saturax.search.pricing import Pricing

# Ratios of two programs' times that differ by less are no contradiction: what no price of a kernel
# tells (a value that is still in a cache) is as much.
_CONTRADICTION = 1.25
# Kernels measured again after a race, which take some fifty milliseconds each.
_MOST_KERNELS = 12
# What a kernel takes of the shorter program is too little to explain a contradiction.
_LEAST_SHARE = 0.03
_SHARE, _EXTRACTION_S = 0.1, 2.0

_Prices = Mapping[str, float]


@collector_paused()
def correct_prices(run: Run, measured: MeasuredSearch, pricing: Pricing, searched: Outline) -> int:
    """Measure again what races contradict; return how many prices changed.

    If some did, the best program at the prices that are now known is raced.
    """
    alone = pricing.alone(searched.graph, searched.frozen)
    selection = alone.original()
    alone = charge_fresh_memory(alone, selection, pricing.model)
    call_us = pricing.model.calibration.call_overhead_us  # races time whole calls
    total_us = call_us + _total_us(alone, selection)
    suspects = _suspects(measured, _kernels_us(alone, selection), total_us, call_us)
    found = (*measured.formulation.kernels.values(), *alone.kernels.values())
    known = {kernel.key: kernel for kernel in found}
    kernels = [known[key] for key in suspects if key in pricing.model.measured and key in known]
    seconds = run.share_s(_SHARE)
    if not kernels or seconds <= 0:
        return 0
    changed = pricing.measure_again(kernels[:_MOST_KERNELS], seconds)
    if changed and measured.has_time():
        _race_best(run, measured, pricing)
    return changed


def _race_best(run: Run, measured: MeasuredSearch, pricing: Pricing) -> None:
    formulation = measured.formulation.repriced(pricing.model)
    begun = next((e.selection for e in measured.entries if e.selection is not None), None)
    found = unless_interrupted(
        extract(
            formulation.problem,
            time_limit_s=min(_EXTRACTION_S, run.share_s(_SHARE)),
            initial=formulation.original() if begun is None else begun,
            seed=run.options.seed,
        )
    )
    measured.formulation = formulation
    measured.challenge_selection("at corrected prices", found.selections[0])


def _suspects(measured: MeasuredSearch, ours: _Prices, ours_us: float, call_us: float) -> list[str]:
    """Keys of the kernels that may explain what races contradict, most influential first."""
    influence: Counter[str] = Counter()
    for entry in measured.entries:
        ratio = entry.candidate.report.ratio
        if entry.selection is None or not ratio:
            continue
        theirs = _kernels_us(measured.formulation, entry.selection)
        theirs_us = call_us + _total_us(measured.formulation, entry.selection)
        if abs(log(ours_us / max(theirs_us, 1e-3) / ratio)) < log(_CONTRADICTION):
            continue
        least_us = _LEAST_SHARE * min(ours_us, theirs_us)
        for key in ours.keys() | theirs.keys():
            differs_us = abs(ours.get(key, 0.0) - theirs.get(key, 0.0))
            if differs_us >= least_us:
                influence[key] = max(influence[key], int(1e3 * differs_us))
    return [key for key, _ in influence.most_common()]


def _kernels_us(formulation: Formulation, selection: Selection) -> dict[str, float]:
    """What the kernels of a selection take that can be measured, all calls of each together."""
    signatures = formulation.problem.signatures or ()
    found: dict[str, float] = {}
    for node in selection.values():
        kernel: Kernel | None = formulation.kernels.get(signatures[node])
        if kernel is not None:
            found[kernel.key] = found.get(kernel.key, 0.0) + formulation.problem.cost_us[node]
    return found


def _total_us(formulation: Formulation, selection: Selection) -> float:
    return sum(formulation.problem.cost_us[node] for node in selection.values())
