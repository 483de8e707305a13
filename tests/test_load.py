"""The data sets: what is in them, that they are intact, and that bad arguments are refused."""

import math
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import bundled, load
from kit.load import DataFileError, Dataset, dataset_names, load_dataset

DATA = Path(load.__file__).resolve().parents[1] / "data"
BUNDLED = ("digits", "mnist1d", "mnist5k", "fashion")
GENERATED = ("chebyshev", "spirals", "teacher")
CLASSES = (*BUNDLED, "spirals")
SIZES = {
    "digits": (1000, 797, 64, 10),
    "mnist1d": (4000, 1000, 40, 10),
    "mnist5k": (4000, 1000, 784, 10),
    "fashion": (2000, 1000, 784, 10),
    "chebyshev": (20, 1000, 1, 1),
    "spirals": (300, 3000, 2, 3),
    "teacher": (100, 2000, 2, 1),
}
IMAGES = {"digits": (8, 8), "mnist5k": (28, 28), "fashion": (28, 28)}


def rows(X):
    return {row.tobytes() for row in X.numpy()}


def same(a, b):
    return all(torch.equal(getattr(a, part), getattr(b, part)) for part in load.ARRAYS)


# What is in them


def test_names():
    assert dataset_names() == (*BUNDLED, *GENERATED)


@pytest.mark.parametrize("name", SIZES)
def test_shapes_types_and_what_is_said_about_them(name):
    data = load_dataset(name)
    n, n_test, d, K = SIZES[name]
    assert (data.n, len(data.X_test), data.d, data.K) == SIZES[name]
    assert data.X_train.shape == (n, d)
    assert data.X_test.shape == (n_test, d)
    assert data.X_train.dtype == data.X_test.dtype == torch.float32
    if name in CLASSES:
        assert data.task == "classification"
        assert data.y_train.shape == (n,)
        assert data.y_train.dtype == data.y_test.dtype == torch.int64
        assert set(data.y_train.tolist()) == set(data.y_test.tolist()) == set(range(K))
    else:
        assert data.task == "regression"
        assert data.y_train.shape == (n, K)
        assert data.y_train.dtype == data.y_test.dtype == torch.float32
    assert data.name == name
    assert data.source
    assert data.license
    assert data.image_shape == IMAGES.get(name)
    assert (data.population is None) == (name in CLASSES)
    assert repr(data).startswith(f"Dataset {name!r}: {n} training and {n_test} test samples")


@pytest.mark.parametrize("name", SIZES)
def test_values_are_finite_and_of_one_scale(name):
    data = load_dataset(name)
    for part in load.ARRAYS:
        assert getattr(data, part).isfinite().all()
    assert data.X_test.abs().max() <= 3 * data.X_train.abs().max()


@pytest.mark.parametrize("n_train", [None, 50])
@pytest.mark.parametrize("name", BUNDLED)
def test_image_and_signal_sets_are_centred_and_share_one_deviation(name, n_train):
    data = load_dataset(name, n_train=n_train, seed=3)
    X = data.X_train.double()
    assert X.mean(0).abs().max() < 1e-5
    assert X.std(correction=0) == pytest.approx(1, rel=1e-5)
    raw = load.read_bundled(name)[2].astype(np.float64)
    assert np.allclose(data.transform.invert(data.X_test), raw, atol=1e-4)
    assert torch.allclose(data.transform.apply(raw), data.X_test.double(), atol=1e-5)
    assert "one global training standard deviation" in str(data.transform)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_sets_stay_in_their_own_coordinates(name):
    data = load_dataset(name)
    assert data.transform.scale == 1
    assert not data.transform.mean.any()
    assert "own coordinates" in str(data.transform)
    assert torch.equal(data.transform.apply(data.X_train), data.X_train)


