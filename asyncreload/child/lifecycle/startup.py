"""How a child starts: it takes over what the parent leaves to it, and starts the side thread."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Self

from asyncreload.child.lifecycle.agent import Agent
from asyncreload.child.lifecycle.app_processes import AppProcesses
from asyncreload.child.lifecycle.farewells import Farewells
from asyncreload.child.lifecycle.load_state import LoadState
from asyncreload.child.lifecycle.main_thread import MainThread
from asyncreload.child.lifecycle.parent_link import ParentLink
from asyncreload.child.lifecycle.shutdown import ProcessEnd
from asyncreload.child.lifecycle.side_thread import SideThread
from asyncreload.finalization import Finalization
from asyncreload.forks import in_forks_of_app
from asyncreload.input_prompt import InputPrompt, watch_prompts
from asyncreload.liveness import LivenessCounter
from asyncreload.lobby import Lobby
from asyncreload.orphans import OrphanReaper
from asyncreload.running_requests import RunningRequests
from asyncreload.system_calls import (
    adopt_orphans,
    continue_at_parents_end,
    continue_when_readable,
    files_open_for_writing,
)


def take_over(arguments: list[str]) -> SideThread:
    """Make what the parent left us ours alone, and start the side thread."""
    return SideThread(Legacy.take_over(arguments))


class Legacy:
    """What the supervisor has left to this process, and what is made of it once in a process.

    A fork that goes on from a checkpoint inherits it as it is, but for the link: it gets another.
    """

    def __init__(self, arguments: list[str], lock: str, started: int) -> None:
        supervisor, *sockets, liveness, requests, prompt = map(int, arguments)
        control, *ours = (socket.socket(fileno=fd) for fd in sockets)
        self.supervisor: int = supervisor
        """Its process ID."""
        self._listener, self._entrance, self._exit, rendezvous, *farewells = ours
        self.rendezvous: socket.socket = rendezvous
        """Where the links to checkpoints are handed to the supervisor."""
        self.farewells: Farewells = Farewells(*farewells)
        self.lock: str = lock
        """The path of its lockfile."""
        self.started: int = started
        """When it has started this process, in ns since the epoch."""
        self._liveness = LivenessCounter(liveness)
        self._requests = RunningRequests(requests)
        self._prompt = InputPrompt(prompt)
        watch_prompts(self._prompt)
        self.main_thread: MainThread = MainThread()
        self._ours = files_open_for_writing() or frozenset()
        self.app_processes: AppProcesses = AppProcesses(OrphanReaper.install(), lock)
        self.link: ParentLink = self._link(control, is_own_parent=True)
        """To the supervisor."""

    @classmethod
    def take_over(cls, arguments: list[str]) -> Self:
        """Make what the parent left us ours alone.

        arguments: the parent's process ID, and the numbers of the descriptors that it left us.
        """
        os.environ.pop("ASYNCRELOAD_CHILD", None)
        for descriptor in map(int, arguments[1:]):
            os.set_inheritable(descriptor, False)
        lock, started = map(os.environ.pop, ("ASYNCRELOAD_LOCKFILE", "ASYNCRELOAD_STARTED"))
        legacy = cls(arguments, lock, int(started))
        in_forks_of_app(legacy._close)
        adopt_orphans()
        continue_at_parents_end()
        return legacy

    def make_agent(self, state: LoadState) -> Agent:
        """Return the agent of this process; called in the side thread's loop."""
        end = ProcessEnd(Finalization(self._ours), self.farewells)
        lobby = Lobby(self._entrance, self._exit)
        link, main = self.link, self.main_thread
        return Agent(main, link, self._listener, lobby, state, self.app_processes, end)

    def descriptors(self) -> list[int]:
        """Return the numbers of what is open here."""
        ours = (self._listener, self._entrance, self._exit, self.rendezvous)
        numbers = [one.fileno() for one in ours]
        shared = (self._liveness, self._requests, self._prompt)
        memory = [one.descriptor for one in shared]
        parts = (self.farewells, self.main_thread, self.link)
        return [*numbers, *memory, *(number for part in parts for number in part.descriptors())]

    def let_go(self) -> None:
        """In a checkpoint: close what belongs to the process from which it was forked."""
        self.main_thread.close()
        self.link.close()

    def renew(self, connection: socket.socket) -> None:
        """In a fork that goes on: have all that it does not share with others.

        connection: its end of a control channel to the supervisor.
        """
        adopt_orphans()
        continue_at_parents_end()
        continue_when_readable(connection.fileno())
        self.app_processes.begin_anew()
        self.main_thread.renew()
        pipe = self.main_thread.descriptors()
        self._ours |= {file for file in files_open_for_writing() or () if file[0] in pipe}
        self.link = self._link(connection, is_own_parent=False)

    def join_supervisors_group(self) -> None:
        """Be reached by Ctrl-C from now on, and be allowed to read from the terminal."""
        with suppress(OSError):
            os.setpgid(0, os.getpgid(self.supervisor))

    def _link(self, control: socket.socket, *, is_own_parent: bool) -> ParentLink:
        return ParentLink(
            control,
            self.supervisor,
            self.lock,
            self._liveness,
            self._requests,
            is_own_parent=is_own_parent,
        )

    def _close(self) -> None:
        # Else a worker of the app keeps the port bound, and the parent sees no end of file.
        for ours in (self._listener, self._entrance, self._exit, self.rendezvous):
            ours.close()
        self.farewells.close()
        self.let_go()
