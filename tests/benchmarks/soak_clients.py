"""The clients of the soak. Each judges what it gets by what was saved before it asked."""

from __future__ import annotations

import random
import re
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
)
from websockets.sync.client import ClientConnection, connect

from tests.benchmarks.soak_journal import Journal
from tests.live.driving import Answer, request

PATIENCE = 60.0  # seconds until an answer counts as missing
SERVICE_RESTART = 1012  # what a WebSocket is closed with by a reload
GARBAGE = (
    b"\r\n\r\n",
    b"\0" * 500 + b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnothing of the kind\r\n",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    request("/") * 50,
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
)
OF_A_BLOW = ("killed by SIGKILL", "Too many open files", "a page for a WebSocket")
"""What a report says of a load that has failed by a blow."""
_VERSION = re.compile(r"\bapp=(\d+)")


class Client:
    """Asks again and again, in a thread.

    port: returns where; another supervisor has another port.
    """

    def __init__(self, port: Callable[[], int], journal: Journal, dice: random.Random) -> None:
        self._port = port
        self._journal = journal
        self._dice = dice

    def ask(self, path: str) -> None:
        """Expect an answer that is whole and fresh; or a report, if a save deserves one."""
        floor, began = self._journal.saved, time.monotonic()
        try:
            with self._connect() as connection:
                connection.sendall(request(path))
                answer = Answer.parse(connection.makefile("rb").read())
        except OSError as exc:
            self._judge_missing(path, exc, began, brief=path == "/")
            return
        if answer.status == 200:
            self._judge_versions(path, answer.body, floor)
            self._journal.note(f"answers: {path.partition('?')[0]}")
        else:
            self._judge_report(path, answer.status, answer.body, floor, began)

    def drop(self) -> None:
        """Hang up before the head, inside it, or inside the answer; properly or with a reset."""
        sent = request(self._dice.choice(["/", "/stream?delay=0.01", "/slow?seconds=0.1"]))
        with self._whatever_happens(), self._connect() as connection:
            connection.sendall(sent[: self._dice.choice([0, 10, len(sent)])])
            time.sleep(self._dice.uniform(0, 0.05))
            self._reset_at_times(connection)
        self._journal.note("clients: hung up")

    def annoy(self) -> None:
        """Send what is no request; any end will do."""
        with self._whatever_happens(), self._connect() as connection:
            connection.sendall(self._dice.choice(GARBAGE))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        self._journal.note("clients: garbage")

    def idle(self) -> None:
        """Open early, ask late."""
        opened = time.monotonic()
        try:
            connection = self._connect()
        except OSError as exc:
            self._judge_missing("an early connection", exc, opened, brief=True)
            return
        with connection:
            time.sleep(self._dice.uniform(0, 8))
            floor, began = self._journal.saved, time.monotonic()
            try:
                connection.sendall(request("/"))
                answer = Answer.parse(connection.makefile("rb").read())
            except OSError as exc:
                if self._journal.was_down(opened, began):  # it was the former supervisor's
                    return
                self._judge_missing("an early connection", exc, began, brief=True)
                return
        if answer.status == 200:
            self._judge_versions("an early connection", answer.body, floor)
        self._journal.note("answers: on an early connection")

    # --- ASGI ------------------------------------------------------------------------------------

    def talk(self) -> None:
        """Keep a WebSocket open for a while: all answers come from one process."""
        floor, began = self._journal.saved, time.monotonic()
        try:
            url = f"ws://127.0.0.1:{self._port()}/ws"
            connection = connect(url, proxy=None, open_timeout=PATIENCE)
        except InvalidStatus as exc:
            body = (exc.response.body or b"").decode(errors="replace")
            self._judge_report("a WebSocket", exc.response.status_code, body, floor, began)
            return
        except InvalidMessage as exc:
            if isinstance(exc.__cause__, ValueError):  # HTTP/1.0, as our pages have it
                self._judge_report("a WebSocket", 500, OF_A_BLOW[-1], floor, began)
            else:
                self._judge_missing("a WebSocket", exc.__cause__ or exc, began, brief=True)
            return
        except (OSError, EOFError, InvalidHandshake) as exc:
            cause = exc.__cause__ if isinstance(exc.__cause__, OSError) else exc
            self._judge_missing("a WebSocket", cause, began, brief=True)
            return
        with connection:
            self._talk_on(connection, floor, began)

    def _talk_on(self, connection: ClientConnection, floor: int, began: float) -> None:
        until = began + self._dice.uniform(0, 15)
        first = ""
        try:
            while time.monotonic() < until:
                connection.send("which?")
                answer = connection.recv(PATIENCE, decode=True)
                first = first or answer
                self._judge_versions("a WebSocket", answer, floor)
                if answer != first:
                    self._journal.fail(f"MIXED on a WebSocket: {first}, then {answer}")
                self._judge_held("a WebSocket", began)
                time.sleep(self._dice.uniform(0, 0.2))
        except TimeoutError:
            self._journal.fail(f"MISSING on a WebSocket: {PATIENCE:g} s without an answer")
        except ConnectionClosed as exc:
            self._judge_close(exc.rcvd.code if exc.rcvd else None, began)
        else:
            self._journal.note("answers: on a WebSocket that was closed by its client")

    def _judge_close(self, code: int | None, began: float) -> None:
        now = time.monotonic()
        if self._journal.was_hit(began, now):
            self._journal.note("cut off: a WebSocket, by a blow")
        elif code == SERVICE_RESTART and self._journal.saves_between(began, now):
            self._journal.note("answers: on a WebSocket that was closed by a reload")
        else:
            self._journal.fail(f"CLOSED: a WebSocket after {now - began:.2f} s, with {code}")

    def listen(self) -> None:
        """Follow an event stream for a while."""
        floor, began = self._journal.saved, time.monotonic()
        until = began + self._dice.uniform(0, 15)
        data = b""
        try:
            with self._connect() as connection:
                connection.sendall(request("/events"))
                while more := connection.recv(65536):
                    data = data[-100_000:] + more
                    self._judge_held("an event stream", began)
                    if time.monotonic() > until:
                        self._reset_at_times(connection)
                        self._journal.note("answers: an event stream that its client has left")
                        break
        except OSError as exc:
            self._judge_missing("an event stream", exc, began, brief=True)
            return
        self._judge_events(data.decode(errors="replace"), floor, began, is_left=bool(more))

    def _judge_events(self, text: str, floor: int, began: float, *, is_left: bool) -> None:
        now = time.monotonic()
        if _VERSION.search(text):
            self._judge_versions("an event stream", text, floor)
        elif text and not is_left:
            status = int(text.split()[1])
            self._judge_report("an event stream", status, text, floor, began)
            return
        if is_left:
            return
        if self._journal.was_hit(began, now):
            self._journal.note("cut off: an event stream, by a blow")
        elif self._journal.saves_between(began, now):
            self._journal.note("answers: an event stream that a reload has ended")
        else:
            self._journal.fail(f"ENDED: an event stream after {now - began:.2f} s")

    # --- judgements ------------------------------------------------------------------------------

    def _judge_versions(self, what: str, text: str, floor: int) -> None:
        versions = [int(one) for one in _VERSION.findall(text)]
        if not versions or min(versions) < floor:
            self._journal.fail(f"STALE: {what}: {floor} was saved, {versions[-3:]} came")

    def _judge_held(self, what: str, began: float) -> None:
        if self._journal.is_held(began, time.monotonic()):
            self._journal.fail(f"HELD: {what} goes on long after a save")

    def _judge_report(self, what: str, status: int, body: str, floor: int, began: float) -> None:
        journal, now = self._journal, time.monotonic()
        if journal.is_broken_since(floor):
            journal.note("answers: a report of a broken save")
        elif journal.was_hit(began, now) or (
            journal.was_struck_unmended(began) and any(text in body for text in OF_A_BLOW)
        ):
            journal.note("answers: a report of a killed process")
        elif journal.met_half(began, now):
            journal.note("answers: a report of a save that was half written for long")
        elif what.startswith("/block") and status == 503 and journal.saves_between(began, now):
            journal.note("answers: interrupted by a reload")
        else:
            journal.fail(f"UNEXPECTED: {what}: {status} {body[-300:]}")

    def _judge_missing(self, what: str, exc: BaseException, began: float, *, brief: bool) -> None:
        journal, ended = self._journal, time.monotonic()
        refused = isinstance(exc, ConnectionRefusedError | TimeoutError)
        if journal.was_down(began, ended):
            journal.note("refused: there was no supervisor")
        elif journal.was_hit(began, ended) and not refused:
            journal.note("cut off: by a blow")
        elif not refused and journal.saves_between(began, ended) >= 2 + brief:
            journal.note("cut off: an old response, by the next reload")
        elif not refused and journal.is_broken_since(journal.saved - 2):
            journal.note("cut off: by the crash of a broken save")
        else:
            kind = "REFUSED" if refused else "CUT OFF"
            journal.fail(f"{kind}: {what} after {ended - began:.2f} s: {exc!r}")

    # --- connections -----------------------------------------------------------------------------

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port()), PATIENCE)

    def _reset_at_times(self, connection: socket.socket) -> None:
        if self._dice.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @staticmethod
    def _whatever_happens() -> suppress:
        return suppress(ConnectionError)
