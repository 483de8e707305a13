"""The public curvature packages on the same problems: `make bench`, in an environment of their own.

Ours is timed over 50 steps of a run, of which one has a cold check. Every peer gets the fastest of
its settings whose worst error, against float64 Lanczos, is at most twice ours (or `ALLOWED`, where
ours is smaller); where none is, that is said. Parameters along the run are computed first, and
loading them is timed for nobody.
"""

import copy
import importlib.util
import math
import sys
import time
import warnings
from functools import cache

import torch

from kit.curvature import eigenvalues
from kit.load import load_dataset
from kit.losses import one_hot
from kit.models import mlp
from kit.objective import Objective
from kit.spectrum import trace
from kit.tracking import EigenTracker
from kit.training import Training
from tests.bench.figure import Figure, seconds
from tests.bench.memory import peak_megabytes
from tests.oracles import top_eigenvalues

ALLOWED = 1e-4
FIVE_WITHIN = 1e-3  # worst relative error of the five largest eigenvalues
STEPS, EVERY = 50, 5  # steps that ours is timed over, and between two with a reference
PEERS = ("pyhessian", "hessian_eigenthings", "curvlinops")
# widths, data set, samples, learning rate, steps before: at the edge, or near it
RUNS = {
    701: ((1, 30, 20, 1), "chebyshev", None, 0.4, 600),
    15_002: ((64, 128, 48, 10), "digits", 500, 0.5, 300),
    99_126: ((64, 300, 256, 10), "digits", 500, 0.5, 200),
}


def missing():
    """The packages that are not here."""
    return [name for name in PEERS if importlib.util.find_spec(name) is None]


@cache
def along_a_run(P):
    """A network, its data, the parameters at successive steps, and lambda_max at each."""
    widths, name, n, lr, before = RUNS[P]
    data = load_dataset(name) if n is None else load_dataset(name, n_train=n)
    model = mlp(widths, activation="tanh")
    run = Training(model, data, loss="mse", lr=lr, measures=(), every=10**9)
    run.run(before)
    thetas = []
    for _ in range(STEPS):
        thetas.append(run.objective.flat_parameters())
        run.step()
    thetas = torch.stack(thetas)
    y = data.y_train
    targets = y if y.is_floating_point() else one_hot(y, widths[-1])
    exact, residual = top_eigenvalues(
        model, data.X_train, targets, thetas[::EVERY], steps=40, chunk=5
    )
    assert float(residual.max()) < 1e-2  # its square bounds the error
    return model, data.X_train, targets, thetas, exact


def half_square(f, y):
    return 0.5 * (f - y).square().sum(1).mean()


def ours(model, X, targets):
    objective, tracker = Objective(model, X, targets, loss="mse"), EigenTracker()
    return lambda: tracker.measure(objective).value


def pyhessian(setting):
    def make(model, X, targets):
        from pyhessian import hessian

        def measure():
            comp = hessian(model, half_square, data=(X, targets), cuda=False)
            values, _ = comp.eigenvalues(maxIter=setting[0], tol=setting[1], top_n=1)
            return values[0]

        return measure

    return make


def eigenthings(setting):
    def make(model, X, targets):
        import hessian_eigenthings as h

        def measure():
            operator = h.HessianOperator(model, [(X, targets)], h.supervised_loss(half_square))
            return float(h.lanczos(operator, k=1, max_iter=setting, which="LA").eigenvalues[0])

        return measure

    return make


def curvlinops_operator(model, X, targets):
    from curvlinops import HessianLinearOperator

    loss = torch.nn.MSELoss(reduction="mean")  # times K / 2 is ours
    parameters = [p for p in model.parameters() if p.requires_grad]
    return HessianLinearOperator(
        model, loss, parameters, [(X, targets)], check_deterministic=False
    ).to_scipy()


def curvlinops(setting):
    def make(model, X, targets):
        from scipy.sparse.linalg import eigsh

        last = [None]

        def measure():
            operator = curvlinops_operator(model, X, targets)
            values, vectors = eigsh(
                operator, k=1, which="LA", tol=setting[0], ncv=setting[1], v0=last[0]
            )
            last[0] = vectors[:, 0]  # a warm start: it takes one
            return float(values[0]) * targets.shape[1] / 2

        return measure

    return make


LADDERS = {
    "PyHessian": (pyhessian, [(20, 1e-2), (50, 1e-3), (100, 1e-4), (300, 1e-6), (1000, 1e-8)]),
    "hessian-eigenthings": (eigenthings, [5, 7, 10, 15, 20, 30, 40]),
    "curvlinops with eigsh": (curvlinops, [(1e-1, 5), (1e-2, 8), (1e-2, 20), (1e-4, 20)]),
}


