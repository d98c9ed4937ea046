"""The life of a checkpoint: it waits, forks when it is asked to, and ends with its supervisor.

It has one thread, which waits in a system call. None of the app's code runs here: signals were
blocked before the fork, and the process ends without any handler. It is the parent of the process
that goes on from it, so it waits for that one's end and tells the supervisor the exit code.

Which process group it is in: one of its own, so that it outlives a signal to the supervisor's whole
group, and can delete the lockfile then. But in the supervisor's group as long as a process lives
that goes on from it, as that one is there, too. A group whose last process with a parent elsewhere
in the session ends is an orphan, and when a process of it is stopped at that moment, the kernel
sends SIGHUP to all of them (POSIX, `_exit`; `kill_orphaned_pgrp` in Linux's kernel/exit.c). The
supervisor may be the first process of its session, and then nobody else is such a parent.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from select import POLLIN, poll
from typing import NoReturn

from asyncreload import lockfile
from asyncreload.forks import own_fork
from asyncreload.protocol import NO_PROCESS, Resumed, ResumedEnded
from asyncreload.sockets import from_descriptor
from asyncreload.system_calls import continue_when_readable, open_process

_ONE_MESSAGE = 64
"""Bytes: what is asked is one byte, with a descriptor."""
_HANGS_UP_BEFORE_END = 200
"""Milliseconds, at most, from the end of a dying supervisor's links to its own."""


def freeze(control: socket.socket, supervisor: int, lock: str) -> socket.socket:
    """Wait as a checkpoint; return in a process that is to go on, with its link to the supervisor.

    To be called with all signals blocked; they still are when this returns.

    control: the link of the checkpoint itself. When its other end is closed, the process ends.
    supervisor: its process ID. At its end the process ends, too, though a fork of the program that
        the supervisor runs in may hold that other end.
    lock: the path of its lockfile, which may be left to us when all others are dead.
    """
    continue_when_readable(control.fileno())
    return _Frozen(control, supervisor, lock).wait()


class _Frozen:
    """What a checkpoint waits for."""

    def __init__(self, control: socket.socket, supervisor: int, lock: str) -> None:
        self._control = control
        self._supervisor = supervisor
        self._lock = lock
        self._poll = poll()
        self._poll.register(control, POLLIN)
        self._supervisors_end = open_process(supervisor)
        if self._supervisors_end is not None:
            self._poll.register(self._supervisors_end, POLLIN)
        self._children: dict[int, int] = {}

    def wait(self) -> socket.socket:
        """Return in a process that is to go on, with its link."""
        while True:
            ready = {descriptor for descriptor, _ in self._poll.poll()}
            for descriptor in self._children.keys() & ready:
                self._tell_end(descriptor)
            if self._supervisors_end in ready:
                self._end()
            if self._control.fileno() in ready and (connection := self._go_on()) is not None:
                return connection

    def _go_on(self) -> socket.socket | None:
        """Fork as it is asked; return in the fork its link, and here None."""
        if (connection := _asked(self._control)) is None:
            self._end()
        try:
            pid = own_fork()
        except OSError:  # no process can be had, or no memory for one
            pid = NO_PROCESS
        if pid == 0:
            self._let_go()
            _join_group(0)
            return connection
        connection.close()
        if pid != NO_PROCESS:
            self._join_supervisors_group()  # before that process can be told to go on
        _send(self._control, Resumed(pid).encode())
        if pid != NO_PROCESS and (descriptor := open_process(pid)) is not None:
            self._children[descriptor] = pid
            self._poll.register(descriptor, POLLIN)
        return None

    def _join_supervisors_group(self) -> None:
        with suppress(OSError):
            _join_group(os.getpgid(self._supervisor))

    def _end(self) -> NoReturn:
        """End the process; delete the lockfile if the supervisor is dead."""
        if self._supervisors_end is not None:
            polled = poll()
            polled.register(self._supervisors_end, POLLIN)
            if polled.poll(_HANGS_UP_BEFORE_END):
                lockfile.remove(self._lock)
        os._exit(0)

    def _let_go(self) -> None:
        self._control.close()
        for descriptor in (*self._children, self._supervisors_end):
            if descriptor is not None:
                os.close(descriptor)

    def _tell_end(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        os.close(descriptor)
        pid = self._children.pop(descriptor)
        with suppress(ChildProcessError):
            _, status = os.waitpid(pid, 0)
            _send(self._control, ResumedEnded(pid, os.waitstatus_to_exitcode(status)).encode())
        if not self._children:
            _join_group(0)


def _join_group(group: int) -> None:
    """Join a process group of this session; 0 stands for one of this process's own."""
    with suppress(OSError):
        os.setpgid(0, group)


def _asked(control: socket.socket) -> socket.socket | None:
    """Return the link for the process that is to go on; None when the supervisor is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _ONE_MESSAGE, 1)
    except OSError:
        return None
    if not data or not descriptors:
        return None
    return from_descriptor(descriptors[0])


def _send(control: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # it is read at once, so there is room; else the supervisor is gone
        control.sendall(data)
