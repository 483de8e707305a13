"""`make load N=20`: so many readers at once on one server, each training live and turning a slider.

A reader is a WebSocket client that speaks the page's protocol, as its script does: it takes the
widgets, skips the question, presses Run, answers every frame and moves the learning rate every two
seconds. The latency of a slider is from its message to the first message with the new threshold.
A few are pages in a real Chromium, turned by its keys and timed by the page's own clock. In the
end all leave without a word, as a lost network does, and the kernels that are left are counted
until none is.
"""

import argparse
import asyncio
import itertools
import json
import re
import shutil
import statistics
import struct
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from tests.bench.chromium import chromium
from tests.bench.soak import slider_ms
from tests.browser.driver import NOTEBOOK, LivePage
from tests.browser.servers import running

EVERY = 2.0  # seconds between two moves of a slider
STARTING = 180  # seconds that a page may take on a busy machine
LEFT = 120  # seconds after which no kernel may be left
PROTOCOL = "v1.kernel.websocket.jupyter.org"
WIDE, PANELS = 450, ("sharpness", "loss")  # what a page in a wide window asks for


@dataclass
class Reader:
    """One session, and what was measured in it."""

    latencies: list[float] = field(default_factory=list)
    lost: int = 0  # moves that no number answered
    frames: int = 0
    first: float = 0.0  # seconds from the request to the widgets
    step: int = 0
    refused: bool = False


class Socket:
    """The channel of one kernel, as JupyterLab's services and the widget manager use it."""

    def __init__(self, connection) -> None:
        self.connection, self.count, self.session = connection, 0, f"load-{id(self)}"

    async def send(self, kind: str, content: dict, metadata: dict | None = None) -> None:
        self.count += 1
        header = {"msg_id": f"{self.session}-{self.count}", "msg_type": kind, "username": "load"}
        header |= {"session": self.session, "version": "5.3", "date": "2026-01-01T00:00:00Z"}
        parts = [json.dumps(part).encode() for part in (header, {}, metadata or {}, content)]
        parts = [b"shell", *parts]
        start = 8 * (len(parts) + 2)
        ends = list(itertools.accumulate(map(len, parts), initial=start))
        offsets = struct.pack(f"<{len(ends) + 1}Q", len(ends), *ends)
        await self.connection.write_message(offsets + b"".join(parts), binary=True)

    async def read(self) -> tuple[str, str, dict]:
        """Of the next message: its kind, that of the message it answers, and its content."""
        raw = await self.connection.read_message()
        if raw is None:
            raise ConnectionError("the server closed the channel")
        (count,) = struct.unpack_from("<Q", raw)
        offsets = struct.unpack_from(f"<{count}Q", raw, 8)
        _, header, parent, _, content = (
            raw[start:end] for start, end in itertools.pairwise(offsets[:6])
        )
        kind, asked = (json.loads(part).get("msg_type", "") for part in (header, parent))
        return kind, asked, json.loads(content)

    async def comm(self, comm_id: str, data: dict) -> None:
        await self.send("comm_msg", {"comm_id": comm_id, "data": data})


async def widgets(socket: Socket) -> dict[str, dict]:
    """The state of every widget of the kernel, by its id: the control comm tells them all."""
    control = uuid.uuid4().hex
    target = {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}}
    await socket.send("comm_open", target, {"version": "1.0.0"})
    await socket.comm(control, {"method": "request_states"})
    while True:
        _, _, content = await socket.read()
        if content.get("comm_id") == control and content["data"].get("method") == "update_states":
            return {k: v["state"] for k, v in content["data"]["states"].items()}


def one(states: dict[str, dict], test) -> str:
    return next(name for name, state in states.items() if test(state))


def with_class(name: str):
    return lambda state: f"kit-c-{name}" in state.get("_dom_classes", ())


def threshold(rows) -> str | None:
    return next((value for name, value, _ in rows if name == "threshold"), None)


