"""Versions of what takes part in a result."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for package in ("saturax", "jax", "jaxlib", "numpy"):
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "unknown"))
    return tuple(found)


def versions() -> dict[str, str]:
    """Package name → version, of Python, saturax, jax, jaxlib and numpy."""
    return dict(_versions())
