"""Kronecker factors are exact where the Gauss-Newton block is a Kronecker product."""

import pytest
import torch
from torch import nn

from kit import Objective, convnet, mlp, soft_rank
from kit.kfac import kronecker_factors
from tests import oracles
from tests.oracles import samples


def same_rank(a, b):
    kfac = [soft_rank(o, 0.05, method="kfac") for o in (a, b)]
    return kfac[0] == pytest.approx(kfac[1], rel=1e-10)


def by_loops(layer, patches, rows, n):
    """A and B from patches (n, T, p) and C'J (n, k, T, units), their sums written out."""
    T = patches.shape[1]
    A = sum(torch.outer(a, a) for sample in patches for a in sample) / n
    B = sum(torch.outer(r, r) for sample in rows for per_k in sample for r in per_k) / T
    return torch.linalg.eigvalsh(A), torch.linalg.eigvalsh(B)


def test_a_convolution_with_one_position_is_a_linear_layer():
    X, y = samples(9, 16, 3)
    conv = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(5, 3)
    ).double()
    linear = mlp((16, 5, 3)).double()
    linear.load_state_dict(
        {
            "0.weight": conv[1].weight.detach().flatten(1),
            "0.bias": conv[1].bias.detach(),
            "2.weight": conv[4].weight.detach(),
            "2.bias": conv[4].bias.detach(),
        }
    )
    assert same_rank(Objective(conv, X, y), Objective(linear, X, y))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_autograd_and_the_closed_form_have_the_same_factors(loss):
    model, (X, y) = oracles.net((4, 5, 3), "tanh"), samples(8, 4, 3)
    closed, other = (Objective(model, X, y, loss=loss, closed_form=c) for c in (True, False))
    for a, b in zip(kronecker_factors(closed), kronecker_factors(other), strict=True):
        for one, two in zip(a, b, strict=True):
            assert torch.allclose(one, two, rtol=1e-9, atol=1e-12)


def test_a_perceptron_under_a_loss_of_ones_own_is_taken():
    model, (X, y) = oracles.net((4, 5, 3)), samples(8, 4, 3)

    def half_square(f, labels):
        return 0.5 * (f - nn.functional.one_hot(labels, 3)).square().sum(1)

    assert same_rank(Objective(model, X, y, loss=half_square), Objective(model, X, y, loss="mse"))


def test_exact_where_the_derivatives_at_different_positions_are_uncorrelated():
    """A kernel of one pixel, each pixel to its own output: G = sum_t a_t a_t' / n, for mse."""
    X, _ = samples(7, 12, 2)
    model = nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 1, 1, bias=False), nn.Flatten()
    ).double()
    objective = Objective(model, X, torch.zeros(7, 4).double(), loss="mse")
    kfac = soft_rank(objective, 0.1, method="kfac")
    assert kfac == pytest.approx(soft_rank(objective, 0.1), rel=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"padding": 1, "stride": 2, "bias": False},
        {"padding": (1, 2), "dilation": 2, "padding_mode": "reflect"},
    ],
)
def test_the_factors_of_a_convolution_are_the_sums_of_their_definition(options):
    X, y = samples(4, 50, 3)
    conv = nn.Conv2d(2, 3, 3, **options)
    with torch.no_grad():
        shape = conv(torch.zeros(1, 2, 5, 5)).shape[1:]
    model = nn.Sequential(
        nn.Unflatten(1, (2, 5, 5)), conv, nn.Tanh(), nn.Flatten(), nn.Linear(shape.numel(), 3)
    ).double()
    objective = Objective(model, X, y)
    images, mode = X.view(4, 2, 5, 5), options.get("padding_mode", "constant")
    pad = {"same": (1, 1), 1: (1, 1)}.get(options["padding"], options["padding"])
    padded = nn.functional.pad(images, (pad[1], pad[1], pad[0], pad[0]), mode=mode)
    steps = {name: options[name] for name in ("stride", "dilation") if name in options}
    patches = nn.functional.unfold(padded, 3, **steps).mT
    if conv.bias is not None:
        patches = torch.cat([patches, torch.ones_like(patches[:, :, :1])], dim=2)
    z = conv(images).detach()
    J = torch.func.vmap(torch.func.jacrev(lambda u: model[2:](u.unsqueeze(0))[0]))(z)
    p = torch.softmax(objective.outputs(), 1)
    values, vectors = torch.linalg.eigh(torch.diag_embed(p) - p[:, :, None] * p[:, None])
    root = vectors * (values.clamp(min=0) / 4).sqrt()[:, None]
    rows = torch.einsum("ijk,ijuhw->ikhwu", root, J).flatten(2, 3).detach()
    for got, want in zip(
        kronecker_factors(objective)[0], by_loops(conv, patches, rows, 4), strict=True
    ):
        assert torch.allclose(got, want, rtol=1e-8, atol=1e-12)


def test_near_the_blocks_of_a_convolutional_network_with_a_residual_block():
    X, y = samples(30, 36, 3)
    objective = Objective(convnet((6, 6), (3,), 3, residual=True).double(), X, y)
    G = oracles.gauss_newton(objective.model, X, y)
    blocks, start = 0.0, 0
    for layer in objective.model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            end = start + sum(p.numel() for p in layer.parameters())
            a = torch.linalg.eigvalsh(G[start:end, start:end]).clamp(min=0)
            blocks += float((a / (a + 0.01)).sum())
            start = end
    assert soft_rank(objective, 0.01, method="kfac") == pytest.approx(blocks, rel=0.3)


def test_work_in_place_after_a_layer_is_seen_through():
    X, y = samples(6, 4, 3)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)).double()
    plain = nn.Sequential(model[0], nn.ReLU(), model[2])
    assert same_rank(
        Objective(model, X, y, closed_form=False), Objective(plain, X, y, closed_form=False)
    )


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.square, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.square(torch.tanh(self.square(x))))


class Bare(nn.Linear):
    """A subclass may do anything with its weights."""


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Twice(), "a Linear is used twice"),
        (nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 3)), "LayerNorm has parameters of its own"),
        (nn.Sequential(Bare(4, 3)), "Bare has parameters of its own"),
        (
            nn.Sequential(
                nn.Unflatten(1, (2, 2, 1)), nn.Conv2d(2, 4, 1, groups=2), nn.Flatten(),
                nn.Linear(8, 3),
            ),
            "Conv2d has parameters of its own",
        ),
    ],
)  # fmt: skip
def test_what_has_no_such_factors_is_refused_and_left_without_hooks(model, reason):
    model = model.double()
    objective = Objective(model, *samples(6, 4, 3))
    with pytest.raises(ValueError, match=f"'kfac' takes linear layers.*{reason}"):
        kronecker_factors(objective)
    assert not any(m._forward_hooks for m in model.modules())
