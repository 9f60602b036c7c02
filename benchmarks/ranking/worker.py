"""Times and prices under one number of threads, in a process of its own.

    python -m benchmarks.ranking.worker --folder FOLDER --threads one|all --step time|price

`time` runs the variants of each group in turns, and once more when all groups have had theirs;
`price` calibrates the device and measures every operation of the variants by itself. Both go on
where an earlier run stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

_ROUNDS, _ROUND_S = 12, 0.012
TURNS = ("rounds_us", "again_us")
"""Microseconds of a program round by round, at two different times."""
_PROFILED_CALLS = 5
_SAVED_TOGETHER = 64
_CALL_S = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step; its results lie in the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", choices=("one", "all"), required=True)
    parser.add_argument("--step", choices=("time", "price"), required=True)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds")
    parsed = parser.parse_args(arguments)
    cores = os.sched_getaffinity(0)
    if parsed.threads == "one":
        # XLA sizes its pools when the client is made, by this variable and the cores it may use;
        # the library of factorisations its own when it is loaded, which may be by a thread that
        # compiles: with two of them, 2.8 ms of a program were 4.6 ms of time computed.
        os.environ["NPROC"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
        os.sched_setaffinity(0, {max(cores)})
    deadline = time.perf_counter() + parsed.limit
    step = _time if parsed.step == "time" else _price
    step(parsed.folder, parsed.threads, cores, deadline)
    return 0


@contextmanager
def _all_cores(cores: set[int]) -> Iterator[None]:
    """Threads born inside may use all cores: those that compile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _time(folder: Path, threads: str, cores: set[int], deadline: float) -> None:
    import jax

    from saturax.jaxlib_compat import compile_module, optimized_hlo

    from .variants import load

    file = folder / f"times-{threads}.json"
    done: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    groups: dict[str, list[Any]] = defaultdict(list)
    for variant in load(folder):
        groups[variant.group].append(variant)
    device = jax.local_devices()[0]
    missing = [v for some in groups.values() for v in some if not _is_timed(done, v, TURNS)]
    with _all_cores(cores), ThreadPoolExecutor(len(cores)) as pool:
        compiled = pool.map(lambda v: compile_module(v.compiled(folder), device), missing)
        executables = dict(zip([v.name for v in missing], compiled, strict=True))
    for turn in TURNS:
        for some in groups.values():
            if all(_is_timed(done, variant, (turn,)) for variant in some):
                continue
            if time.perf_counter() > deadline:
                return
            inputs = _inputs(some[0].path(folder))
            times = _interleaved([executables[v.name] for v in some], inputs, _clock(threads))
            for variant, rounds_us in zip(some, times, strict=True):
                executable = executables[variant.name]
                if variant.name not in done:
                    file_of_kernels = folder / f"{variant.name}.{threads}.hlo"
                    file_of_kernels.write_text(optimized_hlo(executable))
                    done[variant.name] = _counted(executable, inputs)
                done[variant.name][turn] = rounds_us
            file.write_text(json.dumps(done, indent=1))


def _is_timed(done: Mapping[str, Any], variant: Any, turns: Sequence[str]) -> bool:
    return all(turn in done.get(variant.name, {}) for turn in turns)


def _counted(executable: Any, inputs: Sequence[Any]) -> dict[str, Any]:
    """What the profiler and the compiler say of a program."""
    from saturax.jaxlib_compat import cost_analysis, memory_analysis

    use = memory_analysis(executable)
    return {
        "profiled_us": _profiled_us(executable, inputs),
        "analysis": {
            name: value
            for name, value in cost_analysis(executable).items()
            if name in ("flops", "bytes accessed", "transcendentals")
        },
        "temporary_bytes": use.temporary_bytes,
        "output_bytes": use.output_bytes,
    }


def _clock(threads: str) -> Callable[[], float]:
    """Of one thread the time that it computes: other processes then disturb only its caches."""
    return time.process_time if threads == "one" else time.perf_counter


def _inputs(path: Path) -> list[Any]:
    from saturax.mlir_modules import module_signature, parse_module

    from .variants import random_inputs

    return random_inputs(module_signature(parse_module(path.read_bytes())).inputs)


