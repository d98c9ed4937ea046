"""What the interpreter's own end does for a program, for a process that does not come to it.

A child ends by `os._exit`, and a script that becomes the supervisor by `execve`. An ordinary end is
`Py_FinalizeEx` in CPython's Python/pylifecycle.c. From 3.11 to 3.14 it takes these steps:

1. `threading._shutdown` lets executors end (`concurrent.futures`), and joins threads that are no
   daemons.
2. `atexit` handlers run. Among them are those of `logging`, `multiprocessing` and
   `weakref.finalize`, which removes a `TemporaryDirectory`.
3. `sys.stdout` and `sys.stderr` are flushed.
4. All other threads stand still from here on.
5. Garbage is collected and modules are cleared, and their objects go: `__del__` methods are called,
   files are flushed and closed. `NamedTemporaryFile` is removed by such a method; a `ZipFile` or a
   `shelve` writes its end in one, a `GzipFile` when it is closed (by such a method from 3.14 on).
6. The C library flushes its streams and calls what was registered with its own `atexit`.

Of these, this module does 3, 5, and the streams of 6. The first two are done before (see
child/lifecycle/shutdown.py), but threads are not joined: those of a server seldom end.

For 5, modules are not cleared: our own threads still need them, and so may a last response; in a
large process it would take long. Instead the objects are found that have something to do at their
end, and are told to do it. All their globals are still there, which is more than Python promises.
That is for a process that has a file open for writing, has made a temporary file, or has loaded
code of the project that names `__del__`. Any other pays for a look at its descriptors and no more;
`__del__` methods of packages alone are not called there.

What is left to the end of the process, and comes to the same: sockets are closed, a database of
`sqlite3` is rolled back by who opens it next. What is left undone: suspended generators are not
closed, objects whose C code alone knows what to do at their end are not told, and the C library's
`atexit` handlers are not called.
"""

from __future__ import annotations

import errno
import gc
import io
import sys
import traceback
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import Enum, auto
from threading import Event
from types import FunctionType, ModuleType
from typing import Any

from asyncreload.cpython import has_made_temporary_files
from asyncreload.system_calls import OpenFile, files_open_for_writing, flush_c_streams

Call = Callable[[Any], object]

C_STREAMS = 0.1
"""Seconds for the C library's streams: one is locked while a thread reads from it."""

_STEPS = 4
_WIDTH = 100
"""How far from an object is looked for what it holds, and for how many objects at each step."""

_STREAMS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair)
_ANY_STREAM = io.FileIO.__mro__[-2]  # `io.IOBase` itself would be asked for virtual subclasses
# Their objects hold descriptors and processes, which end with this one; or they are ours.
_SPARED = frozenset(
    {
        "aiofiles",
        "asyncinotify",
        "asyncio",
        "asyncreload",
        "multiprocessing",
        "socket",
        "subprocess",
    }
)


class Duty(Enum):
    """What the objects of a type have to do at their end."""

    NOTHING = auto()
    DELETE = auto()
    """Call `__del__`, which is written in Python."""
    CLOSE = auto()
    """Close the stream, whose class is not Python's own: it may write more than a buffer then."""
    FLUSH = auto()
    """Write the buffer of one of Python's own streams."""


def duty_of(kind: type) -> Duty:
    """Return what objects of a type have to do. No code of the type's own is run for that."""
    module = str(type.__getattribute__(kind, "__module__"))
    bases: tuple[type, ...] = type.__getattribute__(kind, "__mro__")
    if module.partition(".")[0] in _SPARED:
        return Duty.NOTHING
    if any(kind is stream for stream in _STREAMS):
        return Duty.FLUSH
    method = next((vars(base)["__del__"] for base in bases if "__del__" in vars(base)), None)
    if isinstance(method, FunctionType):
        return Duty.DELETE
    if _ANY_STREAM in bases and module != _ANY_STREAM.__module__:
        return Duty.CLOSE
    return Duty.NOTHING


def living_objects() -> list[Any]:
    """Return all objects that the collector of garbage knows."""
    if gc.get_freeze_count():
        gc.unfreeze()
    return gc.get_objects()


def owners_first(objects: Iterable[Any]) -> list[Any]:
    """Return the objects in the order in which Python deletes them: who holds another goes first.

    So a method or a stream that still writes to a file finds it open. Objects that hold each other
    come in any order. What is more than a few steps away is not seen as held.
    """
    known = {id(one): one for one in objects}
    held = {number: _held_by(one, known) for number, one in known.items()}
    deepest_first: list[int] = []
    seen: set[int] = set()
    for start in known:
        path = [] if start in seen else [(start, iter(held[start]))]
        seen.add(start)
        while path:
            number, others = path[-1]
            following = next((other for other in others if other not in seen), None)
            if following is None:
                deepest_first.append(number)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(held[following])))
    return [known[number] for number in reversed(deepest_first)]


