"""The stability threshold of an optimiser's settings, with its formula in words for a page.

>>> sgd_threshold(0.4), sgd_threshold(0.1, momentum=0.5, weight_decay=1.0)
((5.0, '2/eta'), (29.0, '(2+2beta)/eta - mu'))
>>> adam_threshold(0.01, betas=(0.5, 0.999))
(600.0, "6/eta, for Adam's preconditioned Hessian")

Numbers are those of `kit.curvature.stability_threshold`; source: theory.md, II.1.
"""

from __future__ import annotations

from functools import lru_cache

from kit.checks import check_number
from kit.curvature import stability_threshold

_edge = lru_cache(1024)(stability_threshold)  # asked for at every step


def sgd_threshold(
    lr: float,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[float, str]:
    """The largest stable Hessian eigenvalue of `torch.optim.SGD`, and its formula.

    >>> sgd_threshold(0.1, momentum=0.9, dampening=0.9)[1]
    '(2+2beta)/((1-d)eta), with dampening d'

    v = beta v + (1 - d) g is the heavy ball with (1 - d) eta for eta, so its threshold is that of
    the heavy ball over 1 - d (with d = beta: the row "EMA momentum" of theory.md, II.1). Without
    momentum torch ignores dampening, and so does this. Raises ValueError naming the argument for
    settings outside the theory: lr 0, or dampening 1, where no new gradient enters.
    """
    about = ""
    if not momentum:
        name, step = "2/eta", lr
        about = " (dampening is ignored without momentum)" if dampening else ""
    elif nesterov:
        if dampening:
            raise ValueError(f"dampening: got {dampening}; takes 0 with nesterov")
        name, step = "(2+2beta)/((1+2beta)eta)", lr
    elif dampening:
        step = lr * (1 - check_number("dampening", dampening, low=0, below=1))
        name, about = "(2+2beta)/((1-d)eta)", ", with dampening d"
    else:
        name, step = "(2+2beta)/eta", lr
    edge = _edge(
        step, momentum=momentum, nesterov=nesterov and momentum > 0, weight_decay=weight_decay
    )
    return edge, name + (" - mu" if weight_decay else "") + about


def adam_threshold(
    lr: float, *, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> tuple[float, str]:
    """The largest stable eigenvalue of Adam's preconditioned Hessian, and its formula.

    >>> adam_threshold(0.1)[1]
    "38/eta, for Adam's preconditioned Hessian"
    """
    edge = _edge(lr, optimizer="adam", weight_decay=weight_decay, betas=tuple(betas))
    factor = (2 + 2 * betas[0]) / (1 - betas[0])
    return edge, f"{factor:.3g}/eta, for Adam's preconditioned Hessian"
