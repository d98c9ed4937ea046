"""Accept, check, answer: in this order, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from asyncreload import lobby, sockets
from tests.unit.http.network import (
    DEADLINE,
    END,
    has_nothing_to_read,
    iterate,
    network,
    reset_on_close,
    take_all,
)
from tests.unit.looping import until

pytestmark = pytest.mark.asyncio


# Pending until the head is complete


async def test_a_connection_without_a_byte_costs_no_thread_and_no_check() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        for _ in range(10):
            net.connect()
        await until(lambda: server.pending == 10)
        await iterate()
        assert server.events == []
        assert server.threads == set()
        assert server.responder.busy == 0


async def test_connections_without_a_head_take_no_slot() -> None:
    async with network() as net:
        server = net.server()
        server.start(threads=1)
        for _ in range(5):
            net.connect()
        assert await net.answer(net.connect("a")) == "answer to a"
        assert server.pending == 5


async def test_nobody_is_answered_while_it_opens() -> None:
    """A request may crash the app; the parent has to know before that it was not the load."""
    async with network() as net:
        server = net.server()
        client = net.connect("a")
        server.start()
        assert server.events == []
        assert await net.answer(client) == "answer to a"


async def test_the_check_comes_after_the_first_byte_and_before_the_answer() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        client = net.connect()
        await until(lambda: server.pending)
        assert server.events == []
        client.sendall(b"a" + END)
        assert await net.answer(client) == "answer to a"
        assert server.events == ["check", "begin a", "end a"]
        assert server.pending == 0


async def test_a_check_covers_all_complete_requests() -> None:
    async with network() as net:
        server = net.server()
        clients = [net.connect(name) for name in "abc"]
        server.start()
        assert [await net.answer(client) for client in clients] == [f"answer to {n}" for n in "abc"]
        assert server.seen("check") == 1
        assert server.events[0] == "check"


async def test_a_later_request_needs_another_check() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        for name in "abc":
            await net.answer(net.connect(name))
        assert server.seen("check") == 3
        assert server.events[0::3] == ["check"] * 3


async def test_the_first_byte_is_left_to_the_one_who_answers() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        assert await net.answer(net.connect("whole request")) == "answer to whole request"


async def test_bytes_behind_the_head_do_not_matter() -> None:
    async with network() as net:
        server = net.server()
        server.may_answer.clear()
        server.start()
        client = net.connect()
        await until(lambda: server.pending)
        client.sendall(b"a" + END)
        await until(lambda: server.seen("begin"))
        client.sendall(b"b")
        await iterate()
        server.may_answer.set()
        await until(lambda: not server.responder.busy)
        assert server.events == ["check", "begin a", "end a"]


async def test_a_client_that_goes_before_its_first_byte_is_closed() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        client = net.connect()
        await until(lambda: server.pending)
        (connection,) = server.acceptor._pending._heads
        client.close()
        await until(lambda: not server.pending)
        assert connection.fileno() == -1
        assert server.events == []


async def test_a_client_that_has_gone_before_it_was_taken_is_closed() -> None:
    async with network() as net:
        server = net.server()
        net.connect().close()
        server.start()
        assert await net.answer(net.connect("a")) == "answer to a"
        assert (server.pending, server.ready, server.events[0]) == (0, 0, "check")


async def test_a_client_that_resets_before_its_first_byte_is_closed() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        client = net.connect()
        await until(lambda: server.pending)
        reset_on_close(client)
        client.close()
        await until(lambda: not server.pending)
        assert server.events == []


async def test_a_default_timeout_of_the_app_is_not_the_connections() -> None:
    async with network() as net:
        server = net.server()
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(0.001)
        try:
            server.start()
            net.connect()
            await until(lambda: server.pending)
        finally:
            socket.setdefaulttimeout(before)
        (connection,) = server.acceptor._pending._heads
        assert connection.gettimeout() is None


# Heads that stay incomplete


async def test_half_a_head_costs_no_thread_and_no_check() -> None:
    async with network() as net:
        server = net.server()
        server.start(threads=1)
        client = net.connect()
        client.sendall(b"half")
        assert await net.answer(net.connect("a")) == "answer to a"
        assert server.seen("check") == 1
        client.sendall(b" and half" + END)
        assert await net.answer(client) == "answer to half and half"
        assert server.seen("check") == 2


async def test_half_a_head_is_handed_over() -> None:
    async with network() as net:
        old, new = net.server(), net.server()
        old.start()
        client = net.connect()
        client.sendall(b"half")
        await until(lambda: old.pending)
        await iterate()
        old.acceptor.close(hand_over=True)
        new.start()
        await until(lambda: new.pending)
        client.sendall(b" and half" + END)
        assert await net.answer(client) == "answer to half and half"


async def test_a_refused_client_is_told_why_without_a_check() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        client = net.connect()
        client.sendall(b"half")
        client.shutdown(socket.SHUT_WR)
        head, _, body = (await net.answer(client)).partition("\r\n\r\n")
        assert head.startswith("HTTP/1.0 400 Bad Request\r\n")
        reason = "it ended before the empty line behind its headers"
        assert body == f"400 Bad Request: {reason}\n"
        assert f"Content-Length: {len(body)}" in head
        assert server.events == []
        await until(lambda: not server.responder.busy)


async def test_a_flood_of_connections_is_accepted_in_parts() -> None:
    async with network() as net:
        server = net.server()
        count = sockets.ACCEPTS_AT_ONCE + 5
        server.start(threads=count)
        for _ in range(count):
            net.connect()
        server.acceptor._on_listener()
        assert server.pending == count - 5
        await until(lambda: server.pending == count)


# Files that may have changed


async def test_unchanged_suspects_hold_no_request() -> None:
    async with network() as net:
        server = net.server()
        server.suspects = ["app.py"]
        server.start()
        assert await net.answer(net.connect("a")) == "answer to a"
        assert server.events == ["check", "read", "begin a", "end a"]
        assert not server.seen("stale")


async def test_after_a_change_no_request_is_answered() -> None:
    async with network() as net:
        server = net.server()
        server.suspects = ["app.py", "b.py"]
        server.changed = ["b.py"]
        clients = [net.connect(name) for name in "ab"]
        server.start()
        await until(lambda: server.seen("stale"))
        await iterate()
        assert server.events == ["check", "read", "stale"]
        assert server.ready == 2
        assert all(map(has_nothing_to_read, clients))


async def test_a_request_that_comes_while_files_are_read_needs_another_check() -> None:
    async with network() as net:
        server = net.server()
        verdict = asyncio.Event()
        server.before_verdict = verdict.wait
        server.suspects = ["app.py"]
        server.start()
        first = net.connect("a")
        await until(lambda: server.seen("read"))
        second = net.connect("b")
        await until(lambda: server.ready == 2)
        server.suspects = ["other.py"]  # saved meanwhile
        server.changed = []
        server.before_verdict = lambda: asyncio.sleep(0)
        verdict.set()
        assert await net.answer(first) == "answer to a"
        assert await net.answer(second) == "answer to b"
        checks = [event for event in server.events if event in {"check", "read"}]
        assert checks == ["check", "read"] * 2
        second_check = len(server.events) - 1 - server.events[::-1].index("check")
        assert server.events.index("begin b") > second_check


async def test_held_requests_are_checked_again_on_resuming() -> None:
    async with network() as net:
        server = net.server()
        server.suspects = server.changed = ["app.py"]
        server.start()
        client = net.connect("a")
        await until(lambda: server.seen("stale"))
        server.suspects = server.changed = []
        server.acceptor.resume()
        assert await net.answer(client) == "answer to a"


async def test_closing_ends_the_reading_and_hands_over_the_requests_that_waited_for_it() -> None:
    async with network() as net:
        old, new = net.server(), net.server()
        old.before_verdict = asyncio.Event().wait  # for ever
        old.suspects = ["app.py"]
        old.start()
        client = net.connect("a")
        await until(lambda: old.seen("read"))
        old.acceptor.close(hand_over=True)
        await until(lambda: old.acceptor._checking is None)
        new.start()
        assert await net.answer(client) == "answer to a"
        assert old.events == ["check", "read"]
        assert not old.seen("stale")


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
    async with network() as net:
        listener = Exhausted(number)
        timers = Timers(monkeypatch)
        server = net.server(listener=listener)
        server.start()
        await until(lambda: listener.accepts)
        await iterate()
        assert listener.accepts == 1
        assert timers.fire() == sockets.ACCEPTS_AGAIN
        await until(lambda: listener.accepts == 2)
        await iterate()
        assert listener.accepts == 2
        server.acceptor.close(hand_over=False)
        timers.fire()
        await iterate()
        assert listener.accepts == 2
        listener.close()


async def test_in_a_pause_accepted_connections_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with network() as net:
        client = net.connect()
        connection, _ = net.listener.accept()
        net.lobby.put([connection])
        connection.close()
        listener = Exhausted(errno.EMFILE)
        timers = Timers(monkeypatch)
        server = net.server(listener=listener)
        server.start()
        await until(lambda: server.pending and listener.accepts)
        client.sendall(b"a" + END)
        assert await net.answer(client) == "answer to a"
        await iterate()
        assert listener.accepts == 1
        assert len(timers.waiting) == 1
        server.acceptor.close(hand_over=False)
        listener.close()


async def test_a_client_that_gave_up_in_the_queue_is_skipped() -> None:
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

    async with network() as net:
        server = net.server(listener=Aborted(net.listener))
        server.start()
        assert await net.answer(net.connect("a")) == "answer to a"


# Handing over


async def test_pending_and_complete_requests_are_answered_by_the_next_server() -> None:
    async with network() as net:
        old, new = net.server(), net.server()
        old.suspects = old.changed = ["app.py"]
        old.start()
        pending, ready = net.connect(), net.connect("ready")
        await until(lambda: old.seen("stale") and old.pending and old.ready)
        old.acceptor.close(hand_over=True)
        assert (old.pending, old.ready) == (0, 0)
        queued = net.connect("queued")
        new.start()
        assert await net.answer(ready) == "answer to ready"
        assert await net.answer(queued) == "answer to queued"
        await until(lambda: new.pending == 1)
        pending.sendall(b"pending" + END)
        assert await net.answer(pending) == "answer to pending"
        assert old.seen("begin") == 0


async def test_complete_requests_are_handed_over_first() -> None:
    async with network() as net:
        old = net.server()
        old.suspects = old.changed = ["app.py"]
        old.start()
        for _ in range(3):
            net.connect()
        await until(lambda: old.pending == 3)
        net.connect("ready")
        await until(lambda: old.ready)
        old.acceptor.close(hand_over=True)
        first, *others = take_all(net.lobby)
        assert first.recv(100) == b"ready" + END
        for connection in (first, *others):
            connection.close()


async def test_a_connection_can_be_handed_over_again_and_again() -> None:
    async with network() as net:
        client = net.connect()
        for _ in range(5):
            server = net.server()
            server.start()
            await until(lambda server=server: server.pending)  # type: ignore[misc]
            server.acceptor.close(hand_over=True)
        last = net.server()
        last.start()
        client.sendall(b"a" + END)
        assert await net.answer(client) == "answer to a"


async def test_the_next_server_checks_before_it_answers_what_it_was_handed() -> None:
    async with network() as net:
        old, new = net.server(), net.server()
        old.suspects = old.changed = ["app.py"]
        old.start()
        clients = [net.connect(name) for name in "abc"]
        await until(lambda: old.ready == 3)
        old.acceptor.close(hand_over=True)
        new.start()
        for client in clients:
            await net.answer(client)
        assert new.events[0] == "check"
        assert new.seen("check") == 1


async def test_more_connections_than_fit_into_a_message() -> None:
    async with network() as net:
        old, new = net.server(), net.server()
        old.start()
        count = 2 * lobby._MAX_DESCRIPTORS + 10
        clients = []
        for number in range(count):
            clients.append(net.connect())
            await until(lambda number=number: old.pending == number + 1)  # type: ignore[misc]
        old.acceptor.close(hand_over=True)
        new.start()
        await until(lambda: new.pending == count)
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number + END)
        for number, client in enumerate(clients):
            assert await net.answer(client) == f"answer to {number}"


async def test_a_client_that_goes_while_it_waits_in_the_lobby_is_closed() -> None:
    async with network() as net:
        old, new = net.server(), net.server()
        old.start()
        gone, client = net.connect(), net.connect()
        await until(lambda: old.pending == 2)
        old.acceptor.close(hand_over=True)
        gone.close()
        new.start()
        client.sendall(b"a" + END)
        assert await net.answer(client) == "answer to a"
        assert (new.pending, new.ready) == (0, 0)


async def test_without_handing_over_the_connections_that_wait_are_closed() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        client = net.connect()
        await until(lambda: server.pending)
        server.acceptor.close(hand_over=False)
        assert await net.answer(client) == ""
        assert net.lobby.take() == []


async def test_a_request_in_flight_is_answered_by_the_old_server() -> None:
    async with network() as net:
        old, new = net.server(), net.server()
        old.may_answer.clear()
        old.start()
        slow = net.connect("slow")
        await until(lambda: old.seen("begin"))
        old.acceptor.close(hand_over=True)
        new.start()
        assert await net.answer(net.connect("quick")) == "answer to quick"
        assert old.responder.busy == 1
        old.may_answer.set()
        assert await net.answer(slow) == "answer to slow"
        await old.responder.quiet(DEADLINE)
        assert old.responder.busy == 0


async def test_a_closed_server_takes_nobody() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        server.acceptor.close(hand_over=True)
        server.acceptor.close(hand_over=True)  # once more does nothing
        client = net.connect("a")
        await iterate()
        assert server.events == []
        assert has_nothing_to_read(client)


# Event streams


class EventStreams:
    """Takes the connections whose request starts with `stream`."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []

    def take_over(self, connection: socket.socket, _client: Any) -> bool:
        if connection.recv(6, socket.MSG_PEEK) != b"stream":
            return False
        self.taken.append(connection)
        return True

    def close(self) -> None:
        for connection in self.taken:
            connection.close()


async def test_an_event_stream_costs_no_thread() -> None:
    async with network() as net:
        streams = EventStreams()
        server = net.server(streams=streams)
        server.start(threads=1)
        client = net.connect("stream")
        await until(lambda: streams.taken)
        assert server.events == ["check"]
        assert server.responder.busy == 0
        assert await net.answer(net.connect("a")) == "answer to a"
        client.close()
        streams.close()


async def test_an_event_stream_takes_no_slot() -> None:
    async with network() as net:
        streams = EventStreams()
        server = net.server(streams=streams)
        connections = []
        for text in ("stream", "a"):
            net.connect(text)
            connections.append(net.listener.accept()[0])
        net.lobby.put(connections)
        for connection in connections:
            connection.close()
        server.start(threads=1)
        await until(lambda: "check" in server.events)
        await iterate()
        assert server.ready == 0
        streams.close()
