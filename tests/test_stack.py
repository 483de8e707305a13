"""The closed forms of a stack of multilayer perceptrons against autograd, and each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit import Objective, input_output_jacobian, mlp
from kit.losses import NamedLoss, one_hot
from kit.models import ACTIVATIONS
from kit.stack import StackPoint, architecture
from tests.oracles import flat, gauss_newton, hessian, jacobian, net, samples

CASES = {
    "widths": st.lists(st.integers(1, 5), min_size=2, max_size=4),
    "activation": st.sampled_from(sorted(ACTIVATIONS)),
    "bias": st.booleans(),
    "loss": st.sampled_from(["mse", "cross_entropy"]),
    "n": st.integers(1, 6),
    "seed": st.integers(0, 999),
}


def close(a, b, scale=None):
    """Equal to rounding, relative to the size of what they are made of."""
    scale = float(b.abs().max()) if scale is None else scale
    return float((a - b).abs().max()) <= 1e-11 * (1 + scale)


@pytest.fixture(params=["small", "stack"], autouse=True, scope="module")
def route(request):
    """Both routes of a closed form: in NumPy for small networks, else in tensors."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "stack":
            patch.setattr("kit.points.is_small", lambda net, X: False)
        yield


@settings(max_examples=60)
@given(**CASES, smoothing=st.sampled_from([0.0, 0.2]), soft=st.booleans())
def test_value_gradient_and_products_are_those_of_autograd(
    widths, activation, bias, loss, n, seed, smoothing, soft
):
    model, (X, y) = net(widths, activation, bias=bias, seed=seed), samples(n, widths[0], widths[-1])
    if soft:
        y = torch.softmax(samples(n, widths[-1], 1, seed=seed)[0], 1)
    options = {"loss": loss, "label_smoothing": smoothing if loss == "cross_entropy" else 0.0}
    closed = Objective(model, X, y, **options)
    graph = Objective(model, X, y, **options, closed_form=False)
    assert type(closed.point()).__name__ == "ClosedFormPoint"
    assert type(graph.point()).__name__ == "AutogradPoint"
    assert closed.value() == pytest.approx(graph.value(), rel=1e-12, abs=1e-14)
    assert close(closed.gradient(), graph.gradient())
    v = torch.randn(closed.parameters, 3, generator=torch.Generator().manual_seed(seed)).double()
    assert close(closed.hvp(v), graph.hvp(v))
    assert close(closed.ggnvp(v), graph.ggnvp(v))


@settings(max_examples=20)
@given(**CASES)
def test_dense_matrices_are_those_that_torch_gives(widths, activation, bias, loss, n, seed):
    model, (X, y) = net(widths, activation, bias=bias, seed=seed), samples(n, widths[0], widths[-1])
    objective = Objective(model, X, y, loss=loss)
    identity = torch.eye(objective.parameters, dtype=torch.float64)
    assert close(objective.hvp(identity), hessian(model, X, y, loss=loss))
    assert close(objective.ggnvp(identity), gauss_newton(model, X, y, loss=loss))


@settings(max_examples=30)
@given(**CASES)
def test_jacobians_are_those_of_one_sample_at_a_time(widths, activation, bias, loss, n, seed):
    model, (X, _) = net(widths, activation, bias=bias, seed=seed), samples(n, widths[0], 1)
    assert close(input_output_jacobian(model, X), jacobian(model, X))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_a_stack_is_each_of_its_networks(activation):
    models = [net((3, 5, 4, 2), activation, seed=seed) for seed in range(4)]
    X, y = samples(6, 3, 2)
    loss = NamedLoss("cross_entropy", one_hot(y, 2, dtype=torch.float64))
    theta = torch.stack([flat(model) for model in models])
    stack = StackPoint(architecture(models[0]), loss, theta, X)
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Hv, Gv = stack.product(v), stack.product(v, gauss_newton=True)
    J, gram = stack.input_output_jacobian(), stack.jacobian_gram()
    for s, model in enumerate(models):
        one = Objective(model, X, y, closed_form=False)
        assert float(stack.losses()[s].mean()) == pytest.approx(one.value(), rel=1e-12)
        assert close(stack.gradient()[s], one.gradient())
        assert close(Hv[s], one.hvp(v[s]))
        assert close(Gv[s], one.ggnvp(v[s]))
        assert close(J[s], jacobian(model, X))
        assert close(gram[s], J[s] @ J[s].mT)


def test_each_network_of_a_stack_may_have_its_own_samples():
    model, (X, y) = net((3, 4, 2), "tanh"), samples(12, 3, 2)
    targets = one_hot(y, 2, dtype=torch.float64)
    parts = torch.arange(12).view(3, 4)
    theta = flat(model).expand(3, -1)
    stack = StackPoint(architecture(model), NamedLoss("mse", targets[parts]), theta, X[parts])
    for s, part in enumerate(parts):
        one = Objective(model, X[part], y[part], loss="mse", closed_form=False)
        assert close(stack.gradient()[s], one.gradient())


