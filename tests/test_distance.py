"""Distances: those of a subtraction, also between rows that nearly agree."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit.distance import distances


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 30), st.floats(0, 3))
def test_they_are_those_of_a_subtraction(seed, n, d, digits):
    generator = torch.Generator().manual_seed(seed)
    A = 5 + torch.randn(n, d, generator=generator, dtype=torch.float64)
    B = A.flip(0) + 10.0 ** -(4 * digits) * torch.randn(n, d, generator=generator).double()
    B[0] = A[-1]
    expected = torch.stack([(a - B).norm(dim=1) for a in A])
    assert distances(A, B) == pytest.approx(expected, rel=1e-6, abs=1e-15)
    assert float(distances(A, A).diagonal().abs().max()) == 0


def test_no_rows():
    assert distances(torch.zeros(0, 3), torch.zeros(4, 3)).shape == (0, 4)
