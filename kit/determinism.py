"""Refuse a module whose output is random or depends on the rest of the batch.

>>> require_deterministic(nn.Sequential(nn.Linear(2, 3), nn.Dropout()), torch.zeros(4, 2))
Traceback (most recent call last):
ValueError: model: submodule '1' (Dropout) gives random outputs; call model.eval() first
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

ROWS = 16  # samples that the check runs on


def training_modes(modules: Sequence[nn.Module]) -> tuple[bool, ...]:
    """The mode (training or not) of each module."""
    return tuple([module.training for module in modules])


def require_deterministic(model: nn.Module, X: Tensor) -> Tensor:
    """Outputs (m, K) on the first rows of X, after three runs that must agree.

    The model runs twice on the same rows and once on part of them, with copied buffers and
    torch's random state put back. Raises ValueError naming the first submodule that differs.
    """
    rows = X[:ROWS]
    if len(rows) == 1:  # one sample cannot show that samples mix
        rows = torch.cat([rows, rows + 1])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, again = _run(model, rows), _run(model, rows)
        part = _run(model, rows[: len(rows) // 2])
    _refuse_difference(first, again, "gives random outputs")
    _refuse_difference(first, part, "mixes the samples of a batch")
    outputs = first[-1][2]
    if outputs.ndim != 2 or len(outputs) != len(rows):
        raise ValueError(f"model: outputs have shape {tuple(outputs.shape)}; takes (n, K)")
    return outputs[: len(X)]


def _run(model: nn.Module, X: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """Outputs of every submodule in the order in which they finish; the model's own last."""
    seen: list[tuple[str, nn.Module, Tensor]] = []

    def note(name: str, module: nn.Module):
        return lambda _module, _inputs, output: seen.append((name, module, output))

    hooks = [m.register_forward_hook(note(name, m)) for name, m in model.named_modules()]
    try:
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        try:
            functional_call(model, buffers, (X,))
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"X: the model does not take samples of shape {tuple(X.shape[1:])}: {error}"
            ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return [entry for entry in seen if isinstance(entry[2], Tensor)]


def _refuse_difference(first: list, other: list, fault: str) -> None:
    for (name, module, a), (_, _, b) in zip(first, other, strict=True):
        if a.ndim == 0 or b.ndim == 0 or a.shape[1:] != b.shape[1:]:
            continue
        m = min(len(a), len(b))
        scale = float(a.abs().max()) if a.numel() else 0.0
        tolerance = 1e3 * torch.finfo(a.dtype).eps * scale if a.is_floating_point() else 0
        if not torch.allclose(a[:m], b[:m], rtol=0, atol=tolerance, equal_nan=True):
            where = f"submodule {name!r} ({type(module).__name__})" if name else "the model itself"
            cure = "call model.eval() first" if module.training else "make it deterministic"
            raise ValueError(f"model: {where} {fault}; {cure}")
