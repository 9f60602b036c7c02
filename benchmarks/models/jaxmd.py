"""One NVT Nose-Hoover step of a Lennard-Jones fluid by jax-md, 64-bit types enabled."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .base import Arrays, Program, Workload, sized
from .weights import normals


@dataclass(frozen=True)
class FluidConfig:
    """Particles per side of the cubic lattice; the rest is the study's.

    From 9 per side the box holds three cells of `cutoff + skin` and jax-md uses its cell list.
    """

    side: int = 40
    lattice: float = 1.3782
    cutoff: float = 3.0
    skin: float = 1.0
    time_step: float = 5e-3
    temperature: float = 1.2


def lattice_positions(config: FluidConfig) -> np.ndarray[Any, Any]:
    """Simple cubic lattice (side^3, 3) in float32: the study mixes f32 state, f64 reductions."""
    points = np.array(list(itertools.product(range(config.side), repeat=3)), np.float32)
    return points * np.float32(config.lattice)


def build(config: FluidConfig, reduced: bool) -> Program:
    """Inputs are the leaves of the state (position, momentum, force, mass, thermostat chain).

    The neighbour list (ordered sparse) is a parameter; the step updates it first, which rebuilds
    it only when a particle has moved far enough.
    """
    import jax
    from jax_md import energy, partition, simulate, space  # type: ignore[import-untyped]

    box = config.side * config.lattice
    displacement, shift = space.periodic(box)
    neighbor_fn, energy_fn = energy.lennard_jones_neighbor_list(
        displacement,
        box,
        r_cutoff=config.cutoff,
        dr_threshold=config.skin,
        format=partition.OrderedSparse,
    )
    init, apply = simulate.nvt_nose_hoover(
        energy_fn, shift, config.time_step, kT=config.temperature
    )
    lattice = lattice_positions(config)
    neighbors = neighbor_fn.allocate(lattice)
    neighbor_leaves, neighbor_tree = jax.tree.flatten(neighbors)
    example = init(jax.random.key(0), lattice, neighbor=neighbors)
    state_tree = jax.tree.structure(example)

    def forward(leaves: Any, *state_leaves: Any) -> Any:
        state = jax.tree.unflatten(state_tree, state_leaves)
        current = jax.tree.unflatten(neighbor_tree, leaves).update(state.position)
        return tuple(jax.tree.leaves(apply(state, neighbor=current)))

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        noise = rng.normal(0.0, 0.05, lattice.shape).astype(np.float32)
        position = shift(lattice, noise)
        key = jax.random.key(int(rng.integers(2**31)))
        current = neighbors.update(position)
        if current.did_buffer_overflow:
            raise RuntimeError(
                f"expected at most {neighbors.max_occupancy} neighbour pairs at the drawn "
                "positions, got more: allocate with a larger capacity_multiplier."
            )
        state = init(key, position, neighbor=current)
        momentum = normals(rng, *state.chain.momentum.shape, scale=0.1)
        chain = replace(state.chain, momentum=momentum)
        return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(state.set(chain=chain)))

    return Program(forward, [np.asarray(x) for x in neighbor_leaves], draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "jaxmd",
        1,
        "Lennard-Jones, 40^3 particles, NVT Nose-Hoover, ordered sparse neighbours, one step, x64",
        sized(build, FluidConfig(), FluidConfig(side=9)),
        requires=("jax_md",),
        x64=True,
    ),
)
