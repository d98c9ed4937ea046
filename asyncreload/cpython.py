"""Private interfaces of CPython's standard library; each stands here alone.

Checked against CPython 3.11 to 3.14. What a later version lacks is done without, where the
function says so.
"""

from __future__ import annotations

import atexit
import socket
import sys
import threading
import zipimport
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import FrameType
from typing import Any

ReadDirectory = Callable[[str], Any]


def run_exit_handlers() -> None:
    """Run the `atexit` handlers now: the interpreter's own end is not waited for."""
    atexit._run_exitfuncs()  # noqa: SLF001  no public function runs them


def thread_exit_handlers() -> list[Callable[[], object]]:
    """Return what `concurrent.futures` has registered to be called before `atexit` handlers.

    Without them, the idle workers of its executors are not ended early.
    """
    return list(getattr(threading, "_threading_atexits", ()))


def current_frames() -> Mapping[int, FrameType]:
    """Return the innermost frame of each thread, by the thread's number."""
    return sys._current_frames()  # noqa: SLF001  underlined, but documented


def caller(depth: int) -> FrameType:
    """Return the frame `depth` calls above whoever calls this."""
    return sys._getframe(depth + 1)  # noqa: SLF001  underlined, but documented


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
