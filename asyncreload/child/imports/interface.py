"""Which interface an app speaks: WSGI, or ASGI; told by its type and signature.

Nothing is called to find out. An async callable is ASGI. Else the parameters decide: WSGI apps take
two (environ, start_response), ASGI apps three (scope, receive, send). A wrapper that takes anything
is what the app that it wraps is: that is looked for in its attributes, and among the variables of
the function around it. Where it is not found, the first request tells: see http/wsgi_call.py.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from types import FunctionType
from typing import Any, NamedTuple

from asyncreload.settings import ASGI, AUTO

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiCallable = Callable[[Scope, Receive, Send], Awaitable[None]]

_WRAPPED = ("app", "_app", "application", "wrapped", "inner", "asgi_app")
"""Attributes in which middleware keeps the app that it wraps."""
_DEPTH = 8
_SIGNS = re.compile(rb"(?i)asgi|fastapi|starlette|litestar|quart|async def \w+\(scope")
_LOOKED_AT = 100_000
"""Bytes at the begin of a source."""


class AsgiApp(NamedTuple):
    """An app that speaks ASGI, version 3."""

    call: AsgiCallable


def is_asgi(app: object, interface: str = AUTO) -> bool:
    """Tell whether an app speaks ASGI.

    interface: what the user says: "wsgi", "asgi", or "auto" to find out.
    """
    return interface == ASGI if interface != AUTO else _looks_like_asgi(app)


def _looks_like_asgi(app: object, depth: int = _DEPTH) -> bool:
    if not callable(app):
        return False
    if isinstance(app, type):  # one instance a request, which is awaited
        return hasattr(app, "__await__") and takes(signature(app), 3) is True
    if is_async(app):
        return True
    declared = signature(app)
    three, two = takes(declared, 3), takes(declared, 2)
    if three is not two:
        return three is True
    # It takes anything, or both: `def wrapper(*args)`, or a third parameter with a default.
    if declared is not None and any(map(_is_named, declared.parameters.values())):
        return next(iter(declared.parameters)) == "scope"
    return depth > 0 and _wraps_asgi(app, depth - 1)


def _wraps_asgi(app: object, depth: int) -> bool:
    """Tell whether what a wrapper wraps is an ASGI app."""
    around = _variables_around(app)
    held = {**around, **getattr(app, "__dict__", {})}
    inner = next((held[name] for name in _WRAPPED if name in held), None)
    if inner is not None:
        return _looks_like_asgi(inner, depth)
    # A name of the user's own. So nothing may speak against it.
    return {_is_asgi_app(value, depth) for value in around.values()} - {None} == {True}


def _is_asgi_app(found: object, depth: int) -> bool | None:
    """Tell whether a variable of a decorator's is an ASGI app; None if it is hardly an app."""
    try:
        declared = None if isinstance(found, type) else signature(found)
        if declared is None:
            return None
        if takes(declared, 3) and (is_async(found) or next(iter(declared.parameters)) == "scope"):
            return True
        return None if takes(declared, 2) is False else _looks_like_asgi(found, depth)
    except Exception:  # noqa: BLE001  a proxy, say, that leads nowhere yet
        return None


def _variables_around(found: object) -> dict[str, object]:
    """Return what a function uses of the variables of functions around it, by their names."""
    if not isinstance(found, FunctionType):
        return {}
    held = {}
    for name, cell in zip(found.__code__.co_freevars, found.__closure__ or (), strict=True):
        with suppress(ValueError):  # it has no value yet
            held[name] = cell.cell_contents
    return held


def speaks_asgi_likely(file: str) -> bool:
    """Tell whether a source looks as if there is an ASGI app in it. Nothing depends on it."""
    try:
        with open(file, "rb") as source:
            return _SIGNS.search(source.read(_LOOKED_AT)) is not None
    except OSError:
        return False


def is_async(found: object) -> bool:
    """Tell whether calling it makes a coroutine."""
    if isinstance(found, type):
        return False
    # Asked of the instance: some middleware gives each a `__call__` of its own, in a slot.
    calls = (found, getattr(found, "__call__", None))  # noqa: B004  not asked whether there is one
    return any(map(inspect.iscoroutinefunction, calls))


def signature(found: object, *, follow_wrapped: bool = True) -> inspect.Signature | None:
    """Return the signature of a callable; None for what has none, as some compiled ones."""
    if not callable(found):
        return None
    try:
        return inspect.signature(found, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):
        return None


def takes(declared: inspect.Signature | None, count: int) -> bool | None:
    """Tell whether so many positional arguments fit; None where nobody can tell."""
    if declared is None:
        return None
    try:
        declared.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
