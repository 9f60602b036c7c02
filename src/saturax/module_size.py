"""How large a module is, at most, told from JAX's form of it without importing it."""

from __future__ import annotations

from jax.extend.mlir import ir


def operations_at_most(module: ir.Module, limit: int) -> int:
    """An upper bound of the operations of a module's program, inputs included, each function as
    often as it is called; above `limit`, by how much does not count.
    """
    functions = {
        ir.StringAttr(view.operation.attributes["sym_name"]).value: view.operation
        for view in module.body.operations
        if view.operation.name == "func.func"
    }
    return _count(functions["main"], functions, limit) if "main" in functions else limit + 1


def _count(operation: ir.Operation, functions: dict[str, ir.Operation], limit: int) -> int:
    if operation.name == "func.call":
        callee = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
        return _count(functions[callee], functions, limit)
    if not operation.name.startswith(("stablehlo.", "func.", "sdy.")):
        return limit + 1  # it may stand for many
    total = 1
    for region in operation.regions:
        for block in region:
            total += len(block.arguments)
            for view in block.operations:
                if total > limit:
                    return total
                total += _count(view.operation, functions, limit - total)
    return total
