"""Whether the cursor stands behind a prompt, as audit events tell."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from asyncreload import input_prompt
from asyncreload.input_prompt import InputPrompt, leave_prompt


@pytest.fixture
def prompt() -> Iterator[InputPrompt]:
    with closing(InputPrompt.create()) as created:
        yield created


class Other:
    """An object that is shown as a prompt."""


@pytest.mark.parametrize(
    ("shown", "behind"),
    [("name? ", True), (Other(), True), ("", False), (None, False), ("name:\n", False)],
)
def test_a_prompt_is_open_until_somebody_leaves_it(
    prompt: InputPrompt, shown: object, *, behind: bool
) -> None:
    of_supervisor = InputPrompt(prompt.descriptor)
    assert not of_supervisor.leave()
    prompt.hear("builtins.input", (shown,), sys._getframe())
    assert of_supervisor.leave() is behind
    assert not of_supervisor.leave()


def test_a_line_that_is_typed_ends_it(prompt: InputPrompt) -> None:
    prompt.hear("builtins.input", ("name? ",), sys._getframe())
    prompt.hear("open", ("/etc/passwd", "r", 0), sys._getframe())
    prompt.hear("builtins.input/result", ("Bob",), sys._getframe())
    assert not prompt.leave()


def shown_again(prompt: InputPrompt, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return what is written to standard output, taken for a terminal."""
    written: list[bytes] = []
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 1)
    monkeypatch.setattr(os, "write", lambda descriptor, data: written.append(data))
    prompt.show_again()
    return b"".join(written)


def test_one_that_waits_is_shown_again(
    prompt: InputPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    readline = SimpleNamespace(get_line_buffer=lambda: "half")
    monkeypatch.setitem(sys.modules, "readline", readline)
    frame: Any = SimpleNamespace(f_lasti=7)
    before = time.monotonic()
    monkeypatch.setattr(input_prompt, "current_frames", lambda: {threading.get_ident(): frame})
    prompt.hear("builtins.input", ("first\nname? ",), frame)
    assert prompt.leave()
    assert shown_again(prompt, monkeypatch) == b"name? half"
    assert prompt.leave()
    frame.f_lasti = 8  # it has come back, by an exception
    assert shown_again(prompt, monkeypatch) == b""
    frame.f_lasti = 7
    prompt.hear("builtins.input/result", ("Bob",), frame)
    assert shown_again(prompt, monkeypatch) == b""
    prompt.hear("builtins.input", (None,), frame)
    assert shown_again(prompt, monkeypatch) == b""
    assert before <= prompt.typed_at <= time.monotonic()


def test_what_it_was_is_still_known_when_it_is_closed() -> None:
    prompt = InputPrompt.create()
    prompt.hear("builtins.input", ("name? ",), sys._getframe())
    prompt.close()
    assert prompt.leave()


def test_a_process_without_an_app_has_none() -> None:
    assert not leave_prompt()
