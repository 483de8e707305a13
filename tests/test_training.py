"""Training: torch's own path, measured without touching it, changed, forked, saved and replayed."""

import copy
import io
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kit import Dataset, Objective, Training, eigenvalues, jacobian_norms, load_dataset, mlp
from kit.history import Intervention
from tests.oracles import flat, net, put, samples

DATA = load_dataset("digits", n_train=60)
WIDTHS = (64, 8, 10)


def digits_run(model=None, dataset=DATA, **options):
    options = {"loss": "mse", "lr": 0.1, "measures": (), "every": 1} | options
    return Training(mlp(WIDTHS) if model is None else model, dataset, **options)


def double_run(activation="tanh", **options):
    """Float64 on random data, small enough to be quick with every measure."""
    X, y = samples(24, 4, 3)
    data = Dataset.from_arrays(X, y, *samples(9, 4, 3, seed=1), task="classification", name="own")
    options = {"loss": "mse", "lr": 0.2, "measures": (), "every": 1} | options
    return Training(net((4, 6, 5, 3), activation), data, **options)


def rows(run):
    """The history with NaN equal to NaN."""
    return {name: [repr(value) for value in column] for name, column in run.history.items()}


def same_run(a, b):
    return (
        torch.equal(flat(a.model), flat(b.model))
        and rows(a) == rows(b)
        and a.interventions == b.interventions
        and a.diverged == b.diverged
    )


# The path is torch's


OPTIMISERS = {
    "descent": ({}, torch.optim.SGD),
    "momentum": ({"momentum": 0.9}, torch.optim.SGD),
    "nesterov": ({"momentum": 0.9, "nesterov": True}, torch.optim.SGD),
    "weight decay": ({"momentum": 0.5, "weight_decay": 0.01}, torch.optim.SGD),
    "adam": ({"optimizer": "adam", "lr": 0.01}, torch.optim.Adam),
    "adam, weight decay": (
        {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
        torch.optim.Adam,
    ),
}


def by_torch(run, kind, options, steps, loss):
    """The same steps in a loop of one's own."""
    model = copy.deepcopy(run.model)
    options = {name: value for name, value in options.items() if name != "optimizer"}
    optimiser = kind(model.parameters(), **{"lr": run.lr} | options)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model).backward()
        optimiser.step()
    return model


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_full_batch_steps_are_those_of_a_hand_written_loop(name, loss):
    options, kind = OPTIMISERS[name]
    run = double_run(loss=loss, **options)
    X, y = run.objective.X, run.objective.y

    def by_hand(model):
        if loss == "mse":
            return F.mse_loss(model(X), F.one_hot(y, 3).double()) * 3 / 2
        return F.cross_entropy(model(X), y)

    expected = by_torch(run, kind, options, 50, by_hand)
    run.run(50)
    assert (flat(run.model) - flat(expected)).abs().max() < 1e-10
    assert (flat(run.model) - flat(net((4, 6, 5, 3), "tanh"))).abs().max() > 0.01


@pytest.mark.parametrize("name", OPTIMISERS)
def test_in_float32_they_are_torchs_to_the_last_bit_given_the_gradient(name):
    options, kind = OPTIMISERS[name]
    run = digits_run(**options)
    model = copy.deepcopy(run.model)
    objective = Objective(model, DATA.X_train, DATA.y_train, loss="mse")
    given = {name: value for name, value in options.items() if name != "optimizer"}
    optimiser = kind(model.parameters(), **{"lr": run.lr} | given, foreach=False)
    for _ in range(20):
        run.step()
        parts = objective.gradient().split([p.numel() for p in model.parameters()])
        for p, g in zip(model.parameters(), parts, strict=True):
            p.grad = g.view_as(p)
        optimiser.step()
        assert torch.equal(flat(run.model), flat(model))


def test_label_smoothing_is_in_the_gradient_and_in_the_loss_column_only():
    run = double_run(loss="cross_entropy", label_smoothing=0.2)
    X, y = run.objective.X, run.objective.y

    def by_hand(model):
        return F.cross_entropy(model(X), y, label_smoothing=0.2)

    expected = by_torch(run, torch.optim.SGD, {}, 10, by_hand)
    run.run(10)
    assert (flat(run.model) - flat(expected)).abs().max() < 1e-12
    assert run.history["loss"][-1] == pytest.approx(by_hand(run.model).item())
    clean = F.cross_entropy(run.model(X), y).item()
    assert run.history["train_loss"][-1] == pytest.approx(clean)


