"""What the cache of optimised programs holds: keys, and programs to and from entries.

A key has two parts. The *identity* is the program, the options, the rules, which inputs are frozen,
and the device with its cores, threads and flags. The *versions* are those of jax, jaxlib and
saturax. An entry of the same key is taken as it is; one of another version is checked and timed
again, as the only candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from saturax.assembly.split import Split
from saturax.cache.circumstances import circumstances, is_kept, key_digest, known_versions, now
from saturax.cache.store import Entry, ProgramCache, folder_of
from saturax.graph.fingerprint import program_fingerprint
from saturax.graph.ir import Program
from saturax.graph.literal import Literal
from saturax.graph.types import numpy_dtype
from saturax.options import Options
from saturax.report.model import Report
from saturax.stablehlo import emit_module, import_module, to_portable_artifact

# Another process that optimises the same program is waited for so many times its limit.
_WAIT_LIMITS, _LEAST_WAIT_S = 3.0, 60.0
MOST_CUT_SHORT = 3
"""So many searches in a row that kept the original for want of time are believed."""


@dataclass(frozen=True)
class Remembered:
    """A program found in the cache: None where the original was best; its split, if frozen.

    `cut_short` counts the searches, one after the other, that kept the original for want of time.
    """

    program: Program | None
    split: Split | None
    report: Report
    constants: bool
    cut_short: int = 0

    @property
    def is_provisional(self) -> bool:
        """Whether another search may find more than those that were cut short."""
        return 0 < self.cut_short < MOST_CUT_SHORT


@dataclass(frozen=True)
class Memory:
    """The place of one program in the cache."""

    cache: ProgramCache
    identity: str
    versions: str
    wait_s: float

    @classmethod
    def of(
        cls,
        program: Program,
        options: Options,
        frozen: Sequence[int] | None,
        devices: Sequence[jax.Device] = (),
        compiler_options: Mapping[str, Any] | None = None,
    ) -> Memory | None:
        """The place of a program under these options, on `devices` (none: the default one),
        compiled with `compiler_options`; None if it is not to be kept.
        """
        if not is_kept(options):
            return None
        inputs = None if frozen is None else list(frozen)
        around = circumstances(options, devices, compiler_options)
        identity = [program_fingerprint(program), inputs, *around]
        wait_s = max(_LEAST_WAIT_S, _WAIT_LIMITS * options.time_limit_s)
        return cls(ProgramCache(folder_of(options)), key_digest(identity), known_versions(), wait_s)

    @property
    def name(self) -> str:
        """The name of the entry."""
        return f"{self.identity}.{self.versions}"

    def find(self) -> Remembered | None:
        """What was found for this program before, with the versions of today."""
        entry = self.cache.get(self.name)
        return None if entry is None else _remembered(entry)

    def find_older(self) -> Remembered | None:
        """An optimised program that was found with other versions, the one used last."""
        for name in self.cache.names(f"{self.identity}."):
            if name != self.name and (entry := self.cache.get(name)) is not None:
                found = _remembered(entry)
                if found is not None and found.program is not None:
                    return found
        return None

    def keep(
        self, program: Program | None, parts: Split | None, report: Report, cut_short: int = 0
    ) -> None:
        """Remember an optimised program; None that the original is best, or that it was kept by
        `cut_short` searches for want of time.
        """
        blobs: dict[str, bytes] = {}
        document: dict[str, Any] = {
            "report": report.to_json(None),
            "optimized": program is not None,
            "optimized_at": now(),
            "constants": parts is not None and parts.constants,
            "cut_short": cut_short,
        }
        if program is not None:
            blobs["main"] = to_portable_artifact(emit_module(program))
        if program is not None and parts is not None:
            blobs["prologue"] = to_portable_artifact(emit_module(parts.prologue))
            blobs |= {f"literal {i}": x.array.tobytes() for i, x in enumerate(parts.literals)}
            document["sources"], document["frozen"] = parts.sources, parts.frozen
            document["literals"] = [[x.type.shape, x.type.dtype] for x in parts.literals]
        self.cache.put(self.name, Entry(document, blobs))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for other processes that optimise the same program."""
        with self.cache.lock(self.name, self.wait_s):
            yield


def _remembered(entry: Entry) -> Remembered | None:
    """The program of an entry; None if this version cannot read it."""
    document = entry.document
    try:
        report = Report.from_json(document["report"])
        report.cached = document["optimized_at"]
        if not document["optimized"]:
            cut_short = int(document.get("cut_short", 0))
            return Remembered(None, None, report, document["constants"], cut_short)
        program = import_module(entry.blobs["main"])
        parts = None
        if "frozen" in document:
            parts = Split(
                prologue=import_module(entry.blobs["prologue"]),
                main=program,
                literals=tuple(_literals(entry)),
                sources=tuple(document["sources"]),
                frozen=tuple(document["frozen"]),
                constants=document["constants"],
            )
    except Exception:  # written by a version that stored other things: as if it were not there
        return None
    return Remembered(program, parts, report, document["constants"])


def _literals(entry: Entry) -> Iterator[Literal]:
    for number, (shape, dtype) in enumerate(entry.document["literals"]):
        flat = np.frombuffer(entry.blobs[f"literal {number}"], numpy_dtype(dtype))
        yield Literal(flat.reshape(tuple(shape)))


def renamed(found: Program, like: Program) -> Program:
    """A program from the cache with the names of the one that it stands for."""
    return replace(found, name=like.name, module_name=like.module_name)
