"""Texts that identify graphs and attributes across processes: keys of prices and of caches."""

from __future__ import annotations

import hashlib
from typing import Any

from saturax.graph.ir import Graph, Program
from saturax.graph.literal import Literal


def canonical_text(value: Any) -> str:
    """A text that two attributes share exactly if they are equal, in any process."""
    if isinstance(value, Literal):
        return value.key
    if isinstance(value, Graph):
        return f"graph:{fingerprint(value)}"
    if isinstance(value, tuple):
        return f"({','.join(map(canonical_text, value))})"
    return str(value) if not isinstance(value, str) else repr(value)


def fingerprint(graph: Graph) -> str:
    """A digest (32 hexadecimal digits) of a graph's inputs, nodes, outputs and effects."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update("|".join(map(str, graph.inputs)).encode())
    for node in graph.nodes:
        text = f"{node.op}{canonical_text(node.attributes)}{node.operands}{node.type}\n"
        digest.update(text.encode())
    digest.update(f"{graph.outputs}{graph.effects}".encode())
    return digest.hexdigest()


def program_fingerprint(program: Program) -> str:
    """A digest of a program: its graph, attributes and symbols; names do not count."""
    surroundings = (
        program.module_attributes,
        program.function_attributes,
        program.argument_attributes,
        program.result_attributes,
        program.symbols,
    )
    text = fingerprint(program.graph) + repr(surroundings)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
