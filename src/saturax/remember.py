"""What the cache of optimised programs holds: keys, and programs to and from entries.

A key has two parts. The *identity* is the program, the options, the rules, which inputs are frozen,
and the device with its cores, threads and flags. The *versions* are those of jax, jaxlib and
saturax. An entry of the same key is taken as it is; one of another version is checked and timed
again, as the only candidate.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np

from saturax.cache import Entry, ProgramCache
from saturax.cost.device import identify
from saturax.graph.fingerprint import program_fingerprint
from saturax.graph.ir import Program
from saturax.graph.literal import Literal
from saturax.graph.types import numpy_dtype
from saturax.options import Options
from saturax.report.model import Report
from saturax.split import Split
from saturax.stablehlo import emit_module, import_module, to_portable_artifact
from saturax.versions import versions

# Options that say where things are, not what is done.
_LOCATIONS = ("database", "cache")
# Packages whose sources decide what is found.
_SOURCES = ("rules", "proposals", "facts", "egraph", "graph", "cost", "extract", "stablehlo")
# Packages whose versions make a program be checked again.
_PACKAGES = ("saturax", "jax", "jaxlib")
# Another process that optimises the same program is waited for so many times its limit.
_WAIT_LIMITS, _LEAST_WAIT_S = 3.0, 60.0


@dataclass(frozen=True)
class Remembered:
    """A program found in the cache: None where the original was best; its split, if frozen."""

    program: Program | None
    split: Split | None
    report: Report
    constants: bool


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
        if not _is_on(options):
            return None
        inputs = None if frozen is None else list(frozen)
        circumstances = _circumstances(options, devices, compiler_options)
        identity = [program_fingerprint(program), inputs, *circumstances]
        wait_s = max(_LEAST_WAIT_S, _WAIT_LIMITS * options.time_limit_s)
        return cls(ProgramCache(_folder(options)), _digest(identity), _known_versions(), wait_s)

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

    def keep(self, program: Program | None, parts: Split | None, report: Report) -> None:
        """Remember an optimised program; None that the original is best."""
        blobs: dict[str, bytes] = {}
        document: dict[str, Any] = {
            "report": report.to_json(None),
            "optimized": program is not None,
            "optimized_at": _now(),
            "constants": parts is not None and parts.constants,
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


@dataclass(frozen=True)
class ModuleMemory:
    """The place of a module as JAX made it, to the byte: what it became need not be read.

    A process that runs a script once more asks here first. Where names have changed it misses, and
    the program is found by what it computes (`Memory`).
    """

    cache: ProgramCache
    name: str

    @classmethod
    def of(
        cls,
        bytecode: bytes,
        options: Options,
        devices: Sequence[jax.Device] = (),
        compiler_options: Mapping[str, Any] | None = None,
    ) -> ModuleMemory | None:
        """The place of a module; None if it is not to be kept."""
        if not _is_on(options):
            return None
        digest = hashlib.blake2b(bytecode, digest_size=16).hexdigest()
        identity = _digest([digest, *_circumstances(options, devices, compiler_options)])
        return cls(ProgramCache(_folder(options)).modules(), f"{identity}.{_known_versions()}")

    def find(self) -> tuple[Report, bytes | None] | None:
        """The report of its optimisation and the bytecode of what it became, None if itself."""
        entry = self.cache.get(self.name)
        if entry is None:
            return None
        try:
            report = Report.from_json(entry.document["report"])
            report.cached = entry.document["optimized_at"]
        except Exception:  # written by a version that stored other things: as if it were not there
            return None
        return report, entry.blobs.get("module")

    def keep(self, report: Report, bytecode: bytes | None) -> None:
        """Remember what the module became; None for the original."""
        document = {"report": report.to_json(None), "optimized_at": report.cached or _now()}
        self.cache.put(self.name, Entry(document, {} if bytecode is None else {"module": bytecode}))


def _circumstances(
    options: Options,
    devices: Sequence[jax.Device],
    compiler_options: Mapping[str, Any] | None,
) -> list[Any]:
    """What decides besides the program: options, rules, and the device with cores and flags."""
    device = asdict(identify(devices[0] if devices else None))
    device.pop("jaxlib_version")
    device["count"] = max(1, len(devices))
    names = [each.name for each in fields(options) if each.name not in _LOCATIONS]
    flags = sorted((name, str(value)) for name, value in (compiler_options or {}).items())
    return [{name: str(getattr(options, name)) for name in names}, flags, rules_version(), device]


def _known_versions() -> str:
    return _digest({name: text for name, text in versions().items() if name in _PACKAGES})


def _folder(options: Options) -> Path | None:
    return options.cache if isinstance(options.cache, Path) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_on(options: Options) -> bool:
    """Whether programs are kept: results of predictions and of no checks are not worth it."""
    if not (options.measure and options.verify):
        return False
    if options.cache is True:
        return os.environ.get("SATURAX_CACHE", "1") != "0"
    return options.cache is not False


@cache
def rules_version() -> str:
    """A digest of the sources that decide what is found; users' own rules are options."""
    digest = hashlib.blake2b(digest_size=16)
    folder = Path(str(files("saturax")))
    inner = (source for package in _SOURCES for source in (folder / package).rglob("*.py"))
    for source in sorted([*folder.glob("*.py"), *inner]):
        digest.update(source.relative_to(folder).as_posix().encode() + source.read_bytes())
    return digest.hexdigest()


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _remembered(entry: Entry) -> Remembered | None:
    """The program of an entry; None if this version cannot read it."""
    document = entry.document
    try:
        report = Report.from_json(document["report"])
        report.cached = document["optimized_at"]
        if not document["optimized"]:
            return Remembered(None, None, report, document["constants"])
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
