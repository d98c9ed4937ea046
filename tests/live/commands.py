"""Run a command as the documentation gives it, on a port of its own."""

from __future__ import annotations

import random
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.driving import Answer, Connection, Served, port_is_free

ROOT = Path(__file__).resolve().parents[2]
PORT = "8000"
"""The port of the commands and programs in the documentation."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell gives it."""


def free_port() -> int:
    """Return a port that nobody listens on now, nor is given to who asks the system for any."""
    while True:
        port = random.randrange(20_000, 32_000)
        if port_is_free(port):
            return port


def on_port(port: int, text: str) -> str:
    """Return a command or program with another port: all that the tests change in it."""
    return re.sub(rf"(port=|--port |\.py ){PORT}\b", rf"\g<1>{port}", text)


class Running:
    """A command that serves at a port, which it need not tell."""

    def __init__(self, served: Served, port: int) -> None:
        self._served = served
        self.port = port

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return self._served.output

    def first_answer(self) -> Answer:
        """Wait until the port is bound, and ask."""

        def answer() -> Answer | None:
            assert self._served.process.poll() is None, f"it ended\n{self.output}"
            try:
                return Connection(self.port).send().receive()
            except ConnectionRefusedError:
                return None

        return self._served.until(answer, f"an answer at port {self.port}")

    def body(self, path: str = "/") -> str:
        """Ask once, and expect success."""
        answer = Connection(self.port).send(path).receive()
        assert answer.status == 200, f"{answer}\n{self.output}"
        return answer.body

    def until(self, pattern: str) -> str:
        """Wait until what matches is printed; return its first group."""
        found = self._served.until(lambda: re.search(pattern, self.output), f"{pattern} is printed")
        return found[1]

    def press_ctrl_c(self) -> int:
        """End it as a person does; return its exit code."""
        self._served.signal_group(signal.SIGINT)
        code = self._served.wait()
        assert port_is_free(self.port)
        return code


@contextmanager
def running(command: str, port: int, directory: Path, temp: Path) -> Iterator[Running]:
    """Run a command line of the documentation in a directory; whatever happens, it is ended."""
    words = shlex.split(on_port(port, command))
    scripts = Path(sys.executable).parent
    words[0] = sys.executable if words[0] == "python" else str(scripts / words[0])
    served = Served(directory, temp, words, temp.with_name("output.txt"))
    try:
        yield Running(served, port)
    finally:
        served.kill()
        print(served.output)