def test_sam_takes_the_gradient_at_the_perturbed_point():
    run = double_run(sam_radius=0.3, weight_decay=0.1)
    objective = Objective(copy.deepcopy(run.model), run.objective.X, run.objective.y, loss="mse")
    theta = flat(run.model)
    for _ in range(10):
        put(objective.model, theta)
        g = objective.gradient()
        put(objective.model, theta + 0.3 * g / g.norm())
        theta = theta - run.lr * (objective.gradient() + 0.1 * theta)
    run.run(10)
    assert (flat(run.model) - theta).abs().max() < 1e-12


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.last(h + torch.tanh(self.inner(h)))


def own_run(model, **options):
    X, y = samples(24, 4, 3)
    data = Dataset.from_arrays(X, y, *samples(9, 4, 3, seed=1), task="classification", name="own")
    return Training(model, data, **{"loss": "mse", "lr": 0.2, "measures": ()} | options)


def test_any_module_trains_as_in_a_hand_written_loop_and_is_measured():
    run = own_run(Residual().double(), momentum=0.9, measures=("sharpness", "jacobian_max"))
    X, y = run.objective.X, run.objective.y

    def by_hand(model):
        return F.mse_loss(model(X), F.one_hot(y, 3).double()) * 3 / 2

    expected = by_torch(run, torch.optim.SGD, {"momentum": 0.9}, 20, by_hand)
    run.run(20)
    assert (flat(run.model) - flat(expected)).abs().max() < 1e-10
    top = eigenvalues(run.objective, tol=1e-6).values[0]
    assert run.history["sharpness"][-1] == pytest.approx(float(top), rel=1e-2)
    assert run.history["jacobian_max"][-1] == pytest.approx(jacobian_norms(run.model, X).max())


@pytest.mark.parametrize("model", [net((4, 6, 3), "tanh"), Residual().double()])
def test_frozen_parameters_stay_as_they_are(model):
    frozen = next(model.parameters()).requires_grad_(False)
    run = own_run(model, momentum=0.9, weight_decay=0.1, sam_radius=0.1)
    run.run(5)
    assert torch.equal(next(run.model.parameters()), frozen)
    assert not torch.equal(flat(run.model), flat(model))


def test_a_loss_of_ones_own_is_minimised():
    def cost(f, y):
        return F.smooth_l1_loss(f, F.one_hot(y, 3).to(f), reduction="none").sum(1)

    run = double_run(loss=cost)
    run.run(50)
    assert run.history["loss"][-1] < 0.9 * run.history["loss"][0]
    assert run.history["loss"][-1] == pytest.approx(
        cost(run.model(run.objective.X), run.objective.y).mean().item()
    )


# Batches


def recorded(run, steps, monkeypatch):
    """The samples of each batch, by their indices in the training set."""
    taken = []
    original = Objective.batch_gradient

    def batch_gradient(objective, X, targets):
        taken.append((X.clone(), targets.clone()))
        return original(objective, X, targets)

    monkeypatch.setattr(Objective, "batch_gradient", batch_gradient)
    run.run(steps)
    return taken


def indices(run, X):
    return [int((x == run.objective.X).all(1).nonzero()[0, 0]) for x in X]


@pytest.mark.parametrize(("b", "steps"), [(10, 12), (7, 60), (1, 60)])
def test_every_pass_takes_each_sample_once(b, steps, monkeypatch):
    run = digits_run(batch_size=b, lr=0.01)
    batches = recorded(run, steps, monkeypatch)
    stream = [i for X, _ in batches for i in indices(run, X)]
    passes = [stream[start : start + 60] for start in range(0, len(stream), 60)]
    assert all(len(X) == b for X, _ in batches)
    assert len(passes) >= 1
    for one in passes:
        assert len(set(one)) == len(one)
    assert len(passes) == 1 or passes[0] != passes[1]  # another order every time


def test_batches_carry_their_own_targets_and_gradients(monkeypatch):
    run = double_run(batch_size=8, loss="cross_entropy")
    start = flat(run.model)
    ((X, targets),) = recorded(run, 1, monkeypatch)
    part = indices(run, X)
    assert torch.equal(targets, F.one_hot(run.objective.y[part], 3).double())
    one = Objective(net((4, 6, 5, 3), "tanh"), X, run.objective.y[part])
    assert (start - 0.2 * one.gradient() - flat(run.model)).abs().max() < 1e-14


def test_the_seed_draws_the_batches_and_nothing_else():
    same, again, other = (digits_run(batch_size=10, seed=seed) for seed in (3, 3, 4))
    for run in (same, again, other):
        run.run(10)
    assert torch.equal(flat(same.model), flat(again.model))
    assert not torch.equal(flat(same.model), flat(other.model))
    full, full_other = digits_run(seed=3), digits_run(seed=4)
    full.run(3), full_other.run(3)
    assert torch.equal(flat(full.model), flat(full_other.model))


