"""Theorem B against exact Lipschitz constants, worked numbers and brute force."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import Objective, Training, load_dataset, mlp
from kit.lipschitz import lipschitz_constant_1d
from kit.sharpening import along_segment, jacobian_floor, sharpness_floor
from tests.oracles import net, samples


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def fitted_with(costs):
    """Worked number 47: x = (0, 1, 3), y = (0, 2, 1), outputs off by sqrt(2 c)."""
    y = column(0.0, 2, 1)
    off = [math.sqrt(2 * c) * sign for c, sign in zip(costs, (1, -1, 1), strict=True)]
    f = y[:, 0] + torch.tensor(off, dtype=torch.float64)
    # A polyline through the three outputs: slopes by relu units at 0 and 1.
    slope = [(f[1] - f[0]), (f[2] - f[1]) / 2]
    model = net((1, 2, 1))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([0.0, -1.0]))
        model[2].weight.copy_(torch.stack([slope[0], slope[1] - slope[0]])[None])
        model[2].bias.copy_(f[:1])
    return Objective(model, column(0.0, 1, 3), y, loss="mse")


def test_worked_number_forty_seven():
    objective = fitted_with([0.02, 0.08, 0.005])
    torch.testing.assert_close(
        objective.point().losses(), torch.tensor([0.02, 0.08, 0.005], dtype=torch.float64)
    )
    floor = jacobian_floor(objective)
    assert floor.value == pytest.approx(1.4, abs=1e-9)
    assert floor.pair == (0, 1)
    assert not floor.vacuous
    exact = fitted_with([0.0, 0.0, 0.0])
    assert jacobian_floor(exact).value == pytest.approx(2, abs=1e-9)
    assert lipschitz_constant_1d(exact.model, 0.0, 3.0) == pytest.approx(2, abs=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 200), st.sampled_from(["mse", "cross_entropy"]), st.floats(0.1, 30))
def test_it_is_the_largest_over_all_pairs_and_below_the_truth(seed, loss, scale):
    X, y = samples(7, 2, 3, seed=seed)
    model = net((2, 12, 3), seed=seed)
    with torch.no_grad():
        model[2].weight.mul_(scale)
    objective = Objective(model, X, y, loss=loss)
    floor, best = jacobian_floor(objective), -math.inf
    c = objective.point().losses()
    for i in range(7):
        for j in range(7):
            if y[i] == y[j]:
                continue
            if loss == "mse":
                rise = math.sqrt(2) - float((2 * c[i]).sqrt() + (2 * c[j]).sqrt())
            else:
                rise = -sum(math.log(math.expm1(float(v))) for v in (c[i], c[j])) / math.sqrt(2)
            best = max(best, rise / float((X[i] - X[j]).norm()))
    assert floor.terms["sup J"] == pytest.approx(best, rel=1e-9)
    assert floor.value == pytest.approx(max(best, 0), rel=1e-9)
    assert floor.vacuous == (best <= 0)
    i, j = floor.pair
    assert floor.value <= along_segment(model, X[i], X[j], points=4001) * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("steep", [1.0, 9.0, 14.0, 18.0, 40.0, 4000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_cost_that_rounds_to_zero_forces_nothing_that_is_not_so(dtype, steep):
    """f = steep (2 x - 1) (1, -1): the margin is 2 steep at both ends, |J| = 2 sqrt(2) steep."""
    model = net((1, 2)).to(dtype)
    with torch.no_grad():
        model[0].weight.copy_(2 * steep * column(1.0, -1))
        model[0].bias.copy_(steep * torch.tensor([-1.0, 1]))
    right = Objective(model, [[0.0], [1.0]], [1, 0])
    if steep == 9:  # exp(-18) is below the last place of 1 in float32 only
        assert (float(right.point().losses().max()) == 0) == (dtype == torch.float32)
    assert jacobian_floor(right).value == pytest.approx(2 * math.sqrt(2) * steep, rel=1e-6)
    wrong = jacobian_floor(Objective(model, [[0.0], [1.0]], [0, 1]))
    assert (wrong.value, wrong.vacuous) == (0.0, True)
    assert wrong.terms["sup J"] == pytest.approx(-2 * math.sqrt(2) * steep, rel=1e-6)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_network_that_has_diverged_has_no_floor_but_nan(loss):
    X, y = samples(5, 3, 2)
    model = net((3, 4, 2))
    with torch.no_grad():
        model[2].weight[0, 0] = torch.nan
        model[2].bias.fill_(torch.nan)
    floor = jacobian_floor(Objective(model, X, y, loss=loss))
    assert math.isnan(floor.value)
    assert floor.vacuous


@pytest.mark.slow
def test_a_trained_network_is_forced_up_as_its_loss_falls():
    """Chebyshev-4: theory.md, II.3 (12.0 without V against 12.4 measured, there)."""
    dataset = load_dataset("chebyshev", degree=4)
    model = mlp((1, 40, 40, 1), activation="tanh", seed=0)
    run = Training(model, dataset, loss="mse", lr=0.3, measures=())
    floors = [jacobian_floor(run.objective).value]
    for _ in range(4):
        run.run(1500)
        floors.append(jacobian_floor(run.objective).value)
    floor = jacobian_floor(run.objective)
    i, j = floor.pair
    measured = along_segment(run.model, dataset.X_train[i], dataset.X_train[j])
    assert floors[0] < 2
    assert floors[-1] > 8
    assert floor.value <= measured <= 2 * floor.value


def test_local_variation_weakens_it_to_the_samples():
    objective = fitted_with([0.0, 0.0, 0.0])
    assert jacobian_floor(objective, V=0.5).value == pytest.approx(1.5, abs=1e-9)
    weak = jacobian_floor(objective, V=3.0)
    assert (weak.value, weak.vacuous) == (0.0, True)
    assert "over the samples" in weak.assumptions[1]


def test_many_samples_are_taken_in_rows(monkeypatch):
    X, y = samples(50, 3, 2)
    objective = Objective(net((3, 8, 2)), X, y, loss="mse")
    whole = jacobian_floor(objective)
    monkeypatch.setattr("kit.sharpening.ROWS", 7)
    parts = jacobian_floor(objective)
    assert parts.terms["sup J"] == pytest.approx(whole.terms["sup J"], rel=1e-12)
    assert set(parts.pair) == set(whole.pair)


def test_equal_inputs_with_different_labels_are_not_a_number_to_divide_by():
    X = torch.tensor([[1.0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    objective = Objective(net((2, 5, 2)), X, [0, 1, 1])
    assert math.isfinite(jacobian_floor(objective).terms["sup J"])


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_the_floor_on_sharpness_is_below_it(seed):
    X, _ = samples(6, 2, 1, seed=seed)
    y = torch.sin(4 * X[:, :1])
    run_model = net((2, 20, 1), seed=seed)
    objective = Objective(run_model, X, y, loss="mse")
    floor = sharpness_floor(objective)
    assert floor.value <= floor.terms["lambda_max(G)"]
    if floor.value:
        assert floor.terms["slack"] >= 1


def test_the_floor_on_sharpness_by_hand():
    """f = 2 x, a perfect fit: floor on J 2, min |x|^2 = 1, |W_1| = 2, n = 2; G = mean x^2 = 5."""
    model = net((1, 1), bias=False)
    with torch.no_grad():
        model[0].weight.fill_(2.0)
    floor = sharpness_floor(Objective(model, [[1.0], [3.0]], [[2.0], [6.0]], loss="mse"))
    assert floor.value == pytest.approx(0.5)
    assert floor.terms["slack"] == pytest.approx(10)


def test_with_local_variation_the_floor_on_sharpness_is_a_bound():
    objective = fitted_with([0.0, 0.0, 0.0])
    assumed, proved = sharpness_floor(objective), sharpness_floor(objective, V=0.5)
    assert (assumed.kind, proved.kind) == ("estimate", "bound")
    assert proved.value == pytest.approx(assumed.value * (1.5 / 2) ** 2)
    assert "(V = 0)" in assumed.assumptions[1]
    assert "at most V = 0.5" in proved.assumptions[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jacobian_floor(1), "objective: got int"),
        (lambda: jacobian_floor(fitted_with([0, 0, 0]), V=-1), "V: got -1"),
        (
            lambda: jacobian_floor(
                Objective(net((2, 2)), *samples(4, 2, 2), loss=lambda f, y: f.square().sum(1))
            ),
            "takes 'mse' or 'cross_entropy'",
        ),
        (
            lambda: jacobian_floor(Objective(net((2, 2)), *samples(4, 2, 2), label_smoothing=0.1)),
            "takes hard labels",
        ),
        (
            lambda: jacobian_floor(Objective(net((2, 2)), samples(4, 2, 2)[0], [1, 1, 1, 1])),
            "all its targets are equal",
        ),
        (lambda: sharpness_floor(Objective(net((2, 2)), *samples(4, 2, 2))), "with loss='mse'"),
        (lambda: along_segment(net((2, 2)), torch.ones(2), torch.ones(3)), "of the same shape"),
        (lambda: along_segment(net((2, 2)), torch.ones(2), torch.ones(2), points=1), "points: got"),
    ],
    ids=[str(i) for i in range(8)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("seed", range(4))
def test_equal_inputs_stay_equal_among_many(seed):
    """Where there are many rows a fast formula for distances leaves rounding between equal ones."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(60, 20, generator=generator, dtype=torch.float64)
    X[1] = X[0]
    model = net((20, 8, 1))
    with torch.no_grad():
        y = model(X) + 0.1 * torch.randn(60, 1, generator=generator, dtype=torch.float64)
        y[0], y[1] = model(X[:1])[0] - 0.4, model(X[:1])[0] + 0.4
    floor = jacobian_floor(Objective(model, X, y, loss="mse"))
    assert set(floor.pair) != {0, 1}
    assert floor.terms["distance"] > 0
    apart = [i for i in range(60) if i != 1]
    rest = jacobian_floor(Objective(model, X[apart], y[apart], loss="mse")).value
    assert floor.value < 2 * rest + 1
