"""Independent routes to the same numbers, in float64: what the tests compare the kit with.

Derivatives by torch's own functional interfaces, without the kit's closed forms and kept graphs;
eigenvalues along a whole run by plain Lanczos on all its parameters at once, without restarts or
warm starts.
"""

import torch
from torch.func import functional_call
from torch.nn import functional as F

from kit.losses import NamedLoss
from kit.models import mlp
from kit.objective import Objective
from kit.stack import StackPoint, architecture


def net(widths, activation="relu", *, bias=True, seed=0):
    """A float64 network of the kit."""
    return mlp(widths, activation=activation, bias=bias, seed=seed).double()


def samples(n, d, classes, *, seed=0):
    """Gaussian features (n, d) and labels that use every class, float64."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return X, torch.arange(n) % classes


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def put(model, theta):
    torch.nn.utils.vector_to_parameters(theta, model.parameters())
    return model


def outputs_of(model, X):
    """theta -> f(X), (n, K)."""
    shapes = {name: p.shape for name, p in model.named_parameters()}

    def outputs(theta):
        parts = theta.split([shape.numel() for shape in shapes.values()])
        named = {n: p.view(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}
        return functional_call(model, named, (X,))

    return outputs


def cost_of(y, loss, label_smoothing=0.0):
    """outputs (n, K) -> costs (n,)."""

    def cost(f):
        if callable(loss):
            return loss(f, y)
        if loss == "mse":
            target = y if y.is_floating_point() else F.one_hot(y, f.shape[1]).to(f)
            return 0.5 * (f - target).pow(2).sum(1)
        return F.cross_entropy(f, y, label_smoothing=label_smoothing, reduction="none")

    return cost


def loss_of(model, X, y, loss="cross_entropy", label_smoothing=0.0):
    """theta -> mean loss."""
    outputs, cost = outputs_of(model, X), cost_of(y, loss, label_smoothing)
    return lambda theta: cost(outputs(theta)).mean()


def gradient(model, *problem, **options):
    return torch.func.grad(loss_of(model, *problem, **options))(flat(model))


def hessian(model, *problem, **options):
    """By torch.autograd: reverse over reverse in torch.func is wrong for a layer norm (2.13)."""
    loss = loss_of(model, *problem, **options)
    return torch.autograd.functional.hessian(loss, flat(model))


def gauss_newton(model, X, y, loss="cross_entropy", label_smoothing=0.0):
    """sum_i J_i' A_i J_i / n."""
    outputs, cost = outputs_of(model, X), cost_of(y, loss, label_smoothing)
    f, J = outputs(flat(model)), torch.func.jacrev(outputs)(flat(model))
    A = torch.autograd.functional.hessian(lambda u: cost(u).sum(), f)
    JA = torch.einsum("ikP,ikjl->jlP", J, A)
    return torch.einsum("jlP,jlQ->PQ", JA, J) / len(f)


def prescribed(eigenvalues, *, seed=0):
    """An objective whose Hessian has these eigenvalues, negative ones too, in a random basis."""
    eigenvalues = torch.as_tensor(eigenvalues, dtype=torch.float64)
    P = len(eigenvalues)
    generator = torch.Generator().manual_seed(seed)
    X = torch.linalg.qr(torch.randn(P, P, generator=generator, dtype=torch.float64)).Q

    def loss(f, y):
        return 0.5 * P * y * f[:, 0].square()

    return Objective(net((P, 1), bias=False), X, eigenvalues, loss=loss)


def blockwise(model, function):
    """A vector (P,) made of function(parameter tensor) for each parameter tensor."""
    return torch.cat([function(p.detach()).expand(p.numel()) for p in model.parameters()])


def jacobian(model, X, softmax=False):
    """df/dx one sample at a time, (n, K, d)."""

    def single(x):
        f = model(x.unsqueeze(0))[0]
        return torch.softmax(f, 0) if softmax else f

    return torch.stack([torch.func.jacrev(single)(x).flatten(1).detach() for x in X])


def top_eigenvalues(model, X, targets, thetas, *, loss="mse", steps=20, chunk=250):
    """lambda_max(H) in float64 at each theta (m, P), by Lanczos with full reorthogonalisation.

    The m problems are one stack. Also the residual of each, relative to its value.
    """
    kind, X, targets = architecture(model), X.double(), targets.double()
    generator = torch.Generator().manual_seed(1)
    values, residuals = [], []
    for theta in thetas.double().split(chunk):
        point = StackPoint(kind, NamedLoss(loss, targets), theta, X)
        m, P = theta.shape
        V = torch.zeros(m, steps + 1, P, dtype=torch.float64)
        alpha, beta = torch.zeros(2, m, steps, dtype=torch.float64)
        V[:, 0] = torch.randn(m, P, generator=generator, dtype=torch.float64)
        V[:, 0] /= V[:, 0].norm(dim=1, keepdim=True)
        for j in range(steps):
            w = point.product(V[:, j])
            alpha[:, j] = (w * V[:, j]).sum(1)
            for _ in range(2):
                basis = V[:, : j + 1]
                w = w - torch.einsum("mjP,mj->mP", basis, torch.einsum("mjP,mP->mj", basis, w))
            beta[:, j] = w.norm(dim=1)
            V[:, j + 1] = w / beta[:, j, None].clamp(min=1e-300)
        off = torch.diag_embed(beta[:, :-1], 1)
        ritz, Y = torch.linalg.eigh(torch.diag_embed(alpha) + off + off.mT)
        values.append(ritz[:, -1])
        residuals.append(beta[:, -1] * Y[:, -1, -1].abs() / ritz[:, -1].abs())
    return torch.cat(values), torch.cat(residuals)
