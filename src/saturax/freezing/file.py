"""Frozen functions on disk: one safetensors file with arrays, programs, reports and versions.

Programs are StableHLO (portable artifacts inside `jax.export`'s serialisation, which also has the
pytrees of arguments and results), stored as tensors of bytes. Nothing is pickled, and reading a
file runs no code of it before its program is called.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from saturax.cost.device import identify
from saturax.freezing.arguments import FrozenArguments, FrozenError, check_names
from saturax.freezing.preparation import Array, Preparation
from saturax.freezing.program import FrozenProgram, signature_of_exported, strong_signature_of
from saturax.graph.types import mlir_dtype, numpy_dtype
from saturax.jaxlib_compat import default_device, put_on_device
from saturax.jitted import SaturaxWarning
from saturax.mlir_modules import bind_kernels, parse_module
from saturax.report.model import Report
from saturax.versions import versions

FORMAT = "saturax frozen 1"
_DOCUMENT, _DIGEST = "document", "digest"
_REMEDY = "freeze and save the function again"


class LoadedFrozen:
    """A frozen function read from a file; it takes the argument types that were saved.

    `reports` are the saved reports, as plain dictionaries.
    """

    def __init__(
        self,
        name: str,
        programs: Mapping[Hashable, FrozenProgram],
        frozen: Sequence[Mapping[str, Any]],
        reports: Sequence[dict[str, Any]],
    ) -> None:
        self.__name__ = name
        self.reports = list(reports)
        self._programs = dict(programs)
        self._frozen = list(frozen)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the program for these arguments.

        Raises:
            FrozenError: the file has no program for arguments like these.
        """
        program = self._programs.get(strong_signature_of(args, kwargs))
        if program is None:
            known = "; ".join(map(str, (p.exported.in_avals for p in self._programs.values())))
            raise FrozenError(
                f"expected arguments that {self.__name__} was saved for, got others: the saved "
                f"programs take, after the prepared values, {known}; call the frozen function "
                "with such arguments before saving it"
            )
        return program(args, kwargs)

    def refreeze(self, *frozen: Any, **named: Any) -> LoadedFrozen:
        """The same programs with other frozen values, as `Frozen.refreeze`.

        Raises:
            FrozenError: the arrays have other names, shapes or dtypes than those saved.
        """
        arguments = FrozenArguments.of(lambda *args, **kwargs: None, frozen, named)
        check_names(self._frozen, arguments.description())
        arrays = arguments.data()
        programs = {key: program.with_frozen(arrays) for key, program in self._programs.items()}
        return LoadedFrozen(self.__name__, programs, self._frozen, self.reports)


