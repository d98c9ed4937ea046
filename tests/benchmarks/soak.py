"""A long hard life in a short time: `python tests/benchmarks/soak.py [--minutes 5] [--seed 1]`.

Projects, small and large, WSGI and ASGI, are saved, broken and mended at random while clients ask
for short, long and streamed answers, hang up, and send garbage; of the ASGI apps, some keep
WebSockets and event streams open. At times a process of any kind is killed or stopped, has no
descriptor left, or finds the disk full (this one needs root, for a small tmpfs; without, it is left
out). Supervisors are killed in the first fifth of the time alone: what they take is told for the
rest, with its slope.

In the end no answer may have been stale, none missing without a reason that is promised, and no
process, descriptor, thread, lockfile or zombie be left. Exits with 1 when something was wrong.
Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.benchmarks import soak_family  # noqa: E402
from tests.benchmarks.soak_blows import Fate, small_disk  # noqa: E402
from tests.benchmarks.soak_clients import PATIENCE, Client  # noqa: E402
from tests.benchmarks.soak_family import Role, Sample, family, zombies  # noqa: E402
from tests.benchmarks.soak_journal import Journal  # noqa: E402
from tests.benchmarks.soak_projects import KINDS, Editor  # noqa: E402
from tests.live.driving import (  # noqa: E402
    COMMAND,
    Connection,
    Served,
    locks,
    port_is_free,
    until,
)
from tests.live.processes import processes_of, state_of  # noqa: E402

SETTLING = 30.0
GONE = 5.0
"""Seconds in which nothing may be left of a supervisor; a second is promised on an idle machine."""
MORTAL = 0.2
"""The share of the time in which supervisors are killed."""
OF_A_CHECKPOINT = 3
"""Descriptors that a supervisor may have for each process beyond those that it had."""
OF_A_RESUMED_CHILD = 1
"""And for a child that has come out of a checkpoint: it is no child process of its own."""

Work = tuple[str, float, float, Callable[[], object]]
"""A name; the least and the most seconds of a pause; what is done between the pauses."""


class Life:
    """One project that is served, and all who have to do with it."""

    def __init__(self, kind: str, place: Path, disk: Path, options: argparse.Namespace) -> None:
        self._place = place
        self._disk = disk
        self._seed = f"{options.seed} {kind}"
        self.kind = KINDS[kind]
        self.journal = Journal(kind)
        directory = place / "project"
        files = self.kind.lay_out(directory)
        self._starts = 0
        self.served: Served = self._start()
        self.editor: Editor = Editor(directory, files, self.journal, self._dice("editor"))
        self.fate: Fate = Fate(self, self.journal, self._dice("fate"), disk)
        self.samples: list[tuple[float, Sample]] = []

    def works(self) -> list[Work]:
        """Return what is done by a thread each, again and again."""

        def client(name: str) -> Client:
            return Client(lambda: self.served.port, self.journal, self._dice(name))

        works: list[Work] = [
            ("editor", 0.05, 3.0, self.editor.act),
            ("short", 0.0, 0.1, partial(client("short").ask, "/")),
            ("long", 0.0, 1.0, partial(client("long").ask, "/slow?seconds=0.7")),
            ("streamed", 0.0, 1.0, partial(client("streamed").ask, "/stream")),
            ("dropped", 0.0, 0.5, client("dropped").drop),
            ("malformed", 0.0, 0.5, client("malformed").annoy),
            ("early", 0.0, 0.3, client("early").idle),
            ("fate", 2.0, 10.0, self.fate.strike),
        ]
        if self.kind.is_asgi:
            works += [
                ("websocket 1", 0.0, 0.3, client("websocket 1").talk),
                ("websocket 2", 0.0, 0.3, client("websocket 2").talk),
                ("events", 0.0, 0.3, client("events").listen),
                ("blocking", 2.0, 5.0, partial(client("blocking").ask, "/block?seconds=0.3")),
            ]
        return works

    def again(self, work: Work, over: threading.Event) -> None:
        """Do something until all is over."""
        name, least, most, act = work
        dice = self._dice(f"{name} pauses")
        while not over.is_set():
            try:
                act()
            except Exception as exc:  # noqa: BLE001  the others go on, and it is told
                self.journal.fail(f"{name}: {exc!r}")
            time.sleep(dice.uniform(least, most))

    def sample(self) -> None:
        self.samples.append((time.monotonic(), Sample.of(self.served)))

    def start_again(self) -> None:
        """Start another supervisor, when nothing is left of the former one."""
        self._nothing_is_left(self.served.port)
        self.served = self._start()
        with suppress(OSError):  # cut off by the next blow, or never there: the clients judge that
            Connection(self.served.port, PATIENCE).send().receive()
        self.samples.clear()

    def settle(self) -> Sample:
        """Wait until the last save is served, and who is there is idle; return what they take."""

        def settled() -> bool:
            answer = self.served.get()
            roles = family(self.served)
            if answer.status != 200 or f"app={self.journal.saved} " not in answer.body:
                return False
            alone = all([*roles.values()].count(one) == 1 for one in (Role.CHILD, Role.STANDBY))
            return alone and {state_of(pid) for pid in roles} <= {"S"}

        def report() -> str:
            return f"{self.journal.name}: {family(self.served)}\n{self.served.output[-3000:]}"

        until(settled, "it settles", SETTLING, report)
        time.sleep(2.5)  # the connections that linger are closed
        return Sample.of(self.served)

    def end(self) -> None:
        """End it; nothing may be left."""
        if found := zombies(self.served):
            self.journal.fail(f"LEAKED: zombies {found}")
        port = self.served.port
        if (code := self.served.stop()) != 143:
            self.journal.fail(f"it ended with {code}")
        self._nothing_is_left(port)

    def tell(self) -> None:
        print(f"\n{self.journal.name}: {self.journal.saved} saves")
        for what, count in sorted(self.journal.counts.items()):
            print(f"{count:8} {what}")
        soak_family.tell(self.samples)

    def kill(self) -> None:
        """Whatever state it is in."""
        self.served.hang_up()
        self.served.kill()

    def _start(self) -> Served:
        self._starts += 1
        output = self._place / f"output{self._starts}.txt"
        command = [*COMMAND, "app.py", "--port", "0", "--no-access-log", "--verbose"]
        return Served(self._place / "project", self._disk, command, output)

    def _nothing_is_left(self, port: int) -> None:
        def left() -> list[str]:
            processes = [
                f"process {pid}: {what}" for pid, what in processes_of(self._place).items()
            ]
            held = [] if port_is_free(port) else ["the port"]
            return [*processes, *map(str, locks(self._disk)), *held]

        try:
            until(lambda: not left(), "nothing is left", GONE, lambda: "\n".join(left()))
        except AssertionError as exc:
            self.journal.fail(f"LEFT: {exc}")

    def _dice(self, name: str) -> random.Random:
        return random.Random(f"{self._seed} {name}")


def live(lives: list[Life], minutes: float) -> None:
    """Let everything happen at once for a time."""
    over = threading.Event()
    threads = [
        threading.Thread(target=one.again, args=(work, over))
        for one in lives
        for work in one.works()
    ]
    for thread in threads:
        thread.start()
    seconds = minutes * 60
    began = time.monotonic()
    killings = [began + seconds * MORTAL * part / len(lives) for part in range(1, len(lives) + 1)]
    doomed = [*lives]
    try:
        while (now := time.monotonic()) < began + seconds:
            time.sleep(1)
            if killings and now > killings[0]:
                del killings[0]
                doomed.pop().fate.kill_supervisor()
            elif not killings:
                for one in lives:
                    one.sample()
    finally:  # also when there is no supervisor any more to be sampled
        over.set()
    for thread in threads:
        thread.join()


def compare(journal: Journal, before: Sample, after: Sample, most_threads: int) -> None:
    more = max(0, after.processes - before.processes)
    for what, slack in (
        ("descriptors", OF_A_CHECKPOINT * more + OF_A_RESUMED_CHILD),
        ("threads", most_threads),
    ):
        then, now = getattr(before, what), getattr(after, what)
        if now > then + slack:
            told = f"{dict(before.held)}, now {dict(after.held)}"
            journal.fail(f"LEAKED: the supervisor had {then} {what}, now {now}: {told}")


def soak(options: argparse.Namespace, place: Path, stack: ExitStack) -> list[Journal]:
    """Serve, live, settle and end; return what came of each project."""
    lives = []
    for kind in options.projects:
        home = place / kind
        home.mkdir()
        stack.enter_context(small_disk(home / "tmp"))
        lives.append(Life(kind, home, home / "tmp", options))
        stack.callback(lives[-1].kill)
    for one in lives:
        one.settle()
        one.editor.save()
    before = [one.settle() for one in lives]
    live(lives, options.minutes)
    # asyncio starts a thread for a look at a file whenever none is idle, up to so many.
    most_threads = min(32, (os.cpu_count() or 1) + 4)
    for one, first in zip(lives, before, strict=True):
        one.editor.save()
        compare(one.journal, first, one.settle(), most_threads)
    for one in lives:
        one.end()
        one.tell()
    return [one.journal for one in lives]


def main() -> None:
    parser = argparse.ArgumentParser(description="Random saves, requests and blows for a time.")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, default=1, help="of what is random (1)")
    parser.add_argument(
        "--projects",
        nargs="+",
        choices=[*KINDS],
        default=["wsgi", "asgi", "large-asgi"],
        help="what is served side by side (wsgi asgi large-asgi)",
    )
    options = parser.parse_args()
    # Whoever ends it early is not left with the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    with tempfile.TemporaryDirectory(prefix="asyncreload-soak-") as name, ExitStack() as stack:
        journals = soak(options, Path(name), stack)
    wrong = [line for journal in journals for line in journal.wrong]
    print(f"\nwrong: {len(wrong)}")
    for line in wrong[:50]:
        print(f"  {line}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
