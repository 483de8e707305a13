"""`python -m tests.bench.lighthouse`: Lighthouse's marks for accessibility and best practices.

Of each live page, from a server of its own, and of each plain page in dist/site, where `make site`
has put some; the worst first, with the audits that failed. Needs Node (npx fetches Lighthouse) and
a Chromium. Ends with 1 where a page is below the bars.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.browser.chromium import find_chromium
from tests.browser.servers import ROOT, running

LIGHTHOUSE = "lighthouse@12.8.2"  # the newest that runs on Node 18 and 20 too
BARS = {"accessibility": 100, "best-practices": 95}
SITE = ROOT / "dist" / "site"
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def static(folder):
    """The address of a folder's files."""
    handler = partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def marks(url):
    """The mark in each category, of 100, and the audits that cost some."""
    command = [
        *("npx", "--yes", LIGHTHOUSE, url, "--quiet", "--output=json", "--output-path=stdout"),
        f"--only-categories={','.join(BARS)}",
        f"--chrome-flags={FLAGS}",
    ]
    environment = os.environ | {"CHROME_PATH": find_chromium() or ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{url}: {done.stderr.strip().splitlines()[-1:]}")
    report = json.loads(done.stdout)
    failed = []
    for category in BARS:
        for reference in report["categories"][category]["auditRefs"]:
            audit = report["audits"][reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 1:
                failed.append(audit["id"])
    scores = {name: report["categories"][name]["score"] for name in BARS}
    return {name: round(100 * (score or 0)) for name, score in scores.items()}, failed


def pages(live, plain):
    """Name and address of each page that there is."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield path.stem, live.url(path.name)
    if plain:
        for path in sorted(SITE.glob("*.html")):
            yield f"site/{path.name}", plain + path.name


def main() -> int:
    if not shutil.which("npx"):
        print("Lighthouse needs Node: no npx on the PATH.")
        return 2
    rows = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        live = stack.enter_context(running("serve", home))
        plain = stack.enter_context(static(SITE)) if SITE.is_dir() else None
        for name, url in pages(live, plain):
            scores, failed = marks(url)
            rows.append((min(scores.values()), name, scores, failed))
            print(f"{name}: {scores}", file=sys.stderr, flush=True)
    print(f"{LIGHTHOUSE}\n{'page':<40}{'accessibility':>14}{'best practices':>16}  what failed")
    for _, name, scores, failed in sorted(rows):
        print(f"{name:<40}{scores['accessibility']:>14}{scores['best-practices']:>16}", end="  ")
        print(", ".join(failed))
    missed = [row for row in rows if any(row[2][name] < bar for name, bar in BARS.items())]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
