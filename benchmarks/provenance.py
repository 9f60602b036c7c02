"""Where a measurement comes from: versions, machine, threads, command and revision, as a dict."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = ("jax", "jaxlib", "numpy", "saturax", "keras", "flax", "jax-md")
_THREAD_VARIABLES = (
    "XLA_FLAGS",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "NPROC",
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "CUDA_VISIBLE_DEVICES",
)


def package_versions() -> dict[str, str | None]:
    """Installed versions of what a measurement depends on; None where not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def cpu_name() -> str:
    """The processor's model name, with family and model number where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    pairs = (line.partition(":") for line in reversed(lines))
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    name = fields.get("model name", platform.processor() or "unknown")
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def usable_cores() -> int:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def git_revision() -> str | None:
    """The revision of this checkout, with "+changes" if it is not clean; None without git."""
    root = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        revision = git("rev-parse", "HEAD")
        return revision + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def devices() -> list[str]:
    """The kinds of JAX's devices."""
    import jax

    return [f"{device.platform}: {device.device_kind}" for device in jax.devices()]


def command_line() -> str:
    """The command that this process runs."""
    return shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])


def provenance() -> dict[str, Any]:
    """All of the above with the date and the command line, ready for JSON.

    >>> sorted(provenance())[:3]
    ['command', 'cores', 'cpu']
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "versions": package_versions(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "devices": devices(),
        "environment": {name: os.environ.get(name) for name in _THREAD_VARIABLES},
        "git_revision": git_revision(),
    }
