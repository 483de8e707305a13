"""How the runs of a sweep are carried out: as fleets, one by one, in processes, or on a cluster.

>>> sorted(ENGINES)
['batched', 'dask', 'joblib', 'loop']
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kit.divergence import Divergence, active_units
from kit.estimate import Estimate
from kit.evaluation import evaluate_outputs
from kit.fleet import Fleet
from kit.objective import Objective
from kit.registry import measures as registry
from kit.stack import architecture
from kit.sweep_plan import DEFAULTS, Plan
from kit.sweep_table import Book
from kit.training import SCORES, Training

CHECK_EVERY = 10  # updates between looks at the training loss, with match="loss"
PART = 20  # updates of a fleet between two calls of `progress`
FLEET = 64  # networks trained as one program


def train_one(plan: Plan, run: Mapping[str, Any]) -> dict[str, Any]:
    """A finished row; errors become its status."""
    start = time.perf_counter()
    try:
        model = plan.network(run)
        initial = torch.cat([p.detach().flatten() for p in model.parameters()])
        settings = {name: run[name] for name in DEFAULTS}
        training = Training(
            model,
            plan.dataset,
            loss=plan.loss,
            optimizer=plan.optimizer,
            nesterov=plan.nesterov,
            measures=(),
            every=10**9,
            **settings,
        )
        updates, reached = plan.updates(run), plan.match != "loss"
        while training.steps < updates and training.diverged is None:
            if plan.match == "loss" and training.steps % CHECK_EVERY == 0:
                reached = bool(_hard_loss(training.model, plan) <= plan.budget)
                if reached:
                    break
            training.step()
        status = _status(training.diverged, reached, plan)
        row = {"status": status, "steps": training.steps}
        row |= finish(plan, run, training.model, initial)
    except Exception as error:
        row = {"status": f"failed: {type(error).__name__}: {error}"}
    return row | {"seconds": time.perf_counter() - start}


def _hard_loss(model: nn.Module, plan: Plan) -> float:
    data = plan.dataset
    with torch.no_grad():
        X = data.X_train.to(next(model.parameters()).dtype)
        return Objective(model, X, data.y_train, loss=plan.loss).value()


def _status(diverged: Divergence | None, reached: bool, plan: Plan) -> str:
    if diverged is not None:
        return f"diverged ({diverged.kind}): {diverged.reason}, at step {diverged.step}"
    if not reached:
        return f"the training loss did not fall to {plan.budget:g} in {plan.max_updates} updates"
    return "done"


def finish(
    plan: Plan, run: Mapping[str, Any], model: nn.Module, initial: Tensor
) -> dict[str, float]:
    """Scores and measures of a trained network; NaN where it is not finite."""
    data = plan.dataset
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])
    if not torch.isfinite(theta).all():
        return dict.fromkeys((*SCORES, *plan.measures), math.nan)
    objective = Objective(
        model,
        data.X_train,
        data.y_train,
        loss=plan.loss,
        label_smoothing=run["label_smoothing"],
    )
    test = Objective(model, data.X_test, data.y_test, loss=plan.loss)
    row = evaluate_outputs(objective.outputs(), objective.y, test.outputs(), test.y, plan.loss)
    active = active_units(objective.point())
    row["active_units"] = math.nan if active is None else float(sum(active))
    row["parameters"] = float(objective.parameters)
    entries = registry()
    known = {"initial": initial, "batch_size": run["batch_size"] or objective.n}
    for name, options in plan.measures.items():
        entry = entries[name]
        given = {need: known[need] for need in entry.needs if need in known} | options
        result = entry.fn(objective, **given)
        if isinstance(result, Estimate):
            row[name], row[f"{name}_se"] = result.value, result.standard_error
        else:
            row[name] = result
    return row


# Engines.


def _loop(plan, runs, todo, book, **_) -> None:
    for _ in _alone(plan, runs, todo, book):
        pass


def _joblib(plan, runs, todo, book, *, workers, **_) -> None:
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=workers or -1, return_as="generator_unordered")
    caller = os.getpid()
    for index, row in pool(delayed(_single)(plan, runs[i], i, caller) for i in todo):
        book.add({index: row})


def _single(
    plan: Plan, run: Mapping[str, Any], index: int, caller: int
) -> tuple[int, dict[str, Any]]:
    """In a process other than the caller's: one thread each, since they share the cores."""
    if os.getpid() != caller:
        torch.set_num_threads(1)
    return index, train_one(plan, run)


