"""Checks of lab (b): Jacobian norms, Gauss-Newton, the link between the two and its failures."""

from __future__ import annotations

import numpy as np
import torch

from kit.check.exercise import Exercise, Mistake


def _softmax(f):
    p = np.exp(f - f.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def _net(rng: np.random.Generator) -> tuple:
    """A two-layer tanh network, bent at x, whose W1 has more rows than columns."""
    d, m, K = int(rng.integers(2, 4)), int(rng.integers(4, 7)), int(rng.integers(2, 5))
    W1, b1 = rng.normal(size=(m, d)), 0.7 * rng.normal(size=m)
    W2, b2 = rng.normal(size=(K, m)), rng.normal(size=K)
    return W1, b1, W2, b2, 0.7 * rng.normal(size=d)


def _jacobian(W1, b1, W2, b2, x):
    """By torch's automatic differentiation: the student is asked for the chain rule."""
    W1, b1, W2, b2, x = (torch.as_tensor(a) for a in (W1, b1, W2, b2, x))
    return torch.autograd.functional.jacobian(
        lambda x: W2 @ torch.tanh(W1 @ x + b1) + b2, x
    ).numpy()


def _with_slope(slope):
    def answer(W1, b1, W2, b2, x):
        return (W2 * slope(W1 @ x + b1)) @ W1

    return answer


jacobian = Exercise(
    "jacobian",
    _net,
    _jacobian,
    (
        Mistake(
            "no slope",
            _with_slope(np.ones_like),
            "You multiply the weights as if tanh were not there. What is its slope at each unit?",
        ),
        Mistake(
            "tanh itself",
            _with_slope(np.tanh),
            "Between the weights stands tanh itself. The chain rule takes its derivative.",
        ),
        Mistake(
            "square forgotten",
            _with_slope(lambda z: 1 - np.tanh(z)),
            "Your slope of tanh can exceed 1. Differentiate it once more: which power is missing?",
        ),
        Mistake(
            "bias forgotten",
            lambda W1, b1, W2, b2, x: (W2 * (1 - np.tanh(W1 @ x) ** 2)) @ W1,
            "The slopes are taken at the wrong place: what is the input of tanh, all of it?",
        ),
        Mistake(
            "twice the activation",
            _with_slope(lambda z: 1 - np.tanh(np.tanh(z)) ** 2),
            "tanh is applied twice before its slope is taken.",
        ),
        Mistake(
            "relu",
            _with_slope(lambda z: (z > 0).astype(float)),
            "That is the Jacobian of a ReLU network: slopes 0 and 1. This one has tanh.",
        ),
    ),
    takes="It takes W1 (m, d), b1 (m,), W2 (K, m), b2 (K,), x (d,) and returns an array (K, d).",
)


def _wide(rng: np.random.Generator) -> tuple:
    K, d = int(rng.integers(2, 6)), int(rng.integers(8, 40))
    return (rng.uniform(0.3, 3) * rng.normal(size=(K, d)) * rng.uniform(0.2, 2, size=(K, 1)),)


spectral_norm = Exercise(
    "spectral_norm",
    _wide,
    lambda J: np.linalg.norm(J, 2),
    (
        Mistake(
            "squared",
            lambda J: np.linalg.norm(J, 2) ** 2,
            "That is the eigenvalue of the Gram matrix. How does it go with the length of J v?",
        ),
        Mistake(
            "frobenius",
            lambda J: np.linalg.norm(J),
            "That is the Frobenius norm: it adds up all directions. Wanted is the one in which J "
            "stretches most.",
        ),
        Mistake(
            "smallest",
            lambda J: np.linalg.svd(J, compute_uv=False)[-1],
            "You take the other end: in which order does eigvalsh return eigenvalues?",
        ),
        Mistake(
            "longest row",
            lambda J: np.linalg.norm(J, axis=1).max(),
            "That is the longest gradient of one output. A mix of outputs can be steeper.",
        ),
        Mistake(
            "longest column",
            lambda J: np.linalg.norm(J, axis=0).max(),
            "That is the stretch of the inputs' own axes. A direction between them is steeper.",
        ),
        Mistake(
            "trace",
            lambda J: (J**2).sum(),
            "That is the trace of the Gram matrix: the sum of all its eigenvalues.",
        ),
        Mistake(
            "largest entry",
            lambda J: np.abs(J).max(),
            "That is the largest entry: one input, one output. Directions mix them.",
        ),
    ),
    takes="It takes J (K, d) and returns one number.",
)


def _logits(rng: np.random.Generator) -> tuple:
    """Logits of three sizes: undecided, fairly confident, and far from 0 altogether."""
    f = rng.normal(size=int(rng.integers(3, 6))) * rng.choice([0.5, 3.0])
    return (f + rng.choice([0.0, 0.0, -900.0, 900.0]),)


def _cost_curvature(f):
    f = torch.as_tensor(f)
    return torch.autograd.functional.hessian(lambda f: torch.logsumexp(f, 0), f).numpy()


def _of_p(curvature):
    return lambda f: curvature(_softmax(f))


cost_curvature = Exercise(
    "cost_curvature",
    _logits,
    _cost_curvature,
    (
        Mistake(
            "diagonal of p",
            _of_p(np.diag),
            "The probabilities are not free: raising one logit lowers all other ones. Which term "
            "is missing?",
        ),
        Mistake(
            "off-diagonal missing",
            _of_p(lambda p: np.diag(p * (1 - p))),
            "The diagonal is right. The entries beside it are not 0: every p depends on every "
            "logit.",
        ),
        Mistake(
            "plus",
            _of_p(lambda p: np.diag(p) + np.outer(p, p)),
            "A sign: adding the same number to all logits changes nothing, so each row sums to 0.",
        ),
        Mistake(
            "outer product only",
            _of_p(lambda p: np.outer(p, p)),
            "That has no negative entry. The same number added to all logits changes nothing: "
            "what must each row sum to?",
        ),
        Mistake(
            "independent sigmoids",
            lambda f: np.diag(0.25 / np.cosh(np.clip(f, -300, 300) / 2) ** 2),
            "That is the curvature of K separate sigmoids. Here the K probabilities sum to 1.",
        ),
        Mistake(
            "divided by K",
            _of_p(lambda p: (np.diag(p) - np.outer(p, p)) / len(p)),
            "Right up to a factor: the cost of one sample is not a mean over the outputs.",
        ),
        Mistake(
            "negative",
            _of_p(lambda p: np.outer(p, p) - np.diag(p)),
            "The sign: the cost is convex in the logits, so no eigenvalue is negative.",
        ),
    ),
    takes="It takes logits f (K,) and returns an array (K, K).",
)


def _linear(rng: np.random.Generator) -> tuple:
    n, d, K = int(rng.integers(3, 8)), int(rng.integers(2, 4)), int(rng.integers(2, 4))
    loss = "mse" if rng.random() < 0.4 else "cross_entropy"
    return rng.normal(size=(n, d)) + 0.5, rng.normal(size=(K, d)), loss


def _costs(loss):
    """The second derivative of the cost at each sample, (n, K, K)."""
    if loss == "mse":
        return lambda f: np.tile(np.eye(f.shape[1]), (len(f), 1, 1))
    return lambda f: np.stack([np.diag(p) - np.outer(p, p) for p in _softmax(f)])


def _whole_hessian(X, W, loss):
    """Of the mean loss, by torch. A model that is linear in W has no other part than G."""
    X, W = torch.as_tensor(X), torch.as_tensor(W)

    def value(theta):
        f = X @ theta.view_as(W).T
        cost = f.square().sum(1) / 2 if loss == "mse" else torch.logsumexp(f, 1) - f[:, 0]
        return cost.mean()

    return torch.autograd.functional.hessian(value, W.reshape(-1)).numpy()


def _gauss_newton(X, W, loss, join=lambda A, x: np.kron(A, np.outer(x, x))):
    A = _costs(loss)(X @ W.T)
    return sum(join(a, x) for a, x in zip(A, X, strict=True)) / len(X)


gauss_newton = Exercise(
    "gauss_newton",
    _linear,
    _whole_hessian,
    (
        Mistake(
            "sum",
            lambda X, W, loss: len(X) * _gauss_newton(X, W, loss),
            "Too large by the same factor everywhere in a case: the loss is a mean over samples.",
        ),
        Mistake(
            "other order",
            lambda X, W, loss: _gauss_newton(X, W, loss, lambda A, x: np.kron(np.outer(x, x), A)),
            "The entries are right, in another order: the parameters are W row by row, all inputs "
            "of output 1 first.",
        ),
        Mistake(
            "identity for both",
            lambda X, W, loss: _gauss_newton(X, W, "mse"),
            "Right for mse. Cross-entropy has a cost curvature of its own at each sample.",
        ),
        Mistake(
            "means multiplied",
            lambda X, W, loss: np.kron(_costs(loss)(X @ W.T).mean(axis=0), X.T @ X / len(X)),
            "You multiply two means. Wanted is the mean of products: a sample's cost curvature "
            "goes with its own input.",
        ),
        Mistake(
            "outputs apart",
            lambda X, W, loss: _gauss_newton(
                X, W, loss, lambda A, x: np.kron(np.diag(np.diag(A)), np.outer(x, x))
            ),
            "The blocks on the diagonal are right. Blocks of two different outputs are not 0 under "
            "cross-entropy.",
        ),
        Mistake(
            "factor two",
            lambda X, W, loss: (1 + (loss == "mse")) * _gauss_newton(X, W, loss),
            "Under mse you are off by a factor: the cost is one half of the squared distance.",
        ),
        Mistake(
            "centred inputs",
            lambda X, W, loss: (
                sum(
                    np.kron(A, np.outer(x, x))
                    for A, x in zip(_costs(loss)(X @ W.T), X - X.mean(axis=0), strict=True)
                )
                / len(X)
            ),
            "You subtract the mean from the inputs. That is a covariance; the loss sees x itself.",
        ),
    ),
    takes='It takes X (n, d), W (K, d), "mse" or "cross_entropy"; returns an array (K d, K d).',
)


def _unit_signals(rng: np.random.Generator) -> tuple:
    n, d, m = int(rng.integers(4, 8)), int(rng.integers(2, 5)), int(rng.integers(2, 5))
    return rng.normal(size=(n, d)), rng.normal(size=(n, m))


def _dense_first_layer(X, U):
    """From the whole matrix of derivatives in W1, squared singular values: no Gram product."""
    rows = np.stack([np.outer(u, x).ravel() for u, x in zip(U, X, strict=True)])
    return np.linalg.norm(rows, 2) ** 2 / len(X)


def _top(K):
    return np.linalg.eigvalsh(K)[-1]


first_layer = Exercise(
    "first_layer",
    _unit_signals,
    _dense_first_layer,
    (
        Mistake(
            "sum",
            lambda X, U: len(X) * _dense_first_layer(X, U),
            "Too large by n: the loss is a mean over samples.",
        ),
        Mistake(
            "inputs only",
            lambda X, U: _top(X @ X.T) / len(X),
            "Only the inputs are in it. What a weight does to the output also depends on what "
            "comes after it.",
        ),
        Mistake(
            "signals only",
            lambda X, U: _top(U @ U.T) / len(X),
            "Only the later layers are in it. A weight's effect is also as large as its input.",
        ),
        Mistake(
            "matrix product",
            lambda X, U: _top((X @ X.T) @ (U @ U.T)) / len(X),
            "You multiply the two matrices. An entry is a product of two inner products, "
            "those of samples i and j: multiply entry by entry.",
        ),
        Mistake(
            "bias counted",
            lambda X, U: _top((X @ X.T + 1) * (U @ U.T)) / len(X),
            "The 1 belongs to a bias. This layer has none.",
        ),
        Mistake(
            "one sample",
            lambda X, U: ((X**2).sum(1) * (U**2).sum(1)).max() / len(X),
            "That is the largest of single samples, a lower bound. The off-diagonal entries say "
            "how samples add up.",
        ),
        Mistake(
            "trace",
            lambda X, U: ((X**2).sum(1) * (U**2).sum(1)).sum() / len(X),
            "That is the trace, the sum of all eigenvalues, not the largest.",
        ),
    ),
    takes="It takes X (n, d) and U (n, m) and returns one number.",
)


def _samples(rng: np.random.Generator) -> tuple:
    """Norms, inputs and first weights; the steepest sample is not the one furthest from 0."""
    n, d, m = int(rng.integers(5, 10)), int(rng.integers(2, 5)), int(rng.integers(3, 7))
    X, J = rng.normal(size=(n, d)), rng.uniform(1, 2, size=n)
    length = np.linalg.norm(X, axis=1)
    J[length.argmax()] = 0.6
    J[length.argmin()] = 3.0
    return J, X, rng.uniform(0.5, 2) * rng.normal(size=(m, d))


def _floor(J, X, W1):
    """As the largest of n quotients, one sample after another."""
    stretch = np.linalg.eigvalsh(W1.T @ W1)[-1]
    return max((float(x @ x) + 1) * float(j) ** 2 for j, x in zip(J, X, strict=True)) / (
        stretch * len(X)
    )


def _squares(X):
    return (X**2).sum(axis=1)


sharpness_floor = Exercise(
    "sharpness_floor",
    _samples,
    _floor,
    (
        Mistake(
            "maxima multiplied",
            lambda J, X, W1: (
                (_squares(X) + 1).max() * J.max() ** 2 / np.linalg.norm(W1, 2) ** 2 / len(X)
            ),
            "You take two maxima, of two different samples. It is no lower bound: one sample must "
            "have both.",
        ),
        Mistake(
            "mean of samples",
            lambda J, X, W1: ((_squares(X) + 1) * J**2).mean() / np.linalg.norm(W1, 2) ** 2,
            "You average over samples. Proved is 1/n times the largest: samples need not add up, "
            "as page 4 shows with inputs at right angles.",
        ),
        Mistake(
            "no 1/n",
            lambda J, X, W1: len(X) * _floor(J, X, W1),
            "You leave out that the loss is a mean: one sample has weight 1/n in it.",
        ),
        Mistake(
            "no bias",
            lambda J, X, W1: (_squares(X) * J**2).max() / np.linalg.norm(W1, 2) ** 2 / len(X),
            "This first layer has biases: a bias is a weight whose input is 1.",
        ),
        Mistake(
            "frobenius",
            lambda J, X, W1: ((_squares(X) + 1) * J**2).max() / np.linalg.norm(W1) ** 2 / len(X),
            "It is a lower bound, but not the best: W1 stretches by its spectral norm at most, and "
            "you divide by the Frobenius norm.",
        ),
        Mistake(
            "first power",
            lambda J, X, W1: ((_squares(X) + 1) * J).max() / np.linalg.norm(W1, 2) / len(X),
            "G has two factors of the derivative, J and J transposed: both norms enter squared.",
        ),
        Mistake(
            "spectral norm not squared",
            lambda J, X, W1: ((_squares(X) + 1) * J**2).max() / np.linalg.norm(W1, 2) / len(X),
            "The norm of W1 enters once in yours. J comes in squared: so does what it is divided "
            "by.",
        ),
        Mistake(
            "length not squared",
            lambda J, X, W1: (
                ((np.sqrt(_squares(X)) + 1) * J**2).max() / np.linalg.norm(W1, 2) ** 2 / len(X)
            ),
            "The length of the input enters squared: it comes from an inner product of x with x.",
        ),
    ),
    takes="It takes J (n,), X (n, d), W1 (m, d) and returns one number.",
)

EXERCISES = {
    e.name: e
    for e in (
        jacobian,
        spectral_norm,
        cost_curvature,
        gauss_newton,
        first_layer,
        sharpness_floor,
    )
}
