"""Page 11: the soft rank where it works, where it fails, and the network that is trained live."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from kit import soft_rank
from kit.live.constrained import CASES, CHOICES, STEPS, Constrained
from kit.live.text import short
from kit.ranking import kendall_tau
from kit.softrank import takeuchi_terms
from kit.studies import stored_table
from tests.live.scenes import check_page, check_skipping, check_words, steps

TABLE = stored_table("soft_rank")
SAMPLES = {"mnist": 200, "fashion": 200}


def rows_of(part):
    rows = TABLE[TABLE["part"] == part].copy()
    rows["width"] = rows["widths"].str.extract(r", (\d+),")[0].astype(int)
    rows["estimate"] = rows["soft_rank"] / SAMPLES.get(part, 500)
    return rows


def by_width(part, column):
    return rows_of(part).groupby("width")[column].mean().to_numpy()


def test_the_page_opens_locked_reveals_and_hands_over_its_files():
    check_page(Constrained)
    check_skipping(Constrained)


@pytest.fixture(scope="module")
def scene():
    scene = Constrained()
    scene.show()
    return scene


def to_its_end(scene):
    while scene.running or scene.working:
        scene.work(0.2)


@pytest.mark.slow
def test_no_order_of_actions_breaks_it(scene):
    @settings(max_examples=10, deadline=None)
    @given(steps(scene).filter(lambda actions: ("reset", None) not in actions))
    def check(actions):
        for name, value in actions:
            scene.do(name, value)
            assert not scene.status.startswith("Not done")
            if scene.running or scene.working:
                scene.work(0.001)
            check_words(scene)
        scene.running = scene.working = False

    check()


def test_it_opens_on_a_trained_network_and_the_answer_is_computed():
    scene = Constrained()
    assert scene.training.steps == STEPS
    assert not any(row[0].startswith("rank over") for row in scene.numbers())
    assert scene.answer() == CHOICES[0]


def test_the_rank_in_view_is_that_of_the_library_at_any_damping(scene):
    scene.do("reset")
    scene.show()
    for mu in (0.001, 0.03, 1.0):
        scene.do("damping", mu)
        exact = soft_rank(scene.training.objective, mu)
        assert scene.rank() == pytest.approx(exact, rel=1e-4)
        exact = takeuchi_terms(scene.training.objective, mu)
        assert scene.terms.takeuchi == pytest.approx(exact.takeuchi, rel=1e-4)
        assert scene.terms.soft_rank == pytest.approx(exact.soft_rank, rel=1e-4)
        assert scene.terms.miscalibration == pytest.approx(exact.miscalibration, rel=1e-3)
    scene.do("damping", 0.03)
    assert scene.calibration.over_confidence < -2 * scene.calibration.over_confidence_se


def test_running_trains_from_the_start_in_view_and_ends_where_it_was(scene):
    scene.do("reset")
    scene.show()
    end = scene.spectrum
    scene.do("run")
    assert scene.training.steps == 0
    seen = set()
    while scene.running:
        scene.work(0.05)
        seen.add(len(seen) if scene.rank() > 0 else -1)
    assert len(seen) > 3
    assert scene.training.steps == STEPS
    assert np.allclose(scene.spectrum, end)
    assert torch.isfinite(scene.training.objective.flat_parameters()).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted({case.part: name for name, case in CASES.items()}.values()))
def test_every_case_trains_to_its_end_and_says_what_it_is(scene, case):
    scene.do("case", "works" if case != "works" else "digits")
    scene.do("case", case)
    to_its_end(scene)
    assert scene.status == CASES[case].why
    assert scene.values["damping"] == pytest.approx(scene.mu, rel=1e-6)
    check_words(scene)


# What the prose says under "What you should see".


def test_where_it_works():
    rank, gap = by_width("works", "estimate"), by_width("works", "loss_gap")
    assert np.allclose(rank[[0, -1]], [0.15, 0.51], atol=0.01)
    assert np.allclose(gap[[0, -1]], [0.12, 0.39], atol=0.01)
    assert np.all(np.diff(rank) > 0)
    assert np.all(np.diff(gap) > 0)
    taus = {name: kendall_tau(rows_of("works"), name).tau for name in ("estimate", "trace")}
    assert taus["estimate"] > 0.9
    assert taus["trace"] == pytest.approx(0.85, abs=0.01)
    assert kendall_tau(rows_of("works"), "sharpness").tau == pytest.approx(0.62, abs=0.01)


def test_interpolation():
    ratio = by_width("interpolation", "loss_gap") / by_width("interpolation", "estimate")
    assert ratio.min() > 3
    assert ratio.max() < 8
    rows = rows_of("interpolation")
    wide = rows["width"] >= 16
    assert (rows[wide]["train_accuracy"] == 1).all()
    assert (rows[wide]["takeuchi"] < 0.01).all()
    assert (rows[~wide]["train_accuracy"] < 0.9).all()


def test_where_a_network_fits_all_its_samples_miscalibration_is_below_0_and_it_is_too_sure(scene):
    scene.do("case", "interpolation")
    scene.do("width", 16)
    to_its_end(scene)
    assert scene.terms.miscalibration < -0.9 * scene.terms.soft_rank
    assert scene.calibration.over_confidence > 10 * scene.calibration.over_confidence_se
    assert scene.training.evaluate()["train_accuracy"] == 1.0


def test_what_counts_is_told_of_all_parameters_and_with_the_factor_that_it_has(scene):
    scene.do("width", 8)
    for case, times in (("mse", ""), ("mse_noise", "σ² × ")):
        scene.do("case", case)
        to_its_end(scene)
        size = scene.factor() * scene.rank() / scene.n
        (row,) = (row for row in scene.numbers() if row[0] == f"{times}rank over n")
        assert row[1] == short(size)
        assert scene.phase().startswith(f"Of {scene.training.objective.parameters} directions")
        assert (f"times the noise variance {short(scene.factor())}" in scene.phase()) == bool(times)
        for key in ("ranks", "cases"):
            picture = Constrained.pictures[key]()
            picture.encode(scene)
            label = picture.ax.get_ylabel() if key == "ranks" else picture.ax.get_xlabel()
            assert label == f"{times}soft rank over n"
            assert f"{times}rank over n" in picture.alt(scene)
    assert scene.factor() == pytest.approx(2 * scene.train_loss / 10)


def test_between_the_gap_is_two_to_three_times_the_rank():
    ratio = by_width("between", "loss_gap") / by_width("between", "estimate")
    assert 2 < ratio.min() < ratio.max() < 3.5


@pytest.mark.parametrize("part", ["digits", "mnist", "fashion"])
def test_on_images_the_order_turns_round(part):
    rank, gap = by_width(part, "estimate"), by_width(part, "loss_gap")
    assert rank[-1] > rank[0]
    assert gap[-1] < gap[0]
    assert kendall_tau(rows_of(part), "estimate").high < 0
    assert kendall_tau(rows_of(part), "trace").low > 0


def test_mse_takes_the_variance_of_the_noise():
    rank, gap = by_width("mse", "estimate"), by_width("mse", "loss_gap")
    noise = 2 * by_width("mse", "train_loss") / 10
    assert (rank / gap).min() > 10
    assert np.all(abs(np.log(noise * rank / gap)) < 0.35)


def test_the_damping_alone_ranks_as_well_and_the_page_shows_it(scene):
    (row,) = (row for row in scene.numbers() if row[0] == "τ over three weight decays")
    assert row[1] == "0.73"
    assert row[2].endswith("a smaller damping alone 0.72")
    rows = TABLE[TABLE["part"].isin(["works", "between", "interpolation"])]
    assert kendall_tau(rows, "soft_rank").tau == pytest.approx(0.73, abs=0.01)
    assert kendall_tau(rows, "weight_decay").tau == pytest.approx(-0.72, abs=0.01)
