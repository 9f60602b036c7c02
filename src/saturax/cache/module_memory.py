"""The place in the cache of a module as JAX made it, to the byte: what it became need not be read.

A process that runs a script once more asks here first, and needs no other part of saturax if it
finds its module: importing them all would take longer. Where names have changed it misses, and the
program is found by what it computes (`entries.Memory`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax

from saturax.cache.circumstances import circumstances, is_kept, key_digest, known_versions, now
from saturax.cache.store import Entry, ProgramCache, folder_of
from saturax.options import Options
from saturax.report.model import Report

if TYPE_CHECKING:
    from saturax.cache.executables import Ahead


@dataclass(frozen=True)
class ModuleMemory:
    """The place of one module in the cache."""

    cache: ProgramCache
    name: str

    @classmethod
    def of(
        cls,
        bytecode: bytes,
        options: Options,
        devices: Sequence[jax.Device] = (),
        compiler_options: Mapping[str, Any] | None = None,
        frozen: int | None = None,
    ) -> ModuleMemory | None:
        """The place of a module, the first `frozen` of whose inputs are fixed if that is a number;
        None if it is not to be kept.
        """
        if not is_kept(options):
            return None
        digest = hashlib.blake2b(bytecode, digest_size=16).hexdigest()
        around = circumstances(options, devices, compiler_options)
        identity = key_digest([digest, frozen, *around])
        return cls(ProgramCache(folder_of(options)).modules(), f"{identity}.{known_versions()}")

    def entry(self, ahead: Ahead | None = None) -> Entry | None:
        """What is kept of the module; `ahead` may have read it already."""
        found = None if ahead is None else ahead.entry(self.name)
        return self.cache.get(self.name) if found is None else found

    def put(self, entry: Entry) -> None:
        """Keep an entry, instead of the one that there is."""
        self.cache.put(self.name, entry)

    def find(self, ahead: Ahead | None = None) -> tuple[Report, Entry] | None:
        """The report of its optimisation, and what was kept with it."""
        entry = self.entry(ahead)
        if entry is None:
            return None
        try:
            report = Report.from_json(entry.document["report"])
            report.cached = entry.document["optimized_at"]
        except Exception:  # written by a version that stored other things: as if it were not there
            return None
        return report, entry

    def keep(
        self,
        report: Report,
        blobs: Mapping[str, bytes],
        document: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Remember what the module became, and its report."""
        about = {"report": report.to_json(None), "optimized_at": report.cached or now()}
        self.put(Entry({**document, **about}, blobs))
