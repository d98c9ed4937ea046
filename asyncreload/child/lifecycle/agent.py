"""The side thread: our event loop, beside the main thread that belongs to the app.

Here the control channel is heard, files and lockfile are watched, connections are accepted, and
the process is brought to its end. It runs from the first instant, so that an import that never
ends is still watched and can be interrupted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from _thread import start_new_thread
from binascii import crc32
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from asyncreload import lockfile, protocol
from asyncreload.child.http.front_end import FrontEnd
from asyncreload.child.imports.environment_files import read_files
from asyncreload.child.lifecycle.debugger import is_at_prompt
from asyncreload.child.lifecycle.shutdown import ATEXIT, INTERRUPTED, ORPHANED, RELOAD, Shutdown
from asyncreload.child.preload.fingerprint import snapshot
from asyncreload.child.preload.replay import Recorder, fits, is_shadowed, replay
from asyncreload.child.watch.debounce import quiet
from asyncreload.child.watch.file_state import FileState
from asyncreload.child.watch.filesystems import is_local
from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.polling import LimitError
from asyncreload.child.watch.watch import SWEEP, Code, Watch
from asyncreload.child.watch.watch_reasons import reasons
from asyncreload.child.worker_threads import hop
from asyncreload.cpython import forget_archives
from asyncreload.system_calls import open_process

if TYPE_CHECKING:
    import socket
    from wsgiref.types import WSGIApplication

    from asyncreload.child.http.lobby import Lobby
    from asyncreload.child.lifecycle.main_thread import MainThread
    from asyncreload.child.lifecycle.parent_link import Channel
    from asyncreload.child.pages.error_report import Report
    from asyncreload.child.watch.inotify import Events
    from asyncreload.liveness import LivenessCounter
    from asyncreload.settings import Settings

# All in seconds.
GUARD = 1.0  # between two looks at the lockfile and at the parent
STANDBY_GUARD = 2.0  # between two looks at the parent by a standby that cannot hear of its end
HOLD = 0.3  # without a change before a failed load is shown
HOLD_STEP = 0.02
SLOWEST = 5.0  # between two looks, however much they cost
INTERRUPT = 0.5  # until the Ctrl-C that reached us has reached the parent, and it has told
ALONE = 0.02  # that a load has the GIL for itself
SLOW = 3.0  # until a load is told to be slow
LEARNS = 0.02  # after a load, until bytes are read that it has not: the first answer goes before
SETTLED = 0.05  # after a load, until there is time for other things than requests

BUDGET, QUIET_BUDGET = 0.0012, 0.0006
"""The share of a core that looking at files may cost; and when nobody seems to wait for news."""
QUIET = 5.0
"""Seconds without a request after which nobody seems to: the next one leads to a look itself."""
WAKE = 0.0001
"""Seconds of CPU that it takes to wake up for a look."""
DEBOUNCE = 0.01
"""Seconds from the first that is heard of a save until its end can be expected."""
FEW = 500
"""Files of which the parent can be told before the first request without delaying it."""


class Agent:
    """What the main thread asks of the side thread. Public methods are called by the former."""

    def __init__(
        self,
        main: MainThread,
        channel: Channel,
        listener: socket.socket,
        lobby: Lobby,
        lock: str,
        liveness: LivenessCounter,
    ) -> None:
        self._main = main
        self._liveness = liveness
        self._channel = channel
        self._listener = listener
        self._lobby = lobby
        self._lock = lock
        self.watch: Watch = Watch()
        self._go: protocol.Go | None = None
        self._preload: protocol.Preload | None = None
        self._recorder = Recorder()
        self._final: dict[str, Any] = {}
        self._modules = 0
        self._env_files: list[str] = []
        self._settings: Settings
        self._interval, self._grace = 1.0, ATEXIT  # until the settings are known
        self._root = ""
        self._address = ("", 0)
        self._began = 0
        self._asked = 0.0
        self._loading = False
        self._suspicious = False
        self._nudge: asyncio.Event
        self._events: Events | None = None
        self._may_use_events = False
        self._holding = False
        self._our_turn: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._front_end: FrontEnd
        self._shutdown: Shutdown
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Start the side thread."""
        up = threading.Event()
        start_new_thread(self._live, (up,))
        up.wait()

    def wait_for_go(self) -> protocol.Go:
        """Wait until the predecessor is gone. Raises SystemExit when the supervisor ends first."""
        self._channel.send(protocol.Booted())
        is_local(os.sep)  # reads the table of mounts, while there is time
        while self._go is None:
            self._main.wait()
            if self._shutdown.code is not None:
                raise SystemExit(self._shutdown.code)
            if self._preload is not None:
                self._warm(self._preload)
                self._preload = None
        return self._go

    def _warm(self, preload: protocol.Preload) -> None:
        self.watch.refuses_project = True
        failed = replay(preload, self._recorder, lambda: self.watch.refused)
        self.watch.refuses_project = False
        said = self._recorder
        self._channel.send(
            protocol.Preloaded(tuple(failed), fits(said), said.stopped, said.mismatches)
        )

    def will_run(self, argv: list[str]) -> None:
        """Note the arguments that the app is started with."""
        self._recorder.argv = argv

    def begin(self, go: protocol.Go, settings: Settings, root: str) -> None:
        """Watch from now on; in a burst of changes, wait for its end; set the app's variables.

        Raises `EnvironmentFileError`.
        """
        self._settings, self._root, self._address = settings, root, go.address
        self._interval, self._grace = settings.interval, settings.grace
        self._env_files = [os.path.abspath(path) for path in settings.env_file]
        self._loading = True
        self._channel.send(protocol.Going())
        self._may_use_events = settings.inotify
        self.watch.since, self.watch.blamed = time.time_ns(), go.changed
        self.watch.adopt(go.watched)
        if is_shadowed(self._recorder):
            self._start_cold("a file of the project has the name of a package")
        if go.settle:
            settled = quiet(root, go.changed, asyncio.sleep)
            asyncio.run_coroutine_threadsafe(settled, self._loop).result()
        forget_archives()
        # After the burst, so that it is over; before the load, so that what it reads is as it was.
        self.watch.look_for(Patterns.of(settings.watch, settings.ignore, os.getcwd()))
        self._began = time.time_ns()
        if not go.crash:
            self._read_environment(go)
        # Not before: what reads the environment files is imported by us, not by the app.
        self.watch.before_package = self._recorder.before_import
        self.watch.after_compile = self._compare

    def _read_environment(self, go: protocol.Go) -> None:
        """Set the variables of the environment files; from now on these are watched."""
        for path in read_files(self._env_files, self.watch):
            if not go.changed or path in go.changed:
                self._tell(f"there is no {path}: going on without it")

    def _compare(self, path: str, code: Code, known: FileState) -> None:
        """Start cold if the project does something else now before its imports."""
        if not self._recorder.is_as_before(path, code, known) and self._loading:
            self._start_cold(f"{path} has changed above its last import")

    def _start_cold(self, reason: str) -> NoReturn:
        self._channel.send(protocol.StartCold(reason))
        self.end(RELOAD)
        raise SystemExit(self.wait_for_end())

    def serve(self, app: WSGIApplication) -> None:
        """Answer requests with the app from now on; unless the replay did not fit."""
        self._final = snapshot(self._root)
        self.watch.after_compile = self._recorder.note
        if (replayed := self._recorder.preload) is not None:
            now, then = self._final, replayed.final
            if differing := [name for name in now if now[name] != then[name]]:
                self._start_cold(f"after the load these differ: {', '.join(differing)}")
        self._loop.call_soon_threadsafe(self._serve, app)

    def show(self, go: protocol.Go, report: Report) -> None:
        """Answer every request with the report from now on."""
        self._loop.call_soon_threadsafe(lambda: self._spawn(self._show(go, report)))

    def end(self, code: int) -> None:
        """Begin to leave. May be called from a signal handler."""
        self._loop.call_soon_threadsafe(self._end, code)

    def wait_for_end(self) -> int:
        """Wait until it is time to leave; return the exit code."""
        while self._shutdown.code is None:
            try:
                self._main.wait()
            except KeyboardInterrupt:
                if self._shutdown.code is None and not is_at_prompt():
                    raise
        return self._shutdown.code

    def is_ending(self) -> bool:
        """Tell whether the process is on its way out."""
        return self._shutdown.code is not None

    def was_told_to_end(self) -> bool:
        """Tell whether the parent wants an end, too, now that there was a KeyboardInterrupt."""
        return self._shutdown.drained.wait(INTERRUPT)

    def drain(self, code: int) -> None:
        """Take no more requests; wait until those in flight are answered, but not for long."""
        if self._shutdown.code is None:
            self.end(code)
        while not self._shutdown.drained.wait(1):
            pass

    def exit(self) -> NoReturn:
        """Have the process ended: no code of the user's runs in the main thread any more."""
        self._loop.call_soon_threadsafe(self._shutdown.main_has_left)
        while True:
            time.sleep(60)

    # --- the loop ----------------------------------------------------------------------------

    def _live(self, up: threading.Event) -> None:
        try:
            # Not `asyncio.run`, which asks `threading` for the current thread, and so names it.
            asyncio.new_event_loop().run_until_complete(self._run(up))
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)  # a child without its side thread would be deaf and blind

    async def _run(self, up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        # Unlike that of any other child; but with one parent they begin alike, by the lockfile.
        state = f"{crc32(self._lock.encode()):08x}{os.urandom(8).hex()}"
        self._nudge = asyncio.Event()
        self._front_end = FrontEnd(self._listener, self._lobby, self, state)
        self._shutdown = Shutdown(self._main, self._channel, self._front_end)
        self._channel.listen(self._loop, self._on_message, self._orphaned)
        self._our_turn = asyncio.Event()
        if not (hears_end := self._hear_parents_end()):
            self._guard()  # it may have ended already
        # The first hop to a thread starts it, and imports for that.
        await hop(self.watch.count)
        up.set()
        while True:
            if not self._go and hears_end:
                await self._our_turn.wait()
            await asyncio.sleep(GUARD if self._go else STANDBY_GUARD)
            if self._go:  # a standby's beat would hide that the child at work is silent
                self._liveness.beat()
            self._guard()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_message(self, message: protocol.Message) -> None:
        match message:
            case protocol.Go():
                self._go = message
                self._main.wake()
                self._our_turn.set()
                self._loop.call_later(ALONE, self._begin)
            case protocol.Preload():
                self._preload = message
                self._main.wake()
            case protocol.KnownFiles():
                self.watch.trust(message.files)
            case protocol.Reload():
                self._changed([])
            case protocol.End():
                self._end(message.code)
            case protocol.Interrupt() if is_at_prompt():
                self._channel.send(protocol.Debugging())
            case protocol.Interrupt():
                self._end(INTERRUPTED)
            case protocol.Look():
                self._spawn(self._look(message.number))
            case protocol.Ping():
                self._channel.send(protocol.Pong())

    def _end(self, code: int) -> None:
        self._shutdown.begin(code, self._grace, at_work=self._go is not None)

    # --- is the parent alive -----------------------------------------------------------------

    def _hear_parents_end(self) -> bool:
        """Ask the system to tell when the parent has ended; return whether it will."""
        parent = open_process(self._channel.parent)
        if parent is None:
            return False

        def readable() -> None:
            self._loop.remove_reader(parent)
            self._orphaned()

        self._loop.add_reader(parent, readable)
        return True

    def _guard(self) -> None:
        if os.getppid() != self._channel.parent:
            self._orphaned()
            return
        verdict = lockfile.judge(self._lock, self._interval, time.time())
        if verdict is lockfile.Verdict.GONE:
            self._end(ORPHANED)
        elif verdict is lockfile.Verdict.STALE and not self._suspicious:
            # A suspended laptop, or a host whose loop is blocked, is not dead.
            self._tell(f"the lockfile {self._lock} was not touched lately; going on")
        self._suspicious = verdict is lockfile.Verdict.STALE

    def _orphaned(self) -> None:
        lockfile.remove(self._lock)
        self._end(ORPHANED)

    def _tell(self, text: str, *, once: bool = False) -> None:
        self._channel.send(protocol.Notice(text, once))

    # --- watch -------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._began:
            self._loop.call_later(ALONE, self._begin)
            return
        self._asked = time.monotonic()
        self._loop.call_later(SLOW, self._tell_if_slow)
        self._spawn(self._poll())

    async def _poll(self) -> None:
        # Not at once: baselines are taken as files are read.
        await asyncio.sleep(self._interval)
        while self._shutdown.code is None:
            free = False
            try:
                if suspects := self.watch.look_at_all(time.monotonic()):
                    await self._check(suspects)
                elif self._holding:
                    self._holding = False
                    self._front_end.resume()  # the change was taken back
                if self.watch.is_behind():
                    await hop(self.watch.catch_up)
                if self.watch.has_learned():
                    self._tell_paths()
                await self._tell_preload()
                free = not self._loading and self._tend()
            except Exception:  # noqa: BLE001  whatever it is, the watch must go on
                self._tell(f"a look at the files failed:\n{traceback.format_exc()}")
            await self._pause(free=free)

    def _tend(self) -> bool:
        """Let the kernel tell of changes if it can; tell whether there is nothing else to do."""
        try:
            if self._events is None and self._may_use_events:
                self._events = self.watch.use_events(self._root)
                if self._events is not None:
                    os.register_at_fork(after_in_child=self._events.close)
                    self._shutdown.queue = self._events.descriptor
                    self.watch.on_growth = lambda: self._loop.call_soon_threadsafe(self._nudge.set)
                self._may_use_events = False
            return self.watch.tend() and not (self._holding or self.watch.is_behind())
        except LimitError as exc:
            limit = f"files are looked at one by one, as inotify is at its limit: {exc}"
            self._tell(limit, once=True)
            self.watch.use_polling()
            self._events, self._may_use_events = None, False
            self._shutdown.queue = None  # its number may be another file's from now on
            return False

    async def _pause(self, *, free: bool) -> None:
        """Wait until it is time for the next look."""
        if not free or self._events is None:
            pause = min((WAKE + self.watch.cost) / self._budget(), SLOWEST)
            # What is still to be learned makes the next looks precise: it is not put off.
            await asyncio.sleep(
                self._interval if self.watch.is_behind() else max(self._interval, pause)
            )
            return
        await asyncio.sleep(self._interval)  # an app that writes to its log all the time is no news
        if self._shutdown.code is not None:
            return  # and the queue may be closed by now
        queue = self._events.descriptor
        self._loop.add_reader(queue, self._nudge.set)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nudge.wait(), SWEEP)
        self._loop.remove_reader(queue)
        self._nudge.clear()
        await asyncio.sleep(DEBOUNCE)

    def _budget(self) -> float:
        waits = self._front_end.has_listeners or time.monotonic() - self._asked < QUIET
        return BUDGET if waits else QUIET_BUDGET

    def check(self) -> list[str]:
        """See `Gate`. What the request imports is to be looked at soon, too."""
        self._asked = time.monotonic()
        self._nudge.set()
        return self.watch.look()

    async def stale(self, suspects: list[str]) -> bool:
        """See `Gate`. Begin a reload if files have changed."""
        changed = await self.watch.confirm(suspects)
        if changed:
            self._changed(changed)
        return bool(changed)

    async def _look(self, number: int) -> None:
        """Look at the files, and tell the parent if nothing has changed."""
        suspects = self.watch.look()
        changed = suspects and await self._check(suspects)
        if not changed and not self._loading and self._shutdown.code is None:
            self._channel.send(protocol.Fresh(number))

    async def _check(self, suspects: list[str]) -> bool:
        """Reload if files have changed; tell whether any did."""
        changed = await self.watch.confirm(suspects)
        if self._final and all(map(self.watch.is_place, changed)):
            # A new package is nothing to an app that works, but may mend one that failed to load.
            if changed:
                self._channel.send(protocol.PackagesChanged())
            return False
        if changed:
            self._changed(changed)
        return bool(changed)

    def _changed(self, paths: list[str]) -> None:
        if self._shutdown.code is not None:
            return
        if is_at_prompt():
            self._hold(paths)
            return
        # What a standby has imported, it may have imported under other variables.
        packages = any(self.watch.is_package(path) or path in self._env_files for path in paths)
        files = self.watch.changes(paths)
        self._channel.send(protocol.FilesChanged(files, self._loading, packages))
        self._end(RELOAD)

    def _hold(self, paths: list[str]) -> None:
        """Leave somebody who debugs in peace; the requests that need the new code wait as well."""
        if not self._holding:
            names = ", ".join(os.path.basename(path) for path in paths[:3])
            cause = f"{names} changed" if names else "asked to reload"
            self._tell(f"{cause}; reloading when you leave the debugger")
        self._holding = True

    def _tell_if_slow(self) -> None:
        if self._loading and self._shutdown.code is None and not is_at_prompt():
            place = self._main.place()
            self._tell(f"still loading after {SLOW:g} s" + (f", at {place}" if place else ""))

    # --- serve -------------------------------------------------------------------------------

    def _serve(self, app: WSGIApplication) -> None:
        if self._shutdown.code is not None:
            return
        self._loading = False
        self._front_end.serve(app, self._settings, self._address)
        seconds = (time.time_ns() - self._began) / 1e9
        self._channel.send(protocol.Loaded(seconds, self.watch.count()))
        self._spawn(self._settle())

    async def _show(self, go: protocol.Go, report: Report) -> None:
        since = go.since or self._began
        await hop(self.watch.widen, self._root, report.mending, since, go.changed)
        held = go.changed and not go.crash
        if self._shutdown.code is not None or (held and not await self._holds()):
            return
        self._loading = False
        if go.crash:
            self._channel.send(protocol.Reporting())
        else:
            told = protocol.LoadFailed(report.title, report.trace, report.place, report.own)
            self._channel.send(told)
        self._front_end.show(report, self._settings, self._address)
        self._tell_paths()

    async def _settle(self) -> None:
        if self.watch.count() <= FEW:
            self._tell_paths(settled=False)
        await asyncio.sleep(LEARNS)
        await hop(self.watch.learn)
        await asyncio.sleep(SETTLED)
        self._tell_paths()
        await self._tell_preload()

    async def _holds(self) -> bool:
        """Wait, as a half-written save is mended soon; tell whether the failure is to be shown."""
        until = time.monotonic() + HOLD
        while time.monotonic() < until and self._shutdown.code is None:
            await asyncio.sleep(HOLD_STEP)
            if suspects := self.watch.look():
                await self._check(suspects)
        return self._shutdown.code is None

    def _tell_paths(self, *, settled: bool = True) -> None:
        if self._shutdown.code is None:
            files = self.watch.files()
            self._channel.send(protocol.Watching(files, settled))
            if self._go and self._go.explain:
                packages = self.watch.count() - len(files)
                why = reasons(files, self._env_files, self.watch.is_asked_for)
                self._channel.send(protocol.WatchReasons(why, packages))

    async def _tell_preload(self) -> None:
        """Tell what a standby should import: after the load, and when requests imported more."""
        if self._final and len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._channel.send(await hop(self._recorder.write, self._root, self._final))
