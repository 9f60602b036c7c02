"""Functions with frozen arguments: `freeze`, and the files that frozen functions are saved in."""

from saturax.freezing.arguments import FrozenError
from saturax.freezing.file import load_frozen
from saturax.freezing.function import Frozen, freeze

__all__ = ["Frozen", "FrozenError", "freeze", "load_frozen"]
