"""A program of a frozen function for one combination of argument types, ready to be called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from saturax.frozen_contest import prepared_values, program_with_constants
from saturax.graph.types import TensorType, numpy_dtype
from saturax.jaxlib_compat import Executable, compile_module, default_device
from saturax.split import Split
from saturax.stablehlo import emit_module, to_portable_artifact

_SCALARS = (bool, int, float, complex)


def signature_of(args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """What calls share that run the same program: structure, shapes, dtypes, weak types."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    return structure, tuple(map(_leaf_type, leaves))


def strong_signature_of(args: Any, kwargs: Mapping[str, Any]) -> Hashable:
    """`signature_of` without weak types, which exported programs do not keep."""
    structure, types = signature_of(args, kwargs)
    return structure, tuple(type[:2] for type in types)


def signature_of_exported(exported: jax.export.Exported) -> Hashable:
    """The `strong_signature_of` the calls that an exported main program is for."""
    (_, args, kwargs), _ = _abstract_arguments(exported)
    return strong_signature_of(args, kwargs)


def _leaf_type(leaf: Any) -> Hashable:
    if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
        return leaf.shape, leaf.dtype, bool(getattr(leaf, "weak_type", False))
    if isinstance(leaf, _SCALARS):
        return (), jax.dtypes.canonicalize_dtype(type(leaf)), True
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype), False
    return str(type(leaf))


class FrozenProgram:
    """A main program with the values that it was prepared with, held on the device.

    `exported` is the main program as a function of (prepared values, args, kwargs). `function` is
    the same for JAX to compile, where the program is the original; otherwise that is `exported`'s
    module, written with the prepared values in it where they are constants.
    """

    def __init__(
        self,
        parts: Split,
        exported: jax.export.Exported,
        prologue: Executable | None = None,
        call: Any = None,
        prepared: Sequence[jax.Array] = (),
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.parts = parts
        self.exported = exported
        self.prepared = list(prepared)
        self._prologue = prologue
        self._function = function
        self._call = jax.jit(function or exported.call) if call is None else call

    @classmethod
    def of(cls, parts: Split, whole: jax.export.Exported) -> FrozenProgram:
        """The program of a split; `whole` is the exported function of (frozen, args, kwargs)."""
        artifact = to_portable_artifact(emit_module(parts.main))
        return cls(parts, _with_first_argument(whole, parts.prepared_types, artifact))

    def __call__(self, args: Any, kwargs: Any) -> Any:
        """Run the main program."""
        function, values = self.held()
        return function(values, args, kwargs)

    def held(self) -> tuple[Any, list[jax.Array]]:
        """The jitted function of (values, args, kwargs), and the values that it is called with."""
        return self._call, [] if self.parts.constants else self.prepared

    def lower(self, args: Any, kwargs: Any) -> jax.stages.Lowered:
        """Lower the main program for arguments."""
        function, values = self.held()
        lowered: jax.stages.Lowered = function.lower(values, args, kwargs)
        return lowered

    def with_frozen(self, frozen: Sequence[jax.Array]) -> FrozenProgram:
        """The program with the values that its prologue computes from the frozen arrays."""
        device = default_device()
        prologue = self._prologue
        if prologue is None and self.parts.prologue.graph.outputs:
            prologue = compile_module(emit_module(self.parts.prologue))
        with jax.enable_x64(True):
            arrays = [jax.device_put(array, device) for array in frozen]
            literals = [jax.device_put(x.array, device) for x in self.parts.literals]
        prepared = prepared_values(self.parts, prologue, arrays, literals)
        return self.with_prepared(prepared, prologue)

    def with_prepared(
        self, prepared: Sequence[jax.Array], prologue: Executable | None = None
    ) -> FrozenProgram:
        """The program with values that its prologue has computed."""
        call = jax.jit(self._closed_over(prepared)) if self.parts.constants else self._call
        return FrozenProgram(
            self.parts, self.exported, prologue, call, prepared, function=self._function
        )

    def _closed_over(self, prepared: Sequence[jax.Array]) -> Callable[..., Any]:
        """The main program with the prepared values as its constants."""
        function = self._function
        if function is not None:
            return lambda first, args, kwargs: function(prepared, args, kwargs)
        module = emit_module(program_with_constants(self.parts, prepared))
        inner = _with_first_argument(self.exported, (), to_portable_artifact(module))
        return inner.call


def _abstract_arguments(exported: jax.export.Exported) -> Any:
    """The arguments of an exported function, without their values."""
    leaves = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=getattr(a, "weak_type", False))
        for a in exported.in_avals
    ]
    return jax.tree.unflatten(exported.in_tree, leaves)


def _with_first_argument(
    exported: jax.export.Exported, types: Sequence[TensorType], artifact: bytes
) -> jax.export.Exported:
    """Another module behind the same interface, but with a list of arrays as first argument."""
    (_, args, kwargs), _ = _abstract_arguments(exported)
    with jax.enable_x64(True):
        first = [jax.ShapeDtypeStruct(t.shape, numpy_dtype(t.dtype)) for t in types]
        count = len(exported.out_avals)
        # A function of the right signature, whose module is then replaced.
        shell = jax.jit(lambda first, args, kwargs: [0] * count, keep_unused=True)
        platforms = exported.platforms
        inner = jax.export.export(shell, platforms=platforms)(first, args, kwargs)
    return dataclasses.replace(
        inner,
        fun_name=exported.fun_name,
        out_tree=exported.out_tree,
        out_avals=exported.out_avals,
        mlir_module_serialized=artifact,
    )
