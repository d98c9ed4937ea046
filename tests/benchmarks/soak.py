"""A long hard life in a short time: `python tests/benchmarks/soak.py [--minutes 5] [--seed 1]`.

A project is saved, broken and mended at random while clients ask for short, long and streamed
answers, hang up, and send garbage. At times a process is killed or stopped, has no descriptor left,
or finds the disk full (this one needs root, for a small tmpfs; without, it is left out).

In the end no answer may have been stale, none missing without a reason that is promised, and no
process, descriptor, thread, lockfile or zombie be left. The memory of the supervisor is told with
its slope. Exits with 1 when something was wrong. Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.live.driving import (  # noqa: E402
    COMMAND,
    Answer,
    Served,
    lay_out,
    locks,
    port_is_free,
    processes_of,
    replace,
    request,
    state_of,
    until,
    write,
)

PATIENCE = 60.0  # seconds until an answer counts as missing
AFTERMATH = 3.0  # seconds after a blow in which what it hit may still be cut off
SETTLING = 20.0
HALF = (
    0.25  # seconds: a save that takes longer, as on a busy machine, may be met when half is written
)
BREAKS = (
    "def broken(:\n",
    "import no_such_module\n",
    "raise RuntimeError('broken on purpose')\n",
    "import sys; sys.exit(3)\n",
    "import os; os._exit(7)\n",
    "import os; os.abort()\n",
    "",
)
GARBAGE = (
    b"\r\n\r\n",
    b"\0" * 500 + b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnothing of the kind\r\n",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    request("/") * 50,
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
)


@dataclass
class Journal:
    """What was done to the server, and what came of it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    saved: int = 0
    broken: set[int] = field(default_factory=set)
    saves: list[float] = field(default_factory=list)
    writing: float | None = None
    halves: list[tuple[float, float]] = field(default_factory=list)
    blows: list[tuple[float, float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def fail(self, what: str) -> None:
        with self.lock:
            self.wrong.append(f"{time.strftime('%H:%M:%S')} {what}")
            if len(self.wrong) < 50:
                print(self.wrong[-1], flush=True)

    def was_hit(self, began: float, ended: float) -> bool:
        """Tell whether a process was killed or stopped meanwhile, or shortly before."""
        return any(begin < ended and began < end + AFTERMATH for begin, end in self.blows)

    def begin(self) -> None:
        self.writing = time.monotonic()

    def end(self, number: int) -> None:
        """Note that a save has returned."""
        began, now = self.writing or 0.0, time.monotonic()
        if now - began > HALF:
            self.halves.append((began, now))
        self.saves.append(now)
        self.saved, self.writing = number, None

    def met_half(self, began: float, ended: float) -> bool:
        """Tell whether a save took so long meanwhile that half of it could be met."""
        writing = self.writing
        half = self.halves[-20:] + ([(writing, ended)] if writing else [])
        return any(end - begin > HALF and begin < ended and began < end for begin, end in half)

    def saves_between(self, began: float, ended: float) -> int:
        return sum(began - 0.5 <= one <= ended for one in self.saves[-2000:])


# --- the project ------------------------------------------------------------------------------


class Editor:
    """Saves the project in all manners."""

    def __init__(self, served: Served, journal: Journal, dice: random.Random) -> None:
        self.served = served
        self.journal = journal
        self.dice = dice
        self.app = served.read("app.py")

    def save(self, *, breaking: str | None = None) -> None:
        """Save the next version, which may be one that does not load."""
        journal = self.journal
        number = journal.saved + 1
        text = self.app.replace('VERSION = "1"', f'VERSION = "{number}"')
        if breaking is not None:
            journal.broken.add(number)
            text = breaking and text + breaking
        way = self.dice.choice([write, replace])
        journal.begin()
        way(self.served.directory / "app.py", text)
        journal.end(number)

    def act(self) -> None:
        """Do one thing that people, editors and their tools do."""
        kind = self.dice.choices(["save", "break", "burst", "touch"], [60, 15, 10, 15])[0]
        self.journal.note(f"edits: {kind}")
        match kind:
            case "save":
                self.save()
            case "break":
                self.save(breaking=self.dice.choice(BREAKS))
                time.sleep(self.dice.choice([0, 0.1, 1.5]))
                self.save()
            case "burst":
                for _ in range(self.dice.randrange(5, 60)):
                    self.save()
                    time.sleep(self.dice.uniform(0, 0.01))
            case "touch":
                (self.served.directory / "helper.py").touch()


# --- clients ------------------------------------------------------------------------------------


class Client:
    """Asks again and again in a thread; judges each answer by what was saved before it asked."""

    def __init__(self, port: int, journal: Journal, dice: random.Random) -> None:
        self.port = port
        self.journal = journal
        self.dice = dice

    def exchange(self, sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(sent)
            return connection.makefile("rb").read()

    def ask(self, path: str) -> None:
        """Expect an answer that is whole and fresh; or a report, if a save deserves one."""
        journal = self.journal
        floor, began = journal.saved, time.monotonic()
        try:
            answer = Answer.parse(self.exchange(request(path)))
        except OSError as exc:
            self.missing(path, exc, began, brief=path in {"/", "/echo"})
            return
        if answer.status == 200:
            versions = [int(one[4:]) for one in answer.body.split() if one.startswith("app=")]
            if min(versions) < floor:
                journal.fail(f"STALE {path}: {floor} was saved, {versions} came")
            journal.note(f"answers: {path.partition('?')[0]}")
        elif any(number >= floor for number in list(journal.broken)):
            journal.note("answers: a report of a broken save")
        elif journal.was_hit(began, time.monotonic()):
            journal.note("answers: a report of a killed process")
        elif journal.met_half(began, time.monotonic()):
            journal.note("answers: a report of a save that was half written for long")
        else:
            journal.fail(f"UNEXPECTED {path}: {answer.status} {answer.body[:300]}")

    def missing(self, path: str, exc: OSError, began: float, *, brief: bool) -> None:
        journal, ended = self.journal, time.monotonic()
        refused = isinstance(exc, ConnectionRefusedError | TimeoutError)
        if journal.was_hit(began, ended) and not refused:
            journal.note("cut off: by a blow")
        elif not refused and journal.saves_between(began, ended) >= 2 + brief:
            journal.note("cut off: an old response, by the next reload")
        elif not refused and any(number >= journal.saved - 2 for number in list(journal.broken)):
            journal.note("cut off: by the crash of a broken save")
        else:
            took = ended - began
            journal.fail(
                f"{'REFUSED' if refused else 'CUT OFF'} {path} after {took:.2f} s: {exc!r}"
            )

    def drop(self) -> None:
        """Hang up before the head, inside it, or inside the answer; properly or with a reset."""
        sent = request(self.dice.choice(["/", "/stream?delay=0.01", "/slow?seconds=0.1"]))
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(sent[: self.dice.choice([0, 10, len(sent)])])
            time.sleep(self.dice.uniform(0, 0.05))
            if self.dice.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.journal.note("clients: hung up")

    def annoy(self) -> None:
        """Send what is no request; any end will do."""
        with suppress(ConnectionError):
            connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            with connection:
                connection.sendall(self.dice.choice(GARBAGE))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        self.journal.note("clients: garbage")

    def idle(self) -> None:
        """Open early, ask late."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            time.sleep(self.dice.uniform(0, 8))
            floor, began = self.journal.saved, time.monotonic()
            try:
                connection.sendall(request("/"))
                answer = Answer.parse(connection.makefile("rb").read())
            except OSError as exc:
                self.missing("an early connection", exc, began, brief=True)
                return
        if answer.status == 200 and int(answer.body.split()[0][4:]) < floor:
            self.journal.fail(
                f"STALE on an early connection: {floor} was saved, {answer.body} came"
            )
        self.journal.note("answers: on an early connection")


# --- blows --------------------------------------------------------------------------------------


class Fate:
    """What befalls the processes from time to time."""

    def __init__(self, served: Served, journal: Journal, dice: random.Random, disk: Path) -> None:
        self.served = served
        self.journal = journal
        self.dice = dice
        self.disk = disk
        self.kinds: list[Callable[[], None]] = [self.kill, self.stop, self.starve]
        if os.path.ismount(disk):
            self.kinds.append(self.fill)

    def strike(self) -> None:
        began = time.monotonic()
        slot = len(self.journal.blows)
        self.journal.blows.append((began, began + PATIENCE))
        try:
            with suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
                self.dice.choice(self.kinds)()
        finally:
            self.journal.blows[slot] = (began, time.monotonic())

    def victim(self) -> int:
        """Return a child or a standby."""
        return self.dice.choice(self.served.children() or [self.served.pid])

    def kill(self) -> None:
        pid = self.victim()
        if pid != self.served.pid:
            os.kill(pid, signal.SIGKILL)
            self.journal.note("blows: killed a child or a standby")

    def stop(self) -> None:
        pid = self.dice.choice([self.victim(), self.served.pid])
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(self.dice.uniform(0.1, 3))
        finally:
            os.kill(pid, signal.SIGCONT)
        self.journal.note("blows: stopped a process")

    def starve(self) -> None:
        """Leave a process no descriptor for a second."""
        pid = self.dice.choice([self.victim(), self.served.pid])
        used = max((int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()), default=0) + 1
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        spare = self.dice.choice([0, 1, 3])
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(used + spare, before[1]), before[1]))
        try:
            time.sleep(self.dice.uniform(0.2, 1.5))
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        self.journal.note("blows: took a process's descriptors")

    def fill(self) -> None:
        stuff = self.disk / "stuff"
        try:
            with suppress(OSError), stuff.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 4096)
            time.sleep(self.dice.uniform(0.2, 2))
        finally:
            stuff.unlink()
        self.journal.note("blows: filled the disk")


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Have a tmpfs of one megabyte at a path, if that is allowed."""
    path.mkdir()
    if os.geteuid() == 0:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
        mounted = subprocess.run(command, check=False).returncode == 0
    else:
        mounted = False
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)


# --- the run --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """What the supervisor takes; there is one a second."""

    kilobytes: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Sample:
        proc = Path(f"/proc/{pid}")
        lines = (proc / "smaps_rollup").read_text().splitlines()
        resident = next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
        descriptors, threads = (len(list((proc / name).iterdir())) for name in ("fd", "task"))
        return cls(resident, descriptors, threads)


def slope(samples: list[Sample]) -> float:
    """Return the kilobytes that were added in an hour, by the later two thirds of the time."""
    late = samples[len(samples) // 3 :]
    seconds, kilobytes = range(len(late)), [one.kilobytes for one in late]
    return 3600 * statistics.linear_regression(seconds, kilobytes).slope


def settle(served: Served, journal: Journal) -> None:
    """Wait until the last save is served, and one child and one standby are there and idle."""

    def settled() -> bool:
        answer = served.get()
        states = {state_of(pid) for pid in served.children()}
        fresh = answer.status == 200 and f"app={journal.saved} " in answer.body
        return fresh and len(served.children()) == 2 and states <= {"S"}

    until(settled, "it settles", SETTLING, lambda: served.output[-3000:])
    time.sleep(2.5)  # the connections that linger are closed


def zombies(pid: int) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == pid:
                found.append(entry.parent.name)
    return found


def live(editor: Editor, disk: Path, options: argparse.Namespace) -> list[Sample]:
    """Let everything happen at once for the chosen time; return the samples that were taken."""
    served, journal = editor.served, editor.journal
    going, over = threading.Event(), threading.Event()

    def again(seed: str, least: float, most: float, act: Callable[[], object]) -> None:
        dice = random.Random(f"{options.seed} {seed}")
        while going.wait() and not over.is_set():
            try:
                act()
            except Exception as exc:  # noqa: BLE001  the others go on, and it is told
                journal.fail(f"{seed}: {exc!r}")
            time.sleep(dice.uniform(least, most))

    def dice(name: str) -> random.Random:
        return random.Random(f"{options.seed} {name} dice")

    def client(name: str) -> Client:
        return Client(served.port, journal, dice(name))

    works: list[tuple[str, float, float, Callable[[], object]]] = [
        ("editor", 0.05, 2.0, editor.act),
        ("short 1", 0.0, 0.05, partial(client("1").ask, "/")),
        ("short 2", 0.0, 0.2, partial(client("2").ask, "/")),
        ("long", 0.0, 1.0, partial(client("3").ask, "/slow?seconds=0.7")),
        ("streamed", 0.0, 1.0, partial(client("4").ask, "/stream")),
        ("dropped", 0.0, 0.3, client("5").drop),
        ("malformed", 0.0, 0.3, client("6").annoy),
        ("early 1", 0.0, 0.3, client("7").idle),
        ("early 2", 0.0, 0.3, client("8").idle),
        ("fate", 1.0, 10.0, Fate(served, journal, dice("fate"), disk).strike),
    ]
    threads = [threading.Thread(target=again, args=work) for work in works]
    for thread in threads:
        thread.start()
    samples: list[Sample] = []
    try:
        while len(samples) < options.minutes * 60:
            time.sleep(1)
            if options.hold and options.hold.exists():
                going.clear()
            else:
                going.set()
                samples.append(Sample.of(served.pid))
    finally:  # also when there is no supervisor any more to be sampled
        over.set()
        going.set()
    for thread in threads:
        thread.join()
    return samples


def compare(journal: Journal, before: Sample, after: Sample) -> None:
    # asyncio starts a thread for a look at a file whenever none is idle, up to so many.
    pool = min(32, (os.cpu_count() or 1) + 4)
    for what, slack in (("descriptors", 0), ("threads", pool)):
        then, now = getattr(before, what), getattr(after, what)
        if now > then + slack:
            journal.fail(f"LEAKED: the supervisor had {then} {what}, now {now}")


def tell(journal: Journal, samples: list[Sample], before: Sample, after: Sample) -> None:
    for what, count in sorted(journal.counts.items()):
        print(f"{count:8} {what}")
    print(f"{journal.saved:8} saves")
    told = f"{before.kilobytes / 1024:.1f} MB at first, {after.kilobytes / 1024:.1f} MB at last"
    print(f"supervisor: {told}, slope {slope(samples):+.0f} KB an hour")
    print(f"            {after.descriptors} descriptors ({before.descriptors} at first)")
    print(f"wrong: {len(journal.wrong)}")
    for line in journal.wrong[:50]:
        print(f"  {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Random saves, requests and blows for a time.")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, default=1, help="of what is random (1)")
    parser.add_argument("--hold", type=Path, help="nothing is done while there is such a file")
    parser.add_argument("--output", type=Path, help="where to keep what the command printed")
    options = parser.parse_args()
    journal = Journal()
    with tempfile.TemporaryDirectory(prefix="asyncreload-soak-") as name:
        place = Path(name)
        directory, disk = place / "project", place / "tmp"
        lay_out(directory, "plain")
        with small_disk(disk):
            output = options.output or place / "output.txt"
            command = [*COMMAND, "app.py", "--port", "0", "--no-access-log"]
            served = Served(directory, disk, command, output)
            try:
                editor = Editor(served, journal, random.Random(options.seed))
                journal.saved = 1
                settle(served, journal)
                editor.save()
                settle(served, journal)
                before = Sample.of(served.pid)
                samples = live(editor, disk, options)
                editor.save()
                settle(served, journal)
                compare(journal, before, after := Sample.of(served.pid))
                if found := zombies(served.pid):
                    journal.fail(f"LEAKED: zombies {found}")
                port = served.port
                if (code := served.stop()) != 143:
                    journal.fail(f"it ended with {code}")
                until(lambda: not processes_of(place), "no process is left", 5)
                if left := locks(disk):
                    journal.fail(f"LEAKED: lockfiles {left}")
                if not port_is_free(port):
                    journal.fail("LEAKED: the port")
                tell(journal, samples, before, after)
            finally:
                served.hang_up()
                served.kill()
    sys.exit(bool(journal.wrong))


if __name__ == "__main__":
    main()
