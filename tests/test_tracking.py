"""The followed sharpness against converged values, at every step of runs at the edge of stability.

What issue 2 asks: a relative error of at most 1e-2 at 99% of the measured steps and 3e-2 at every
one, for a median of at most 3 products a measurement.
"""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from kit import Objective, Training, load_dataset, mlp
from kit import tracking as tracking_module
from kit.tracking import COLD_EVERY, EigenTracker, Tracked
from tests.oracles import net, put, samples, top_eigenvalues


def followed(run, steps, every=1):
    """The parameters and the measured sharpness at every so many of `steps` steps, and the
    products of every measurement."""
    probe = run.probes["sharpness"]
    thetas, values, matvecs = [], [], []
    for step in range(steps + 1):
        if step:
            run.step()
        matvecs.append(probe.last.matvecs)
        if step % every == 0:
            thetas.append(run.objective.flat_parameters())
            values.append(probe.last.value)
    assert run.diverged is None
    return torch.stack(thetas), torch.tensor(values, dtype=torch.float64), matvecs


def relative_error(run, thetas, values, **options):
    expected, residuals = top_eigenvalues(
        run.model, run.objective.X, run.objective.targets, thetas, **options
    )
    assert residuals.max() < 2e-2  # an eigenvalue's error is of the order of its square
    return (values - expected).abs() / expected, expected


