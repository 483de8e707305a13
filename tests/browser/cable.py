"""A cable between a browser and a server that can be pulled out and put back."""

import socket
import threading
from contextlib import contextmanager, suppress


class Cable:
    """Forwards connections to a port of this machine; `cut` ends them all and refuses new ones."""

    def __init__(self, port: int) -> None:
        self._target, self._ends, self._plugged = ("127.0.0.1", port), set(), True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._plugged = False
        for end in list(self._ends):
            self._close(end)

    def mend(self) -> None:
        self._plugged = True

    def close(self) -> None:
        self.cut()
        self._close(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                if not self._plugged:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._ends |= {near, far}
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                sink.sendall(data)
        self._close(source)
        self._close(sink)

    def _close(self, end: socket.socket) -> None:
        self._ends.discard(end)
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def cable(port: int):
    line = Cable(port)
    try:
        yield line
    finally:
        line.close()
