"""A module whose output is random or depends on the rest of the batch is refused, by name."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kit import Objective, input_output_jacobian, jacobian_norms
from kit.determinism import require_deterministic
from tests.oracles import net, samples


class FunctionalDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return F.dropout(self.out(x), 0.5, training=True)


class LayerDrop(nn.Module):
    """Skips a layer at random."""

    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.inner(x) if torch.rand(()) < 0.5 else x)


class Centring(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(x), x


REFUSED = {
    "dropout": (
        lambda: nn.Sequential(nn.Linear(4, 9), nn.Dropout(0.1), nn.Linear(9, 3)),
        "submodule '1' .Dropout. gives random outputs; call model.eval",
    ),
    "dropout that hardly ever drops": (
        lambda: nn.Sequential(nn.Linear(4, 2), nn.Dropout(1e-3), nn.Linear(2, 3)),
        "submodule '1' .Dropout. gives random outputs; call model.eval",
    ),
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Linear(9, 3)),
        "submodule '1' .BatchNorm1d. mixes the samples of a batch; call model.eval",
    ),
    "batch norm without statistics": (
        lambda: nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)).eval(),
        "submodule '0' .BatchNorm1d. mixes the samples .*track_running_stats=True",
    ),
    "functional dropout": (FunctionalDropout, "the model itself gives random outputs"),
    "a random path": (LayerDrop, "gives random outputs"),
    "a mean over the batch": (
        lambda: nn.Sequential(nn.Linear(4, 9), Centring(), nn.Linear(9, 3)),
        "submodule '1' .Centring. mixes the samples of a batch",
    ),
    "a tuple": (Several, "model: gives a tuple; takes outputs"),
    "one axis": (
        lambda: nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)),
        "outputs have shape .16,.; takes",
    ),
    "no parameters": (nn.Flatten, "model: has no parameters"),
}


@pytest.mark.parametrize("n", [3, 20])
@pytest.mark.parametrize("name", REFUSED)
def test_a_module_that_is_not_a_function_of_one_sample_is_refused(name, n):
    make, said = REFUSED[name]
    said = said.replace("16", str(min(n, 16)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().double()
    X, y = samples(n, 4, 3)
    with pytest.raises(ValueError, match=said):
        Objective(model, X, y)


@pytest.mark.parametrize("name", ["dropout", "batch norm", "a mean over the batch"])
def test_one_sample_hides_nothing(name):
    make, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        Objective(make().double(), *samples(1, 4, 3))


def test_weights_that_have_diverged_are_not_called_random():
    model = net((4, 5, 3))
    model[0].weight.data[0, 0] = float("nan")
    assert np.isnan(Objective(model, *samples(7, 4, 3)).value())


@pytest.mark.parametrize("measure", [input_output_jacobian, jacobian_norms, require_deterministic])
def test_the_jacobians_refuse_the_same_modules(measure):
    make, said = REFUSED["dropout"]
    with pytest.raises(ValueError, match=said):
        measure(make(), torch.ones(5, 4))


def test_outputs_of_at_most_sixteen_rows_are_returned():
    model, (X, _) = net((4, 3)), samples(40, 4, 3)
    for n in (1, 2, 16, 40):
        outputs = require_deterministic(model, X[:n])
        assert torch.allclose(outputs, model(X[: min(n, 16)]).detach())
