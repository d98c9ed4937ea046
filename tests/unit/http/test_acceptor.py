"""Accept, look, answer: in this order, over real sockets of this machine.

The loop is turned until something is so; nothing waits for a clock.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from asyncreload.child.http import acceptor as module
from asyncreload.child.http.acceptor import Acceptor, Lobby
from asyncreload.child.http.client_io import Away
from asyncreload.child.http.plain_server import serve_plainly
from asyncreload.child.http.slots import Slot
from asyncreload.settings import Settings

pytestmark = pytest.mark.asyncio

DEADLINE = 10.0
END = b"\r\n\r\n"
"""Of the head of a request."""


async def until(condition: Callable[[], object]) -> None:
    """Turn the loop until the condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


async def turn(times: int = 50) -> None:
    """Turn the loop: whatever can happen now has then happened in it."""
    for _ in range(times):
        await asyncio.sleep(0)


def take_all(lobby: Lobby) -> list[socket.socket]:
    """Empty the lobby."""
    taken = []
    while some := lobby.take():
        taken += some
    return taken


class Desk:
    """A server, its surroundings, and what happened, in order."""

    def __init__(self, listener: socket.socket, lobby: Lobby, **options: Any) -> None:
        self.listener = listener
        self.events: list[str] = []
        self.suspects: list[str] = []
        self.changed: list[str] = []
        self.stale: list[list[str]] = []
        self.threads: set[int] = set()
        self.settled: Callable[[], Any] = lambda: asyncio.sleep(0)
        self.gate = threading.Event()
        self.gate.set()
        self.slow: dict[bytes, threading.Event] = {}
        self.unread = False
        self.server = Acceptor(listener, lobby, self.look, self.confirm, self.on_stale, **options)

    def look(self) -> list[str]:
        self.events.append("look")
        return self.suspects

    async def confirm(self, suspects: list[str]) -> list[str]:
        assert suspects == self.suspects
        self.events.append("confirm")
        await self.settled()
        return self.changed

    def on_stale(self, changed: list[str]) -> None:
        self.events.append("stale")
        self.stale.append(changed)

    def respond(self, connection: socket.socket, client: Any, away: Away) -> bool:
        self.threads.add(threading.get_ident())
        connection.settimeout(DEADLINE)
        request = connection.recv(1000).removesuffix(END)
        connection.settimeout(None)
        self.events.append(f"begin {request.decode()}")
        if request in self.slow:
            with away:
                self.slow[request].wait(DEADLINE)
        self.gate.wait(DEADLINE)
        with suppress(OSError):
            connection.sendall(b"answer to " + request)
        self.events.append(f"end {request.decode()}")
        return self.unread

    def open(self, threads: int = 4) -> None:
        self.server.open(self.respond, threads)

    def seen(self, kind: str) -> int:
        return sum(event.startswith(kind) for event in self.events)

    @property
    def parked(self) -> int:
        return len(self.server._waiting)

    @property
    def ready(self) -> int:
        return len(self.server._ready)


