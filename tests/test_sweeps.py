"""Sweeps: every engine gives the rows that single runs give; stopped, broken and taken up again."""

import math
from itertools import pairwise

import pandas as pd
import pytest
import torch

from kit import Dataset, Objective, Training, mlp, sharpness
from kit.sweep_plan import DEFAULTS
from kit.sweeps import sweep
from tests import oracles
from tests.oracles import samples


def data(n=24, classes=3):
    X, y = samples(n + 12, 4, classes)
    return Dataset.from_arrays(X[:n], y[:n], X[n:], y[n:], task="classification", name="gaussian")


def regression():
    X, _ = samples(30, 2, 2)
    y = torch.sin(X.sum(1, keepdim=True))
    return Dataset.from_arrays(X[:20], y[:20], X[20:], y[20:], task="regression", name="wave")


def double(seed):
    return mlp((4, 6, 3), activation="tanh", seed=seed).double()


def quiet(grid, dataset=None, **options):
    options = {"model": double, "budget": 30, "progress": False} | options
    return sweep(grid, dataset or data(), **options)


GRID = {"lr": [0.05, 0.2], "batch_size": [6, None], "weight_decay": [0.0, 0.02], "seed": [0, 3]}


def same(a, b):
    columns = [c for c in a if c != "seconds"]
    pd.testing.assert_frame_equal(a[columns], b[columns], rtol=1e-8, check_dtype=False)


def test_a_row_is_what_a_training_of_its_own_gives():
    table = quiet(GRID, measures=["sharpness", "trace", "batch_sharpness"])
    assert len(table) == 16
    assert set(table["status"]) == {"done"}
    for row in table.iloc[[0, 5, 10, 15]].itertuples():
        run = Training(
            double(row.seed),
            data(),
            lr=row.lr,
            batch_size=int(row.batch_size),
            weight_decay=row.weight_decay,
            seed=row.seed,
            measures=(),
        )
        run.run(30)
        for name, value in run.evaluate().items():
            assert getattr(row, name) == pytest.approx(value, rel=1e-8), name
        objective = Objective(run.model, data().X_train, data().y_train)
        H = oracles.hessian(run.model, objective.X, objective.y)
        assert row.sharpness == pytest.approx(sharpness(objective), rel=1e-6)
        assert abs(row.trace - float(H.trace())) <= 4 * row.trace_se + 1e-9
        assert row.steps == 30
        assert row.parameters == objective.parameters


@pytest.mark.parametrize("match", ["updates", "epochs", "loss"])
def test_batched_and_one_by_one_give_the_same_table(match):
    grid = GRID | {
        "label_smoothing": [0.0, 0.1],
        "sam_radius": [0.0, 0.05],
        "mixup": [0.0, 0.3],
        "seed": [1],
        "momentum": [0.5],
    }
    options = {"match": match, "measures": ["sharpness"]}
    options |= {"budget": 3} if match == "epochs" else {}
    options |= {"budget": 0.9, "max_updates": 60} if match == "loss" else {}
    fast, slow = (quiet(grid, engine=e, **options) for e in ("batched", "loop"))
    assert len(fast) == 64
    same(fast, slow)
    if match == "epochs":
        assert set(fast["steps"]) == {3, 12}
    if match == "loss":
        done = fast[fast["status"] == "done"]
        assert 0 < len(done) < 64
        assert float(done["train_loss"].max()) <= 0.9
        assert fast[fast["status"] != "done"]["status"].str.contains("did not fall to 0.9").all()


