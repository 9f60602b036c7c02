"""What LAPACK takes for batches of small matrices, one after the other.

Each matrix costs a call with its checks, and a call of BLAS for each column: 4,096 factorisations
of 2×2 take 0.5 (LU) to 6.6 ms (SVD), however little arithmetic they are.
"""

from __future__ import annotations

from math import prod

from saturax.cost.kernel import Kernel
from saturax.graph.types import TensorType

# Of 4,096 2×2, 2,048 4×4, 1,024 8×8 and 64 16×16 matrices, f32, jaxlib 0.10.2 on one core of a Xeon
# 6/106 (medians of 7): 0.04 to 0.10 µs a column of LU, 0.03 to 0.2 of Cholesky, 0.04 to 0.25 of a
# triangular solve, 0.24 to 0.38 of QR, 0.4 to 1.2 of eigenvalues, 0.8 to 1.4 of singular values.
_COLUMN_US, _OTHER_COLUMN_US = (
    {"qr": 0.25, "householder_product": 0.25, "eigh": 0.5, "svd": 0.9},
    0.06,
)
# One multiplication and addition of these unblocked steps; 32×32 took 0.5 to 0.8 ns.
_TERM_US = 0.0005
_UNBLOCKED = 32
"""Columns up to which steps are not gathered to products of blocks."""


def lapack_us(kernel: Kernel) -> float:
    """The least that a routine takes for all matrices of its first operand."""
    matrices = kernel.operands[0]
    if not isinstance(matrices, TensorType) or matrices.rank < 2:
        return 0.0
    count, columns = prod(matrices.shape[:-2]), min(matrices.shape[-2:])
    steps = columns * _COLUMN_US.get(kernel.op, _OTHER_COLUMN_US)
    unblocked = min(columns, _UNBLOCKED) / max(columns, 1) * kernel.flops / 2 * _TERM_US
    return count * steps + unblocked
