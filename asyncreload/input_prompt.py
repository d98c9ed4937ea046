"""Whether the cursor stands behind a prompt of `input()`, in memory that all processes share.

The app has the same terminal as we. Python tells of `input()` by an audit event just before the
prompt is shown, and by another one when a line was typed. In between, whoever prints a line begins
a new one first, and has the prompt shown again behind it. If the app is interrupted there, or dies,
the cursor stays where it is: so the next line is the one that begins anew.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
import time
from contextlib import suppress
from threading import get_ident
from types import FrameType
from typing import Any, NamedTuple

from asyncreload import audit
from asyncreload.cpython import current_frames
from asyncreload.system_calls import anonymous_file


class _Call(NamedTuple):
    """A call of `input()` that may still wait for its line."""

    text: str
    """What it shows."""
    thread: int
    frame: int
    """The frame that calls, by its identity: to keep it would keep what the app has in it."""
    instruction: int

    def waits(self) -> bool:
        """Tell whether it has not come back: also by an exception, of which no event tells."""
        frame = current_frames().get(self.thread)
        return frame is not None and (id(frame), frame.f_lasti) == (self.frame, self.instruction)


class InputPrompt:
    """A flag, by the descriptor of the memory that it is in."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._shared = mmap.mmap(descriptor, 1)
        self._memory: mmap.mmap | bytearray = self._shared
        self._call: _Call | None = None
        self.typed_at: float = -math.inf
        """When the last line was typed at a prompt of this process, by `time.monotonic`."""

    @classmethod
    def create(cls) -> InputPrompt:
        """Return one that is not set. Raises OSError when there is no memory for it."""
        return cls(anonymous_file(1))

    def hear(self, event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        """Hear an audit event."""
        if event == "builtins.input":
            prompt = arguments[0]
            at_start = prompt is None or (isinstance(prompt, str) and prompt[-1:] in {"", "\n"})
            self._memory[0] = not at_start
            text = prompt if isinstance(prompt, str) and not at_start else ""
            if frame is not None:
                self._call = _Call(text, get_ident(), id(frame), frame.f_lasti)
        elif event == "builtins.input/result":
            self._memory[0] = False
            self._call = None
            self.typed_at = time.monotonic()

    def show_again(self) -> None:
        """Show the prompt again that still waits, and what is typed already, behind lines of ours.

        Python's `input()` is in a system call there, and does not know that lines were printed.
        """
        if self._call is None or not self._call.text or not self._call.waits():
            return
        readline: Any = sys.modules.get("readline")
        typed = readline.get_line_buffer() if readline is not None else ""
        with suppress(OSError):
            if os.isatty(1):
                os.write(1, f"{self._call.text.rpartition(chr(10))[2]}{typed}".encode())
                self._memory[0] = True

    def leave(self) -> bool:
        """Tell whether the cursor stands behind a prompt; it is taken to a new line now."""
        is_open = bool(self._memory[0])
        self._memory[0] = False
        return is_open

    def close(self) -> None:
        """Let go of the memory and of its descriptor; what is still printed finds a copy."""
        self._memory = bytearray(self._shared)
        self._shared.close()
        os.close(self.descriptor)


class _Own:
    """That of a process which runs an app."""

    prompt: InputPrompt | None = None


_own = _Own()


def watch_prompts(prompt: InputPrompt) -> None:
    """Have the flag set whenever this process shows a prompt; called once, in a child."""
    _own.prompt = prompt
    audit.listen(prompt.hear, "builtins.input", "builtins.input/result")


def last_typed() -> float:
    """Return when the last line was typed at a prompt of this process, by `time.monotonic`."""
    return _own.prompt.typed_at if _own.prompt is not None else -math.inf


def show_prompt_again() -> None:
    """Show this process's prompt again, if one was left; see `InputPrompt.show_again`."""
    if _own.prompt is not None:
        _own.prompt.show_again()


def leave_prompt() -> bool:
    """Tell whether the cursor stands behind a prompt of this process's; see `InputPrompt.leave`."""
    return _own.prompt is not None and _own.prompt.leave()
