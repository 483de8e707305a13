import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kit.live.session as session_module
from kit import bundled
from kit.live import Explorer, words
from kit.live.controls import BAR, FULL, MAIN, TEXTS, Controls, batch_options
from kit.live.panels import HEIGHT, WIDTH, Panel
from kit.live.session import Session
from kit.live.strips import PANELS
from kit.live.text import parse_widths
from kit.load import load_dataset
from kit.models import mlp
from kit.presets import PRESETS, RunConfig
from kit.training import Intervention, Training

SMALL = RunConfig("digits", n_train=60, hidden=(8, 8), lr=0.2)
CURVE = RunConfig("chebyshev", hidden=(8,), activation="tanh", lr=0.1)


def own(**settings):
    data = load_dataset("digits", n_train=40)
    return Training(mlp((64, 6, 10)), data, loss="mse", lr=0.1, **settings)


def test_rescaling_is_absolute_since_the_last_reset_or_fork():
    session = Session(SMALL)
    start = session.training.objective.flat_parameters()
    for alpha in (2.0, 10.0, 0.5, 1.0):
        session.do("rescale", alpha)
    assert torch.allclose(session.training.objective.flat_parameters(), start, rtol=1e-5)
    session.do("rescale", 4.0)
    session.do("fork")
    assert session.alpha == 1.0


def test_a_drag_tells_what_all_its_notches_did_together():
    notches, leap = Session(SMALL), Session(SMALL)
    for alpha in (1.5, 2.0, 3.0, 4.0, 5.0):
        notches.do("rescale", alpha)
    leap.do("rescale", 5.0)
    factor = leap.rescaled["sharpness factor"]
    assert factor > 2
    assert notches.rescaled["sharpness factor"] == pytest.approx(factor, rel=0.02)
    assert "from α = 1 to 5" in notches.status
    notches.do("step")
    notches.do("rescale", 10.0)
    assert "from α = 5 to 10" in notches.status


def test_a_rescale_by_ten_changes_sharpness_and_nothing_else():
    session = Session(RunConfig("digits", n_train=300, lr=0.6))
    session.training.run(20)
    session.do("rescale", 10.0)
    assert session.rescaled["sharpness factor"] > 10
    assert session.rescaled["output change"] < 1e-5
    assert session.rescaled["invariant change"] < 1e-3


def test_a_drag_over_several_steps_is_one_mark():
    session = Session(SMALL)
    for lr in (0.19, 0.15, 0.1):
        session.training.run(2)
        session.do("lr", lr)
    session.do("rescale", 2.0)
    session.training.run(1)
    session.do("rescale", 4.0)
    marks = session.marks()
    assert [(mark.step, mark.name) for mark in marks] == [(2, "lr"), (6, "rescale")]
    assert marks[0].new == 0.1
    assert marks[1].new[0] == pytest.approx(4.0)
    assert len(session.training.interventions) == 5


def test_a_pause_between_measurements_does_not_change_what_follows():
    runs = [Session(replace(SMALL, every=5, batch_size=16)) for _ in range(2)]
    for k, session in enumerate(runs):
        session.training.run(7)
        if k:
            session.do("run")
            session.do("pause")
        session.training.run(20)
    plain, paused = (session.training.history for session in runs)
    assert math.isfinite(paused["sharpness"][7])
    assert math.isnan(plain["sharpness"][7])
    for name in plain:
        rest = [pytest.approx(v, abs=0, rel=0, nan_ok=True) for v in plain[name][8:]]
        assert paused[name][8:] == rest, name


def test_fork_keeps_the_run_so_far_and_goes_on():
    session = Session(SMALL)
    session.training.run(5)
    before = session.training.history.copy()
    session.do("fork")
    session.training.run(3)
    assert session.ghosts == [before]
    assert session.training.steps == 8
    assert session.forked_at == 5
    session.do("reset")  # the faint line stays, to compare with
    assert session.ghosts == [before]
    assert session.forked_at == 0
    session.do("seed", 1)  # another network: nothing to compare with
    assert session.ghosts == []


