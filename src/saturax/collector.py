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
    old, so that the pause is not paid later.
    """
    with no_garbage_collection():
        try:
            yield
        finally:
            if gc.get_freeze_count() == 0:
                gc.freeze()
                gc.unfreeze()
