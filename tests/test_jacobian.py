"""Input-output Jacobians against autograd's, and the norms against an SVD, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit import (
    Objective,
    input_output_jacobian,
    jacobian_distribution,
    jacobian_norms,
    largest_direction,
    mlp,
)
from kit.jacobian import gram_norms, point_jacobian_norms
from kit.models import ACTIVATIONS


def samples(n, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *shape, generator=generator, dtype=torch.float64)


def by_autograd(model, X, output="logits"):
    def f(x):
        z = model(x[None])[0]
        return z if output == "logits" else torch.softmax(z, 0)

    rows = [torch.autograd.functional.jacobian(f, x) for x in X]
    return torch.stack([row.flatten(1) for row in rows])


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


class ConvNet(nn.Module):
    def __init__(self, pool):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(1, 4, 3, padding=1), pool
        self.head = nn.Linear(4 * 3 * 3, 5)

    def forward(self, x):
        return self.head(self.pool(torch.relu(self.conv(x))).flatten(1))


def convnet(pool):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ConvNet(pool).double()


# Against autograd.


@pytest.mark.parametrize("output", ["logits", "softmax"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_perceptron_has_the_jacobian_of_autograd(activation, bias, output):
    model = mlp((5, 7, 6, 3), activation=activation, bias=bias, seed=1).double()
    X = samples(8, 5)
    close(input_output_jacobian(model, X, output=output), by_autograd(model, X, output))


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.integers(1, 5),
    st.sampled_from(["logits", "softmax"]),
    st.integers(0, 1000),
)
def test_any_widths_fewer_inputs_than_outputs_included(widths, n, output, seed):
    model = mlp(widths, activation="tanh", seed=seed).double()
    X = samples(n, widths[0], seed=seed)
    J = by_autograd(model, X, output)
    close(input_output_jacobian(model, X, output=output), J)
    for norm, order in (("spectral", 2), ("frobenius", "fro")):
        # the root of an eigenvalue of J J': accurate to sqrt(eps) where the norm is near 0
        expected = torch.linalg.matrix_norm(J, order)
        ours = jacobian_norms(model, X, norm=norm, output=output)
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("output", ["logits", "softmax"])
@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.MaxPool2d(2)], ids=["average", "max"])
def test_a_convolutional_network_on_images(pool, output):
    model, X = convnet(pool), samples(4, 1, 6, 6)
    J = by_autograd(model, X, output)
    assert J.shape == (4, 5, 36)
    close(input_output_jacobian(model, X, output=output), J)
    norms = jacobian_norms(model, X, output=output)
    close(norms, torch.linalg.matrix_norm(J, 2))


@pytest.mark.parametrize("widths", [(6, 4, 3), (2, 8, 6), (5, 4, 1), (1, 4, 1), (3, 2)])
@pytest.mark.parametrize("output", ["logits", "softmax"])
def test_both_ways_to_a_jacobian_agree(widths, output):
    model = mlp(widths, seed=2).double()
    other = nn.Sequential(nn.Flatten(), *model)  # no longer a plain perceptron
    X = samples(7, widths[0])
    close(
        input_output_jacobian(model, X, output=output),
        input_output_jacobian(other, X, output=output),
    )
    for norm in ("spectral", "frobenius"):
        close(
            jacobian_norms(model, X, norm=norm, output=output),
            jacobian_norms(other, X, norm=norm, output=output),
        )


def test_one_output_has_its_gradient_as_jacobian():
    model = mlp((4, 6, 1), activation="gelu", seed=3).double()
    X = samples(5, 4).requires_grad_()
    gradient = torch.autograd.grad(model(X).sum(), X)[0]
    close(jacobian_norms(model, X), gradient.norm(dim=1))
    assert jacobian_norms(model, X, output="softmax").abs().max() == 0  # softmax of one is 1


def test_the_norms_at_an_objectives_own_samples():
    X, y = samples(6, 4), torch.arange(6) % 3
    for model in (mlp((4, 5, 3), seed=0).double(), nn.Sequential(nn.Linear(4, 3), nn.Softplus())):
        objective = Objective(model.double(), X, y)
        close(point_jacobian_norms(objective.point()), jacobian_norms(model, X))


# Closed forms.


def test_worked_linear_network():
    """theory.md, III, 15."""
    model = mlp((2, 3, 2), activation="linear", bias=False).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2], [0, 1], [1, -1]]))
        model[2].weight.copy_(torch.tensor([[1.0, 0, 2], [-1, 1, 0]]))
    J = input_output_jacobian(model, samples(3, 2))
    close(J, torch.tensor([[3.0, 0], [-1, -1]], dtype=torch.float64).expand(3, 2, 2))
    norm = jacobian_norms(model, samples(3, 2))
    assert norm.tolist() == pytest.approx([3.179586801559] * 3, abs=1e-11)
    assert torch.linalg.svdvals(J)[:, 1].tolist() == pytest.approx([0.943518824059] * 3, abs=1e-11)
    product = torch.linalg.matrix_norm(model[0].weight, 2) * torch.linalg.matrix_norm(
        model[2].weight, 2
    )
    assert product.item() == pytest.approx(5.750519050166, abs=1e-11)
    assert (norm <= product).all()
    frobenius = jacobian_norms(model, samples(3, 2), norm="frobenius")
    assert frobenius.tolist() == pytest.approx([11**0.5] * 3)


def test_the_softmax_of_the_identity_has_jacobian_A_of_p():
    """theory.md, III, 17."""
    model = mlp((3, 3), bias=False).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))
    A = input_output_jacobian(model, torch.tensor([[1.0, 2, 0.5]]), output="softmax")[0]
    p = torch.tensor([0.231223897622, 0.628531719212, 0.140244383166], dtype=torch.float64)
    torch.testing.assert_close(A, torch.diag(p) - torch.outer(p, p), rtol=0, atol=1e-11)
    assert A.trace().item() == pytest.approx(0.531814900103, abs=1e-11)
    eigenvalues = torch.linalg.eigvalsh(A).tolist()
    assert eigenvalues == pytest.approx([0, 0.168127239369, 0.363687660735], abs=1e-11)


def test_one_half_is_attained_by_two_equal_probabilities():
    model = mlp((3, 3), bias=False).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))
    norm = jacobian_norms(model, torch.tensor([[0.0, 0.0, -100.0]]), output="softmax")
    assert norm.item() == pytest.approx(0.5, abs=1e-12)


@given(st.integers(0, 10**6), st.floats(0.1, 30))
def test_softmax_at_most_halves_the_jacobian(seed, scale):
    model = mlp((4, 6, 5), seed=seed).double()
    X = scale * samples(10, 4, seed=seed)
    softmax = jacobian_norms(model, X, output="softmax")
    assert (softmax <= 0.5 * jacobian_norms(model, X) * (1 + 1e-9)).all()


@given(st.integers(0, 10**6), st.lists(st.integers(1, 12), min_size=2, max_size=5))
def test_the_product_of_the_layers_norms_is_an_upper_bound_for_relu(seed, widths):
    model = mlp(widths, seed=seed).double()
    product = 1.0
    for layer in model[::2]:
        product *= torch.linalg.matrix_norm(layer.weight.detach(), 2).item()
    assert jacobian_norms(model, samples(20, widths[0], seed=seed)).max() <= product * (1 + 1e-9)


def test_permuted_hidden_units_change_nothing():
    model, X = mlp((4, 6, 3), seed=0).double(), samples(9, 4)
    expected, order = jacobian_norms(model, X), torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[order])
        model[0].bias.copy_(model[0].bias[order])
        model[2].weight.copy_(model[2].weight[:, order])
    close(jacobian_norms(model, X), expected)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_the_norm_of_a_jacobian_that_is_not_finite_is_nan(bad):
    gram = torch.eye(3).repeat(2, 1, 1)
    gram[1, 0, 2] = bad
    norms = gram_norms(gram, "spectral")
    assert norms[0] == 1
    assert norms[1].isnan()


# What is left alone, and what is refused.


@pytest.mark.parametrize("model", [mlp((4, 5, 3)), nn.Sequential(nn.Linear(4, 3), nn.Softplus())])
def test_nothing_is_changed(model):
    X = torch.ones(6, 4)
    parameters = [p.detach().clone() for p in model.parameters()]
    state = torch.random.get_rng_state()
    first, second = jacobian_norms(model, X), jacobian_norms(model, X)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert torch.equal(X, torch.ones(6, 4))
    assert not X.requires_grad
    assert model.training
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), parameters, strict=True))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.linear(x)


def test_buffers_are_left_alone():
    model = Counting()
    jacobian_norms(model, torch.ones(2, 4))
    assert model.calls == 0


def test_frozen_parameters_and_no_grad_make_no_difference():
    model = nn.Sequential(nn.Linear(4, 3), nn.Softplus())
    expected = jacobian_norms(model, torch.ones(2, 4))
    with torch.no_grad():
        assert torch.equal(jacobian_norms(model.requires_grad_(False), torch.ones(2, 4)), expected)


def test_inputs_are_cast_to_the_models_dtype():
    assert jacobian_norms(mlp((2, 3)), [[1, 2]]).dtype == torch.float32
    assert jacobian_norms(mlp((2, 3)).double(), torch.ones(1, 2)).dtype == torch.float64


def test_batch_norm_is_refused_in_training_mode_only():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    X = samples(5, 4)
    with pytest.raises(ValueError, match=r"'1' \(BatchNorm1d\) mixes .* call model\.eval\(\)"):
        jacobian_norms(model, X)
    assert model[1].num_batches_tracked == 0
    model = model.double().eval()
    close(jacobian_norms(model, X), torch.linalg.matrix_norm(by_autograd(model, X), 2))


def test_dropout_is_refused_in_training_mode():
    model = nn.Sequential(nn.Linear(4, 30), nn.Dropout())
    with pytest.raises(ValueError, match=r"submodule '1' \(Dropout\) gives random outputs"):
        input_output_jacobian(model, torch.ones(3, 4))


@pytest.mark.parametrize("function", [input_output_jacobian, jacobian_norms])
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"X": torch.full((2, 4), torch.nan)}, ValueError, "X: got NaN or infinity"),
        ({"X": torch.full((2, 4), torch.inf)}, ValueError, "X: got NaN or infinity"),
        ({"X": torch.ones(4)}, ValueError, r"X: got shape \(4,\)"),
        ({"X": torch.ones(0, 4)}, ValueError, r"X: got shape \(0, 4\)"),
        ({"X": torch.ones(2, 3)}, ValueError, r"X: the model does not take samples of shape \(3,"),
        ({"model": "net"}, TypeError, "model: got str"),
        ({"output": "probabilities"}, ValueError, "output: got 'probabilities'; takes one of"),
        ({"output": None}, TypeError, "output: got None"),
    ],
)
def test_bad_input_is_named(function, changes, error, message):
    arguments = {"model": mlp((4, 3)), "X": torch.ones(2, 4)} | changes
    with pytest.raises(error, match="^" + message):
        function(arguments.pop("model"), arguments.pop("X"), **arguments)


def test_an_objective_is_not_a_model():
    objective = Objective(mlp((4, 3)), torch.ones(2, 4), torch.tensor([0, 1]))
    with pytest.raises(TypeError, match=r"^model: got Objective"):
        jacobian_norms(objective, torch.ones(2, 4))


def test_an_unknown_norm_is_named():
    with pytest.raises(ValueError, match=r"^norm: got 'nuclear'; takes one of 'spectral'"):
        jacobian_norms(mlp((4, 3)), torch.ones(2, 4), norm="nuclear")


# Spread over the samples, and directions.


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=3),
    st.sampled_from(["logits", "softmax"]),
    st.integers(0, 100),
)
def test_the_largest_direction_is_the_leading_singular_triple(widths, output, seed):
    model = mlp(widths, activation="tanh", seed=seed).double()
    X = samples(4, widths[0], seed=seed)
    norms, inputs, outputs = largest_direction(model, X, output=output)
    J = input_output_jacobian(model, X, output=output)
    exact = torch.linalg.svdvals(J)[:, 0]
    torch.testing.assert_close(norms, exact, rtol=1e-8, atol=1e-8)
    alive = exact > 1e-6
    moved = (J @ inputs.unsqueeze(2))[:, :, 0]
    torch.testing.assert_close(
        moved[alive], (norms.unsqueeze(1) * outputs)[alive], rtol=1e-6, atol=1e-8
    )
    ones = torch.ones(int(alive.sum()), dtype=torch.float64)
    torch.testing.assert_close(inputs[alive].norm(dim=1), ones)
    torch.testing.assert_close(outputs[alive].norm(dim=1), ones)
    top = inputs.gather(1, inputs.abs().argmax(1, keepdim=True))
    assert bool((top[alive] > 0).all())


def test_a_flat_function_has_no_direction():
    model = mlp((3, 2)).double()
    with torch.no_grad():
        model[0].weight.zero_()
    for part in largest_direction(model, samples(2, 3)):
        assert float(part.abs().max()) == 0


@pytest.mark.parametrize("norm", ["spectral", "frobenius"])
def test_the_distribution_is_that_of_the_norms(norm):
    model, X = mlp((5, 7, 3), seed=1).double(), samples(40, 5)
    spread = jacobian_distribution(model, X, norm=norm, quantiles=(0.0, 0.5, 1.0))
    norms = jacobian_norms(model, X, norm=norm)
    assert torch.equal(spread.norms, norms)
    assert spread.mean == pytest.approx(float(norms.mean()))
    assert spread.maximum == pytest.approx(float(norms[spread.steepest]))
    assert spread.quantiles[1.0] == pytest.approx(spread.maximum)
    assert spread.quantiles[0.5] == pytest.approx(float(norms.sort().values[19:21].mean()))
    with pytest.raises(ValueError, match=r"quantiles: got 1\.5"):
        jacobian_distribution(model, X, quantiles=(1.5,))
    with pytest.raises(TypeError, match=r"quantiles: got 0\.5; takes a sequence"):
        jacobian_distribution(model, X, quantiles=0.5)


def test_a_jacobian_that_is_not_finite_has_no_direction_but_nan():
    model = mlp((4, 5, 3)).double()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    for part in largest_direction(model, samples(2, 4)):
        assert part.isnan().all()
