"""What a run measures: each column against an independent value, and training left alone."""

import math
from itertools import pairwise

import pytest
import torch

from kit import Training, eigenvalues, jacobian_norms, load_dataset, mlp
from kit.batches import batch_quotients
from kit.bounds import generalisation_bound
from kit.probes import PROBES, Probe
from tests import oracles

DATA = load_dataset("digits", n_train=60)
ALL = tuple(PROBES)


def digits_run(*measures, model=None, **settings):
    settings = {"loss": "mse", "lr": 0.1} | settings
    return Training(model or mlp((64, 5, 10), seed=0), DATA, measures=measures, **settings)


def small_run(*measures, **settings):
    """77 parameters in float64, so that dense matrices are cheap."""
    data = load_dataset("spirals", n=40)
    model = oracles.net((2, 10, 3, 3), settings.pop("activation", "relu"), seed=1)
    return Training(model, data, measures=measures, **{"lr": 0.1} | settings)


def dense_hessian(run):
    objective = run.objective
    return oracles.hessian(run.model, objective.X, objective.y, loss=run.loss)


def top(matrix):
    return torch.linalg.eigvalsh(matrix)[-1].item()


def last(run, name):
    return run.history[name][-1]


def same(a, b):
    """Equal rows, NaN equal to NaN."""
    return [repr(v) for v in a] == [repr(v) for v in b]


# Training is left alone.


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 10, "momentum": 0.9},
        {"batch_size": 7, "mixup": 0.5},
        {"optimizer": "adam", "lr": 0.01, "batch_size": 20},
        {"sam_radius": 0.05},
    ],
)
def test_measuring_never_changes_the_path_of_the_parameters(settings):
    watched, alone = digits_run(*ALL, **settings), digits_run(**settings)
    state = torch.random.get_rng_state()
    watched.run(12)
    alone.run(12)
    assert torch.equal(watched.objective.flat_parameters(), alone.objective.flat_parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in watched.model.parameters())


@pytest.mark.parametrize("settings", [{}, {"batch_size": 8}, {"optimizer": "adam", "lr": 0.01}])
def test_the_same_run_gives_the_same_numbers(settings):
    first, second = (digits_run(*ALL, **settings) for _ in range(2))
    first.run(12)
    second.run(12)
    assert all(same(first.history[name], second.history[name]) for name in first.history)


@pytest.mark.parametrize("settings", [{}, {"batch_size": 8}, {"optimizer": "adam", "lr": 0.01}])
def test_a_fork_and_a_restored_run_measure_on_as_the_run_itself(settings):
    run = digits_run(*ALL, every=2, **settings)
    run.run(7)
    fork, restored = run.fork(), digits_run(*ALL, every=2, **settings)
    restored.load_state_dict(run.state_dict())
    for each in (run, fork, restored):
        each.run(25)
    for name in run.history:
        assert same(run.history[name], fork.history[name])
        assert same(run.history[name], restored.history[name])


@pytest.mark.parametrize("name", ALL)
def test_each_probe_fills_its_own_columns_and_no_other(name):
    run = digits_run(name, batch_size=8)
    probe = run.probes[name]
    assert name in probe.columns
    assert set(run.history) - set(digits_run(batch_size=8).history) == set(probe.columns)
    assert set(probe.measure(run)) == set(probe.columns)


@pytest.mark.parametrize("name", ALL)
def test_a_probe_measures_at_its_stride_of_the_cadence(name):
    run = digits_run(name, every=3, batch_size=8, optimizer="adam", lr=0.01)
    run.run(70)
    stride = 3 * PROBES[name].stride
    steps = [k for k, v in enumerate(run.history[name]) if math.isfinite(v)]
    late = name in ("preconditioned_sharpness", "swing_max")  # nothing to tell at step 0
    first = stride if late else 0
    assert steps == list(range(first, 71, stride))


# Eigenvalues.


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_sharpness_is_the_largest_eigenvalue_of_the_hessian(activation):
    run = small_run("sharpness", activation=activation)
    for _ in range(5):
        assert last(run, "sharpness") == pytest.approx(top(dense_hessian(run)), rel=5e-3)
        run.step(4)
    assert 0 <= last(run, "sharpness_residual") <= 0.02 * last(run, "sharpness")
    assert last(run, "sharpness_matvecs") >= 1


def test_invariant_sharpness_is_that_of_the_hessian_between_block_norms():
    run = small_run("invariant_sharpness")
    for _ in range(3):
        D = oracles.blockwise(run.model, torch.linalg.vector_norm)
        S = D[:, None] * dense_hessian(run) * D
        assert last(run, "invariant_sharpness") == pytest.approx(top(S), rel=5e-3)
        run.step(4)


