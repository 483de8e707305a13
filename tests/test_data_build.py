"""Every bundled file is remade from its package, array for array."""

import importlib.util
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kit import load

DATA = Path(load.__file__).resolve().parents[1] / "data"
_spec = importlib.util.spec_from_file_location("data_build", DATA / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

CHECKSUMS = json.loads((DATA / "checksums.json").read_text(encoding="utf-8"))


def install_fashion():
    """Debian's package, where there is a Debian and we may install on it."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["update"],
        ["install", "-y", "--no-install-recommends", build.FASHION_PACKAGE],
    ):
        subprocess.run(["apt-get", *command], env=environment, capture_output=True, timeout=300)


def remake(name):
    try:
        return build.build(name)
    except build.MissingSource as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must be able to remake {name}: {error}")
        pytest.skip(str(error))


@pytest.mark.parametrize("name", build.SETS)
def test_remade_from_its_package(name):
    if name == "fashion":
        try:
            build.fashion_paths()
        except build.MissingSource:
            install_fashion()
    states = random.getstate(), np.random.get_state()[1].tobytes()
    arrays = remake(name)
    assert states == (random.getstate(), np.random.get_state()[1].tobytes())
    assert load.checksum(arrays) == CHECKSUMS[name]
    for array, stored in zip(arrays.values(), load.read_bundled(name, DATA), strict=True):
        assert array.dtype == stored.dtype
        assert np.array_equal(array, stored)


def test_every_bundled_file_is_in_the_readme_with_its_size_and_checksum():
    assert list(CHECKSUMS) == list(build.SETS)
    readme = (DATA / "README.md").read_text(encoding="utf-8").splitlines()
    for name, digest in CHECKSUMS.items():
        path = DATA / f"{name}.npz"
        assert any(
            f"| {path.name} |" in line and f"| {path.stat().st_size} |" in line for line in readme
        )
        assert f"| {path.name} | {digest} |" in readme
    assert {path.stem for path in DATA.glob("*.npz")} == set(CHECKSUMS)


def test_no_bundled_row_occurs_twice():
    for name in CHECKSUMS:
        X_train, _, X_test, _ = load.read_bundled(name, DATA)
        X = np.concatenate([X_train, X_test])
        assert len(np.unique(X, axis=0)) == len(X)


def test_duplicates_are_dropped():
    X = np.arange(80).reshape(40, 2)
    X, y = np.concatenate([X, X[:10]]), np.arange(50) % 2
    parts = build.split(X, y, train=30, test=10)
    assert len(np.unique(np.concatenate([parts["X_train"], parts["X_test"]]), axis=0)) == 40


# The script


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the data that the script writes to, and one quick set to write."""
    shutil.copy(DATA / "checksums.json", tmp_path)
    shutil.copy(DATA / "digits.npz", tmp_path)
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(build, "CHECKSUMS", tmp_path / "checksums.json")
    stored = dict(zip(load.ARRAYS, load.read_bundled("digits", DATA), strict=True))
    monkeypatch.setitem(build.SETS, "digits", lambda: stored)
    return tmp_path


def test_a_damaged_file_is_written_again(folder):
    (folder / "digits.npz").write_bytes(b"damaged")
    assert build.main(["--check", "digits"]) == 1
    assert build.main(["digits"]) == 0
    assert build.main(["--check", "digits"]) == 0
    load.read_bundled("digits", folder)
    assert json.loads((folder / "checksums.json").read_text(encoding="utf-8")) == CHECKSUMS


def test_arrays_that_changed_need_the_word_update(folder, monkeypatch, capsys):
    changed = build.SETS["digits"]() | {"y_test": np.zeros(797, np.uint8)}
    monkeypatch.setitem(build.SETS, "digits", lambda: changed)
    before = (folder / "digits.npz").read_bytes()
    assert build.main(["--check", "digits"]) == 1
    assert build.main(["digits"]) == 1
    assert "--update" in capsys.readouterr().err
    assert (folder / "digits.npz").read_bytes() == before
    assert build.main(["--update", "digits"]) == 0
    assert np.array_equal(load.read_bundled("digits", folder)[3], changed["y_test"])


def test_a_missing_package_is_named(folder, monkeypatch, capsys):
    def fails():
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setitem(build.SETS, "digits", fails)
    assert build.main(["digits"]) == 1
    assert "pip install scikit-learn" in capsys.readouterr().err


def test_missing_fashion_files_are_named(folder, tmp_path, capsys):
    assert build.main(["fashion", "--fashion-folder", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "train-images-idx3-ubyte.gz" in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert "--fashion-folder" in message


def test_a_wrong_name_lists_the_right_ones(capsys):
    with pytest.raises(SystemExit):
        build.main(["cifar"])
    assert "digits, mnist1d, mnist5k, fashion; got cifar" in capsys.readouterr().err


def test_a_file_that_is_not_idx_is_refused(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(build.gzip.compress(b"not idx at all"))
    with pytest.raises(ValueError, match="is not an idx file"):
        build.read_idx(path)