def _interleaved(
    executables: Sequence[Any], inputs: Sequence[Any], clock: Callable[[], float]
) -> list[list[float]]:
    """Times in each round, in which every program runs as long as the others, in random order."""
    from saturax.collector import no_garbage_collection
    from saturax.cost.timing import TimedProgram

    programs = [TimedProgram(each, [inputs], clock) for each in executables]
    rounds: list[list[float]] = [[] for _ in programs]
    generator = random.Random(0)
    with no_garbage_collection():
        for _ in range(_ROUNDS):
            for number in generator.sample(range(len(programs)), len(programs)):
                programs[number].restart()
                programs[number].run(_ROUND_S)
                timing = programs[number].timing()
                assert timing is not None
                rounds[number].append(round(1e6 * timing.seconds, 2))
    return rounds


def _profiled_us(executable: Any, inputs: Sequence[Any]) -> float:
    """The sum of what JAX's profiler says the program's kernels take."""
    import jax

    from saturax.cost.timing import wait_for

    with tempfile.TemporaryDirectory() as trace:
        with jax.profiler.trace(trace):
            for _ in range(_PROFILED_CALLS):
                wait_for(executable(inputs))
        (path,) = Path(trace).rglob("*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(path))
        durations: dict[str, list[float]] = defaultdict(list)
        for plane in data.planes:
            for line in plane.lines:
                end = 0.0
                events = [(e, dict(e.stats)) for e in line.events if e.duration_ns > 0]
                for event, stats in sorted(events, key=lambda pair: pair[0].start_ns):
                    # Kernels inside a loop are part of the loop's own time.
                    if "hlo_op" in stats and event.start_ns >= end:
                        end = event.start_ns + event.duration_ns
                        durations[str(stats["hlo_op"])].append(event.duration_ns / 1e3)
    return sum(statistics.median(some) * len(some) / _PROFILED_CALLS for some in durations.values())


def _price(folder: Path, threads: str, cores: set[int], deadline: float) -> None:
    from saturax.cost.calibrate import load_or_calibrate
    from saturax.cost.database import Price, PriceDatabase
    from saturax.cost.device import identify
    from saturax.cost.timing import TimedProgram
    from saturax.jaxlib_compat import compile_module
    from saturax.search.pricing import COMPANION, companion, module_of, module_of_cluster

    from .predictions import COMPANION_KEY, wanted_clusters, wanted_kernels
    from .variants import random_inputs

    database = PriceDatabase(folder / "prices.sqlite")
    load_or_calibrate(database)
    device = identify().key
    (folder / f"device-{threads}.txt").write_text(device)
    call = TimedProgram(compile_module(companion()), [random_inputs([COMPANION])], _clock(threads))
    call.run(_CALL_S)
    timing = call.timing()
    assert timing is not None
    overhead = Price(1e6 * timing.seconds, timing.spread, timing.repetitions)
    database.put_many(device, {COMPANION_KEY: overhead})
    os.sched_setaffinity(0, cores)  # for compiling: what is timed is pinned again

    def measure(modules: Mapping[str, Callable[[], Any]], beside: Any) -> None:
        known = database.get_many(device, modules)
        missing = {key: make for key, make in modules.items() if key not in known}
        print(f"{len(modules)} kernels, {len(missing)} to measure", file=sys.stderr, flush=True)
        for start in range(0, len(missing), _SAVED_TOGETHER):
            some = dict(list(missing.items())[start : start + _SAVED_TOGETHER])
            database.put_many(
                device, _measured(some, beside, deadline - time.perf_counter(), threads)
            )

    clusters = {kernel.key: kernel for kernel in wanted_clusters(folder)}
    measure({key: partial(module_of_cluster, k) for key, k in clusters.items()}, companion)
    kernels = {kernel.key: kernel for kernel in wanted_kernels(folder)}
    measure({key: partial(module_of, k) for key, k in kernels.items()}, None)


def _measured(
    modules: Mapping[str, Callable[[], Any]],
    beside: Any,
    limit_s: float,
    threads: str,
) -> dict[str, Any]:
    from saturax.cost.database import Price
    from saturax.cost.measure import measure_modules

    results = measure_modules(
        [make() for make in modules.values()],
        time_budget_s=max(limit_s, 0.0),
        beside=beside,
        clock=_clock(threads),
        pin_to_one_core=threads == "one",
    )
    return {
        key: Price(result.time_us, result.spread, result.repetitions, cores=result.cores)
        for key, result in zip(modules, results, strict=True)
        if result is not None and result.error is None
    }


if __name__ == "__main__":
    sys.exit(main())