@pytest.mark.parametrize("name", SIZES)
def test_no_row_is_in_both_train_and_test(name):
    data = load_dataset(name)
    assert len(rows(data.X_train)) == data.n
    assert not rows(data.X_train) & rows(data.X_test)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("chebyshev", {"n": 200_001}),
        ("teacher", {"d": 1, "n": 200_000}),
        ("spirals", {"noise": 0, "n": 200_000}),
        ("spirals", {"noise": 0, "seed": 989}),  # 10 + 989 is the seed of the test set
    ],
)
def test_not_even_where_rounding_makes_them_meet(name, options):
    data = load_dataset(name, **options)
    assert not rows(data.X_train) & rows(data.X_test)
    assert data.n == options.get("n", 300)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_splits_are_stratified(name):
    data = load_dataset(name)
    train, test = data.y_train.bincount(), data.y_test.bincount()
    share = (train + test) * data.n / (data.n + len(data.y_test))
    assert (train - share).abs().max() < 1


# Draws: n_train, label_noise, seed


@pytest.mark.parametrize("name", SIZES)
def test_same_arguments_same_numbers_and_the_test_set_knows_no_seed(name):
    data, again = load_dataset(name, seed=5), load_dataset(name, seed=5)
    other = load_dataset(name, seed=6)
    assert same(data, again)
    assert torch.equal(data.X_test, other.X_test)
    assert torch.equal(data.y_test, other.y_test)
    assert torch.equal(data.X_train, other.X_train) == (name in (*BUNDLED, "chebyshev"))


@pytest.mark.parametrize("name", SIZES)
def test_no_global_random_state_is_touched(name):
    def states():
        return random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state()

    before = states()
    noise = 0.1 if name in CLASSES else 0.0
    load_dataset(name, n_train=10, label_noise=noise, seed=1)
    after = states()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


@pytest.mark.parametrize("name", BUNDLED)
def test_n_train_draws_from_the_training_set(name):
    whole = load_dataset(name)
    part = load_dataset(name, n_train=100, seed=1)
    source = torch.tensor(load.read_bundled(name)[0].astype(np.float64))
    raw = rows((source * 1e4).round().long())
    drawn = rows((part.transform.invert(part.X_train.double()) * 1e4).round().long())
    assert part.n == 100
    assert part.y_train.bincount(minlength=10).tolist() == pytest.approx([10] * 10, abs=1)
    assert len(part.X_test) == len(whole.X_test)
    assert len(drawn & raw) == 100
    other = load_dataset(name, n_train=100, seed=2)
    assert not torch.equal(part.X_train, other.X_train)
    assert same(load_dataset(name, n_train=whole.n, seed=7), whole)


@given(K=st.integers(2, 12), size=st.integers(12, 90), seed=st.integers(0, 2**40))
def test_a_draw_is_stratified_and_nested(K, size, seed):
    y = np.random.default_rng(0).permutation(np.arange(K).repeat(np.arange(K) % 3 + 7))
    size = min(size, len(y))
    keep, larger = (load._stratified(y, n, seed) for n in (size, min(size + 5, len(y))))
    counts = np.bincount(y[keep], minlength=K)
    assert len(set(keep)) == size
    assert counts.min() >= 1
    assert np.abs(counts - np.bincount(y) * size / len(y)).max() <= 1
    assert set(keep) <= set(larger)


def test_n_train_of_a_regression_draws_anything():
    whole, part = load_dataset("chebyshev"), load_dataset("chebyshev", n_train=7, seed=1)
    assert part.X_train.shape == part.y_train.shape == (7, 1)
    assert rows(part.X_train) < rows(whole.X_train)
    assert torch.equal(part.X_test, whole.X_test)


@given(noise=st.floats(0, 1), seed=st.integers(0, 2**70), n=st.integers(3, 300))
@settings(deadline=None)
def test_label_noise_moves_an_exact_count_to_other_classes(noise, seed, n):
    clean = load_dataset("spirals", n_train=n, seed=seed)
    noisy = load_dataset("spirals", n_train=n, seed=seed, label_noise=noise)
    assert (clean.y_train != noisy.y_train).sum() == round(noise * n)
    assert noisy.y_train.min() >= 0
    assert noisy.y_train.max() < 3
    assert torch.equal(clean.X_train, noisy.X_train)
    assert torch.equal(clean.y_test, noisy.y_test)


