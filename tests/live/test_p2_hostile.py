"""P2: whatever clients do on the port, others are answered, and reloads take no longer."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.live.driving import COMMAND, DEADLINE, EAGER, LONG, SPEAKS_ASGI, Answer, Served, request
from tests.live.processes import SYSTEM

if TYPE_CHECKING:
    from tests.live.conftest import Serve

pytestmark = pytest.mark.without_standby

MANY = 4000 if LONG else 300
SLOW = 150  # more than there are threads
HEAD = b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPLOAD = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nsome"
# Tells the size after each piece of the body.
PIECES = """\
def app(environ, start_response):
    write = start_response("200 OK", [])
    size, length = 0, int(environ.get("CONTENT_LENGTH") or 0)
    while size < length:
        size += len(environ["wsgi.input"].read1(100))
        write(b"%d\\n" % size)
    return [b"all\\n"]
"""


@contextmanager
def clients(served: Served, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections, each of which sends something and then nothing more."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            address = ("127.0.0.1", served.port)
            client = stack.enter_context(socket.create_connection(address, DEADLINE))
            client.sendall(sent)
            opened.append(client)
        yield opened


def received(client: socket.socket) -> bytes:
    """What comes until the end of the connection; a reset is no end."""
    return client.makefile("rb").read()


def others_are_served(served: Served, number: int) -> None:
    """Expect answers, and a reload, as if nobody else was there."""
    for _ in range(5):
        assert served.get().status == 200
    served.edit("app.py", f'VERSION = "{number}"', f'VERSION = "{number + 1}"')
    began = time.monotonic()
    assert served.body() == f"app={number + 1} helper=1"
    print(f"save to fresh response: {time.monotonic() - began:.3f} s")


def threads(served: Served) -> int:
    return sum(map(SYSTEM.threads, served.children()))


@pytest.mark.parametrize("command", [COMMAND, EAGER], ids=["deferred", "eager"])
@pytest.mark.parametrize(
    ("count", "sent"),
    [(MANY, b""), (SLOW, HEAD), (SLOW, b"\r"), (SLOW, b"G" * 60_000)],
    ids=["idle", "slow head", "first byte", "half a huge head"],
)
def test_p2_clients_that_hold_connections(
    serve: Serve, command: tuple[str, ...], count: int, sent: bytes
) -> None:
    served = serve("app.py", "--threads", "8", app="plain", command=command)
    assert served.get().status == 200
    before = threads(served)
    with clients(served, count, sent) as held:
        for number in range(1, 4):
            others_are_served(served, number)
        assert threads(served) <= before + 8
        if sent == HEAD:  # they went from child to child, with what they had sent
            for client in held:
                client.sendall(b"\r\n")
            answers = {Answer.parse(received(client)) for client in held}
            assert answers == {Answer(200, "")}


@pytest.mark.parametrize("threads", [2, 8])
def test_p2_clients_that_are_slow_after_the_head(serve: Serve, threads: int) -> None:
    """They do not send the body, or do not read the answer; and are answered when they do."""
    served = serve("app.py", "--threads", str(threads), "--grace", "60", app="plain")
    with clients(served, 20, UPLOAD) as sending, clients(served, 20, request("/large")) as reading:
        others_are_served(served, 1)
        for client in sending:
            client.sendall(b" more")
            assert Answer.parse(received(client)) == Answer(200, "some more")
        for client in reading:
            assert len(Answer.parse(received(client)).body) == 8_000_000


def test_p2_clients_that_are_slow_after_the_head_in_each_process(serve: Serve) -> None:
    served = serve("app.py", "--threads", "8", app="plain")
    for number in range(1, 4):
        with clients(served, 20, UPLOAD), clients(served, 20, request("/large")):
            others_are_served(served, number)


@pytest.mark.skipif(SPEAKS_ASGI, reason="the adapter reads all of it first")
def test_p2_an_upload_that_trickles_is_read_as_it_comes(serve: Serve) -> None:
    """The app reads it in pieces, while more of it comes; others are answered meanwhile."""
    served = serve("app.py", "--threads", "2", files={"app.py": PIECES})
    with clients(served, 5, UPLOAD) as held:
        answers = [client.makefile("rb") for client in held]
        for answer in answers:
            while answer.readline() != b"\r\n":
                pass
            assert answer.readline() == b"4\n"
        for size in range(5, 10):
            assert served.body() == "all\n"
            for client, answer in zip(held, answers, strict=True):
                client.sendall(b".")
                assert answer.readline() == b"%d\n" % size
        assert [answer.read() for answer in answers] == [b"all\n"] * 5


def test_p2_what_comes_with_a_head_that_was_handed_over_in_part(serve: Serve) -> None:
    """The body as well, and from the bytes that the old child had seen on."""
    served = serve(app="plain")
    text = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
    with clients(served, 1, text) as (client,):
        others_are_served(served, 1)
        client.sendall(b"X-More: 1\r\n")
        others_are_served(served, 2)
        client.sendall(b"\r\n" + b"b" * 100_000)
        assert Answer.parse(received(client)) == Answer(200, "b" * 100_000)


@pytest.mark.parametrize("size", [70_000, 1_000_000])
def test_p2_huge_heads_are_refused(serve: Serve, size: int) -> None:
    served = serve(app="plain")
    with clients(served, 20, HEAD + b"X: " + b"x" * size + b"\r\n\r\n") as held:
        others_are_served(served, 1)
        for client in held:
            assert received(client).startswith(b"HTTP/1.0 431 Request Header Fields Too Large\r\n")


@pytest.mark.parametrize("size", [100, 10_000, 3_000_000])
def test_p2_pipelined_garbage_costs_nobody_an_answer(serve: Serve, size: int) -> None:
    served = serve(app="plain")
    with clients(served, 20, request("/") + b"\0garbage\r\n" * (size // 10)) as held:
        others_are_served(served, 1)
        for client in held:
            assert Answer.parse(received(client)).body.startswith("app=")


def test_p2_half_closed_connections_are_answered(serve: Serve) -> None:
    served = serve(app="plain")
    with clients(served, 20, request("/")) as whole, clients(served, 20, HEAD) as cut:
        for client in (*whole, *cut):
            client.shutdown(socket.SHUT_WR)
        others_are_served(served, 1)
        for client in whole:
            assert Answer.parse(received(client)).status == 200
        for client in cut:
            assert received(client).startswith(b"HTTP/1.0 400 Bad Request\r\n")


@pytest.mark.parametrize(
    "sent", [b"", HEAD, request("/stream?delay=0.001"), b"\x16\x03\x01\r\n\r\n"]
)
def test_p2_clients_that_reset_are_forgotten(serve: Serve, sent: bytes) -> None:
    served = serve(app="plain", command=EAGER)
    assert served.get().status == 200

    def connections() -> int:
        return SYSTEM.sockets(served.children()[0])

    before = connections()
    with clients(served, 100, sent) as held:
        for client in held:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    served.until(lambda: connections() <= before, "their connections are closed")
    others_are_served(served, 1)


def test_p2_no_request_makes_it_reload(serve: Serve) -> None:
    """Nothing that a page of another site can send does."""
    served = serve(app="plain")
    pid = served.body("/pid")
    host = f"Host: 127.0.0.1:{served.port}\r\n"
    foreign = f"{host}Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n"
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "RELOAD"):
        for path in ("/.asyncreload/events", "/.asyncreload/reload", "/.asyncreload/", "/"):
            text = f"{method} {path} HTTP/1.1\r\n{foreign}".encode()
            with clients(served, 1, text) as (client,):
                answer = received(client)
            assert b"access-control-allow" not in answer.lower()
            assert b"event: state" not in answer
    assert served.body("/pid") == pid
