"""Whose code Ctrl-C interrupts while the loop of an ASGI app runs."""

from __future__ import annotations

import sys
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload import audit
from asyncreload.child.http.loop_interrupts import _may_be_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

CALL = "def call(function): return function()"
FRAME = "import sys\ndef call(): return sys._getframe()"


def function_of(module: str, source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": module}
    exec(source, names)
    return names["call"]  # type: ignore[no-any-return]


def called(*modules: str) -> FrameType:
    """Return the frame of the last module's function, where each has called the next one's."""
    *callers, last = modules
    innermost = function_of(last, FRAME)
    calls = (function_of(module, CALL) for module in reversed(callers))
    return reduce(lambda inner, call: partial(call, inner), calls, innermost)()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (["asyncio.events", "shop.views"], True),
        (["asyncio.events", "shop.views", "json.encoder"], True),
        (["asyncreload.child.http.asgi", "shop.views", "contextlib", "subprocess"], True),
        (["shop.views", "asyncio.tasks"], False),
        (["shop.views", "asyncreload.child.http.asgi", "contextlib"], False),
        (["asyncreload.child.debugger", "signal", "enum"], False),
        (["uvicorn.protocols.http.h11_impl", "urllib.parse"], False),
    ],
)
def test_what_of_pythons_own_is_called_is_its_callers(
    modules: list[str], *, expected: bool
) -> None:
    frame = called(*modules)
    assert frame.f_globals["__name__"] == modules[-1]
    assert frame is not sys._getframe()
    assert _may_be_interrupted(frame) is expected


def test_what_listens_to_the_apps_audit_events_is_the_apps_as_well() -> None:
    """Ctrl-C came while a debugger began to read a line, and was put off until it was left."""
    frames: list[FrameType] = []
    audit.listen(lambda *_: frames.append(sys._getframe()), "asyncreload.test")
    ask = partial(sys.audit, "asyncreload.test")
    for module in ("shop.views", "asyncio.events"):
        partial(function_of("asyncio.events", CALL), partial(function_of(module, CALL), ask))()
    assert [_may_be_interrupted(frame) for frame in frames] == [True, False]
