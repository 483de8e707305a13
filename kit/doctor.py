"""Is this computer ready for the kit? One line a check, and what to do where it fails.

>>> print(line(check_python()))  # doctest: +ELLIPSIS
ok    Python: 3...

Nothing here needs torch, numpy or any other package to be importable, and the syntax is old enough
that a Python which is too old can still say so. torch runs in a process of its own: a build that
does not fit the processor ends its process without a word, and that, too, must be a line.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "sharpness-kit"
PYTHON = (3, 11)
MODULES = {"pillow": "PIL"}  # where the module is not called as the package
PORTS = range(8866, 8966)
MEMORY = 0.5  # GB free: a page's kernel takes 0.35
BINDER = 2.0  # GB, all that Binder gives
STEPS = 20
LIMIT = 120  # seconds that a check in its own process may take
INSTALL = "install the packages again: make clean, then make serve; or pip install -r {}"
LOCK = "requirements.lock"


class Finding(NamedTuple):
    """What one check found. remedy: what to do, empty where all is well."""

    name: str
    ok: bool
    what: str
    remedy: str = ""


class Broken(Exception):
    """A check that failed, with what was seen and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy


def run(show: Callable[[str], object] = print) -> int:
    """Make every check and show a line for each; 0 when all is well, 1 otherwise."""
    failed = 0
    for finding in findings():
        show(line(finding))
        failed += not finding.ok
    show("All is well." if not failed else f"{failed} to put right; after that, run this again.")
    return int(failed > 0)


def line(finding: Finding) -> str:
    """The finding in one line.

    >>> line(Finding("torch", False, "ImportError: no", "install it"))
    'FAIL  torch: ImportError: no. To do: install it'
    """
    if finding.ok:
        return f"ok    {finding.name}: {finding.what}"
    return f"FAIL  {finding.name}: {finding.what}. To do: {finding.remedy}"


def findings():
    """Every finding, one at a time, as it is made."""
    yield check_python()
    ranges = wanted_ranges()
    for package in sorted(ranges or {"numpy": "", "torch": ""}):
        if package != "torch":
            yield check_package(package, ranges.get(package, ""))
    torch = isolated("torch", ranges.get("torch", ""))
    yield torch
    yield from check_data()
    yield attempt("template", _template)
    yield attempt("port", _port)
    yield attempt("Jupyter's folders", _folders)
    yield attempt("memory", _memory)
    if torch.ok:
        yield isolated("training")
    else:
        yield Finding("training", False, "not tried without torch", "put torch right first")


def attempt(name: str, check: Callable[..., str], *arguments: str) -> Finding:
    """The finding of a check that returns what it saw, or raises what was wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Finding(name, True, check(*arguments))
    except Broken as broken:
        return Finding(name, False, broken.what, broken.remedy)
    except Exception as error:  # a broken package raises anything, and the others still count
        return Finding(name, False, described(error), INSTALL.format(LOCK))


def described(error: BaseException) -> str:
    """The type and the first line of an error.

    >>> described(OSError("libtorch.so: not found\\nand more"))
    'OSError: libtorch.so: not found'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


# Python and packages


def check_python() -> Finding:
    """Whether this Python is new enough."""
    found = platform.python_version()
    if sys.version_info >= PYTHON:
        return Finding("Python", True, f"{found}, {sys.executable}")
    least = ".".join(map(str, PYTHON))
    remedy = f"install Python {least} or newer, then make clean and make serve PYTHON=python{least}"
    return Finding("Python", False, f"{found} is older than {least}", remedy)


def wanted_ranges() -> dict:
    """Package -> the versions that the kit takes, from pyproject.toml or the installed metadata.

    >>> wanted_ranges()["numpy"]
    '>=2.1,<3'
    """
    try:
        import tomllib  # new in the oldest Python that the kit takes

        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = project["dependencies"] if project["name"] == PROJECT else []
    except (ImportError, OSError, KeyError, ValueError):
        lines = []
    if not lines:
        try:
            lines = metadata.requires(PROJECT) or []
        except metadata.PackageNotFoundError:
            return {}
    needed = [text.split(";")[0] for text in lines if "extra ==" not in text]
    found = [re.match(r"\s*([\w.-]+)\s*\(?([^)]*)", text) for text in needed]
    return {match[1]: match[2].strip() for match in found if match}