def test_reset_starts_again_with_the_present_settings():
    session = Session(SMALL)
    session.training.run(5)
    session.do("lr", 0.05)
    session.do("reset")
    assert session.training.steps == 0
    assert session.training.lr == 0.05
    assert session.training.interventions == []


def test_reset_of_ones_own_training_goes_back_to_where_it_came_in():
    training = own()
    training.run(3)
    start = training.objective.flat_parameters()
    session = Session(training)
    assert session.training is training
    training.run(4)
    session.do("reset")
    assert session.training.steps == 3
    assert torch.equal(session.training.objective.flat_parameters(), start)


def test_an_activation_without_the_symmetry_turns_rescaling_off_with_the_reason():
    session = Session(CURVE)
    assert "Tanh is not positively homogeneous" in session.rescaling_fault
    before = session.training.objective.flat_parameters()
    session.do("rescale", 2.0)
    assert "Not done" in session.status
    assert torch.equal(session.training.objective.flat_parameters(), before)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", -1.0), ("lr", math.nan), ("batch_size", 10**6), ("activation", "sine"), ("colour", 1)],
)
def test_a_bad_value_is_refused_and_loses_nothing(name, value):
    session = Session(SMALL)
    session.training.run(2)
    session.do(name, value)
    assert session.status.startswith("Not done")
    assert session.training.steps == 2
    assert session.config == SMALL


def broken_session():
    session = Session(SMALL)
    session.training.run(10)
    session.do("rescale", 0.01)
    session.do("run")
    while session.running and session.training.steps < 500:
        session.work(0.01)
    return session


def test_a_broken_run_stops_explains_itself_and_is_repaired():
    session = broken_session()
    broken = session.training.diverged
    assert broken is not None
    assert f"at step {broken.step}" in session.status
    assert "λ = " in session.status
    assert "η = 0.2" in session.status
    session.do("run")
    assert not session.running
    session.do("repair")
    assert session.training.steps == 10
    assert session.alpha == 1.0
    assert session.training.diverged is None


def test_repair_without_a_change_to_take_back_starts_with_a_smaller_step():
    session = Session(RunConfig("digits", n_train=60, hidden=(8, 8), lr=1e3))
    session.do("run")
    while session.running:
        session.work(0.01)
    session.do("repair")
    assert session.training.steps == 0
    assert session.training.lr * session.training.history["sharpness"][0] < 2
    assert session.training.diverged is None


def test_the_cadence_grows_where_measuring_is_slow_and_is_recorded(monkeypatch):
    ticks = iter(i * 0.2 for i in range(10**6))
    monkeypatch.setattr(session_module.time, "perf_counter", lambda: next(ticks))
    session = Session(SMALL)
    session.do("run")
    while session.training.steps < 90:
        session.work(0.0)
    assert session.training.every > 1
    assert session.training.every % 2 == 1
    assert session.training.interventions[0].name == "every"


