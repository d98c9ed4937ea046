"""An ASGI app that was taken for a WSGI app is noticed when it is called as one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from asyncreload.child.http.wsgi_call import call
from asyncreload.errors import InterfaceError
from tests.unit.http.exchange import GET, body_of, exchange, hello

ENVIRON = {"REQUEST_METHOD": "GET"}


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    pytest.fail("the app has run")


def not_async(scope: Any, receive: Any, send: Any) -> Any:
    pytest.fail("the app has run")


async def any_arguments(*args: Any) -> None:
    pytest.fail("the app has run")


class Site:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pytest.fail("the app has run")


class Middleware:
    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner = inner

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.inner(*args, **options)


def wrapped(app: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:
        return app(*args)

    return wrapper


def padded(environ: Any, start_response: Any) -> Any:
    return asgi(environ, start_response, None)


def start_response(*args: Any) -> Any:
    pytest.fail("start_response was called")


@pytest.mark.parametrize(
    "app",
    [
        asgi,
        not_async,
        Site(),
        wrapped(asgi),
        wrapped(not_async),
        wrapped(wrapped(Site())),
        wrapped(any_arguments),
        Middleware(asgi),
        Middleware(Middleware(wrapped(not_async))),
        padded,
    ],
)
def test_an_asgi_app_gives_itself_away(app: Callable[..., Any]) -> None:
    with pytest.raises(InterfaceError, match=r"--interface asgi .* functools\.wraps"):
        call(app, ENVIRON, start_response)
    gc.collect()  # a coroutine that was never awaited would be warned of


def takes_one(environ: Any, /) -> Any: ...


def helped(*args: Any) -> Any:
    return mail("to", "text")  # type: ignore[call-arg]


def mail(to: str, text: str, send: bool) -> None: ...  # noqa: FBT001  as a user may write it


def forgets_an_argument(environ: Any, start_response: Any) -> Any:
    return mail("to", "text")  # type: ignore[call-arg]


def fails_late(environ: Any, start_response: Any) -> Any:
    given = (environ, start_response)
    return forgets_an_argument(*given)


def fails_otherwise(*args: Any) -> Any:
    return len(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (takes_one, "takes 1 positional argument"),
        (wrapped(takes_one), "takes 1 positional argument"),
        (forgets_an_argument, "missing 1 required positional argument: 'send'"),
        (fails_late, "missing 1 required positional argument: 'send'"),
        (wrapped(forgets_an_argument), "missing 1 required positional argument: 'send'"),
        (fails_otherwise, "object of type 'int' has no len"),
        (wrapped(lambda environ, start, more: []), "'more'"),
    ],
)
def test_a_mistake_in_a_wsgi_app_stays_what_it_is(app: Callable[..., Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(app, ENVIRON, start_response)


def test_a_wsgi_app_is_called_as_ever() -> None:
    given = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        given.append((environ, start_response))
        return [b"x"]

    assert call(app, ENVIRON, start_response) == [b"x"]
    assert given == [(ENVIRON, start_response)]


def test_a_result_that_can_be_awaited_too_is_a_result() -> None:
    class Both(list[bytes]):
        def __await__(self) -> Any: ...

    assert call(lambda *_: Both([b"x"]), ENVIRON, start_response) == [b"x"]
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    assert call(lambda *_: future, ENVIRON, start_response) is future
    loop.close()


def test_the_client_and_the_terminal_are_told_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reply, _ = exchange(wrapped(asgi), GET)
    assert b" 500 " in reply.partition(b"\r\n")[0]
    told = [line for line in capsys.readouterr().err.splitlines() if " GET / 500 " not in line]
    assert len(told) == 1
    assert " this is an ASGI app in a wrapper that hides it: serve it with " in told[0]
    assert body_of(exchange(hello, GET)[0]) == b"hello"