def check_package(package: str, wanted: str) -> Finding:
    """Whether a package imports, in a version that the kit takes."""
    return attempt(package, _package, package, wanted)


def _package(package: str, wanted: str) -> str:
    importlib.import_module(MODULES.get(package, package))
    return _version(package, wanted)


def _version(package: str, wanted: str) -> str:
    remedy = f"pip install '{package}{wanted}'"
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        raise Broken("is not installed", remedy) from None
    if not fits(version, wanted):
        raise Broken(f"{version} is not within {wanted}", remedy)
    return version


def fits(version: str, wanted: str) -> bool:
    """Whether a version is in a range, by its release numbers.

    >>> fits("2.13.0+cpu", ">=2.9,<3"), fits("3.0", ">=2.9,<3"), fits("0.5.9", ">=0.5.13,<0.6")
    (True, False, False)
    """
    tests = {
        "<": lambda order: order < 0,
        "<=": lambda order: order <= 0,
        "==": lambda order: order == 0,
        "!=": lambda order: order != 0,
        ">=": lambda order: order >= 0,
        ">": lambda order: order > 0,
    }
    parts = re.findall(r"([<>=!]=?)\s*([\d.]+)", wanted)
    return all(tests[sign](_order(version, limit)) for sign, limit in parts)


def _order(one: str, other: str) -> int:
    """-1, 0 or 1: which release is older; 2.1 and 2.1.0 are the same."""
    a, b = (
        [int(part) for part in re.match(r"[\d.]*", text)[0].split(".") if part]
        for text in (one, other)
    )
    length = max(len(a), len(b))
    a, b = (numbers + [0] * (length - len(numbers)) for numbers in (a, b))
    return (a > b) - (a < b)


# What runs in a process of its own