COMMANDS = st.one_of(
    st.tuples(st.sampled_from(["run", "pause", "step", "reset", "fork", "repair"]), st.none()),
    st.tuples(st.just("lr"), st.sampled_from([1e-3, 0.1, 1.0, 10.0])),
    st.tuples(st.just("batch_size"), st.sampled_from([0, 1, 32])),
    st.tuples(st.just("momentum"), st.sampled_from([0.0, 0.5, 0.99])),
    st.tuples(st.just("rescale"), st.sampled_from([0.01, 0.5, 1.0, 100.0])),
    st.tuples(st.just("activation"), st.sampled_from(["relu", "tanh", "linear"])),
    st.tuples(st.just("optimizer"), st.sampled_from(["sgd", "adam"])),
    st.tuples(st.just("loss"), st.sampled_from(["mse", "cross_entropy"])),
    st.tuples(st.just("mixup"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("sam_radius"), st.sampled_from([0.0, 0.5])),
    st.tuples(st.just("hidden"), st.sampled_from([(), (4,), (4, 4)])),
    st.tuples(st.just("weight_decay"), st.sampled_from([0.0, 0.1])),
    st.tuples(st.just("seed"), st.integers(0, 3)),
)


@settings(max_examples=10)
@given(st.lists(COMMANDS, max_size=12))
def test_no_order_of_commands_breaks_the_page(commands):
    """Every control at its ends, in any order: the page can always say what it shows."""
    session = Session(SMALL)
    for name, value in commands:
        session.do(name, value)
        session.work(0.0)
        columns = {len(column) for column in session.training.history.values()}
        assert columns == {session.training.steps + 1}
        for row in words.numbers(session):
            assert all(isinstance(part, str) and part for part in row)
        assert words.summary(session)
        assert session.status
        if session.training.diverged is not None:
            assert not session.running
    for key in PANELS:
        assert words.alt_text(session, key)
        Panel(key).encode(
            session.training.history,
            ghosts=session.ghosts,
            marks=session.training.interventions,
            labels=words.line_labels(session),
            still=True,
        )


def test_what_a_broken_run_left_behind_is_dated():
    """Accuracy, Jacobian and gap of earlier steps stand beside the last loss: each says when."""
    session = Session(SMALL)
    session.do("every", 25)
    session.do("run")
    while session.training.steps < 30:
        session.work(0.0)
    assert not any("of step" in remark for *_, remark in words.numbers(session))
    session.do("lr", 100.0)
    while session.running:
        session.work(0.0)
    assert session.training.diverged is not None
    history, dated = session.training.history, 0
    for name, _, remark in words.numbers(session):
        column = {"max ‖J‖₂": "jacobian_max", "sharpness λ": "sharpness"}.get(name)
        if column is not None:
            known = [k for k, v in enumerate(history[column]) if math.isfinite(v)]
            late = known[-1] < session.training.steps
            assert remark.startswith(f"of step {known[-1]};") == late
            dated += late
    assert dated


@pytest.mark.parametrize("key", PANELS)
@pytest.mark.parametrize("kind", [None, "svg", "png"])
def test_a_panel_is_an_image_of_its_size(key, kind):
    history = Session(SMALL).training.history
    data = Panel(key).encode(history, kind=kind)
    if kind == "svg":
        assert b"<svg" in data
        return
    import io

    from PIL import Image

    assert Image.open(io.BytesIO(data)).size == (WIDTH, HEIGHT)


def test_a_panel_draws_the_same_whether_its_background_was_kept_or_not():
    session = Session(SMALL)
    session.training.run(30)
    panel = Panel("sharpness")
    marks = [Intervention(5, "lr", 0.2, 0.1)]
    panel.encode(session.training.history, ghosts=[session.training.history.copy()], still=True)
    kept = panel.encode(session.training.history, marks=marks, still=True)
    panel._background = None
    assert panel.encode(session.training.history, marks=marks, still=True) == kept


def test_a_long_history_keeps_its_extremes_in_fewpoints():
    from kit.live.strip_axes import POINTS, points

    y = [math.sin(k / 50) for k in range(50_000)]
    y[12_345] = 9.0
    x, z = points(range(50_000), y)
    assert len(x) <= POINTS
    assert z.max() == 9.0


def test_the_explorer_shows_ones_own_training_and_trains_nothing_by_itself():
    training = own()
    page = Explorer(training)
    assert page.training is training
    assert training.steps == 0
    assert set(page._stage.stills) == set(PANELS)
    assert "dataset" not in page._controls.widgets
    page.pause()
    with pytest.raises(RuntimeError, match="event loop"):
        page.run()


@pytest.mark.parametrize(
    ("arguments", "words_of_error"),
    [
        ({}, "training"),
        ({"preset": "nowhere"}, "preset"),
        ({"preset": "chebyshev", "panels": ("loss", "weather")}, "panels"),
        ({"preset": "chebyshev", "panels": "loss"}, "panels"),
        ({"preset": "chebyshev", "controls": ("volume",)}, "controls"),
    ],
)
def test_a_bad_argument_is_named(arguments, words_of_error):
    with pytest.raises((TypeError, ValueError), match=words_of_error):
        Explorer(**arguments)


def test_save_writes_what_was_measured_and_keeps_the_old_file_on_failure(tmp_path, monkeypatch):
    page = Explorer(own(every=2))
    page.training.run(3)
    page.training.lr = 0.05
    target = tmp_path / "run.json"
    page.save(target)
    saved = json.loads(target.read_text())
    assert saved["history"]["loss"] == page.training.history["loss"]
    assert saved["history"]["sharpness"][1] is None
    assert saved["interventions"] == [{"step": 3, "name": "lr", "old": 0.1, "new": 0.05}]

    def full(*_arguments, **_settings):
        raise OSError("No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match="No space"):
        page.save(target)
    assert json.loads(target.read_text()) == saved
    assert list(tmp_path.iterdir()) == [target]


def test_controls_say_which_value_was_set_and_nothing_more():
    mail = []
    session = Session(SMALL)
    controls = Controls(session, lambda name, value=None: mail.append((name, value)))
    controls.widgets["lr"].value = 0.5
    session.do("lr", 0.05)
    controls.sync(session, {"lr"})
    assert mail == [("lr", 0.5)]
    assert controls.widgets["lr"].value == 0.05


def test_a_value_off_the_grid_is_on_its_slider():
    session = Session(RunConfig("digits", n_train=60, hidden=(8,), lr=0.123, batch_size=7))
    controls = Controls(session, lambda *_: None)
    assert controls.widgets["lr"].value == 0.123
    assert controls.widgets["batch_size"].value == 7


@pytest.mark.parametrize("text", ["a", "0", "-3", "64, 1000", "1 2 3 4 5 6 7"])
def test_bad_widths_are_refused(text):
    with pytest.raises(ValueError, match="widths"):
        parse_widths(text)


@given(st.integers(1, 5000))
def test_batch_sizes_are_powers_of_two_below_the_full_batch(n):
    *powers, full = batch_options(n)
    assert full == ("full", 0)
    assert all(b & (b - 1) == 0 and b < n for _, b in powers)


@pytest.mark.parametrize(("name", "value"), [("preset", "slow"), ("dataset", "chebyshev")])
def test_with_other_data_the_batch_sizes_end_at_its_samples(name, value):
    """What was offered once stayed: 512 of 300 samples, which was then refused."""
    page = Explorer(preset="edge")
    offered = page._controls.widgets["batch_size"]
    page.do(name, value)
    page.show_controls()
    assert list(offered.options) == batch_options(page.training.objective.n)
    assert offered.value == (page.training.batch_size or FULL)


def test_every_control_has_a_label_a_name_and_a_tooltip():
    for name in (*BAR, *MAIN):
        assert all(vars(TEXTS[name]).values())
    for preset in PRESETS.values():
        assert preset.title
        assert preset.see


def test_after_a_change_the_phase_is_of_what_is_there_now():
    session = Session(SMALL)
    session.training.run(60)
    session.do("rescale", 10.0)
    edge, _ = session.training.threshold()
    share = session.training.history["sharpness"][-1] / edge
    assert f"{share:.0%} of the threshold" in words.phase(session)


def test_repair_names_all_that_was_changed_in_a_row():
    session = Session(SMALL)
    session.training.run(5)
    session.do("lr", 0.3)
    assert "before the learning rate was changed" in session.repair_label
    session.do("rescale", 100.0)
    assert session.repair_label.endswith("back to step 5, before the last changes")


def test_a_damaged_data_file_is_named_and_the_run_stays(tmp_path, monkeypatch):
    damaged = shutil.copytree(bundled.FOLDERS[-1], tmp_path / "data")
    content = (damaged / "fashion.npz").read_bytes()
    (damaged / "fashion.npz").write_bytes(content[: len(content) // 2])
    session = Session(SMALL)
    session.do("step")
    monkeypatch.setattr(bundled, "FOLDERS", (damaged,))
    session.do("dataset", "fashion")
    assert session.status.startswith("Not done")
    assert "python data/build.py fashion" in session.status
    assert (session.config, session.training.steps) == (SMALL, 1)
    session.do("step")
    assert session.training.steps == 2


def test_a_run_that_nobody_stops_is_paused_where_a_link_ends(monkeypatch):
    monkeypatch.setattr(session_module, "MOST", 40)
    session = Session(SMALL)
    for end in (40, 80):
        session.do("run")
        while session.running:
            session.work(0.0)
        assert session.training.steps == end
        assert session.status.startswith(f"Paused at step {end}: a link holds")