@pytest.mark.slow
def test_processes_give_the_same_table():
    grid = {"lr": [0.05, 0.2], "seed": [0, 1]}
    options = {"measures": {"soft_rank": {"damping": 0.1}}, "model": (4, 6, 3)}
    same(quiet(grid, engine="joblib", workers=2, **options), quiet(grid, engine="loop", **options))


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_table():
    from dask.distributed import Client, LocalCluster

    grid = {"lr": [0.05, 0.2], "seed": [0, 1, 2, 3]}
    options, dataset = {"measures": ["sharpness"], "model": (4, 6, 3)}, data()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with (
            LocalCluster(
                n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            far = {"engine": "dask", "client": client} | options
            tables = [quiet(grid, dataset, **far) for _ in range(4)]  # the same sweep again
        assert torch.get_num_threads() == 2  # the cluster's threads are in this process
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(state, torch.get_rng_state())
    for table in tables:
        same(table, quiet(grid, engine="loop", **options))


def test_widths_can_vary_and_other_modules_train_one_by_one():
    table = quiet({"widths": [(4, 3, 3), (4, 8, 3)], "seed": [0, 1]}, model=None)
    assert list(table["parameters"]) == [27, 27, 67, 67]

    def normed(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.LayerNorm(5)).double()

    table = quiet({"seed": [0, 1]}, model=normed, measures=["sharpness"], budget=5)
    assert set(table["status"]) == {"done"}
    assert table["sharpness"].nunique() == 2


def test_regression_and_adam():
    table = quiet(
        {"lr": [0.01, 0.02]}, regression(), model=(2, 5, 1), optimizer="adam", activation="tanh"
    )
    assert table["train_accuracy"].isna().all()
    assert set(table["trained"]) == {"mse, adam"}


@pytest.mark.parametrize("engine", ["batched", "loop"])
def test_a_run_that_breaks_is_a_row_that_says_why(engine):
    grid = {"lr": [0.1, 1e6, -1.0], "seed": [0]}
    table = quiet(grid, engine=engine, loss="mse", measures=["sharpness"])
    assert table["status"].iloc[0] == "done"
    assert table["status"].iloc[1].startswith("diverged (blow-up)")
    assert table["status"].iloc[2] == "failed: ValueError: lr: got -1.0; takes a number above 0"
    assert math.isnan(table["sharpness"].iloc[2])

    def wide(seed):
        return mlp((7, 3), seed=seed)

    table = quiet({"seed": [0]}, model=wide, engine=engine)
    assert table["status"].iloc[0].startswith("failed: ValueError: X: the model does not take")


def test_a_dead_network_is_reported_as_a_collapse():
    def dead(seed):
        model = mlp((4, 6, 3), seed=seed).double()
        with torch.no_grad():
            model[0].bias.fill_(-100.0)
        return model

    for engine in ("batched", "loop"):
        table = quiet({"seed": [0]}, model=dead, engine=engine)
        assert table["active_units"].iloc[0] == 0


@pytest.mark.parametrize("engine", ["batched", "loop"])
def test_progress_is_told_and_can_stop_and_the_table_is_taken_up_again(engine):
    seen = []

    def watch(progress):
        seen.append(progress)
        if progress.fleet is not None:
            assert progress.fleet.losses().shape == (len(progress.runs),)
        return len(progress.table) >= 4

    part = quiet(GRID, engine=engine, progress=watch)
    assert 4 <= len(part) < 16
    assert seen[-1].total == 16
    assert all(a.finished <= b.finished + 1e-9 for a, b in pairwise(seen))
    whole = quiet(GRID, engine=engine, resume=part)
    same(whole, quiet(GRID, engine=engine))
    ran = []
    quiet(GRID, engine="loop", resume=whole, progress=lambda p: ran.append(p))
    assert not ran


def test_the_file_of_a_sweep_is_whole_after_every_run_and_can_be_taken_up(tmp_path):
    path = tmp_path / "table.csv"

    def stop(progress):
        assert pd.read_csv(path).shape[0] == len(progress.table)
        return len(progress.table) == 3

    part = quiet(GRID, engine="loop", progress=stop, save=path, resume=path)
    assert len(part) == 3
    again = quiet(GRID, engine="loop", save=path, resume=path)
    same(again, quiet(GRID, engine="loop"))
    assert len(pd.read_csv(path)) == 16
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_an_interrupt_keeps_what_is_finished():
    def interrupt(progress):
        if len(progress.table) == 2:
            raise KeyboardInterrupt

    assert len(quiet(GRID, engine="loop", progress=interrupt)) == 2


def test_failed_rows_run_again_and_other_tables_are_refused(tmp_path):
    grid = {"lr": [0.1, 0.2]}
    table = quiet(grid)
    broken = table.copy()
    broken.loc[0, "status"] = "failed: MemoryError: "
    broken["train_loss"] = -1.0
    again = quiet(grid, resume=broken)
    assert again["train_loss"].iloc[0] > 0
    assert again["train_loss"].iloc[1] == -1
    with pytest.raises(ValueError, match="resume: matched is updates 30; this has updates 31"):
        quiet(grid, resume=table, budget=31)
    with pytest.raises(ValueError, match=r"resume: matched is updates 30; this has .*30\.25"):
        quiet(grid, resume=table, match="epochs", budget=30.25)
    other = data()
    other.y_train[0] = 1 - other.y_train[0]
    with pytest.raises(ValueError, match="resume: data is"):
        quiet(grid, other, resume=table)
    ranked = quiet(grid, measures={"soft_rank": {"damping": 1.0}})
    with pytest.raises(ValueError, match="resume: options is"):
        quiet(grid, measures={"soft_rank": {"damping": 0.01}}, resume=ranked)
    with pytest.raises(ValueError, match="resume: has no column 'trace'"):
        quiet(grid, resume=table, measures=["trace"])
    with pytest.raises(TypeError, match="resume: got int"):
        quiet(grid, resume=3)
    path = tmp_path / "broken.csv"
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ValueError, match=r"resume: broken.csv is not a table of a sweep"):
        quiet(grid, resume=path)
    path.write_text('a,b\n"1\n')
    with pytest.raises(ValueError, match="resume"):
        quiet(grid, resume=path)


def test_progress_is_printed_by_default(capsys):
    sweep({"lr": [0.1, 0.2]}, data(), model=double, budget=2)
    assert "2 of 2 runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": 3}, "dataset: got int"),
        ({"grid": [1]}, "grid: got list"),
        ({"grid": {"lrs": [1]}}, "grid: got 'lrs'; takes one of 'lr'"),
        ({"grid": {"lr": 0.1}}, "grid: 'lr' has 0.1; takes a list"),
        ({"grid": {"lr": []}}, "grid: 'lr' has no values"),
        ({"model": None}, "model: takes widths or a function"),
        ({"model": 3}, "model: got int"),
        ({"grid": {"widths": [(4, 3)]}}, "model: takes widths or a function"),
        ({"match": "steps"}, "match: got 'steps'"),
        ({"budget": 0}, "budget: got 0"),
        ({"budget": 2.5}, "budget: got 2.5"),
        ({"max_updates": 0}, "max_updates: got 0"),
        ({"engine": "mpi"}, "engine: got 'mpi'"),
        ({"loss": "hinge"}, "loss: got 'hinge'"),
        ({"optimizer": "lion"}, "optimizer: got 'lion'"),
        ({"measures": "sharpness"}, "measures: got 'sharpness'"),
        ({"measures": ["sharpnes"]}, "measures: got 'sharpnes'"),
        ({"measures": {"trace": 3}}, "measures: 'trace' has 3"),
        ({"measures": {"trace": {"probe": 3}}}, "'trace' has no option 'probe'; takes operator"),
    ],
    ids=[str(i) for i in range(19)],
)
def test_bad_input_is_refused(arguments, message):
    arguments = {"grid": {"lr": [0.1]}, "dataset": data(), "model": double, "budget": 2} | arguments
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(arguments.pop("grid"), arguments.pop("dataset"), progress=False, **arguments)


def test_every_setting_of_a_training_that_varies_is_in_the_table():
    table = quiet({"lr": [0.1]})
    assert set(DEFAULTS) <= set(table.columns)
    assert {"data", "model", "trained", "matched", "status", "steps", "seconds"} <= set(table)
