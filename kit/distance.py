"""Distances between rows that are right also where rows nearly agree.

>>> X = torch.full((40, 3), 0.1, dtype=torch.float64)
>>> bool((distances(X, X) == 0).all())
True
"""

from __future__ import annotations

import torch
from torch import Tensor

NEAR = 1e-4  # of the longest row: nearer ones are measured again
AT_ONCE = 2**22  # numbers


def distances(A: Tensor, B: Tensor) -> Tensor:
    """|a_i - b_j| of the rows of A (m, d) and B (n, d), (m, n).

    >>> A, B = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    >>> distances(A, B)
    tensor([[5., 0.]])

    Fast by |a|^2 + |b|^2 - 2 <a, b>, which leaves rounding where two rows agree: near ones are
    subtracted. Cost: m n d, one matrix product.
    """
    D = torch.cdist(A, B)
    if D.numel() == 0:
        return D
    longest = max(float(A.norm(dim=1).max()), float(B.norm(dim=1).max()))
    for near in D.lt(NEAR * longest).nonzero().split(max(1, AT_ONCE // A.shape[1])):
        i, j = near.unbind(1)
        D[i, j] = (A[i] - B[j]).norm(dim=1)
    return D
