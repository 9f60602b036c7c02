"""Communication between devices: a first model, of rings.

On a ring of n devices, each of which sends to the next at the bandwidth B of a link, with a latency
L a step, b being the bytes of the larger of operand and result on one device:

    all_reduce            2 (n - 1) L + 2 (n - 1) / n · b / B    (reduce_scatter, then all_gather)
    all_gather,
    reduce_scatter            (n - 1) L + (n - 1) / n · b / B
    all_to_all                (n - 1) L + (n - 1) / n · b / B    (each sends 1 / n to every other)
    collective_permute,
    collective_broadcast              L + b / B

(Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH",
2005, for the first three.) Trees, which are better for few bytes, hierarchies of links, and
communication at the same time as arithmetic are not in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from saturax.graph.ops import Generic

_GROUPS = re.compile(r"tensor<(\d+)x(\d+)xi64>")
_ROUNDS = {
    "stablehlo.all_reduce": 2,
    "stablehlo.all_gather": 1,
    "stablehlo.reduce_scatter": 1,
    "stablehlo.all_to_all": 1,
}
_ONE_STEP = frozenset({"stablehlo.collective_permute", "stablehlo.collective_broadcast"})
COLLECTIVES = _ONE_STEP | frozenset(_ROUNDS)
"""Operations in which devices exchange data."""


@dataclass(frozen=True)
class Link:
    """What connects a device to the next: GB/s in one direction and µs of a step.

    The defaults were measured between two devices of one host, XLA:CPU on 2 cores (an all_reduce
    of 1 kB and one of 4 MB): what such a step takes is mostly that threads meet.
    """

    bandwidth_gb_s: float = 14.0
    latency_us: float = 50.0


def collective_us(op: str, generic: Generic, bytes: int, link: Link) -> float:
    """Time of a collective operation; `bytes` are those of its operand or its result on one device,
    whichever is larger.

    >>> groups = Generic((("replica_groups", "dense<[[0, 1, 2, 3]]> : tensor<1x4xi64>"),))
    >>> collective_us("stablehlo.all_gather", groups, 4_000_000, Link(1.0, 10.0))
    3030.0
    """
    sent_us = bytes / (1e3 * link.bandwidth_gb_s)
    if op in _ONE_STEP:
        return link.latency_us + sent_us
    devices = group_size(generic)
    steps = _ROUNDS[op] * (devices - 1)
    return steps * (link.latency_us + sent_us / devices)


def group_size(generic: Generic) -> int:
    """How many devices take part in each group; 2 where that is not written down."""
    found = _GROUPS.search(dict(generic.attributes).get("replica_groups", ""))
    return 2 if found is None else max(1, int(found.group(2)))
