"""Proposals for loops: nothing that does not have to be in a loop stays in one."""

from saturax.proposals.loops.branches import resolve_branches
from saturax.proposals.loops.fission import distribute_loops
from saturax.proposals.loops.unroll import unroll_loops

__all__ = ["distribute_loops", "resolve_branches", "unroll_loops"]
