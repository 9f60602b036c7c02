"""A main program with its prepared values compiled into it.

To write a module with a hundred megabytes of constants, only to find that its executable is known,
takes a second. So a process that loads it lowers a module of the same types without any program, a
stand-in, which XLA refuses: what has no executable can never run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.export
import numpy as np

from saturax.cache.executables import Known
from saturax.freezing.interface import with_first_argument
from saturax.graph.types import TensorType
from saturax.mlir_modules import module_bytecode, module_signature, parse_module
from saturax.options import Options

logger = logging.getLogger("saturax")

# A function that nobody registers.
_NOWHERE = "saturax_stand_in"


class WithConstants:
    """Like the `jax.jit` function of ([], args, kwargs) that has the values as its constants.

    `exported` is the main program as a function of (values, args, kwargs).
    """

    def __init__(self, exported: jax.export.Exported, values: Sequence[jax.Array]) -> None:
        self._exported = exported
        self._values = list(values)
        self._loaded: Any = None

    def __call__(self, first: Any, args: Any, kwargs: Any) -> Any:
        """Run the program."""
        return self._written(first, args, kwargs)

    def lower(self, first: Any, args: Any, kwargs: Any) -> jax.stages.Lowered:
        """Lower the program, its constants included."""
        lowered: jax.stages.Lowered = self._written.lower(first, args, kwargs)
        return lowered

    def compile(self, args: Any, kwargs: Any, options: Options) -> None:
        """Load the executable that a call needs, or have it compiled and keep it."""
        known = Known.of(self._digest(), options)
        if known is None:
            self.lower([], args, kwargs).compile()
            return
        stand_in = self._stand_in()
        if known.lend(stand_in.lower([], args, kwargs)):
            self._loaded = stand_in
        else:
            known.compile(self.lower([], args, kwargs))

    def _cache_miss(self, first: Any, args: Any, kwargs: Any) -> Any:
        """As JAX's functions have it: results, and what later calls of JAX's fast path need."""
        # The first call takes what was loaded. What comes here once more does so because something
        # else has changed, such as JAX's settings.
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            try:
                return loaded._cache_miss(first, args, kwargs)
            except Exception as error:  # XLA was asked to compile the stand-in
                logger.info("an executable could not be used: %s", error)
        return self._written._cache_miss(first, args, kwargs)

    @cached_property
    def _written(self) -> Any:
        """The function whose module is written."""
        from saturax.assembly.split import with_constants
        from saturax.stablehlo import emit_module, import_module, to_portable_artifact

        main = import_module(self._exported.mlir_module_serialized)
        module = emit_module(with_constants(main, [np.asarray(value) for value in self._values]))
        return jax.jit(with_first_argument(self._exported, (), to_portable_artifact(module)).call)

    def _stand_in(self) -> Any:
        """A function of the same types, whose module XLA refuses."""
        signature = module_signature(parse_module(self._exported.mlir_module_serialized))
        inputs = [_tensor(type) for type in signature.inputs[len(self._values) :]]
        outputs = [_tensor(type) for type in signature.outputs]
        names = [f"%arg{number}" for number in range(len(inputs))]
        parameters = ", ".join(map(": ".join, zip(names, inputs, strict=True)))
        results = [f"%{number}" for number in range(len(outputs))]
        types = ", ".join(inputs)
        lines = [
            f"{result} = stablehlo.custom_call @{_NOWHERE}({', '.join(names)})"
            f" {{has_side_effect = true}} : ({types}) -> {output}"
            for result, output in zip(results, outputs, strict=True)
        ]
        lines.append(f"return {', '.join(results)} : {', '.join(outputs)}")
        text = f"func.func public @main({parameters}) -> ({', '.join(outputs)}) {{\n"
        module = parse_module("\n".join([text, *lines, "}"]))
        return jax.jit(with_first_argument(self._exported, (), module_bytecode(module)).call)

    def _digest(self) -> bytes:
        """A digest of all that the module is made of."""
        digest = hashlib.blake2b(self._exported.mlir_module_serialized, digest_size=32)
        for value in map(np.asarray, self._values):
            digest.update(f"{value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return digest.digest()


def _tensor(type: TensorType) -> str:
    return f"tensor<{type}>"
