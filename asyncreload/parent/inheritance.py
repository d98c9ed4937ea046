"""What each child inherits from the supervisor, by file descriptor."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

from asyncreload.input_prompt import InputPrompt
from asyncreload.liveness import LivenessCounter
from asyncreload.running_requests import RunningRequests


class Inheritance:
    """The listening socket, the lobby, a rendezvous, and memory that is shared; until it is closed.

    The lobby is a pair of sockets: an old child puts connections in at one end, and the next child
    takes them out at the other. The rendezvous is where a child hands over the link to each
    checkpoint that it has taken. By the farewells, the next child hears that the old one has left.
    Raises OSError when there is no descriptor or memory left; then the listener is closed, too.
    """

    def __init__(self, listener: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(listener)
            lobby = [stack.enter_context(end) for end in socket.socketpair()]
            pair = socket.socketpair(type=socket.SOCK_DGRAM)
            ours, theirs = map(stack.enter_context, pair)
            farewells = [
                stack.enter_context(end) for end in socket.socketpair(type=socket.SOCK_DGRAM)
            ]
            self.rendezvous: socket.socket = ours
            """Where children hand over the links to their checkpoints."""
            self.liveness: LivenessCounter = stack.enter_context(closing(LivenessCounter.create()))
            self.requests: RunningRequests = stack.enter_context(closing(RunningRequests.create()))
            self.prompt: InputPrompt = stack.enter_context(closing(InputPrompt.create()))
            self.descriptors: list[int] = [
                *(one.fileno() for one in (listener, *lobby, theirs, *farewells)),
                self.liveness.descriptor,
                self.requests.descriptor,
                self.prompt.descriptor,
            ]
            """What is left to a child, in the order in which it expects it."""
            host, port = listener.getsockname()[:2]
            self.address: tuple[str, int] = (host, port)
            """Where the app is served."""
            self._open = stack.pop_all()

    def close(self) -> None:
        """Close all of it; does nothing the second time."""
        self._open.close()