def test_label_noise_is_uniform_over_the_other_classes():
    clean, noisy = load_dataset("mnist1d"), load_dataset("mnist1d", label_noise=1)
    shift = ((noisy.y_train - clean.y_train) % 10).bincount(minlength=10)
    assert shift[0] == 0
    assert ((shift[1:] - 4000 / 9).abs() < 5 * math.sqrt(4000 / 9)).all()


# Generated sets


@pytest.mark.parametrize("degree", [1, 2, 6, 25])
def test_chebyshev(degree):
    data = load_dataset("chebyshev", degree=degree, n=31)
    x = torch.linspace(-1, 1, 20_001, dtype=torch.float64)[:, None].requires_grad_()
    T = data.population.target(x)
    assert torch.allclose(T, torch.cos(degree * torch.arccos(x)), atol=1e-9)
    (slope,) = torch.autograd.grad(T.sum(), x)
    assert slope.abs().max().item() == pytest.approx(degree**2, rel=1e-9)
    assert slope[0].abs().item() == pytest.approx(degree**2)
    assert data.population.lipschitz == degree**2
    assert T.abs().max() <= data.population.bound + 1e-12
    assert torch.allclose(data.X_train[:, 0], torch.linspace(-1, 1, 31), atol=1e-6)
    assert data.population.low == -1 == data.X_train.min()
    assert data.population.high == 1 == data.X_train.max()


@pytest.mark.parametrize(("lipschitz", "d"), [(2.0, 1), (2.0, 2), (0.5, 3), (7.0, 20)])
def test_teacher(lipschitz, d):
    population = load_dataset("teacher", lipschitz=lipschitz, d=d).population
    assert (population.low, population.high, population.d) == (0, 1, d)
    assert population.lipschitz == lipschitz
    x = torch.tensor(np.random.default_rng(0).random((50_000, d)))
    x = torch.cat([x, torch.full((1, d), 0.5)]).requires_grad_()
    f = population.target(x)
    (gradient,) = torch.autograd.grad(f.sum(), x)
    norms = gradient.norm(dim=1)
    assert norms.max() <= lipschitz * (1 + 1e-12)
    assert norms[-1].item() == pytest.approx(lipschitz, rel=1e-12)
    assert f[-1].item() == pytest.approx(0, abs=1e-12)
    assert f.abs().max() <= population.bound
    # visibly nonlinear: a linear fit leaves most of the variance
    design = torch.cat([x, torch.ones(len(x), 1)], 1).detach()
    residual = f - design @ torch.linalg.lstsq(design, f).solution
    assert residual.var() > 0.5 * f.var()


def test_teacher_secants_respect_the_lipschitz_constant():
    population = load_dataset("teacher", lipschitz=3.0, d=4).population
    rng = np.random.default_rng(1)
    a = torch.tensor(rng.random((20_000, 4)))
    b = (a + 1e-2 * torch.tensor(rng.standard_normal((20_000, 4)))).clamp(0, 1)
    slopes = (population.target(a) - population.target(b)).norm(dim=1) / (a - b).norm(dim=1)
    assert slopes.max() <= 3 * (1 + 1e-10)


@pytest.mark.parametrize("name", ["chebyshev", "teacher"])
def test_targets_are_the_population_target_and_points_lie_in_its_cube(name):
    data = load_dataset(name, n=500)
    low, high, target = data.population.low, data.population.high, data.population.target
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert target(X).dtype == torch.float32
        assert torch.allclose(target(X.double()).float(), y)
        assert torch.allclose(target(X), y, atol=1e-5)
        assert low <= X.min()
        assert X.max() <= high


def test_spirals_are_those_of_the_labs():
    rng = np.random.default_rng(10 + 4)
    arms = []
    for c in range(3):
        t = 1.5 * np.pi * np.sqrt(rng.random(100))
        phase = t + 2 * np.pi * c / 3
        arm = (t / (1.5 * np.pi))[:, None] * np.stack([np.cos(phase), np.sin(phase)], 1)
        arms.append(2 * (arm + 0.0375 * rng.normal(size=(100, 2))))
    data = load_dataset("spirals", seed=4)
    assert torch.allclose(data.X_train, torch.tensor(np.concatenate(arms)).float())
    assert data.y_train.tolist() == [0] * 100 + [1] * 100 + [2] * 100


