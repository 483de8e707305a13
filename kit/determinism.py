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
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from kit.seeding import seeded
from kit.stack import architecture

ROWS = 16  # samples that the check runs on
RANDOM, MIXES = "gives random outputs", "mixes the samples of a batch"
Seen = list[tuple[str, nn.Module, Tensor]]


def training_modes(modules: Sequence[nn.Module]) -> tuple[bool, ...]:
    """The mode (training or not) of each module."""
    return tuple([module.training for module in modules])


def buffer_copies(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the buffers, for `functional_call`: what a forward pass writes is lost."""
    return {name: buffer.detach().clone() for name, buffer in model.named_buffers()}


def require_deterministic(model: nn.Module, X: Tensor) -> Tensor:
    """Outputs (m, K) on the first rows of X, after three runs that must agree.

    The model runs twice on the same rows and once on part of them, with copied buffers and
    torch's random state put back. Raises ValueError naming the first submodule that differs.
    """
    _refuse_known(model)
    rows = X[:ROWS]
    if len(rows) == 1:  # one sample cannot show that samples mix
        rows = torch.cat([rows, rows + 1])
    if architecture(model) is not None:  # a plain perceptron: neither can happen
        with torch.no_grad():
            outputs, _ = _run(model, rows)
    else:
        outputs = _compare_runs(model, rows)
    if not isinstance(outputs, Tensor):
        raise ValueError(f"model: gives a {type(outputs).__name__}; takes outputs (n, K)")
    if outputs.ndim != 2 or len(outputs) != len(rows):
        raise ValueError(f"model: outputs have shape {tuple(outputs.shape)}; takes (n, K)")
    return outputs[: len(X)]


def _compare_runs(model: nn.Module, rows: Tensor) -> object:
    with torch.no_grad(), seeded(0):
        outputs, first = _run(model, rows)
        _refuse_difference(first, _run(model, rows)[1], RANDOM)
        _refuse_difference(first, _run(model, rows[: len(rows) // 2])[1], MIXES)
    return outputs


def _refuse_known(model: nn.Module) -> None:
    """By type: a small dropout rate may drop nothing in a few runs."""
    for name, module in model.named_modules():
        if isinstance(module, _DropoutNd) and module.training and module.p > 0:
            raise _refusal(name, module, RANDOM)
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            raise _refusal(name, module, MIXES)


def _run(model: nn.Module, X: Tensor) -> tuple[object, Seen]:
    """The outputs, and those of every submodule in the order in which they finish."""
    seen: Seen = []

    def note(name: str, module: nn.Module):
        def hook(_module, _inputs, output):
            if isinstance(output, Tensor):
                seen.append((name, module, output))

        return hook

    hooks = [m.register_forward_hook(note(name, m)) for name, m in model.named_modules()]
    try:
        outputs = functional_call(model, buffer_copies(model), (X,))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"X: the model does not take samples of shape {tuple(X.shape[1:])}: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return outputs, seen


def _refuse_difference(first: Seen, other: Seen, fault: str) -> None:
    for (name, module, a), (other_name, _, b) in zip(first, other, strict=False):
        if name != other_name:  # another path through the model
            raise _refusal("", module, fault)
        if a.ndim == 0 or b.ndim == 0 or a.shape[1:] != b.shape[1:]:
            continue
        m = min(len(a), len(b))
        scale = float(a.nan_to_num().abs().max()) if a.numel() else 0.0
        tolerance = 1e3 * torch.finfo(a.dtype).eps * scale if a.is_floating_point() else 0
        if not torch.allclose(a[:m], b[:m], rtol=0, atol=tolerance, equal_nan=True):
            raise _refusal(name, module, fault)


def _refusal(name: str, module: nn.Module, fault: str) -> ValueError:
    where = f"submodule {name!r} ({type(module).__name__})" if name else "the model itself"
    cure = "call model.eval() first" if module.training else "make it deterministic"
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        cure = "give it running statistics (track_running_stats=True)"
    return ValueError(f"model: {where} {fault}; {cure}")
