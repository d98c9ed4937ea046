"""A child and the standby after it, played by the test's own process."""

from __future__ import annotations

import builtins
import locale
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from asyncreload.child.imports.import_observer import ImportObserver
from asyncreload.child.preload.conditions import after_load
from asyncreload.child.preload.recorder import Recorder
from asyncreload.child.preload.refusal import RefusingObserver
from asyncreload.child.preload.replay import replay
from asyncreload.child.preload.session import QuietObserver
from asyncreload.cpython import event_loop_policy, set_event_loop_policy
from asyncreload.protocol import Preload, Preloaded, decode
from tests.unit.watching import Watch


class ChildRun:
    """Packages, a project, and what watches the imports of both.

    After `start`, this process is the next child: nothing of them is imported.
    """

    def __init__(self, directory: Path) -> None:
        self.packages = directory / "site-packages"
        self.project = directory / "project"
        for path in (self.packages, self.project):
            path.mkdir()
        sys.path.insert(0, str(self.packages))
        self.root = str(self.project)
        self.modules = set(sys.modules)
        self.observer = ImportObserver()
        self.watch = Watch(lambda: self.observer)
        self.replayed: Preload
        self.told: Preloaded
        """What came of the last replay."""
        self.recorder: Recorder
        self.start()

    def package(self, name: str, source: str = "") -> None:
        self._write(self.packages / name, source)

    def module(self, name: str, source: str = "") -> None:
        self._write(self.project / name, source)

    def _write(self, path: Path, source: str) -> None:
        path = path if path.suffix else path / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))

    def start(self) -> None:
        """Be the next child."""
        for name in set(sys.modules) - self.modules:
            del sys.modules[name]
        self.path(root=False)
        self.recorder = Recorder()
        self.observer = ImportObserver()

    def path(self, *, root: bool) -> None:
        """Have the project on the path, or not: a child boots without."""
        if self.root in sys.path:
            sys.path.remove(self.root)
        if root:
            sys.path.insert(0, self.root)

    @contextmanager
    def app_settings(self) -> Iterator[None]:
        """Put back afterwards what an app sets up; the next child begins without."""
        root, path, streams = logging.getLogger(), list(sys.path), (sys.stdout, sys.stderr)
        level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
        factory, kind = logging.getLogRecordFactory(), logging.getLoggerClass()
        finders, names, cwd = list(sys.meta_path), dict(vars(builtins)), os.getcwd()
        place, timeout = locale.setlocale(locale.LC_ALL), socket.getdefaulttimeout()
        loggers = {**root.manager.loggerDict}
        states = {name: vars(each).copy() for name, each in loggers.items()}
        handlers_of = {number: signal.getsignal(number) for number in signal.valid_signals()}
        hook, recursion, policy = sys.excepthook, sys.getrecursionlimit(), event_loop_policy()
        method, environ = multiprocessing.get_start_method(allow_none=True), dict(os.environ)
        try:
            with warnings.catch_warnings():
                yield
        finally:
            sys.path[:], (sys.stdout, sys.stderr) = path, streams
            root.setLevel(level)
            root.handlers[:] = handlers
            logging.disable(disabled)
            logging.setLogRecordFactory(factory)
            logging.setLoggerClass(kind)
            sys.meta_path[:] = finders
            for name in vars(builtins).keys() - names:
                delattr(builtins, name)
            os.chdir(cwd)
            locale.setlocale(locale.LC_ALL, place)
            socket.setdefaulttimeout(timeout)
            for number, handler in handlers_of.items():
                if signal.getsignal(number) != handler:
                    signal.signal(number, handler)
            sys.excepthook = hook
            sys.setrecursionlimit(recursion)
            set_event_loop_policy(policy)
            multiprocessing.set_start_method(method, force=True)
            os.environ.clear()
            os.environ.update(environ)
            time.tzset()
            for name, each in loggers.items():
                vars(each).update(states[name])
            for name in root.manager.loggerDict.keys() - loggers:
                del root.manager.loggerDict[name]

    def run(self, source: str) -> dict[str, Any]:
        """Load an app, whose imports are recorded."""
        self.observer = QuietObserver(self.recorder)
        self.path(root=True)
        names: dict[str, Any] = {"__name__": "app"}
        exec(compile(dedent(source), "app.py", "exec"), names)
        return names

    def preload(self, source: str) -> Preload:
        """Load an app, and return what there is to replay, as the next child is told it."""
        self.run(source)
        found = self.recorder.to_preload(self.root, after_load(), after_load())
        travelled = decode(found.encode())
        assert isinstance(travelled, Preload)
        assert travelled.encode() == found.encode()  # a tuple travels as a list
        return travelled

    def replay(self, preload: Preload) -> list[str]:
        """Be a standby; return which modules failed."""
        self.start()
        self.recorder.start_from(preload)
        self.observer = refusing = RefusingObserver()
        self.replayed = preload
        try:
            self.told = replay(preload, self.recorder.boot, refusing)
        finally:
            self.observer = ImportObserver()
        return list(self.told.failed)

    def replay_twice(self, preload: Preload) -> list[str]:
        """Be a standby that finds data to differ, and the next one, which knows."""
        self.replay(preload)
        return self.replay(preload.replaced(mismatches=self.told.mismatches))

    def loaded(self) -> set[str]:
        """Return what was imported since the start."""
        return set(sys.modules) - self.modules
