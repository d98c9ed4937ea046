"""A request's thread is to the app what it is under `socketserver.ThreadingMixIn`."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from types import SimpleNamespace
from typing import Any

import pytest

from asyncreload.child.http import request_threads as module
from asyncreload.child.http.request_threads import RequestThreads

DEADLINE = 10.0

Look = Callable[[], Any]


def in_request(look: Look, threads: RequestThreads | None = None) -> Any:
    """Return what a request of ours sees."""
    seen: list[Any] = []
    over = threading.Event()

    def job() -> None:
        try:
            seen.append(look())
        finally:
            over.set()

    assert (threads or RequestThreads()).run(job)
    assert over.wait(DEADLINE)
    return seen[0]


def in_threaded_server(look: Look) -> Any:
    """Return what a request of the standard library's threaded server sees."""
    seen: list[Any] = []

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            seen.append(look())

    class Server(ThreadingMixIn, TCPServer):
        daemon_threads = True  # as in `http.server`, Flask and Django

        def shutdown_request(self, request: Any) -> None:
            """Close nothing: there is no connection."""

    with Server(("127.0.0.1", 0), Handler, bind_and_activate=False) as server:
        before = set(threading.enumerate())
        server.process_request(SimpleNamespace(), ("", 0))  # type: ignore[arg-type]
        for thread in set(threading.enumerate()) - before:
            thread.join(DEADLINE)
    return seen[0]


def facts() -> dict[str, object]:
    thread = threading.current_thread()
    return {
        "kind": type(thread),
        "name": re.sub(r"\d+", "N", thread.name),
        "daemon": thread.daemon,
        "is itself": (thread.ident, thread.native_id)
        == (threading.get_ident(), threading.get_native_id()),
        "is listed": thread in threading.enumerate(),
        "is alive": thread.is_alive(),
        "child's daemon": threading.Thread().daemon,
        "variable": VARIABLE.get(None),
        "hooks": (sys.gettrace() is not None, sys.getprofile() is not None),
    }


VARIABLE: ContextVar[str] = ContextVar("VARIABLE")
LOCAL = threading.local()


def test_it_has_all_that_a_thread_of_the_standard_library_has() -> None:
    token = VARIABLE.set("of the main thread")
    trace, profile = threading.gettrace(), threading.getprofile()
    try:
        assert in_request(facts) == in_threaded_server(facts)
        threading.settrace(lambda *_: None)
        threading.setprofile(lambda *_: None)
        assert in_request(facts) == in_threaded_server(facts)
        assert in_request(facts)["hooks"] == (True, True)
    finally:
        threading.settrace(trace)
        threading.setprofile(profile)
        VARIABLE.reset(token)


@pytest.mark.parametrize("inherits", [False, True])
def test_what_one_request_sets_the_next_does_not_see(
    monkeypatch: pytest.MonkeyPatch, *, inherits: bool
) -> None:
    """Neither context variables nor thread-locals; what the import has set, as Python has it."""
    monkeypatch.setattr(module, "_INHERITS_CONTEXT", inherits)
    token = VARIABLE.set("import")
    threads = RequestThreads()
    VARIABLE.reset(token)

    def look() -> tuple[str | None, str | None]:
        seen = VARIABLE.get(None), getattr(LOCAL, "value", None)
        VARIABLE.set("request")
        LOCAL.value = "request"
        return seen

    expected = "import" if inherits else None
    assert in_request(look, threads) == (expected, None)
    assert in_request(look, threads) == (expected, None)


def test_while_idle_threading_knows_no_thread_of_ours() -> None:
    before = threading.enumerate()
    RequestThreads()
    assert threading.enumerate() == before


def test_when_no_thread_can_be_had_that_is_told_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    before = threading.enumerate()
    threads = RequestThreads()
    with monkeypatch.context() as patch:
        for name in ("_start_new_thread", "_start_joinable_thread"):  # until 3.12, and since
            patch.setattr(threading, name, refuse, raising=False)
        assert not threads.run(lambda: None)
    assert threading.enumerate() == before
    assert in_request(lambda: 1, threads) == 1


@pytest.mark.parametrize(
    ("name", "asked", "patched"),
    [
        ("gevent.monkey", "is_module_patched", "threading"),
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ],
)
def test_where_threading_starts_greenlets_it_is_a_thread_of_the_system(
    monkeypatch: pytest.MonkeyPatch, name: str, asked: str, patched: str
) -> None:
    """A greenlet would wait for a switch in our loop's thread."""

    def kind() -> type:
        return type(threading.current_thread())

    answers = {patched: False}
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**{asked: answers.__getitem__}))
    assert in_request(kind) is threading.Thread
    answers[patched] = True
    threads = RequestThreads()
    assert in_request(kind, threads) is not threading.Thread


def test_who_starts_it_does_not_wait_until_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    returned, over = threading.Event(), threading.Event()
    waited: list[bool] = []
    begin: Callable[[threading.Thread], None] = threading.Thread._bootstrap  # type: ignore[attr-defined]

    def begin_late(thread: threading.Thread) -> None:
        waited.append(not returned.wait(DEADLINE))
        begin(thread)

    monkeypatch.setattr(threading.Thread, "_bootstrap", begin_late)
    assert RequestThreads().run(over.set)
    returned.set()
    assert over.wait(DEADLINE)
    assert waited == [False]