def test_the_full_batch_by_its_number_is_the_full_batch():
    by_number, by_none = digits_run(batch_size=60), digits_run(batch_size=None)
    by_number.run(3), by_none.run(3)
    assert by_number.batch_size is None
    assert same_run(by_number, by_none)


@pytest.mark.parametrize("batch_size", [None, 12])
def test_mixup_mixes_pairs_of_samples_and_their_targets_alike(batch_size, monkeypatch):
    run = digits_run(mixup=0.4, batch_size=batch_size)
    shares = []
    for X, targets in recorded(run, 20, monkeypatch):
        assert torch.allclose(targets.sum(1), torch.ones(len(X)))
        mixed = targets[(targets > 0).sum(1) == 2]
        share = mixed[0].max()  # one share a step, here of the larger part
        values = torch.stack([share, 1 - share])
        assert torch.allclose(mixed.sort(1).values[:, -2:].flip(1), values, atol=1e-6)
        shares.append(float(share))
        near = torch.cdist(X, DATA.X_train).min(1).values
        assert (near > 1e-3).any()  # not the samples themselves
        assert X.abs().max() <= DATA.X_train.abs().max() + 1e-5
    assert 0.5 <= min(shares) < 0.8 < max(shares) <= 1


# The history


def test_rows_are_taken_at_the_parameters_of_their_step():
    run = double_run(
        batch_size=6, every=3, measures=("sharpness", "jacobian_max", "jacobian_mean"), momentum=0.9
    )
    thetas = {0: flat(run.model)}

    def keep(training):
        thetas[training.steps] = flat(training.model)
        if training.steps == 5:
            training.lr = 0.1

    run.run(9, keep)
    X, y = run.objective.X, run.objective.y
    for step in range(10):
        model = put(net((4, 6, 5, 3), "tanh"), thetas[step])
        objective = Objective(model, X, y, loss="mse")
        row = {name: column[step] for name, column in run.history.items()}
        assert row["step"] == step
        assert row["lr"] == (0.2 if step < 5 else 0.1)
        if step % 3:
            assert all(math.isnan(row[name]) for name in ("loss", "sharpness", "test_loss"))
            continue
        assert row["loss"] == row["train_loss"] == pytest.approx(objective.value(), rel=1e-12)
        top = float(eigenvalues(objective, tol=1e-8).values[0])
        assert row["sharpness"] == pytest.approx(top, rel=1e-2)
        norms = jacobian_norms(model, X)
        assert row["jacobian_max"] == pytest.approx(float(norms.max()), rel=1e-9)
        assert row["jacobian_mean"] == pytest.approx(float(norms.mean()), rel=1e-9)
        test = Objective(model, *samples(9, 4, 3, seed=1), loss="mse").value()
        assert row["test_loss"] == pytest.approx(test, rel=1e-6)  # the data are float32
        assert row["loss_gap"] == pytest.approx(row["test_loss"] - row["train_loss"])


def test_columns_are_equally_long_and_a_mapping():
    run = digits_run(measures=("sharpness", "batch_sharpness", "bound"), every=4, batch_size=10)
    run.run(9)
    assert {len(column) for column in run.history.values()} == {10}
    assert len(run.history) == len(list(run.history))
    assert run.steps == 9
    assert {"step", "loss", "lr", "threshold", "sharpness", "sharpness_residual"} <= set(
        run.history
    )
    assert run.history["batch_size"] == [10] * 10
    with pytest.raises(KeyError):
        run.history["momentum"]


def test_the_loss_of_a_full_batch_run_is_known_at_every_step():
    run = digits_run(every=5, measures=("sharpness",))
    run.run(10)
    assert np.isfinite(run.history["loss"]).all()
    measured = [step for step in range(11) if math.isfinite(run.history["sharpness"][step])]
    assert measured == [0, 5, 10]


@pytest.mark.parametrize("options", [{}, {"batch_size": 10}, {"optimizer": "adam", "lr": 0.01}])
def test_neither_cadence_nor_measures_change_the_path(options):
    paths = []
    for every, measures in ((1, ("sharpness", "jacobian_max")), (7, ("bound",)), (50, ())):
        run = digits_run(every=every, measures=measures, **options)
        run.run(15)
        paths.append(flat(run.model))
    assert torch.equal(paths[0], paths[1])
    assert torch.equal(paths[0], paths[2])