def test_a_data_set_can_be_sent_to_another_process():
    for name in SIZES:
        data = load_dataset(name)
        copy = pickle.loads(pickle.dumps(data))
        assert same(data, copy)
        assert str(copy.transform) == str(data.transform)
        if data.population:
            assert torch.equal(
                copy.population.target(data.X_test), data.population.target(data.X_test)
            )


# Bad arguments of load_dataset


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cifar", {}, "name: got 'cifar'; takes one of 'digits'.*'teacher'"),
        (None, {}, "name: got None"),
        ("digits", {"degree": 6}, "degree: is no option of 'digits', which takes no options"),
        ("chebyshev", {"nosie": 1}, "nosie: .* takes degree, n$"),
        ("spirals", {"d": 2}, "d: .* takes classes, n, noise$"),
        ("teacher", {"noise": 0.1}, "noise: .* takes lipschitz, d, n$"),
        ("digits", {"n_train": 9}, "n_train: got 9; takes .* 10 up to 1000"),
        ("digits", {"n_train": 1001}, "n_train: got 1001; takes .* 10 up to 1000"),
        ("digits", {"n_train": 100.0}, "n_train"),
        ("digits", {"n_train": True}, "n_train"),
        ("digits", {"n_train": "all"}, "n_train"),
        ("chebyshev", {"n_train": 0}, "n_train"),
        ("chebyshev", {"n_train": 21}, "n_train"),
        ("digits", {"label_noise": -0.1}, "label_noise"),
        ("digits", {"label_noise": 1.1}, "label_noise"),
        ("digits", {"label_noise": math.nan}, "label_noise"),
        ("digits", {"label_noise": True}, "label_noise"),
        ("digits", {"label_noise": "0.1"}, "label_noise"),
        ("digits", {"label_noise": None}, "label_noise"),
        ("chebyshev", {"label_noise": 0.1}, "label_noise: .*regression"),
        ("teacher", {"label_noise": 0.1}, "label_noise: .*regression"),
        ("digits", {"seed": -1}, "seed"),
        ("digits", {"seed": 0.0}, "seed"),
        ("digits", {"seed": None}, "seed"),
        ("digits", {"seed": False}, "seed"),
        ("chebyshev", {"degree": 0}, "degree"),
        ("chebyshev", {"degree": 2.5}, "degree"),
        ("chebyshev", {"degree": True}, "degree"),
        ("chebyshev", {"n": 1}, "^n: "),
        ("chebyshev", {"n": 10**9}, "^n: "),
        ("spirals", {"classes": 1}, "classes"),
        ("spirals", {"classes": 5, "n": 4}, "^n: "),
        ("spirals", {"noise": -1}, "noise"),
        ("spirals", {"noise": math.nan}, "noise"),
        ("spirals", {"noise": math.inf}, "noise"),
        ("teacher", {"lipschitz": 0}, "lipschitz"),
        ("teacher", {"lipschitz": -2.0}, "lipschitz"),
        ("teacher", {"lipschitz": math.nan}, "lipschitz"),
        ("teacher", {"lipschitz": math.inf}, "lipschitz"),
        ("teacher", {"d": 0}, "^d: "),
        ("teacher", {"n": 0}, "^n: "),
    ],
)
def test_bad_arguments_are_named(name, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        load_dataset(name, **arguments)


@pytest.mark.parametrize("name", ["cifar", ""])
def test_an_unknown_name_is_a_value_error(name):
    with pytest.raises(ValueError, match="digits"):
        load_dataset(name)


def test_an_unknown_option_is_a_value_error():
    with pytest.raises(ValueError, match="lipschitz, d, n"):
        load_dataset("teacher", size=3)


def test_numpy_numbers_are_numbers():
    data = load_dataset(
        "digits", n_train=np.int64(20), seed=np.uint8(3), label_noise=np.float32(0.5)
    )
    assert same(data, load_dataset("digits", n_train=20, seed=3, label_noise=0.5))


# Bundled files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    copy = shutil.copytree(DATA, tmp_path / "data")
    monkeypatch.setattr(bundled, "FOLDERS", (tmp_path / "nowhere", copy))
    return copy


def refused(name):
    with pytest.raises(DataFileError) as caught:
        load_dataset(name)
    return str(caught.value)


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("key", load.ARRAYS)
def test_one_flipped_value_is_noticed(folder, name, key):
    with np.load(folder / f"{name}.npz") as file:
        arrays = dict(file)
    arrays[key] = arrays[key].copy()
    arrays[key].flat[7] += 1
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    message = refused(name)
    assert f"{name}.npz" in message
    assert f"python data/build.py {name}" in message


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_noticed(folder, kept):
    path = folder / "digits.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    message = refused("digits")
    assert "digits.npz" in message
    assert "python data/build.py digits" in message


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=150)
def test_a_flipped_bit_is_noticed_or_harmless(tmp_path_factory, place, bit):
    content = bytearray((DATA / "digits.npz").read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    broken = tmp_path_factory.mktemp("flipped")
    (broken / "digits.npz").write_bytes(content)
    shutil.copy(DATA / "checksums.json", broken)
    message = ""
    try:
        arrays = load.read_bundled("digits", broken)
    except DataFileError as error:
        message = str(error)
        arrays = ()
    stored = load.read_bundled("digits", DATA)
    intact = len(arrays) == 4 and all(map(np.array_equal, arrays, stored))  # such as a time stamp
    assert intact or "python data/build.py digits" in message


def test_a_missing_file_is_named(folder):
    (folder / "fashion.npz").unlink()
    message = refused("fashion")
    assert "fashion.npz is missing" in message
    assert "python data/build.py fashion" in message
    assert load_dataset("digits").n == 1000


def test_a_swapped_file_is_noticed(folder):
    shutil.copy(folder / "mnist5k.npz", folder / "fashion.npz")
    assert "fashion.npz is damaged or not the right file" in refused("fashion")


def test_other_content_is_noticed(folder):
    np.save(folder / "digits.npy", np.zeros(3))
    shutil.move(folder / "digits.npy", folder / "digits.npz")
    assert "digits.npz" in refused("digits")
    np.savez(folder / "digits.npz", X_train=np.array([{}], dtype=object))
    assert "digits.npz" in refused("digits")


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"digits": "0"}'])
def test_checksums_that_do_not_serve_are_noticed(folder, content):
    path = folder / "checksums.json"
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    assert "python data/build.py digits" in refused("digits")


