"""Which settings of the terminal are put back."""

from __future__ import annotations

import termios
from typing import Any

import pytest

from asyncreload import terminal as module
from asyncreload.terminal import Terminal

USUAL = [0, 0, 0, termios.ICANON | termios.ECHO, 0, 0, []]
PROMPT = [0, 0, 0, termios.ECHO, 0, 0, []]
GETPASS = [0, 0, 0, termios.ICANON, 0, 0, []]


@pytest.mark.parametrize("other", [PROMPT, GETPASS])
def test_the_last_usual_ones_are_put_back(
    other: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, put_back = [USUAL], []
    monkeypatch.setattr(termios, "tcgetattr", lambda _: now[-1])
    monkeypatch.setattr(termios, "tcsetattr", lambda _, __, settings: put_back.append(settings))
    monkeypatch.setattr(module, "is_in_foreground", lambda: True)
    terminal = Terminal()
    terminal.restore()
    assert put_back == []
    now.append(other)
    terminal.note()
    terminal.restore()
    assert put_back == [USUAL]