def test_riemannian_sharpness_has_the_correction_that_vanishes_at_a_minimum():
    """H_q = S + T of theory.md, (9)."""
    run = small_run("riemannian_sharpness")
    parameters = [p.detach().flatten() for p in run.model.parameters()]
    D = oracles.blockwise(run.model, torch.linalg.vector_norm)
    gradient = oracles.gradient(run.model, run.objective.X, run.objective.y)
    blocks = [
        torch.outer(g, w) + torch.outer(w, g) - (g @ w) * torch.eye(len(w), dtype=w.dtype)
        for g, w in zip(gradient.split([len(w) for w in parameters]), parameters, strict=True)
    ]
    B = D[:, None] * dense_hessian(run) * D + torch.block_diag(*blocks)
    assert last(run, "riemannian_sharpness") == pytest.approx(top(B), rel=5e-3)


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_preconditioned_sharpness_is_that_of_adams_own_metric(weight_decay):
    run = small_run(
        "preconditioned_sharpness", optimizer="adam", lr=0.01, weight_decay=weight_decay
    )
    assert math.isnan(last(run, "preconditioned_sharpness"))  # before the first step
    for _ in range(3):
        run.step(3)
        D = run.preconditioner().rsqrt()
        H = dense_hessian(run) + weight_decay * torch.eye(len(D), dtype=D.dtype)
        expected = top(D[:, None] * H * D)
        assert last(run, "preconditioned_sharpness") == pytest.approx(expected, rel=5e-3)


def test_other_optimisers_have_no_preconditioned_sharpness():
    run = small_run("preconditioned_sharpness")
    run.run(3)
    assert all(math.isnan(v) for v in run.history["preconditioned_sharpness"])


@pytest.mark.parametrize("name", ["sharpness", "invariant_sharpness", "riemannian_sharpness"])
def test_after_a_rescale_the_eigenvector_is_sought_anew(name):
    run = small_run(name)
    run.run(5)
    operator = {"sharpness": "hessian", "invariant_sharpness": "layer"}.get(name, "riemannian")
    run.rescale((4, 0.5, 0.5))
    exact = eigenvalues(run.objective, operator=operator, tol=1e-8).values[0].item()
    assert last(run, name) == pytest.approx(exact, rel=1e-4)  # a cold solve
    assert run.probes[name].last.cold


# Jacobians.


@pytest.mark.parametrize("batch_size", [None, 8])
def test_jacobian_max_and_mean_are_over_the_training_samples(batch_size):
    run = digits_run("jacobian_max", "jacobian_mean", batch_size=batch_size)
    run.run(3)
    norms = jacobian_norms(run.model, DATA.X_train)
    assert last(run, "jacobian_max") == pytest.approx(norms.max().item(), rel=1e-5)
    assert last(run, "jacobian_mean") == pytest.approx(norms.mean().item(), rel=1e-5)


# Batch sharpness.


def test_batch_sharpness_is_nan_until_100_batches_have_been_drawn():
    run = digits_run("batch_sharpness", batch_size=50)  # 1000 / 50 = 20 a measurement
    run.run(6)
    assert [math.isfinite(v) for v in run.history["batch_sharpness"]] == 4 * [False] + 3 * [True]
    assert [math.isfinite(v) for v in run.history["batch_sharpness_se"]] == 4 * [False] + 3 * [True]


def test_batch_sharpness_of_small_batches_is_known_at_once():
    run = digits_run("batch_sharpness", batch_size=8)
    generator = torch.Generator().manual_seed(run.seed)
    curvature, square = batch_quotients(run.objective, 8, 100, generator)
    ratios = curvature / square
    assert last(run, "batch_sharpness") == pytest.approx(ratios.mean().item())
    assert last(run, "batch_sharpness_se") == pytest.approx(ratios.std().item() / 10)
    expected = (curvature.sum() / square.sum()).item()
    assert run.probes["batch_sharpness"].ratio_of_means() == pytest.approx(expected)


def test_the_window_holds_the_last_100_batches():
    run = digits_run("batch_sharpness", batch_size=50)
    probe, drawn = run.probes["batch_sharpness"], []
    generator = torch.Generator().manual_seed(run.seed)
    for step in range(8):
        if step:
            run.step()
        drawn.append(batch_quotients(run.objective, 50, 20, generator))
    ratios = torch.cat([curvature / square for curvature, square in drawn[-5:]])
    assert last(run, "batch_sharpness") == pytest.approx(ratios.mean().item())
    assert len(probe._square) == probe.WINDOW


@pytest.mark.parametrize("batch_size", [None, 60])
def test_a_full_batch_has_no_batch_sharpness(batch_size):
    run = digits_run("batch_sharpness", batch_size=batch_size)
    run.run(3)
    assert all(math.isnan(v) for v in run.history["batch_sharpness"])
    assert math.isnan(run.probes["batch_sharpness"].ratio_of_means())


