"""Zero blocks: boxes of a tensor in which every element is 0."""

from __future__ import annotations

from collections.abc import Sequence

from saturax.facts.model import Box, Facts, distinct, intersect, tensor_type, volume


def whole(shape: Sequence[int]) -> Box:
    """The box of all elements."""
    return (0,) * len(shape), tuple(shape)


def all_zero_boxes(facts: Facts) -> tuple[Box, ...]:
    """The zero blocks of a value; all of it if it is known to be 0."""
    if facts.known.range == (0, 0, False):
        return (whole(tensor_type(facts).shape),)
    return facts.known.zeros


def shared(a: Sequence[Box], b: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes in which both are 0."""
    return distinct(tuple(intersect(x, y) for x in a for y in b)) if a and b else ()


def without(box: Box, hole: Box) -> list[Box]:
    """Boxes that are in `box` and not in `hole`; together they are all of that."""
    if volume(intersect(box, hole)) == 0:
        return [box]
    parts: list[Box] = []
    begin, end = box
    for d in range(len(begin)):
        before = (begin, (*end[:d], hole[0][d], *end[d + 1 :]))
        after = ((*begin[:d], hole[1][d], *begin[d + 1 :]), end)
        parts += [part for part in (before, after) if volume(part) > 0]
    return parts
