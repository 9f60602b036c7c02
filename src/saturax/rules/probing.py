"""Which functions (or other attributes) a rule can be about, found by asking its right side.

A pattern like f(g(x, y), g(x, z)) matches almost everything, though its rule speaks of few f. The
right side is called with a name for f, and with unknown values for all else, at which it must not
look: if it says "does not apply" all the same, then it does so for this f, whatever the rest is.
Matchers leave out such e-nodes before they look at what is below them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any


class LookedError(BaseException):
    """The right side asked something about a value that is not known.

    Not an `Exception`, so that no right side handles it.
    """


def _looked(*_arguments: Any, **_named: Any) -> Any:
    raise LookedError


class Unknown:
    """Some operand or attribute: whatever is asked about it raises `LookedError`.

    Only `is` cannot be kept from telling it from other objects. So it must not stand for None,
    which no operand is and no name of a function.
    """

    __class__ = property(_looked)  # so that isinstance fails, too

    def __eq__(self, other: object) -> bool:
        if other is None:
            return False
        raise LookedError

    def __getattribute__(self, name: str) -> Any:
        raise LookedError


for _operator in (
    "hash bool str repr format len iter contains getitem call index int float complex lt le gt ge "
    "ne add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow neg abs "
    "and rand or ror xor rxor invert lshift rlshift rshift rrshift matmul rmatmul array"
).split():
    setattr(Unknown, f"__{_operator}__", _looked)


def admission(
    applies: Callable[..., bool],
    parameters: Collection[str],
    name: str,
    *,
    asks_all: bool = False,
) -> Callable[[Any], bool]:
    """The test of values of the parameter `name`: False where nothing else can make a rule apply.

    `applies(**arguments)` tells whether the rule applies; it may be given unknown arguments, and
    it may fail. Values that are no names are not asked about, unless it `asks_all`.
    """

    @cache
    def admits(value: Any) -> bool:
        unknown: dict[str, Any] = {other: Unknown() for other in parameters}
        try:
            return applies(**{**unknown, name: value})
        except (LookedError, Exception):
            return True

    return admits if asks_all else lambda value: not isinstance(value, str) or admits(value)
