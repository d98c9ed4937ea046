"""Private interfaces of CPython's standard library; each stands here alone.

Checked against CPython 3.11 to 3.14. What a later version lacks is done without, where the
function says so.
"""

from __future__ import annotations

import _posixsubprocess
import asyncio
import atexit
import marshal
import os
import posix
import runpy
import signal
import socket
import subprocess
import sys
import threading
import weakref
import zipimport
from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import wraps
from importlib.machinery import FileFinder
from types import CodeType, FrameType, ModuleType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
ReadDirectory = Callable[[str], Any]

# By these functions Python code starts processes, `subprocess` and `multiprocessing` included.
_STARTERS = [
    *((os, name) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp")),
    *((posix, name) for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp")),
    (_posixsubprocess, "fork_exec"),
    (subprocess, "_fork_exec"),
]


def run_exit_handlers() -> None:
    """Run the `atexit` handlers now: the interpreter's own end is not waited for."""
    atexit._run_exitfuncs()  # noqa: SLF001  no public function runs them


def loop_descriptors(loop: asyncio.AbstractEventLoop) -> list[int]:
    """Return the descriptors that asyncio's own loop has opened for itself."""
    selector: Any = loop._selector  # type: ignore[attr-defined]  # noqa: SLF001
    pair = (loop._ssock, loop._csock)  # type: ignore[attr-defined]  # noqa: SLF001
    return [selector.fileno(), *(end.fileno() for end in pair)]


def call_next(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Have a loop call a function as soon as the present step is over; called in the loop's thread.

    Other loops than asyncio's own call it after what is ready by now.
    """
    loop.call_soon(function)
    if isinstance(ready := getattr(loop, "_ready", None), deque):
        ready.rotate(1)


def exit_finalizers() -> list[weakref.finalize[..., Any]]:
    """Return the finalizers of `weakref.finalize` that are to be called at the end.

    None where they are kept elsewhere.
    """
    registry = getattr(weakref.finalize, "_registry", {})
    return [finalizer for finalizer, info in list(registry.items()) if info.atexit]


def thread_exit_handlers() -> list[Callable[[], object]]:
    """Return what `concurrent.futures` has registered to be called before `atexit` handlers.

    Without them, the idle workers of its executors are not ended early.
    """
    return list(getattr(threading, "_threading_atexits", ()))


class _NotAwaited(threading.Event):
    """Set when a thread has begun; who starts it does not wait for that."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return True


def start_without_waiting(thread: threading.Thread) -> None:
    """Start a thread; it may not have begun to run when this returns, and have no `ident` yet.

    `Thread.start` waits until it runs, and so hands the GIL to and fro: twice the time of the rest.
    Where a thread keeps that event elsewhere, this waits as well. Raises RuntimeError when no
    thread can be had.
    """
    if hasattr(thread, "_started"):
        thread._started = _NotAwaited()  # noqa: SLF001
    thread.start()


def event_loop_policy() -> object | None:
    """Return the policy for event loops; None as long as nobody has asked for it, or set one.

    Where asyncio keeps it elsewhere, the answer is None.
    """
    return getattr(asyncio.events, "_event_loop_policy", None)


def set_event_loop_policy(policy: object | None) -> None:
    """Set it, also to None. The public function warns from 3.14 on."""
    asyncio.events._event_loop_policy = policy  # type: ignore[attr-defined]  # noqa: SLF001


def has_made_temporary_files() -> bool:
    """Tell whether `tempfile` has named any file or directory in this process.

    Where it keeps its names elsewhere, the answer is yes if it was imported.
    """
    tempfile = sys.modules.get("tempfile")
    return tempfile is not None and getattr(tempfile, "_name_sequence", tempfile) is not None


def run_main_module(main: ModuleType, name: str = "") -> None:
    """Run a module in `main`, which is `__main__`, as Python does.

    Not `runpy.run_module`: that runs it in a module of its own, which is `__main__` only meanwhile,
    so no longer for the `atexit` handlers.
    name: what follows `-m`; empty for the `__main__.py` of the first entry of `sys.path`.
    Raises ImportError when there is no such module, or it cannot be run.
    """
    if name:
        _, spec, code = runpy._get_module_details(name)  # type: ignore[attr-defined]  # noqa: SLF001
        sys.argv[0] = spec.origin
    else:
        _, spec, code = runpy._get_main_module_details()  # type: ignore[attr-defined]  # noqa: SLF001
    runpy._run_code(code, vars(main), None, "__main__", spec)  # type: ignore[attr-defined]  # noqa: SLF001


def code_of_cache(data: bytes) -> CodeType:
    """Return the code in the bytes of a `.pyc` file of this interpreter.

    Raises EOFError, TypeError or ValueError when the file is damaged.
    """
    code: CodeType = marshal.loads(data[16:])  # noqa: S302  a program that the user runs
    return code


def as_import_system(function: Function) -> Function:
    """Have Python leave frames of a function out of tracebacks, as it does with importlib's.

    It knows those by their files: `remove_importlib_frames` in Python/import.c.
    """
    code = FileFinder.find_spec.__code__
    function.__code__ = function.__code__.replace(co_filename=code.co_filename)
    return function


def current_frames() -> Mapping[int, FrameType]:
    """Return the innermost frame of each thread, by the thread's number."""
    return sys._current_frames()  # noqa: SLF001  underlined, but documented


def caller(depth: int) -> FrameType:
    """Return the frame `depth` calls above whoever calls this."""
    return sys._getframe(depth + 1)  # noqa: SLF001  underlined, but documented


def handler_before_pdb(debugger: Any) -> Any:
    """Return the handler of SIGINT that `pdb.Pdb`, or a class built on it, has replaced.

    If it is not known, Python's own.
    """
    return getattr(debugger, "_previous_sigint_handler", None) or signal.default_int_handler


def have_pdb_raise(debugger: Any) -> None:
    """Have the handler of SIGINT that is `pdb.Pdb`'s raise KeyboardInterrupt, as at its prompt."""
    debugger.allow_kbdint = True


def accept(listener: socket.socket) -> tuple[int, Any]:
    """Accept a connection; return its descriptor and the client's address.

    Not `socket.accept`: that makes a socket of the class that an app may have put in the place of
    Python's own, as gevent does. Raises OSError as `accept` does.
    """
    return listener._accept()  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001


def wrap_archive_reader(wrap: Callable[[ReadDirectory], ReadDirectory]) -> None:
    """Replace the function by which `zipimport` reads the contents of an archive."""
    plain: ReadDirectory = zipimport._read_directory  # type: ignore[attr-defined]  # noqa: SLF001
    zipimport._read_directory = wrap(plain)  # type: ignore[attr-defined]  # noqa: SLF001


def record_started_processes(record: Callable[[int], object]) -> None:
    """Have the ID of each process recorded that Python code starts, by whatever function.

    Not of those that C code starts. A function that this Python lacks is left out.
    """
    for owner, name in _STARTERS:
        if (plain := getattr(owner, name, None)) is not None:
            setattr(owner, name, _recorded(plain, record))


def _recorded(plain: Callable[..., Any], record: Callable[[int], object]) -> Callable[..., Any]:
    @wraps(plain)
    def start(*args: Any, **kwargs: Any) -> Any:
        started = plain(*args, **kwargs)
        pid = started[0] if isinstance(started, tuple) else started  # `forkpty` returns two
        if pid:  # else this is the new process
            record(pid)
        return started

    return start


def forget_archives() -> None:
    """Have `zipimport` read the contents of archives afresh: they may have changed since."""
    zipimport._zip_directory_cache.clear()  # type: ignore[attr-defined]  # noqa: SLF001
    for place, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimport.zipimporter):
            del sys.path_importer_cache[place]


def spare_loggers(spared: AbstractSet[str]) -> None:
    """Have `logging.config` neither disable nor reset these loggers: its caller had none yet.

    Without the function that does so, it disables them; it does nothing while nobody has imported
    the module.
    """
    config: Any = sys.modules.get("logging.config")
    plain = getattr(config, "_handle_existing_loggers", None)
    if plain is None:
        return

    def handle_existing(existing: list[str], children: list[str], disable: Any) -> None:
        plain([name for name in existing if name not in spared], children, disable)

    config._handle_existing_loggers = handle_existing  # noqa: SLF001