def test_the_callers_model_and_random_state_are_left_alone():
    model = mlp(WIDTHS)
    before, state = flat(model), torch.get_rng_state()
    run = digits_run(model, batch_size=10, mixup=0.2, measures=("sharpness", "batch_sharpness"))
    run.run(5)
    assert torch.equal(flat(model), before)
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert run.model is not model


def test_a_callback_sees_every_step_and_can_stop_the_run():
    run, seen = digits_run(), []

    def callback(training):
        seen.append(training.steps)
        return training.steps == 4

    run.run(10, callback)
    assert seen == [1, 2, 3, 4]
    assert run.steps == 4
    assert run.step(3) == 3
    assert run.step(0) == 0
    assert run.steps == 7


# Settings


SCRIPT = {2: ("lr", 0.3), 4: ("momentum", 0.9), 5: ("batch_size", 7), 6: ("weight_decay", 0.01)}


def scripted(steps=12, **options):
    run = digits_run(measures=("sharpness", "batch_sharpness"), **options)
    for step in range(steps):
        if step in SCRIPT:
            setattr(run, *SCRIPT[step])
        if step == 8:
            run.rescale((2, 0.5))
        if step == 9:
            run.every = 2
        run.step()
    return run


def test_the_same_arguments_seed_and_interventions_give_the_same_bits():
    first, again = scripted(), scripted()
    assert same_run(first, again)
    assert not torch.equal(flat(first.model), flat(scripted(seed=1).model))
    names = [change.name for change in first.interventions]
    assert names == ["lr", "momentum", "batch_size", "weight_decay", "rescale", "every"]
    assert [change.step for change in first.interventions] == [2, 4, 5, 6, 8, 9]


def test_settings_hold_from_the_next_step_on():
    run = double_run()
    theta = flat(run.model)
    run.lr, run.weight_decay = 0.5, 0.1
    g = run.objective.gradient()
    run.step()
    assert (theta - 0.5 * (g + 0.1 * theta) - flat(run.model)).abs().max() < 1e-14
    assert run.history["lr"] == [0.5, 0.5]
    assert run.history["threshold"] == pytest.approx([2 / 0.5 - 0.1] * 2)


def test_a_thousand_changes_at_one_step_are_one_intervention():
    run = digits_run(lr=0.1)
    run.step()
    for k in range(1000):
        run.lr = 0.2 + k / 1000
    assert run.interventions == [Intervention(1, "lr", 0.1, 1.199)]
    assert run.lr == run.history["lr"][-1] == 1.199


def test_a_change_that_is_taken_back_leaves_no_trace():
    touched, plain = (digits_run(momentum=0.9, batch_size=10) for _ in range(2))
    for run in (touched, plain):
        run.run(3)
    touched.momentum, touched.lr, touched.batch_size = 0.0, 7.0, 3
    touched.momentum, touched.lr, touched.batch_size = 0.9, 0.1, 10
    for run in (touched, plain):
        run.run(3)
    assert touched.interventions == []
    assert same_run(touched, plain)


# Thresholds


ADAM = "38/eta, for Adam's preconditioned Hessian"
MIXUP = "mixup: no threshold is known, since each step sees other data"


@pytest.mark.parametrize(
    ("options", "edge", "name"),
    [
        ({}, 20, "2/eta"),
        ({"batch_size": 10}, 20, "full-batch threshold 2/eta"),
        ({"momentum": 0.9}, 38, "(2+2beta)/eta"),
        ({"momentum": 0.9, "nesterov": True}, 3.8 / 0.28, "(2+2beta)/((1+2beta)eta)"),
        ({"weight_decay": 0.5}, 19.5, "2/eta - mu"),
        ({"optimizer": "adam"}, 380, ADAM),
        ({"optimizer": "adam", "weight_decay": 0.5}, 380, ADAM),
        ({"mixup": 0.2}, math.nan, MIXUP),
        (
            {"sam_radius": 0.1, "momentum": 0.9},
            math.nan,
            "SAM with momentum: no threshold is known",
        ),
    ],
)
def test_the_threshold_of_each_optimiser(options, edge, name):
    run = digits_run(**options)
    value, said = run.threshold()
    assert value == pytest.approx(edge, nan_ok=True)
    assert said == name
    assert run.history["threshold"] == pytest.approx([edge], nan_ok=True)


def test_the_threshold_of_sam_uses_the_present_gradient():
    run = digits_run(sam_radius=0.1)
    for _ in range(2):
        g = float(run.objective.gradient().norm())
        edge = g / 0.2 * (math.sqrt(1 + 8 * 0.1 / (0.1 * g)) - 1)
        assert run.threshold()[0] == pytest.approx(edge)
        assert run.history["threshold"][-1] == pytest.approx(edge)
        run.run(20)


