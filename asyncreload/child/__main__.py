"""The child's life: boot, go, load, serve, leave."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, NoReturn

from asyncreload import role
from asyncreload.child.channel import Channel
from asyncreload.child.load import load, prepare
from asyncreload.child.loaders import watch_loaders
from asyncreload.child.main_thread import MainThread
from asyncreload.child.orphans import adopt_orphans
from asyncreload.child.pools import shut_pools
from asyncreload.child.report import Report
from asyncreload.child.script import root_of, run_script
from asyncreload.child.server import Lobby
from asyncreload.child.side import Side
from asyncreload.pulse import Pulse
from asyncreload.settings import Settings
from asyncreload.target import Target

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from asyncreload.protocol import Go

SIGNALLED = 128
NO_HOME = 1
"""Ends a child that has nowhere to work; the parent then waits until one can be started."""


def main(arguments: list[str]) -> None:
    """Live a child's life. The arguments: the parent's number, and the descriptors it left us."""
    pid = os.getpid()
    sys.modules["__main__"] = ModuleType("__main__")  # the app's, and no business of ours
    side = take_over(arguments)
    try:
        code = live(side)
    except KeyboardInterrupt:
        code = SIGNALLED + signal.SIGINT
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    if os.getpid() != pid:
        sys.exit(code)  # a fork of the app that came back out of its import
    while True:
        with suppress(KeyboardInterrupt):  # it may come once more, or late
            leave(side, code)


def take_over(arguments: list[str]) -> Side:
    """Make what the parent left us ours alone: descriptors and environment."""
    parent, *sockets, pulse = map(int, arguments)
    control, listener, entrance, exit_ = (socket.socket(fileno=fd) for fd in sockets)
    main_thread = MainThread()

    def close_in_fork() -> None:
        # Else a worker of the app keeps the port bound, and the parent sees no end of file.
        for ours in (control, listener, entrance, exit_, main_thread):
            ours.close()

    for ours in (control, listener, entrance, exit_):
        ours.set_inheritable(False)
    os.register_at_fork(after_in_child=close_in_fork)
    os.environ.pop("ASYNCRELOAD_CHILD", None)
    lock = os.environ.pop("ASYNCRELOAD_LOCKFILE")
    os.set_inheritable(pulse, False)
    adopt_orphans()
    lobby = Lobby(entrance, exit_)
    side = Side(main_thread, Channel(control, parent), listener, lobby, lock, Pulse(pulse))
    watch_loaders(side.watch)
    side.start()
    leave_on_signals(side)
    return side


def leave_on_signals(side: Side) -> None:
    """Let SIGTERM, and the SIGHUP of a closed terminal, run the app's `atexit` handlers, too.

    Both reach every process of the group. The app may handle them as it likes; what it forks or
    starts has the defaults.
    """
    signals = (signal.SIGTERM, signal.SIGHUP)

    def handle(number: int, _frame: FrameType | None) -> None:
        side.end(SIGNALLED + number)

    def forget() -> None:
        for number in signals:
            if signal.getsignal(number) is handle:
                signal.signal(number, signal.SIG_DFL)

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So do shells with what they start in the background; but then nothing could interrupt us.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in signals:
        if signal.getsignal(number) is signal.SIG_DFL:  # else it was started by nohup
            signal.signal(number, handle)
    os.register_at_fork(after_in_child=forget)


def live(side: Side) -> int:
    """Wait for our turn, load, serve; return the exit code when it is time to leave."""
    pid = os.getpid()
    home = directory()
    go = side.wait_for_go()
    try:
        os.chdir(home)  # it may be another one by now, of the same name
    except OSError:
        return NO_HOME
    join_parents_group()
    try:
        app = load_app(side, go)
    except BaseException as exc:
        interrupted = isinstance(exc, KeyboardInterrupt) and side.was_told_to_end()
        if interrupted or os.getpid() != pid:
            raise
        if side.is_ending():  # whatever the app made of the interrupt
            return side.wait_for_end()
        side.show(go, Report.from_exception(exc))
    else:
        if app is None or os.getpid() != pid:
            return 0
        if isinstance(app, Report):
            side.show(go, app)
        else:
            side.serve(app)
    role.has_loaded()
    return side.wait_for_end()


def directory() -> str:
    """Return the current directory; "" when that has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def join_parents_group() -> None:
    """Be reached by Ctrl-C from now on, and be allowed to read from the terminal."""
    with suppress(OSError):
        os.setpgid(0, os.getpgid(os.getppid()))


def load_app(side: Side, go: Go) -> WSGIApplication | Report | None:
    """Load what the parent says; None when that was a script, and it has come to its end.

    When the last load crashed it is not repeated: what is served instead is a report of it.
    """
    settings = Settings.heard(go.settings)
    target = Target(**go.target) if go.target else None
    side.begin(go, settings, target.root if target else root_of(settings.script))
    if go.crash:
        return Report.crash(*go.crash)

    def serve(app: WSGIApplication) -> NoReturn:
        role.has_loaded()
        side.serve(app)
        raise SystemExit(side.wait_for_end())

    role.become_child(serve)
    if target is None:
        side.will_run([*settings.script[settings.script[0] == "-m" :]])
        side.wait_for_predecessors_end()  # of a script, not all that is run is looked at first
        run_script(settings.script, side.watch)
        return None
    prepare(target)
    side.will_run(list(sys.argv))
    return load(target)


def leave(side: Side, code: int) -> NoReturn:
    """Let the last requests be answered, run the app's `atexit` handlers, and end."""
    side.drain(code)
    shut_pools()
    atexit._run_exitfuncs()  # noqa: SLF001  the interpreter's own end is not waited for
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or replaced by the app
            stream.flush()
    side.exit()