def over_the_run(make, P, every=1):
    """Seconds a measurement, and the worst relative error where there is a reference."""
    model, X, targets, thetas, exact = along_a_run(P)
    measure, spent, worst = make(model, X, targets), [], 0.0
    for step in range(0, STEPS, every):
        torch.nn.utils.vector_to_parameters(thetas[step].clone(), model.parameters())
        start = time.perf_counter()
        value = measure()
        spent.append(time.perf_counter() - start)
        if step % EVERY == 0:
            worst = max(worst, abs(value / float(exact[step // EVERY]) - 1))
    return sum(spent) / len(spent), worst


def fastest(make, settings, P, allowed):
    """The first setting that is accurate enough, in order of cost."""
    for setting in settings:
        took, worst = over_the_run(make(setting), P, EVERY)
        if worst <= allowed:
            return took, worst, setting
    return took, worst, None


def top_along_a_run(P):
    def measure():
        torch.set_num_threads(1)
        over_the_run(ours, P, 25)  # warm-up
        mine, error = over_the_run(ours, P)
        ratios, parts = [], []
        for name, (make, settings) in LADDERS.items():
            took, worst, setting = fastest(make, settings, P, max(2 * error, ALLOWED))
            ratios.append(took / mine)
            note = f"error {worst:.1e}" if setting is not None else f"ERROR {worst:.1e} at best"
            parts.append(f"{name} {took / mine:.0f} times ({1e3 * took:.0f} ms, {note})")
        memory = peak_megabytes(lambda: over_the_run(ours, P, 25))
        text = f"ours {1e3 * mine:.1f} ms (error {error:.1e}, {memory:.0f} MB); " + "; ".join(parts)
        return min(ratios), text

    return measure


def top_five(P=15_002):
    torch.set_num_threads(1)
    from scipy.sparse.linalg import eigsh

    model, X, targets, thetas, _ = along_a_run(P)
    torch.nn.utils.vector_to_parameters(thetas[-1].clone(), model.parameters())
    objective = Objective(model, X, targets, loss="mse")
    exact = eigenvalues(
        Objective(copy.deepcopy(model).double(), X.double(), targets.double(), loss="mse"),
        5,
        tol=1e-6,
    ).values
    half_K = targets.shape[1] / 2

    def eigsh_five(setting):
        operator = curvlinops_operator(model, X, targets)
        values = eigsh(operator, k=5, which="LA", tol=setting)[0]
        return torch.as_tensor(values.copy()).flip(0) * half_K

    tools = {  # and their settings, in order of cost
        "ours": (lambda tol: eigenvalues(objective, 5, tol=tol).values, [1e-1, 3e-2, 1e-2, 3e-3]),
        "hessian-eigenthings": (
            lambda steps: five_of_eigenthings(model, X, targets, steps),
            [15, 20, 25, 30, 40, 50],
        ),
        "curvlinops with eigsh": (eigsh_five, [1e-1, 1e-2, 1e-3]),
    }
    parts, took = [], {}
    for name, (tool, settings) in tools.items():
        for setting in settings:
            error = float((tool(setting).double() / exact - 1).abs().max())
            if error <= FIVE_WITHIN:
                break
        took[name] = seconds(lambda tool=tool, setting=setting: tool(setting), 3)
        parts.append(f"{name} {1e3 * took[name]:.0f} ms (error {error:.1e})")
    ratio = min(t for name, t in took.items() if name != "ours") / took["ours"]
    return ratio, f"{ratio:.1f} times as fast at an error within {FIVE_WITHIN}: {'; '.join(parts)}"


def five_of_eigenthings(model, X, targets, steps):
    import hessian_eigenthings as h

    operator = h.HessianOperator(model, [(X, targets)], h.supervised_loss(half_square))
    return h.lanczos(operator, k=5, max_iter=steps, which="LA").eigenvalues.detach().cpu()


def traces(P=15_002):
    """Time to a given standard error: of Hutchinson's, time goes with its inverse square."""
    torch.set_num_threads(1)
    import hessian_eigenthings as h

    model, X, targets, thetas, _ = along_a_run(P)
    torch.nn.utils.vector_to_parameters(thetas[-1].clone(), model.parameters())
    objective = Objective(model, X, targets, loss="mse")
    operator = h.HessianOperator(model, [(X, targets)], h.supervised_loss(half_square))
    mine = trace(objective, probes=60)
    plain = h.hutchinson(operator, num_samples=60, seed=0)
    error = float(plain.stderr)
    apart = abs(mine.value - float(plain.estimate)) / math.hypot(mine.standard_error, error)
    assert apart < 5, f"the two traces differ by {apart:.1f} standard errors"
    ours_took = seconds(lambda: trace(objective, probes=60), 3)
    theirs_took = seconds(lambda: h.hutchinson(operator, num_samples=60, seed=0), 3)
    ratio = theirs_took / ours_took * (error / mine.standard_error) ** 2
    return ratio, (
        f"{ratio:.0f} times as fast as hessian-eigenthings' Hutchinson "
        f"({1e3 * ours_took:.0f} ms for {mine.standard_error:.2g}, "
        f"{1e3 * theirs_took:.0f} ms for {error:.2g})"
    )


FIGURES = (
    *(
        Figure(
            f"lambda_max at every step at the edge, {P:,} parameters, against the nearest peer",
            top_along_a_run(P),
            lambda v: v >= 5,
        )
        for P in RUNS
    ),
    Figure("top five eigenvalues, 15,002 parameters", top_five),
    Figure("trace at equal standard error, 15,002 parameters", traces),
)


def main() -> int:
    if missing():
        print(f"not here: {', '.join(missing())}; run `make bench`, which installs them")
        return 1
    warnings.simplefilter("ignore")  # the peers' own
    missed = 0
    for figure in FIGURES:
        value, text = figure.measure()
        met = figure.bar is None or figure.bar(value)
        missed += not met
        verdict = "" if figure.bar is None else (" (bar met)" if met else " (BAR MISSED)")
        print(f"{figure.name}: {text}{verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
