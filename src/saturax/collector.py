"""Python's garbage collector, kept from running where it would cost time or disturb a timing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collects nothing within the block."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collects nothing while much is built that has no cycles, nor right after.

    At 300k e-nodes the collector stopped everything for up to 0.75 s, far beyond what a deadline
    may be overrun by; it took a fifth of a search. Freezing and unfreezing makes what was built
    old, so that the pause is not paid later; in `collector_relieved` it stays frozen.
    """
    with no_garbage_collection():
        try:
            yield
        finally:
            if _is_relieved:
                gc.freeze()
            elif gc.get_freeze_count() == 0:
                gc.freeze()
                gc.unfreeze()


_is_relieved = False


@contextmanager
def collector_relieved() -> Iterator[None]:
    """What pauses within the block have built is not looked at before its end.

    What is old is looked at, too, once a quarter as much is new: that took 0.3 s at a time while
    candidates were compiled and read. Nothing is done inside of another such block, or where
    somebody else has frozen objects, which would be unfrozen with ours.
    """
    global _is_relieved
    if _is_relieved or gc.get_freeze_count():
        yield
        return
    _is_relieved = True
    try:
        yield
    finally:
        _is_relieved = False
        gc.unfreeze()