class House:
    """What outlives a server: the listener, the lobby; and the clients."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.lobby = Lobby(*socket.socketpair())
        self.clients: list[socket.socket] = []
        self.desks: list[Desk] = []

    def desk(self, **options: Any) -> Desk:
        desk = Desk(options.pop("listener", self.listener), self.lobby, **options)
        self.desks.append(desk)
        return desk

    def connect(self, text: str = "") -> socket.socket:
        client = socket.create_connection(self.listener.getsockname(), timeout=DEADLINE)
        self.clients.append(client)
        if text:
            client.sendall(text.encode() + END)
        return client

    async def answer(self, client: socket.socket) -> str:
        """What the client receives until the end of the connection."""
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        received = b""
        async with asyncio.timeout(DEADLINE):
            while data := await loop.sock_recv(client, 65536):
                received += data
        return received.decode()

    async def close(self) -> None:
        for desk in self.desks:
            for gate in (desk.gate, *desk.slow.values()):
                gate.set()
            desk.server.close(hand_over=False)
        for client in self.clients:
            client.close()
        for desk in self.desks:
            await until(lambda desk=desk: not desk.server.busy)  # type: ignore[misc]
        for connection in take_all(self.lobby):
            connection.close()
        for sock in (self.listener, self.lobby.entrance, self.lobby.exit):
            sock.close()


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    made = House()
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        yield made
    finally:
        await made.close()
    assert failures == []  # no callback of the server's has raised


def has_nothing_to_read(sock: socket.socket) -> bool:
    return not select.select([sock], [], [], 0)[0]


# Parked until the first byte


async def test_a_connection_without_a_byte_is_parked_and_costs_no_thread_and_no_look() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        for _ in range(10):
            h.connect()
        await until(lambda: desk.parked == 10)
        await turn()
        assert desk.events == []
        assert desk.server._threads._wanted == 0
        assert desk.server.busy == 0


async def test_parked_connections_take_no_room_from_others() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open(threads=1)
        for _ in range(5):
            h.connect()
        assert await h.answer(h.connect("a")) == "answer to a"
        assert desk.parked == 5


async def test_nobody_is_answered_while_it_opens() -> None:
    """A request may crash the app; the parent has to know before that it was not the load."""
    async with house() as h:
        desk = h.desk()
        client = h.connect("a")
        desk.open()
        assert desk.events == []
        assert await h.answer(client) == "answer to a"


async def test_the_look_comes_after_the_first_byte_and_before_the_answer() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        client = h.connect()
        await until(lambda: desk.parked)
        assert desk.events == []
        client.sendall(b"a" + END)
        assert await h.answer(client) == "answer to a"
        assert desk.events == ["look", "begin a", "end a"]
        assert desk.parked == 0


async def test_the_look_covers_whoever_is_ready() -> None:
    async with house() as h:
        desk = h.desk()
        clients = [h.connect(name) for name in "abc"]
        desk.open()
        assert [await h.answer(client) for client in clients] == [f"answer to {n}" for n in "abc"]
        assert desk.seen("look") == 1
        assert desk.events[0] == "look"


async def test_who_comes_later_needs_another_look() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        for name in "abc":
            await h.answer(h.connect(name))
        assert desk.seen("look") == 3
        assert desk.events[0::3] == ["look"] * 3


async def test_the_first_byte_is_left_to_the_one_who_answers() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        assert await h.answer(h.connect("whole request")) == "answer to whole request"


async def test_later_bytes_are_none_of_our_business() -> None:
    async with house() as h:
        desk = h.desk()
        desk.gate.clear()
        desk.open()
        client = h.connect()
        await until(lambda: desk.parked)
        client.sendall(b"a" + END)
        await until(lambda: desk.seen("begin"))
        client.sendall(b"b")
        await turn()
        desk.gate.set()
        await until(lambda: not desk.server.busy)
        assert desk.events == ["look", "begin a", "end a"]


async def test_a_client_that_goes_before_its_first_byte_is_closed() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        client = h.connect()
        await until(lambda: desk.parked)
        (connection,) = desk.server._waiting._heads
        client.close()
        await until(lambda: not desk.parked)
        assert connection.fileno() == -1
        assert desk.events == []


async def test_a_client_that_has_gone_before_it_was_taken_is_closed() -> None:
    async with house() as h:
        desk = h.desk()
        h.connect().close()
        desk.open()
        assert await h.answer(h.connect("a")) == "answer to a"
        assert (desk.parked, desk.ready, desk.events[0]) == (0, 0, "look")


async def test_a_client_that_resets_before_its_first_byte_is_closed() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        client = h.connect()
        await until(lambda: desk.parked)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        await until(lambda: not desk.parked)
        assert desk.events == []


async def test_a_default_timeout_of_the_app_is_not_the_connections() -> None:
    async with house() as h:
        desk = h.desk()
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(0.001)
        try:
            desk.open()
            h.connect()
            await until(lambda: desk.parked)
        finally:
            socket.setdefaulttimeout(before)
        (connection,) = desk.server._waiting._heads
        assert connection.gettimeout() is None


# Heads that do not come


async def test_half_a_head_costs_no_thread_and_no_look() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open(threads=1)
        client = h.connect()
        client.sendall(b"half")
        assert await h.answer(h.connect("a")) == "answer to a"
        assert desk.seen("look") == 1
        client.sendall(b" and half" + END)
        assert await h.answer(client) == "answer to half and half"
        assert desk.seen("look") == 2


async def test_half_a_head_is_handed_over() -> None:
    async with house() as h:
        old, new = h.desk(), h.desk()
        old.open()
        client = h.connect()
        client.sendall(b"half")
        await until(lambda: old.parked)
        await turn()
        old.server.close(hand_over=True)
        new.open()
        await until(lambda: new.parked)
        client.sendall(b" and half" + END)
        assert await h.answer(client) == "answer to half and half"


async def test_who_is_refused_is_told_why_and_nobody_looks() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        client = h.connect()
        client.sendall(b"half")
        client.shutdown(socket.SHUT_WR)
        head, _, body = (await h.answer(client)).partition("\r\n\r\n")
        assert head.startswith("HTTP/1.0 400 Bad Request\r\n")
        assert body == "Bad Request\n"
        assert f"Content-Length: {len(body)}" in head
        assert desk.events == []
        await until(lambda: not desk.server.busy)


async def test_a_flood_leaves_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as h:
        monkeypatch.setattr(module, "_MOST_ACCEPTED", 2)
        desk = h.desk()
        desk.open()
        for _ in range(5):
            h.connect()
        desk.server._on_listener()
        assert desk.parked == 2
        await until(lambda: desk.parked == 5)


# Looks that find something


async def test_suspects_that_are_no_change_hold_nobody() -> None:
    async with house() as h:
        desk = h.desk()
        desk.suspects = ["app.py"]
        desk.open()
        assert await h.answer(h.connect("a")) == "answer to a"
        assert desk.events == ["look", "confirm", "begin a", "end a"]
        assert desk.stale == []


async def test_a_change_is_told_and_nobody_is_answered() -> None:
    async with house() as h:
        desk = h.desk()
        desk.suspects = ["app.py", "b.py"]
        desk.changed = ["b.py"]
        clients = [h.connect(name) for name in "ab"]
        desk.open()
        await until(lambda: desk.stale)
        await turn()
        assert desk.stale == [["b.py"]]
        assert desk.events == ["look", "confirm", "stale"]
        assert desk.ready == 2
        assert all(map(has_nothing_to_read, clients))


async def test_who_comes_during_a_closer_look_is_not_covered_by_it() -> None:
    async with house() as h:
        desk = h.desk()
        closer = asyncio.Event()
        desk.settled = closer.wait
        desk.suspects = ["app.py"]
        desk.open()
        first = h.connect("a")
        await until(lambda: desk.seen("confirm"))
        second = h.connect("b")
        await until(lambda: desk.ready == 2)
        desk.suspects = ["other.py"]  # saved meanwhile
        desk.changed = []
        desk.settled = lambda: asyncio.sleep(0)
        closer.set()
        assert await h.answer(first) == "answer to a"
        assert await h.answer(second) == "answer to b"
        looks = [event for event in desk.events if event in {"look", "confirm"}]
        assert looks == ["look", "confirm"] * 2
        second_look = len(desk.events) - 1 - desk.events[::-1].index("look")
        assert desk.events.index("begin b") > second_look


async def test_requests_that_were_held_are_looked_at_again_on_resuming() -> None:
    async with house() as h:
        desk = h.desk()
        desk.suspects = desk.changed = ["app.py"]
        desk.open()
        client = h.connect("a")
        await until(lambda: desk.stale)
        desk.suspects = desk.changed = []
        desk.server.resume()
        assert await h.answer(client) == "answer to a"


async def test_closing_ends_a_closer_look_and_hands_over_whom_it_held() -> None:
    async with house() as h:
        old, new = h.desk(), h.desk()
        old.settled = asyncio.Event().wait  # for ever
        old.suspects = ["app.py"]
        old.open()
        client = h.connect("a")
        await until(lambda: old.seen("confirm"))
        old.server.close(hand_over=True)
        await until(lambda: old.server._checking is not None and old.server._checking.done())
        new.open()
        assert await h.answer(client) == "answer to a"
        assert old.events == ["look", "confirm"]
        assert old.stale == []


# Threads


async def test_more_requests_than_threads_wait_their_turn() -> None:
    async with house() as h:
        desk = h.desk()
        desk.gate.clear()
        clients = [h.connect(name) for name in "abcde"]
        desk.open(threads=2)
        await until(lambda: desk.seen("begin") == 2)
        await turn()
        assert desk.seen("begin") == 2
        assert desk.server.busy == 2
        desk.gate.set()
        assert [await h.answer(client) for client in clients] == [f"answer to {n}" for n in "abcde"]
        assert len(desk.threads) <= 2
        assert desk.server._threads._started <= 2


async def test_requests_that_waited_for_a_thread_are_looked_at_again() -> None:
    async with house() as h:
        desk = h.desk()
        desk.gate.clear()
        first, second = h.connect("a"), h.connect("b")
        desk.open(threads=1)
        await until(lambda: desk.seen("begin"))
        desk.suspects = desk.changed = ["app.py"]
        desk.gate.set()
        assert await h.answer(first) == "answer to a"
        await until(lambda: desk.stale)
        assert has_nothing_to_read(second)
        assert desk.seen("begin") == 1


async def test_the_kernel_holds_whom_there_is_no_thread_for() -> None:
    async with house() as h:
        desk = h.desk()
        desk.gate.clear()
        desk.open(threads=1)
        h.connect("a")
        await until(lambda: desk.seen("begin"))
        h.connect("b")
        await turn()
        assert (desk.ready, desk.parked) == (0, 0)
        assert not desk.server._accepting


async def test_an_idle_thread_is_used_again() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open(threads=8)
        for name in "abcdef":
            await h.answer(h.connect(name))
            await until(lambda: not desk.server.busy)
        assert len(desk.threads) == 1
        assert threading.get_ident() not in desk.threads


async def test_slow_clients_take_no_room_from_others() -> None:
    async with house() as h:
        desk = h.desk()
        names = [f"slow{number}" for number in range(5)]
        desk.slow = {name.encode(): threading.Event() for name in names}
        clients = [h.connect(name) for name in names]
        desk.open(threads=2)
        await until(lambda: desk.seen("begin slow") == 5)
        assert await h.answer(h.connect("a")) == "answer to a"
        await until(lambda: desk.server.busy == 5)
        for gate in desk.slow.values():
            gate.set()
        assert [await h.answer(client) for client in clients] == [f"answer to {n}" for n in names]


async def test_who_waits_for_room_is_taken_when_a_client_turns_out_to_be_slow() -> None:
    async with house() as h:
        desk = h.desk()
        slow = threading.Event()
        desk.open(threads=2)

        def respond(connection: socket.socket, client: Any, away: Away) -> bool:
            if not desk.slow:
                return desk.respond(connection, client, away)
            slow.wait(DEADLINE)
            return desk.respond(connection, client, away)

        desk.server._respond = respond
        desk.slow = {name: threading.Event() for name in (b"b", b"c")}
        h.connect("b"), h.connect("c")
        await until(lambda: desk.server.busy == 2)
        client = h.connect("a")
        await turn()
        assert not desk.server._accepting
        slow.set()
        assert await h.answer(client) == "answer to a"


async def test_with_one_thread_nobody_is_answered_while_a_client_is_slow() -> None:
    async with house() as h:
        desk = h.desk()
        desk.slow = {b"slow": threading.Event()}
        first = h.connect("slow")
        desk.open(threads=1)
        await until(lambda: desk.seen("begin slow"))
        second = h.connect("a")
        await turn()
        assert desk.seen("begin") == 1
        desk.slow[b"slow"].set()
        assert await h.answer(first) == "answer to slow"
        assert await h.answer(second) == "answer to a"
        assert desk.events.index("begin a") > desk.events.index("end slow")


@pytest.mark.parametrize("threads", [1, 4])
async def test_in_a_reload_slow_clients_are_not_waited_for(threads: int) -> None:
    async with house() as h:
        desk = h.desk()
        desk.slow = {b"slow": threading.Event()}
        client = h.connect("slow")
        desk.open(threads=threads)
        await until(lambda: desk.server._slots._away)
        waiting = asyncio.create_task(desk.server.answered(DEADLINE))
        await turn()
        assert not waiting.done()  # so soon it may yet move
        waiting.cancel()
        await desk.server.answered(0.001)
        assert desk.server._slots.at_work(DEADLINE)
        assert not desk.server._slots.at_work(0)
        desk.slow[b"slow"].set()
        assert await h.answer(client) == "answer to slow"


async def test_quiet_is_waited_for_but_not_for_ever() -> None:
    async with house() as h:
        desk = h.desk()
        await desk.server.quiet(0)
        desk.gate.clear()
        desk.open()
        client = h.connect("a")
        await until(lambda: desk.seen("begin"))
        await desk.server.quiet(0)
        assert desk.server.busy == 1
        waiting = asyncio.create_task(desk.server.quiet(DEADLINE))
        await turn()
        assert not waiting.done()
        desk.gate.set()
        await waiting
        assert desk.server.busy == 0
        assert await h.answer(client) == "answer to a"


# Out of descriptors


class Exhausted:
    """A listener on which somebody waits, in a process that has no descriptor left."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.accepts = 0
        self._pair = socket.socketpair()
        self._pair[1].send(b"x")

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def _accept(self) -> Any:
        self.accepts += 1
        raise OSError(self.number, os.strerror(self.number))

    def close(self) -> None:
        for sock in self._pair:
            sock.close()


