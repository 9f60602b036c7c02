"""The forms in which a StableHLO program is stored, so that what is read can be written back.

Text, MLIR bytecode, portable artifacts (StableHLO's versioned form of bytecode) and serialised
`jax.export.Exported` objects, which hold a portable artifact.
"""

from __future__ import annotations

import dataclasses
import io
import re
from dataclasses import dataclass
from enum import Enum

import jax.export
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from saturax.errors import ImportFailure, SaturaxError
from saturax.mlir_modules import mlir_context

_BYTECODE = b"ML\xefR"
_VERSION = re.compile(rb"StableHLO_v(\d+\.\d+\.\d+)")


class Form(Enum):
    """How a program is stored."""

    TEXT = "text"
    BYTECODE = "bytecode"
    PORTABLE_ARTIFACT = "portable artifact"
    JAX_EXPORT = "jax.export"


@dataclass(frozen=True)
class Stored:
    """A stored program as it was read: its `module`, and what is needed to store another alike.

    `version` is the StableHLO version of a portable artifact; `exported` the object around it.
    """

    module: ir.Module
    form: Form
    version: str = ""
    exported: jax.export.Exported | None = None


def read(source: str | bytes) -> Stored:
    """Read a stored program of any form.

    Raises:
        ImportFailure: the bytes are none of the forms, or MLIR rejects them.
    """
    if isinstance(source, str):
        return Stored(_parse(source), Form.TEXT)
    if not source.startswith(_BYTECODE):
        try:
            text = source.decode()
        except UnicodeDecodeError:
            return _read_exported(source)
        return Stored(_parse(text), Form.TEXT) if "\0" not in text else _read_exported(source)
    version = _VERSION.search(source[:32])
    if version is None:
        return Stored(_parse(source), Form.BYTECODE)
    return Stored(_deserialize(source), Form.PORTABLE_ARTIFACT, version[1].decode())


def write(module: ir.Module, like: Stored) -> str | bytes:
    """Store `module` in the form that `like`, of the same signature, was read from.

    Text is returned as `str`, all other forms as `bytes`. A portable artifact keeps its version.
    """
    if like.form is Form.TEXT:
        return to_text(module)
    if like.form is Form.BYTECODE:
        return to_bytecode(module)
    artifact = to_portable_artifact(module, like.version)
    if like.exported is None:
        return artifact
    exported = dataclasses.replace(like.exported, mlir_module_serialized=artifact)
    return bytes(exported.serialize(vjp_order=_derivatives(like.exported)))


def read_module(source: ir.Module | str | bytes) -> ir.Module:
    """The module of any source that `import_module` takes."""
    return source if isinstance(source, ir.Module) else read(source).module


def to_text(module: ir.Module) -> str:
    """The module as StableHLO text."""
    return str(module.operation.get_asm())


def to_bytecode(module: ir.Module) -> bytes:
    """The module as MLIR bytecode."""
    stream = io.BytesIO()
    module.operation.write_bytecode(stream)
    return stream.getvalue()


def to_portable_artifact(module: ir.Module, version: str = "") -> bytes:
    """The module as a portable artifact of a StableHLO version; by default this jaxlib's newest.

    Raises:
        SaturaxError: the module has something that this version cannot express.
    """
    target = version or stablehlo.get_current_version()
    try:
        return bytes(jax_mlir.serialize_portable_artifact(module, target, True))
    except (ir.MLIRError, ValueError, RuntimeError) as error:
        raise SaturaxError(
            f"expected a module that StableHLO {target} can express, but: {error}; "
            "use a newer version, or write text or bytecode"
        ) from error


def _read_exported(source: bytes) -> Stored:
    try:
        exported = jax.export.deserialize(bytearray(source))
    except ImportError as error:
        raise ImportFailure(
            "expected the package flatbuffers, with which JAX reads and writes jax.export files, "
            "but it is not installed; run `pip install flatbuffers`"
        ) from error
    except Exception as error:  # JAX raises a variety of types on foreign bytes
        raise ImportFailure(
            "expected StableHLO text, MLIR bytecode, a portable artifact or a serialised "
            f"jax.export.Exported, got bytes that are none of them: {error}"
        ) from error
    stored = read(exported.mlir_module_serialized)
    return dataclasses.replace(stored, form=Form.JAX_EXPORT, exported=exported)


def _derivatives(exported: jax.export.Exported) -> int:
    """How many orders of derivatives were stored with a program; they stay as they are."""
    order = 0
    while exported.has_vjp():
        exported, order = exported.vjp(), order + 1
    return order


def _parse(source: str | bytes) -> ir.Module:
    try:
        with mlir_context():
            return ir.Module.parse(source)
    except (ir.MLIRError, ValueError) as error:
        raise _unreadable(error) from error


def _deserialize(source: bytes) -> ir.Module:
    try:
        module: ir.Module = jax_mlir.deserialize_portable_artifact(source, mlir_context())
    except (ir.MLIRError, ValueError, RuntimeError) as error:
        raise _unreadable(error) from error
    return module


def _unreadable(error: Exception) -> ImportFailure:
    return ImportFailure(
        f"expected a StableHLO module that this jaxlib can read, but MLIR says: {error}"
    )
