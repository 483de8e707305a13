"""The picture in words: numbers, a plain-text summary, and what the run is doing now.

>>> short(0.00001234), short(4.98321), short(float("nan"))
('1.23e-05', '4.98', '–')
"""

from __future__ import annotations

import math

from kit.live.session import Session
from kit.live.text import short
from kit.measuring import MeasuredRun

AT_EDGE = 0.95  # of the threshold
COLUMNS = {  # of the rows that a broken run may have left behind at earlier steps
    "loss": "train_accuracy",
    "sharpness λ": "sharpness",
    "invariant λ(S)": "invariant_sharpness",
    "Adam's λ(Q⁻¹H)": "preconditioned_sharpness",
    "batch sharpness": "batch_sharpness",
    "max ‖J‖₂": "jacobian_max",
    "gap of the loss": "loss_gap",
    "gap of the error": "error_gap",
    "bound": "bound",
    "active units": "active_units",
}


def last(training: MeasuredRun, column: str) -> float:
    """The newest measured value of a column; NaN where there is none."""
    values = training.history.get(column, [])
    return next((v for v in reversed(values) if math.isfinite(v)), math.nan)


def numbers(session: Session) -> list[list[str]]:
    """Rows of name, value and remark, for the table under the picture."""
    training = session.training
    edge, edge_name = training.threshold()
    sharp = training.probes.get("sharpness")
    rows = [["step t", f"{training.steps}", f"measured every {_ordinal(training.every)}"]]
    rows.append(["loss", short(last(training, "loss")), _accuracy(training)])
    if sharp is not None and sharp.last is not None:
        rows.append(["sharpness λ", f"at least {short(sharp.last.value)}", _residual(sharp)])
    rows.append(["threshold", short(edge), edge_name.replace("eta", "η").replace("beta", "β")])
    if "invariant_sharpness" in training.probes:
        tracked = training.probes["invariant_sharpness"]
        if tracked.last is not None:
            value = short(tracked.last.value)
            rows.append(["invariant λ(S)", f"at least {value}", _residual(tracked)])
    if "preconditioned_sharpness" in training.probes:
        value = last(training, "preconditioned_sharpness")
        rows.append(["Adam's λ(Q⁻¹H)", short(value), "of the preconditioned Hessian"])
    if "batch_sharpness" in training.probes and training.batch_size is not None:
        rows.append(_batch_row(training))
    if "jacobian_max" in training.probes:
        mean = short(last(training, "jacobian_mean"))
        rows.append(["max ‖J‖₂", short(last(training, "jacobian_max")), f"mean {mean}"])
    for name, title in (("loss_gap", "gap of the loss"), ("error_gap", "gap of the error")):
        value = last(training, name)
        if math.isfinite(value):
            rows.append([title, short(value), f"± {short(last(training, name + '_se'), 2)}"])
    if "bound" in training.probes and training.probes["bound"].last is not None:
        rows.append(_bound_row(training))
    active = last(training, "active_units")
    if math.isfinite(active):
        hidden = sum(W.shape[0] for W in list(training.model.parameters())[:-1] if W.ndim == 2)
        rows.append(["active units", f"{active:.0f}", f"of {hidden}"])
    if session.rescaled is not None:
        r = session.rescaled
        factor = f"λ × {short(r['sharpness factor'])}"
        rows.append(
            [
                f"rescaled α = {short(r['alpha'])}",
                factor,
                f"outputs changed by {r['output change']:.0e}, λ(S) by {r['invariant change']:.0e}",
            ]
        )
    return rows if training.diverged is None else [_dated(row, training) for row in rows]


def _dated(row: list[str], training: MeasuredRun) -> list[str]:
    """A row with the step that it is of, where that is not the last one."""
    name, value, remark = row
    column = training.history.get(COLUMNS.get(name.split(" estimate")[0].split(" (")[0], ""), [])
    known = [step for step, v in enumerate(column) if math.isfinite(v)]
    if not known or known[-1] == training.steps:
        return row
    when = f"of step {known[-1]}"
    return [name, value, f"{when}; {remark}" if remark else when]


def _ordinal(every: int) -> str:
    return "step" if every == 1 else f"{every} steps"


def _accuracy(training: MeasuredRun) -> str:
    train, test = last(training, "train_accuracy"), last(training, "test_accuracy")
    if math.isnan(train):
        test_loss = last(training, "test_loss")
        return f"test {short(test_loss)}" if math.isfinite(test_loss) else ""
    return f"accuracy: train {train:.1%}, test {test:.1%}"


def _residual(probe) -> str:
    tracked = probe.last
    text = f"residual {short(tracked.residual, 2)}, {tracked.matvecs} products"
    if probe.last_check is not None:
        agrees = probe.last_check <= 0.01
        text += (
            "; a check from a random start agrees"
            if agrees
            else (f"; a check from a random start was off by {probe.last_check:.0%}, restarted")
        )
    return text


def _batch_row(training: MeasuredRun) -> list[str]:
    value, error = last(training, "batch_sharpness"), last(training, "batch_sharpness_se")
    other = training.probes["batch_sharpness"].ratio_of_means()
    if math.isnan(value):
        return ["batch sharpness", "–", "after 100 batches"]
    return [
        "batch sharpness",
        f"{short(value)} ± {short(error, 2)}",
        f"mean of ratios; ratio of means {short(other)}",
    ]


