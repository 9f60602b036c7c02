"""Speed of saturax itself: its stages, its start and its calibration, each against its target.

    python -m benchmarks.stages --output benchmarks/results/stages.json [--reduced]

Nothing is measured of the programs that saturax makes; `benchmarks.run` does that.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

import saturax
from saturax.cost.calibrate import load_or_calibrate
from saturax.cost.database import PriceDatabase
from saturax.pipeline import optimize_program
from saturax.stablehlo import emit_module, import_module

from .models import workloads
from .provenance import provenance

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """One measured figure; `target` is what it must not exceed, in the same unit, if any."""

    name: str
    value: float
    unit: str
    target: float | None = None
    detail: str = ""

    def line(self) -> str:
        """The figure as text for the terminal."""
        target = "" if self.target is None else f"{self.target:10.4g}"
        return f"{self.name:52}{self.value:10.4g} {self.unit:4}{target:>10}  {self.detail}"


def search_only(name: str, is_reduced: bool) -> tuple[float, saturax.Report]:
    """Seconds from StableHLO to optimised StableHLO without running anything, and the report.

    Prices come from the database where it has them and from the model of the device elsewhere.
    """
    (workload,) = workloads(names=[name])
    program = workload.build(is_reduced)
    with workload.context():
        lowered = jax.jit(program.function).lower(program.parameters, *program.inputs)
        module: Any = lowered.compiler_ir("stablehlo")
        start = time.perf_counter()
        result = optimize_program(import_module(module), saturax.Options(measure=False))
        emit_module(result.program)
        seconds = time.perf_counter() - start
    return seconds, result.report


def saturation(is_reduced: bool, repeats: int) -> Iterator[Figure]:
    """The first round of saturation of ResNet-50."""
    seconds, notes = [], {}
    for _ in range(repeats):
        _, report = search_only("resnet", is_reduced)
        first = next(stage for stage in report.stages if stage.name == "saturate")
        seconds.append(first.seconds)
        notes = first.notes
    detail = f"{notes['nodes']} e-nodes, stopped by: {notes['stopped by']}"
    yield Figure("saturation of ResNet-50, first round", statistics.median(seconds), "s", 1, detail)


def whole_search(names: Sequence[str], is_reduced: bool, repeats: int) -> Iterator[Figure]:
    """Import, all rounds of saturating, pricing and extracting, and emission, by program."""
    for name in names:
        runs = [search_only(name, is_reduced) for _ in range(repeats)]
        report = runs[-1][1]
        parts: dict[str, float] = {}
        for stage in report.stages:
            parts[stage.name] = parts.get(stage.name, 0.0) + stage.seconds
        split = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in parts.items())
        yield Figure(
            f"import to emission of {name}, {report.operations_before} operations",
            statistics.median(seconds for seconds, _ in runs),
            "s",
            10,
            split,
        )


def import_and_emission(operations: int) -> Iterator[Figure]:
    """Microseconds an operation, as `import_emit.py` measures them in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        command = [sys.executable, str(_HERE / "import_emit.py"), "--weights-mb", "1"]
        command += ["--operations", str(operations), "--output", str(output)]
        subprocess.run(command, check=True, capture_output=True)
        figures = json.loads(output.read_text())["figures"]
    target = figures["target_us_per_operation"]
    for name in ("import", "emit"):
        value = figures[f"{name}_us_per_operation"]
        detail = f"chain of {figures['operations']} operations, process time"
        yield Figure(f"{name} of an operation", value, "µs", target, detail)


def calibration(time_limit_s: float) -> Iterator[Figure]:
    """Calibrating a device that the database does not know."""
    with tempfile.TemporaryDirectory() as folder:
        database = PriceDatabase(Path(folder) / "prices.sqlite")
        start = time.perf_counter()
        known = load_or_calibrate(database, time_limit_s=time_limit_s)
        seconds = time.perf_counter() - start
        database.close()
    missing = ", ".join(known.defaulted) or "none"
    detail = f"left to defaults: {missing}"
    yield Figure("calibration, once a device", seconds, "s", 60, detail)


def start_up(repeats: int) -> Iterator[Figure]:
    """What `import saturax` takes after `import jax`, in fresh processes."""
    code = (
        "import time, jax; start = time.perf_counter(); import saturax; "
        "print(time.perf_counter() - start)"
    )
    seconds = []
    for _ in range(repeats):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds.append(float(done.stdout))
    detail = f"median of {repeats} fresh processes"
    yield Figure("import saturax, after import jax", statistics.median(seconds), "s", None, detail)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--output", type=Path, help="the JSON file")
    add("--programs", nargs="*", default=["bert", "efficientnet_b0"], help="for the whole search")
    add("--reduced", action="store_true", help="small sizes: a test of the benchmark only")
    add("--operations", type=int, default=2000, help="size of the program to import and emit")
    add("--repeats", type=int, default=3, help="runs of each figure, of which the median counts")
    add("--calibration-limit", type=float, default=60.0, help="seconds")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all figures and write them with their provenance; 1 when a target is missed."""
    parsed = parse(arguments)
    parts: list[Callable[[], Iterator[Figure]]] = [
        lambda: start_up(parsed.repeats + 2),
        lambda: import_and_emission(parsed.operations),
        lambda: saturation(parsed.reduced, parsed.repeats),
        lambda: whole_search(parsed.programs, parsed.reduced, parsed.repeats),
        lambda: calibration(parsed.calibration_limit),
    ]
    figures: list[Figure] = []
    print(f"{'figure':52}{'value':>10}{'target':>15}", flush=True)
    for part in parts:
        for figure in part():
            figures.append(figure)
            print(figure.line(), flush=True)
    if parsed.output is not None:
        document: dict[str, Any] = {
            "provenance": provenance(),
            "is_reduced": parsed.reduced,
            "figures": [asdict(figure) for figure in figures],
        }
        parsed.output.parent.mkdir(parents=True, exist_ok=True)
        parsed.output.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(f.target is not None and f.value > f.target for f in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
