"""Functions that would block the event loop are run in a thread; when there is none, right here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from aiofiles.os import wrap

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return a coroutine function that runs a function in a thread of the loop's.

    When the system gives no thread at the moment, the function is run at once, and the loop waits
    for it. It may be run a second time later, when the loop's executor has a thread again: so it
    must be one that only looks.
    """
    wrapped: Callable[..., Awaitable[T]] = wrap(function)

    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await wrapped(*args, **kwargs)
        except RuntimeError:  # "can't start new thread"
            return function(*args, **kwargs)

    return run
