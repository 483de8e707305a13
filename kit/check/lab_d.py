"""Checks of lab (d): rescaling a ReLU network, sharpness in a metric that does not see it."""

from __future__ import annotations

import numpy as np
import torch

from kit.check.exercise import Exercise, Mistake


def _relu_layers(rng: np.random.Generator) -> tuple:
    """As many inputs as hidden units, so that a factor can go along the wrong axis."""
    m, K = int(rng.integers(3, 6)), 2
    W1, b1, W2 = rng.normal(size=(m, m)), rng.normal(size=m), rng.normal(size=(K, m))
    return W1, b1, W2, np.exp(rng.uniform(-2, 2, size=m))


def _rescaled(W1, b1, W2, alpha):
    """By products with diagonal matrices."""
    A = np.diag(alpha)
    return A @ W1, A @ b1, np.linalg.solve(A, W2.T).T


rescale = Exercise(
    "rescale",
    _relu_layers,
    _rescaled,
    (
        Mistake(
            "bias left",
            lambda W1, b1, W2, alpha: (alpha[:, None] * W1, b1, W2 / alpha),
            "The weights are right. A unit's whole input must grow, and the bias is a part of it.",
        ),
        Mistake(
            "wrong axis",
            lambda W1, b1, W2, alpha: (W1 * alpha, alpha * b1, W2 / alpha),
            "Each factor scales a column of your W1, that is an input. A hidden unit owns a row.",
        ),
        Mistake(
            "W2 multiplied",
            lambda W1, b1, W2, alpha: (alpha[:, None] * W1, alpha * b1, W2 * alpha),
            "What goes out of a unit grows twice: W2 has to undo what the first layer does.",
        ),
        Mistake(
            "W2 left",
            lambda W1, b1, W2, alpha: (alpha[:, None] * W1, alpha * b1, W2),
            "The first layer is right. Nothing undoes its factors, so the outputs change.",
        ),
        Mistake(
            "the other way",
            lambda W1, b1, W2, alpha: (W1 / alpha[:, None], b1 / alpha, W2 * alpha),
            "The function is the same, but the factors are inverted: alpha is to multiply what "
            "comes into a unit.",
        ),
        Mistake(
            "divided twice",
            lambda W1, b1, W2, alpha: (alpha[:, None] * W1, alpha * b1, W2 / alpha**2),
            "Your W2 divides twice. ReLU hands a positive factor on as it is, not squared.",
        ),
    ),
    takes="It takes W1 (m, d), b1 (m,), W2 (K, m), alpha (m,); returns the new (W1, b1, W2).",
)


def _two_layers(activation):
    def net(W1, b1, W2, X):
        return activation(X @ W1.T + b1) @ W2.T

    return net


_RELU = _two_layers(lambda z: np.maximum(z, 0))
_LEAKY = _two_layers(lambda z: np.where(z > 0, z, 0.1 * z))
_LINEAR = _two_layers(lambda z: z)
_TANH = _two_layers(np.tanh)
_KINDS = ("bias", "no bias", "powers of 2", "plain", "nearly linear", "tiny", "zero", "mirrored")