def test_momentum_of_zero_makes_nesterov_plain_descent():
    run = digits_run(momentum=0.9, nesterov=True)
    run.momentum = 0
    assert run.threshold() == (pytest.approx(20), "2/eta")
    run.step()  # torch refuses Nesterov without momentum; here it is plain descent
    assert run.history["loss"][-1] < run.history["loss"][0]


# Rescaling


def test_a_rescale_keeps_the_function_and_measures_the_row_anew():
    measures = ("sharpness", "invariant_sharpness", "jacobian_max")
    run = double_run("relu", measures=measures)
    run.run(5)
    before = {name: column[-1] for name, column in run.history.items()}
    f = run.model(run.objective.X)
    run.rescale((10, 1, 0.1))
    after = {name: column[-1] for name, column in run.history.items()}
    assert (run.model(run.objective.X) - f).abs().max() < 1e-12 * f.abs().max()
    assert run.steps == 5
    assert after["sharpness"] > 10 * before["sharpness"]
    for same in ("invariant_sharpness", "jacobian_max", "loss"):
        assert after[same] == pytest.approx(before[same], rel=1e-3)
    top = float(eigenvalues(run.objective, tol=1e-8).values[0])
    assert after["sharpness"] == pytest.approx(top, rel=1e-3)
    assert run.interventions == [Intervention(5, "rescale", None, (10, 1, 0.1))]


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {}])
def test_after_a_rescale_the_next_step_is_that_of_the_other_run_divided_by_the_factors(options):
    """theta -> A theta takes g -> A^-1 g and v -> A^-1 v, and so a step d -> A^-1 d."""
    plain = double_run("relu", **options)
    plain.run(4)
    scaled = plain.fork()
    start = flat(plain.model)
    scaled.rescale((4, 0.5, 0.5))
    A = flat(scaled.model) / start
    plain.step(), scaled.step()
    expected = A * start + (flat(plain.model) - start) / A
    assert (flat(scaled.model) - expected).abs().max() < 1e-12


def test_adams_moments_start_anew_and_the_intervention_says_so():
    run = double_run("relu", optimizer="adam", lr=0.01)
    run.run(4)
    assert run.preconditioner() is not None
    run.rescale((2, 1, 0.5))
    assert run.preconditioner() is None
    assert [change.name for change in run.interventions] == ["rescale (Adam's moments reset)"]
    start, g = flat(run.model), run.objective.gradient()
    run.step()
    first = 0.01 * g / (g.abs() + 1e-8)  # Adam's first step
    assert (start - first - flat(run.model)).abs().max() < 1e-12


def test_several_rescales_at_one_step_are_one_to_their_product():
    run = double_run("relu")
    for _ in range(10):
        run.rescale((2, 1, 0.5))
    assert run.interventions == [Intervention(0, "rescale", None, (1024.0, 1.0, 2.0**-10))]


@pytest.mark.parametrize("optimizer", [{"momentum": 0.9}, {"optimizer": "adam", "lr": 0.01}])
def test_a_drag_replays_from_its_one_intervention_to_the_last_bit(optimizer):
    """In float32, where 3 and 10/3 are not 10."""
    dragged, replayed = (
        digits_run(measures=("sharpness", "invariant_sharpness"), **optimizer) for _ in range(2)
    )
    for run in (dragged, replayed):
        run.run(3)
    for a in (3.0, 1.7, 10 / (3.0 * 1.7)):
        dragged.rescale((a, 1 / a))
    (change,) = dragged.interventions
    assert change.new == pytest.approx((10, 0.1))
    replayed.rescale(change.new)
    for run in (dragged, replayed):
        run.run(5)
    assert same_run(dragged, replayed)


def test_a_drag_back_to_one_leaves_no_trace():
    dragged, plain = (digits_run(measures=("sharpness",), momentum=0.9) for _ in range(2))
    for run in (dragged, plain):
        run.run(3)
    for a in (3.0, 1.7, 1 / (3.0 * 1.7)):
        dragged.rescale((a, 1 / a))
    for run in (dragged, plain):
        run.run(5)
    assert dragged.interventions == []
    assert same_run(dragged, plain)


def reloaded(run):
    other = digits_run(measures=("sharpness",), momentum=0.9)
    other.load_state_dict(run.state_dict())
    return other