def test_the_factorisation_of_the_gauss_newton_matrix():
    """theory.md, (4) and (5): the nonzero spectrum of G is that of a sum over layers."""
    model, (X, y) = net((3, 4, 5, 2), "tanh", seed=3), samples(4, 3, 2)
    n, K = 4, 2
    W = [module.weight.detach() for module in model if isinstance(module, nn.Linear)]
    b = [module.bias.detach() for module in model if isinstance(module, nn.Linear)]
    h = [X, torch.tanh(X @ W[0].T + b[0])]
    h.append(torch.tanh(h[1] @ W[1].T + b[1]))
    after = [torch.eye(K, dtype=torch.float64).expand(n, K, K)]  # J_{>L}, then J_{>L-1}, ...
    for layer in (2, 1):
        after.insert(0, after[0] @ W[layer] * (1 - h[layer] ** 2).unsqueeze(1))
    NTK = sum(
        torch.einsum("ij,iab,jcb->iajc", a @ a.T + 1, J, J) for a, J in zip(h, after, strict=True)
    )
    dual = torch.linalg.eigvalsh(NTK.reshape(n * K, n * K) / n)
    identity = torch.eye(sum(p.numel() for p in model.parameters()), dtype=torch.float64)
    G = Objective(model, X, y, loss="mse").ggnvp(identity)
    assert torch.allclose(torch.linalg.eigvalsh(G)[-n * K :], dual, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear"])
def test_piecewise_linear_networks_have_gauss_newton_diagonal_blocks(activation):
    """theory.md, (1'): H_ll = G_ll for every weight and bias, and so Tr H = Tr G."""
    model, (X, y) = net((3, 5, 4, 2), activation, seed=1), samples(7, 3, 2)
    objective = Objective(model, X, y, loss="mse")
    identity = torch.eye(objective.parameters, dtype=torch.float64)
    difference = objective.hvp(identity) - objective.ggnvp(identity)
    start = 0
    for p in model.parameters():
        block = slice(start, start + p.numel())
        assert difference[block, block].abs().max() < 1e-14
        start += p.numel()
    assert difference.abs().max() > 1e-3  # but H is not G


def test_split_and_join_are_inverse_and_in_the_order_of_the_model():
    model = net((3, 4, 2))
    theta = flat(model).unsqueeze(0)
    kind = architecture(model)
    weights, biases = kind.split(theta)
    assert torch.equal(weights[1][0], model[2].weight)
    assert torch.equal(biases[0][0, 0], model[0].bias)
    assert torch.equal(kind.join(weights, biases), theta)


# Which modules are plain multilayer perceptrons


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("bias", [True, False])
def test_the_networks_of_the_kit_are_plain(activation, bias):
    kind = architecture(mlp((3, 4, 5, 2), activation=activation, bias=bias))
    assert (kind.widths, kind.bias) == ((3, 4, 5, 2), bias)
    assert kind.activation is ACTIVATIONS[activation]


def tied():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def hooked():
    model = mlp((3, 4, 2))
    model[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def parametrised():
    model = mlp((3, 4, 2))
    nn.utils.parametrize.register_parametrization(model[0], "weight", nn.Tanh())
    return model


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Negated(nn.Sequential):
    def forward(self, x):
        return -super().forward(x)


NOT_PLAIN = {
    "one module": nn.Linear(3, 2),
    "an even number of modules": nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
    "two activations": nn.Sequential(
        nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)
    ),
    "bias in one layer only": nn.Sequential(
        nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 2)
    ),
    "another slope": nn.Sequential(nn.Linear(3, 3), nn.LeakyReLU(0.2), nn.Linear(3, 2)),
    "another gelu": nn.Sequential(nn.Linear(3, 3), nn.GELU("tanh"), nn.Linear(3, 2)),
    "an activation without a closed form": nn.Sequential(
        nn.Linear(3, 3), nn.Sigmoid(), nn.Linear(3, 2)
    ),
    "shared weights": tied(),
    "a hook": hooked(),
    "a subclassed layer": nn.Sequential(Doubled(3, 3), nn.ReLU(), nn.Linear(3, 2)),
    "a subclassed container": Negated(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)),
    "a parametrised weight": parametrised(),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_other_modules_are_not_plain_and_autograd_serves_them(name):
    model = NOT_PLAIN[name].double()
    assert architecture(model) is None
    X, y = samples(5, 3, 2)
    objective = Objective(model, X, y, loss="mse")
    identity = torch.eye(objective.parameters, dtype=torch.float64)
    assert close(objective.hvp(identity), hessian(model, X, y, loss="mse"))
    assert close(input_output_jacobian(model, X), jacobian(model, X))
