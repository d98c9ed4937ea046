"""The access log at a terminal where a debugger's prompt is open."""

from __future__ import annotations

import os
import pty
import tty

import pytest

from asyncreload.child.http.access_log import log_access


@pytest.mark.parametrize("prompted", [True, False])
def test_a_line_never_lands_behind_a_prompt(
    *, prompted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard, screen = pty.openpty()
    with open(screen, "w", encoding="utf-8") as stream:
        if prompted:
            tty.setcbreak(screen)
        monkeypatch.setattr("sys.stderr", stream)
        log_access("GET /", "200 OK", 0.001)
        stream.flush()
        seen = os.read(keyboard, 1000)
    os.close(keyboard)
    assert seen.startswith(b"\r\n") is prompted
    assert b"GET /" in seen
