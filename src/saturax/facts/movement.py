"""What is known of the results of operations that move elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from saturax.facts.affine import fitting
from saturax.facts.bands import band_of, fitting_band, flipped, spread, thinned
from saturax.facts.blocks import all_zero_boxes, whole, without
from saturax.facts.model import (
    SYMMETRIC,
    Affine,
    Box,
    Facts,
    Known,
    Range,
    distinct,
    intersect,
    tensor_type,
)
from saturax.facts.ranges import limits, range_of, single_of, union
from saturax.graph.types import TensorType


def _common_range(values: Sequence[Facts], type: TensorType) -> Range | None:
    """A range that holds the elements of all values."""
    ranges = [range_of(value) for value in values]
    found = ranges[0]
    for other in ranges[1:]:
        found = union(found, other) if found is not None and other is not None else None
    return None if found == limits(type.dtype) else found


def broadcast_in_dim(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a broadcast."""
    (shape, dimensions), (x,) = attributes, children
    known, source = x.known, tensor_type(x).shape
    rank = len(shape)
    affine = None
    if known.affine is not None:
        strides = [0] * rank
        for d, stride in zip(dimensions, known.affine.strides, strict=True):
            strides[d] = stride
        affine = fitting(Affine(known.affine.offset, tuple(strides)), type)
    kept = [i for i, d in enumerate(dimensions) if source[i] == shape[d]]
    is_last = len(source) >= 2 and list(dimensions[-2:]) == [rank - 2, rank - 1]
    keeps_matrix = is_last and {len(source) - 1, len(source) - 2} <= set(kept)
    matrix = known.matrix if keeps_matrix else 0
    if rank >= 2 and shape[-1] == shape[-2]:
        matrix |= SYMMETRIC if not {rank - 1, rank - 2} & {dimensions[i] for i in kept} else 0
    zeros: list[Box] = []
    for begin, end in known.zeros:
        first, last = [0] * rank, list(shape)
        for i in kept:
            first[dimensions[i]], last[dimensions[i]] = begin[i], end[i]
        zeros.append((tuple(first), tuple(last)))
    hot = tuple(sorted(dimensions[i] for i in known.one_hot if i in kept))
    band, full = (known.band, known.full) if keeps_matrix else (None, None)
    return Known(known.range, matrix, affine, hot, distinct(tuple(zeros)), band, full)