@pytest.mark.parametrize("copied", [Training.fork, reloaded])
def test_a_drag_goes_on_in_a_copy(copied):
    """A fork or a reload in the middle of a drag: still one intervention, and it replays."""
    dragged, replayed = (digits_run(measures=("sharpness",), momentum=0.9) for _ in range(2))
    for run in (dragged, replayed):
        run.run(3)
    dragged.rescale((3.0, 1 / 3.0))
    dragged = copied(dragged)
    dragged.rescale((0.7, 1 / 0.7))
    (change,) = dragged.interventions
    assert change.new == pytest.approx((2.1, 1 / 2.1))
    replayed.rescale(change.new)
    for run in (dragged, replayed):
        run.run(5)
    assert same_run(dragged, replayed)


def test_a_drag_back_to_one_keeps_what_was_set_during_it():
    run, plain = (digits_run(measures=("sharpness",), lr=0.4) for _ in range(2))
    for training in (run, plain):
        training.run(3)
    run.rescale((4.0, 0.25))
    run.lr = plain.lr = 0.1
    run.batch_size = plain.batch_size = 10
    run.rescale((0.25, 4.0))
    assert run.history["lr"][-1] == 0.1
    assert run.history["threshold"][-1] == pytest.approx(20)
    for training in (run, plain):
        training.run(5)
    assert same_run(run, plain)


@pytest.mark.parametrize(
    ("activation", "factors", "error", "said"),
    [
        ("tanh", (2, 1, 0.5), ValueError, "model: Tanh is not positively homogeneous"),
        ("relu", (2, 0.5), ValueError, "factors: got 2; takes 3, one a layer"),
        ("relu", (2, 2, 2), ValueError, "factors: got a product of 8"),
        ("relu", 2, TypeError, "factors: got 2; takes a sequence"),
    ],
)
def test_a_rescale_that_is_refused_changes_nothing(activation, factors, error, said):
    run = double_run(activation)
    before = flat(run.model)
    with pytest.raises(error, match=said):
        run.rescale(factors)
    assert torch.equal(flat(run.model), before)
    assert run.interventions == []


# Divergence


def test_a_run_that_blows_up_stops_with_a_record_and_takes_no_more_steps():
    run = digits_run(lr=1000.0, measures=("sharpness",))
    run.run(100)
    record = run.diverged
    assert record.kind == "blow-up"
    assert record.step == run.steps < 100
    assert not record.loss < 1e6
    assert record.threshold == pytest.approx(2 / 1000)
    assert math.isfinite(record.sharpness)
    assert record.reason
    steps = run.steps
    assert run.step(5) == 0
    run.run(5)
    assert run.steps == steps


def test_units_that_all_die_are_a_collapse():
    run = digits_run(lr=0.05, momentum=0.9, measures=("sharpness",))
    run.run(3)
    with torch.no_grad():
        run.model[0].bias.fill_(-1e3)
    run.step()
    assert run.diverged.kind == "collapse"
    assert run.history["active_units"][-1] == 0
    assert math.isfinite(run.diverged.loss)


def test_a_diverged_run_goes_on_from_an_earlier_state():
    run = digits_run(lr=0.1, measures=("sharpness",))
    run.run(3)
    state = run.state_dict()
    run.lr = 1e6
    run.run(50)
    assert run.diverged is not None
    run.load_state_dict(state)
    assert run.diverged is None
    assert run.lr == 0.1
    run.run(3)
    plain = digits_run(lr=0.1, measures=("sharpness",))
    plain.run(6)
    assert same_run(run, plain)


# A step in parts


def test_a_step_in_parts_gives_the_same_run():
    """However it is cut up, and whatever completes it."""
    options = {"measures": ALL, "momentum": 0.5}
    plain, parts = (digits_run(**options) for _ in range(2))
    plain.run(4)
    taken = 0
    for _ in range(4):
        while not parts.step_part():
            taken += 1
    assert taken >= 4 * (len(ALL) - 1)  # the bound is not measured at each
    assert same_run(plain, parts)


COMPLETING = {
    "step": lambda run: run.step(),
    "fork": lambda run: run.fork(),
    "state": lambda run: run.state_dict(),
    "rescale": lambda run: run.rescale((2, 0.5)),
    "batch size": lambda run: setattr(run, "batch_size", 10),
    "cadence": lambda run: setattr(run, "every", 3),
    "measuring": lambda run: run.measure_aside(),
}


@pytest.mark.parametrize("name", COMPLETING)
def test_what_needs_a_complete_step_completes_it(name):
    plain, parts = (digits_run(measures=("sharpness", "jacobian_max")) for _ in range(2))
    plain.run(3)
    parts.run(2)
    assert not parts.step_part()
    assert math.isnan(parts.history["jacobian_max"][-1])
    for run in (plain, parts):
        COMPLETING[name](run)
    assert same_run(plain, parts)
    plain.run(2)
    parts.run(2)
    assert same_run(plain, parts)


