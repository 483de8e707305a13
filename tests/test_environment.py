"""The lock, pyproject.toml, environment.yml and the wheel say the same, and nothing unwanted."""

import json
import re
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec, Version, VersionSpec

import kit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
RANGES = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
ONLY_CONDA = {"python", "pip", "hatchling"}


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]


def version(pin):
    return str(pin.specifier).removeprefix("==")


LOCK = {pin.name: version(pin) for pin in pins("requirements.lock")}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_pins_everything_and_names_no_address(name):
    assert all(re.fullmatch(r"==[^=,*]+", str(pin.specifier)) for pin in pins(name))
    assert not re.search(r"://|^-|@", (ROOT / name).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_has_no_cuda(name):
    assert not [pin.name for pin in pins(name) if re.match("nvidia|cuda|triton", pin.name)]


def test_lock_takes_the_cpu_build_of_torch_on_linux():
    torch = {str(pin) for pin in pins("requirements.lock") if pin.name == "torch"}
    assert torch == {
        'torch==2.13.0+cpu; sys_platform == "linux"',
        'torch==2.13.0; sys_platform != "linux"',
    }


def test_locks_agree():
    for pin in pins("requirements-dev.lock"):
        assert LOCK.get(pin.name) in (None, version(pin)), pin.name


@pytest.mark.parametrize("wanted", RANGES, ids=lambda wanted: wanted.name)
def test_ranges_contain_the_lock(wanted):
    assert LOCK[wanted.name] in wanted.specifier


def test_binder_has_the_same_environment():
    here, there = ROOT / "environment.yml", ROOT / "binder" / "environment.yml"
    assert here.read_bytes() == there.read_bytes()


def test_conda_takes_only_conda_forge():
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    assert all(isinstance(spec, str) for spec in CONDA["dependencies"])


def test_conda_has_the_ranges_of_pyproject():
    specs = {str(spec.name.normalized): spec for spec in conda_specs()}
    wanted = {CONDA_NAMES.get(item.name, item.name): str(item.specifier) for item in RANGES}
    assert specs.keys() == wanted.keys() | ONLY_CONDA
    for name, specifier in wanted.items():
        assert set(str(specs[name].version).split(",")) == set(specifier.split(","))


@pytest.mark.parametrize("name", [item.name for item in RANGES])
def test_conda_ranges_contain_the_lock(name):
    (spec,) = (s for s in conda_specs() if s.name.normalized == CONDA_NAMES.get(name, name))
    public = LOCK[name].partition("+")[0]
    assert VersionSpec(str(spec.version)).matches(Version(public))


def test_conda_takes_the_cpu_build_of_pytorch():
    (spec,) = (spec for spec in conda_specs() if spec.name.normalized == "pytorch")
    assert str(spec.build) == "cpu*"


def conda_specs():
    return [MatchSpec(line, strict=True) for line in CONDA["dependencies"]]


def test_wheel_holds_code_data_and_template(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    inside = {re.sub(r"^[^/]+[.]data/data/", "", name) for name in names if "dist-info" not in name}
    template = {f"share/jupyter/voila/templates/kit/{path}" for path in files("kit/live/template")}
    apart = ("live/template", "live/config")
    code = {f"kit/{p}" for p in files("kit") if not any(p.is_relative_to(a) for a in apart)}
    data = {f"kit/_data/{path}" for path in files("data") if path.suffix not in {".py", ".md"}}
    assert inside == template | code | data | {"etc/jupyter/voila.py"}


def files(folder):
    paths = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.*")]
    return [path for path in paths if "__pycache__" not in path.parts and path.suffix]


def test_voila_shows_no_code_and_lets_go_of_kernels():
    settings = json.loads((ROOT / "notebooks" / "voila.json").read_text())
    assert settings["VoilaConfiguration"]["template"] == "kit"
    assert settings["VoilaConfiguration"]["strip_sources"] is True
    assert settings["VoilaConfiguration"]["show_tracebacks"] is False
    culling = settings["MappingKernelManager"]
    longest = culling["cull_idle_timeout"] + culling["cull_interval"]  # of a page that got lost
    assert 60 <= longest <= 110


def test_import_kit_loads_no_torch():
    code = "import sys, kit; dir(kit); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_page_loads_nothing_that_it_does_without():
    """What sweeps and bounds take from scipy, pandas and joblib would open a page later."""
    code = """if True:
        import sys, kit.live
        from kit.live import Explorer
        from kit.presets import PRESETS
        PRESETS["edge"].build().step(2)
        slow = {"scipy", "pandas", "joblib", "sklearn", "kit.registry", "kit.sweeps"}
        assert not slow & sys.modules.keys(), slow & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", kit.__all__)
def test_every_public_name_is_there(name):
    assert not isinstance(getattr(kit, name), types.ModuleType)


def test_modules_are_there_after_import_kit_alone():
    code = "import kit; kit.bounds.jacobian_floor, kit.live.Explorer, kit.softrank.soft_rank"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'sharpnes'"):
        kit.sharpnes  # noqa: B018
