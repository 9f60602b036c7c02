"""Proposals for loops: work out of them, and into them what a loop does best."""

from saturax.proposals.loops.branches import resolve_branches
from saturax.proposals.loops.carried import carry_values
from saturax.proposals.loops.exponentials import expose_exponentials
from saturax.proposals.loops.fission import distribute_loops
from saturax.proposals.loops.fusion import fuse_loops
from saturax.proposals.loops.transposed import transpose_carries
from saturax.proposals.loops.unroll import unroll_loops
from saturax.proposals.loops.walks import walk_cumulations

__all__ = [
    "carry_values",
    "distribute_loops",
    "expose_exponentials",
    "fuse_loops",
    "resolve_branches",
    "transpose_carries",
    "unroll_loops",
    "walk_cumulations",
]