def test_the_learning_rate_can_be_set_between_two_parts_of_a_step():
    plain, parts = (digits_run(measures=("sharpness", "jacobian_max")) for _ in range(2))
    plain.run(2)
    plain.lr = 0.05
    parts.run(1)
    while not parts.step_part():
        parts.lr = 0.05
    assert parts.history["threshold"][-1] == pytest.approx(40)
    for run in (plain, parts):
        run.run(2)
    assert same_run(plain, parts)


def test_a_part_that_fails_leaves_a_run_that_can_go_on(monkeypatch):
    run, plain = (digits_run(measures=("sharpness",)) for _ in range(2))
    plain.run(1)
    run.run(1)
    with monkeypatch.context() as patch:
        patch.setattr(run.probes["sharpness"], "measure", lambda training: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run.step()
    assert run.steps == 2
    plain.run(4)
    run.run(3)
    assert torch.equal(flat(run.model), flat(plain.model))


# Forks and states


STATES = {
    "momentum": {"momentum": 0.9},
    "batches": {"batch_size": 7, "momentum": 0.5, "nesterov": True},
    "adam": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
    "mixup": {"mixup": 0.3, "batch_size": 10},
    "sam": {"sam_radius": 0.05},
    "smoothing": {"loss": "cross_entropy", "label_smoothing": 0.1},
}
ALL = (
    "sharpness",
    "invariant_sharpness",
    "riemannian_sharpness",
    "preconditioned_sharpness",
    "jacobian_max",
    "batch_sharpness",
    "bound",
)


@pytest.mark.parametrize("name", STATES)
def test_a_fork_goes_on_exactly_as_the_run_and_independently(name):
    run = digits_run(measures=ALL, **STATES[name])
    run.run(4)
    run.lr = 0.9 * run.lr
    fork, other = run.fork(), run.fork()
    assert same_run(fork, run)
    for training in (run, fork):
        training.run(6)
    assert same_run(fork, run)
    assert other.steps == 4
    other.lr = 0.5 * other.lr
    other.rescale((2, 0.5))
    other.run(6)
    assert not torch.equal(flat(other.model), flat(run.model))
    assert [change.name.split()[0] for change in other.interventions] == ["lr", "rescale"]
    assert len(run.interventions) == 1


def through_pickle(state):
    return pickle.loads(pickle.dumps(state))


def through_torch(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("trip", [through_pickle, through_torch])
@pytest.mark.parametrize("name", STATES)
def test_a_saved_state_goes_on_to_the_last_bit(name, trip):
    run = digits_run(measures=ALL, **STATES[name])
    run.run(4)
    run.lr = 0.9 * run.lr
    state = trip(run.state_dict())
    run.run(6)
    fresh = digits_run(measures=ALL, **STATES[name])
    fresh.load_state_dict(state)
    fresh.run(6)
    assert same_run(fresh, run)


def test_a_state_is_a_copy():
    run = digits_run(measures=("sharpness",), momentum=0.9)
    run.run(2)
    state = run.state_dict()
    theta, length = flat(run.model), run.history.rows
    run.run(2)
    run.load_state_dict(state)
    assert torch.equal(flat(run.model), theta)
    assert run.history.rows == length
    run.run(2)  # and loading it did not tie it to the run
    run.load_state_dict(state)
    assert torch.equal(flat(run.model), theta)


WRONG = {
    "nothing": dict,
    "a list": lambda: [1, 2],
    "another network": lambda: digits_run(mlp((64, 9, 10)), measures=("sharpness",)).state_dict(),
    "other measures": lambda: digits_run(measures=("jacobian_max",)).state_dict(),
    "another optimiser": lambda: digits_run(measures=("sharpness",), optimizer="adam").state_dict(),
    **{
        f"other {name}": lambda options=options: digits_run(
            measures=("sharpness",), **options
        ).state_dict()
        for name, options in {
            "loss": {"loss": "cross_entropy"},
            "sam_radius": {"sam_radius": 0.1},
            "mixup": {"mixup": 0.1},
            "nesterov": {"nesterov": True, "momentum": 0.9},
            "data": {"dataset": load_dataset("digits", n_train=60, seed=1)},
        }.items()
    },
    "a part of it": lambda: {
        name: value
        for name, value in digits_run(measures=("sharpness",)).state_dict().items()
        if name != "sampler"
    },
}


@pytest.mark.parametrize("name", WRONG)
def test_a_state_of_something_else_is_refused_and_changes_nothing(name):
    run = digits_run(measures=("sharpness",))
    run.run(2)
    expected = run.fork()
    with pytest.raises((ValueError, TypeError), match="state: "):
        run.load_state_dict(WRONG[name]())
    for training in (run, expected):
        training.run(2)
    assert same_run(run, expected)


def test_a_refused_state_names_what_differs():
    run = digits_run(measures=(), loss="cross_entropy")
    other = digits_run(measures=(), loss="cross_entropy", label_smoothing=0.1, sam_radius=0.2)
    with pytest.raises(ValueError, match=r"other label_smoothing = 0\.1, sam_radius = 0\.2"):
        run.load_state_dict(other.state_dict())


# Bad arguments


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"model": "mlp"}, TypeError, "model: got str; takes a torch.nn.Module"),
        ({"model": mlp((3, 10))}, ValueError, r"X: the model does not take samples of shape \(64"),
        ({"model": mlp((64, 4))}, ValueError, "y: got labels from 0 to 9; takes 0 to 3"),
        ({"dataset": (1, 2)}, TypeError, "dataset: got tuple; takes a kit.Dataset"),
        ({"loss": "hinge"}, ValueError, "loss: got 'hinge'"),
        ({"optimizer": "rmsprop"}, ValueError, "optimizer: got 'rmsprop'; takes one of"),
        ({"lr": 0}, ValueError, "lr: got 0; takes a number above 0"),
        ({"lr": float("nan")}, ValueError, "lr: got nan"),
        ({"batch_size": 0}, ValueError, "batch_size: got 0; takes a whole number from 1 up to 60"),
        ({"batch_size": 61}, ValueError, "batch_size: got 61"),
        ({"batch_size": 2.0}, TypeError, "batch_size: got 2.0"),
        ({"momentum": 1}, ValueError, "momentum: got 1; takes a number from 0 below 1"),
        ({"momentum": -0.1}, ValueError, "momentum: got -0.1"),
        ({"nesterov": True}, ValueError, "nesterov: got True with momentum 0"),
        ({"nesterov": "yes", "momentum": 0.9}, TypeError, "nesterov: got 'yes'"),
        ({"weight_decay": -1}, ValueError, "weight_decay: got -1"),
        ({"label_smoothing": 0.1, "loss": "mse"}, ValueError, "label_smoothing: got 0.1; takes 0"),
        ({"label_smoothing": 1}, ValueError, "label_smoothing: got 1"),
        ({"sam_radius": -1}, ValueError, "sam_radius: got -1"),
        ({"mixup": -1}, ValueError, "mixup: got -1"),
        ({"mixup": 0.1, "loss": lambda f, y: f.sum(1)}, ValueError, "mixup: takes 0 with a loss"),
        ({"optimizer": "adam", "momentum": 0.9}, ValueError, "momentum: got .*optimizer='adam'"),
        ({"measures": "sharpness"}, TypeError, "measures: got 'sharpness'; takes a sequence"),
        ({"measures": ("flatness",)}, ValueError, "measures: got 'flatness'; takes one of"),
        ({"measures": 3}, TypeError, "measures: got 3; takes a sequence"),
        ({"every": 0}, ValueError, "every: got 0"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"seed": 2**64}, ValueError, "seed: got 18446744073709551616"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(options, error, said):
    options = {"model": mlp(WIDTHS), "dataset": DATA} | options
    with pytest.raises(error, match=said):
        Training(options.pop("model"), options.pop("dataset"), **options)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("lr", 0, ValueError),
        ("lr", "0.1", TypeError),
        ("batch_size", 61, ValueError),
        ("momentum", 1.0, ValueError),
        ("weight_decay", -1, ValueError),
        ("every", 0, ValueError),
        ("every", 1.5, TypeError),
    ],
)
def test_bad_settings_are_named_and_change_nothing(name, value, error):
    run = digits_run()
    before = getattr(run, name)
    with pytest.raises(error, match=f"^{name}: got "):
        setattr(run, name, value)
    assert getattr(run, name) == before
    assert run.interventions == []


def test_other_bad_calls_are_named():
    run = digits_run(optimizer="adam")
    with pytest.raises(ValueError, match="momentum: takes 0 with optimizer='adam'"):
        run.momentum = 0.9
    with pytest.raises(ValueError, match=r"^n: got -1"):
        run.step(-1)
    with pytest.raises(TypeError, match=r"^steps: got 1.5"):
        run.run(1.5)
    with pytest.raises(TypeError, match=r"^callback: got 3"):
        run.run(1, 3)