class Timers:
    """Stands in for the loop's timers: they are called when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self.call_later)

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Timers:
        self.waiting.append((delay, lambda: callback(*args)))
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def fire(self) -> float:
        delay, callback = self.waiting.pop(0)
        callback()
        return delay


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_out_of_descriptors_accepting_pauses(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house() as h:
        listener = Exhausted(number)
        timers = Timers(monkeypatch)
        desk = h.desk(listener=listener)
        desk.open()
        await until(lambda: listener.accepts)
        await turn()
        assert listener.accepts == 1
        assert timers.fire() == module._PAUSE
        await until(lambda: listener.accepts == 2)
        await turn()
        assert listener.accepts == 2
        desk.server.close(hand_over=False)
        timers.fire()
        await turn()
        assert listener.accepts == 2
        listener.close()


async def test_in_a_pause_the_connections_that_are_there_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house() as h:
        client = h.connect()
        connection, _ = h.listener.accept()
        h.lobby.put([connection])
        connection.close()
        listener = Exhausted(errno.EMFILE)
        timers = Timers(monkeypatch)
        desk = h.desk(listener=listener)
        desk.open()
        await until(lambda: desk.parked and listener.accepts)
        client.sendall(b"a" + END)
        assert await h.answer(client) == "answer to a"
        await turn()
        assert listener.accepts == 1
        assert len(timers.waiting) == 1
        desk.server.close(hand_over=False)
        listener.close()


async def test_a_client_that_gave_up_in_the_queue_is_passed_over() -> None:
    class Aborted:
        def __init__(self, listener: socket.socket) -> None:
            self.listener = listener
            self.errors = [ConnectionAbortedError(), OSError(errno.EPROTO, "")]

        def fileno(self) -> int:
            return self.listener.fileno()

        def _accept(self) -> Any:
            if self.errors:
                raise self.errors.pop()
            return self.listener._accept()  # type: ignore[attr-defined]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.listener, name)

    async with house() as h:
        desk = h.desk(listener=Aborted(h.listener))
        desk.open()
        assert await h.answer(h.connect("a")) == "answer to a"


# Handing over


async def test_parked_and_ready_connections_are_answered_by_the_next_server() -> None:
    async with house() as h:
        old, new = h.desk(), h.desk()
        old.suspects = old.changed = ["app.py"]
        old.open()
        parked, ready = h.connect(), h.connect("ready")
        await until(lambda: old.stale and old.parked and old.ready)
        old.server.close(hand_over=True)
        assert (old.parked, old.ready) == (0, 0)
        queued = h.connect("queued")
        new.open()
        assert await h.answer(ready) == "answer to ready"
        assert await h.answer(queued) == "answer to queued"
        await until(lambda: new.parked == 1)
        parked.sendall(b"parked" + END)
        assert await h.answer(parked) == "answer to parked"
        assert old.seen("begin") == 0


async def test_those_that_have_asked_are_handed_over_first() -> None:
    async with house() as h:
        old = h.desk()
        old.suspects = old.changed = ["app.py"]
        old.open()
        for _ in range(3):
            h.connect()
        await until(lambda: old.parked == 3)
        h.connect("ready")
        await until(lambda: old.ready)
        old.server.close(hand_over=True)
        first, *others = take_all(h.lobby)
        assert first.recv(100) == b"ready" + END
        for connection in (first, *others):
            connection.close()


async def test_a_connection_can_be_handed_over_again_and_again() -> None:
    async with house() as h:
        client = h.connect()
        for _ in range(5):
            desk = h.desk()
            desk.open()
            await until(lambda desk=desk: desk.parked)  # type: ignore[misc]
            desk.server.close(hand_over=True)
        last = h.desk()
        last.open()
        client.sendall(b"a" + END)
        assert await h.answer(client) == "answer to a"


async def test_the_next_server_looks_before_it_answers_whom_it_was_handed() -> None:
    async with house() as h:
        old, new = h.desk(), h.desk()
        old.suspects = old.changed = ["app.py"]
        old.open()
        clients = [h.connect(name) for name in "abc"]
        await until(lambda: old.ready == 3)
        old.server.close(hand_over=True)
        new.open()
        for client in clients:
            await h.answer(client)
        assert new.events[0] == "look"
        assert new.seen("look") == 1


async def test_more_connections_than_fit_into_a_message() -> None:
    async with house() as h:
        old, new = h.desk(), h.desk()
        old.open()
        count = 2 * module._FDS_A_MESSAGE + 10
        clients = []
        for number in range(count):
            clients.append(h.connect())
            await until(lambda number=number: old.parked == number + 1)  # type: ignore[misc]
        old.server.close(hand_over=True)
        new.open()
        await until(lambda: new.parked == count)
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number + END)
        for number, client in enumerate(clients):
            assert await h.answer(client) == f"answer to {number}"


async def test_a_client_that_goes_while_it_waits_in_the_lobby_is_closed() -> None:
    async with house() as h:
        old, new = h.desk(), h.desk()
        old.open()
        gone, client = h.connect(), h.connect()
        await until(lambda: old.parked == 2)
        old.server.close(hand_over=True)
        gone.close()
        new.open()
        client.sendall(b"a" + END)
        assert await h.answer(client) == "answer to a"
        assert (new.parked, new.ready) == (0, 0)


async def test_without_handing_over_the_connections_that_wait_are_closed() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        client = h.connect()
        await until(lambda: desk.parked)
        desk.server.close(hand_over=False)
        assert await h.answer(client) == ""
        assert h.lobby.take() == []


async def test_a_request_in_flight_is_answered_by_the_old_server() -> None:
    async with house() as h:
        old, new = h.desk(), h.desk()
        old.gate.clear()
        old.open()
        slow = h.connect("slow")
        await until(lambda: old.seen("begin"))
        old.server.close(hand_over=True)
        new.open()
        assert await h.answer(h.connect("quick")) == "answer to quick"
        assert old.server.busy == 1
        old.gate.set()
        assert await h.answer(slow) == "answer to slow"
        await old.server.quiet(DEADLINE)
        assert old.server.busy == 0


async def test_a_closed_server_takes_nobody() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        desk.server.close(hand_over=True)
        desk.server.close(hand_over=True)  # once more does nothing
        client = h.connect("a")
        await turn()
        assert desk.events == []
        assert has_nothing_to_read(client)


async def test_a_server_that_was_never_open_can_be_closed() -> None:
    async with house() as h:
        h.desk().server.close(hand_over=True)


# The end of an answer


async def test_a_connection_is_closed_after_its_answer() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        assert await h.answer(h.connect("a")) == "answer to a"
        await until(lambda: not desk.server.busy)
        assert desk.server._lingering == {}


async def test_unread_bytes_do_not_cost_the_client_its_answer() -> None:
    async with house() as h:
        desk = h.desk()
        desk.unread = True
        desk.open()
        client = h.connect("a" * 100)
        await until(lambda: desk.server._lingering)
        assert desk.server.busy == 1
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE):
            await loop.sock_sendall(client, b"b" * 5_000_000)  # all of it is taken
        assert await h.answer(client) == "answer to " + "a" * 100
        assert desk.server.busy == 1
        client.close()
        await until(lambda: not desk.server.busy)
        await desk.server.quiet(0)


async def test_a_client_that_never_closes_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house() as h:
        timers = Timers(monkeypatch)
        desk = h.desk()
        desk.unread = True
        desk.open()
        h.connect("a")
        await until(lambda: desk.server._lingering)
        (connection,) = desk.server._lingering
        assert timers.fire() == module._LINGER
        assert connection.fileno() == -1
        assert desk.server.busy == 0
        await desk.server.quiet(0)


async def test_of_many_that_never_close_the_first_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house() as h:
        monkeypatch.setattr(module, "_MOST_LINGERING", 2)
        timers = Timers(monkeypatch)
        desk = h.desk()
        desk.unread = True
        desk.open()
        for number in range(3):
            h.connect("a")
            await until(lambda number=number: len(timers.waiting) > number)  # type: ignore[misc]
            if not number:
                (first,) = desk.server._lingering
        assert first.fileno() == -1
        assert desk.server.busy == len(desk.server._lingering) == 2
        assert timers.cancelled == 1


async def test_a_client_that_resets_while_it_is_lingered_for_is_closed() -> None:
    async with house() as h:
        desk = h.desk()
        desk.unread = True
        desk.open()
        client = h.connect("a")
        await until(lambda: desk.server._lingering)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        await until(lambda: not desk.server.busy)


async def test_a_lingering_connection_keeps_nobody_waiting_for_a_thread() -> None:
    async with house() as h:
        desk = h.desk()
        desk.unread = True
        desk.open(threads=1)
        h.connect("a")
        await until(lambda: desk.server._lingering)
        desk.unread = False
        assert await h.answer(h.connect("b")) == "answer to b"
        assert len(desk.server._lingering) == 1


async def test_the_end_is_seen_though_a_fork_holds_the_connection_open() -> None:
    async with house() as h:
        desk = h.desk()
        held: list[int] = []
        plain = desk.respond

        def respond(connection: socket.socket, client: Any, away: Away) -> bool:
            held.append(os.dup(connection.fileno()))
            return plain(connection, client, away)

        desk.server.open(respond, 1)
        assert await h.answer(h.connect("a")) == "answer to a"
        os.close(held[0])


async def test_what_is_pipelined_is_not_answered_and_resets_nothing() -> None:
    async with house() as h:
        desk = h.desk()
        desk.open()
        client = h.connect("a" + "b" * 2000)
        await until(lambda: desk.server._lingering)
        assert (await h.answer(client)).startswith("answer to ab")
        client.close()
        await until(lambda: not desk.server.busy)


async def test_last_bytes_are_not_waited_for_by_who_waits_for_the_app() -> None:
    async with house() as h:
        desk = h.desk()
        desk.unread = True
        desk.open()
        client = h.connect("a")
        await until(lambda: desk.server._lingering)
        await desk.server.answered(DEADLINE)
        quiet = asyncio.create_task(desk.server.quiet(DEADLINE))
        await turn()
        assert not quiet.done()
        client.close()
        await quiet


# Event streams


class EventStreams:
    """Takes the connections whose request starts with `stream`."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []

    def takes(self, connection: socket.socket, _client: Any) -> bool:
        if connection.recv(6, socket.MSG_PEEK) != b"stream":
            return False
        self.taken.append(connection)
        return True

    def close(self) -> None:
        for connection in self.taken:
            connection.close()
        self.taken.clear()


