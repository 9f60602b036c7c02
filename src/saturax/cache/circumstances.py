"""What the key of a program in the cache is made of, besides the program itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import jax

from saturax.cache.sources import rules_version
from saturax.cost.device import identify
from saturax.options import Options
from saturax.versions import versions

# Options that say where things are, not what is done.
_LOCATIONS = ("database", "cache")
# Packages whose versions make a program be checked again.
_PACKAGES = ("saturax", "jax", "jaxlib")


def circumstances(
    options: Options,
    devices: Sequence[jax.Device],
    compiler_options: Mapping[str, Any] | None,
) -> list[Any]:
    """What decides besides the program: options, rules, and the device with cores and flags."""
    device = asdict(identify(devices[0] if devices else None))
    device.pop("jaxlib_version")
    device["count"] = max(1, len(devices))
    names = [each.name for each in fields(options) if each.name not in _LOCATIONS]
    flags = sorted((name, str(value)) for name, value in (compiler_options or {}).items())
    return [{name: str(getattr(options, name)) for name in names}, flags, rules_version(), device]


def known_versions() -> str:
    """A digest of the versions with which a program is taken as it is."""
    return key_digest({name: text for name, text in versions().items() if name in _PACKAGES})


def is_kept(options: Options) -> bool:
    """Whether programs are kept: results of predictions and of no checks are not worth it."""
    if not (options.measure and options.verify):
        return False
    if options.cache is True:
        return os.environ.get("SATURAX_CACHE", "1") != "0"
    return options.cache is not False


def key_digest(value: Any) -> str:
    """A part of a key: the digest of a value of plain data."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def now() -> str:
    """When something is kept."""
    return datetime.now(UTC).isoformat(timespec="seconds")
