"""Which program is taken by prediction alone, where nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from saturax.assembly.repeated import with_values_written
from saturax.cost.formulate import Extracted, read_program, without_frozen
from saturax.graph.ir import Graph
from saturax.search.rounds import LEAST_PROGRESS, Found, rules_of

# Values are written unmeasured where a program takes so many times as long without.
_SURE_GAIN = 1.5


@dataclass(frozen=True)
class Predicted:
    """A program, the rules that made it of the original, and its predicted time.

    `is_faster` says whether all predictions agree that the original takes longer.
    """

    extracted: Extracted
    rules: Counter[str]
    time_us: float
    is_faster: bool


def best_of(
    found: Found, whole: Callable[[Extracted], Extracted]
) -> tuple[Extracted, Counter[str]]:
    """The best program of a search, and the rules that made it of the original."""
    extracted = read_program(found.formulation, found.best)
    return whole(extracted), found.rules + rules_of(found.formulation, extracted)


def best_predicted(
    found: Found,
    original_us: float,
    price: Callable[[Graph], float | None],
    whole: Callable[[Extracted], Extracted],
) -> Predicted:
    """The program of the least time: what a search found, or one in which values are written.

    `price` says what programs take as wholes, as far as known, and `original_us` what the original
    takes; what was found stands for its `whole`. Values are written, in the original too, where
    that is a clear gain. What a search found is faster only if that is not denied by its price as a
    whole.
    """
    searched, rules = best_of(found, whole)
    whole_us = price(without_frozen(searched))
    if whole_us is None:
        return Predicted(searched, rules, found.best_us, found.best_us < found.original_us)

    def predicted(
        program: Extracted, made_by: Counter[str], sum_us: float, time_us: float | None
    ) -> Predicted:
        time_us = sum_us if time_us is None else time_us
        is_denied = time_us > (1 + LEAST_PROGRESS) * original_us
        is_faster = sum_us < found.original_us and not is_denied
        return Predicted(program, made_by, time_us, is_faster)

    tried = [predicted(searched, rules, found.best_us, whole_us)]
    original = whole(found.rounds[0][0])
    if len(found.rounds) > 1:
        last, last_us = whole(found.rounds[-1][0]), found.rounds[-1][1]
        tried.append(predicted(last, found.rules, last_us, price(without_frozen(last))))
    if found.other is not None:
        other, made_by = best_of(found.other, whole)
        other_us = price(without_frozen(other))
        tried.append(predicted(other, made_by, found.other.best_us, other_us))
    for program, made_by, time_us in (
        (searched, rules, whole_us),
        (original, Counter[str](), original_us),
    ):
        written = with_values_written(program, price)
        if written is not None and (gain := written[1].gain) >= _SURE_GAIN:
            made_by = made_by + Counter({"hold_repeated": written[1].count})
            less_us = time_us / gain
            tried.append(Predicted(written[0], made_by, less_us, less_us < original_us))
    return min(tried, key=lambda each: (not each.is_faster, each.time_us))
