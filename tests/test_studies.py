"""The designs of the evidence pages, fixed here before anything was run, and their kept tables."""

import zlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from kit.bundled import DataFileError
from kit.load import load_dataset
from kit.studies import STUDIES, stored_meta, stored_table

_spec = spec_from_file_location("remake", Path(__file__).parents[1] / "data" / "remake.py")
remake = module_from_spec(_spec)
_spec.loader.exec_module(remake)

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


@pytest.mark.parametrize("name", STUDIES)
def test_the_kept_table_holds_every_run_of_the_design(name):
    table, meta = stored_table(name), stored_meta(name)
    assert len(table) == meta["rows"] == DESIGNS[name]["rows"]
    assert meta["seeds"] == list(SEEDS)
    assert meta["seconds"] > 0
    for part_name, part in STUDIES[name].parts.items():
        rows = table[table["part"] == part_name]
        assert sorted(rows["run"]) == list(range(len(part.runs())))
        for run, (_, row) in zip(part.runs(), rows.sort_values("run").iterrows(), strict=True):
            assert row["seed"] == run["seed"]
            assert row["lr"] == pytest.approx(run["lr"])
            assert row["weight_decay"] == pytest.approx(run["weight_decay"])
        done = rows[rows["status"] == "done"]
        assert len(done) > 0.9 * len(rows)
        assert np.isfinite(done[["loss_gap", "error_gap", *part.measures]].to_numpy(float)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_three_rows_drawn_from_the_table_are_made_again(name):
    """Drawn by the table itself, so that another table has other rows tried."""
    draw = zlib.crc32((remake.FOLDER / f"{name}.csv").read_bytes())
    for part, run, column, stored, now, allowed in remake.differences(name, draw):
        print(f"{name}: {part}, run {run}: {column} {stored:.4g}, now {now:.4g}")
        assert abs(now - stored) <= allowed, (part, run, column)


def test_a_table_that_is_missing_or_damaged_says_how_to_make_it_again(tmp_path):
    with pytest.raises(DataFileError, match=r"is missing.*data/remake\.py batch_size"):
        stored_table("batch_size", tmp_path)
    (tmp_path / "batch_size.csv").write_text("part,run\nno,1\n")
    with pytest.raises(DataFileError, match=r"not the table of this study"):
        stored_table("batch_size", tmp_path)
    (tmp_path / "batch_size.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataFileError, match=r"cannot be read"):
        stored_table("batch_size", tmp_path)
    with pytest.raises(ValueError, match="league"):
        stored_table("nothing")


def test_a_study_runs_on_a_cluster_with_the_command_that_its_page_gives():
    from dask.distributed import Client, LocalCluster

    part = "digits, epochs"
    grid = STUDIES["batch_size"].parts[part].grid | {"batch_size": [512], "lr": [0.1]}
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        options = {"engine": "dask", "client": client, "grid": grid, "progress": False}
        fresh = STUDIES["batch_size"].run(part, **options)
    kept = stored_table("batch_size")
    kept = kept[(kept["part"] == part) & (kept["batch_size"] == 512) & (kept["lr"] == 0.1)]
    assert fresh["seed"].tolist() == kept["seed"].tolist()
    for column in ("train_loss", "loss_gap", "sharpness"):
        assert fresh[column].to_numpy() == pytest.approx(kept[column].to_numpy(), rel=2e-3)
