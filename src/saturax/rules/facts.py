"""What rules may ask about their operands: `saturax.facts` as questions about one value.

Rules that ask set `uses_facts`. What is unknown means "no", and facts only grow more precise. A
range speaks of the elements that are not NaN; an infinity is a number, and -0 = 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from saturax.facts import Affine, Box, FactAnalysis, Facts, Range, integers, unknown
from saturax.facts.bands import band_of
from saturax.facts.blocks import all_zero_boxes
from saturax.facts.model import SYMMETRIC, UNIT
from saturax.facts.ranges import INF, is_finite_range, range_of
from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType, TupleType

_ANALYSIS = FactAnalysis()


def facts_of(x: Value) -> Facts:
    """What is known of x, also where x was built from operands of which something is known."""
    x.builder.asks_all = True
    return _told(x)


def _told(x: Value) -> Facts:
    """What is known of x, for readers of no more than its outline."""
    told = x.builder.facts.get(x.index)
    if told is None:
        node = x.node
        if node.op == "parameter" or not isinstance(node.type, TensorType | TupleType):
            told = unknown(node.type)
        else:
            types = x.builder.nodes
            handles = [Value(x.builder, i, types[i].type) for i in node.operands]
            children = tuple(map(facts_of, handles))
            told = _ANALYSIS.make(node.op, node.attributes, children, node.type, node.operands)
        x.builder.facts[x.index] = told
    facts: Facts = told
    return facts


def constant_of(x: Value) -> Literal | None:
    """The constant that x is known to be, or None."""
    return _told(x).constant


def splat_of(x: Value) -> Any:
    """The numpy scalar that every element of x is known to equal, or None."""
    literal = constant_of(x)
    return literal.value if literal is not None and literal.is_splat else None


def is_splat(literal: Literal, value: float) -> bool:
    """Whether every element of the constant equals `value` (by bits: 0.0 is not -0.0)."""
    if not literal.is_splat:
        return False
    wanted = np.asarray(value).astype(literal.data.dtype)
    return bool(literal.data.tobytes() == wanted.tobytes())


def is_frozen(x: Value) -> bool:
    """Whether x depends on constants and frozen parameters only."""
    return _told(x).is_frozen


# ------------------------------------------------------------------ ranges


def _range(x: Value) -> Range:
    """The range of x; of types that have none, everything."""
    return range_of(facts_of(x)) or Range(-INF, INF, True)


def bounds_of(x: Value) -> tuple[Any, Any]:
    """The least and the greatest number that an element of x may be, unless it is NaN."""
    found = _range(x)
    return found.low, found.high


def never_nan(x: Value) -> bool:
    """Whether no element of x is NaN."""
    return not _range(x).may_be_nan


def is_finite(x: Value) -> bool:
    """Whether no element of x is infinite or NaN. True of all integers."""
    return is_finite_range(_range(x))


def has_numbers(x: Value) -> bool:
    """Whether equations over the reals may take all elements of x to be numbers: no NaN and no
    infinity that the program writes down goes into it.
    """
    return is_assumed_finite(x) or is_finite(x)


def is_assumed_finite(x: Value) -> bool:
    """Whether equations over the reals may take all elements of x to be numbers without a look at
    its range.
    """
    return _told(x).assumed_finite


def is_positive(x: Value) -> bool:
    """Whether every element of x is greater than 0, or NaN."""
    return bool(_range(x).low > 0)


def is_nonnegative(x: Value) -> bool:
    """Whether every element of x is at least 0 (which -0 is), or NaN."""
    return bool(_range(x).low >= 0)


def is_negative(x: Value) -> bool:
    """Whether every element of x is less than 0, or NaN."""
    return bool(_range(x).high < 0)


def is_nonpositive(x: Value) -> bool:
    """Whether every element of x is at most 0, or NaN."""
    return bool(_range(x).high <= 0)


def is_nonzero(x: Value) -> bool:
    """Whether no element of x is 0."""
    return is_positive(x) or is_negative(x)


def is_zero(x: Value) -> bool:
    """Whether every element of x is 0, of either sign."""
    return _range(x) == (0, 0, False)


def is_integral(x: Value) -> bool:
    """Whether every element of x is an integer, an infinity or NaN; x of some real type."""
    return integers.is_integral(facts_of(x))


# ------------------------------------------------------------------ matrices, in the last two
# dimensions


def _has(x: Value, bits: int) -> bool:
    return facts_of(x).known.matrix & bits == bits


def _is_square(x: Value) -> bool:
    return x.rank >= 2 and x.shape[-1] == x.shape[-2]


def is_identity(x: Value) -> bool:
    """Whether x holds square identity matrices."""
    return _has(x, UNIT) and is_diagonal(x)


def is_diagonal(x: Value) -> bool:
    """Whether all elements of x off the diagonal are 0; x need not be square."""
    return is_lower_triangular(x) and is_upper_triangular(x)


def is_lower_triangular(x: Value) -> bool:
    """Whether all elements of x above the diagonal are 0."""
    return x.rank >= 2 and band_of(facts_of(x)).high <= 0


def is_upper_triangular(x: Value) -> bool:
    """Whether all elements of x below the diagonal are 0."""
    return x.rank >= 2 and band_of(facts_of(x)).low >= 0


def is_symmetric(x: Value) -> bool:
    """Whether x holds square matrices that equal their transposes."""
    return _is_square(x) and (_has(x, SYMMETRIC) or is_diagonal(x))


def one_hot_of(x: Value) -> tuple[int, ...]:
    """The dimensions along which every line of x has one element 1, and else 0."""
    return facts_of(x).known.one_hot


def is_permutation_matrix(x: Value) -> bool:
    """Whether x holds square matrices of zeros with a single 1 in each row and each column."""
    return _is_square(x) and {x.rank - 1, x.rank - 2} <= set(one_hot_of(x))


# ------------------------------------------------------------------ positions


def iota_of(x: Value) -> Affine | None:
    """(offset, strides) where the element of x at index i is offset + Σ strides[d]·i[d], exactly.

    Strides of dimensions of size 1 are 0. None where that is unknown.
    """
    return facts_of(x).known.affine


def zero_blocks_of(x: Value) -> tuple[Box, ...]:
    """Blocks of x (first index, index past the last, by dimension) in which all elements are 0."""
    return all_zero_boxes(facts_of(x))


def share_of_zeros(x: Value) -> float:
    """The share of x that its largest known zero block takes."""
    sizes = (math.prod(b - a for a, b in zip(*box, strict=True)) for box in zero_blocks_of(x))
    return max(sizes, default=0) / max(x.size, 1)
