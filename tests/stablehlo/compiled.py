"""Running programs of the tests: lowered as JAX does, compiled from modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.mlir import ir

from saturax.jaxlib_compat import compile_module

from .programs import Example


def lower(example: Example) -> ir.Module:
    """The module that JAX hands to XLA."""
    lowered = jax.jit(example.function, keep_unused=True, **example.options).lower(
        *example.arguments
    )
    module: Any = lowered.compiler_ir("stablehlo")
    return module


def run(module: ir.Module, arguments: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """Compile a module and apply it to arguments, PRNG keys by their data."""
    arrays = [
        jax.device_put(jax.random.key_data(x) if _is_key(x) else x)
        for x in jax.tree.leaves(tuple(arguments))
    ]
    return [np.asarray(result) for result in compile_module(module)(arrays)]


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
