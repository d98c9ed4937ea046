"""Which interface an app speaks, told without a call: by kinds of callables, and by real apps."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Generator
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from asyncreload.child.imports.interface import is_asgi, signature, speaks_asgi_likely, takes
from asyncreload.settings import ASGI, AUTO, WSGI


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    pytest.fail("the app was called")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    pytest.fail("the app was called")


def asgi_not_async(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
    """As in many a middleware: it returns the inner app's coroutine."""
    return asgi(scope, receive, send)


class WsgiSite:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return wsgi(environ, start_response)

    def method(self, environ: Any, start_response: Any) -> list[bytes]:
        return wsgi(environ, start_response)


class AsgiSite:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await asgi(scope, receive, send)

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        await asgi(scope, receive, send)

    @staticmethod
    async def static(scope: Any, receive: Any, send: Any) -> None:
        await asgi(scope, receive, send)


class AsgiSiteNotAsync:
    def __init__(self, app: Any = asgi) -> None:
        self.app = app

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return self.app(scope, receive, send)


class AsyncAnything:
    async def __call__(self, *args: Any) -> None: ...


class Anything:
    """Middleware that passes on whatever it is called with."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.app(*args, **kwargs)


class PrivateAnything:
    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, *args: Any) -> Any:
        return self._app(*args)


class InSlot:
    """As Sentry's middleware: each instance has a `__call__` of its own."""

    __slots__ = ("__call__", "app")

    def __init__(self, app: Any, call: Callable[..., Any]) -> None:
        self.app = app
        self.__call__ = call


class AsgiRequest:
    """One instance a request, which is awaited, as Starlette's `HTTPEndpoint`."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Generator[Any, None, None]:
        yield


class Job:
    """Is awaited, and no app."""

    def __init__(self, name: str) -> None: ...

    def __await__(self) -> Generator[Any, None, None]:
        yield


class WsgiRequest:
    """One instance a request, which is iterated."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...


class WsgiWithDefault:
    def __call__(self, environ: Any, start_response: Any, more: Any = None) -> list[bytes]:
        return wsgi(environ, start_response)


def with_scope_first(scope: Any, receive: Any = None, send: Any = None) -> Any: ...


def anything(*args: Any) -> Any: ...


