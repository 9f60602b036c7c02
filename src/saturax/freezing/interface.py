"""The interface of an exported function, apart from its module."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.export

from saturax.graph.types import TensorType, numpy_dtype


def abstract_arguments(exported: jax.export.Exported) -> Any:
    """The arguments of an exported function, without their values."""
    leaves = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=getattr(a, "weak_type", False))
        for a in exported.in_avals
    ]
    return jax.tree.unflatten(exported.in_tree, leaves)


def with_first_argument(
    exported: jax.export.Exported, types: Sequence[TensorType], artifact: bytes
) -> jax.export.Exported:
    """Another module behind the same interface, but with a list of arrays as first argument."""
    (_, args, kwargs), _ = abstract_arguments(exported)
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
