"""Values of operations that only XLA knows: the graph's float64 reference, compiled and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from saturax.graph.build import result_types
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.types import TensorType, numpy_dtype
from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import emit_module, widen

Array = np.ndarray[Any, Any]


def evaluate_compiled(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The results of the first output of `graph`, computed by XLA in double precision."""
    executable = compile_module(emit_module(widen(Program(_with_results(graph)))))
    with jax.enable_x64(True):
        arrays = [
            jax.device_put(x.astype(_dtype(type)))
            for x, type in zip(inputs, graph.inputs, strict=True)
        ]
        return [np.asarray(result) for result in executable(arrays)]


def _dtype(type: Any) -> np.dtype:
    assert isinstance(type, TensorType), f"expected a tensor, got {type}"
    return numpy_dtype(type.dtype)


def _with_results(graph: Graph) -> Graph:
    """The graph with each result of its first output as an output."""
    (output,) = graph.outputs
    types = result_types(graph.nodes[output].type)
    if types == (graph.nodes[output].type,):
        return graph
    selected = [Node("get_result", (i,), (output,), type) for i, type in enumerate(types)]
    first = len(graph.nodes)
    outputs = tuple(range(first, first + len(selected)))
    return Graph(graph.inputs, (*graph.nodes, *selected), outputs)
