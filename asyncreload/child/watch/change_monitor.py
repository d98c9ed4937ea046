"""Looks at the files for as long as the child lives: before each request, and in the background.

Freshness comes from the look before each request, which is what the acceptor asks for (http/gate.py
describes that). The background looks give a reload a head start while nobody asks.

This is the way of a save, from one process to the next:

1. *Seen*, here. A look finds other bytes than those that were loaded. If the app need only be told
   to read the file anew, it is, open pages and the parent hear of it, and nothing is reloaded.
   While a debugger waits at its prompt, the reload is held (`HeldReload`), until a look finds that
   somebody has left the prompt, or that the files are as they were.
2. *Told.* lifecycle/change_response.py sends `FilesChanged` to the parent, and begins the end of
   this process. If this process blocks and sees nothing, the parent does (parent/watchdog.py). It
   kills the process, and with it the requests that it has taken; what follows is step 5.
3. *Prepared.* parent/child_run.py hears it. Checkpoints that were taken after the file was read are
   dropped, and the next process goes on from the deepest that is left: it was forked ahead
   (parent/prefork.py), or is now. If none is of use, it is the standby, which is started now if
   there is none (parent/standby.py). If packages have changed, neither of them is of use. A process
   that stands by is told ahead what it will load, and after whom (parent/next_child.py).
4. *Ended*, meanwhile, by lifecycle/shutdown.py (`_end_politely`). Requests that wait go to the next
   child through the `Lobby`; those that are being answered get a moment (`LAST_REQUESTS`). The main
   thread is interrupted (only woken, if it runs an ASGI app's loop), and leaves (`leave` in
   child/__main__.py): an ASGI app shuts down, `atexit` handlers run; for that there is little time,
   too (`EXIT_HANDLERS`). The processes that the app has started are ended, all files are closed,
   and the last word is a farewell to the next process (lifecycle/farewells.py), and `Left` to the
   parent. If a response is still being sent then, a first `Left` says so: the old process goes on
   with it for `grace` seconds, beside the next child.
5. *Next.* The process that was told ahead begins at the farewell. If there is none, as the old one
   has died or sends a response, it begins when the parent says so: that hears `Left`, or the end,
   and parent/run_loop.py sends `Go`. The process says `Going` (lifecycle/load_start.py) and, in a
   burst of changes, waits for its end. It loads the app (`load_app` in child/__main__.py). Or it
   goes on with the load from which its checkpoint was taken (lifecycle/checkpoint_fork.py); but if
   what that rests on has changed, it says `CheckpointRefused`, and another process is taken. In the
   end it says `Loaded`, and answers the requests in the lobby.
"""

from __future__ import annotations

import asyncio
import math
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from asyncreload.child.helper_thread import hop
from asyncreload.child.watch.change_scanner import ChangeScanner
from asyncreload.child.watch.held_reload import HeldReload
from asyncreload.child.watch.pace import UNASKED_AFTER, Pace
from asyncreload.child.watch.polling import LimitError
from asyncreload.forks import in_forks_of_app
from asyncreload.phase import Phase

if TYPE_CHECKING:
    from asyncreload.child.watch.baselines import Baselines
    from asyncreload.child.watch.inotify import Events
    from asyncreload.child.watch.module_scan import ModuleScan

WAKE_COST = 0.0001
"""Seconds of CPU that it takes to wake up for a look."""
DEBOUNCE = 0.01
"""Seconds from the first event of a save until its end can be expected."""
QUIET_STEP = 0.02
"""Seconds between two looks while the end of a half-written save is awaited."""
BUSY_FOR = 0.3
"""Seconds from one of the first requests on in which only looks are made, and nothing is done that
can wait: Python runs one thread at a time, and a page asks for more right after that."""
BUSY_AT_MOST = 2.0
"""Seconds from a load on in which requests are the first ones."""
PATIENCE = 2.0
"""Seconds in which the app may give back a descriptor, by which a file is to be read."""
_LOOK_FAILED = "a look at the files failed:\n"
_NO_DESCRIPTORS = "out of file descriptors or memory: files that cannot be read count as changed"


