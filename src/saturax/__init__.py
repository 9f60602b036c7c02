"""saturax: equality saturation for JAX programs, with a global performance model.

import saturax
fast = saturax.jit(model)          # as jax.jit, optimised for this device
fast(parameters, inputs)
print(fast.report.to_json())       # what was done, and why
"""

from saturax.api import optimize, optimize_module
from saturax.errors import (
    DynamicShapeError,
    ImportFailure,
    OptionsError,
    RuleError,
    SaturaxError,
    VerificationError,
)
from saturax.freezing import Frozen, FrozenError, freeze, load_frozen
from saturax.installation import install, uninstall
from saturax.jitted import SaturaxWarning, jit
from saturax.options import Options
from saturax.pipeline import Optimized
from saturax.report.model import Report
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
