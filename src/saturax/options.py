"""Options of a run; every field has a default that suits interactive use."""

from __future__ import annotations

import logging
import numbers
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from saturax.errors import OptionsError
from saturax.search.effort import EFFORTS, Effort

if TYPE_CHECKING:
    from saturax.user_rules import UserRule

NUMERICS = ("bitwise", "rounding", "finite", "approximate")
EXTRACTIONS = ("global", "greedy")
OBJECTIVES = ("time", "memory")

_LEAST = {
    "time_limit_s": 0, "candidates": 1, "node_limit": 1, "frozen_growth": 1,
    "memory_limit_bytes": 1,
}  # fmt: skip
_REAL = ("time_limit_s", "frozen_growth")

_logger = logging.getLogger("saturax")
_reported: set[str] = set()


def is_disabled() -> bool:
    """Whether the environment variable SATURAX_DISABLE says that nothing is to be optimised.

    Any value but the empty one and 0 does; it is reported once to the logger.
    """
    if os.environ.get("SATURAX_DISABLE", "0") in ("", "0"):
        return False
    if "SATURAX_DISABLE" not in _reported:
        _reported.add("SATURAX_DISABLE")
        _logger.warning("SATURAX_DISABLE is set: functions run as under jax.jit")
    return True


@dataclass(frozen=True)
class Options:
    """How to optimise a program.

    `numerics`: the least strict class of rules that may be used, one of "bitwise", "rounding",
    "finite", "approximate". `time_limit_s` bounds everything but XLA's own compile time; 0 returns
    the original program. `effort` says what the stages may take within it: "low" looks for what is
    easy to find, "high" for what little time is left to be found. `candidates`: how many programs
    are compiled and raced against the original. `node_limit` bounds the e-graph. `measure=False`
    trusts predictions: nothing is timed or run, and prices that are not in the database are
    predicted. `verify=False` skips the comparison of results (not advised). `database`: file of
    measured prices (None: the user's cache folder). `rules`: names of rule families to use (None:
    all). `cache`: whether optimised programs are kept on disk and found again, or the folder to
    keep them in. `frozen_growth`: how many times the bytes of frozen inputs the values computed
    from them may take. `user_rules`: your own rules (`saturax.rule`), used besides those of
    `rules`. `extraction`: "global" chooses the program as a whole and varies it by measuring;
    "greedy" takes the cheapest e-node of each e-class on its own, for comparison.
    `memory_limit_bytes` bounds the peak memory of the program (arguments, results, temporary values
    and constants, as the compiler plans them): no other program over it is chosen, and one within
    it replaces an original over it even if that is faster. `objective`: "memory" chooses the
    candidate that needs least memory, however long it takes, instead of the fastest. `device`
    names a device that is not here, to choose the program for by prediction: part of the key of one
    whose prices were imported, or one with published figures ("H100", "A100", …); it needs
    `measure=False`, since nothing can be timed or checked on it.
    """

    numerics: str = "rounding"
    time_limit_s: float = 60.0
    effort: str = "medium"
    candidates: int = 8
    node_limit: int = 60_000
    measure: bool = True
    verify: bool = True
    seed: int = 0
    database: Path | None = None
    rules: tuple[str, ...] | None = None
    cache: bool | Path = True
    frozen_growth: float = 2.0
    user_rules: tuple[UserRule, ...] = ()
    extraction: str = "global"
    memory_limit_bytes: int | None = None
    objective: str = "time"
    device: str | None = None

    def __post_init__(self) -> None:
        self._check_kinds()
        choices: dict[str, tuple[str, ...]] = {
            "numerics": NUMERICS,
            "extraction": EXTRACTIONS,
            "objective": OBJECTIVES,
        }
        for option, allowed in choices.items():
            if getattr(self, option) not in allowed:
                raise OptionsError(
                    f"{option}: expected one of {', '.join(allowed)}, got {getattr(self, option)!r}"
                )
        if self.effort not in EFFORTS:
            raise OptionsError(f"effort: expected one of {', '.join(EFFORTS)}, got {self.effort!r}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is None and name == "memory_limit_bytes":
                continue
            kind = numbers.Real if name in _REAL else numbers.Integral
            if not isinstance(value, kind) or not float(value) >= least:
                what = "a number of" if kind is numbers.Real else "an integer of"
                raise OptionsError(f"{name}: expected {what} at least {least}, got {value!r}")
        if self.device is not None and (not isinstance(self.device, str) or self.measure):
            raise OptionsError(
                f"device: expected a name together with measure=False, since nothing can be run on "
                f"a device that is not here; got {self.device!r} and measure={self.measure}"
            )
        if not isinstance(self.cache, bool | Path):
            raise OptionsError(
                f"cache: expected True, False or a folder as a pathlib.Path, got {self.cache!r}"
            )
        if self.rules is not None:
            from saturax.rules import families

            unknown = sorted(set(self.rules) - set(families()))
            if unknown:
                known = ", ".join(families())
                raise OptionsError(
                    f"rules: no such family: {', '.join(unknown)}; there are {known}"
                )
        if self.user_rules:
            self._check_user_rules()

    @property
    def limits(self) -> Effort:
        """What the stages may take."""
        return EFFORTS[self.effort]

    def _check_kinds(self) -> None:
        for name in ("measure", "verify"):
            if not isinstance(getattr(self, name), bool):
                raise OptionsError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        if not isinstance(self.database, Path | None):
            raise OptionsError(
                f"database: expected a file as a pathlib.Path, or None, got {self.database!r}"
            )
        if isinstance(self.rules, str):
            raise OptionsError(f"rules: expected a tuple of names, got the text {self.rules!r}")

    def _check_user_rules(self) -> None:
        from saturax.user_rules import UserRule

        for own in self.user_rules:
            if not isinstance(own, UserRule):
                raise OptionsError(
                    f"user_rules: expected rules made by saturax.rule, got {type(own).__name__}"
                )
            if own.numerics > NUMERICS.index(self.numerics):
                needed = NUMERICS[own.numerics]
                raise OptionsError(
                    f"user_rules: {own.name} is declared {needed!r}, which numerics="
                    f"{self.numerics!r} does not admit; give numerics={needed!r}"
                )
        names = Counter(own.name for own in self.user_rules)
        shared = [name for name, count in names.items() if count > 1]
        if shared:
            raise OptionsError(
                f"user_rules: two of your rules are called {', '.join(shared)}; rename one"
            )


def checked(options: Options | None) -> Options:
    """Options, the default ones for None.

    Raises:
        OptionsError: it is something else.
    """
    if options is not None and not isinstance(options, Options):
        raise OptionsError(
            f"options: expected saturax.Options(…), got {type(options).__name__}: {options!r}"
        )
    return Options() if options is None else options


def with_rules(options: Options | None, rules: Sequence[UserRule]) -> Options:
    """Options (the default ones for None) with more of the user's own rules."""
    given = checked(options)
    return replace(given, user_rules=(*given.user_rules, *rules)) if rules else given