def isolated(name: str, *arguments: str) -> Finding:
    """The finding of `ISOLATED[name]`, made by another Python."""
    code = "import sys; from kit.doctor import answer; answer(*sys.argv[1:])"
    command = [sys.executable, "-c", code, name, *arguments]
    where = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    try:
        child = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT,
            check=False,
            env={**os.environ, "PYTHONPATH": where},
        )
    except subprocess.TimeoutExpired:
        return Finding(name, False, f"no answer within {LIMIT} s", "close other programs")
    try:
        return Finding(*json.loads(child.stdout.decode().splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        what = f"its process ended with code {child.returncode} and without an answer"
        remedy = "another build of torch: " + INSTALL.format(LOCK)
        return Finding(name, False, what, remedy)


def answer(name: str, *arguments: str) -> None:
    """Print the finding of a check, for the process that asked for it."""
    print(json.dumps(attempt(name, ISOLATED[name], *arguments)))


def _torch(wanted: str) -> str:
    import torch

    version = _version("torch", wanted)
    product = torch.full((2, 3), 2.0) @ torch.full((3, 2), 0.5)
    if product.tolist() != [[3.0, 3.0], [3.0, 3.0]]:
        raise Broken(f"{version} multiplies matrices wrongly", INSTALL.format(LOCK))
    for kind in ("cuda", "hip", "xpu"):
        built = getattr(torch.version, kind, None)
        if built:
            return f"{version}, built for {kind} {built}; it works, and the CPU build is smaller"
    return f"{version}, a CPU build; it multiplies"


def _training() -> str:
    import math

    from kit import Training, load_dataset, mlp

    run = Training(
        mlp((1, 30, 20, 1), activation="tanh"),
        load_dataset("chebyshev"),
        loss="mse",
        lr=0.1,
        measures=("sharpness",),
    )
    run.step()  # the first one loads what the others use
    start = time.perf_counter()
    run.run(STEPS)
    seconds = time.perf_counter() - start
    for name in ("loss", "sharpness"):
        bad = [k for k, value in enumerate(run.history[name]) if not math.isfinite(value)]
        if bad:
            raise Broken(f"{name} at step {bad[0]} is not a number", INSTALL.format(LOCK))
    rate = STEPS / max(seconds, 1e-9)
    return f"{STEPS} steps with sharpness at each, {rate:.0f} a second"


ISOLATED = {"torch": _torch, "training": _training}


# Files, ports, memory


def check_data(folder: Path | None = None):
    """A finding for each data file, or one where none can be read."""
    try:
        from kit import bundled
    except Exception as error:  # numpy, broken in whatever way
        remedy = "put numpy right first"
        yield Finding("data", False, f"not read: {described(error)}", remedy)
        return
    places = bundled.FOLDERS if folder is None else (folder,)
    folder = next((f for f in places if (f / "checksums.json").is_file()), places[-1])
    try:
        names = list(json.loads((folder / "checksums.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        remedy = "get data/checksums.json back: git checkout data, or install the kit again"
        yield Finding("data", False, described(error), remedy)
        return
    for name in names:
        yield attempt(f"data {name}", _data_file, name, folder)


def _data_file(name: str, folder: Path) -> str:
    from kit import bundled

    try:
        X_train, _, X_test, _ = bundled.read_bundled(name, folder)
    except bundled.DataFileError as error:
        what, _, remedy = str(error).rpartition(": ")
        raise Broken(what, remedy) from error
    return f"{len(X_train)} + {len(X_test)} samples, as they should be"


def _template() -> str:
    from jupyter_core.paths import jupyter_path

    made = Path(sys.prefix) / "jupyter" / "voila" / "templates"  # by make serve, which names it
    for place in [*map(Path, jupyter_path("voila", "templates")), made]:
        if (place / "kit" / "conf.json").is_file():
            return str(place / "kit")
    raise Broken("Voila does not find it", "pip install --no-deps -e . again, or use make serve")


def _port() -> str:
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"{port} is free on 127.0.0.1"
    raise Broken(
        f"{PORTS[0]} to {PORTS[-1]} are taken or not allowed",
        "close other servers, or pick one: make serve FLAGS=--port=9999",
    )


def _folders() -> str:
    from jupyter_core.paths import jupyter_config_dir, jupyter_runtime_dir

    for variable, name in (
        ("JUPYTER_CONFIG_DIR", jupyter_config_dir()),
        ("JUPYTER_RUNTIME_DIR", jupyter_runtime_dir()),
    ):
        place = Path(name)
        there = next(part for part in (place, *place.parents) if part.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise Broken(
                f"{place} cannot be written",
                f"set {variable} to a folder of your own, or get the right to write to {there}",
            )
    return "can be written"


def _memory() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = free_memory()
    if free is None:
        return f"how much is free is not known here; cores: {cores}"
    if free < MEMORY:
        raise Broken(
            f"{free:.1f} GB free, cores: {cores}",
            f"close other notebooks and programs: a page takes 0.35 GB (Binder has {BINDER:g} GB)",
        )
    return f"{free:.1f} GB free (Binder has {BINDER:g}), cores: {cores}"


def free_memory() -> float | None:
    """Free memory in GB, within the limit of a container if there is one; None if not known."""
    found = [_container_memory(), _system_memory()]
    known = [amount for amount in found if amount is not None]
    return min(known) / 1e9 if known else None


def _system_memory() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return 1024 * int(re.search(r"MemAvailable:\s*(\d+)", text)[1])
    except (OSError, TypeError):  # not Linux
        pass
    try:
        import psutil  # ipykernel brings it

        return psutil.virtual_memory().available
    except ImportError:
        return None


def _container_memory(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    for limit, used, details in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            total, taken = (int((folder / name).read_text()) for name in (limit, used))
            cached = re.search(r"inactive_file (\d+)", (folder / details).read_text())
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
        # Files that were read count as used, but go when memory is asked for.
        return max(total - taken + (int(cached[1]) if cached else 0), 0)
    return None
