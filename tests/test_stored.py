"""The kept runs against fresh ones: row by row before a path is chaotic, then in their claims."""

import math

import pytest

from kit.live.series import late_sharpness
from kit.presets import PRESETS
from kit.stored import COLUMNS, EVERY, STEPS, make_run, smoothed, stored_run


@pytest.mark.parametrize("preset", STEPS)
def test_the_beginning_is_that_of_a_fresh_run(preset):
    kept, fresh = stored_run(preset), make_run(preset, 60)
    for name in COLUMNS:
        for a, b in zip(kept[name], fresh[name], strict=False):
            assert a == pytest.approx(b, rel=2e-3, abs=1e-4, nan_ok=True), name


@pytest.mark.slow
def test_the_smoothed_path_is_remade_to_where_it_is_held_at_the_edge():
    kept = stored_run("edge")
    fresh = smoothed(PRESETS["edge"].build(measures=(), seed=0), 108)
    for name, column in fresh.items():
        assert column == pytest.approx(kept[name][: len(column)], rel=2e-3)
    assert fresh["smooth_sharpness"][-1] == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize("preset", STEPS)
def test_columns_are_whole(preset):
    kept = stored_run(preset)
    assert set(kept) == set(COLUMNS)
    assert {len(column) for column in kept.values()} == {STEPS[preset] // EVERY + 1}
    assert all(math.isfinite(v) for v in kept["sharpness"])


@pytest.mark.parametrize("preset", STEPS)
def test_it_ends_at_the_edge_as_a_fresh_run_does(preset):
    edge = 2 / PRESETS[preset].config.lr
    kept = late_sharpness(stored_run(preset))
    assert 1.0 < kept / edge < 1.15
    assert late_sharpness(make_run(preset, beside=False)) == pytest.approx(kept, rel=0.05)


def test_an_unknown_run_names_those_there_are():
    with pytest.raises(ValueError, match=r"edge.*slow"):
        stored_run("none")
