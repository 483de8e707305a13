"""The doctor says what is wrong, a line each, also where torch, a package or a file is broken."""

import ast
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kit import Training, doctor
from kit.__main__ import main

ROOT = Path(__file__).parents[1]


def kit_command(*arguments, where=ROOT, first=None):
    """`python -m kit` in a process of its own; `first` is searched for modules before all else."""
    search = os.pathsep.join(str(place) for place in (first, where) if place)
    return subprocess.run(
        [sys.executable, "-m", "kit", *arguments],
        cwd=where,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=300,
    )


def lines_of(output):
    """name -> its line."""
    return {text[6:].split(":")[0]: text for text in output.splitlines() if ":" in text}


def test_where_all_is_well_it_says_so():
    done = kit_command("doctor")
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    assert done.stdout.splitlines()[-1] == "All is well."
    lines = lines_of(done.stdout)
    packages = {"numpy", "scipy", "pandas", "voila", "pillow", "torch"}
    others = {"Python", "data digits", "template", "port", "Jupyter's folders", "memory"}
    assert packages | others <= set(lines)
    assert "CPU build" in lines["torch"]
    assert int(lines["training"].split()[-3]) > 10  # steps a second
    assert done.stderr == ""


BROKEN = {
    "an error": ("raise ImportError('libtorch.so: no\\nmore')", "ImportError: libtorch.so: no. "),
    "another error": ("raise OSError('[WinError 126]')", "OSError: [WinError 126]"),
    "a crash": ("import os; os.kill(os.getpid(), 9)", "its process ended with code -9"),
    "an end": ("raise SystemExit(3)", "its process ended with code 3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_torch_that_does_not_import_is_a_line_among_others(name, tmp_path):
    code, said = BROKEN[name]
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(code)
    done = kit_command("doctor", first=tmp_path)
    lines = lines_of(done.stdout)
    assert done.returncode == 1
    assert lines["torch"].startswith(f"FAIL  torch: {said}")
    assert "To do: " in lines["torch"]
    assert lines["training"].startswith("FAIL  training: not tried without torch")
    for healthy in ("Python", "numpy", "voila", "data digits", "template", "port"):
        assert lines[healthy].startswith("ok"), lines[healthy]
    assert done.stdout.splitlines()[-1].startswith("2 to put right")
    assert "Traceback" not in done.stdout + done.stderr


def test_a_numpy_that_does_not_import_breaks_no_more_than_it_must(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ValueError('numpy.dtype size changed')")
    done = kit_command("doctor", first=tmp_path)
    lines = lines_of(done.stdout)
    assert done.returncode == 1
    assert lines["numpy"].startswith("FAIL  numpy: ValueError: numpy.dtype size changed")
    assert lines["data"].startswith("FAIL  data: not read: ValueError: numpy.dtype")
    assert lines["port"].startswith("ok")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose data can be broken."""
    for part in ("kit", "data"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_a_corrupt_data_file_is_named_with_what_to_do(checkout):
    path = checkout / "data" / "digits.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    (checkout / "data" / "fashion.npz").unlink()
    done = kit_command("doctor", where=checkout)
    lines = lines_of(done.stdout)
    assert done.returncode == 1
    assert lines["data digits"].startswith(f"FAIL  data digits: {path}")
    assert "To do: remake it with `python data/build.py digits`" in lines["data digits"]
    assert "fashion.npz is missing" in lines["data fashion"]
    assert lines["data mnist1d"].startswith("ok")
    assert lines["training"].startswith("ok")  # on generated data


def test_a_wrong_file_and_bad_checksums_are_noticed(checkout):
    data = checkout / "data"
    shutil.copy(data / "mnist1d.npz", data / "digits.npz")
    found = {finding.name: finding for finding in doctor.check_data(data)}
    assert not found["data digits"].ok
    assert "sha256 differs" in found["data digits"].what
    assert found["data mnist5k"].ok
    (data / "checksums.json").write_text("{")
    (only,) = doctor.check_data(data)
    assert not only.ok
    assert "git checkout data" in only.remedy


def test_without_arguments_and_with_help_it_says_how_to_use_it(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        assert main(arguments) == 0
        assert "usage: python -m kit doctor" in capsys.readouterr().out
    assert main(["nurse"]) == 2
    said = capsys.readouterr()
    assert "got 'nurse'; takes doctor" in said.err
    assert said.out == ""
    done = kit_command()
    assert done.returncode == 0
    assert done.stdout.startswith("usage:")


def test_the_doctor_loads_no_torch_and_an_old_python_can_read_it():
    code = "import sys, kit.doctor, kit.bundled; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    for name in ("__init__", "__main__", "doctor"):
        text = (ROOT / "kit" / f"{name}.py").read_text(encoding="utf-8")
        ast.parse(text, feature_version=(3, 8))


def test_an_old_python_is_told_so(monkeypatch):
    monkeypatch.setattr(doctor, "PYTHON", (99, 0))
    finding = doctor.check_python()
    assert not finding.ok
    assert "older than 99.0" in finding.what


@pytest.mark.parametrize(
    ("package", "wanted", "said"),
    [
        ("nowhere", ">=1", "ModuleNotFoundError: No module named 'nowhere'"),
        ("numpy", ">=99,<100", "is not within >=99,<100"),
        ("json", "", "is not installed"),
    ],
)
def test_a_package_that_is_missing_or_out_of_range(package, wanted, said):
    finding = doctor.check_package(package, wanted)
    assert not finding.ok
    assert said in finding.what
    assert "install" in finding.remedy


@pytest.mark.parametrize(
    ("version", "wanted", "inside"),
    [
        ("2.13.0+cpu", ">=2.9,<3", True),
        ("2.9", ">=2.9.0", True),
        ("2.10.0", ">=2.9,<2.11", True),
        ("2.8.9", ">=2.9", False),
        ("3", "<3.0", False),
        ("1.0rc1", "==1.0", True),
        ("1.0", "!=1.0", False),
        ("5", "", True),
    ],
)
def test_ranges(version, wanted, inside):
    assert doctor.fits(version, wanted) is inside


def test_the_ranges_are_those_of_the_project_or_else_of_the_package(monkeypatch, tmp_path):
    wanted = doctor.wanted_ranges()
    assert wanted["torch"] == ">=2.9,<3"
    assert "distributed" not in wanted
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    assert set(doctor.wanted_ranges()) == set(wanted)
    monkeypatch.setattr(doctor, "PROJECT", "nowhere")
    assert doctor.wanted_ranges() == {}


def test_ports_that_are_taken(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", range(port, port + 1))
        finding = doctor.attempt("port", doctor._port)
    assert not finding.ok
    assert "make serve FLAGS=--port" in finding.remedy


def test_folders_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "file" / "jupyter"))
    finding = doctor.attempt("folders", doctor._folders)
    assert not finding.ok
    assert "set JUPYTER_CONFIG_DIR" in finding.remedy


def test_a_template_that_is_nowhere(monkeypatch, tmp_path):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path)])
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert not doctor.attempt("template", doctor._template).ok


def test_memory_that_is_short_and_the_limit_of_a_container(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "_container_memory", lambda: 300_000_000)
        finding = doctor.attempt("memory", doctor._memory)
    assert not finding.ok
    assert finding.what.startswith("0.3 GB free")
    assert doctor._container_memory(tmp_path) is None
    for name, text in (("max", "2000"), ("current", "1500"), ("stat", "a 1\ninactive_file 200")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert doctor._container_memory(tmp_path) == 700
    (tmp_path / "memory.max").write_text("max")
    assert doctor._container_memory(tmp_path) is None


def test_numbers_that_are_not_finite_are_a_failure(monkeypatch):
    def broken(run, steps):
        run.history.append({"step": 2.0})

    monkeypatch.setattr(Training, "run", broken)
    finding = doctor.attempt("training", doctor._training)
    assert not finding.ok
    assert finding.what == "loss at step 2 is not a number"


def test_a_check_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "LIMIT", 0.01)
    finding = doctor.isolated("torch", "")
    assert not finding.ok
    assert "no answer within" in finding.what
