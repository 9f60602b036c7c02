"""Optimisations killed (SIGKILL) at random moments: is the cache usable, and is all it gives right?

    python -m benchmarks.kills --kills 200 --output kills.json

Processes optimise one of several programs in a cache that they share and are killed at a moment
between their start and about the time that an optimisation takes; those that had ended by then do
not count. After each kill every entry has to be whole. After every tenth, and at the end, a process
that is left alive has to return the right result for every program. Exit code 1 if anything was
wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import saturax
from saturax.cache.store import CacheWarning, ProgramCache

from .provenance import provenance

_PROGRAMS, _SIZE = 4, 96
_TIME_LIMIT_S = 1.0
_CHECKED_EVERY = 10
_POLL_S, _LONGEST_POLLS = 0.02, 6_000
# The span of the moments follows what an optimisation takes, however busy the machine is: most of
# the processes that have to optimise are killed at it, some after their end.
_LATER, _EARLIER = 1.02, 0.9


def _work(folder: Path, number: int) -> bool:
    """Optimise a program, or find it in the cache, and run it: whether the result is right."""
    generator = np.random.default_rng(number)
    a, b = generator.standard_normal((2, _SIZE, _SIZE + number), np.float32)
    x = generator.standard_normal(_SIZE, np.float32)
    options = saturax.Options(time_limit_s=_TIME_LIMIT_S, cache=folder)
    warnings.simplefilter("error", CacheWarning)
    found = saturax.jit(lambda a, b, x: (a @ b.T) @ x, options=options)(a, b, x)
    return bool(np.allclose(found, a @ (b.T @ x), rtol=1e-3, atol=1e-2))


def _start(folder: Path, number: int) -> int:
    """A process that works and ends with 0 if its result was right."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if _work(folder, number) else 2
        finally:
            os._exit(status)
    return child


def _survives(folder: Path, number: int) -> str:
    """Work without a kill; what was wrong, empty if nothing."""
    child = _start(folder, number)
    # Counted, not timed: a machine that slept meanwhile is no reason to give up.
    for _ in range(_LONGEST_POLLS):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return {0: "", 2: "wrong result"}.get(code, f"ended with {code}")
        time.sleep(_POLL_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"did not end within {_LONGEST_POLLS * _POLL_S:g} s"


def _damaged(folder: Path) -> int:
    """How many entries cannot be read."""
    programs = ProgramCache(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        both = (programs, programs.modules())
        return sum(each.get(name) is None for each in both for name in each.names())


def killed(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill so many processes at work; how often what happened."""
    random_ = random.Random(seed)
    started = time.monotonic()
    outcomes: Counter[str] = Counter()
    outcomes[_survives(folder, 0) or "first result right"] += 1
    longest_s = time.monotonic() - started
    while outcomes["killed at work"] < kills:
        # Half of them find an empty cache, so that there is something to optimise and to write.
        if is_empty := random_.random() < 0.5:
            ProgramCache(folder).clear()
        child = _start(folder, random_.randrange(_PROGRAMS))
        time.sleep(random_.uniform(0.0, longest_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        was_alive = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        outcomes["killed at work" if was_alive else "killed after its end"] += 1
        if is_empty:
            longest_s *= _LATER if was_alive else _EARLIER
        outcomes["damaged entries"] += _damaged(folder)
        done = outcomes["killed at work"]
        if was_alive and (done % _CHECKED_EVERY == 0 or done == kills):
            for number in range(_PROGRAMS if done == kills else 1):
                outcomes[_survives(folder, number) or "survivors right"] += 1
    return outcomes


_GOOD = {
    "first result right",
    "survivors right",
    "killed at work",
    "killed after its end",
    "damaged entries",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file")
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = killed(Path(folder), parsed.kills, parsed.seed)
    for outcome, count in outcomes.items():
        print(f"{count:5} {outcome}")
    is_good = set(outcomes) <= _GOOD and outcomes["damaged entries"] == 0
    if parsed.output:
        document = {"provenance": provenance(), "kills": parsed.kills, "seed": parsed.seed}
        document |= {"outcomes": dict(outcomes), "passed": is_good}
        parsed.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
