"""A link between browser and server that can be slow, cut and mended: a TCP relay on loopback."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

CHUNK = 4096


class Link:
    """Relays a port. `rate`: bytes a second that the browser receives, over all sockets."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.rate: float | None = None
        self.received = 0
        self._cut = threading.Event()
        self._ready_at = 0.0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._start(self._accept)

    def _start(self, function, *arguments) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self._cut.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            with self._lock:
                self._sockets += [near, far]
            self._start(self._relay, near, far, False)
            self._start(self._relay, far, near, True)

    def _relay(self, source: socket.socket, sink: socket.socket, to_browser: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if to_browser:
                    self._wait_turn(len(data))
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _wait_turn(self, size: int) -> None:
        with self._lock:
            self.received += size
            if self.rate is None:
                return
            now = time.monotonic()
            self._ready_at = max(self._ready_at, now) + size / self.rate
            delay = self._ready_at - now
        time.sleep(delay)  # this is the link's speed

    def cut(self) -> None:
        """Nothing passes, and what was open is closed."""
        self._cut.set()
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for end in sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(timeout=5)


@contextmanager
def link_to(port: int):
    link = Link(port)
    try:
        yield link
    finally:
        link.close()