def _held_by(owner: Any, known: Mapping[int, Any]) -> list[int]:
    """Return the numbers of the known objects that another holds, directly or by what it holds."""
    found: list[int] = []
    seen = {id(owner)}
    level = [owner]
    for _ in range(_STEPS):
        others = {id(other): other for one in level for other in _referents(one)}
        fresh = [number for number in others if number not in seen][:_WIDTH]
        seen.update(fresh)
        found += [number for number in fresh if number in known]
        level = [others[number] for number in fresh if number not in known]
    return found


def _referents(one: Any) -> list[Any]:
    """Return what an object refers to; but not what everything can be reached from."""
    if isinstance(one, FunctionType):
        return [one.__closure__, one.__defaults__]
    return [] if isinstance(one, (type, ModuleType)) else gc.get_referents(one)


class Finalization:
    """The end of a program's objects.

    own: files open for writing that are not the program's.
    objects: returns the objects among which are those of the program.
    """

    def __init__(
        self,
        own: frozenset[OpenFile] = frozenset(),
        objects: Callable[[], Iterable[Any]] = living_objects,
    ) -> None:
        self._own = own
        self._objects = objects
        self._is_planned = False
        self._has_del = False
        self._calls: deque[tuple[Call, Any]] = deque()
        self._kept: list[Any] = []  # so that none is deleted once more when others let it go

    def spare(self, files: frozenset[OpenFile]) -> None:
        """Note that these open files are not the program's, too."""
        self._own |= files

    def has_del(self) -> None:
        """Note that objects of the program may have a method `__del__`."""
        self._has_del = True

    def flush(self) -> None:
        """Write what is buffered, and call no code of the program's: it still runs."""
        _flush_standard_streams()
        if self._has_open_files():
            for stream in self._find()[Duty.FLUSH]:
                _call(_flush, stream)

    def run(self) -> None:
        """Do all that is to be done. Called again, go on where an exception has ended it.

        Only KeyboardInterrupt is raised; other exceptions are printed, as Python does at its end.
        """
        _flush_standard_streams()
        if not self._is_planned:
            self._plan()
            self._is_planned = True
        while self._calls:
            _call(*self._calls.popleft())
        _flush_standard_streams()

    def _is_needed(self) -> bool:
        return self._has_del or has_made_temporary_files() or self._has_open_files()

    def _has_open_files(self) -> bool:
        files = files_open_for_writing()
        return files is None or bool(files - self._own)

    def _plan(self) -> None:
        """Arrange what is to be done, and in which order."""
        if not self._is_needed():
            return
        found = self._find()
        duties = {id(one): duty for duty, objects in found.items() for one in objects}
        self._kept = owners_first(one for objects in found.values() for one in objects)
        self._calls.extend((_CALLS[duties[id(one)]], one) for one in self._kept)
        # Once more, for what was written by objects that hold each other.
        self._calls.extend((_flush, stream) for stream in found[Duty.FLUSH])
        self._calls.append((_flush_c_streams, None))

    def _find(self) -> dict[Duty, list[Any]]:
        """Return the objects that have a duty."""
        objects = list(self._objects())
        # By number: a metaclass may have its own idea of what is equal.
        duties = {
            number: duty_of(kind)
            for number, kind in {id(kind): kind for kind in map(type, objects)}.items()
        }
        at_work = {number for number, duty in duties.items() if duty is not Duty.NOTHING}
        found: dict[Duty, list[Any]] = {duty: [] for duty in Duty}
        for one in [one for one in objects if id(type(one)) in at_work]:
            found[duties[id(type(one))]].append(one)
        return found


def _call(call: Call, one: Any) -> None:
    try:
        call(one)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001  there is nobody left to handle it
        with suppress(BaseException):
            sys.stderr.write(f"Exception ignored at the end of: {one!r}\n")
            traceback.print_exception(exc)


def _delete(one: Any) -> None:
    if not gc.is_finalized(one):
        type(one).__del__(one)


def _close(stream: Any) -> None:
    if not stream.closed and stream.writable():
        stream.close()


def _flush(stream: Any) -> None:
    try:
        if not stream.closed and stream.writable():
            stream.flush()
    except ValueError:  # the buffer below it is detached, or closed at this moment
        return
    except OSError as exc:
        if exc.errno != errno.EBADF:  # the program has closed the descriptor itself
            raise


def _flush_standard_streams() -> None:
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    for stream in streams:
        with suppress(OSError, ValueError, AttributeError):  # closed, or replaced by the program
            stream.flush()


def _flush_c_streams(_: object) -> None:
    """Do so in a thread: a stream is locked while another thread reads from it."""
    done = Event()

    def flush() -> None:
        flush_c_streams()
        done.set()

    start_new_thread(flush, ())
    done.wait(C_STREAMS)


_CALLS: dict[Duty, Call] = {Duty.DELETE: _delete, Duty.CLOSE: _close, Duty.FLUSH: _flush}