def arpack(run, theta):
    """lambda_max(H) by ARPACK on autograd's products, in float64."""
    model = put(mlp((1, 30, 20, 1), activation="tanh").double(), theta.double())
    targets = run.objective.targets
    objective = Objective(model, run.objective.X, targets, loss="mse", closed_form=False)
    P = objective.parameters
    operator = LinearOperator((P, P), lambda v: objective.hvp(torch.tensor(v).ravel()).numpy())
    start = np.random.default_rng(0).standard_normal(P)
    return float(eigsh(operator, k=1, which="LA", tol=1e-6, v0=start)[0][0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("lr", [0.2, 0.4])
@pytest.mark.parametrize("degree", [4, 6])
def test_chebyshev_to_the_edge_and_along_it(degree, lr, seed):
    model = mlp((1, 30, 20, 1), activation="tanh", seed=seed)
    data = load_dataset("chebyshev", degree=degree, n=20)
    run = Training(model, data, loss="mse", lr=lr, measures=("sharpness",), seed=seed)
    thetas, values, matvecs = followed(run, 2500)
    error, expected = relative_error(run, thetas, values, steps=16)
    print(
        f"degree {degree}, eta {lr}, seed {seed}: largest error {float(error.max()):.2g} at step "
        f"{int(error.argmax())}, 99% within {float(error.quantile(0.99)):.2g}; products: median "
        f"{np.median(matvecs):g}, mean {np.mean(matvecs):.2f}"
    )
    assert error.quantile(0.99) <= 1e-2
    assert error.max() <= 3e-2
    assert np.median(matvecs) <= 3
    assert (expected[-100:] * lr / 2).mean() > 0.9  # the run has come to the edge
    for step in (0, 37, 600, 2500):
        assert float(expected[step]) == pytest.approx(arpack(run, thetas[step]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("lr", [0.2, 0.4])
def test_mnist1d_to_the_edge_and_along_it(lr):
    data = load_dataset("mnist1d", n_train=300)
    run = Training(mlp((40, 64, 64, 10)), data, loss="mse", lr=lr, measures=("sharpness",))
    thetas, values, matvecs = followed(run, 600, every=5)
    error, expected = relative_error(run, thetas, values, steps=30, chunk=4)
    print(
        f"eta {lr}: largest error {float(error.max()):.2g} at step {5 * int(error.argmax())}, "
        f"99% within {float(error.quantile(0.99)):.2g}; products: median {np.median(matvecs):g}"
    )
    assert error.quantile(0.99) <= 1e-2
    assert error.max() <= 3e-2
    assert expected[-1] * lr / 2 > 0.9


# A path of matrices in place of a Hessian

P = 60
OBJECTIVE = Objective(net((19, 3)), *samples(4, 19, 3))  # 60 parameters


class Path:
    """A callable operator: a matrix that the test changes between measurements."""

    def __init__(self, spectrum, seed=0):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(2, P, P, generator=generator, dtype=torch.float64)
        self.Q = torch.linalg.qr(noise[0])[0]
        self.turn = torch.linalg.matrix_exp(0.02 * (noise[1] - noise[1].mT) / P**0.5)
        self.spectrum, self.products = spectrum, 0

    def __call__(self, objective):
        A = self.Q * self.spectrum @ self.Q.mT

        def product(V):
            self.products += V.shape[1]
            return A @ V

        return product

    def rotate(self):
        self.Q = self.turn @ self.Q


def spectrum(*outliers):
    bulk = torch.linspace(-1, 1, P - len(outliers), dtype=torch.float64)
    return torch.cat([torch.tensor(outliers, dtype=torch.float64), bulk])


@pytest.mark.parametrize("gap", [0.3, 1.0])
def test_two_eigenvalues_that_cross_again_and_again(gap):
    """Slow turns of all eigenvectors, and a swing of period two on top."""
    path, tracker, errors, matvecs = Path(spectrum(5, 5)), None, [], []
    tracker = EigenTracker(path)
    for t in range(300):
        up = gap * np.sin(2 * np.pi * t / 60) + 0.02 * (-1) ** t
        path.spectrum = spectrum(5 + up, 5 - up)
        path.rotate()
        measured = tracker.measure(OBJECTIVE)
        errors.append(abs(measured.value / (5 + abs(up)) - 1))
        matvecs.append(measured.matvecs)
    assert max(errors) < 1e-2
    assert np.median(matvecs) <= 4


def test_what_rises_unseen_is_found_by_the_next_cold_check_and_reported():
    path = Path(spectrum(5, 3, 0.0))
    tracker, values, mismatches = EigenTracker(path), [], []
    for t in range(2 * COLD_EVERY + 1):
        path.spectrum = spectrum(5, 3, 0.5 * max(0, t - 10))  # a third one, from the bulk
        measured = tracker.measure(OBJECTIVE)
        values.append(measured.value)
        if measured.mismatch is not None:
            mismatches.append((t, measured.mismatch, measured.cold))
    assert values[COLD_EVERY] == pytest.approx(0.5 * (COLD_EVERY - 10), rel=1e-3)
    assert values[-1] == pytest.approx(0.5 * (2 * COLD_EVERY - 10), rel=1e-3)
    assert [t for t, _, _ in mismatches] == [COLD_EVERY, 2 * COLD_EVERY]
    assert mismatches[1][1] < 1e-2
    assert all(cold for _, _, cold in mismatches)


def test_a_cold_solve_that_finds_less_does_not_lower_the_value(monkeypatch):
    path = Path(spectrum(5, 3, 2))
    tracker = EigenTracker(path)
    for _ in range(COLD_EVERY):
        assert tracker.measure(OBJECTIVE).value == pytest.approx(5, rel=1e-4)

    def blind(like, k, generator):  # random vectors without the top eigenvector
        v = torch.randn(P, k, generator=generator, dtype=torch.float64)
        return v - path.Q[:, :1] @ (path.Q[:, :1].mT @ v)

    monkeypatch.setattr(tracking_module, "random_vectors", blind)
    checked = tracker.measure(OBJECTIVE)
    assert checked.cold
    assert checked.mismatch == 0
    assert checked.value == pytest.approx(5, rel=1e-4)
    assert tracker.measure(OBJECTIVE).value == pytest.approx(5, rel=1e-4)


def test_every_product_is_counted():
    path = Path(spectrum(5, 3))
    tracker = EigenTracker(path)
    counts = [tracker.measure(OBJECTIVE).matvecs for _ in range(COLD_EVERY + 2)]
    assert sum(counts) == path.products
    assert counts[1:4] == [2, 3, 3]
    assert counts[COLD_EVERY] > 3  # followed, and checked


def test_a_jump_after_a_restart_is_measured_from_scratch():
    path = Path(spectrum(5, 3))
    tracker = EigenTracker(path)
    tracker.measure(OBJECTIVE)
    tracker.restart()
    path.Q = path.Q.flip(0)
    measured = tracker.measure(OBJECTIVE)
    assert measured.cold
    assert measured.mismatch is None
    assert measured.value == pytest.approx(5, rel=1e-3)


def test_a_negative_top_and_the_zero_matrix():
    path = Path(torch.linspace(-9, -2, P, dtype=torch.float64))
    tracker = EigenTracker(path)
    for _ in range(5):
        assert tracker.measure(OBJECTIVE).value == pytest.approx(-2, rel=1e-2)
    path.spectrum = torch.zeros(P, dtype=torch.float64)
    tracker = EigenTracker(path)
    assert [tracker.measure(OBJECTIVE).value for _ in range(3)] == [0, 0, 0]


# State


def test_a_saved_tracker_goes_on_to_the_last_bit():
    path, rest = Path(spectrum(5, 3)), []
    tracker = EigenTracker(path, seed=4)
    for _ in range(COLD_EVERY - 5):
        path.rotate()
        tracker.measure(OBJECTIVE)
    state, Q = tracker.state_dict(), path.Q
    for other in (tracker, EigenTracker(path)):
        other.load_state_dict(state)
        path.Q, numbers = Q, []
        for _ in range(12):  # past a cold check
            path.rotate()
            numbers.append(other.measure(OBJECTIVE))
        rest.append(numbers)
    assert rest[0] == rest[1]


def test_parameters_that_have_diverged_give_nan_and_the_tracker_recovers():
    model = net((4, 5, 3))
    objective, tracker = Objective(model, *samples(7, 4, 3)), EigenTracker()
    before = tracker.measure(objective).value
    weight = model[0].weight.data.clone()
    model[0].weight.data[0, 0] = float("nan")
    for _ in range(2):
        lost = tracker.measure(objective)
        assert np.isnan(lost.value)
        assert np.isnan(lost.residual)
    model[0].weight.data.copy_(weight)
    assert tracker.measure(objective).value == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize(
    "operator", ["hessian", "gauss_newton", "layer", "riemannian", "elementwise"]
)
def test_each_operator_of_a_model_of_any_size(operator):
    X, y = samples(5, 1, 1)
    one = Objective(net((1, 1), bias=False), X, y.double()[:, None], loss="mse")  # one parameter
    tracker = EigenTracker(operator)
    first, second = tracker.measure(one), tracker.measure(one)
    assert isinstance(first, Tracked)
    assert first.value == pytest.approx(second.value)
    small = Objective(net((2, 3, 2), seed=1), *samples(9, 2, 2))
    tracker = EigenTracker(operator)
    values = [tracker.measure(small).value for _ in range(3)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"operator": "hesian"}, ValueError, "operator: got 'hesian'; takes one of"),
        ({"operator": 3}, TypeError, "operator: got 3"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"max_matvecs": 0}, ValueError, "max_matvecs: got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        EigenTracker(**arguments)


def test_a_model_that_became_random_is_an_error_not_a_nan():
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Dropout(), torch.nn.Linear(5, 3))
    objective, tracker = Objective(model.eval(), *samples(7, 4, 3)), EigenTracker()
    tracker.measure(objective)
    model.train()
    with pytest.raises(ValueError, match="gives random outputs"):
        tracker.measure(objective)