async def read_page(server, reader: Reader, seconds: float, everyone: asyncio.Barrier) -> None:
    """A visit: load, skip, run, turn, for so many seconds after everybody has begun."""
    start = time.perf_counter()
    try:
        request = HTTPRequest(server.url(NOTEBOOK), request_timeout=STARTING)
        page = (await AsyncHTTPClient().fetch(request)).body.decode()
    except HTTPClientError as error:
        reader.refused = error.code == 503
        await everyone.wait()
        return
    kernel = re.search(r'kernelId = "([^"]+)"', page).group(1)
    address = server.address.replace("http", "ws")
    connection = await websocket_connect(
        f"{address}api/kernels/{kernel}/channels?session_id={kernel}",
        subprotocols=[PROTOCOL],
        max_message_size=2**26,
    )
    socket = Socket(connection)
    await socket.send("kernel_info_request", {})
    while (await socket.read())[0] != "kernel_info_reply":
        pass
    states = await widgets(socket)
    reader.first = time.perf_counter() - start
    stage = one(states, lambda state: "panels" in state and "glossary" in state)
    slider, run = (one(states, with_class(name)) for name in ("lr", "run"))
    places = states[slider]["_options_labels"]
    click = {"method": "custom", "content": {"event": "click"}}
    await socket.comm(one(states, with_class("skip")), click)
    await everyone.wait()
    await socket.comm(run, click)
    await turn(socket, reader, stage, slider, places, time.perf_counter() + seconds)
    connection.close()


async def turn(
    socket: Socket, reader: Reader, stage: str, slider: str, places: list[str], end: float
) -> None:
    """Answer frames, move the slider to and fro, and time the new threshold, until `end`."""
    index, wanted, asked = places.index("0.4"), None, 0.0
    due = time.perf_counter() + EVERY
    while time.perf_counter() < end:
        if wanted is None and time.perf_counter() > due:
            index += 1 if index == places.index("0.4") else -1
            wanted, asked = f"{2 / float(places[index]):#.3g}", time.perf_counter()
            due = asked + EVERY
            await socket.comm(slider, {"method": "update", "state": {"index": index}})
        _, _, content = await socket.read()  # a page that trains is never silent for long
        if content.get("comm_id") != stage:
            continue
        data = content["data"]
        body = data.get("content", data.get("state", {}))
        rows = body.get("numbers") or ()
        if wanted is not None and threshold(rows) == wanted:
            reader.latencies.append(time.perf_counter() - asked)
            wanted = None
        elif wanted is not None and time.perf_counter() - asked > 10 * EVERY:
            reader.lost, wanted = reader.lost + 1, None
        reader.step = max([reader.step, *(int(v) for name, v, _ in rows if name == "step t")])
        if body.get("type") == "frame":
            reader.frames += 1
            answer = {"type": "ack", "frame": body["frame"], "visible": PANELS, "width": WIDE}
            await socket.comm(stage, {"method": "custom", "content": answer})


@dataclass
class Windows:
    """Pages in a real Chromium among the readers."""

    count: int
    latencies: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def report(self, seconds: float) -> None:
        took = sorted(1000 * value for value in self.latencies)
        rates = ", ".join(f"{step / seconds:.0f}" for step in self.steps)
        print(
            f"of these {self.count} in Chromium: slider p50 {statistics.median(took):.0f} ms, p95 "
            f"{took[int(0.95 * len(took))]:.0f} ms, of {len(took)}; steps a second: {rates}"
        )

    def visit(self, server, seconds: float, go: threading.Event, ready: threading.Event) -> None:
        """Open them, say so, and turn one after the other for so many seconds."""
        if not self.count:
            ready.set()
            return
        with chromium() as browser:
            lives = []
            for _ in range(self.count):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(server.url(NOTEBOOK), timeout=1000 * STARTING)
                lives.append(LivePage(page))
            ready.set()
            go.wait()
            for live in lives:
                live.press("run")
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                for live in lives:
                    self.latencies.append(slider_ms(live) / 1000)
                    live.page.wait_for_timeout(1000 * EVERY / self.count)
            for live in lives:
                self.steps.append(live.step())


