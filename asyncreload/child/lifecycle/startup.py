"""How a child starts: it takes over what the parent leaves to it, and starts the side thread."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from asyncreload.child.http.lobby import Lobby
from asyncreload.child.lifecycle.agent import Agent
from asyncreload.child.lifecycle.app_processes import AppProcesses
from asyncreload.child.lifecycle.main_thread import MainThread
from asyncreload.child.lifecycle.parent_link import ParentLink
from asyncreload.child.lifecycle.shutdown import ProcessEnd
from asyncreload.child.lifecycle.side_thread import SideThread
from asyncreload.finalization import Finalization
from asyncreload.liveness import LivenessCounter
from asyncreload.orphans import OrphanReaper
from asyncreload.system_calls import (
    adopt_orphans,
    continue_at_parents_end,
    files_open_for_writing,
)


def take_over(arguments: list[str]) -> SideThread:
    """Make what the parent left us ours alone, and start the side thread.

    arguments: the parent's process ID, and the numbers of the descriptors that it left us.
    """
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
    continue_at_parents_end()
    app_processes = AppProcesses(OrphanReaper.install(), lock)
    link = ParentLink(control, parent, lock, LivenessCounter(liveness))
    lobby = Lobby(entrance, exit_)

    def make_agent(side_thread: SideThread) -> Agent:
        end = ProcessEnd(Finalization(files_open_for_writing() or frozenset()))
        return Agent(main_thread, link, listener, lobby, side_thread.start_cold, app_processes, end)

    return SideThread(main_thread, make_agent)


def join_parents_group() -> None:
    """Be reached by Ctrl-C from now on, and be allowed to read from the terminal."""
    with suppress(OSError):
        os.setpgid(0, os.getpgid(os.getppid()))
