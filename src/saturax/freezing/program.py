"""A program of a frozen function for one combination of argument types, ready to be called."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from saturax.freezing.constants import WithConstants
from saturax.freezing.interface import abstract_arguments, with_first_argument
from saturax.freezing.preparation import Preparation
from saturax.mlir_modules import module_signature, parse_module
from saturax.options import Options

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
    (_, args, kwargs), _ = abstract_arguments(exported)
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
        return cls(preparation, with_first_argument(whole, types, main))

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

    def compile(self, args: Any, kwargs: Any, options: Options) -> None:
        """Compile what calls need, or load it from the cache."""
        if isinstance(self._call, WithConstants):
            self._call.compile(args, kwargs, options)
        else:
            self.lower(args, kwargs).compile()  # JAX keeps what this makes for the calls

    def with_frozen(self, frozen: Sequence[jax.Array]) -> FrozenProgram:
        """The program with the values that its prologue computes from the frozen arrays."""
        return self.with_prepared(self.preparation.values(frozen))

    def with_prepared(self, prepared: Sequence[jax.Array]) -> FrozenProgram:
        """The program with values that its prologue has computed."""
        return FrozenProgram(
            self.preparation, self.exported, self._call_with(prepared), prepared, self._function
        )

    def _call_with(self, prepared: Sequence[jax.Array]) -> Any:
        function = self._function
        if not self.preparation.constants:
            return self._call
        if function is None:
            return WithConstants(self.exported, prepared)
        return jax.jit(lambda first, args, kwargs: function(prepared, args, kwargs))
