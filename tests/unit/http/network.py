"""Real sockets of this machine for tests: clients, and servers that tell what they do, in order.

The loop is iterated until something is so; nothing waits for a time to pass.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from asyncreload.child.http.acceptor import Acceptor, _State
from asyncreload.child.http.request_threads import RequestThreads
from asyncreload.child.http.responder import Responder
from asyncreload.child.http.thread_pool import Job
from asyncreload.lobby import Lobby
from tests.unit.looping import until

if TYPE_CHECKING:
    from asyncreload.child.http.client_io import WhileWaiting
    from asyncreload.sockets import ClientAddress

DEADLINE = 10.0
END = b"\r\n\r\n"
"""Of the head of a request."""


async def iterate(times: int = 50) -> None:
    """Iterate the loop: whatever can happen now has then happened in it."""
    for _ in range(times):
        await asyncio.sleep(0)


def take_all(lobby: Lobby) -> list[socket.socket]:
    """Empty the lobby."""
    taken = []
    while some := lobby.take():
        taken += some
    return taken


def has_nothing_to_read(sock: socket.socket) -> bool:
    return not select.select([sock], [], [], 0)[0]


def reset_on_close(client: socket.socket) -> None:
    """Have the connection reset when the client closes it."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Server:
    """An acceptor and a responder, with an app and a gate that tell what happened, in order.

    suspects, changed: the files that the gate finds.
    before_verdict: awaited while the gate reads files.
    may_answer: the app waits for this event.
    on_request: called in the worker thread when a request begins.
    lacks_threads: whether the system has no more of them.
    slow: by their text, requests whose clients are slow until the event is set.
    """

    def __init__(self, listener: socket.socket, lobby: Lobby, streams: Any = None) -> None:
        self.events: list[str] = []
        self.suspects: list[str] = []
        self.changed: list[str] = []
        self.before_verdict: Callable[[], Any] = lambda: asyncio.sleep(0)
        self.threads: set[int] = set()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.on_request: Callable[[socket.socket], object] = lambda _: None
        self.slow: dict[bytes, threading.Event] = {}
        self.unread = False
        self._surroundings: tuple[Any, ...] = (listener, lobby, streams)
        self.lacks_threads = False
        self.acceptor: Acceptor
        self.responder: Responder

    def start(self, threads: int = 4) -> None:
        listener, lobby, streams = self._surroundings
        self.responder = Responder(self.respond, threads, self, self.resume)
        self.acceptor = Acceptor(listener, lobby, self, self.responder, streams)
        self.acceptor.start()

    def is_surely_fresh(self) -> bool:
        return not self.suspects

    def run(self, job: Job) -> bool:
        return not self.lacks_threads and RequestThreads().run(job)

    def resume(self) -> None:
        self.acceptor.resume()

    def check(self) -> list[str]:
        self.events.append("check")
        return self.suspects

    async def stale(self, suspects: list[str]) -> bool:
        assert suspects == self.suspects
        self.events.append("read")
        await self.before_verdict()
        if self.changed:
            self.events.append("stale")
        return bool(self.changed)

    def respond(
        self, connection: socket.socket, client: ClientAddress, while_waiting: WhileWaiting
    ) -> bool:
        self.on_request(connection)
        self.threads.add(threading.get_ident())
        connection.settimeout(DEADLINE)
        request = connection.recv(1000).removesuffix(END)
        connection.settimeout(None)
        self.events.append(f"begin {request.decode()}")
        if request in self.slow:
            with while_waiting:
                self.slow[request].wait(DEADLINE)
        self.may_answer.wait(DEADLINE)
        with suppress(OSError):
            connection.sendall(b"answer to " + request)
        self.events.append(f"end {request.decode()}")
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return self.unread

    def seen(self, kind: str) -> int:
        return sum(event.startswith(kind) for event in self.events)

    @property
    def pending(self) -> int:
        """How many connections have no complete head."""
        return len(self.acceptor._pending)

    @property
    def ready(self) -> int:
        return len(self.acceptor._ready)

    @property
    def is_accepting(self) -> bool:
        return self.acceptor._state is _State.ACCEPTING

    async def close(self) -> None:
        if not hasattr(self, "acceptor"):
            return
        self.lacks_threads = False
        for event in (self.may_answer, *self.slow.values()):
            event.set()
        self.acceptor.close(hand_over=False)
        await until(lambda: not self.responder.busy)


class Network:
    """What outlives a server: the listener, the lobby; and the clients."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.lobby = Lobby(*socket.socketpair())
        self.clients: list[socket.socket] = []
        self.servers: list[Server] = []

    def server(self, listener: Any = None, streams: Any = None) -> Server:
        server = Server(listener or self.listener, self.lobby, streams)
        self.servers.append(server)
        return server

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
        for client in self.clients:
            client.close()
        for server in self.servers:
            await server.close()
        for connection in take_all(self.lobby):
            connection.close()
        for sock in (self.listener, self.lobby.entrance, self.lobby.exit):
            sock.close()


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """Closes all at the end, and asserts that no callback of the loop has raised."""
    made = Network()
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        yield made
    finally:
        await made.close()
    assert failures == []
