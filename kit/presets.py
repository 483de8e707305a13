"""Runs that are known to show something, with the ranges that their tests hold them to.

>>> run = PRESETS["edge"].build(seed=0, measures=())
>>> run.objective.parameters, run.lr
(7434, 0.4)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kit.load import load_dataset
from kit.models import mlp
from kit.training import Training


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run on the page is made from: data, network, optimiser, cadence."""

    dataset: str = "mnist1d"
    n_train: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    loss: str = "mse"
    optimizer: str = "sgd"
    lr: float = 0.4
    batch_size: int | None = None
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    sam_radius: float = 0.0
    mixup: float = 0.0
    seed: int = 0
    every: int = 1

    def build(self, *, measures: Sequence[str], **changes: Any) -> Training:
        """A fresh `Training` of this configuration, with any of its fields changed."""
        config = replace(self, **changes) if changes else self
        data = load_dataset(config.dataset, n_train=config.n_train, **config.options)
        widths = (data.d, *config.hidden, data.K)
        model = mlp(widths, activation=config.activation, seed=config.seed)
        names = ("loss", "optimizer", "lr", "batch_size", "momentum", "nesterov", "weight_decay")
        names += ("label_smoothing", "sam_radius", "mixup", "seed", "every")
        settings = {name: getattr(config, name) for name in names}
        if settings["batch_size"] is not None:
            settings["batch_size"] = min(settings["batch_size"], data.n)
        return Training(model, data, measures=measures, **settings)


@dataclass(frozen=True)
class Preset:
    """A configuration with its title, what to see, and the ranges that a test checks.

    ranges: what -> (low, high), over three seeds; tests/test_presets.py says how each is measured.
    """

    title: str
    see: str
    config: RunConfig
    ranges: Mapping[str, tuple[float, float]]

    def build(self, *, measures: Sequence[str] = ("sharpness",), **changes: Any) -> Training:
        return self.config.build(measures=measures, **changes)


PRESETS: dict[str, Preset] = {
    "edge": Preset(
        "MNIST-1D: to the edge",
        "Sharpness climbs to 2/η and stays there, while ‖J‖ goes on climbing.",
        RunConfig("mnist1d", n_train=1000, lr=0.4, every=3),
        {
            "steps until 2/eta": (0, 250),
            "running mean over 2/eta": (0.95, 1.12),
            "after halving: steps until 0.9 of the new edge": (0, 500),
        },
    ),
    "slow": Preset(
        "MNIST-1D, 300: the slow climb",
        "Sharpness climbs from about 3 to 10 in some 400 steps, then stays.",
        RunConfig("mnist1d", n_train=300, lr=0.2),
        {
            "sharpness at the start": (2.5, 4.5),
            "steps until the running mean is at 2/eta": (400, 450),
            "mean over 2/eta afterwards": (0.98, 1.06),
        },
    ),
    "catapult": Preset(
        "Catapult: a step far too big",
        "η is twice too large at the start. The loss rises at first; within ten steps λ has fallen "
        "below 2/η, and the run goes on.",
        RunConfig("mnist1d", n_train=300, lr=1.2),
        {
            "lambda over 2/eta at the start": (1.5, 2.5),
            "largest loss over the first, in 20 steps": (1.1, 2.6),
            "lowest lambda over 2/eta, in 10 steps": (0.5, 0.9),
            "loss after 150 steps over the first": (0.1, 0.5),
        },
    ),
    "adam": Preset(
        "Adam: another sharpness and edge",
        "λ of the Hessian climbs on. λ(Q⁻¹H), as Adam's steps see it, comes to 38/η and stays.",
        RunConfig("mnist1d", n_train=1000, optimizer="adam", lr=3e-3, every=3),
        {
            "preconditioned sharpness over 38/eta, steps 400 to 1500": (0.85, 1.05),
            "sharpness, at step 1500 over that at 400": (1.25, 2.2),
        },
    ),
    "digits": Preset(
        "Digits: at the edge at once",
        "At 2/η from the start. Halving η does not lead to the new edge: the loss is too small.",
        RunConfig("digits", n_train=1000, lr=0.6, every=3),
        {
            "ratio from step 100": (0.9, 1.1),
            "after halving: largest ratio to the new edge": (0.3, 0.7),
        },
    ),
    "batches": Preset(
        "Small batches: batch sharpness at 2/η",
        "After some 1000 steps the curvature along the batches' own steps is at 2/η; "
        "λ stays at less than half of it.",
        RunConfig("mnist1d", n_train=300, lr=0.4, batch_size=8, every=5),
        {
            "batch sharpness over 2/eta, steps 1500 to 3000": (0.99, 1.12),
            "lambda over 2/eta, steps 1500 to 3000": (0.35, 0.48),
        },
    ),
    "chebyshev": Preset(
        "Chebyshev polynomial: a bound that is one",
        "A curve through 20 points. Every term of the bound is known here.",
        RunConfig("chebyshev", hidden=(30, 20), activation="tanh", lr=0.4),
        {"steps until 2/eta": (0, 500), "mean over 2/eta, steps 1000 to 2000": (0.95, 1.1)},
    ),
}
