"""StableHLO in and out: the only package that knows MLIR.

`import_module` makes a `Program` of a StableHLO module, `emit_module` the reverse; `read` and
`write` handle stored programs of any form; `widen` gives the float64 reference of a program.
"""

from saturax.stablehlo.emitter import emit_module
from saturax.stablehlo.files import (
    Form,
    Stored,
    read,
    to_bytecode,
    to_portable_artifact,
    to_text,
    write,
)
from saturax.stablehlo.importer import import_module
from saturax.stablehlo.widen import widen

__all__ = [
    "Form",
    "Stored",
    "emit_module",
    "import_module",
    "read",
    "to_bytecode",
    "to_portable_artifact",
    "to_text",
    "widen",
    "write",
]
