"""Batches: passes over the data without repetition, and mixup's shares."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from kit.sampling import Sampler


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 50))
def test_every_pass_sees_each_sample_once(n, b, seed):
    b = min(b, n)
    sampler = Sampler(n, seed)
    drawn = torch.cat([sampler.draw(b).indices for _ in range(n)])  # b passes
    for one in drawn.split(n):
        assert sorted(one.tolist()) == list(range(n))


def test_shares_follow_a_beta_law_and_partners_are_a_permutation():
    sampler = Sampler(8, seed=0)
    batches = [sampler.draw(8, mixup=0.4) for _ in range(2000)]
    shares = [batch.share for batch in batches]
    assert kstest(shares, beta(0.4, 0.4).cdf).pvalue > 0.01
    assert all(sorted(batch.other.tolist()) == list(range(8)) for batch in batches[:20])
    assert sampler.draw(8).other is None


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_a_state_goes_on_where_it_was(mixup):
    a, b = Sampler(10, seed=1), Sampler(10, seed=2)
    a.draw(3, mixup)
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    for _ in range(10):
        one, two = a.draw(3, mixup), b.draw(3, mixup)
        assert torch.equal(one.indices, two.indices)
        assert one.share == two.share