def test_a_wheel_finds_its_own_copy_first(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "FOLDERS", (tmp_path / "kit" / "_data", tmp_path / "data"))
    shutil.copytree(DATA, tmp_path / "kit" / "_data")
    assert load_dataset("digits").n == 1000


def test_the_checksum_is_over_names_types_shapes_and_values():
    a = np.arange(6, dtype=np.int16)
    digest = load.checksum({"a": a})
    assert digest == load.checksum({"a": a.astype(">i2")})
    assert digest == load.checksum({"a": np.arange(12, dtype=np.int16)[:6]})
    different = ({"b": a}, {"a": a.astype(np.int32)}, {"a": a.reshape(2, 3)}, {"a": a[::-1]})
    assert len({digest, *map(load.checksum, different)}) == 5


# One's own arrays

X, y = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [0, 1, 1]


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list, tuple])
def test_own_classification(kind):
    data = Dataset.from_arrays(
        kind(X), kind(y), kind(X[:2]), kind(y[:2]), task="classification", name="mine"
    )
    assert (data.n, data.d, data.K, data.name) == (3, 2, 2, "mine")
    assert data.X_train.tolist() == X
    assert data.y_train.tolist() == y
    assert (data.X_train.dtype, data.y_train.dtype) == (torch.float32, torch.int64)
    assert data.population is None
    assert "own coordinates" in str(data.transform)