def _bound_row(training: MeasuredRun) -> list[str]:
    bound = training.probes["bound"].last
    kind = "bound" if bound.kind == "bound" else "bound estimate"
    judged = "vacuous" if bound.vacuous else "not vacuous"
    return [
        f"{kind} ({bound.form})",
        short(bound.gap),
        f"{judged}: cost at most "
        f"{short(bound.value)}, a constant reaches {short(bound.best_constant)}",
    ]


def phase(session: Session) -> str:
    """One sentence on what sharpness does now, against the threshold."""
    training = session.training
    edge, name = training.threshold()
    column = "preconditioned_sharpness" if training.optimizer == "adam" else "sharpness"
    since = max((c.step for c in training.interventions if c.name != "every"), default=0)
    first = max(since, training.steps - 60)
    recent = [v for v in training.history.get(column, [])[first:] if math.isfinite(v)][-20:]
    if not recent or not math.isfinite(edge) or edge <= 0:
        reason = "" if math.isfinite(edge) else f" {name}."
        return f"Training.{reason}"
    measure = "Adam's λ(Q⁻¹H)" if training.optimizer == "adam" else "sharpness"
    ratio = sum(recent) / len(recent) / edge
    share = f"{ratio:.0%} of the threshold"
    if len(recent) > 1:
        share += f", in the mean of {len(recent)} measurements"
    if training.batch_size is not None:
        return _small_batches(training, edge, share)
    if ratio > 1.3:
        return f"Far above the edge: {measure} is at {share}."
    if ratio >= AT_EDGE:
        return f"At the edge: {measure} is at {share}."
    if training.data_name == "digits" and last(training, "loss") < 0.03:
        return f"Below the edge, at {share}. The loss is already too small to sharpen further."
    rising = len(recent) > 4 and recent[-1] > 1.002 * recent[0]
    return f"{'Climbing' if rising else 'Below the edge'}: {measure} is at {share}."


def _small_batches(training: MeasuredRun, edge: float, share: str) -> str:
    batch = last(training, "batch_sharpness")
    text = f"Small batches: λ is at {share}"
    if math.isfinite(batch):
        text += f", batch sharpness at {batch / edge:.0%}"
    if training.data_name == "digits":
        text += "; on digits it does not get to the threshold"
    return text + "."


def summary(session: Session, *, asking: bool = False) -> str:
    """What the picture shows now, for those who cannot see it; no threshold before the guess."""
    training = session.training
    edge, _ = training.threshold()
    start = next((v for v in training.history.get("sharpness", []) if math.isfinite(v)), math.nan)
    rate = f"{training.lr:.3g}" if math.isfinite(training.lr) else "not known"
    parts = [f"Step {training.steps}, {training.data_name}, learning rate {rate}."]
    parts.append(
        f"Training loss {short(last(training, 'loss'))}, "
        f"test cost {short(last(training, 'test_loss'))}."
    )
    if math.isfinite(start):
        parts.append(
            f"Sharpness went from {short(start)} to {short(last(training, 'sharpness'))}"
            + ("." if asking else f"; the threshold is {short(edge)}. {phase(session)}")
        )
    if "jacobian_max" in training.history:
        measured = (v for v in training.history["jacobian_max"] if math.isfinite(v))
        first = next(measured, math.nan)
        parts.append(
            f"The largest Jacobian norm went from {short(first)} to "
            f"{short(last(training, 'jacobian_max'))}."
        )
    if math.isfinite(last(training, "error_gap")):
        parts.append(f"The gap in error is {last(training, 'error_gap'):.1%}.")
    if training.interventions:
        parts.append(f"{len(training.interventions)} changes were made by hand.")
    if session.ghosts:
        parts.append(f"{len(session.ghosts)} earlier runs are drawn faint.")
    return " ".join(parts)


def alt_text(session: Session, key: str, *, asking: bool = False) -> str:
    """What one panel shows now; no threshold before the guess."""
    training = session.training
    columns = {
        "loss": (("loss", "training loss"), ("test_loss", "test cost")),
        "sharpness": (
            ("sharpness", "sharpness"),
            ("threshold", "threshold"),
            ("invariant_sharpness", "invariant sharpness"),
        ),
        "jacobian": (("jacobian_max", "largest Jacobian norm"), ("jacobian_mean", "mean")),
        "gap": (
            ("loss_gap", "gap of the loss"),
            ("error_gap", "gap of the error"),
            ("bound", "bound on the loss gap"),
        ),
    }[key]
    shown = [
        f"{name} {short(last(training, column))}"
        for column, name in columns
        if not (asking and column == "threshold")
    ]
    return f"Lines over {training.steps} steps, now: {', '.join(shown)}."


def line_labels(session: Session) -> dict[str, str]:
    """Labels that depend on the run; "" hides a line."""
    training = session.training
    edge, name = training.threshold()
    labels = {"threshold": "" if math.isnan(edge) else "2/η"}
    if not math.isnan(edge):
        if training.batch_size is not None:
            labels["threshold"] = "full-batch\nthreshold"
        elif name != "2/eta":
            labels["threshold"] = "SAM edge" if name.startswith("the edge of SAM") else "threshold"
    bound = training.probes.get("bound")
    if bound is not None and bound.last is not None:
        kind = "bound" if bound.last.kind == "bound" else "estimate"
        labels["bound"] = f"{kind},\nvacuous" if bound.last.vacuous else kind
    return labels
