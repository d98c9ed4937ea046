"""What is imported ahead: by a standby, and recorded for it by the child that loads the app."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from asyncreload.child.helper_thread import hop
from asyncreload.child.imports.asgi_server import import_server
from asyncreload.child.imports.import_observer import Code, ImportObserver
from asyncreload.child.preload.conditions import (
    FILTERS,
    Conditions,
    after_load,
    describe_difference,
)
from asyncreload.child.preload.recorder import Recorder
from asyncreload.child.preload.refusal import RefusingObserver
from asyncreload.child.preload.replay import replay
from asyncreload.child.preload.reproduction import arrange_filters
from asyncreload.child.preload.shadowing import is_shadowed
from asyncreload.child.watch.file_kinds import FileKind
from asyncreload.child.watch.file_state import FileState
from asyncreload.phase import Phase
from asyncreload.protocol import Message, Preload, Preloading

ColdStart = Callable[[str, Conditions], NoReturn]
"""Ends this process, so that a cold one takes its place.

It is given the reason, and which conditions after the load were not those of the load replayed.
"""


class QuietObserver(ImportObserver):
    """While serving: records what requests import, and objects to nothing."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def before_module(self, path: str, name: str, kind: FileKind) -> None:
        del path
        if kind is FileKind.PACKAGE:
            self._recorder.before_import(name)

    def after_compile(self, path: str, code: Code, state: FileState) -> None:
        self._recorder.after_compile(path, code, state)


class RecordingObserver(QuietObserver):
    """While loading: records, and starts cold when what was imported ahead does not fit.

    before_project_file: called with each file of the project before anything of it is read.
    """

    def __init__(
        self,
        recorder: Recorder,
        start_cold: ColdStart,
        before_project_file: Callable[[str], object],
    ) -> None:
        super().__init__(recorder)
        self._start_cold = start_cold
        self._before_project_file = before_project_file
        self.loaded: int = 0
        """How many modules of the project were loaded."""

    def before_module(self, path: str, name: str, kind: FileKind) -> None:
        if kind is FileKind.PROJECT:
            self._before_project_file(path)
        super().before_module(path, name, kind)

    def before_other_code(self, path: str) -> bool:
        self._before_project_file(path)
        return super().before_other_code(path)

    def after_compile(self, path: str, code: Code, state: FileState) -> None:
        self.loaded += 1
        if not self._recorder.is_as_before(path, code, state):
            self._start_cold(f"{path} has changed its imports, or what it does before them", {})


class PreloadSession:
    """Imports ahead, records the load, and says when the one may not stand for the other.

    `replay`, `check_shadowed` and `check_load` are called by the main thread, `tell` by the side
    thread once `check_load` has returned.

    send: sends a message to the parent.
    before_project_file: called while loading, with each file of the project that comes next.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        start_cold: ColdStart,
        before_project_file: Callable[[str], object] = lambda _path: None,
    ) -> None:
        self._send = send
        self._start_cold = start_cold
        self._recorder = Recorder()
        self._replayed: Preload | None = None
        self._after_load: dict[str, Any] | None = None
        self._told_modules = 0
        self.replay_seconds: float = 0.0
        """How long the imports ahead have taken; 0 if there were none."""
        self._serves_asgi = False
        self._is_own = False
        self._refusing = RefusingObserver()
        self._quiet = QuietObserver(self._recorder)
        self._unobserved = ImportObserver()
        self._recording = RecordingObserver(self._recorder, start_cold, before_project_file)
        self._observers: dict[Phase, ImportObserver] = {
            Phase.BOOTING: self._refusing,
            Phase.WARM: self._refusing,
            Phase.LOADING: self._recording,
        }

    @property
    def loaded(self) -> int:
        """How many modules of the project were loaded, before the load has ended."""
        return self._recording.loaded

    def observer(self, phase: Phase) -> ImportObserver:
        """Return who observes imports in a phase."""
        return self._unobserved if self._is_own else self._observers.get(phase, self._quiet)

    def import_asgi_server(self) -> None:
        """Import what serves ASGI apps, unless that was done. It is ours, and not the app's."""
        if self._serves_asgi:
            return
        self._serves_asgi = self._is_own = True
        before = {*sys.modules}
        try:
            import_server()
        finally:
            self._is_own = False
            self._recorder.note_own(sys.modules.keys() - before)

    def replay(self, preload: Preload) -> None:
        """Import ahead what the last child has imported, and tell the parent what came of it."""
        if preload.asgi:
            self.import_asgi_server()
        if preload.modules:  # else there is nothing that the load would have to fit
            self._replayed = preload
            self._recorder.start_from(preload)

        def tell(module: str) -> None:
            self._send(Preloading(module))

        began = time.monotonic()
        outcome = replay(preload, self._recorder.boot, self._refusing, tell)
        self.replay_seconds = time.monotonic() - began
        self._send(outcome)

    def check_shadowed(self) -> None:
        """Start cold if a file of the project now has the name of a package that was replayed."""
        if self._replayed is not None and is_shadowed(self._replayed):
            self._start_cold("a file of the project has the name of a package", {})

    def note_arguments(self, argv: list[str]) -> None:
        """Note the arguments that the app is started with."""
        self._recorder.note_arguments(argv)

    def check_load(self) -> None:
        """The load has ended: start cold if it left other conditions than the one replayed."""
        if self._replayed is not None:
            for then in (self._replayed.final, self._replayed.later):
                arrange_filters(then.get(FILTERS, []))
        self._recorder.end_load()
        conditions = after_load()
        if differing := self._recorder.mismatches(conditions):
            found = {name: conditions[name] for name in differing}
            self._start_cold(f"after the load these differ: {self._described(found)}", found)
        self._after_load = conditions

    def _described(self, found: Conditions) -> str:
        then = self._replayed.final if self._replayed else {}
        return ", ".join(describe_difference(name, then.get(name), found[name]) for name in found)

    async def tell(self, root: str) -> None:
        """Tell what a standby should import: after the load, and when requests imported more."""
        if self._after_load is not None and len(sys.modules) != self._told_modules:
            self._told_modules = len(sys.modules)
            to_preload = self._recorder.to_preload
            preload = await hop(to_preload, root, self._after_load, after_load())
            self._send(preload.replaced(asgi=self._serves_asgi))
