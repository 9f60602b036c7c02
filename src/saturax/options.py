"""Options of a run; every field has a default that suits interactive use."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from pathlib import Path

from saturax.errors import OptionsError

NUMERICS = ("bitwise", "rounding", "finite", "approximate")


@dataclass(frozen=True)
class Options:
    """How to optimise a program.

    `numerics`: the least strict class of rules that may be used, one of "bitwise", "rounding",
    "finite", "approximate". `time_limit_s` bounds everything but XLA's own compile time; 0 returns
    the original program. `candidates`: how many programs are compiled and raced against the
    original. `node_limit` bounds the e-graph. `measure=False` trusts predictions: nothing is timed
    or run, and prices that are not in the database are predicted. `verify=False` skips the
    comparison of results (not advised). `database`: file of measured prices (None: the user's
    cache folder). `rules`: names of rule families to use (None: all).
    """

    numerics: str = "rounding"
    time_limit_s: float = 60.0
    candidates: int = 8
    node_limit: int = 60_000
    measure: bool = True
    verify: bool = True
    seed: int = 0
    database: Path | None = None
    rules: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.numerics not in NUMERICS:
            raise OptionsError(
                f"numerics: expected one of {', '.join(NUMERICS)}, got {self.numerics!r}"
            )
        for name, least in (("time_limit_s", 0), ("candidates", 1), ("node_limit", 1)):
            value = getattr(self, name)
            kind = numbers.Real if name == "time_limit_s" else numbers.Integral
            if not isinstance(value, kind) or not float(value) >= least:
                what = "a number of" if kind is numbers.Real else "an integer of"
                raise OptionsError(f"{name}: expected {what} at least {least}, got {value!r}")
        if self.rules is not None:
            from saturax.rules import families

            unknown = sorted(set(self.rules) - set(families()))
            if unknown:
                known = ", ".join(families())
                raise OptionsError(
                    f"rules: no such family: {', '.join(unknown)}; there are {known}"
                )
