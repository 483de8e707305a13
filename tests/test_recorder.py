"""A loop of one's own, recorded: the numbers of a Training, and nothing of the caller's moved."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kit import Dataset, Recorder, Training, convnet, load_dataset, stability_threshold
from kit.history import Intervention
from kit.measuring import SCORES
from tests import oracles
from tests.oracles import flat, net, samples

X, Y = samples(24, 4, 3)
X_TEST, Y_TEST = samples(9, 4, 3, seed=1)
DATA = Dataset.from_arrays(X, Y, X_TEST, Y_TEST, task="classification", name="own")
WIDTHS = (4, 6, 5, 3)
STEPS = 30


def mse(model, inputs=X, labels=Y):
    outputs = model(inputs)
    return F.mse_loss(outputs, F.one_hot(labels, 3).to(outputs)) * 3 / 2


def step(model, optimizer, cost=mse):
    optimizer.zero_grad()
    cost(model).backward()
    optimizer.step()


def loop(recorder, optimizer, steps=STEPS, *, cost=mse, before=None, after=None):
    """What a reader writes."""
    for k in range(steps):
        if before is not None:
            before(k)
        step(recorder.model, optimizer, cost)
        recorder.record(optimizer)
        if after is not None:
            after(k)


def recorder_of(model=None, **options):
    model = net(WIDTHS, "tanh") if model is None else model
    return Recorder(model, "mse", X, Y, **{"X_test": X_TEST, "y_test": Y_TEST} | options)


def sgd(recorder, lr=0.2, **options):
    return torch.optim.SGD(recorder.model.parameters(), lr=lr, **options)


def adam(recorder, lr=0.01, **options):
    return torch.optim.Adam(recorder.model.parameters(), lr=lr, **options)


def equal(ours, theirs, names, rel=1e-5):
    for name in names:
        assert ours[name] == pytest.approx(theirs[name], rel=rel, nan_ok=True), name


SETTINGS = {
    "descent": {},
    "momentum": {"momentum": 0.9, "lr": 0.05},
    "nesterov": {"momentum": 0.9, "nesterov": True, "lr": 0.05},
    "weight decay": {"momentum": 0.5, "weight_decay": 0.01},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adam, weight decay": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_loop_of_ones_own_gives_the_numbers_of_a_training(name):
    options = {"lr": 0.2} | SETTINGS[name]
    measures = ("sharpness", "preconditioned_sharpness", "jacobian_max", "jacobian_mean")
    model = net(WIDTHS, "tanh")
    training = Training(model, DATA, loss="mse", measures=measures, **options)
    # The data of a Training are float32.
    data = {"X_test": DATA.X_test, "y_test": DATA.y_test}
    recorder = Recorder(model, "mse", DATA.X_train, DATA.y_train, measures=measures, **data)
    kind = adam if options.pop("optimizer", "sgd") == "adam" else sgd
    loop(recorder, kind(recorder, **options), cost=lambda m: mse(m, DATA.X_train.double()))
    training.run(STEPS)
    ours, theirs = recorder.history, training.history
    assert list(ours) == list(theirs)
    assert {len(column) for column in ours.values()} == {STEPS + 1}
    exact = ("step", "lr", "threshold", "loss", "jacobian_max", "jacobian_mean", *SCORES)
    equal(ours, theirs, exact)
    equal(ours, theirs, ("sharpness", "preconditioned_sharpness"), rel=1e-4)
    equal(ours, theirs, ("sharpness_matvecs", "active_units"))
    assert recorder.threshold() == training.threshold()
    assert recorder.interventions == []
    assert all(math.isnan(b) for b in ours["batch_size"])
    assert recorder.momentum == training.momentum
    assert recorder.weight_decay == training.weight_decay
    assert recorder.optimizer == training.optimizer
    if training.optimizer == "adam":
        assert ours["threshold"] == pytest.approx(
            [stability_threshold(0.01, optimizer="adam")] * 31
        )
        assert all(math.isfinite(v) for v in ours["preconditioned_sharpness"][1:])
        assert recorder.preconditioner() == pytest.approx(training.preconditioner(), rel=1e-9)


def test_a_convolutional_network_by_autograd():
    data = load_dataset("digits", n_train=20)
    inputs, labels = data.X_train.double(), data.y_train
    model = convnet((8, 8), (2,), 10, activation="tanh").double()
    training = Training(model, data, lr=0.1, measures=("sharpness", "jacobian_max"))
    recorder = Recorder(model, "cross_entropy", inputs, labels)
    optimizer = sgd(recorder, 0.1)
    loop(recorder, optimizer, 8, cost=lambda m: F.cross_entropy(m(inputs), labels))
    training.run(8)
    equal(recorder.history, training.history, ("loss", "jacobian_max", "threshold"))
    equal(recorder.history, training.history, ("sharpness",), rel=1e-4)
    assert math.isnan(recorder.history["train_loss"][-1])  # no test data, no scores


def test_sharpness_is_the_largest_eigenvalue_of_the_dense_hessian():
    recorder = recorder_of()
    loop(recorder, sgd(recorder), 5)
    H = oracles.hessian(recorder.model, X, Y, loss="mse")
    expected = torch.linalg.eigvalsh(H)[-1].item()
    assert recorder.history["sharpness"][-1] == pytest.approx(expected, rel=1e-3)


def test_loss_and_measures_of_a_row_are_at_its_parameters():
    recorder = recorder_of(every=3, measures=("sharpness", "jacobian_max"))
    seen = [mse(recorder.model).item()]
    optimizer = sgd(recorder)
    loop(recorder, optimizer, 9, after=lambda _: seen.append(mse(recorder.model).item()))
    history = recorder.history
    for k in range(10):
        due = k % 3 == 0
        for name in ("loss", "sharpness", "sharpness_residual", "jacobian_max", "test_loss"):
            assert math.isfinite(history[name][k]) == due, (name, k)
        assert history["loss"][k] == pytest.approx(seen[k] if due else math.nan, nan_ok=True)
        assert history["lr"][k] == 0.2


def test_label_smoothing_a_loss_of_ones_own_and_the_bound():
    def cost(outputs, labels):
        return F.cross_entropy(outputs, labels, reduction="none")

    named = Recorder(net(WIDTHS), "cross_entropy", X, Y, measures=("sharpness",))
    own = Recorder(net(WIDTHS), cost, X, Y, measures=("sharpness",))
    assert own.history["loss"] == pytest.approx(named.history["loss"])
    assert own.history["sharpness"] == pytest.approx(named.history["sharpness"], rel=1e-3)
    smooth = Recorder(net(WIDTHS), "cross_entropy", X, Y, label_smoothing=0.3)
    expected = F.cross_entropy(smooth.model(X), Y, label_smoothing=0.3).item()
    assert smooth.history["loss"][0] == pytest.approx(expected)
    recorder = recorder_of(measures=("bound",))
    training = Training(net(WIDTHS, "tanh"), DATA, loss="mse", measures=("bound",))
    assert recorder.history["bound"] == pytest.approx(training.history["bound"])


def test_with_the_batch_size_of_the_loop_batches_are_known():
    recorder = recorder_of(measures=("batch_sharpness",), batch_size=4)
    optimizer = sgd(recorder, 0.05)
    loop(recorder, optimizer, 3)
    assert recorder.history["batch_size"] == [4.0] * 4
    assert math.isfinite(recorder.history["batch_sharpness"][-1])
    assert recorder.threshold() == (pytest.approx(40), "full-batch threshold 2/eta")
    assert recorder_of(batch_size=24).batch_size is None


# Nothing is moved.


@pytest.mark.parametrize("training_mode", [True, False])
def test_nothing_of_the_callers_is_changed(training_mode):
    measures = ("sharpness", "invariant_sharpness", "jacobian_max", "bound")
    watched, alone = net(WIDTHS).train(training_mode), net(WIDTHS).train(training_mode)
    recorder = recorder_of(watched, measures=measures)
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.01) for m in (watched, alone)]
    torch.manual_seed(7)
    for _ in range(6):
        step(watched, optimizers[0])
        grads = [p.grad.clone() for p in watched.parameters()]
        before, state = flat(watched), torch.get_rng_state()
        with torch.no_grad():
            recorder.record(optimizers[0])
        assert torch.equal(flat(watched), before)
        assert torch.equal(torch.get_rng_state(), state)
        assert watched.training is training_mode
        for p, g in zip(watched.parameters(), grads, strict=True):
            assert torch.equal(p.grad, g)
        step(alone, optimizers[1])
    assert recorder.model is watched
    assert torch.equal(flat(watched), flat(alone))
    assert set(optimizers[0].state) == set(watched.parameters())


def test_two_recorders_with_the_same_seed_give_the_same_numbers():
    runs = [recorder_of(seed=3) for _ in range(2)]
    for recorder in runs:
        loop(recorder, sgd(recorder), 10)
    first, again = (dict(r.history) for r in runs)
    assert repr(first) == repr(again)


# Settings of the loop.


def test_a_change_of_the_learning_rate_is_that_of_a_training():
    training = Training(net(WIDTHS, "tanh"), DATA, loss="mse", lr=0.2, measures=())
    recorder = recorder_of(measures=())
    optimizer = sgd(recorder)
    changes = {4: ("lr", 0.1), 7: ("momentum", 0.5), 8: ("weight_decay", 0.01)}

    def before(k):
        if k in changes:
            name, value = changes[k]
            optimizer.param_groups[0][name] = value
            setattr(training, name, value)
        training.step()

    loop(recorder, optimizer, 10, before=before)
    assert recorder.interventions == training.interventions
    assert recorder.interventions[0] == Intervention(4, "lr", 0.2, 0.1)
    equal(recorder.history, training.history, ("lr", "threshold", "loss"), rel=1e-4)


def test_a_scheduler_after_the_record_is_noted_at_the_step_that_it_set():
    recorder = recorder_of(measures=())
    optimizer = sgd(recorder, 0.4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)
    loop(recorder, optimizer, 8, after=lambda _: scheduler.step())
    assert [(c.step, c.old, c.new) for c in recorder.interventions] == [
        (3, 0.4, 0.2),
        (6, 0.2, 0.1),
    ]
    assert recorder.history["lr"] == pytest.approx([0.4] * 3 + [0.2] * 3 + [0.1] * 3)
    assert recorder.history["threshold"] == pytest.approx([5] * 3 + [10] * 3 + [20] * 3)


def test_another_optimiser_is_a_change_too():
    recorder = recorder_of(measures=("preconditioned_sharpness",))
    loop(recorder, sgd(recorder, momentum=0.9), 2)
    assert recorder.preconditioner() is None
    loop(recorder, adam(recorder), 2)
    assert [(c.step, c.name, c.old, c.new) for c in recorder.interventions] == [
        (2, "optimizer", "sgd", "adam"),
        (2, "lr", 0.2, 0.01),
        (2, "momentum", 0.9, 0.0),
        (2, "betas", None, (0.9, 0.999)),
    ]
    measured = [math.isfinite(v) for v in recorder.history["preconditioned_sharpness"]]
    assert measured == [False, False, False, True, True]


THRESHOLDS = {
    "dampening": (
        {"momentum": 0.9, "dampening": 0.9},
        3.8 / (0.1 * 0.2),
        "(2+2beta)/((1-d)eta), with dampening d",
    ),
    "dampening and decay": (
        {"momentum": 0.5, "dampening": 0.25, "weight_decay": 0.5},
        3 / (0.75 * 0.2) - 0.5,
        "(2+2beta)/((1-d)eta) - mu, with dampening d",
    ),
    "no momentum": ({"dampening": 0.5}, 10, "2/eta (dampening is ignored without momentum)"),
    "all dampened": ({"momentum": 0.9, "dampening": 1}, math.nan, "no threshold: dampening: got 1"),
    "maximize": ({"maximize": True}, math.nan, "no threshold is known with maximize=True"),
    "no step": ({"lr": 0.0}, math.nan, "no threshold: lr: got 0.0"),
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_the_threshold_says_what_it_is(name):
    options, edge, said = THRESHOLDS[name]
    recorder = recorder_of(measures=())
    assert recorder.threshold() == (pytest.approx(math.nan, nan_ok=True), recorder.threshold()[1])
    loop(recorder, sgd(recorder, **options), 1)
    value, words = recorder.threshold()
    assert value == pytest.approx(edge, nan_ok=True)
    assert words.startswith(said)
    assert recorder.history["threshold"] == pytest.approx([edge] * 2, nan_ok=True)


def test_the_threshold_with_dampening_is_where_torchs_own_steps_stop_being_stable():
    """On a parabola with curvature h: just below it theta dies out, just above it grows."""
    options = {"lr": 0.1, "momentum": 0.6, "dampening": 0.4, "weight_decay": 0.2}
    model = nn.Linear(1, 1, bias=False).double()
    data = torch.ones(1, 1, dtype=torch.float64)
    recorder = Recorder(model, "mse", data, 0 * data, measures=())
    recorder.record(torch.optim.SGD(model.parameters(), **options))
    edge = recorder.threshold()[0]
    for h, grows in ((0.99 * edge, False), (1.01 * edge, True)):
        theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([theta], **options)
        for _ in range(2000):
            theta.grad = h * theta.detach()
            optimizer.step()
        assert (theta.abs().item() > 1) == grows


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (torch.optim.RMSprop, {"lr": 0.01}, "no threshold is known for RMSprop"),
        (torch.optim.AdamW, {"weight_decay": 0.1}, "decoupled weight decay of AdamW"),
    ],
)
def test_other_optimisers_are_measured_without_a_threshold(kind, options, said):
    recorder = recorder_of(measures=("sharpness", "preconditioned_sharpness"))
    loop(recorder, kind(recorder.model.parameters(), **options), 2)
    value, words = recorder.threshold()
    assert math.isnan(value)
    assert said in words
    assert math.isfinite(recorder.history["sharpness"][-1])
    assert math.isnan(recorder.history["preconditioned_sharpness"][-1])


def test_the_preconditioner_of_amsgrad_and_other_betas_is_that_of_torchs_step():
    """theta changes by -lr Q^-1 m, with m the first moment."""
    recorder = recorder_of(measures=())
    optimizer = adam(recorder, amsgrad=True, betas=(0.7, 0.9), eps=1e-3)
    loop(recorder, optimizer, 3)
    before = flat(recorder.model)
    step(recorder.model, optimizer)
    recorder.record(optimizer)
    m = torch.cat([optimizer.state[p]["exp_avg"].flatten() for p in recorder.model.parameters()])
    expected = before - 0.01 * m / recorder.preconditioner()
    assert (flat(recorder.model) - expected).abs().max() < 1e-12
    assert recorder.threshold()[0] == pytest.approx(3.4 / (0.3 * 0.01))


def test_parameters_that_adam_does_not_move_do_not_count():
    model = net(WIDTHS, "tanh")
    recorder = recorder_of(model, measures=("preconditioned_sharpness",))
    moved = list(model[-1].parameters())
    optimizer = torch.optim.Adam(moved, lr=0.01)
    loop(recorder, optimizer, 3)
    P = recorder.preconditioner()
    count = sum(p.numel() for p in moved)
    assert torch.isinf(P[:-count]).all()
    H = oracles.hessian(model, X, Y, loss="mse")[-count:, -count:]
    D = P[-count:].rsqrt()
    expected = torch.linalg.eigvalsh(D[:, None] * H * D)[-1].item()
    assert recorder.history["preconditioned_sharpness"][-1] == pytest.approx(expected, rel=1e-3)


def test_groups_that_differ_have_no_single_threshold():
    recorder = recorder_of(measures=())
    layers = [layer for layer in recorder.model if isinstance(layer, nn.Linear)]
    groups = [{"params": list(layer.parameters())} for layer in layers]
    groups[0]["lr"] = 0.05
    optimizer = torch.optim.SGD(groups, lr=0.2)
    loop(recorder, optimizer, 2)
    value, said = recorder.threshold()
    assert math.isnan(value)
    assert said == "no single threshold: param_groups differ in lr"
    assert math.isnan(recorder.lr)
    groups[0]["lr"] = 0.2
    optimizer.param_groups[0]["lr"] = 0.2
    loop(recorder, optimizer, 1)
    assert recorder.threshold() == (pytest.approx(10), "2/eta")
    assert recorder.interventions == [Intervention(2, "lr", (0.05, 0.2, 0.2), 0.2)]


# Divergence


@pytest.mark.parametrize("every", [1, 7])
def test_a_loop_that_blows_up_is_noticed_and_then_nothing_more_is_recorded(every):
    recorder = recorder_of(net(WIDTHS), every=every)
    optimizer = sgd(recorder, 5.0)
    said = []
    for _ in range(60):
        step(recorder.model, optimizer)
        said.append(recorder.record(optimizer))
    broken = recorder.diverged
    assert broken.kind == "blow-up"
    assert broken.threshold == pytest.approx(0.4)
    assert said == [None] * (broken.step - 1) + [broken] * (61 - broken.step)
    assert recorder.steps == broken.step == recorder.history["step"][-1]


def test_units_that_die_are_a_collapse():
    recorder = recorder_of(net(WIDTHS, "relu"))
    optimizer = sgd(recorder, 0.01)
    loop(recorder, optimizer, 2)
    with torch.no_grad():
        recorder.model[0].bias.fill_(-1e3)
    loop(recorder, optimizer, 1)
    assert recorder.diverged.kind == "collapse"
    assert recorder.history["active_units"][-1] < recorder.history["active_units"][0]
    assert "hidden layer 1" in recorder.diverged.reason


# Bad arguments


class Random(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.drop(torch.relu(self.first(x))))


def test_a_model_that_has_become_random_is_refused_and_the_loop_can_go_on():
    recorder = Recorder(Random().double().eval(), "mse", X, Y)
    optimizer = sgd(recorder, 0.01)
    loop(recorder, optimizer, 1)
    recorder.model.train()
    step(recorder.model, optimizer)
    with pytest.raises(ValueError, match=r"submodule 'drop' \(Dropout\).*call model.eval"):
        recorder.record(optimizer)
    assert recorder.steps == 1
    recorder.model.eval()
    recorder.record(optimizer)
    assert recorder.steps == 2


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"model": "mlp"}, TypeError, "model: got str; takes a torch.nn.Module"),
        ({"model": Random()}, ValueError, "model: submodule 'drop'"),
        ({"loss": "hinge"}, ValueError, "loss: got 'hinge'"),
        ({"loss": nn.CrossEntropyLoss()}, ValueError, r"loss: returned \(\); takes one cost"),
        ({"X": X[0]}, ValueError, r"X: got shape \(4,\)"),
        ({"y": Y[:5]}, ValueError, r"y: got shape \(5,\)"),
        ({"measures": "sharpness"}, TypeError, "measures: got 'sharpness'; takes a sequence"),
        ({"measures": ("flatness",)}, ValueError, "measures: got 'flatness'; takes one of"),
        ({"measures": ("bound",)}, ValueError, "X_test: got None; takes test data"),
        ({"measures": ("batch_sharpness",)}, ValueError, "batch_size: got None"),
        ({"batch_size": 25}, ValueError, "batch_size: got 25; takes a whole number"),
        ({"every": 0}, ValueError, "every: got 0"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"label_smoothing": 0.1}, ValueError, "label_smoothing: got 0.1"),
        ({"X_test": X_TEST}, ValueError, "y_test: got None; takes both"),
        ({"X_test": X_TEST, "y_test": Y_TEST + 5}, ValueError, "X_test, y_test: y: got labels"),
        (
            {"X_test": X_TEST, "y_test": torch.zeros(9, 3)},
            ValueError,
            r"y_test: got torch.float64 of shape \(9, 3\); takes targets like y",
        ),
        (
            {"X_test": X_TEST, "y_test": 0 * Y_TEST, "y": 2 * (Y > 0), "measures": ("bound",)},
            ValueError,
            "measures: 'bound' needs data as a kit.Dataset: y_train",
        ),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(options, error, said):
    options = {"model": net(WIDTHS), "loss": "mse", "X": X, "y": Y} | options
    problem = [options.pop(name) for name in ("model", "loss", "X", "y")]
    with pytest.raises(error, match=said):
        Recorder(*problem, **options)


@pytest.mark.parametrize(
    ("optimizer", "error", "said"),
    [
        (None, TypeError, "optimizer: got NoneType; takes the torch.optim.Optimizer"),
        ("sgd", TypeError, "optimizer: got str"),
        (
            torch.optim.SGD(net(WIDTHS).parameters(), lr=0.1),
            ValueError,
            "optimizer: 6 of its 6 parameters are not the model's",
        ),
    ],
)
def test_another_optimiser_than_the_models_is_refused_and_changes_nothing(optimizer, error, said):
    recorder = recorder_of()
    with pytest.raises(error, match=said):
        recorder.record(optimizer)
    assert recorder.steps == 0
    assert math.isnan(recorder.lr)
    with pytest.raises(TypeError, match="listener: got 3"):
        recorder.follow(3)