async def test_an_event_stream_costs_no_thread_and_ends_with_the_server() -> None:
    async with house() as h:
        streams = EventStreams()
        desk = h.desk(streams=streams)
        desk.open(threads=1)
        client = h.connect("stream")
        await until(lambda: streams.taken)
        assert desk.events == ["look"]
        assert desk.server.busy == 0
        assert await h.answer(h.connect("a")) == "answer to a"
        (connection,) = streams.taken
        desk.server.close(hand_over=True)
        assert connection.fileno() == -1
        assert streams.taken == []
        client.close()


async def test_an_event_stream_takes_nobodys_turn() -> None:
    async with house() as h:
        desk = h.desk(streams=EventStreams())
        connections = []
        for text in ("stream", "a"):
            h.connect(text)
            connections.append(h.listener.accept()[0])
        h.lobby.put(connections)
        for connection in connections:
            connection.close()
        desk.open(threads=1)
        await until(lambda: "look" in desk.events)
        await turn()
        assert desk.ready == 0


# The lobby alone


def lobby() -> Lobby:
    return Lobby(*socket.socketpair())


async def test_what_is_put_into_the_lobby_is_taken_in_order_and_lives() -> None:
    waiting = lobby()
    pairs = [socket.socketpair() for _ in range(3)]
    waiting.put([theirs for _, theirs in pairs])
    for _, theirs in pairs:
        theirs.close()
    taken = waiting.take()
    assert len(taken) == 3
    for number, ((ours, _), connection) in enumerate(zip(pairs, taken, strict=True)):
        assert connection.get_inheritable() is False
        ours.sendall(b"%d" % number)
        assert connection.recv(1) == b"%d" % number
        ours.close()
        connection.close()
    assert waiting.take() == []
    waiting.entrance.close()
    waiting.exit.close()


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 600])
async def test_any_number_fits_into_the_lobby(count: int) -> None:
    waiting = lobby()
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting.entrance, waiting.exit:
        waiting.put([theirs] * count)
        taken = take_all(waiting)
        assert len(taken) == count
        for connection in taken:
            connection.close()


