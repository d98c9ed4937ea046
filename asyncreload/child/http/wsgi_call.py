"""Calls a WSGI app, and notices an ASGI app that was taken for one, and what is no response.

An app whose wrapper takes anything may be either (see imports/interface.py). Called as a WSGI app,
an ASGI app gives itself away: it returns a coroutine, or lacks its third argument.
"""

from __future__ import annotations

from collections.abc import Coroutine
from traceback import walk_tb
from typing import TYPE_CHECKING, cast

from asyncreload.errors import InterfaceError
from asyncreload.style import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_LACKS_SEND = "missing 1 required positional argument: 'send'"
_REMEDY = (
    "this is an ASGI app in a wrapper that hides it: "
    'serve it with --interface asgi (interface = "asgi"), '
    "or decorate the wrapper with functools.wraps(app)"
)


def call(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Call the app. Raises what it raises; `InterfaceError` for one that speaks ASGI.

    Raises `TypeError` for what nobody can iterate over, such as the None of a forgotten `return`.
    """
    given = (environ, start_response)
    try:
        result = app(*given)
    except TypeError as exc:
        if _is_asgi(exc, given):
            raise InterfaceError(_REMEDY) from None
        raise
    if isinstance(result, Coroutine):
        cast("Coroutine[object, None, object]", result).close()  # no warning that nobody awaited it
        raise InterfaceError(_REMEDY)
    if not hasattr(result, "__iter__") and not hasattr(result, "__getitem__"):
        raise TypeError(f"the app returned {shown(result)}, not an iterable of bytes")
    return result


def _is_asgi(error: TypeError, given: tuple[object, ...]) -> bool:
    """Tell whether a wrapper, or `call`, has passed all of this on to what wants one more."""
    *_, (raised_in, _) = walk_tb(error.__traceback__)
    return str(error).endswith(_LACKS_SEND) and _passes_on(raised_in, given)


def _passes_on(frame: FrameType, given: tuple[object, ...]) -> bool:
    return any(
        isinstance(value, tuple) and [*map(id, value)] == [*map(id, given)]
        for value in frame.f_locals.values()
    )