def reshape(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a reshaped value."""
    (x,) = children
    known, source = x.known, tensor_type(x)
    long = [i for i, n in enumerate(source.shape) if n != 1]
    places = [i for i, n in enumerate(type.shape) if n != 1]
    if [source.shape[i] for i in long] != [type.shape[i] for i in places]:
        return Known(known.range, 0, _reshaped(known.affine, source, type))
    # Only dimensions of size 1 come and go.
    found = dict(zip(long, places, strict=True))
    zeros: list[Box] = []
    for begin, end in known.zeros:
        first, last = [0] * type.rank, list(type.shape)
        for i, place in found.items():
            first[place], last[place] = begin[i], end[i]
        zeros.append((tuple(first), tuple(last)))
    keeps = source.rank >= 2 and type.rank >= 2 and 1 not in (*source.shape[-2:], *type.shape[-2:])
    return Known(
        known.range,
        known.matrix if keeps else 0,
        _reshaped(known.affine, source, type),
        tuple(sorted(found[d] for d in known.one_hot if d in found)),
        distinct(tuple(zeros)),
        known.band if keeps else None,
        known.full if keeps else None,
    )


def _reshaped(affine: Affine | None, source: TensorType, type: TensorType) -> Affine | None:
    """An affine value in another shape, if it is affine in the row-major index there, or only
    dimensions of size 1 come and go.
    """
    if affine is None or 0 in source.shape:
        return None
    long = [(n, s) for n, s in zip(source.shape, affine.strides, strict=True) if n != 1]
    if [n for n, _ in long] == [n for n in type.shape if n != 1]:
        strides = iter([s for _, s in long])
        return Affine(affine.offset, tuple(next(strides) if n != 1 else 0 for n in type.shape))
    step = long[-1][1] if long else 0
    if any(s != step * prod(n for n, _ in long[i + 1 :]) for i, (_, s) in enumerate(long)):
        return None
    strides_new = (step * prod(type.shape[i + 1 :]) for i in range(type.rank))
    return fitting(Affine(affine.offset, tuple(strides_new)), type)


def transpose(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a transposed value."""
    (p,), (x,) = attributes, children
    known, rank = x.known, type.rank
    affine = known.affine and Affine(known.affine.offset, tuple(known.affine.strides[i] for i in p))
    matrix, band, full = 0, None, None
    if list(p[-2:]) == [rank - 2, rank - 1]:
        matrix, band, full = known.matrix, known.band, known.full
    elif list(p[-2:]) == [rank - 1, rank - 2]:
        matrix, band, full = known.matrix, flipped(known.band), flipped(known.full)
    zeros = tuple(
        (tuple(begin[i] for i in p), tuple(end[i] for i in p)) for begin, end in known.zeros
    )
    hot = tuple(sorted(p.index(d) for d in known.one_hot))
    return Known(known.range, matrix, affine, hot, distinct(zeros), band, full)


def reverse(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a reversed value."""
    (dimensions,), (x,) = attributes, children
    known, affine = x.known, x.known.affine
    if affine is not None:
        offset = affine.offset + sum(affine.strides[d] * (type.shape[d] - 1) for d in dimensions)
        signs = (-s if d in dimensions else s for d, s in enumerate(affine.strides))
        affine = Affine(offset, tuple(signs))
    zeros: list[Box] = []
    for begin, end in known.zeros:
        sides = [
            (n - b, n - a) if d in dimensions else (a, b)
            for d, (n, a, b) in enumerate(zip(type.shape, begin, end, strict=True))
        ]
        zeros.append((tuple(a for a, _ in sides), tuple(b for _, b in sides)))
    keeps = not {type.rank - 1, type.rank - 2} & set(dimensions)
    matrix, band, full = (known.matrix, known.band, known.full) if keeps else (0, None, None)
    return Known(known.range, matrix, affine, known.one_hot, distinct(tuple(zeros)), band, full)


def slice_(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a slice."""
    (start, _, stride), (x,) = attributes, children
    known, affine, source = x.known, x.known.affine, tensor_type(x)
    if affine is not None:
        offset = affine.offset + sum(s * a for s, a in zip(affine.strides, start, strict=True))
        steps = tuple(s * step for s, step in zip(affine.strides, stride, strict=True))
        affine = fitting(Affine(offset, steps), type)
    zeros: list[Box] = []
    for begin, end in known.zeros:
        first = [-(-(max(b - a, 0)) // s) for b, a, s in zip(begin, start, stride, strict=True)]
        last = [-(-(max(e - a, 0)) // s) for e, a, s in zip(end, start, stride, strict=True)]
        zeros.append((tuple(first), tuple(map(min, last, type.shape))))
    matrix, band, full = 0, None, None
    if type.rank >= 2 and stride[-1] == stride[-2]:
        offset, shape = start[-1] - start[-2], type.shape
        band = fitting_band(thinned(known.band, offset, stride[-1]), shape)
        full = thinned(known.full, offset, stride[-1])
        matrix = known.matrix if offset == 0 and shape[-1] == shape[-2] else 0
    hot = tuple(d for d in known.one_hot if type.shape[d] == source.shape[d])
    return Known(known.range, matrix, affine, hot, distinct(tuple(zeros)), band, full)


def pad(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a padded value."""
    (low, high, inner), (x, value) = attributes, children
    found = _common_range((x, value), type)
    if value.known.range != (0, 0, False) or 0 in type.shape:
        return Known(found)
    begin, end = whole(type.shape)
    zeros: list[Box] = []
    for d, n in enumerate(type.shape):
        first = min(max(low[d], 0), n)
        last = max(min(n - high[d], n), 0)
        zeros.append((begin, (*end[:d], first, *end[d + 1 :])))
        zeros.append(((*begin[:d], last, *begin[d + 1 :]), end))
    if not any(inner):
        for a, b in x.known.zeros:
            moved = tuple(map(_sum, a, low)), tuple(map(_sum, b, low))
            zeros.append(intersect(moved, (begin, end)))
    matrix, band = 0, None
    if type.rank >= 2 and inner[-1] == inner[-2]:
        offset, shape = low[-1] - low[-2], type.shape
        band = fitting_band(spread(band_of(x), offset, inner[-1] + 1), shape)
        square = offset == 0 and shape[-1] == shape[-2]
        matrix = x.known.matrix & SYMMETRIC if square else 0
    return Known(found, matrix, None, (), distinct(tuple(zeros)), band)


def _sum(a: int, b: int) -> int:
    return a + b


def concatenate(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a concatenation."""
    (d,), (x, y) = attributes, children
    left, right = tensor_type(x), tensor_type(y)
    size = left.shape[d]
    zeros = [
        *all_zero_boxes(x),
        *(_shifted(box, d, size) for box in all_zero_boxes(y)),
    ]
    affine = _joined(x.known.affine, y.known.affine, d, size, left, right)
    return Known(_common_range((x, y), type), 0, affine, (), distinct(_merged(zeros, d)))


def _shifted(box: Box, d: int, by: int) -> Box:
    begin, end = box
    return (*begin[:d], begin[d] + by, *begin[d + 1 :]), (*end[:d], end[d] + by, *end[d + 1 :])


def _merged(boxes: list[Box], d: int) -> tuple[Box, ...]:
    """The boxes, and those that two of them form which meet along dimension d."""
    merged = [
        (a[0], (*a[1][:d], b[1][d], *a[1][d + 1 :]))
        for a in boxes
        for b in boxes
        if a[1][d] == b[0][d] and _without(a, d) == _without(b, d)
    ]
    return (*boxes, *merged)


def _without(box: Box, d: int) -> Box:
    begin, end = box
    return begin[:d] + begin[d + 1 :], end[:d] + end[d + 1 :]


def _joined(
    a: Affine | None, b: Affine | None, d: int, size: int, left: TensorType, right: TensorType
) -> Affine | None:
    """Two affine values one after the other, where the second one goes on as the first one does."""
    if a is None or b is None or 0 in (*left.shape, *right.shape):
        return None
    step = a.strides[d] if left.shape[d] > 1 else b.strides[d]
    if left.shape[d] == right.shape[d] == 1:
        step = b.offset - a.offset
    strides = (*a.strides[:d], step, *a.strides[d + 1 :])
    fits = right.shape[d] == 1 or b.strides[d] == step
    others = b.strides[:d] == a.strides[:d] and b.strides[d + 1 :] == a.strides[d + 1 :]
    follows = fits and others and b.offset == a.offset + step * size
    return Affine(a.offset, strides) if follows else None


def dynamic_slice(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a part at an index that is not known."""
    x = children[0]
    source = tensor_type(x)
    zeros = tuple(
        _stretched(box, type, source) for box in x.known.zeros if _spans_cut(box, type, source)
    )
    affine = x.known.affine
    if affine is not None and any(
        s and n != m for s, n, m in zip(affine.strides, type.shape, source.shape, strict=True)
    ):
        affine = None
    return Known(x.known.range, 0, affine, (), distinct(zeros))


def _spans_cut(box: Box, type: TensorType, source: TensorType) -> bool:
    """Whether a block is all of its tensor along the dimensions that are cut."""
    sides = zip(*box, type.shape, source.shape, strict=True)
    return all(n == m or (a == 0 and b == m) for a, b, n, m in sides)


def _stretched(box: Box, type: TensorType, source: TensorType) -> Box:
    sides = list(zip(*box, type.shape, source.shape, strict=True))
    return (
        tuple(a if n == m else 0 for a, _, n, m in sides),
        tuple(b if n == m else n for _, b, n, m in sides),
    )


def dynamic_update_slice(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of an updated value."""
    x, update, *indices = children
    found = _common_range((x, update), type)
    if not x.known.zeros and x.known.range != (0, 0, False):
        return Known(found)
    starts = [single_of(index) for index in indices]
    if None in starts:
        return Known(found)
    sizes = tensor_type(update).shape
    bounds = zip(starts, type.shape, sizes, strict=True)
    first = tuple(min(max(int(a), 0), n - m) for a, n, m in bounds)
    hole: Box = first, tuple(a + m for a, m in zip(first, sizes, strict=True))
    zeros = [part for box in all_zero_boxes(x) for part in without(box, hole)]
    return Known(found, 0, None, (), distinct(tuple(zeros)))


def gather(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of gathered elements: they are elements of the operand."""
    return Known(children[0].known.range)