class ChangeListener(Protocol):
    """What the monitor tells of what it finds."""

    @property
    def phase(self) -> Phase:
        """The phase of this child: the monitor ends when it leaves."""

    @property
    def has_listeners(self) -> bool:
        """Whether open pages wait to be told of a change."""

    @property
    def is_answering(self) -> bool:
        """Whether any request is being answered."""

    def is_debugging(self) -> bool:
        """Tell whether a debugger waits at its prompt: a reload is held until it does not."""

    def on_change(self, paths: list[str]) -> None:
        """Reload: these files have changed; none if a reload was asked for."""

    def may_refresh(self, path: str) -> bool:
        """Tell whether somebody in the app may see to a file's changes."""

    async def refresh(self, paths: list[str]) -> bool:
        """Have them see to changed files; return whether no reload is needed."""

    def on_refreshed(self, paths: list[str]) -> None:
        """These files are in use as they are now, and nothing was reloaded."""

    def on_change_taken_back(self) -> None:
        """Go on: a reload was held, and the files are as they were again."""

    def on_packages_moved(self) -> None:
        """A package was installed or removed: nothing to an app that works."""

    async def after_look(self) -> None:
        """A look is over: there is time for what goes along with it."""

    def notice(self, text: str, *, once: bool = False) -> None:
        """Tell the user; `once`, that the next child is not to say the same."""


