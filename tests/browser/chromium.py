"""Get a Chromium for the browser tests: one that is there, else the system's, else Playwright's."""

import os
import re
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
APT = ("apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300")


class NoBrowserError(Exception):
    pass


def find_chromium():
    """The path of a Chromium that starts, or None for the one that Playwright has downloaded.

    The environment variable CHROMIUM names one and skips the search.
    """
    if path := os.environ.get("CHROMIUM"):
        return path
    tried = ["none on this machine"]
    if path := installed():
        return path
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        tried.append(failure(*APT, "update") or failure(*APT, "install", "--yes", "chromium"))
        if path := installed():
            return path
    download = failure(sys.executable, "-m", "playwright", "install", "chromium")
    if not download:
        return None
    raise NoBrowserError("; ".join(filter(None, [*tried, download])))


def installed():
    for path in [*map(shutil.which, NAMES), *PLACES]:
        # On Windows chrome.exe has no --version that ends, so there the file is enough.
        if path and os.path.exists(path) and (os.name == "nt" or not failure(path, "--version")):
            return path
    return None


def failure(*command):
    """What went wrong when the command ran, "" when nothing did."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(command)}: {error}"
    lines = done.stdout.splitlines()
    said = [line for line in lines if re.match(r"E(rror)?: ", line)] or lines or ["no word"]
    return f"{' '.join(command)}: {said[-1]}" if done.returncode else ""
