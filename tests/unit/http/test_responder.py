"""Requests are answered in threads, and their connections closed so that no answer is lost."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from asyncreload.child.http.request_threads import RequestThreads
from asyncreload.child.http.responder import Responder
from asyncreload.child.http.thread_pool import Job
from tests.unit.http.network import DEADLINE, has_nothing_to_read, iterate, network
from tests.unit.looping import until

pytestmark = pytest.mark.asyncio

# Threads


async def test_more_requests_than_slots_wait() -> None:
    async with network() as net:
        server = net.server()
        server.may_answer.clear()
        clients = [net.connect(name) for name in "abcde"]
        server.start(threads=2)
        await until(lambda: server.seen("begin") == 2)
        await iterate()
        assert server.seen("begin") == 2
        assert server.responder.busy == 2
        server.may_answer.set()
        assert [await net.answer(client) for client in clients] == [
            f"answer to {n}" for n in "abcde"
        ]


async def test_requests_that_waited_for_a_slot_are_checked_again() -> None:
    async with network() as net:
        server = net.server()
        server.may_answer.clear()
        first, second = net.connect("a"), net.connect("b")
        server.start(threads=1)
        await until(lambda: server.seen("begin"))
        server.suspects = server.changed = ["app.py"]
        server.may_answer.set()
        assert await net.answer(first) == "answer to a"
        await until(lambda: server.seen("stale"))
        assert has_nothing_to_read(second)
        assert server.seen("begin") == 1


async def test_the_kernel_queues_connections_while_no_slot_is_free() -> None:
    async with network() as net:
        server = net.server()
        server.may_answer.clear()
        server.start(threads=1)
        net.connect("a")
        await until(lambda: server.seen("begin"))
        net.connect("b")
        await iterate()
        assert (server.ready, server.pending) == (0, 0)
        assert not server.is_accepting


async def test_no_thread_is_left_when_all_is_answered() -> None:
    before = set(threading.enumerate())
    async with network() as net:
        server = net.server()
        server.start(threads=8)
        for name in "abcdef":
            await net.answer(net.connect(name))
            await until(lambda: not server.responder.busy)
        assert threading.get_ident() not in server.threads
        await until(lambda: set(threading.enumerate()) <= before)


async def test_a_request_waits_while_no_thread_can_be_had() -> None:
    """It is tried again after a while, and other connections are left to the kernel until then."""
    async with network() as net:
        server = net.server()
        server.start()
        server.lacks_threads = True
        first = net.connect("a")
        await until(lambda: server.responder._lacks_workers)
        second = net.connect("b")
        await iterate()
        assert (server.ready, server.responder.busy, server.is_accepting) == (1, 0, False)
        assert has_nothing_to_read(first)
        server.responder._ask_for_workers()
        await iterate()
        assert server.responder._lacks_workers  # still
        server.lacks_threads = False
        server.responder._ask_for_workers()
        assert await net.answer(first) == "answer to a"
        assert await net.answer(second) == "answer to b"


async def test_a_request_that_waits_for_a_thread_is_left_to_the_next_child() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        server.lacks_threads = True
        client = net.connect("a")
        await until(lambda: server.responder._lacks_workers)
        server.acceptor.close(hand_over=True)
        following = net.server()
        following.start()
        assert await net.answer(client) == "answer to a"


async def test_what_is_interrupted_is_finished_all_the_same() -> None:
    """A reload interrupts the main thread in the middle of an answer."""

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    jobs: list[Job] = []

    class MainThread:
        def run(self, job: Job) -> bool:
            jobs.append(job)
            return True

    told: list[str] = []
    responder = Responder(interrupted, 1, MainThread(), lambda: told.append("free"))
    client, connection = socket.socketpair()
    with client:
        assert responder.start(connection, "")
        with pytest.raises(KeyboardInterrupt):
            jobs[0]()
        assert client.recv(1) == b""
        await until(lambda: told)
        assert responder.free == 1
        client.close()
        await until(lambda: not responder.busy)


async def test_slow_clients_take_no_slot_from_others() -> None:
    async with network() as net:
        server = net.server()
        names = [f"slow{number}" for number in range(5)]
        server.slow = {name.encode(): threading.Event() for name in names}
        clients = [net.connect(name) for name in names]
        server.start(threads=2)
        await until(lambda: server.seen("begin slow") == 5)
        assert await net.answer(net.connect("a")) == "answer to a"
        await until(lambda: server.responder.busy == 5)
        for gate in server.slow.values():
            gate.set()
        assert [await net.answer(client) for client in clients] == [f"answer to {n}" for n in names]


async def test_a_connection_is_accepted_when_a_request_begins_to_block() -> None:
    async with network() as net:
        server = net.server()
        slow = threading.Event()
        server.start(threads=2)
        server.on_request = lambda _: slow.wait(DEADLINE)
        server.slow = {name: threading.Event() for name in (b"b", b"c")}
        net.connect("b"), net.connect("c")
        await until(lambda: server.responder.busy == 2)
        client = net.connect("a")
        await iterate()
        assert not server.is_accepting
        slow.set()
        assert await net.answer(client) == "answer to a"


async def test_with_one_thread_nobody_is_answered_while_a_client_is_slow() -> None:
    async with network() as net:
        server = net.server()
        server.slow = {b"slow": threading.Event()}
        first = net.connect("slow")
        server.start(threads=1)
        await until(lambda: server.seen("begin slow"))
        second = net.connect("a")
        await iterate()
        assert server.seen("begin") == 1
        server.slow[b"slow"].set()
        assert await net.answer(first) == "answer to slow"
        assert await net.answer(second) == "answer to a"
        assert server.events.index("begin a") > server.events.index("end slow")


@pytest.mark.parametrize("threads", [1, 4])
async def test_in_a_reload_slow_clients_are_not_waited_for(threads: int) -> None:
    async with network() as net:
        server = net.server()
        server.slow = {b"slow": threading.Event()}
        client = net.connect("slow")
        server.start(threads=threads)
        await until(lambda: server.responder._slots._blocked)
        waiting = asyncio.create_task(server.responder.answered(DEADLINE))
        await iterate()
        assert not waiting.done()  # so soon it may yet move
        waiting.cancel()
        await server.responder.answered(0.001)
        assert server.responder._slots.has_active(DEADLINE)
        assert not server.responder._slots.has_active(0)
        server.slow[b"slow"].set()
        assert await net.answer(client) == "answer to slow"


async def test_quiet_is_waited_for_but_not_for_ever() -> None:
    async with network() as net:
        server = net.server()
        server.may_answer.clear()
        server.start()
        await server.responder.quiet(0)
        client = net.connect("a")
        await until(lambda: server.seen("begin"))
        await server.responder.quiet(0)
        assert server.responder.busy == 1
        waiting = asyncio.create_task(server.responder.quiet(DEADLINE))
        await iterate()
        assert not waiting.done()
        server.may_answer.set()
        await waiting
        assert server.responder.busy == 0
        assert await net.answer(client) == "answer to a"


# The end of an answer


async def test_a_connection_is_closed_after_its_answer() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        assert await net.answer(net.connect("a")) == "answer to a"
        await until(lambda: not server.responder.busy)
        assert len(server.responder._lingering) == 0


async def test_unread_bytes_do_not_cost_the_client_its_answer() -> None:
    async with network() as net:
        server = net.server()
        server.unread = True
        server.start()
        client = net.connect("a" * 100)
        await until(lambda: server.responder._lingering)
        assert server.responder.busy == 1
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE):
            await loop.sock_sendall(client, b"b" * 5_000_000)  # all of it is taken
        assert await net.answer(client) == "answer to " + "a" * 100
        assert server.responder.busy == 1
        client.close()
        await until(lambda: not server.responder.busy)
        await server.responder.quiet(0)


async def test_a_lingering_connection_keeps_nobody_waiting_for_a_thread() -> None:
    async with network() as net:
        server = net.server()
        server.unread = True
        server.start(threads=1)
        net.connect("a")
        await until(lambda: server.responder._lingering)
        server.unread = False
        assert await net.answer(net.connect("b")) == "answer to b"
        assert len(server.responder._lingering) == 1


async def test_what_is_pipelined_is_not_answered_and_resets_nothing() -> None:
    async with network() as net:
        server = net.server()
        server.start()
        client = net.connect("a" + "b" * 2000)
        await until(lambda: server.responder._lingering)
        assert (await net.answer(client)).startswith("answer to ab")
        client.close()
        await until(lambda: not server.responder.busy)


async def test_answered_does_not_wait_for_last_bytes_but_quiet_does() -> None:
    async with network() as net:
        server = net.server()
        server.unread = True
        server.start()
        client = net.connect("a")
        await until(lambda: server.responder._lingering)
        await server.responder.answered(DEADLINE)
        quiet = asyncio.create_task(server.responder.quiet(DEADLINE))
        await iterate()
        assert not quiet.done()
        client.close()
        await quiet


async def test_an_answer_that_outlives_the_loop_is_no_error() -> None:
    """Ctrl-C ends the loop while a thread still answers."""

    async def make() -> Responder:
        return Responder(
            lambda connection, *_: not connection.send(b"a"), 1, RequestThreads(), lambda: None
        )

    responder = await asyncio.to_thread(lambda: asyncio.run(make()))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        responder._answer(responder._slots.start(theirs), "")
        assert ours.recv(10) == b"a"
        assert ours.recv(10) == b""
