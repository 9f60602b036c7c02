"""Whether outputs are right and prove something: errors against float64 on fresh inputs.

The float64 reference is the program itself, widened by saturax; the judgement shares no code with
saturax's own stage `verify`. An error is relative to the root mean square of its output, so that
no single element near zero decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import emit_module, import_module, widen

from .cases import Case
from .check_models import LEAST_VARIATION, compare

SEEDS = (7, 8)
"""Seeds of the inputs that outputs are compared on; saturax has seen neither."""
ERROR_FACTOR, FREE_ROUNDINGS = 2.0, 8.0
"""An error may be so many times that of plain XLA, or so many roundings of the output's type:
where XLA happens to be exact, a sum in another order is not worse."""


@dataclass(frozen=True)
class Judge:
    """What a case's outputs should be: per seed and output, the reference and XLA's error."""

    case: Case
    references: list[list[np.ndarray]]
    xla: list[list[np.ndarray]]

    @classmethod
    def of(cls, case: Case, xla: Callable[..., Any]) -> Judge:
        """Run the float64 reference and plain XLA."""
        reference = _widened(case)
        leaves = [_leaves(case, reference(*case.arguments_of(seed))) for seed in SEEDS]
        return cls(case, leaves, [_leaves(case, xla(*case.arguments_of(seed))) for seed in SEEDS])

    def evidence(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Errors of a function's outputs, and how far the outputs vary between the inputs.

        `error`, `xla_error` and `allowed` are those of the output that comes closest to its limit.
        `saturated` is the share of values that do not change with the inputs.
        """
        found = [_leaves(self.case, function(*self.case.arguments_of(seed))) for seed in SEEDS]
        worst = {"error": 0.0, "xla_error": 0.0, "allowed": 0.0}
        severity = -1.0
        for output in range(len(found[0])):
            errors = self._errors(found, output)
            allowed = max(ERROR_FACTOR * errors[1], errors[2])
            share = errors[0] / allowed if allowed else np.inf if errors[0] else 0.0
            if share > severity:
                severity = share
                worst = {"error": errors[0], "xla_error": errors[1], "allowed": allowed}
        return worst | compare(*found)

    def _errors(self, found: list[list[np.ndarray]], output: int) -> tuple[float, float, float]:
        """The largest error of one output over the inputs, XLA's, and the free one."""
        mine = xla = 0.0
        for seed in range(len(SEEDS)):
            reference, expected = self.references[seed][output], self.xla[seed][output]
            xla = max(xla, error_of(expected, reference))
            is_same_kind = found[seed][output].dtype == expected.dtype
            mine = max(mine, error_of(found[seed][output], reference) if is_same_kind else np.inf)
        return mine, xla, FREE_ROUNDINGS * rounding_of(self.xla[0][output].dtype)


def _leaves(case: Case, outputs: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(case.view(outputs))]


def _widened(case: Case) -> Callable[..., Any]:
    """The case's function in float64."""
    function, parameters = case.function, None
    if case.is_frozen and case.open is not None:
        function, parameters = case.open

    def arguments_of(given: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(given) if parameters is None else (parameters, *given)

    def call(*given: Any) -> Any:
        arguments = arguments_of(given)
        tree = jax.tree.structure(jax.eval_shape(function, *arguments))
        return jax.tree.unflatten(tree, executable(jax.tree.leaves(arguments)))

    arguments = arguments_of(case.arguments_of(SEEDS[0]))
    lowered = jax.jit(function, keep_unused=True).lower(*arguments)
    program = widen(import_module(lowered.compiler_ir("stablehlo")))
    executable = compile_module(emit_module(program))
    return call


def error_of(found: np.ndarray, reference: np.ndarray) -> float:
    """Root mean square of the difference relative to that of the reference.

    Infinite where shapes or non-finite values differ; of integers, the share that differs.

    >>> error_of(np.array([1.0, 2.0]), np.array([1.0, 1.0])).round(3)
    np.float64(0.707)
    """
    if found.shape != reference.shape:
        return np.inf
    if not found.size:
        return 0.0
    if not jnp.issubdtype(found.dtype, np.inexact):
        return float(np.mean(found != reference))
    wide = np.complex128 if np.iscomplexobj(reference) else np.float64
    a, b = found.astype(wide), reference.astype(wide)
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)):
        return np.inf
    if not finite.any():
        return 0.0
    scale = np.sqrt(np.mean(np.abs(b[finite]) ** 2)) or 1.0
    return float(np.sqrt(np.mean(np.abs(a - b)[finite] ** 2)) / scale)


def rounding_of(dtype: np.dtype[Any]) -> float:
    """The unit of rounding of a type; 0 for integers and booleans."""
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, np.inexact) else 0.0


def problem_of(evidence: dict[str, Any]) -> str:
    """Why a row proves nothing or is wrong; empty if all is well."""
    if not evidence["is_finite"]:
        return "outputs are not finite"
    if evidence["variation"] < LEAST_VARIATION:
        return f"outputs vary by {evidence['variation']:.1e} only"
    if not evidence["error"] <= evidence["allowed"]:
        return f"error {evidence['error']:.1e} against float64, allowed {evidence['allowed']:.1e}"
    return ""
