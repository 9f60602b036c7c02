"""Builds, compiles and runs every workload once and checks that its outputs depend on its inputs.

    python -m benchmarks.check_models [--full] [--sets 1 2] [--names nasrnn] [--output out.json]

Not a timing benchmark: `run_ms` is the best of a few calls on whatever else the machine is doing.
Exit code 1 when a workload fails or has outputs that do not vary.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .models import Program, Workload, workloads
from .provenance import provenance

LEAST_VARIATION = 1e-3
"""Outputs whose relative change between two random inputs is below this prove nothing."""

_OPERATION = re.compile(r"(?:stablehlo|chlo)\.[a-z_0-9]+")


@dataclass(frozen=True)
class Check:
    """What was seen of one program (a forward pass or a training step).

    `variation` is the relative change of the outputs between two random inputs (1.41 when
    unrelated); `constant_outputs` counts outputs that did not change at all; `saturated` is the
    share of floating-point values that are equal bit by bit for both inputs.
    """

    operations: int
    lower_seconds: float
    compile_seconds: float
    run_ms: float
    variation: float
    outputs: int
    constant_outputs: int
    saturated: float
    is_finite: bool
    problem: str = ""


def count_operations(text: str) -> int:
    """StableHLO operations in a module's text, in all functions and regions."""
    return len(_OPERATION.findall(text))


def best_time_ms(call: Callable[[], Any], budget_seconds: float = 2.0) -> float:
    """The shortest of up to 20 calls within a budget, in milliseconds."""
    times: list[float] = []
    while len(times) < 20 and sum(times) < budget_seconds:
        start = time.perf_counter()
        jax.block_until_ready(call())  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def compare(first: Any, second: Any) -> dict[str, Any]:
    """How the outputs of two inputs differ: the fields of `Check` from `variation` on."""
    difference = norm = 0.0
    constant = same = total = 0
    is_finite = True
    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    for a, b in ((np.asarray(a), np.asarray(b)) for a, b in pairs):
        constant += bool(np.array_equal(a, b))
        wide = np.complex128 if np.iscomplexobj(a) else np.float64
        if a.dtype.kind in "biu":
            continue
        x, y = a.astype(wide), b.astype(wide)
        is_finite = is_finite and bool(np.isfinite(x).all() and np.isfinite(y).all())
        scale = float(np.sqrt(np.mean(np.abs(x) ** 2) + np.mean(np.abs(y) ** 2))) or 1.0
        difference += float(np.sum(np.abs(x - y) ** 2)) / scale**2
        norm += x.size
        same += int(np.sum(x == y))
        total += x.size
    return {
        "variation": float(np.sqrt(2 * difference / max(norm, 1.0))),
        "outputs": len(pairs),
        "constant_outputs": constant,
        "saturated": same / max(total, 1),
        "is_finite": is_finite,
    }


def problem_of(seen: dict[str, Any], most_saturated: float) -> str:
    """Why these outputs are no evidence, or an empty text."""
    if not seen["is_finite"]:
        return "outputs are not finite"
    if seen["variation"] < LEAST_VARIATION:
        return f"outputs vary by {seen['variation']:.1e} only"
    if seen["saturated"] > most_saturated:
        return f"{seen['saturated']:.0%} of the values do not change"
    return ""


def check_function(
    function: Callable[..., Any],
    parameters: Any,
    first: Any,
    second: Any,
    view: Callable[[Any], Any] = lambda outputs: outputs,
    most_saturated: float = 0.5,
) -> Check:
    """Lowers, compiles and runs `function(parameters, *inputs)` on two sets of inputs.

    What is compared is `view(outputs)`.
    """
    parameters = jax.device_put(parameters)
    start = time.perf_counter()
    lowered = jax.jit(function).lower(parameters, *first)
    lower_seconds = time.perf_counter() - start
    operations = count_operations(lowered.as_text())
    start = time.perf_counter()
    compiled = lowered.compile()
    compile_seconds = time.perf_counter() - start
    seen = compare(view(compiled(parameters, *first)), view(compiled(parameters, *second)))
    inputs = jax.device_put(first)
    run_ms = best_time_ms(lambda: compiled(parameters, *inputs))
    problem = problem_of(seen, most_saturated)
    return Check(operations, lower_seconds, compile_seconds, run_ms, **seen, problem=problem)


def check_training(program: Program, train_step: Callable[..., Any]) -> Check:
    """Like `check_function` for the training step: the loss and what the step changed.

    New parameters nearly equal the old ones, so it is the change that must vary with the inputs.
    Rows of an embedding that no token selects do not change: that is no saturation.
    """

    def changes(outputs: Any) -> Any:
        loss, new = outputs
        return loss, jax.tree.map(lambda p, q: np.asarray(q) - p, program.parameters, new)

    targets = program.train_inputs[len(program.inputs) :]
    others = program.inputs_of(1) + targets
    return check_function(
        train_step, program.parameters, program.train_inputs, others, changes, most_saturated=1.0
    )


def check_workload(workload: Workload, full: bool) -> dict[str, Any]:
    """Everything seen of one workload, as JSON."""
    start = time.perf_counter()
    program = workload.build(reduced=not full)
    build_seconds = time.perf_counter() - start
    with workload.context():
        forward = check_function(
            program.function, program.parameters, program.inputs, program.inputs_of(1)
        )
        step = program.train_step
        train = check_training(program, step) if step else None
    count = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(program.parameters))
    return {
        "name": workload.name,
        "set": workload.set,
        "configuration": workload.configuration,
        "is_reduced": not full,
        "parameter_count": count,
        "build_seconds": build_seconds,
        "forward": asdict(forward),
        "train": None if train is None else asdict(train),
    }


HEADER = (
    f"{'workload':24}{'pass':8}{'ops':>6}{'compile s':>11}{'run ms':>10}"
    f"{'variation':>11}{'saturated':>11}  problem"
)


def rows(result: dict[str, Any]) -> list[str]:
    """The table's lines for one result."""
    lines = []
    for kind in ("forward", "train"):
        if check := result[kind]:
            lines.append(
                f"{result['name']:24}{kind:8}{check['operations']:6d}"
                f"{check['compile_seconds']:11.2f}{check['run_ms']:10.3f}"
                f"{check['variation']:11.3g}{check['saturated']:11.1%}  {check['problem']}"
            )
    return lines


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help="stated sizes instead of reduced ones")
    parser.add_argument("--sets", type=int, nargs="*", help="1, 2, 3; default all")
    parser.add_argument("--names", nargs="*", help="names of workloads; default all")
    parser.add_argument("--output", type=Path, help="write JSON with provenance to this file")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Checks the chosen workloads and returns the exit code."""
    options = parse(arguments)
    results, failures = [], []
    print(HEADER, flush=True)
    for workload in workloads(options.sets, options.names):
        try:
            result = check_workload(workload, options.full)
        except Exception as error:
            traceback.print_exc()
            failures.append({"name": workload.name, "error": f"{type(error).__name__}: {error}"})
            continue
        results.append(result)
        print("\n".join(rows(result)), flush=True)
        jax.clear_caches()  # type: ignore[no-untyped-call]
    if options.output:
        document = {"provenance": provenance(), "results": results, "failures": failures}
        options.output.write_text(json.dumps(document, indent=1) + "\n")
    checks = [c for r in results for c in (r["forward"], r["train"]) if c]
    problems = len(failures) + sum(bool(c["problem"]) for c in checks)
    print(f"{len(results)} workloads checked, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
