"""Start the servers as a reader does, with `make`, and leave nothing of them behind."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import psutil

from kit.live.forked import NAME

ROOT = Path(__file__).parents[2]
RUNS_AT = re.compile(r"(?:^|ServerApp\] )(http://127\.0\.0\.1:(\d+)/)(?:lab\?(token=\w+))?$")


@dataclass
class Server:
    """What `make serve` or `make lab` started."""

    address: str
    token: str | None
    process: psutil.Process
    log: list[str]

    def url(self, notebook):
        if self.token:
            return f"{self.address}lab/tree/{notebook}?{self.token}"
        return f"{self.address}voila/render/{notebook}"

    def wait_for_log(self, text):
        deadline = time.monotonic() + 120
        while not any(text in line for line in self.log):
            assert time.monotonic() < deadline, "".join(self.log)
            time.sleep(0.05)

    def kernels(self):
        kernels = []
        for child in self.process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # gone meanwhile
                if child.name() == NAME or "ipykernel_launcher" in child.cmdline():
                    kernels.append(child)
        return kernels


@contextmanager
def running(target, home, *flags, notebooks="notebooks"):
    """`make target`, ready for requests, with the Jupyter folders of a new user below `home`."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    for kind in ("CONFIG", "DATA", "RUNTIME"):
        environment[f"JUPYTER_{kind}_DIR"] = str(home / kind.lower())
    environment |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        ["make", "--silent", target, f"NOTEBOOKS={notebooks}", f"FLAGS={' '.join(flags)}"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    log, announced = [], Queue()

    def read():
        for line in process.stdout:
            log.append(line)
            if found := RUNS_AT.search(line.strip()):
                announced.put(found.groups())
        announced.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        found = announced.get(timeout=300)
        assert found, "".join(log)
        address, port, token = found
        wait_for(int(port))  # Jupyter names its address before it listens there
        yield Server(address, token, psutil.Process(process.pid), log)
    finally:
        stop(process)
        reader.join()
        process.stdout.close()


def wait_for(port):
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.05)


def stop(process):
    family = []
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGTERM)
    for left in psutil.wait_procs(family, timeout=20)[1]:
        left.kill()
    process.wait(timeout=20)
