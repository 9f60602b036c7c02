"""Runs `benchmarks.worker` in a process of its own, so that a crash costs one answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def run_apart(description: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """What `benchmarks.worker` answers in a process of its own.

    Raises:
        RuntimeError: it crashed, gave no answer or took longer than `limit_s`; the text has the
            end of what it said. Its own child processes end with it.
    """
    # The child finds the modules that this process finds, whatever its working directory.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "JAX_TRACEBACK_FILTERING": "off",  # so that the last line is the error
    }
    with tempfile.TemporaryDirectory() as folder:
        output, log = Path(folder) / "row.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "benchmarks.worker", json.dumps(description), str(output)]
        with log.open("w") as stream:
            process = subprocess.Popen(
                command, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
            with _ending(process):
                try:
                    code = process.wait(limit_s)
                except subprocess.TimeoutExpired:
                    raise RuntimeError(f"it took longer than {limit_s:.0f} s") from None
        if code or not output.exists():
            said = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
            raise RuntimeError(f"the process ended {ended}: {said[-600:]}")
        answer: dict[str, Any] = json.loads(output.read_text())
        return answer


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends a process that leads a session, and those it started, when the block is left."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
