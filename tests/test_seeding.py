"""Torch's random state is changed by one thread at a time, and comes back."""

from concurrent.futures import ThreadPoolExecutor

import torch

from kit import convnet, mlp
from kit.determinism import require_deterministic
from kit.seeding import seeded


def test_the_state_comes_back_and_a_seed_is_optional():
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(4)
    with seeded(3), seeded():
        assert torch.equal(torch.rand(4), first)
    assert torch.equal(before, torch.get_rng_state())


def test_threads_that_make_networks_at_once_do_not_see_each_other():
    """As on a Dask cluster of threads; without a lock a quarter of these weights were wrong."""

    def make(seed):
        model = mlp((64, 32, 10), seed=seed)
        require_deterministic(model, torch.zeros(2, 64))
        image = convnet((4, 4), (2,), 3, seed=seed)
        require_deterministic(image, torch.zeros(2, 16))
        return torch.cat([p.detach().flatten() for m in (model, image) for p in m.parameters()])

    alone = [make(seed) for seed in range(8)]
    before = torch.get_rng_state()
    seeds = [seed for _ in range(40) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(make, seeds))
    assert all(torch.equal(w, alone[s]) for s, w in zip(seeds, together, strict=True))
    assert torch.equal(before, torch.get_rng_state())