class ChangeMonitor:
    """Looks at files and tells its listener what has changed. Lives in the side thread's loop.

    It is the acceptor's gate: `check` looks, `stale` compares. `is_surely_fresh` is for any thread;
    looks are guarded by a lock therefore. Nobody waits for it for long: they take microseconds.
    clock: seconds, forward only.
    sleep: waits for so many of them.
    """

    def __init__(
        self,
        scanner: ChangeScanner,
        baselines: Baselines,
        modules: ModuleScan,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._scanner = scanner
        self._baselines = baselines
        self._modules = modules
        self._listener: ChangeListener
        self._clock = clock
        self._sleep = sleep
        self._nudged = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._events: Events | None = None
        self._held: HeldReload
        self._asked_at = clock()
        self._last_request = -math.inf
        self._loaded_at: float | None = None
        self._looking = Lock()

    def listen(self, listener: ChangeListener) -> None:
        """Tell somebody what has changed; to be called once, before anything is looked at."""
        self._listener = listener
        self._held = HeldReload(listener.notice)

    # --- before a request ----------------------------------------------------------------------

    def check(self) -> list[str]:
        """Return the files that may have changed; nothing is read."""
        self._asked_at = self._last_request = self._clock()
        self._nudged.set()  # what the request imports is to be looked at soon, too
        return self._look(is_for_request=True)

    def is_surely_fresh(self) -> bool:
        """Tell whether no file may have changed.

        May be called in any thread, also where a signal handler may raise at any moment.
        """
        is_whole = False
        with self._looking:
            try:
                self._asked_at = self._last_request = self._clock()
                self._scan_modules()
                self._scanner.take_opened()
                is_fresh = not self._scanner.look()
                is_whole = True
            except Exception:  # noqa: BLE001  the acceptor looks again, and copes with it
                is_fresh = False
            finally:
                if not is_whole:
                    self._scanner.begin_afresh()  # what was heard may be lost
        if not self._nudged.is_set():
            self._loop.call_soon_threadsafe(self._nudged.set)
        return is_fresh

    async def stale(self, suspects: list[str]) -> bool:
        """Tell whether suspects have changed; then a reload begins, or is held."""
        if changed := await self._outdated(suspects):
            self.on_change(changed)
        return bool(changed)

    async def is_fresh(self) -> bool:
        """Look; tell whether nothing has changed. If something has, a reload begins."""
        suspects = self._look()
        return not (suspects and await self._compare(suspects))

    def _look(self, *, is_for_request: bool = False) -> list[str]:
        with self._looking:
            try:
                # What an earlier request has imported by a loader of its own may have been saved.
                self._scan_modules()
                if is_for_request:  # other looks run beside a first request, which opens more
                    self._scanner.take_opened()
                return self._scanner.look()
            except Exception:  # noqa: BLE001  whatever it is, the request is to be answered
                self._listener.notice(f"{_LOOK_FAILED}{traceback.format_exc()}", once=True)
                self._stop_events()
                self._scanner.begin_afresh()
                return self._scanner.look()

    async def is_quiet(self, seconds: float) -> bool:
        """Look for so many seconds; tell whether nothing has changed meanwhile."""
        until = self._clock() + seconds
        while self._clock() < until and not self._is_over():
            await self._sleep(QUIET_STEP)
            await self.is_fresh()
        return not self._is_over()

    # --- in the background ---------------------------------------------------------------------

    async def run(self, interval: float, *, root: str, uses_events: bool) -> None:
        """Look every `interval` seconds, or more seldom where that would cost too much.

        root: the directory of the project.
        uses_events: whether the kernel is asked to tell of changes, if it can.
        """
        self._asked_at = self._clock()
        # Not at once: baselines are taken as files are read.
        if self._has_loaded():
            await self._sleep(interval)
        else:
            await self._let_load(Pace.LOADING.soonest, interval)
        while not self._is_over():
            if not self._is_calm():
                await self._only_look(interval)
                continue
            waits_for_events = False
            began = self._clock()
            try:
                await self._look_at_all()
                # At the end, `atexit` handlers in the main thread close whatever has a finalizer:
                # also a queue that is being made here.
                if self._has_loaded() and not self._is_over():
                    if uses_events:
                        self._use_events(root)
                        uses_events = False
                    with self._looking:
                        is_heard = self._scanner.make_cheaper()
                    waits_for_events = is_heard and not self._is_behind()
            except LimitError as exc:
                uses_events = False
                self._use_polling(exc)
            except Exception:  # noqa: BLE001  whatever it is, the watch must go on
                self._listener.notice(f"{_LOOK_FAILED}{traceback.format_exc()}")
            if waits_for_events and self._events is not None and not self._held:
                await self._wait_for_event(interval, self._events.descriptor)
            elif self._has_loaded():
                await self._sleep(self._pause(interval))
            else:
                await self._let_load(Pace.LOADING.pause(self._clock() - began), interval)

    async def _only_look(self, interval: float) -> None:
        """Look, and do no more: requests are under way. One may block until a save mends it."""
        began = self._clock()
        try:
            await self.is_fresh()
        except Exception:  # noqa: BLE001  whatever it is, the watch must go on
            self._listener.notice(f"{_LOOK_FAILED}{traceback.format_exc()}")
        await self._sleep(max(interval, Pace.FIRST_REQUESTS.pause(self._clock() - began)))

    async def _let_load(self, seconds: float, interval: float) -> None:
        """Pause, but not beyond the load by more than `interval` seconds."""
        until = self._clock() + max(seconds, interval)
        while not self._has_loaded() and (left := until - self._clock()) > 0:
            await self._sleep(min(left, interval))

    def _has_loaded(self) -> bool:
        """Tell whether the load is over, however it has ended."""
        if self._listener.phase is Phase.LOADING:
            return False
        if self._loaded_at is None:
            self._loaded_at = self._clock()
        return True

    def _is_calm(self) -> bool:
        """Tell whether none of the first requests is under way, nor soon will be."""
        now, since = self._clock(), self._loaded_at
        if not self._has_loaded() or self._held:
            return True
        if since is not None and now - since >= BUSY_AT_MOST:
            return True
        return now - self._last_request >= BUSY_FOR and not self._listener.is_answering

    def _scan_modules(self) -> None:
        self._modules.scan(is_loading=self._listener.phase is Phase.LOADING)

    async def _look_at_all(self) -> None:
        with self._looking:
            self._scan_modules()
            suspects = self._scanner.look_at_all(self._clock())
        if suspects:
            await self._compare(suspects)
        elif self._held.take_back():
            self._listener.on_change_taken_back()
        if self._held.was_asked_for and not self._listener.is_debugging():
            self.on_change([])
        if self._is_behind():
            await hop(self._catch_up)
        await self._listener.after_look()

    async def _compare(self, suspects: list[str]) -> bool:
        """Tell whether files have changed; then a reload begins, or is held."""
        changed = await self._outdated(suspects)
        is_serving = self._listener.phase is Phase.SERVING
        if is_serving and all(map(self._scanner.is_package_directory, changed)):
            # A new package is nothing to an app that works, unless it has asked for that one.
            installed: list[str] = []
            if changed:
                self._listener.on_packages_moved()
                installed = await hop(self._scanner.installed)
            if installed:
                self.on_change(installed, for_good=True)
            return bool(installed)
        if changed:
            self.on_change(changed)
        return bool(changed)

    async def _outdated(self, suspects: list[str]) -> list[str]:
        """Return those that have changed, unless the app has seen to all of them.

        What cannot be read for lack of descriptors is waited for. In the end it counts as changed:
        old code must not answer, and the next process has descriptors.
        """
        changed = await self._compared(suspects)
        until = self._clock() + PATIENCE
        while changed and self._scanner.are_unknown(changed) and not self._is_over():
            if self._clock() >= until:
                self._listener.notice(_NO_DESCRIPTORS, once=True)
                break
            await self._sleep(QUIET_STEP)
            changed = await self._compared(self._look())
        return changed

    async def _compared(self, suspects: list[str]) -> list[str]:
        """Return those that have changed or may have, unless the app has seen to all of them."""
        changed = await self._scanner.compare(suspects)
        if not self._may_refresh(changed):
            return changed
        async with self._refreshing:
            changed = await self._scanner.compare(changed)
            # Another look may have seen to it, or have begun a reload.
            if not self._may_refresh(changed):
                return changed
            states = self._scanner.states(changed)  # before: later ones the app may not have seen
            if not await self._listener.refresh(changed):
                return changed
            self._scanner.accept(states)
            self._listener.on_refreshed(changed)
        return []

    def _may_refresh(self, changed: list[str]) -> bool:
        """Tell whether the app is asked to see to these; it is not while a reload is held."""
        is_serving = self._listener.phase is Phase.SERVING and not self._held
        return is_serving and bool(changed) and all(map(self._listener.may_refresh, changed))

    def _is_behind(self) -> bool:
        is_whole = not (self._modules.is_behind() or self._scanner.is_incomplete())
        return self._baselines.is_learning() or not is_whole

    def _catch_up(self) -> None:
        """Take in what no hook has seen of packages; read some of the unknown digests."""
        self._modules.take_packages()
        self._scanner.complete(self._looking)
        self._baselines.learn()

    def _pause(self, interval: float) -> float:
        """Return the seconds until the next look."""
        if self._is_behind():
            return interval  # what is still to be read makes the next looks precise
        waits = self._listener.has_listeners or self._clock() - self._asked_at < UNASKED_AFTER
        # Whoever waits for what a look finds does not wait longer because of one at the packages.
        pace = Pace.ASKED if waits else Pace.UNASKED
        cost = self._scanner.cost if waits else self._scanner.whole_cost
        return max(interval, pace.pause(WAKE_COST + cost))

    def _is_over(self) -> bool:
        return self._listener.phase in {Phase.DRAINING, Phase.GONE}

    # --- reloads -------------------------------------------------------------------------------

    def on_change(self, paths: list[str], *, for_good: bool = False) -> None:
        """Have the app reloaded for these files; for none, if a reload was asked for.

        While somebody debugs, that is held back.

        for_good: whether it is to come then though the files are as they were.
        """
        if self._is_over():
            return
        if self._listener.is_debugging():
            self._held.hold(paths, for_good=for_good)
        else:
            self._listener.on_change(paths)

    # --- events of the kernel ------------------------------------------------------------------

    @property
    def event_queues(self) -> list[int]:
        """The descriptors of the queues of the kernel's events, if there are any."""
        return self._events.queues if self._events is not None else []

    def on_new_file(self, path: str) -> None:
        """Look at a file soon of which a baseline was taken. May be called from any thread."""
        self._scanner.doubt(path)
        if self._events is not None:
            self._loop.call_soon_threadsafe(self._nudged.set)

    def _use_events(self, root: str) -> None:
        with self._looking:
            self._events = self._scanner.use_events(root)
        if self._events is not None:
            in_forks_of_app(self._events.close)

    def _use_polling(self, exc: LimitError) -> None:
        limit = f"files are looked at one by one, as inotify is at its limit: {exc}"
        self._listener.notice(limit, once=True)
        with self._looking:
            self._stop_events()

    def _stop_events(self) -> None:
        """Look at each file by itself from now on. Called under the lock."""
        self._scanner.use_polling()
        self._events = None  # the number of its descriptor may be another file's from now on

    async def _wait_for_event(self, interval: float, queue: int) -> None:
        await self._sleep(interval)  # an app that writes to its log all the time is no news
        if self._is_over():
            return  # and the queue may be closed by now
        self._loop.add_reader(queue, self._nudged.set)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nudged.wait(), Pace.SWEEP.soonest)
        self._loop.remove_reader(queue)
        self._nudged.clear()
        await self._sleep(DEBOUNCE)
