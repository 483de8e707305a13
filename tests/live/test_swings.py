"""The picture of the samples that swing most: images for digits, curves for MNIST-1D."""

from dataclasses import replace

import pytest

from kit.live.session import Session
from kit.live.swings import SHOWN, SwingPicture
from kit.presets import PRESETS


def session(preset, **changes):
    session = Session(replace(PRESETS[preset].config, n_train=60, every=1, **changes))
    session.training.run(6)
    return session


@pytest.mark.parametrize("preset", ["digits", "slow"])
def test_it_shows_the_samples_with_the_largest_swings(preset):
    run, picture = session(preset), SwingPicture()
    assert picture.encode(run, still=True)[:4] == b"\x89PNG"
    each = run.training.probes["swing_max"].each
    samples, swings, total = picture.largest(run)
    assert total == 60
    assert len(samples) == SHOWN
    assert swings == sorted(each.tolist())[::-1][:SHOWN]
    assert all(each[i] == s for i, s in zip(samples, swings, strict=True))
    labels = [int(run.training.dataset.y_train[i]) for i in samples]
    for title, label in zip(picture.titles, labels, strict=True):
        assert title.get_text().startswith(f"class {label}: ±")
    kinds = {(len(ax.images), len(ax.lines)) for ax in picture.places}
    assert kinds == ({(1, 0)} if preset == "digits" else {(0, 1)})
    assert f"of sample {samples[0]}" in picture.alt(run)


def test_before_two_measurements_there_is_nothing_to_show():
    run, picture = Session(PRESETS["chebyshev"].config), SwingPicture()
    picture.encode(run, still=True)
    assert "none of 20" in picture.alt(run)
    assert not any(ax.get_visible() for ax in picture.places)


def test_it_changes_with_the_run():
    run, picture = session("digits"), SwingPicture()
    before = picture.encode(run, still=True)
    run.do("seed", 3)
    run.training.run(6)
    assert picture.encode(run, still=True) != before