async def test_an_empty_lobby_blocks_nobody() -> None:
    waiting = lobby()
    with waiting.entrance, waiting.exit:
        assert waiting.take() == []
        assert not waiting.entrance.getblocking()
        assert not waiting.exit.getblocking()


async def test_what_is_left_in_the_lobby_is_closed_by_the_next_and_never_waited_for() -> None:
    waiting = lobby()
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting.entrance, waiting.exit:
        waiting.leave(theirs.fileno())
        theirs.close()
        ours.settimeout(10)
        ours.send(b"still open")
        assert waiting.take() == []
        with suppress(ConnectionResetError):  # unread bytes were in it
            assert ours.recv(1) == b""


async def test_a_lobby_whose_other_end_is_gone_is_empty_and_takes_nothing() -> None:
    waiting = lobby()
    waiting.entrance.close()
    assert waiting.take() == []
    waiting.exit.close()
    waiting = lobby()
    waiting.exit.close()
    ours, theirs = socket.socketpair()
    with ours, theirs, waiting.entrance:
        waiting.put([theirs])
        waiting.leave(theirs.fileno())


# Without reloading


def hello(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


async def test_serving_plainly_answers_until_it_is_cancelled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[Slot] = []
    plain = Acceptor._answered

    def count(server: Acceptor, turn: Slot, *, unread: bool) -> None:
        plain(server, turn, unread=unread)
        answered.append(turn)

    monkeypatch.setattr(Acceptor, "_answered", count)
    async with house() as h:
        settings = Settings(target="", access_log=False)
        serving = asyncio.create_task(serve_plainly(hello, h.listener, settings))
        text = await h.answer(h.connect("GET / HTTP/1.0"))
        assert text.startswith("HTTP/1.0 200 OK\r\n")
        assert text.endswith("\r\n\r\nhello")
        parked = h.connect()
        await until(lambda: answered)
        await turn()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await h.answer(parked) == ""
    assert capsys.readouterr().err == ""


async def test_an_answer_that_outlives_the_loop_is_no_error() -> None:
    """Ctrl-C ends the loop while a thread still answers."""

    async def serve(h: House) -> Acceptor:
        return h.desk().server

    async with house() as h:
        server = await asyncio.to_thread(lambda: asyncio.run(serve(h)))
        h.desks.clear()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            begun = server._slots.begin(theirs)
            server._answer(lambda connection, *_: not connection.send(b"a"), begun, "")
            assert ours.recv(10) == b"a"
            assert ours.recv(10) == b""
