"""Seconds to the first result in a new process, of a program that was optimised before.

    python -m benchmarks.warm_start --name resnet --repetitions 5 --output warm_start.json

Processes take turns: plain `jax.jit`, `saturax.jit` and `saturax.freeze`, all with JAX's
compilation cache warm, the latter two with saturax's cache warm, too. The first round fills the
caches and is not counted. Time runs from a ready process (JAX imported, weights on the device) to
the first result; importing saturax is reported apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FORMS = ("jax.jit", "saturax.jit", "saturax.freeze")


def first_result(name: str, form: str, time_limit_s: float, is_reduced: bool) -> dict[str, Any]:
    """What one process measures: seconds to the first result, and what saturax reports."""
    import jax

    start = time.perf_counter()
    import saturax

    import_s = time.perf_counter() - start

    from .cases import case_of
    from .models import workloads

    (workload,) = workloads(names=[name])
    with workload.context():
        case = case_of(workload.build(is_reduced), "frozen")
        assert case is not None
        assert case.open is not None
        function, parameters = case.open
        inputs = jax.block_until_ready(case.arguments_of(0))
        jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))
        options = saturax.Options(time_limit_s=time_limit_s)
        start = time.perf_counter()
        call: Callable[..., Any]
        if form == "jax.jit":
            call, arguments = jax.jit(function), (parameters, *inputs)
        elif form == "saturax.jit":
            call, arguments = saturax.jit(function, options=options), (parameters, *inputs)
        else:
            call, arguments = saturax.freeze(function, parameters, options=options), inputs
        jax.block_until_ready(call(*arguments))
        seconds = time.perf_counter() - start
    report = getattr(call, "report", None)
    stages = {} if report is None else {stage.name: stage.seconds for stage in report.stages}
    return {
        "seconds": seconds,
        "import_s": import_s,
        "cached": "" if report is None else report.cached,
        "outcome": "" if report is None else report.outcome,
        "recall_s": stages.get("recall"),
    }


def run_apart(folder: Path, arguments: argparse.Namespace, form: str) -> dict[str, Any]:
    """`first_result` in a process of its own, whose caches are in `folder`."""
    environment = os.environ | {
        "SATURAX_CACHE_DIR": str(folder / "saturax"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-m", "benchmarks.warm_start", "--one", form]
    command += ["--name", arguments.name, "--time-limit", str(arguments.time_limit)]
    command += ["--reduced"] if arguments.reduced else []
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if a warm process found nothing in the cache."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", default="resnet", help="workload (default %(default)s)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--time-limit", type=float, default=60.0, help="of the first optimisation")
    parser.add_argument("--reduced", action="store_true", help="small sizes: a test only")
    parser.add_argument("--folder", type=Path, help="caches to use; default: new ones")
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument("--one", choices=FORMS, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.one:
        answer = first_result(parsed.name, parsed.one, parsed.time_limit, parsed.reduced)
        print(json.dumps(answer))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = parsed.folder or Path(temporary)
        rows: dict[str, list[dict[str, Any]]] = {form: [] for form in FORMS}
        for form in FORMS:
            cold = run_apart(folder, parsed, form)
            print(f"cold {form:15} {cold['seconds']:8.2f} s", flush=True)
        for _ in range(parsed.repetitions):
            for form in FORMS:
                rows[form].append(run_apart(folder, parsed, form))
    plain = [row["seconds"] for row in rows["jax.jit"]]
    document: dict[str, Any] = {"workload": parsed.name, "rows": rows, "ratio": {}}
    for form in FORMS:
        seconds = [row["seconds"] for row in rows[form]]
        ratio = statistics.median(a / b for a, b in zip(seconds, plain, strict=True))
        document["ratio"][form] = ratio
        recall = [row["recall_s"] for row in rows[form] if row["recall_s"] is not None]
        known = f", recall {1e3 * statistics.median(recall):.0f} ms" if recall else ""
        text = f"{form:15} {statistics.median(seconds):6.2f} s, {ratio:.2f} × jax.jit{known}"
        print(f"warm {text}", flush=True)
    if parsed.output:
        from .provenance import provenance

        document["provenance"] = provenance()
        parsed.output.write_text(json.dumps(document, indent=1) + "\n")
    is_warm = all(row["cached"] for form in FORMS[1:] for row in rows[form])
    return 0 if is_warm else 1


if __name__ == "__main__":
    sys.exit(main())
