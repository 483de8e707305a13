"""The designs of the evidence pages, fixed here before anything was run, and their kept tables."""

import pytest

from kit.load import load_dataset
from kit.studies import STUDIES

# What was decided before the first network was trained: a change here is a new study.
DESIGNS = {
    "batch_size": {
        "data": {"mnist1d": 1000, "digits": 1000},
        "grid": {"batch_size": (8, 32, 128, 512), "lr": (0.05, 0.1, 0.2)},
        "matched": {("updates", 3000), ("loss", 0.05), ("epochs", 60)},
        "rows": 360,
    },
    "regularisers": {
        "data": {"mnist1d": 1000, "digits": 1000},
        "grid": {
            "weight_decay": (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
            "label_smoothing": (0.0, 0.05, 0.1, 0.2, 0.3),
            "sam_radius": (0.0, 0.02, 0.05, 0.1, 0.2, 0.5),
            "mixup": (0.0, 0.1, 0.3, 1.0),
            "lr": (0.1,),
            "batch_size": (64,),
        },
        "matched": {("updates", 3000)},
        "rows": 370,
    },
    "soft_rank": {
        "data": {"mnist1d": 500, "digits": 500, "mnist5k": 200, "fashion": 200},
        "grid": {"weight_decay": (0.03, 1e-4, 0.003), "lr": (0.2,)},
        "matched": {("updates", 4000)},
        "rows": 140,
    },
    "league": {
        "data": {"mnist1d": 500},
        "grid": {
            "batch_size": (16, 64, 256),
            "lr": (0.05, 0.2),
            "weight_decay": (0.0, 1e-3),
        },
        "matched": {("updates", 3000)},
        "rows": 120,
    },
}
SEEDS = (0, 1, 2, 3, 4)


def test_there_is_a_design_for_each_study():
    assert set(DESIGNS) == set(STUDIES)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_study_is_the_one_that_was_decided_on(name):
    design, parts = DESIGNS[name], STUDIES[name].parts
    assert {part.data: part.n_train for part in parts.values()} == design["data"]
    assert {(part.match, part.budget) for part in parts.values()} == design["matched"]
    for part in parts.values():
        assert part.grid["seed"] == SEEDS
    for setting, values in design["grid"].items():
        used = [part.grid[setting] for part in parts.values() if setting in part.grid]
        assert {value for one in used for value in one} == set(values), setting
    assert sum(len(part.runs()) for part in parts.values()) == design["rows"]


def test_networks_of_the_soft_rank_and_of_the_league():
    for part in STUDIES["soft_rank"].parts.values():
        d = load_dataset(part.data, n_train=part.n_train).d
        assert part.grid["widths"] == tuple((d, w, w, 10) for w in (4, 8, 16, 32))
        (mu,) = part.grid["weight_decay"]
        assert part.measures["soft_rank"] == part.measures["takeuchi"] == {"damping": mu}
    (league,) = STUDIES["league"].parts.values()
    assert league.grid["widths"] == ((40, 16, 16, 10), (40, 32, 32, 10))
    assert len(league.measures) == 22
