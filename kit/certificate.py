"""A certificate on the 0-1 error: PAC-Bayes with a prior trained on half of the samples.

Prior N(theta_0, sigma^2 D^2), theta_0 trained on the first half; posterior N(theta, sigma^2 D^2),
theta trained on from there on all samples; D is 1, or the size of each block of theta_0 (`tied`).
The noise is the same in both, so

    KL(Q || P) = |D^{-1} (theta - theta_0)|^2 / (2 sigma^2)

With probability at least 1 - p over the n samples of the second half, which the prior has not seen,

    kl(noisy error on them || noisy error on new data) <= (KL + log(2 sqrt(n) / p)) / n

(Seeger; Maurer; `kit.pac_bayes`), for every sigma, alpha and D of a list at once, at equal shares
of p. Half of p pays for the noisy error, which is estimated by draws.

>>> training = HalfPrior("digits", n=200)
>>> while not training.done:
...     training.part()
>>> certificate = Certificate(training.pair, (0.01, 0.1))
>>> certificate.draw(20)
>>> bool(certificate.noisy[0] < certificate.values[1] < 0.9), len(certificate.values)
(True, 2)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from kit.checks import check_int, check_number, check_one_of, check_seed
from kit.load import Dataset, Transform, load_dataset
from kit.models import mlp
from kit.pac_bayes import gaussian_kl, kl_inverse
from kit.rescaling import block_factors
from kit.stack import architecture
from kit.training import Training

HIDDEN = 32


@dataclass(frozen=True)
class Recipe:
    """How prior and posterior are trained: samples, learning rate, batch size, steps of each."""

    n: int
    lr: float
    batch_size: int | None
    prior_steps: int
    posterior_steps: int


RECIPES = {
    "digits": Recipe(1000, 0.2, None, 300, 100),
    "mnist1d": Recipe(4000, 0.1, 100, 2000, 500),
}


@dataclass(frozen=True, eq=False)
class Pair:
    """Two points of one network, and the samples that the first has not seen.

    prior, posterior (P,); X, y: the second half of the training samples; data: both halves.
    """

    model: nn.Module
    prior: Tensor
    posterior: Tensor
    X: Tensor
    y: Tensor
    data: Dataset

    @property
    def constant(self) -> float:
        """The error on (X, y) of the best constant label."""
        return 1 - float(torch.bincount(self.y).max()) / len(self.y)

    def error(self, theta: Tensor, X: Tensor, y: Tensor) -> float:
        """The 0-1 error at theta."""
        return float(wrong(self.model, theta[None], X, y)[0]) / len(y)


class HalfPrior:
    """Trains the prior on one half of a data set, then the posterior on all, part by part.

    The features are centred and scaled by the first half alone: the prior must not know the rest.
    """

    def __init__(self, name: str, *, n: int | None = None, seed: int = 0) -> None:
        check_one_of("name", name, RECIPES)
        self.recipe = recipe = RECIPES[name]
        data = load_dataset(name, n_train=n or recipe.n)
        generator = torch.Generator().manual_seed(check_seed(seed))
        order = torch.randperm(data.n, generator=generator)
        first, self._second = order[: data.n // 2], order[data.n // 2 :]
        raw, raw_test = (data.transform.invert(X) for X in (data.X_train, data.X_test))
        mean = raw[first].mean(0)
        transform = Transform(mean, float((raw[first] - mean).std()))
        X, X_test = transform.apply(raw), transform.apply(raw_test)
        self.data = replace(data, X_train=X, X_test=X_test, transform=transform)
        half = replace(self.data, X_train=X[first], y_train=data.y_train[first])
        self.seed = seed
        self._run = self._training(mlp((data.d, HIDDEN, data.K), seed=seed), half)
        self._prior: Tensor | None = None
        self._steps = 0
        self.pair: Pair | None = None

    @property
    def done(self) -> bool:
        return self.pair is not None

    @property
    def progress(self) -> float:
        """The share of all steps that has been taken."""
        return self._steps / (self.recipe.prior_steps + self.recipe.posterior_steps)

    def part(self, steps: int = 10) -> None:
        """Some steps more; `pair` is there after the last."""
        steps = check_int("steps", steps, low=1)
        end = self.recipe.prior_steps
        end += 0 if self._prior is None else self.recipe.posterior_steps
        steps = min(steps, end - self._steps)
        self._run.step(steps)
        self._steps += steps
        if self._steps < end:
            return
        theta = self._run.objective.flat_parameters()
        if self._prior is None:
            self._prior = theta
            self._run = self._training(self._run.model, self.data)
            return
        X, y = self.data.X_train[self._second], self.data.y_train[self._second]
        self.pair = Pair(self._run.model, self._prior, theta, X, y, self.data)

    def _training(self, model: nn.Module, data: Dataset) -> Training:
        settings = {"lr": self.recipe.lr, "batch_size": self.recipe.batch_size, "seed": self.seed}
        return Training(model, data, **settings, measures=(), scores=False)


class Certificate:
    """Noisy error, KL and certificate at each sigma, of a pair that is rescaled by alpha.

    The first layer times alpha, the last divided by it, in prior and posterior. `tied`: the noise
    in each block is sigma times the root mean square of the prior's numbers there, so that it is
    rescaled too. `settings`: how many sets of sigmas share the failure probability p. `draw`
    refines; `noisy`, `error` (its standard error), `upper` (its limit), `kl` and `values` are (S,).
    """

    def __init__(
        self,
        pair: Pair,
        sigmas: Sequence[float],
        *,
        alpha: float = 1.0,
        tied: bool = False,
        settings: int = 1,
        failure: float = 0.05,
        seed: int = 1,
    ) -> None:
        self.sigmas = [check_number("sigmas", sigma, above=0) for sigma in sigmas]
        alpha = check_number("alpha", alpha, above=0)
        p = check_number("failure", failure, above=0, below=1)
        self.pair = pair
        self.share = p / (len(self.sigmas) * check_int("settings", settings, low=1))
        tensors = list(pair.model.parameters())
        sizes = [tensor.numel() for tensor in tensors]
        layers = len(pair.model) // 2 + 1
        each = block_factors(pair.model, (alpha, *(1.0,) * (layers - 2), 1 / alpha))
        factors = torch.cat([torch.full((s,), f) for s, f in zip(sizes, each, strict=True)])
        self.prior, self.posterior = factors * pair.prior, factors * pair.posterior
        self.scale = torch.ones_like(factors)
        if tied:
            blocks = self.prior.split(sizes)
            self.scale = torch.cat(
                [block.square().mean().sqrt().expand_as(block) for block in blocks]
            )
        away = ((self.posterior - self.prior) / self.scale).double()
        ones = torch.ones_like(away)
        self.kl = np.array([gaussian_kl(away, s * ones, s) for s in self.sigmas])
        self._generator = torch.Generator().manual_seed(check_seed(seed))
        self.draws = 0
        self._sum, self._squares = np.zeros((2, len(self.sigmas)))
        self.upper = self.values = np.ones(len(self.sigmas))

    @property
    def n(self) -> int:
        return len(self.pair.y)

    def draw(self, draws: int) -> None:
        """So many draws more; the same ones for each sigma, which makes the curves smooth."""
        draws, size = check_int("draws", draws, low=1), len(self.scale)
        each = [torch.randn(size, generator=self._generator) for _ in range(draws)]
        z = torch.stack(each)  # one by one: the same in whatever portions
        for k, sigma in enumerate(self.sigmas):
            theta = self.posterior + sigma * self.scale * z
            share = wrong(self.pair.model, theta, self.pair.X, self.pair.y).double() / self.n
            self._sum[k] += float(share.sum())
            self._squares[k] += float(share.square().sum())
        self.draws += draws
        price = math.log(2 / (self.share / 2)) / self.draws
        self.upper = np.array([kl_inverse(q, price) for q in self.noisy])
        self.values = np.array(
            [kl_inverse(u, b) for u, b in zip(self.upper, self.budget, strict=True)]
        )

    @property
    def noisy(self) -> np.ndarray:
        return np.clip(self._sum / max(self.draws, 1), 0, 1)

    @property
    def error(self) -> np.ndarray:
        spread = np.maximum(self._squares / max(self.draws, 1) - self.noisy**2, 0)
        return np.sqrt(spread / max(self.draws - 1, 1))

    @property
    def budget(self) -> np.ndarray:
        """(KL + log(2 sqrt(n) / p)) / n, in nats: how far the error may be from that on samples."""
        return (self.kl + math.log(2 * math.sqrt(self.n) / (self.share / 2))) / self.n

    def on_new_data(self, sigma: float, draws: int = 20) -> tuple[float, float]:
        """The noisy error on the test samples, and its standard error."""
        generator = torch.Generator().manual_seed(2)
        data = self.pair.data
        z = torch.randn(draws, len(self.scale), generator=generator)
        theta = self.posterior + sigma * self.scale * z
        rate = float(wrong(self.pair.model, theta, data.X_test, data.y_test).double().mean())
        rate /= len(data.y_test)
        return rate, math.sqrt(rate * (1 - rate) / len(data.y_test))


def hold_out_bound(pair: Pair, failure: float = 0.05) -> float:
    """What the second half says of the prior's network alone: no noise, no KL.

    kl(error on the half || error on new data) <= log(1 / p) / n with probability 1 - p.
    """
    return kl_inverse(pair.error(pair.prior, pair.X, pair.y), math.log(1 / failure) / len(pair.y))


def wrong(model: nn.Module, theta: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """How many labels each of the networks theta (S, P) gets wrong, (S,)."""
    net = architecture(model)
    h = X.expand(len(theta), *X.shape)
    for layer, (weight, bias) in enumerate(zip(*net.split(theta), strict=True)):
        h = torch.baddbmm(bias, net.curve[0](h) if layer else h, weight.mT)
    return (h.argmax(2) != y).sum(1)
