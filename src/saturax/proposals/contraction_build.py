"""A tensor network and an order of contraction become operations."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import reduce
from math import prod

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    broadcast_scalar,
    compare,
    constant,
    full,
    iota,
    multiply,
    reduce_,
    reshape,
    select,
)
from saturax.graph.types import TensorType, is_integer, numpy_dtype
from saturax.proposals.contraction_order import Labels, Order
from saturax.proposals.equality import Equalities
from saturax.proposals.tensor_network import Network
from saturax.rules.conditions import is_ordinary
from saturax.rules.einsum import Einsum, along, contract
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to


def build_network(equalities: Equalities, network: Network, order: Order) -> Value | None:
    """The root's value, computed in this order by the current builder.

    None if the constant factor over- or underflows in the network's element type.
    """
    scale = _scale(network)
    if scale is None:
        return None
    values = [_factor(equalities, network, order, i) for i in range(len(network.factors))]
    scalars = [values[number] for number in order.scalars]
    labels = [*order.factors, *(step.labels for step in order.steps)]
    tensors = [number for number in range(len(labels)) if number not in order.scalars]
    if network.scale != 1 or not network.factors:
        scalars.append(constant(scale))
    if not tensors:
        return _arranged(equalities, network, reduce(multiply, scalars), ())
    if order.steps:
        labels[-1] = tuple(label for label in network.output if label in labels[-1])
    scaled = min(tensors, key=lambda number: _size(network, labels[number])) if scalars else -1
    for number, own in enumerate(labels):
        if number >= len(values):
            step = order.steps[number - len(order.factors)]
            operands = Einsum(labels[step.left], labels[step.right], own)
            values.append(_product(network, values[step.left], values[step.right], operands))
        if number == scaled:
            factor = broadcast_scalar(reduce(multiply, scalars), values[number].shape)
            values[number] = multiply(values[number], factor)
    return _arranged(equalities, network, values[tensors[-1]], labels[tensors[-1]])


def _size(network: Network, labels: Labels) -> int:
    return prod(network.sizes[label] for label in labels)


def _sizes(network: Network) -> dict[Hashable, int]:
    return dict(network.sizes.items())


def _scale(network: Network) -> Literal | None:
    """The constant factor as a scalar constant; None if it over- or underflows."""
    type = TensorType((), network.dtype)
    kind = numpy_dtype(network.dtype)
    value = network.scale
    if is_integer(network.dtype):
        bits = 8 * kind.itemsize
        return Literal(np.asarray(int(value.real) % (1 << bits), np.uint64).astype(kind))
    literal = Literal(np.asarray(value).astype(numpy_dtype(type.dtype)))
    return literal if is_ordinary(literal.data) and literal.value != 0 else None


def _factor(equalities: Equalities, network: Network, order: Order, number: int) -> Value:
    """A factor with one dimension for each label, summed over those that only it has."""
    factor, kept = network.factors[number], order.factors[number]
    value = equalities.value(factor.node)
    labels = factor.labels
    value = reshape(value, [network.sizes[label] for label in labels])
    while len(set(labels)) < len(labels):
        value, labels = _diagonal(value, labels)
    summed = tuple(d for d, label in enumerate(labels) if label not in kept)
    result: Value = reduce_("add", value, summed)
    return result


def _diagonal(x: Value, labels: Labels) -> tuple[Value, Labels]:
    """x where the first label that occurs twice has equal indices: one dimension less."""
    second = next(d for d, label in enumerate(labels) if label in labels[:d])
    first = labels.index(labels[second])
    indices = x.tensor.with_dtype("i32")
    mask = compare(iota(first, indices), iota(second, indices), "EQ", "SIGNED")
    diagonal = reduce_("add", select(mask, x, full(0, x.tensor)), (second,))
    return diagonal, labels[:second] + labels[second + 1 :]


def _product(network: Network, x: Value, y: Value, labels: Einsum) -> Value:
    """The product of two tensors, summed over the labels that the result lacks."""
    size = _sizes(network)
    own, other, wanted = labels
    summed = tuple(label for label in own if label not in wanted)
    product: Value
    if not summed:
        product = multiply(along(x, own, wanted, size), along(y, other, wanted, size))
    elif set(own) == set(other) and (wanted or own != other):
        # Nothing but shared dimensions: a matrix product would have one row and one column.
        product = multiply(x, transposed(y, permutation_to(other, own)))
        dimensions = tuple(d for d, label in enumerate(own) if label in summed)
        left = tuple(label for label in own if label in wanted)
        product = reduce_("add", product, dimensions)
        product = transposed(product, permutation_to(left, wanted))
    else:
        product = contract(x, y, labels, network.precision, network.dtype)
    return product


def _arranged(
    equalities: Equalities, network: Network, value: Value, labels: Sequence[int]
) -> Value:
    """The last product in the shape of the root."""
    final = tuple(label for label in network.output if label in labels)
    value = transposed(value, permutation_to(labels, final))
    value = along(value, final, network.output, _sizes(network))
    result: Value = reshape(value, equalities.value(network.root).shape)
    return result
