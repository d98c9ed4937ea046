"""The child's life: boot, go, load, serve, leave."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, NoReturn

from asyncreload import process_role
from asyncreload.child.http.lobby import Lobby
from asyncreload.child.imports.app_loader import load, prepare
from asyncreload.child.imports.import_hooks import install_import_hooks
from asyncreload.child.imports.script_runner import root_of, run_script
from asyncreload.child.lifecycle.agent import Agent
from asyncreload.child.lifecycle.main_thread import MainThread
from asyncreload.child.lifecycle.parent_link import Channel
from asyncreload.child.lifecycle.pools import shut_pools
from asyncreload.child.pages.error_report import Report
from asyncreload.cpython import run_exit_handlers
from asyncreload.liveness import LivenessCounter
from asyncreload.settings import Settings
from asyncreload.system_calls import adopt_orphans
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
    agent = take_over(arguments)
    try:
        code = live(agent)
    except KeyboardInterrupt:
        code = SIGNALLED + signal.SIGINT
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    if os.getpid() != pid:
        sys.exit(code)  # a fork of the app that came back out of its import
    while True:
        with suppress(KeyboardInterrupt):  # it may come once more, or late
            leave(agent, code)


def take_over(arguments: list[str]) -> Agent:
    """Make what the parent left us ours alone: descriptors and environment."""
    parent, *sockets, liveness = map(int, arguments)
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
    os.set_inheritable(liveness, False)
    adopt_orphans()
    lobby = Lobby(entrance, exit_)
    agent = Agent(
        main_thread, Channel(control, parent), listener, lobby, lock, LivenessCounter(liveness)
    )
    install_import_hooks(agent.watch)
    agent.start()
    leave_on_signals(agent)
    return agent


def leave_on_signals(agent: Agent) -> None:
    """Let SIGTERM, and the SIGHUP of a closed terminal, run the app's `atexit` handlers, too.

    Both reach every process of the group. The app may handle them as it likes; what it forks or
    starts has the defaults.
    """
    signals = (signal.SIGTERM, signal.SIGHUP)

    def handle(number: int, _frame: FrameType | None) -> None:
        agent.end(SIGNALLED + number)

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


def live(agent: Agent) -> int:
    """Wait for our turn, load, serve; return the exit code when it is time to leave."""
    pid = os.getpid()
    home = directory()
    go = agent.wait_for_go()
    try:
        os.chdir(home)  # it may be another one by now, of the same name
    except OSError:
        return NO_HOME
    join_parents_group()
    try:
        app = load_app(agent, go)
    except BaseException as exc:
        interrupted = isinstance(exc, KeyboardInterrupt) and agent.was_told_to_end()
        if interrupted or os.getpid() != pid:
            raise
        if agent.is_ending():  # whatever the app made of the interrupt
            return agent.wait_for_end()
        agent.show(go, Report.from_exception(exc))
    else:
        if app is None or os.getpid() != pid:
            return 0
        if isinstance(app, Report):
            agent.show(go, app)
        else:
            agent.serve(app)
    process_role.has_loaded()
    return agent.wait_for_end()


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


def load_app(agent: Agent, go: Go) -> WSGIApplication | Report | None:
    """Load what the parent says; None when that was a script, and it has come to its end.

    When the last load crashed it is not repeated: what is served instead is a report of it.
    """
    settings = Settings.heard(go.settings)
    target = Target(**go.target) if go.target else None
    agent.begin(go, settings, target.root if target else root_of(settings.script))
    if go.crash:
        return Report.crash(*go.crash)

    def serve(app: WSGIApplication) -> NoReturn:
        process_role.has_loaded()
        agent.serve(app)
        raise SystemExit(agent.wait_for_end())

    process_role.become_child(serve)
    if target is None:
        agent.will_run([*settings.script[settings.script[0] == "-m" :]])
        run_script(settings.script, agent.watch)
        return None
    prepare(target)
    agent.will_run(list(sys.argv))
    return load(target)


def leave(agent: Agent, code: int) -> NoReturn:
    """Let the last requests be answered, run the app's `atexit` handlers, and end."""
    agent.drain(code)
    shut_pools()
    run_exit_handlers()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or replaced by the app
            stream.flush()
    agent.exit()
