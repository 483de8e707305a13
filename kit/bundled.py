"""The data files that come with the kit, read and verified; numpy is all that this needs.

>>> [array.shape for array in read_bundled("digits")]
[(1000, 64), (1000,), (797, 64), (797,)]
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FOLDERS = (HERE / "_data", HERE.parent / "data")  # in a wheel, in a checkout
ARRAYS = ("X_train", "y_train", "X_test", "y_test")


class DataFileError(ValueError):
    """A bundled file is missing, damaged, or not the one its checksum was made for."""


def checksum(arrays):
    """The sha256 over names, dtypes, shapes and values of {name: array}; the zip around is free."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read_bundled(name, folder=None):
    """The arrays X_train, y_train, X_test, y_test of a bundled set, as stored, verified."""
    if folder is None:
        folder = next((f for f in FOLDERS if (f / "checksums.json").is_file()), FOLDERS[-1])
    path = folder / f"{name}.npz"
    remake = f"remake it with `python data/build.py {name}` in a checkout, or install the kit again"
    try:
        expected = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))[name]
        with np.load(io.BytesIO(path.read_bytes())) as file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise DataFileError(f"{error.filename} is missing: {remake}") from error
    except Exception as error:  # a damaged zip makes numpy raise nearly anything
        raise DataFileError(f"{path} or its checksum cannot be read: {remake}") from error
    if checksum(arrays) != expected:
        raise DataFileError(f"{path} is damaged or not the right file (sha256 differs): {remake}")
    return tuple(arrays[key] for key in ARRAYS)
