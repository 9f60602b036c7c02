"""A run for a GPU, rehearsed without one: a program is lowered for CUDA, imported and emitted.

    python -m benchmarks.run --dry-run --sets 1
    python -m benchmarks.run --dry-run --sets 2 --batch 32

Nothing is compiled or timed: what is left to fail on the real machine is XLA itself.
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.export

from saturax.stablehlo import emit_module, import_module, to_portable_artifact

from .cases import Case

PLATFORM = "cuda"


def lower_for_gpu(case: Case) -> dict[str, Any]:
    """Take a case's function for a GPU through saturax's import and emission.

    Answers with what came out: operations, KiB of the artifact and seconds.
    """
    start = time.monotonic()
    function, parameters = case.function, ()
    if case.is_frozen and case.open is not None:
        function, parameters = case.open[0], (case.open[1],)
    arguments = (*parameters, *case.arguments_of(0))
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arguments)
    jitted = jax.jit(function, keep_unused=True)
    exported = jax.export.export(jitted, platforms=(PLATFORM,))(*shapes)
    program = import_module(exported.mlir_module_serialized)
    artifact = to_portable_artifact(emit_module(program))
    return {
        "operations": program.graph.size(),
        "artifact_kib": len(artifact) / 1024,
        "seconds": time.monotonic() - start,
    }