def test_another_batch_size_starts_anew():
    run = digits_run("batch_sharpness", batch_size=50)
    run.run(6)
    assert math.isfinite(last(run, "batch_sharpness"))
    run.batch_size = 25  # 40 a measurement
    run.run(3)
    finite = [math.isfinite(v) for v in run.history["batch_sharpness"][-3:]]
    assert finite == [False, False, True]
    run.batch_size = None
    run.step()
    assert math.isnan(last(run, "batch_sharpness"))


# The bound.


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_bound_is_that_of_the_present_network_less_its_training_cost(loss):
    run = digits_run("bound", loss=loss)
    run.run(10)
    expected = generalisation_bound(run.model, DATA, loss=loss)
    assert run.probes["bound"].last == expected
    assert last(run, "bound") == expected.gap
    assert last(run, "bound_vacuous") == 1


def test_the_bound_says_when_it_is_not_vacuous():
    data = load_dataset("chebyshev", degree=1, n=2000)
    run = Training(mlp((1, 16, 1), seed=1), data, loss="mse", lr=0.2, measures=("bound",), every=30)
    run.run(300)
    assert last(run, "bound_vacuous") == 0
    assert last(run, "bound") >= last(run, "loss_gap")


def test_after_a_rescale_the_bound_is_measured_at_once():
    run = digits_run("bound")
    run.run(3)
    assert math.isnan(last(run, "bound"))
    run.rescale((2, 0.5))
    assert last(run, "bound") == generalisation_bound(run.model, DATA, loss="mse").gap


def test_a_cost_of_ones_own_has_no_bound():
    def cost(outputs, targets):
        return (outputs.logsumexp(1) - outputs.gather(1, targets[:, None])[:, 0]) ** 2

    with pytest.raises(TypeError, match=r"^loss: got"):
        digits_run("bound", loss=cost)


# The registry.


def test_a_probe_of_ones_own_can_be_registered(monkeypatch):
    class Norm(Probe):
        columns = ("norm",)

        def measure(self, training):
            return {"norm": float(training.objective.flat_parameters().norm())}

    monkeypatch.setitem(PROBES, "norm", Norm)
    run = digits_run("norm")
    run.step()
    assert last(run, "norm") == pytest.approx(float(run.objective.flat_parameters().norm()))
    assert run.probes["norm"].state_dict() == {}


def test_a_probe_must_say_how_it_measures():
    with pytest.raises(NotImplementedError):
        Probe(None, "nothing").measure(None)


@pytest.mark.parametrize(
    ("measures", "error", "message"),
    [
        (("flatness",), ValueError, "measures: got 'flatness'; takes one of 'sharpness'"),
        ((3,), TypeError, "measures: got 3"),
        ("sharpness", TypeError, "measures: got 'sharpness'; takes a sequence"),
    ],
)
def test_unknown_measures_are_named(measures, error, message):
    with pytest.raises(error, match="^" + message):
        Training(mlp((64, 10)), DATA, measures=measures)


def test_a_network_without_the_symmetry_still_has_every_measure():
    run = digits_run(*ALL, model=mlp((64, 5, 10), activation="tanh", seed=0), batch_size=8)
    run.step(2)
    for name in set(ALL) - {"preconditioned_sharpness", "bound", "eigenvalue_2"}:
        assert math.isfinite(last(run, name))


def test_the_next_eigenvalues_are_those_of_the_package():
    run = digits_run("eigenvalue_2", "sharpness")
    run.run(PROBES["eigenvalue_2"].stride * 2)
    exact = eigenvalues(run.objective, 4, tol=1e-5).values
    for k in (2, 3, 4):
        assert run.history[f"eigenvalue_{k}"][-1] == pytest.approx(float(exact[k - 1]), rel=2e-2)


def test_adams_sharpness_is_that_of_what_is_trained():
    model = mlp((64, 8, 10), seed=0).double()
    for part in model[0].parameters():
        part.requires_grad_(False)
    data = load_dataset("digits", n_train=50)
    names = ("preconditioned_sharpness",)
    run = Training(model, data, optimizer="adam", lr=1e-3, measures=names, scores=False)
    run.run(20)
    Q = run.preconditioner()
    trained = torch.isfinite(Q)
    assert int(trained.sum()) == sum(p.numel() for p in model[2].parameters())
    H = oracles.hessian(run.model, run.objective.X, run.objective.y)[trained][:, trained]
    D = Q[trained].rsqrt()
    top = torch.linalg.eigvalsh(D[:, None] * H * D)[-1]
    assert run.history["preconditioned_sharpness"][-1] == pytest.approx(float(top), rel=1e-2)


def test_swings_are_the_changes_of_each_samples_cost():
    run = digits_run("swing_max")
    costs = [run.objective.point().losses().clone()]
    for _ in range(2):
        run.step()
        costs.append(run.objective.point().losses().clone())
    first, second = ((b - a).abs() for a, b in pairwise(costs))
    expected = 0.9 * first + 0.1 * second
    assert torch.allclose(run.probes["swing_max"].each, expected)
    assert run.history["swing_max"][-1] == pytest.approx(float(expected.max()))
