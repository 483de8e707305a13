"""What repo2docker would build, read off the Dockerfile that it prints. Needs no Docker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dockerfile():
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Building conda environment for python=3.12" in done.stdout + done.stderr
    return done.stdout.splitlines()


def line_with(dockerfile, *parts):
    (number,) = (n for n, line in enumerate(dockerfile) if all(part in line for part in parts))
    return number


def test_the_environment_is_built_from_binder_alone_and_before_the_source(dockerfile):
    copied = line_with(
        dockerfile, "COPY", "src/binder/environment.yml", "${REPO_DIR}/binder/environment.yml"
    )
    solved = line_with(dockerfile, "env update", '--file "binder/environment.yml"')
    source = line_with(dockerfile, "COPY", " src/ ")
    assert copied < solved < source


def test_post_build_runs_once_the_source_is_there(dockerfile):
    assert line_with(dockerfile, "COPY", " src/ ") < line_with(dockerfile, "RUN ./binder/postBuild")


def test_post_build_stops_at_the_first_error():
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "set -e" in lines
    assert "pip install --no-deps --no-build-isolation ." in lines
    assert "rm -rf notebooks/labs/instructor" in lines


def test_the_image_holds_no_solution_and_no_history():
    left_out = (ROOT / "binder" / ".dockerignore").read_text().splitlines()
    for path in ("notebooks/labs/instructor", ".git"):
        assert path in left_out
        assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/who/what",
        "https://github.com/who/what.git",
        "git@github.com:who/what.git",
    ],
)
def test_binder_link(tmp_path, remote):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", remote], check=True)
    assert binder_link(tmp_path).stdout == (
        "https://mybinder.org/v2/gh/who/what/HEAD?urlpath=voila/render/notebooks/00_welcome.ipynb\n"
    )


def test_binder_link_without_a_public_remote(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    done = binder_link(tmp_path)
    assert done.returncode
    assert "push" in done.stdout


def binder_link(folder):
    command = ["make", "--silent", "-f", ROOT / "Makefile", "binder-link"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