def _dask(plan, runs, todo, book, *, client, **_) -> None:
    from dask.distributed import as_completed, get_client

    client = client or get_client()
    # A key of its own: that of an equal plan may be on its way out of the cluster.
    shared = client.scatter(plan, broadcast=True, hash=False)
    futures = [client.submit(_single, shared, runs[i], i, os.getpid(), pure=False) for i in todo]
    try:
        for _, (index, row) in as_completed(futures, with_results=True):
            book.add({index: row})
    finally:
        client.cancel(futures)


def _batched(plan, runs, todo, book, **_) -> None:
    for _ in batched_parts(plan, runs, todo, book):
        pass


def batched_parts(plan: Plan, runs, todo: Sequence[int], book: Book) -> Iterator[None]:
    """Train fleets and measure their networks; yields after each step and each measured row."""
    groups: dict[Any, list[int]] = {}
    networks: dict[int, nn.Module] = {}
    alone: list[int] = []
    for index in todo:
        run = runs[index]
        try:
            networks[index] = plan.network(run)
            net = architecture(networks[index])
        except Exception:  # the run itself will say why
            net = None
        if net is None or plan.optimizer != "sgd":
            alone.append(index)
            continue
        extra = bool(run["sam_radius"]), bool(run["mixup"])
        kind = net.widths, net.activation, net.bias, run["batch_size"], extra
        groups.setdefault(kind, []).append(index)
    for group in groups.values():
        for start in range(0, len(group), FLEET):
            part = group[start : start + FLEET]
            yield from _fleet(plan, runs, part, [networks.pop(i) for i in part], book)
    yield from _alone(plan, runs, alone, book)


def _alone(plan: Plan, runs, todo: Sequence[int], book: Book) -> Iterator[None]:
    for index in todo:
        book.add({index: train_one(plan, runs[index])})
        yield


def _fleet(
    plan: Plan, runs, group: list[int], networks: list[nn.Module], book: Book
) -> Iterator[None]:
    start = time.perf_counter()
    columns = {name: [runs[i][name] for i in group] for name in DEFAULTS if name != "batch_size"}
    try:
        fleet = Fleet(
            networks,
            plan.dataset,
            loss=plan.loss,
            nesterov=plan.nesterov,
            batch_size=runs[group[0]]["batch_size"],
            **columns,
        )
    except (TypeError, ValueError):  # of one run: alone, each says for itself
        yield from _alone(plan, runs, group, book)
        return
    initial, updates = fleet.theta.clone(), plan.updates(runs[group[0]])
    ends: dict[int, int] = {}  # network -> the step at which it reached the loss
    part = CHECK_EVERY if plan.match == "loss" else PART
    while fleet.steps < updates and len(ends) + sum(map(bool, fleet.diverged)) < len(group):
        if plan.match == "loss":
            for i, value in enumerate(fleet.hard_losses().tolist()):
                if i not in ends and fleet.diverged[i] is None and value <= plan.budget:
                    ends[i] = fleet.steps
                    fleet.stop(i)
        for _ in range(min(part, updates - fleet.steps)):
            fleet.step()
            yield
        book.advance(len(group) * fleet.steps / updates, fleet, tuple(group))
    trained = (time.perf_counter() - start) / len(group)
    model = fleet.model(0)
    for i, index in enumerate(group):
        start = time.perf_counter()
        broken = fleet.diverged[i]
        reached = plan.match != "loss" or i in ends
        steps = broken.step if broken else ends.get(i, fleet.steps)
        row = {"status": _status(broken, reached, plan), "steps": steps}
        try:
            fleet.write(i, model)
            row |= finish(plan, runs[index], model, initial[i])
        except Exception as error:
            row["status"] = f"failed: {type(error).__name__}: {error}"
        row["seconds"] = trained + time.perf_counter() - start
        book.add({index: row}, more=len(group) - i - 1)
        yield


ENGINES = {"batched": _batched, "loop": _loop, "joblib": _joblib, "dask": _dask}
