"""A program of a frozen function for one combination of argument types, ready to be called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from saturax.freezing.preparation import Preparation
from saturax.graph.types import TensorType, numpy_dtype
from saturax.jaxlib_compat import module_signature, parse_module

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
        preparation: Preparation,
        exported: jax.export.Exported,
        call: Any = None,
        prepared: Sequence[jax.Array] = (),
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.preparation = preparation
        self.exported = exported
        self.prepared = list(prepared)
        self._function = function
        self._call = jax.jit(function or exported.call) if call is None else call

    @classmethod
    def of(cls, preparation: Preparation, main: bytes, whole: jax.export.Exported) -> FrozenProgram:
        """The program of a main program, a portable artifact; `whole` is the exported function of
        (frozen, args, kwargs).
        """
        types = module_signature(parse_module(main)).inputs[: len(preparation.sources)]
        return cls(preparation, _with_first_argument(whole, types, main))

    def __call__(self, args: Any, kwargs: Any) -> Any:
        """Run the main program."""
        function, values = self.held()
        return function(values, args, kwargs)

    def held(self) -> tuple[Any, list[jax.Array]]:
        """The jitted function of (values, args, kwargs), and the values that it is called with."""
        return self._call, [] if self.preparation.constants else self.prepared

    def lower(self, args: Any, kwargs: Any) -> jax.stages.Lowered:
        """Lower the main program for arguments."""
        function, values = self.held()
        lowered: jax.stages.Lowered = function.lower(values, args, kwargs)
        return lowered

    def with_frozen(self, frozen: Sequence[jax.Array]) -> FrozenProgram:
        """The program with the values that its prologue computes from the frozen arrays."""
        return self.with_prepared(self.preparation.values(frozen))

    def with_prepared(self, prepared: Sequence[jax.Array]) -> FrozenProgram:
        """The program with values that its prologue has computed."""
        is_written_anew = self.preparation.constants
        call = jax.jit(self._closed_over(prepared)) if is_written_anew else self._call
        return FrozenProgram(self.preparation, self.exported, call, prepared, self._function)

    def _closed_over(self, prepared: Sequence[jax.Array]) -> Callable[..., Any]:
        """The main program with the prepared values as its constants."""
        function = self._function
        if function is not None:
            return lambda first, args, kwargs: function(prepared, args, kwargs)
        from saturax.assembly.split import with_constants
        from saturax.stablehlo import emit_module, import_module, to_portable_artifact

        main = import_module(self.exported.mlir_module_serialized)
        module = emit_module(with_constants(main, [np.asarray(value) for value in prepared]))
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