def save(
    path: Path,
    name: str,
    programs: Sequence[FrozenProgram],
    frozen: Sequence[Mapping[str, Any]],
    reports: Sequence[Report],
) -> None:
    """Write programs with the values that they hold; the file is written whole or not at all.

    Raises:
        FrozenError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    store = _Store({})
    rows = [_row(store, f"program.{i}", program) for i, program in enumerate(programs)]
    document = {
        "name": name,
        "programs": rows,
        "frozen": list(frozen),
        "reports": [json.loads(report.to_json()) for report in reports],
        "versions": versions(),
        "device": identify().key,
        "platform": default_device().platform,
    }
    metadata = {"format": FORMAT, _DOCUMENT: json.dumps(document), _DIGEST: _digest(store.tensors)}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(store.tensors, str(partial), metadata)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise FrozenError(
            f"expected to write {path}, but: {error}; see whether its folder exists and may be "
            "written, and whether there is room on the disk"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@dataclass
class _Store:
    """The arrays of a file by name; an array that several programs hold is stored once."""

    tensors: dict[str, Array]
    names: dict[int, str] = field(default_factory=dict)
    held: list[Any] = field(default_factory=list)

    def put(self, name: str, array: Any) -> list[Any]:
        """Store an array; its name, shape and element type."""
        if id(array) not in self.names:
            self.names[id(array)] = name
            self.held.append(array)  # so that no other array gets its id
            data = np.ascontiguousarray(np.asarray(array))
            is_native = data.dtype.kind in "biufc" and data.dtype != np.complex128
            self.tensors[name] = data if is_native else data.reshape(-1).view(np.uint8)
        kind = mlir_dtype(np.dtype(array.dtype))
        return [self.names[id(array)], list(array.shape), kind]


def _row(store: _Store, start: str, program: FrozenProgram) -> dict[str, Any]:
    """The description of a program, whose arrays go into the store."""
    preparation = program.preparation
    prologue = np.frombuffer(preparation.prologue, np.uint8)
    return {
        "main": store.put(f"{start}.main", np.frombuffer(_serialized(program), np.uint8)),
        "prologue": store.put(f"{start}.prologue", prologue),
        "prepared": [
            store.put(f"{start}.prepared.{i}", array) for i, array in enumerate(program.prepared)
        ],
        "literals": [
            store.put(f"{start}.literal.{i}", array) for i, array in enumerate(preparation.literals)
        ],
        "sources": preparation.sources,
        "constants": preparation.constants,
    }


def load_frozen(path: str | Path) -> LoadedFrozen:
    """Read what `Frozen.save` wrote: a function that runs without the original and any search.

    A device other than the one that the programs were chosen on gives a `SaturaxWarning`.

    Raises:
        FrozenError: it is no such file, it is damaged, it was saved for another platform, or this
            JAX cannot read it.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    if metadata.get("format") != FORMAT:
        raise FrozenError(
            f"expected a file of format {FORMAT!r} at {path}, got {metadata.get('format')!r}; "
            f"{_REMEDY} with this version of saturax"
        )
    # Files of earlier versions have no digest.
    if metadata.get(_DIGEST, whole := _digest(tensors)) != whole:
        raise FrozenError(f"expected {path} as it was saved, but its checksum is wrong; {_REMEDY}")
    document = json.loads(metadata[_DOCUMENT])
    _check_device(path, document)
    programs = {}
    try:
        for row in document["programs"]:
            program = _program(row, tensors)
            programs[signature_of_exported(program.exported)] = program
    except Exception as error:  # JAX and MLIR raise a variety of types on what they cannot read
        saved, here = (f"jax {v['jax']}" for v in (document["versions"], versions()))
        raise FrozenError(
            f"expected programs that this JAX can read in {path}, but: {error}; it was saved with "
            f"{saved}, this is {here}; {_REMEDY}"
        ) from error
    return LoadedFrozen(document["name"], programs, document["frozen"], document["reports"])


def _read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, tensors
    except (SafetensorError, KeyError, ValueError) as error:
        raise FrozenError(
            f"expected a safetensors file at {path}, but it is damaged or something else: {error}; "
            f"{_REMEDY}"
        ) from error


def _digest(tensors: Mapping[str, Array]) -> str:
    """A checksum of all arrays: safetensors has none, and wrong weights give wrong results."""
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_device(path: Path, document: Mapping[str, Any]) -> None:
    platform = default_device().platform
    if document["platform"] != platform:
        raise FrozenError(
            f"expected a file for platform {platform}, but {path} was saved for "
            f"{document['platform']}; {_REMEDY} on this machine"
        )
    if document["device"] != identify().key:
        warnings.warn(
            f"saturax: {path} was saved on {document['device']}, this is {identify().key}: its "
            "programs are right but need not be the fastest here",
            SaturaxWarning,
            stacklevel=3,
        )


def _serialized(program: FrozenProgram) -> bytes:
    try:
        return bytes(program.exported.serialize())
    except ImportError as error:
        raise FrozenError(
            "expected the package flatbuffers, with which JAX writes jax.export files; run "
            "`pip install flatbuffers`"
        ) from error
    except ValueError as error:
        raise FrozenError(
            "expected arguments and results made of tuples, lists, dictionaries and types "
            f"registered with jax.export.register_pytree_node_serialization, but: {error}"
        ) from error


def _program(row: Mapping[str, Any], tensors: Mapping[str, Array]) -> FrozenProgram:
    exported = jax.export.deserialize(bytearray(_array(tensors, *row["main"]).tobytes()))
    preparation = Preparation(
        prologue=_array(tensors, *row["prologue"]).tobytes(),
        literals=tuple(_array(tensors, *stored) for stored in row["literals"]),
        sources=tuple(row["sources"]),
        constants=row["constants"],
    )
    for artifact in (exported.mlir_module_serialized, preparation.prologue):
        if artifact:
            bind_kernels(artifact)
            parse_module(artifact)  # now, not at the first call, if this JAX cannot read it
    prepared = [
        put_on_device(_array(tensors, *stored), default_device()) for stored in row["prepared"]
    ]
    return FrozenProgram(preparation, exported).with_prepared(prepared)


def _array(tensors: Mapping[str, Array], name: str, shape: Sequence[int], dtype: str) -> Array:
    """A stored array in its own element type."""
    array, kind = tensors[name], numpy_dtype(dtype)
    return (array if array.dtype == kind else array.view(kind)).reshape(tuple(shape))
