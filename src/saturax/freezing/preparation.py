"""How the values that a main program takes are made of the frozen arrays, as plain data.

What a process needs that finds its programs in the cache or in a file: nothing of the optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from saturax.graph.types import TensorType, mlir_dtype, numpy_dtype
from saturax.jaxlib_compat import default_device, put_on_device
from saturax.mlir_modules import module_signature, parse_module, replace_contents

if TYPE_CHECKING:
    from saturax.assembly.split import Split

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Preparation:
    """Where the values come from that a main program takes before its arguments.

    They are `sources` of a pool: the frozen arrays, in their order; then `literals`; then the
    results of `prologue`, a portable artifact that takes the arrays and the literals (empty:
    nothing is computed). `constants` says that they are to be compiled into the main program.
    """

    prologue: bytes
    literals: tuple[Array, ...]
    sources: tuple[int, ...]
    constants: bool

    @classmethod
    def of(cls, parts: Split) -> Preparation:
        """That of a program which the optimiser has split."""
        from saturax.stablehlo import emit_module, to_portable_artifact

        is_needed = bool(parts.prologue.graph.outputs)
        prologue = to_portable_artifact(emit_module(parts.prologue)) if is_needed else b""
        literals = tuple(literal.array for literal in parts.literals)
        return cls(prologue, literals, parts.sources, parts.constants)

    @classmethod
    def of_nothing(cls, count: int, constants: bool) -> Preparation:
        """The `count` frozen arrays as they are."""
        return cls(b"", (), tuple(range(count)), constants)

    def values(self, frozen: Sequence[Any]) -> list[jax.Array]:
        """The prepared values on the default device."""
        device = default_device()
        given = [put_on_device(array, device) for array in (*frozen, *self.literals)]
        pool = [*given, *self._compute(given)] if self.prologue else given
        return [pool[source] for source in self.sources]

    def to_document(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """As JSON and named bytes."""
        document = {
            "sources": list(self.sources),
            "literals": [[list(x.shape), mlir_dtype(x.dtype)] for x in self.literals],
            "constants": self.constants,
        }
        literals = {f"literal {i}": x.tobytes() for i, x in enumerate(self.literals)}
        return document, {"prologue": self.prologue, **literals}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], blobs: Mapping[str, bytes]) -> Preparation:
        """Read what `to_document` gave."""
        literals = tuple(
            np.frombuffer(blobs[f"literal {i}"], numpy_dtype(dtype)).reshape(tuple(shape))
            for i, (shape, dtype) in enumerate(document["literals"])
        )
        sources = tuple(document["sources"])
        return cls(blobs["prologue"], literals, sources, bool(document["constants"]))

    @cached_property
    def _compute(self) -> Callable[[Sequence[jax.Array]], list[jax.Array]]:
        """The compiled prologue."""
        return compiled_by_jax(self.prologue)


def compiled_by_jax(artifact: bytes) -> Callable[[Sequence[jax.Array]], list[jax.Array]]:
    """A program of arrays, compiled for the default device as `jax.jit` compiles its functions.

    So JAX's compilation cache, which has no other entrance, keeps it for later processes. A
    function of the right types is lowered, and its module replaced.
    """
    signature = module_signature(parse_module(artifact))

    def prologue(arrays: list[jax.Array]) -> list[jax.Array]:
        return [jnp.zeros(type.shape, numpy_dtype(type.dtype)) for type in signature.outputs]

    with jax.enable_x64(True):
        lowered = jax.jit(prologue, keep_unused=True).lower(_structs(signature.inputs))
        module: Any = lowered.compiler_ir("stablehlo")
        replace_contents(module, artifact)
        compiled = lowered.compile()

    def call(arrays: Sequence[jax.Array]) -> list[jax.Array]:
        with jax.enable_x64(True):
            results: list[jax.Array] = compiled(list(arrays))
            return results

    return call


def _structs(types: Sequence[TensorType]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(type.shape, numpy_dtype(type.dtype)) for type in types]
