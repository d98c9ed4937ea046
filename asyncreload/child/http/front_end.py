"""The front end: serves the app, or a report of why there is none, until it is closed."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from asyncreload.child.http.acceptor import Acceptor
from asyncreload.child.http.app_loop import AppLoop
from asyncreload.child.http.asgi_listener import AsgiListener
from asyncreload.child.http.asgi_responder import AsgiResponder
from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.request_threads import RequestThreads
from asyncreload.child.http.responder import Responder, Workers
from asyncreload.child.http.wsgi import Noted, Site, answer
from asyncreload.child.pages.error_report import CRASHED
from asyncreload.child.pages.event_stream import EventStreams
from asyncreload.child.pages.report_app import make_report_app
from asyncreload.child.pages.trust import Trust
from asyncreload.editors import editor_url
from asyncreload.frozen_data import FrozenData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import WSGIApplication

    from asyncreload.child.http.gate import Gate
    from asyncreload.child.http.slots import Slot
    from asyncreload.child.pages.error_report import Report
    from asyncreload.lobby import Lobby
    from asyncreload.settings import Settings
    from asyncreload.sockets import ClientAddress

Address = tuple[str, int]
"""The host and port of the server, as the app gets them in its environ."""

_REPORT_THREADS = 8
_TOLD_WITHIN = 5.0  # seconds until a request goes on whose failure nobody could tell


class Supervision(FrozenData):
    """What a server has that a supervisor reloads."""

    state: str = ""
    """Names this process in the event stream, which pages listen to; if empty, there is none."""
    on_import_failure: Callable[[Report, int, Callable[[], None]], None] | None = None
    """Called in the loop's thread with the report when a request has imported project code that
    fails, with the time when the request began, in ns since the epoch, and with what is to be
    called when the failure is told."""
    on_error: Callable[[tuple[str, ...], int], None] | None = None
    """Called in the loop's thread when any other request has failed, with the files that the error
    names, and with the time when the request began, in ns since the epoch."""
    on_restart: Callable[[], None] | None = None
    """Called in the loop's thread when somebody who sees the report of a crash asks for another
    start."""
    noted: Noted = nullcontext
    """Notes what is answered, for the supervisor to find after a crash."""


UNSUPERVISED = Supervision()


class FrontEnd:
    """All that clients of this process meet. Methods are called in the loop's thread.

    Once it is known what to answer, call `serve` or `show`; `show` also later, when the app has
    proved to have failed to load; at the end, `close`. The other methods may be called at any time.
    `Acceptor` tells the way of a request.

    listener: the listening socket.
    lobby: hands connections over from the last process and to the next.
    gate: tells whether the code that is loaded may answer.
    main_thread: answers the requests if the app is called by one thread at a time; objects that
        its import has made may belong to that thread, such as a connection of sqlite3.
    supervision: what a server that reloads has beyond this; the default does not reload.
    """

    def __init__(
        self,
        listener: socket.socket,
        lobby: Lobby,
        gate: Gate,
        main_thread: Workers,
        supervision: Supervision = UNSUPERVISED,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._lobby = lobby
        self._gate = gate
        self._name = self._state = supervision.state
        self._refreshes = 0
        self._main_thread = main_thread
        self._on_import_failure = supervision.on_import_failure
        self._on_error = supervision.on_error
        self._on_restart = supervision.on_restart
        self._noted = supervision.noted
        self._is_closed = False
        self._acceptor: Acceptor | None = None
        self._asgi_listener: AsgiListener | None = None
        self._responders: list[Responder | AsgiResponder] = []
        self._app: WSGIApplication | None = None
        self._present: tuple[Site, RequestErrors]
        self._with_state: Callable[[], tuple[Site, RequestErrors]] | None = None
        self._streams: EventStreams | None = None

    def serve(self, app: WSGIApplication | AppLoop, settings: Settings, address: Address) -> None:
        """Answer requests with the app, from the loop's next iteration on.

        app: for an ASGI app, what runs it.
        """
        self._open(app, settings.threads, settings, address)

    def show(self, report: Report, settings: Settings, address: Address) -> None:
        """Answer every request with the report, from the loop's next iteration on.

        After `serve`, requests that are being answered go on.
        """
        trust = Trust(settings.trust)
        editor = settings.editor and editor_url(settings.editor)
        restart = self._restart if self._on_restart and report.status == CRASHED else None
        app = make_report_app(
            report, self._state, trust, live=settings.live, editor=editor, restart=restart
        )
        if self._acceptor is None:
            self._open(app, _REPORT_THREADS, settings, address)
        elif self._app is None:
            self._show_after_asgi(app, self._acceptor)
        else:
            self._app = app

    def refresh(self, paths: list[str]) -> None:
        """Have open pages show these files as they are now: nothing else has changed."""
        before = self._state
        self._refreshes += 1
        self._state = f"{self._name}-{self._refreshes}"
        if self._with_state is not None:
            self._present = self._with_state()
        if self._streams is not None:
            self._streams.tell_refresh(before, self._state, paths)

    def resume(self) -> None:
        """Check the files again, for requests that wait because the gate said they had changed."""
        if self._acceptor is not None:
            self._acceptor.resume()

    def close(self, *, hand_over: bool) -> None:
        """Take no more requests, and end the event streams; requests go on that are being answered.

        hand_over: whether connections that wait are left to the next process, or closed.
        """
        self._is_closed = True
        if self._asgi_listener is not None:
            self._asgi_listener.close()
        if self._acceptor is not None:
            self._acceptor.close(hand_over=hand_over)
        for responder in self._responders[:-1]:  # of an app that has failed late
            for connection in responder.end_early():
                connection.close()
        if self._streams is not None:
            self._streams.close()

    async def answered(self, seconds: float) -> None:
        """Wait until no code of the app answers any more, but not longer than `seconds`.

        A request whose client has kept it waiting for that long already is not waited for.
        """
        for responder in self._responders:
            await responder.answered(seconds)

    async def quiet(self, seconds: float) -> None:
        """Wait until all is answered and delivered, but not longer than `seconds`."""
        for responder in self._responders:
            await responder.quiet(seconds)

    def cut_off(self) -> list[str]:
        """Have clients notice that they are not waited for any longer: the process is to end.

        Return the requests that are answered by 503, as their app has sent nothing.
        """
        return [request for responder in self._responders for request in responder.cut_off()]

    @property
    def busy(self) -> int:
        """How many requests are being answered, or have their last bytes delivered."""
        return sum(responder.busy for responder in self._responders)

    @property
    def has_listeners(self) -> bool:
        """Whether any page listens to the event stream."""
        return self._streams is not None and self._streams.has_listeners

    def delegate_close(self, descriptors: Iterable[int]) -> None:
        """Have the next process close descriptors: see `Lobby.delegate_close`."""
        self._lobby.delegate_close(descriptors)

    def close_delegated(self) -> None:
        """Close what the last process has delegated to this one. Takes time: for the helper."""
        self._lobby.close_delegated()

    def _open(
        self, app: WSGIApplication | AppLoop, threads: int, settings: Settings, address: Address
    ) -> None:
        live = settings.live and bool(self._name)
        trust = Trust(settings.trust)
        editor = settings.editor and editor_url(settings.editor)
        on_import_failure = self._on_import_failure and self._tell_failure
        on_error = self._on_error and self._note_error

        def with_state() -> tuple[Site, RequestErrors]:
            state = self._state
            live_state = state if live else ""
            site = Site(*address, threads, settings.access_log, live_state, self._noted)
            errors = RequestErrors(
                state,
                trust,
                live=live,
                editor=editor,
                on_import_failure=on_import_failure,
                on_error=on_error,
                is_ending=lambda: self._is_closed,
            )
            return site, errors

        self._with_state = with_state
        self._present = with_state()
        if self._name:
            self._streams = EventStreams(self._state, trust, live=live)
        if isinstance(app, AppLoop):
            self._serve_asgi(app)
        else:
            self._accept_for(self._respond_with(app, threads), accepts=True)

    def _serve_asgi(self, app: AppLoop) -> None:
        responder = AsgiResponder(
            app, lambda: self._present, self._gate, self._pass_on, self.resume
        )
        self._responders.append(responder)
        self._accept_for(responder, accepts=False)
        self._asgi_listener = AsgiListener(self._listener, responder)

    def _show_after_asgi(self, app: WSGIApplication, acceptor: Acceptor) -> None:
        assert self._asgi_listener  # noqa: S101  for the type checker: an ASGI app was served
        self._asgi_listener.close()
        kept = [each for responder in self._responders for each in responder.end_keeping()]
        acceptor.respond_by(self._respond_with(app, _REPORT_THREADS))
        for connection, client in kept:
            acceptor.take(connection, client)

    def _pass_on(self, connection: socket.socket, client: ClientAddress) -> None:
        """Have the acceptor take a connection; called in the loop of an ASGI app."""
        assert self._acceptor  # noqa: S101  for the type checker: see `_serve_asgi`
        try:
            self._loop.call_soon_threadsafe(self._acceptor.take, connection, client)
        except RuntimeError:  # the loop has ended
            connection.close()

    def _accept_for(self, responder: Responder | AsgiResponder, *, accepts: bool) -> Acceptor:
        acceptor = self._acceptor = Acceptor(
            self._listener, self._lobby, self._gate, responder, self._streams, accepts=accepts
        )
        acceptor.start()
        return acceptor

    def _respond_with(self, app: WSGIApplication, threads: int) -> Responder:
        self._app = app

        def respond(connection: socket.socket, client: ClientAddress, slot: Slot) -> bool:
            # Read in worker threads; `show` and `refresh` may replace them meanwhile.
            present, (site, errors) = self._app or app, self._present
            return answer(
                connection,
                client,
                slot,
                app=present,
                site=site,
                errors=errors,
                on_begun=slot.answer_by,
                on_stream=slot.begin_stream,
            )

        workers = RequestThreads() if threads > 1 else self._main_thread
        responder = Responder(respond, threads, workers, self.resume)
        self._responders.append(responder)
        return responder

    def _restart(self) -> None:
        """Have the app started again; runs in the thread of the request that asks for it."""
        assert self._on_restart  # noqa: S101  for the type checker: see `show`
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_restart)

    def _tell_failure(self, report: Report, began: int) -> None:
        """Have an import failure told, and wait for that; runs in the thread of the request.

        So a client that has been told of it can save what mends it, and is answered by that.
        """
        assert self._on_import_failure  # noqa: S101  for the type checker: see `_open`
        told = threading.Event()
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_import_failure, report, began, told.set)
            told.wait(_TOLD_WITHIN)

    def _note_error(self, named: tuple[str, ...], began: int) -> None:
        """Have it noted what an error names; runs in the thread of the request."""
        assert self._on_error  # noqa: S101  for the type checker: see `_open`
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._on_error, named, began)
