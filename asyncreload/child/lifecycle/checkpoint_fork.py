"""Forks checkpoints of this process, and has them wait, boot and go on.

A checkpoint is a fork that stands still in the middle of a load. When it is wanted, it forks once
more (`freeze`): that process boots, stands by, and goes on with the load when it hears `Go`. All of
this happens below one call of `take`, in the import system. It returns in each of these processes:
at once in the one that was forked from, later in those that go on.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from asyncreload.child.checkpoint.frozen import freeze
from asyncreload.child.checkpoint.own_pages import own_shared_pages
from asyncreload.child.checkpoint.suspension import Suspension
from asyncreload.child.lifecycle.load import Load
from asyncreload.child.lifecycle.load_start import refuse
from asyncreload.child.lifecycle.side_loop import stand_still
from asyncreload.exit_codes import ORPHANED
from asyncreload.forks import own_fork
from asyncreload.phase import Phase
from asyncreload.protocol import Booted, CheckpointTaken, GetReady, Obstacle

if TYPE_CHECKING:
    from asyncreload.child.checkpoint.validity import Validity
    from asyncreload.child.lifecycle.load_state import LoadState
    from asyncreload.child.lifecycle.parent_orders import Preparatory
    from asyncreload.child.lifecycle.side_loop import SideLoop
    from asyncreload.child.lifecycle.startup import Legacy


class CheckpointFork:
    """Takes checkpoints. Used by the main thread, while it loads.

    descriptors: returns the numbers of what is ours, and open.
    resume: goes on with a load, or ends the process because what it rests on has changed.
    """

    def __init__(
        self,
        legacy: Legacy,
        side_loop: SideLoop,
        state: LoadState,
        validity: Validity,
        descriptors: Callable[[], list[int]],
        resume: Callable[[Load], None],
    ) -> None:
        self._legacy = legacy
        self._side_loop = side_loop
        self._state = state
        self._validity = validity
        self._descriptors = descriptors
        self._resume = resume

    def take(self, place: str) -> None:
        """Fork a checkpoint of this process, and go on; also in processes that go on from it."""
        try:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                pid, suspension = self._fork()
                if pid:
                    self._hand_over(pid, theirs, suspension)
                else:
                    theirs.close()
                    self._live_as_checkpoint(ours, place)
        except OSError as exc:  # no descriptor is left, or no process can be had
            self._tell_obstacle(place, exc)
            return
        if pid == 0:
            self._go_on_loading(suspension)

    def _tell_obstacle(self, place: str, exc: OSError) -> None:
        self._side_loop.agent.link.send(Obstacle(f"no checkpoint at {place}: {exc.strerror}"))

    # --- in the process that is forked from ----------------------------------------------------

    def _fork(self) -> tuple[int, Suspension]:
        """Fork while our other threads stand still, and nothing waits to be written.

        Not before they do is it noted what the app has open: they open files for a moment.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the app's own, perhaps
                stream.flush()
        self._side_loop.agent.shutdown.flush_files()
        with self._side_loop.parked():
            self._state.modules.scan(is_loading=True)
            suspension = Suspension.begin(self._descriptors())
            try:
                return own_fork(), suspension
            except BaseException:
                suspension.undo()
                raise

    def _hand_over(self, pid: int, link: socket.socket, suspension: Suspension) -> None:
        """Give the supervisor the link to a checkpoint. Not by `send_fds`, which has no flags."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", link.fileno()))
        try:
            self._legacy.app_processes.spare(pid)
            with suppress(OSError):  # it is gone, or too busy: no matter
                told = [str(pid).encode()]
                self._legacy.rendezvous.sendmsg(told, [rights], socket.MSG_DONTWAIT)
        finally:
            suspension.undo()

    # --- in the checkpoint, and in a process that goes on from it ------------------------------

    def _live_as_checkpoint(self, control: socket.socket, place: str) -> None:
        """Wait as a checkpoint, then boot; return in a process that goes on, and stands by.

        Whatever happens here, nothing is raised: the code of the app would meet it.
        """
        try:
            connection = self._freeze(control, place)
            self._legacy.renew(connection)
            self._side_loop.renew()
            agent = self._side_loop.agent
            agent.life.advance(Phase.WARM)
            agent.link.send(Booted(self._state.modules.ran_at_start))
        except BaseException:  # noqa: BLE001  such as a supervisor that is gone
            os._exit(ORPHANED)

    def _freeze(self, control: socket.socket, place: str) -> socket.socket:
        """Wait as a checkpoint; return in a process that goes on, with its link."""
        with suppress(OSError):
            os.setpgid(0, 0)
        load = self._side_loop.agent.life.load
        assert load is not None  # noqa: S101  for the type checker: this is in the midst of it
        self._side_loop.bury()
        self._legacy.let_go()
        read = (*self._state.baselines.loaded(), *self._validity.inputs.paths())
        seconds = (time.time_ns() - load.began) / 1e9
        loaded = self._state.preload.loaded
        told = CheckpointTaken(os.getpid(), place, read, loaded, seconds)
        control.sendall(told.encode())
        return freeze(control, self._legacy.supervisor, self._legacy.lock)

    def _go_on_loading(self, suspension: Suspension) -> None:
        """Wait for our turn, then go on with the load, unless what it rests on has changed.

        Until the load goes on nothing is raised: the app's code would handle what is not its own.
        """
        try:
            go = self._side_loop.agent.orders.next_go(self._get_ready)
            self._end_suspension(suspension)
            self._legacy.join_supervisors_group()
            self._resume(Load.of(go, loaded_before=self._state.preload.loaded))
        except BaseException:  # noqa: BLE001  an interrupt is one, too
            shutdown = self._side_loop.agent.shutdown
            if shutdown.code is not None:
                self._side_loop.call(shutdown.main_has_left)
                stand_still()
            traceback.print_exc()
            os._exit(ORPHANED)

    def _get_ready(self, order: Preparatory) -> None:
        """Do what makes the next steps quick."""
        if isinstance(order, GetReady):
            orders = self._side_loop.agent.orders
            self._validity.differing()  # what it finds will be found again
            own_shared_pages(lambda: not orders.is_any_waiting)

    def _end_suspension(self, suspension: Suspension) -> None:
        """Be as the process was before it became a checkpoint; in all threads, as to signals."""
        try:
            suspension.end()
        except OSError as exc:  # no descriptor is left
            refuse(self._side_loop.agent, f"a file that is read cannot be opened ({exc.strerror})")
        self._side_loop.hear_signals(suspension.signals)
