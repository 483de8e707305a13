"""Our steps against torch.optim's, on the same gradients, to the last bit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit.optimizers import SGD, Adam

STEPS = 25


def gradients(P, dtype):
    generator = torch.Generator().manual_seed(P)
    return [
        torch.randn(P, generator=generator, dtype=torch.float64).to(dtype) for _ in range(STEPS)
    ]


def by_torch(optimizer, theta, gradients):
    for g in gradients:
        theta.grad = g.clone()
        optimizer.step()
    return theta.detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    weight_decay=st.sampled_from([0.0, 0.1]),
    P=st.integers(1, 40),
)
def test_sgd_is_torchs_sgd(dtype, momentum, nesterov, weight_decay, P):
    nesterov = nesterov and momentum > 0
    settings = {"lr": 0.3, "momentum": momentum, "weight_decay": weight_decay}
    start = torch.linspace(-1, 1, P, dtype=dtype)
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([theirs], nesterov=nesterov, foreach=False, **settings)
    expected = by_torch(optimizer, theirs, gradients(P, dtype))
    step, theta = SGD(nesterov=nesterov), start
    for g in gradients(P, dtype):
        theta = step(theta, g, **settings)
    assert torch.equal(theta, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("P", [1, 7, 40])
def test_adam_is_torchs_adam(dtype, weight_decay, P):
    start = torch.linspace(-1, 1, P, dtype=dtype)
    theirs = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.01, weight_decay=weight_decay, foreach=False)
    expected = by_torch(optimizer, theirs, gradients(P, dtype))
    step, theta = Adam(), start
    for g in gradients(P, dtype):
        theta = step(theta, g, lr=0.01, momentum=0.0, weight_decay=weight_decay)
    assert torch.equal(theta, expected)


def test_with_frozen_moments_adam_is_descent_in_the_preconditioner():
    """theta' = theta - eta Q^{-1} m, with Q as `preconditioner` gives it."""
    step, theta = Adam(), torch.ones(3, dtype=torch.float64)
    for g in gradients(3, torch.float64):
        before = theta
        theta = step(theta, g, lr=0.01, momentum=0.0, weight_decay=0.0)
    m = step.moments[0]
    assert torch.allclose(before - theta, 0.01 * m / step.preconditioner(), rtol=1e-12)


def test_a_step_leaves_its_arguments_alone():
    for step in (SGD(nesterov=True), Adam()):
        theta, g = torch.ones(4), torch.arange(4.0)
        for _ in range(3):
            step(theta, g, lr=0.1, momentum=0.9, weight_decay=0.1)
        assert torch.equal(theta, torch.ones(4))
        assert torch.equal(g, torch.arange(4.0))


def test_momentum_set_to_zero_forgets_the_velocity():
    step = SGD()
    theta = step(torch.ones(2), torch.ones(2), lr=0.1, momentum=0.9, weight_decay=0.0)
    theta = step(theta, torch.ones(2), lr=0.1, momentum=0.0, weight_decay=0.0)
    assert step.velocity is None
    assert torch.allclose(theta, torch.full((2,), 0.8))


def test_no_compiler_is_loaded_for_a_page(tmp_path):
    """torch's own optimisers import torch._dynamo at the first step."""
    import subprocess
    import sys

    program = (
        "import sys\n"
        "from kit.presets import PRESETS\n"
        "PRESETS['chebyshev'].build().run(2)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
