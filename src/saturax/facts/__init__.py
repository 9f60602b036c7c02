"""What is known about values: the analysis of e-classes that side conditions of rules ask.

`FactAnalysis` derives `Facts` for every e-node from those of its operands, and joins them where
classes merge. Everything is a sound answer: what is not known to hold is not claimed.
"""

from saturax.facts.analysis import FactAnalysis, facts_of_nodes
from saturax.facts.model import Affine, Box, Facts, Known, Range, frozen, unknown

__all__ = [
    "Affine",
    "Box",
    "FactAnalysis",
    "Facts",
    "Known",
    "Range",
    "facts_of_nodes",
    "frozen",
    "unknown",
]
