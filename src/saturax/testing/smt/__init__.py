"""Proofs by the SMT solver z3 that both sides of a rule are equal, for all sizes and values.

A rule is run on symbolic sizes: each condition that it asks of them splits the proof into cases,
and in each case z3 shows that every element is equal. Needs the extra `saturax[oracle]`.
"""

from saturax.testing.smt.prove import Proof, prove

__all__ = ["Proof", "prove"]
