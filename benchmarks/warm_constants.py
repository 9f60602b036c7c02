"""Seconds to the first result of a frozen program whose weights are constants, in new processes.

    python -m benchmarks.warm_constants --megabytes 100 --repetitions 3

The first process finds an empty cache, so that XLA compiles; the others load what it has kept. Time
runs from weights on the device to the first result; seconds of the processor are those of all
threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

_LAYERS, _BATCH = 5, 16


def first_result(megabytes: float) -> dict[str, float]:
    """What one process measures: wall and processor seconds."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import saturax
    from saturax.freezing.constants import WithConstants

    generator = np.random.default_rng(0)
    size = round((megabytes * 1e6 / 4 / _LAYERS) ** 0.5)
    x = generator.standard_normal((_BATCH, size), np.float32)
    weights = [
        jax.device_put(generator.standard_normal((size, size), np.float32) / size**0.5)
        for _ in range(_LAYERS)
    ]

    def layers(weights: list[jax.Array], args: tuple[jax.Array], kwargs: dict[str, None]) -> object:
        (value,) = args
        for weight in weights:
            value = jax.nn.relu(value @ weight)
        return jnp.tanh(value)

    exported = jax.export.export(jax.jit(layers))(weights, (x,), {})
    jax.block_until_ready(weights)
    started, worked = time.perf_counter(), time.process_time()
    program = WithConstants(exported, weights)
    program.compile((x,), {}, saturax.Options())
    jax.block_until_ready(program._cache_miss([], (x,), {})[0])
    return {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - worked,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=100.0, help="of weights")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.one:
        print(json.dumps(first_result(parsed.megabytes)))
        return 0
    command = [sys.executable, "-m", "benchmarks.warm_constants", "--one"]
    command += ["--megabytes", str(parsed.megabytes)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join(path for path in sys.path if path)
        environment = os.environ | {"SATURAX_CACHE_DIR": folder, "PYTHONPATH": path}
        for number in range(1 + parsed.repetitions):
            answer = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            row = json.loads(answer.stdout.splitlines()[-1])
            which = "warm" if number else "cold"
            print(
                f"{which} {row['seconds']:6.2f} s, of the processor "
                f"{row['processor_seconds']:6.2f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