@given(n=st.integers(1, 5), n_test=st.integers(1, 5), d=st.integers(1, 4), K=st.integers(1, 3))
def test_own_regression(n, n_test, d, K):
    rng = np.random.default_rng(0)
    arrays = [rng.random(shape) for shape in ((n, d), (n, K), (n_test, d), (n_test, K))]
    data = Dataset.from_arrays(*arrays, task="regression", name="mine")
    assert (data.n, data.d, data.K) == (n, d, K)
    if K == 1:
        arrays[1::2] = [array[:, 0] for array in arrays[1::2]]
        assert same(data, Dataset.from_arrays(*arrays, task="regression", name="mine"))


def test_own_arrays_are_copied_and_detached():
    features = torch.tensor(X, requires_grad=True)
    data = Dataset.from_arrays(
        features, y, X, y, task="classification", name="mine", image_shape=[1, 2]
    )
    with torch.no_grad():
        features.zero_()
    assert data.X_train.tolist() == X
    assert not data.X_train.requires_grad
    assert data.image_shape == (1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "ranking"}, "task: .*'classification', 'regression'"),
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"X_train": [1.0, 2.0, 3.0]}, r"X_train: got shape \(3,\); takes \(n, d\)"),
        ({"X_train": np.zeros((3, 2, 2))}, "X_train: got shape"),
        ({"X_train": np.zeros((0, 2))}, "X_train: got shape"),
        ({"X_train": [[1.0, 2.0], [3.0]]}, "X_train: takes an array of numbers"),
        ({"X_train": [["a", "b"]]}, "X_train: takes an array of numbers"),
        ({"X_train": None}, "X_train"),
        ({"X_train": np.zeros((3, 2), complex)}, "X_train: got torch.complex128"),
        ({"X_train": [[0, 1], [2, math.nan], [4, 5]]}, "X_train: got nan in row 1, column 1"),
        ({"X_test": [[0, math.inf], [2, 3], [4, 5]]}, "X_test: got inf in row 0, column 1"),
        ({"X_test": [[0, 1e300], [2, 3], [4, 5]]}, "X_test: got inf"),
        ({"X_test": np.zeros((3, 5))}, "X_test: got 5 columns; takes the 2 of X_train"),
        ({"y_train": [0, 1]}, "y_train: got 2 entries; takes one for each of the 3 rows"),
        ({"y_test": [0, 1]}, "y_test: got 2 entries"),
        ({"y_train": [[0], [1], [1]]}, r"y_train: got shape \(3, 1\); takes \(n,\)"),
        ({"y_train": [0.0, 1.0, 1.0]}, "y_train: got torch.float64; takes integers"),
        ({"y_train": [True, False, True]}, "y_train: got torch.bool"),
        ({"y_train": [0, -1, 1]}, "got the labels .*-1, 0, 1.*; take 0..K-1"),
        ({"y_train": [1, 2, 2], "y_test": [1, 2, 2]}, "got the labels .1, 2.*; take 0..K-1"),
        ({"y_train": [0, 1, 10**9]}, "take 0..K-1"),
        ({"y_train": [0, 0, 0], "y_test": [0, 0, 0]}, "K at least 2"),
        ({"image_shape": 2}, "image_shape"),
        ({"image_shape": (8, 8)}, r"image_shape: got \(8, 8\); takes .* of 2 pixels"),
    ],
)
def test_bad_own_arrays_are_named(change, message):
    arguments = {"X_train": X, "y_train": y, "X_test": X, "y_test": y}
    with pytest.raises((ValueError, TypeError), match=message):
        Dataset.from_arrays(**arguments | {"task": "classification", "name": "mine"} | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": [0.0, math.nan, 1.0]}, "y_train: got nan in row 1, column 0"),
        ({"y_train": [[0.0, 1.0]] * 3}, "y_test: got 1 columns; takes the 2 of y_train"),
        ({"y_train": np.zeros((3, 1, 1))}, r"y_train: .*takes \(n,\) or \(n, K\)"),
        ({"y_train": 3.0}, "y_train"),
    ],
)
def test_bad_own_targets_are_named(change, message):
    arguments = {"X_train": X, "y_train": [0.0, 1.0, 2.0], "X_test": X, "y_test": [0.0, 1.0, 2.0]}
    with pytest.raises((ValueError, TypeError), match=message):
        Dataset.from_arrays(**arguments | change, task="regression", name="mine")
