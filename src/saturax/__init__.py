"""saturax: equality saturation for JAX programs, with a global performance model.

import saturax
fast = saturax.jit(model)          # as jax.jit, optimised for this device
fast(parameters, inputs)
print(fast.report.to_json())       # what was done, and why
"""

from typing import TYPE_CHECKING, Any

from saturax.errors import (
    DynamicShapeError,
    ImportFailure,
    OptionsError,
    RuleError,
    SaturaxError,
    VerificationError,
)
from saturax.jitted import SaturaxWarning, jit
from saturax.options import Options
from saturax.report.model import Report

if TYPE_CHECKING:
    from saturax.api import optimize, optimize_module
    from saturax.freezing import Frozen, FrozenError, freeze, load_frozen
    from saturax.installation import install, uninstall
    from saturax.pipeline import Optimized
    from saturax.user_rules import UserRule, rule

__version__ = "0.1.0"

__all__ = [
    "DynamicShapeError",
    "Frozen",
    "FrozenError",
    "ImportFailure",
    "Optimized",
    "Options",
    "OptionsError",
    "Report",
    "RuleError",
    "SaturaxError",
    "SaturaxWarning",
    "UserRule",
    "VerificationError",
    "freeze",
    "install",
    "jit",
    "load_frozen",
    "optimize",
    "optimize_module",
    "rule",
    "uninstall",
]

# What needs the optimiser is imported when it is first asked for: that takes up to a second, and a
# process whose programs are all in the cache does without it.
_HOMES = {
    "Frozen": "freezing",
    "FrozenError": "freezing",
    "Optimized": "pipeline",
    "UserRule": "user_rules",
    "freeze": "freezing",
    "install": "installation",
    "load_frozen": "freezing",
    "optimize": "api",
    "optimize_module": "api",
    "rule": "user_rules",
    "uninstall": "installation",
}


def __getattr__(name: str) -> Any:
    """A public name on its first use."""
    import importlib

    if name in _HOMES:
        value = getattr(importlib.import_module(f"saturax.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'saturax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