def share(process: psutil.Process) -> int:
    """Bytes of a process, of what it shares with others its part; 0 once it has gone."""
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


async def watch(server, kernels: dict, stop: asyncio.Event) -> None:
    """Memory, shares of what is shared counted once, and the cores in use, once a second."""
    while not stop.is_set():
        kernels["all"].append(sum(map(share, server.process.children(recursive=True))))
        for process in server.kernels():
            try:
                kernels[process.pid] = process.memory_full_info()
            except psutil.NoSuchProcess:
                continue
        kernels["cores"].append(psutil.cpu_percent() / 100 * psutil.cpu_count())
        await asyncio.sleep(1)


async def visit(server, count: int, seconds: float, windows: Windows) -> tuple[list[Reader], dict]:
    """All at once: `windows` in a browser, the rest as WebSocket clients."""
    count -= windows.count
    readers, stop = [Reader() for _ in range(count)], asyncio.Event()
    seen = {"cores": [], "all": []}
    go, ready = threading.Event(), threading.Event()
    everyone = asyncio.Barrier(count + 1)
    AsyncHTTPClient.configure(None, max_clients=count)
    psutil.cpu_percent()

    async def begin() -> None:
        await asyncio.to_thread(ready.wait)
        await everyone.wait()
        go.set()
        await watch(server, seen, stop)

    async def all_visits() -> None:
        try:
            async with asyncio.TaskGroup() as group:  # the first that fails ends all
                group.create_task(asyncio.to_thread(windows.visit, server, seconds, go, ready))
                for reader in readers:
                    group.create_task(read_page(server, reader, seconds, everyone))
        finally:
            stop.set()
            ready.set()
            go.set()
            await everyone.abort()

    watching = asyncio.create_task(begin())
    await all_visits()
    await watching
    return readers, seen


def report(readers: list[Reader], seen: dict, seconds: float) -> None:
    live = [reader for reader in readers if not reader.refused]
    took = sorted(1000 * value for reader in live for value in reader.latencies)
    rates = sorted(reader.frames / seconds for reader in live)
    steps = sorted(reader.step / seconds for reader in live)
    memory = [info for name, info in seen.items() if name not in ("cores", "all")]
    private = sorted(info.uss / 2**20 for info in memory)
    pss = max(seen["all"]) / 2**30
    print(f"WebSocket clients: {len(live)} live, {len(readers) - len(live)} refused")
    print(f"widgets after: median {statistics.median(r.first for r in live):.1f} s")
    print(
        f"slider: p50 {statistics.median(took):.0f} ms, p95 {took[int(0.95 * len(took))]:.0f} ms, "
        f"of {len(took)}; {sum(reader.lost for reader in live)} unanswered"
    )
    print(f"frames a second: {rates[0]:.1f} to {rates[-1]:.1f}; steps: {steps[0]:.0f} to "
          f"{steps[-1]:.0f}")  # fmt: skip
    print(f"memory a session: private {private[0]:.0f} to {private[-1]:.0f} MB; all {pss:.1f} GB")
    print(f"cores in use: {statistics.mean(seen['cores']):.1f} of {psutil.cpu_count()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, help="readers at once")
    parser.add_argument("--windows", type=int, default=2, help="how many of them in a Chromium")
    parser.add_argument("--seconds", type=float, default=40, help="of training in each")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp())
    try:
        with running("serve", home) as server:
            windows = Windows(min(options.windows, options.count - 1))
            readers, seen = asyncio.run(visit(server, options.count, options.seconds, windows))
            report(readers, seen, options.seconds)
            if windows.count:
                windows.report(options.seconds)
            start = time.monotonic()
            while (left := len(server.kernels())) and time.monotonic() - start < LEFT:
                time.sleep(1)
            print(f"kernels left after {time.monotonic() - start:.0f} s: {left}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
