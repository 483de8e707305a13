"""Memory and time of 1, 2, 4 and 8 notebooks at once: `python -m tests.bench.classroom`.

Each is an instructor's notebook, run from its first to its last cell in a kernel of its own, all
started together: a class whose students all press "Run all" at the same second. Memory is the
largest sum of the kernels' PSS (each shared page counted once), so other programs do not enter.
"""

import sys
import threading
import time
from dataclasses import dataclass

import nbformat
import psutil
from nbclient import NotebookClient

from kit.labs import SOURCE

LABS = ("lab_a", "lab_e")
AT_ONCE = (1, 2, 4, 8, 30)
PAUSE = 0.1  # seconds between two looks at the memory


@dataclass(frozen=True)
class Row:
    lab: str
    kernels: int
    peak: float  # GB, all kernels together
    slowest: float  # seconds, of the last notebook to end
    mean: float


def together(lab: str, kernels: int) -> Row:
    """Run the lab in so many kernels at once."""
    text = (SOURCE / f"{lab}.ipynb").read_text(encoding="utf-8")
    clients = [NotebookClient(nbformat.reads(text, 4), timeout=600) for _ in range(kernels)]
    seconds, failures = [], []

    def work(client):
        start = time.perf_counter()
        try:
            client.execute()
        except Exception as error:  # told below, in the thread that asked
            failures.append(error)
        seconds.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    peak = 0
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, sum(map(held, clients)))
        time.sleep(PAUSE)
    if failures:
        raise failures[0]
    return Row(lab, kernels, peak / 1e9, max(seconds), sum(seconds) / kernels)


def held(client: NotebookClient) -> int:
    """Bytes that the client's kernel and its children hold, shared pages in parts."""
    pid = getattr(getattr(client.km, "provisioner", None), "pid", None)
    if not pid:
        return 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(one.memory_full_info().pss for one in family)
    except psutil.Error:
        return 0


def main() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("This reads PSS, which Linux alone has.")
    print(f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.1f} GB")
    print("lab    kernels  peak PSS GB  GB a kernel  slowest s  mean s")
    for lab in LABS:
        together(lab, 1)  # what is read from disk is read once
        for kernels in AT_ONCE:
            row = together(lab, kernels)
            print(
                f"{row.lab}  {row.kernels:7}  {row.peak:11.2f}  {row.peak / row.kernels:11.2f}  "
                f"{row.slowest:9.1f}  {row.mean:6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
