"""The child's life, from its start to its end: boot, wait for `Go`, load, serve, leave."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from asyncreload import process_role
from asyncreload.child.imports.app_loader import app_of, load, prepare
from asyncreload.child.imports.cached_templates import renew_cached_templates
from asyncreload.child.imports.django_app import import_urls, renew_templates
from asyncreload.child.imports.script_runner import run_script
from asyncreload.child.imports.unguarded_servers import (
    GUARD,
    NAME_OURS,
    refuse_unguarded_servers,
)
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.shutdown import end_executors
from asyncreload.child.lifecycle.side_thread import SideThread
from asyncreload.child.lifecycle.signals import end_on_signals
from asyncreload.child.lifecycle.startup import take_over
from asyncreload.child.pages.error_report import Report
from asyncreload.cpython import run_exit_handlers
from asyncreload.current_directory import current_directory
from asyncreload.errors import AbsentTargetError, MissingExtraError
from asyncreload.exit_codes import INTERRUPTED, NO_DIRECTORY, NOT_SERVED
from asyncreload.target import Target

if TYPE_CHECKING:
    from asyncreload.child.imports.app_loader import App
    from asyncreload.protocol import Go


def main(arguments: list[str]) -> None:
    """Live a child's life. The arguments: the parent's number, and the descriptors it left us."""
    sys.modules["__main__"] = ModuleType("__main__")  # the app's, and no business of ours
    side_thread = take_over(arguments)
    end_on_signals(side_thread.end)
    try:
        code = live(side_thread)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    if os.getpid() != side_thread.pid:
        sys.exit(code)  # a fork of the app that came back out of its import
    while True:
        with suppress(KeyboardInterrupt):  # it may come once more, or late
            leave(side_thread, code)


def live(side_thread: SideThread) -> int:
    """Wait for our turn, load, serve; return the exit code when it is time to leave.

    This is the way of a load that fails:

    1. *Raised*, in the main thread. Whatever comes out of the load is a failure: also `SystemExit`,
       and an error in an environment file or at the start of an ASGI app. It is none if this
       process is to end: then the app was interrupted. Nor if the first load lacks an extra, or
       finds no module of the name that was typed: all ends. A script may also end without a
       failure: it has served, or it has come to its end, and so do we.
    2. *Watched.* `SideThread.show` hands the report to `LoadOutcome`, in the side thread. That has
       each file watched that may mend the load: all Python files of the project, whether they were
       read or not, and what the report names.
    3. *Quiet.* If a save has led to the load, that save may be half written: the failure is told
       after 0.3 s without a change. A change in this time is a save like any other.
    4. *Told.* `LoadFailed` goes to the parent, and from there to the terminal and to
       `Supervisor.events`.
    5. *Shown.* The front end answers every request with the report.
    6. *Mended*, by a save, whose way is told in watch/change_monitor.py; the installation of a
       package counts as one.

    A request may import code that fails, too (`RequestErrors`). Then the load has failed after all,
    and steps 2, 4 and 5 follow (`LoadOutcome.show_late`). That request is held until the failure is
    told, for 5 s at most; for ASGI, all that run in the app's loop are. If an app crashes, the next
    child shows a report of that: see parent/run_loop.py.
    """
    directory = current_directory()
    go = side_thread.wait_for_go()
    try:
        os.chdir(directory)  # it may be another one by now, of the same name
    except OSError:
        return NO_DIRECTORY
    side_thread.join_supervisors_group()
    try:
        app = load_app(side_thread, go)
        if app is None or os.getpid() != side_thread.pid:
            return 0
        if isinstance(app, Report):
            side_thread.show(app)
        else:
            side_thread.serve(app)
    except BaseException as exc:
        if os.getpid() != side_thread.pid:
            raise
        if _is_interrupt(exc) and side_thread.was_told_to_end():
            raise KeyboardInterrupt from exc
        if side_thread.is_ending():  # whatever the app made of the interrupt
            return side_thread.wait_for_end()
        if isinstance(exc, MissingExtraError | AbsentTargetError) and side_thread.give_up(exc):
            return NOT_SERVED
        side_thread.show(Report.from_exception(exc))
    process_role.has_loaded()
    return side_thread.wait_for_end()


def _is_interrupt(exc: BaseException) -> bool:
    """Tell whether this is Ctrl-C, or what a door has made of it (flask.py)."""
    return isinstance(exc, KeyboardInterrupt) or isinstance(exc.__cause__, KeyboardInterrupt)


def load_app(side_thread: SideThread, go: Go) -> App | Report | None:
    """Load what the parent says; None when that was a script, and it has come to its end.

    When the last load crashed it is not repeated: what is served instead is a report of it.
    """
    what = Load.of(go)
    settings = what.settings
    target = Target(**go.target) if go.target else None
    side_thread.begin_load(what)
    if go.crash:
        return Report.crash(*go.crash)

    def see_to_framework(app: object) -> None:
        import_urls()
        if not settings.door:
            renew_templates(what.root)
        renew_cached_templates(app)

    def serve(app: object) -> NoReturn:
        see_to_framework(app)
        process_role.has_loaded()
        side_thread.serve(app_of(app, settings.interface))
        raise SystemExit(side_thread.wait_for_end())

    process_role.become_child(serve, side_thread)
    refuse_unguarded_servers(process_role.is_loading, GUARD if target else NAME_OURS)
    if target is None:
        if settings.door:
            import_module(f"asyncreload.{settings.door}.in_child").prepare(what.root)
        side_thread.note_arguments([*settings.script[settings.script[0] == "-m" :]])
        run_script(settings.script, side_thread.hooks)
        return None
    prepare(target)
    side_thread.note_arguments(list(sys.argv))
    app = load(target, settings.interface)
    see_to_framework(app)
    return app


def leave(side_thread: SideThread, code: int) -> NoReturn:
    """Let the last requests be answered and the app shut down, run `atexit` handlers, and end.

    What the interpreter's own end would do after them is done as well: see finalization.py.
    """
    side_thread.drain(code)
    if not side_thread.shut_down_app():  # what runs on may need them
        end_executors()
    if not side_thread.was_cut_off:
        run_exit_handlers()
        side_thread.finalize()
    side_thread.exit()
