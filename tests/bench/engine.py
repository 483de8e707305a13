"""The measurement engine against plainer ways to the same numbers: one process, one thread."""

import statistics
import time
from functools import cache

import torch
from torch.func import functional_call, jacrev, vmap
from torch.nn.functional import cross_entropy

from kit.estimate import Estimate
from kit.fleet import Fleet
from kit.jacobian import jacobian_norms
from kit.load import load_dataset
from kit.models import mlp
from kit.objective import Objective
from kit.registry import measures
from kit.softrank import soft_rank
from kit.sweeps import sweep
from tests.bench.figure import Figure, seconds
from tests.bench.memory import peak_megabytes
from tests.bench.numerics import LR, SMALL, peer

DIGITS = (64, 32, 10)
CLASSES = {"live": 0.05, "slow": 2.0, "offline": float("inf")}  # seconds, at most


@cache
def digits():
    return load_dataset("digits")


def stack_of_32():
    torch.set_num_threads(1)
    fleet = Fleet(
        SMALL,
        load_dataset("chebyshev"),
        loss="mse",
        activation="tanh",
        lr=LR[SMALL],
        seed=list(range(32)),
    )

    def run():
        for _ in range(100):
            fleet.step()
            fleet.sharpness()

    run()
    ours = 3200 / seconds(run, 3)
    theirs, _ = peer(SMALL)
    text = f"{ours / theirs:.0f} times ({ours:.0f} and {theirs:.0f} network-steps/s)"
    return ours / theirs, text


def versus(ours, theirs, repeats=3):
    """Time of theirs over ours, and the peak memory of each."""
    torch.set_num_threads(1)
    ours(), theirs()
    ratio = seconds(theirs, repeats) / seconds(ours, repeats)
    memory = [peak_megabytes(f) for f in (ours, theirs)]
    return (
        ratio,
        f"{ratio:.1f} times as fast, peak memory {memory[0]:.0f} against {memory[1]:.0f} MB",
    )


def jacobians(name, widths):
    def measure():
        model, X = mlp(widths), load_dataset(name).X_train[:1000]
        parameters = {name: p.detach() for name, p in model.named_parameters()}

        def single(x):
            return functional_call(model, parameters, (x,))

        def plain():
            return torch.linalg.svdvals(vmap(jacrev(single))(X))[:, 0]

        assert float((jacobian_norms(model, X) / plain() - 1).abs().max()) < 1e-3
        return versus(lambda: jacobian_norms(model, X), plain, 5)

    return measure


def soft_ranks():
    model, n = mlp(DIGITS), 200
    X, y = digits().X_train[:n], digits().y_train[:n]
    objective = Objective(model, X, y)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def single(tensors, x):
        return functional_call(model, tensors, (x,))

    def plain():
        """Every eigenvalue of sum_i J_i' A_i J_i / n, P x P."""
        parts = vmap(jacrev(single), (None, 0))(parameters, X).values()
        J = torch.cat([part.flatten(2) for part in parts], dim=2)
        p = torch.softmax(model(X).detach(), 1)
        A = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
        G = torch.einsum("ikp,ikl,ilq->pq", J, A, J) / n
        a = torch.linalg.eigvalsh(G).clamp(min=0)
        return float((a / (a + 0.01)).sum())

    assert abs(plain() / soft_rank(objective, 0.01) - 1) < 1e-2
    return versus(lambda: soft_rank(objective, 0.01), plain, 1)


def sweep_of_32():
    data, steps = digits(), 300
    rates = [0.02 * 1.1**i for i in range(32)]

    def ours():
        sweep({"lr": rates, "batch_size": [16]}, data, model=DIGITS, budget=steps, progress=False)

    def plain():
        for lr in rates:
            model = mlp(DIGITS)
            optimizer = torch.optim.SGD(model.parameters(), lr=lr)
            generator = torch.Generator().manual_seed(0)
            order = torch.randperm(len(data.X_train), generator=generator)
            for step in range(steps):
                batch = order[16 * step % 960 :][:16]
                optimizer.zero_grad()
                cross_entropy(model(data.X_train[batch]), data.y_train[batch]).backward()
                optimizer.step()

    return versus(ours, plain)


@cache
def trained():
    fleet = Fleet(DIGITS, digits(), lr=0.5)
    fleet.step(300)
    return fleet.model(0)


def cost_of(name):
    """Seconds of one measure on a trained network of 2,410 parameters, 200 samples, warmed up."""
    torch.set_num_threads(1)
    entry, model = measures()[name], trained()
    if name == "interpolating_information_criterion":  # more parameters than outputs, by far
        model = mlp((64, 128, 48, 10)).double()
    objective = Objective(model, digits().X_train[:200], digits().y_train[:200])
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = entry.fn(objective)
        times.append(time.perf_counter() - start)
        assert isinstance(result, float | Estimate)
        if times[-1] > 2:
            break
    return statistics.median(times[1:] or times)


def costs():
    """How many measures are in another class than the registry says."""
    wrong, parts = [], []
    for name, entry in sorted(measures().items()):
        took = cost_of(name)
        real = next(label for label, limit in CLASSES.items() if took <= limit)
        parts.append(f"{name} {1e3 * took:.0f}")
        if real != entry.cost:
            wrong.append(f"{name} is {real}, not {entry.cost}")
    text = "; ".join(wrong) if wrong else "all in the class that they claim"
    return len(wrong), f"{text} (ms: {', '.join(parts)})"


FIGURES = (
    Figure(
        "a stack of 32 networks, 701 parameters, sharpness at every step, against the explainer",
        stack_of_32,
        lambda v: v >= 100,
    ),
    Figure(
        "Jacobian norms of 1000 samples against vmap(jacrev) and svdvals, MNIST, 784-100-100-10",
        jacobians("mnist5k", (784, 100, 100, 10)),
        lambda v: v >= 3,
    ),
    Figure("the same, digits, 64-32-10", jacobians("digits", DIGITS), lambda v: v >= 3),
    Figure("the same, digits, 64-128-48-10", jacobians("digits", (64, 128, 48, 10))),
    Figure("soft rank, 2,410 parameters, 200 samples, against a dense Fisher", soft_ranks),
    Figure(
        "a sweep of 32 networks, batch size 16, against a loop of SGD",
        sweep_of_32,
        lambda v: v >= 8,
    ),
    Figure("measures in another cost class than claimed", costs, lambda v: v == 0),
)
