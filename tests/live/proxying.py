"""A reverse proxy of the simplest kind: below a path, under another `Host`, by HTTP/1.0."""

from __future__ import annotations

import re
import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.live.driving import DEADLINE

if TYPE_CHECKING:
    from types import TracebackType

PREFIX = "/shop"


class Proxy:
    """Forwards what is asked for below `PREFIX` to a port of this machine. A context manager.

    With `keeps`, what was answered to that path once is its answer for ever.
    """

    def __init__(self, upstream: int, *, keeps: str = "") -> None:
        self._upstream = upstream
        self._keeps = keeps
        self._kept = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(DEADLINE)
        self._listener.close()
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                browser, _ = self._listener.accept()
                thread = threading.Thread(target=self._forward, args=[browser])
                self._threads.append(thread)
                thread.start()

    def _forward(self, browser: socket.socket) -> None:
        self._open.add(browser)
        with browser, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := browser.recv(65536)):
                    return
                head += more
            path = head.split()[1].decode().removeprefix(PREFIX)
            self.asked.append(path)
            if self._kept and path == self._keeps:
                browser.sendall(self._kept)
                return
            answer = self._relay(path, head, browser)
            if path == self._keeps:
                self._kept = answer

    def _relay(self, path: str, head: bytes, browser: socket.socket) -> bytes:
        """Pass a request on, and its answer as it comes; return that."""
        _, _, headers = head.partition(b"\r\n")
        headers = re.sub(rb"(?im)^host:.*$", b"Host: app.internal\r", headers, count=1)
        answer = b""
        with socket.create_connection(("127.0.0.1", self._upstream), DEADLINE) as server:
            server.sendall(f"GET {path} HTTP/1.0\r\n".encode() + headers)
            # A browser that leaves, leaves the server, too.
            while browser not in select.select([server, browser], [], [])[0]:
                if not (more := server.recv(65536)):
                    break
                browser.sendall(more)
                answer += more
        return answer