def shown(app: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(app)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return app(*args, **kwargs)

    return wrapper


def hidden(app: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return app(*args, **kwargs)

    return wrapper


def hidden_among_others(app: Callable[..., Any], *helpers: object) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:
        return app(*args, *helpers[5:])

    return wrapper


def hidden_beside(found: Any, helper: Any, kind: type = dict) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:
        helper(kind)
        return found(*args)

    return wrapper


def hidden_for_good() -> Callable[..., Any]:
    """A variable that has no value yet, as in a decorator that calls itself."""

    def wrapper(*args: Any) -> Any:
        return later(*args)

    if len(__name__) < 0:
        later = wsgi
    return wrapper


class LeadsNowhere:
    """As a proxy of werkzeug's or Django's outside a request."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("working outside of a request")

    def __call__(self, *args: Any) -> Any: ...


def note(text: str) -> None: ...


def log(level: int, text: str) -> None: ...


def measure(environ: Any, began: float, ended: float) -> None: ...


async def fetch(url: str) -> None: ...


def hidden_async(app: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any) -> Any:
        return await app(*args)

    return wrapper


def prepended(option: Any, environ: Any, start_response: Any) -> Any: ...


async def prepended_async(option: Any, scope: Any, receive: Any, send: Any) -> Any: ...


def _name(app: object) -> str:
    return re.sub(" at 0x[0-9a-f]+", "", repr(app))  # each worker of the tests finds the same


@pytest.mark.parametrize(
    "app",
    [
        asgi,
        asgi_not_async,
        AsgiSite(),
        AsgiSite().method,
        AsgiSite.static,
        AsgiSiteNotAsync(),
        AsgiSiteNotAsync(wsgi),  # its own three parameters go before what it holds
        AsyncAnything(),
        AsgiRequest,
        Anything(asgi),
        Anything(AsgiSiteNotAsync()),
        Anything(PrivateAnything(Anything(AsgiSite()))),
        partial(asgi),
        partial(prepended_async, 1),
        partial(asgi_not_async),
        lambda s, r, t: None,
        shown(asgi),
        shown(asgi_not_async),
        shown(shown(AsgiSite().method)),
        hidden_async(asgi),
        hidden(asgi),
        hidden(hidden(AsgiSite())),
        hidden(Anything(asgi_not_async)),
        hidden_among_others(asgi_not_async, log),
        hidden_beside(asgi, note),
        hidden_beside(hidden(asgi_not_async), note, WsgiSite),
        hidden_beside(AsgiSite().method, LeadsNowhere()),
        with_scope_first,
        InSlot(asgi, hidden_async(asgi)),
    ],
    ids=_name,
)
def test_asgi(app: object) -> None:
    assert is_asgi(app)
    assert is_asgi(app, AUTO)
    assert not is_asgi(app, WSGI)


@pytest.mark.parametrize(
    "app",
    [
        wsgi,
        WsgiSite(),
        WsgiSite().method,
        WsgiRequest,
        WsgiWithDefault(),
        Anything(wsgi),
        Anything(PrivateAnything(WsgiSite())),
        partial(wsgi),
        partial(prepended, 1),
        shown(wsgi),
        hidden(wsgi),
        hidden(hidden(wsgi)),
        hidden_beside(wsgi, fetch),
        hidden_beside(wsgi, asgi),
        hidden_beside(wsgi, measure),
        hidden_beside(asgi, log),  # either may be the app: the first request tells
        hidden_beside(LeadsNowhere(), note),
        hidden_for_good(),
        anything,
        WsgiSite,  # a factory, of which a user's mistake is told later
        AsgiSite,
        Job,
        lambda: asgi,
        lambda environ, start: None,
        InSlot(wsgi, hidden(wsgi)),
        getattr,  # compiled, and without a signature
        dict,
        42,
        None,
    ],
    ids=_name,
)
def test_not_asgi(app: object) -> None:
    assert not is_asgi(app)
    assert is_asgi(app, ASGI)


def test_middleware_that_holds_itself_is_not_followed_for_ever() -> None:
    app = Anything(None)
    app.app = app
    assert not is_asgi(app)


def test_a_function_that_holds_itself_is_not_followed_for_ever() -> None:
    def one(*args: Any) -> Any:
        return one(*args), other(*args)

    def other(*args: Any) -> Any:
        return one(*args), other(*args)

    assert not is_asgi(one)


def test_how_many_arguments_fit() -> None:
    assert takes(signature(asgi), 3) is True
    assert takes(signature(asgi), 2) is False
    assert takes(signature(dict.fromkeys), 2) is not False
    assert takes(signature(42), 0) is None
    assert takes(None, 2) is None


def test_a_signature_that_cannot_be_found() -> None:
    class Unsigned:
        __signature__ = "no signature"

        def __call__(self, *args: Any) -> Any: ...

    assert signature(Unsigned()) is None
    assert not is_asgi(Unsigned())


# Real ones


def _real(name: str) -> ModuleType:
    module: ModuleType = pytest.importorskip(name)
    return module


def test_fastapi() -> None:
    assert is_asgi(_real("fastapi").FastAPI())


def test_starlette() -> None:
    applications = _real("starlette.applications")
    app = applications.Starlette()

    async def respond(request: Any) -> Any: ...

    assert is_asgi(app)
    assert is_asgi(Anything(app))
    assert is_asgi(_real("starlette.middleware.gzip").GZipMiddleware(app))
    assert is_asgi(_real("starlette.middleware.wsgi").WSGIMiddleware(wsgi))
    assert is_asgi(_real("starlette.endpoints").HTTPEndpoint)
    assert is_asgi(_real("starlette.routing").Route("/", respond))


def test_django() -> None:
    asgi_handler = _real("django.core.handlers.asgi").ASGIHandler
    wsgi_handler = _real("django.core.handlers.wsgi").WSGIHandler
    assert is_asgi(object.__new__(asgi_handler))  # its `__init__` wants settings
    assert not is_asgi(object.__new__(wsgi_handler))
    static = _real("django.contrib.staticfiles.handlers")
    assert is_asgi(object.__new__(static.ASGIStaticFilesHandler))
    assert not is_asgi(object.__new__(static.StaticFilesHandler))


def test_flask() -> None:
    app = _real("flask").Flask("site")
    assert not is_asgi(app)
    assert not is_asgi(app.wsgi_app)
    fixed = _real("werkzeug.middleware.proxy_fix").ProxyFix(app.wsgi_app)
    assert not is_asgi(fixed)


def test_bottle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))  # Bottle adds to it
    assert not is_asgi(_real("bottle").Bottle())


def test_asgiref() -> None:
    app = _real("flask").Flask("site")
    assert is_asgi(_real("asgiref.wsgi").WsgiToAsgi(app))


def test_gevent() -> None:
    """Its callables are compiled, and have no signature of two parameters or of three."""
    pool = _real("gevent.pool").Pool()
    assert not is_asgi(pool.spawn)


@pytest.mark.parametrize(
    ("source", "likely"),
    [
        ("from fastapi import FastAPI", True),
        ("from starlette.applications import Starlette", True),
        ("from django.core.asgi import get_asgi_application", True),
        ("async def application(scope, receive, send): ...", True),
        ("from flask import Flask", False),
        ("def app(environ, start_response): ...", False),
    ],
)
def test_a_source_that_looks_like_asgi(tmp_path: Path, source: str, *, likely: bool) -> None:
    (tmp_path / "app.py").write_text(f"import os\n{source}\n")
    assert speaks_asgi_likely(str(tmp_path / "app.py")) is likely


def test_a_source_that_is_not_there_does_not_look_like_anything(tmp_path: Path) -> None:
    assert not speaks_asgi_likely(str(tmp_path / "none.py"))
