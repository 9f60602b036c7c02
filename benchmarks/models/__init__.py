"""The registry of workloads: everything saturax is measured on, built on demand."""

from __future__ import annotations

from collections.abc import Iterable

from . import (
    bert,
    diffusion,
    experts,
    flax_models,
    gpt2,
    graph_network,
    jaxmd,
    kan,
    keras_applications,
    llama,
    maxtext,
    nasrnn,
    probabilistic,
    recurrent,
    resnet,
    resnext,
    searchless_chess,
    simulation,
    squeezenet,
    state_space,
    vmapped,
)
from .base import Program, Workload

_MODULES = (
    nasrnn,
    bert,
    gpt2,
    llama,
    maxtext,
    resnet,
    jaxmd,
    kan,
    searchless_chess,
    resnext,
    squeezenet,
    keras_applications,
    recurrent,
    state_space,
    flax_models,
    diffusion,
    graph_network,
    experts,
    probabilistic,
    simulation,
    vmapped,
)

FAMILIES: dict[str, tuple[Workload, ...]] = {
    module.__name__.rpartition(".")[2]: module.WORKLOADS for module in _MODULES
}
"""Workloads by the file that they are in."""
WORKLOADS: tuple[Workload, ...] = tuple(w for family in FAMILIES.values() for w in family)


def workloads(
    sets: Iterable[int] | None = None, names: Iterable[str] | None = None
) -> list[Workload]:
    """The workloads of these sets (1, 2, 3) and these names, in registry order; None means all.

    Raises:
        KeyError: an unknown name; the text lists the known ones.

    >>> [w.name for w in workloads(sets=[1])][:2]
    ['nasrnn', 'nasrnn_batch32']
    """
    known = {w.name for w in WORKLOADS}
    wanted = known if names is None else set(names)
    if unknown := sorted(wanted - known):
        raise KeyError(f"expected names of workloads, got {unknown}; known: {sorted(known)}")
    wanted_sets = {w.set for w in WORKLOADS} if sets is None else set(sets)
    return [w for w in WORKLOADS if w.name in wanted and w.set in wanted_sets]


__all__ = ["FAMILIES", "WORKLOADS", "Program", "Workload", "workloads"]
