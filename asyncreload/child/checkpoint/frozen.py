"""The life of a checkpoint: it waits, forks when it is asked to, and ends with its supervisor.

It has one thread, which waits in a system call. None of the app's code runs here: signals were
blocked before the fork, and the process ends without any handler. It is the parent of the process
that goes on from it, so it waits for that one's end and tells the supervisor the exit code.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress

from asyncreload.forks import own_fork
from asyncreload.protocol import Resumed, ResumedEnded
from asyncreload.system_calls import continue_when_readable, open_process

_ONE_MESSAGE = 64
"""Bytes: what is asked is one byte, with a descriptor."""


def freeze(control: socket.socket) -> socket.socket:
    """Wait as a checkpoint; return in a process that is to go on, with its link to the supervisor.

    control: the link of the checkpoint itself. When its other end is closed, the process ends.
    """
    continue_when_readable(control.fileno())
    poll = select.poll()
    poll.register(control, select.POLLIN)
    children: dict[int, int] = {}
    while True:
        ready = [number for number, _ in poll.poll()]
        for descriptor in children.keys() & set(ready):
            poll.unregister(descriptor)
            _tell_end(control, children.pop(descriptor))
            os.close(descriptor)
        if control.fileno() not in ready:
            continue
        if (connection := _asked(control)) is None:
            os._exit(0)
        try:
            pid = own_fork()
        except OSError:  # no process can be had, or no memory for one
            connection.close()
            _send(control, Resumed(0).encode())
            continue
        if pid == 0:
            for descriptor in children:
                os.close(descriptor)
            control.close()
            return connection
        connection.close()
        _send(control, Resumed(pid).encode())
        if (descriptor := open_process(pid) or 0) > 0:
            children[descriptor] = pid
            poll.register(descriptor, select.POLLIN)


def _asked(control: socket.socket) -> socket.socket | None:
    """Return the link for the process that is to go on; None when the supervisor is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, _ONE_MESSAGE, 1)
    except OSError:
        return None
    if not data or not descriptors:
        return None
    connection = socket.socket(fileno=descriptors[0])
    connection.set_inheritable(False)
    return connection


def _tell_end(control: socket.socket, pid: int) -> None:
    with suppress(ChildProcessError):
        _, status = os.waitpid(pid, 0)
        _send(control, ResumedEnded(pid, os.waitstatus_to_exitcode(status)).encode())


def _send(control: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # it is read at once, so there is room; else the supervisor is gone
        control.sendall(data)