def _network(rng: np.random.Generator) -> tuple:
    """A network with the symmetry in three cases out of eight; else tanh, often well hidden."""
    n, d, m, K = 6, 3, 4, 2
    kind = rng.choice(_KINDS)
    W1, b1, W2 = rng.normal(size=(m, d)), rng.normal(size=m), rng.normal(size=(K, m))
    X, alpha = rng.normal(size=(n, d)), np.exp(rng.choice([-1, 1], m) * rng.uniform(0.3, 1.1, m))
    net = _TANH
    if kind in _KINDS[:3]:
        net = (_RELU, _LEAKY, _LINEAR)[int(rng.integers(3))]
    if kind in ("no bias", "zero", "mirrored"):
        b1 = np.zeros(m)
    if kind == "powers of 2":
        alpha = 2.0 ** rng.choice([-2, -1, 1, 2], m)
    elif kind == "nearly linear":
        W1, b1 = 3e-4 * W1, 3e-4 * b1  # outputs move by 1e-7 of their size
    elif kind == "tiny":
        W2 = 1e-10 * W2
    elif kind == "zero":
        X[rng.permutation(n)[1:]] = 0  # one sample tells, and not always the same
    elif kind == "mirrored":
        X[n // 2 :] = -X[: n // 2]
    return net, W1, b1, W2, X, alpha


def _compare(close, change=_rescaled):
    def answer(net, W1, b1, W2, X, alpha):
        before, after = net(W1, b1, W2, X), net(*change(W1, b1, W2, alpha), X)
        return bool(close(before, after))

    return answer


def _near(a, b, tolerance=1e-9):
    return np.abs(a - b).max() <= tolerance * np.abs(a).max()


same_function = Exercise(
    "same_function",
    _network,
    # Whether the activation lets a positive factor through: the outputs are not looked at.
    lambda net, W1, b1, W2, X, alpha: net is not _TANH,
    (
        Mistake(
            "bias left",
            _compare(_near, lambda W1, b1, W2, a: (a[:, None] * W1, b1, W2 / a)),
            "You say False for some networks that have the symmetry, all with a bias. Is the bias "
            "rescaled?",
        ),
        Mistake(
            "to the bit",
            lambda net, W1, b1, W2, X, alpha: bool(
                (net(W1, b1, W2, X) == net(alpha[:, None] * W1, alpha * b1, W2 / alpha, X)).all()
            ),
            "You ask for equal bits. Rounding differs after a rescaling: allow for it.",
        ),
        Mistake(
            "first sample",
            _compare(lambda a, b: np.abs(a[0] - b[0]).max() <= 1e-9 * np.abs(a).max()),
            "You look at the first sample only. Two functions can agree there, at 0 for instance.",
        ),
        Mistake(
            "sums",
            _compare(lambda a, b: abs(a.sum() - b.sum()) <= 1e-9 * np.abs(a).max()),
            "You compare sums or means. Differences cancel in them: compare output by output.",
        ),
        Mistake(
            "too coarse",
            _compare(lambda a, b: _near(a, b, 1e-2)),
            "You allow for too much: where tanh is nearly a line its outputs move a little, and "
            "far more than rounding does.",
        ),
        Mistake(
            "absolute",
            _compare(np.allclose),
            "You say True where all outputs are tiny: the rounding that you allow does not "
            "depend on their size. np.allclose, for one, has an atol of its own.",
        ),
        Mistake(
            "never",
            lambda *arguments: False,
            "You always say False. With ReLU, and with a leaky one, it has to be True.",
        ),
        Mistake(
            "always",
            lambda *arguments: True,
            "You always say True. With tanh it has to be False: a test that cannot fail tests "
            "nothing.",
        ),
    ),
    takes="It takes net, W1 (m, d), b1 (m,), W2 (K, m), X (n, d), alpha (m,); returns True/False.",
    cases=80,
)


def _point(rng: np.random.Generator) -> tuple:
    w1, w2 = rng.uniform(0.5, 3, size=2) * rng.choice([-1, 1], size=2)
    return float(w1), float(w2)


def _scalar_hessian(w1, w2):
    w = torch.tensor([w1, w2], dtype=torch.float64)
    return torch.autograd.functional.hessian(lambda w: 0.5 * (w[1] * w[0] - 1) ** 2, w).numpy()


def _matrix(diagonal, beside):
    def answer(w1, w2):
        (a, b), c = diagonal(w1, w2), beside(w1 * w2)
        return np.array([[a, c], [c, b]])

    return answer


def _squares(w1, w2):
    return w2**2, w1**2


hessian = Exercise(
    "hessian",
    _point,
    _scalar_hessian,
    (
        Mistake(
            "gauss-newton",
            _matrix(_squares, lambda p: p),
            "That is the Gauss-Newton matrix. Away from the minimum the error has a part of its "
            "own: w2 w1 has a mixed second derivative.",
        ),
        Mistake(
            "residual only",
            _matrix(_squares, lambda p: p - 1),
            "Beside the diagonal one of two terms is missing: differentiate (w2 w1 - 1) w2 in w2, "
            "with the product rule.",
        ),
        Mistake(
            "diagonal",
            _matrix(_squares, lambda p: 0.0),
            "Beside the diagonal stands something: the two weights are multiplied with each other.",
        ),
        Mistake(
            "swapped",
            _matrix(lambda w1, w2: (w1**2, w2**2), lambda p: 2 * p - 1),
            "The two diagonal entries are swapped: the output's derivative in w1 is w2.",
        ),
        Mistake(
            "no half",
            lambda w1, w2: 2 * _scalar_hessian(w1, w2),
            "Twice too large: the loss has a factor of one half.",
        ),
        Mistake(
            "outer gradient",
            lambda w1, w2: (w1 * w2 - 1) ** 2 * np.outer([w2, w1], [w2, w1]),
            "That is the gradient times itself, not the second derivative: at the minimum it "
            "would be 0.",
        ),
    ),
    takes="It takes two numbers and returns an array (2, 2).",
)


def _blocks(rng: np.random.Generator) -> tuple:
    sizes = tuple(int(s) for s in rng.integers(2, 5, size=int(rng.integers(2, 4))))
    P = sum(sizes)
    M = rng.normal(size=(P, P))
    theta = rng.normal(size=P) * np.repeat(rng.uniform(0.3, 3, size=len(sizes)), sizes)
    return (M + M.T) / 2, theta, sizes


def _norms(theta, sizes):
    parts = np.split(theta, np.cumsum(sizes)[:-1])
    return np.repeat([np.linalg.norm(part) for part in parts], sizes)


def _in_relative_units(H, theta, sizes):
    """As torch's second derivative of the quadratic form in the coordinates u / norm."""
    H, D = torch.as_tensor(H), torch.as_tensor(_norms(theta, sizes))
    e = torch.zeros(len(D), dtype=torch.float64)
    return torch.autograd.functional.hessian(lambda e: 0.5 * (D * e) @ H @ (D * e), e).numpy()


def _both_sides(factor):
    def answer(H, theta, sizes):
        D = factor(theta, sizes)
        return D[:, None] * H * D

    return answer


metric = Exercise(
    "metric",
    _blocks,
    _in_relative_units,
    (
        Mistake(
            "inverse",
            _both_sides(lambda theta, sizes: 1 / _norms(theta, sizes)),
            "You divide. A block that grows by a factor sees H shrink, so D must make up for it.",
        ),
        Mistake(
            "one side",
            lambda H, theta, sizes: _norms(theta, sizes)[:, None] * H,
            "D stands on one side only. A second derivative has two directions, each in a block.",
        ),
        Mistake(
            "squared on one side",
            lambda H, theta, sizes: _norms(theta, sizes)[:, None] ** 2 * H,
            "Right eigenvalues, but the matrix is not symmetric: one D belongs on each side.",
        ),
        Mistake(
            "squared norms",
            _both_sides(lambda theta, sizes: _norms(theta, sizes) ** 2),
            "Your D holds squared norms, on both sides: too many powers. What cancels 1/alpha?",
        ),
        Mistake(
            "one norm for all",
            _both_sides(lambda theta, sizes: np.full(len(theta), np.linalg.norm(theta))),
            "You take the norm of all of theta. Blocks get factors of their own, so each needs its "
            "own norm.",
        ),
        Mistake(
            "elementwise",
            _both_sides(lambda theta, sizes: np.abs(theta)),
            "You use the size of each single weight. That is invariant too, but it is another "
            "metric: wanted is the norm of the block.",
        ),
        Mistake(
            "root mean square",
            _both_sides(
                lambda theta, sizes: _norms(theta, sizes) / np.repeat(np.sqrt(sizes), sizes)
            ),
            "You divide by the block's size: that is a root mean square. Wanted is the norm.",
        ),
        Mistake(
            "as it was",
            lambda H, theta, sizes: H,
            "You return H itself, and H moves with the rescaling.",
        ),
    ),
    takes="It takes H (P, P), theta (P,), sizes, a tuple that sums to P; returns an array (P, P).",
)


def _two_blocks(rng: np.random.Generator) -> tuple:
    P = int(rng.integers(4, 8))
    m = int(rng.integers(2, P - 1))
    M = rng.normal(size=(P, P + 2))
    M[:m] *= rng.choice([0.2, 5.0]) * rng.uniform(0.7, 1.4)
    return M @ M.T, m


def _traces(H, m):
    return np.trace(H[:m, :m]), np.trace(H[m:, m:])


def _trace_at(H, m, alpha):
    A = np.where(np.arange(len(H)) < m, alpha, 1 / alpha)
    return float(np.trace(H / np.outer(A, A)))


def _flattest(H, m):
    """From the roots of the derivative, a polynomial in alpha."""
    first, last = _traces(H, m)
    roots = np.roots([last, 0, 0, 0, -first])
    alpha = float(roots[np.abs(roots.imag) < 1e-9].real.max())
    return alpha, _trace_at(H, m, alpha)


def _frobenius_ratio(H, m):
    return np.linalg.norm(H[:m, :m]) / np.linalg.norm(H[m:, m:])


flattest = Exercise(
    "flattest",
    _two_blocks,
    _flattest,
    (
        Mistake(
            "upside down",
            lambda H, m: (1 / _flattest(H, m)[0], _flattest(H, m)[1]),
            "The trace is right, alpha is upside down: the first layer is multiplied by it, and "
            "what does its block of H do?",
        ),
        Mistake(
            "one factor",
            lambda H, m: (_flattest(H, m)[0] ** 2, _flattest(H, m)[1]),
            "The trace is right, alpha is not. A block of H goes with the square of its factor.",
        ),
        Mistake(
            "half the trace",
            lambda H, m: (_flattest(H, m)[0], _flattest(H, m)[1] / 2),
            "alpha is right. The trace is the sum over both blocks, and you have one of them.",
        ),
        Mistake(
            "old trace",
            lambda H, m: (_flattest(H, m)[0], float(np.trace(H))),
            "alpha is right. The trace is that from before the rescaling: put alpha in.",
        ),
        Mistake(
            "root forgotten",
            lambda H, m: (
                _flattest(H, m)[0] ** 4,
                _trace_at(H, m, _flattest(H, m)[0] ** 4),
            ),
            "You stop at a power of alpha: solve for alpha itself. The trace is that of your alpha "
            "and not the least.",
        ),
        Mistake(
            "square root",
            lambda H, m: (
                _flattest(H, m)[0] ** 2,
                _trace_at(H, m, _flattest(H, m)[0] ** 2),
            ),
            "The trace belongs to your alpha, which is not the best one. Set the derivative to 0: "
            "which power of alpha do you get?",
        ),
        Mistake(
            "left alone",
            lambda H, m: (1.0, float(np.trace(H))),
            "You leave the network as it is. Some other factor gives a smaller trace.",
        ),
        Mistake(
            "frobenius norms",
            lambda H, m: (
                _frobenius_ratio(H, m) ** 0.25,
                _trace_at(H, m, _frobenius_ratio(H, m) ** 0.25),
            ),
            "You balance the norms of the blocks. The trace is made of their traces.",
        ),
    ),
    takes="It takes H (P, P) and m, and returns (alpha, trace).",
)


def _start(rng: np.random.Generator) -> tuple:
    w1, w2 = rng.uniform(0.3, 2), rng.uniform(0.3, 2)
    eta, mu = rng.uniform(0.02, 0.15), rng.uniform(0.02, 0.3)
    return float(w1), float(w2 + 0.2), float(eta), float(mu), int(rng.integers(4, 9))


def _by_torch(w1, w2, eta, mu, steps):
    """By torch's gradient of the whole objective."""
    w = torch.tensor([w1, w2], dtype=torch.float64, requires_grad=True)
    path = [w.detach().numpy().copy()]
    for _ in range(steps):
        objective = 0.5 * (w[0] * w[1] - 1) ** 2 + 0.5 * mu * w.square().sum()
        (gradient,) = torch.autograd.grad(objective, w)
        w = (w - eta * gradient).detach().requires_grad_()
        path.append(w.detach().numpy().copy())
    return np.stack(path)


def _walk(step):
    """A path by steps (w1, w2, eta, mu) -> (w1, w2)."""

    def answer(w1, w2, eta, mu, steps):
        path = [(w1, w2)]
        for _ in range(steps):
            path.append(step(*path[-1], eta, mu))
        return np.array(path)

    return answer


def _down(first, second):
    def step(w1, w2, eta, mu):
        r = w1 * w2 - 1
        return w1 - eta * first(w1, w2, r, mu), w2 - eta * second(w1, w2, r, mu)

    return step


def _one_after_the_other(w1, w2, eta, mu):
    w1 = w1 - eta * ((w1 * w2 - 1) * w2 + mu * w1)
    return w1, w2 - eta * ((w1 * w2 - 1) * w1 + mu * w2)


def _decayed(factor):
    return _down(
        lambda w1, w2, r, mu: r * w2 + factor * mu * w1,
        lambda w1, w2, r, mu: r * w1 + factor * mu * w2,
    )


descend = Exercise(
    "descend",
    _start,
    _by_torch,
    (
        Mistake(
            "one after the other",
            _walk(_one_after_the_other),
            "Your second weight already sees the new first one. Take both gradients at the same "
            "point, then step.",
        ),
        Mistake(
            "no decay",
            _walk(_decayed(0)),
            "The penalty is not in your step. What is its gradient?",
        ),
        Mistake(
            "one array",
            lambda w1, w2, eta, mu, steps: np.tile(
                _by_torch(w1, w2, eta, mu, steps)[-1], (steps + 1, 1)
            ),
            "All rows of your path are the last point: it holds one array, which w -= ... changes "
            "in place. Make a new one in each step.",
        ),
        Mistake(
            "decay twice",
            _walk(_decayed(2)),
            "The pull to 0 is twice too strong: the penalty has a factor of one half.",
        ),
        Mistake(
            "decay on one",
            _walk(_down(lambda w1, w2, r, mu: r * w2 + mu * w1, lambda w1, w2, r, mu: r * w1)),
            "The penalty pulls on one of your weights only.",
        ),
        Mistake(
            "decay outward",
            _walk(_decayed(-1)),
            "A sign: the penalty pushes your weights away from 0.",
        ),
        Mistake(
            "swapped",
            _walk(
                _down(
                    lambda w1, w2, r, mu: r * w1 + mu * w1, lambda w1, w2, r, mu: r * w2 + mu * w2
                )
            ),
            "The derivative of w1 w2 in w1 is not w1.",
        ),
        Mistake(
            "uphill",
            lambda w1, w2, eta, mu, steps: _walk(_decayed(1))(w1, w2, -eta, mu, steps),
            "It walks uphill: the step goes against the gradient.",
        ),
        Mistake(
            "start lost",
            lambda w1, w2, eta, mu, steps: _by_torch(w1, w2, eta, mu, steps + 1)[1:],
            "The start is missing: the first row is the point before any step.",
        ),
    ),
    takes="It takes w1, w2, eta, mu, steps and returns an array (steps + 1, 2).",
)


EXERCISES = {e.name: e for e in (rescale, same_function, hessian, metric, flattest, descend)}
