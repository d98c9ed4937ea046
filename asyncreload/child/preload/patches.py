"""What has been put into the standard library in the place of something: `socket.socket = Mine`.

A package takes such a thing at its import (`from socket import socket`), and keeps it. Some modules
are looked into, not all 280, which would take milliseconds at each import that the project makes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from operator import is_
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from asyncreload.child.watch.file_kinds import FileKind, kind_of, source_file

_PLAIN = frozenset(
    {bool, bytes, dict, int, list, set, str, tuple, type(None), BuiltinFunctionType, ModuleType}
)
_TAKEN_FROM = (
    *("asyncio", "asyncio.base_events", "asyncio.events", "asyncio.runners", "asyncio.tasks"),
    *("builtins", "codecs", "collections", "concurrent.futures", "contextlib", "copy", "csv"),
    *("datetime", "decimal", "email.message", "functools", "getpass", "hashlib", "hmac", "html"),
    *("http.client", "http.cookies", "http.server", "importlib", "importlib.metadata", "inspect"),
    *("io", "json", "json.decoder", "json.encoder", "locale", "logging", "logging.config"),
    *("logging.handlers", "mimetypes", "multiprocessing", "os", "pathlib", "pickle", "platform"),
    *("posixpath", "queue", "random", "re", "secrets", "select", "selectors", "shutil", "signal"),
    *("smtplib", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "tempfile"),
    *("threading", "time", "traceback", "types", "typing", "unittest.mock", "urllib.parse"),
    *("urllib.request", "uuid", "warnings", "wsgiref.handlers", "xml.etree.ElementTree"),
    *("zipfile", "zoneinfo"),
)
"""Modules of the standard library whose names packages take, and apps replace."""
_ITS_OWN = sys.stdlib_module_names | {"asyncreload"}
# Streams, what Python itself calls, and what conditions.py reads: nobody takes it at import.
_LEFT_OUT = frozenset(
    {
        "asyncio.events._event_loop_policy",
        "logging._logRecordFactory",
        "logging._loggerClass",
        "sys.__displayhook__",
        "sys.breakpointhook",
        "sys.displayhook",
        "sys.excepthook",
        "sys.stderr",
        "sys.stdin",
        "sys.stdout",
        "sys.unraisablehook",
        "threading.excepthook",
        "warnings.formatwarning",
        "warnings.showwarning",
    }
)


class Patches:
    """Finds the names in standard modules that something from elsewhere stands for."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Any]] = {}
        """The values in each module: it is looked into only when others are there."""
        self._found: dict[str, set[str]] = {}

    def find(self) -> set[str]:
        """Return the names that there are now, such as `socket.socket`."""
        for name in _TAKEN_FROM:
            if (module := sys.modules.get(name)) is not None:
                self._look_into(name, module)
        return set().union(*self._found.values()) - _LEFT_OUT

    def _look_into(self, name: str, module: object) -> None:
        try:
            values: Mapping[str, Any] = object.__getattribute__(module, "__dict__")
        except AttributeError:
            return
        seen = self._seen.get(name, ())
        if len(seen) == len(values) and all(map(is_, seen, values.values())):
            return
        self._seen[name] = list(values.values())
        self._found.pop(name, None)
        if _is_standard(module):
            items = [item for item in list(values.items()) if type(item[1]) not in _PLAIN]
            foreign = {key for key, value in items if _is_foreign(value)}
            if foreign:
                self._found[name] = {f"{name}.{key}" for key in foreign}


def _is_standard(module: object) -> bool:
    path = source_file(module)
    return path is None or kind_of(path) is FileKind.IGNORED


def _is_foreign(value: Any) -> bool:
    """Tell whether a function, a class, or that of any other object comes from elsewhere.

    `functools.wraps` gives a function the module of another; but not its globals.
    """
    kind = type(value)
    if kind is FunctionType:
        return not _is_its_own(str(value.__globals__.get("__name__")))
    of = value if issubclass(kind, type) else kind
    return not _is_its_own(str(type.__getattribute__(of, "__module__")))


@lru_cache(maxsize=1024)
def _is_its_own(home: str) -> bool:
    return home.partition(".")[0] in _ITS_OWN
