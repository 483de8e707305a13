"""Every check of every lab: the right answer passes, each typical wrong one gets its own words."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from kit import check
from kit.check import CheckFailed, class_seed
from kit.check.exercise import numbers, same

LABS = sorted(path.stem for path in Path(check.__file__).parent.glob("lab_*.py"))
EXERCISES = [
    (lab, exercise)
    for lab in LABS
    for exercise in importlib.import_module(f"kit.check.{lab}").EXERCISES.values()
]
WRONG = [(lab, e, mistake) for lab, e in EXERCISES for mistake in e.mistakes]


def name(value):
    return getattr(value, "name", value)


def told(exercise, function, seed=0):
    with pytest.raises(CheckFailed) as failed:
        exercise(function, seed=seed)
    return str(failed.value)


def test_there_are_labs_with_enough_exercises_and_mistakes():
    assert LABS
    for lab in LABS:
        assert len(importlib.import_module(f"kit.check.{lab}").EXERCISES) >= 4
    for _, exercise in EXERCISES:
        assert len(exercise.mistakes) >= 5, exercise.name
        assert len({m.says for m in exercise.mistakes}) == len(exercise.mistakes)
        assert exercise.takes


@pytest.mark.parametrize("seed", [0, 1, 2**31])
@pytest.mark.parametrize(("lab", "exercise"), EXERCISES, ids=name)
def test_the_right_answer_passes(lab, exercise, seed, capsys):
    exercise(exercise.right, seed=seed)
    assert f"{exercise.name}: right" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("lab", "exercise", "mistake"), WRONG, ids=name)
def test_a_typical_wrong_answer_gets_its_own_words(lab, exercise, mistake, seed):
    assert mistake.says in told(exercise, mistake.answer, seed)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES, ids=name)
def test_what_is_no_answer_at_all_is_told_apart(lab, exercise):
    assert "returned None" in told(exercise, lambda *a: None)
    assert "raised KeyError" in told(exercise, lambda *a: {}["x"])
    assert "hand over the function" in told(exercise, 3.0)
    assert "it returned a text" in told(exercise, lambda *a: "yes")

    def spoiled(*arguments):
        value = exercise.right(*arguments)
        if isinstance(value, tuple):
            return tuple(np.nan for _ in value)
        return np.full(np.shape(value), np.nan)[()] if numbers(value).size else value

    arguments = exercise.case(np.random.default_rng(0))
    if numbers(exercise.answer(*arguments)).size:
        assert "NaN" in told(exercise, spoiled)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES, ids=name)
def test_changing_what_was_given_is_noticed(lab, exercise):
    def greedy(*arguments):
        value = exercise.right(*arguments)
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                argument *= 2
        return value

    arguments = exercise.case(np.random.default_rng(0))
    if any(isinstance(a, np.ndarray) and a.size for a in arguments):
        assert "changed what it was given" in told(exercise, greedy)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES, ids=name)
def test_no_message_shows_the_answer(lab, exercise):
    def off(*arguments):
        value = exercise.right(*arguments)
        if isinstance(value, tuple):
            return tuple(1.37 * np.asarray(v) + 0.11 for v in value)
        return 1.37 * np.asarray(value, dtype=float) + 0.11 if numbers(value).size else not value

    try:
        exercise(off, seed=0)
    except CheckFailed as failed:
        said = {float(x) for x in re.findall(r"\d+\.\d{3,}", str(failed))}
        for i in range(exercise.cases):
            arguments = exercise.case(np.random.default_rng([0, i]))
            assert not said & set(np.round(numbers(exercise.answer(*arguments)), 6))
    else:
        pytest.fail("a wrong answer passed")


def test_a_class_and_a_student_draw_their_own_cases(monkeypatch):
    seeds = {class_seed("x")}
    monkeypatch.setenv("KIT_CLASS", "2026")
    seeds.add(class_seed("x"))
    monkeypatch.setenv("KIT_STUDENT", "ada")
    seeds.add(class_seed("x"))
    seeds.add(class_seed("y"))
    assert len(seeds) == 4


HALF = EXERCISES[0][1]


def stub(*arguments):
    raise NotImplementedError  # as nbgrader leaves it


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES, ids=name)
def test_a_stub_is_called_one(lab, exercise):
    def function(*arguments):
        raise NotImplementedError

    function.__code__ = function.__code__.replace(co_name=exercise.name)
    assert told(exercise, function).startswith(f"{exercise.name}: it is still as it was handed out")


def test_a_stub_that_is_called_is_named():
    assert "stub, which it calls, is still as it was handed out" in told(HALF, lambda A: stub(A))


def test_what_a_function_raised_is_told_with_its_line():
    def out_of_range(A):
        return A[len(A), 0]

    said = told(HALF, out_of_range)
    assert "it raised IndexError" in said
    assert "in `return A[len(A), 0]`" in said


def test_a_list_is_called_a_list_and_one_in_the_place_of_a_tuple_passes(capsys):
    exercises = {e.name: e for lab, e in EXERCISES if lab == "lab_a"}
    path = exercises["descend"]
    assert "it returned a list of" in told(path, lambda *a: path.right(*a).tolist())
    pair = exercises["rayleigh"]
    pair(lambda *a: list(pair.right(*a)), seed=0)
    assert "right" in capsys.readouterr().out


def test_how_far_off_is_said_without_an_exponent():
    said = told(HALF, lambda A: 1e9 * (1 + HALF.right(A)))
    assert "a factor of" in said
    assert not re.search(r"\de[+-]\d", said)


def test_a_notebook_shows_the_message_and_no_line_of_the_check():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shown = []
    shell._showtraceback = lambda kind, error, lines: shown.extend(lines)
    try:
        shell.user_ns["check"] = HALF
        shell.run_cell("check(lambda A: None)")
    finally:
        InteractiveShell.clear_instance()
    assert len(shown) == 1
    assert shown[0].startswith(f"CheckFailed: {HALF.name}: it returned None")


def test_a_bound_that_is_sharper_than_the_one_asked_for_is_not_called_false():
    exercise = {e.name: e for lab, e in EXERCISES if lab == "lab_c"}["bound"]

    def sharper(phi, J, V, B, target_slope, r):
        return max(phi + 2 * B * (J + V + target_slope) * r)

    assert "true as well, and sharper" in told(exercise, sharper)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES, ids=name)
def test_nobody_can_ask_the_check_for_the_answer(lab, exercise):
    assert "asks the check for the answer" in told(exercise, lambda *a: exercise.answer(*a))
    arguments = exercise.case(np.random.default_rng(0))
    assert same(exercise.answer(*arguments), exercise.right(*arguments), 1e-9)  # but others can


def test_a_right_answer_that_warns_is_right_and_nothing_is_shown(capsys):
    """nbgrader gives no points to a cell that writes to stderr."""

    def loud(A):
        print("a bar of progress", file=sys.stderr)
        np.array([0.0]) / 0.0
        return HALF.right(A)

    HALF(loud)
    shown = capsys.readouterr()
    assert "right" in shown.out
    assert shown.err == ""


def test_a_class_has_cases_of_its_own_with_any_seed(monkeypatch):
    seen = []

    def note(A):
        seen.append(A.copy())
        return HALF.right(A)

    for course in ("", "2027"):
        monkeypatch.setenv("KIT_CLASS", course)
        HALF(note, seed=101)
    assert not np.array_equal(seen[0], seen[len(seen) // 2])


def of(lab, wanted):
    return next(e for place, e in EXERCISES if (place, e.name) == (lab, wanted))


@pytest.mark.parametrize("seed", [None, 104])
@pytest.mark.parametrize("shift", [lambda A: 5.0, lambda A: np.abs(A).max()], ids=["5", "entry"])
def test_a_shift_has_to_be_larger_than_every_eigenvalue(shift, seed):
    def iterated(A):
        values = np.linalg.eigvalsh(A + shift(A) * np.eye(len(A)))
        return values[np.abs(values).argmax()] - shift(A)

    with pytest.raises(CheckFailed):
        of("lab_a", "largest_eigenvalue")(iterated, seed=seed)


@pytest.mark.parametrize("seed", [None, 106])
def test_the_edge_is_reached_by_a_whole_mean_for_the_first_time(seed):
    def shortened(s, eta):
        means = np.array([s[max(0, t - 19) : t + 1].mean() for t in range(len(s))])
        found = np.flatnonzero(means >= 2 / eta)
        return int(found[0]) if len(found) else -1

    def after_the_last_below(s, eta):
        means = np.array([s[t - 19 : t + 1].mean() for t in range(19, len(s))])
        below = np.flatnonzero(means < 2 / eta)
        after = int(below[-1]) + 20 if len(below) else 19
        return after if after < len(s) else -1

    for wrong in (shortened, after_the_last_below):
        with pytest.raises(CheckFailed):
            of("lab_a", "reaches_the_edge")(wrong, seed=seed)


@pytest.mark.parametrize("seed", [None, 402])
@pytest.mark.parametrize("close", ["last sample", "coarse"])
def test_two_functions_are_compared_at_all_samples_and_to_rounding(close, seed):
    def judged(net, W1, b1, W2, X, alpha):
        a = net(W1, b1, W2, X)
        b = net(alpha[:, None] * W1, alpha * b1, W2 / alpha, X)
        if close == "coarse":
            return bool(np.abs(a - b).max() <= 1e-4 * np.abs(a).max())
        return bool(np.abs(a - b)[-1].max() <= 1e-9 * np.abs(a).max())

    with pytest.raises(CheckFailed):
        of("lab_d", "same_function")(judged, seed=seed)
