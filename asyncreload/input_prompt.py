"""Whether the cursor stands behind a prompt of `input()`, in memory that all processes share.

The app has the same terminal as we. Python tells of `input()` by an audit event just before the
prompt is shown, and by another one when a line was typed. In between, whoever prints a line begins
a new one first. If the app is interrupted there, or dies, the cursor stays where it is: so the next
line is the one that begins anew.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any

from asyncreload.system_calls import anonymous_file


class InputPrompt:
    """A flag, by the descriptor of the memory that it is in."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._shared = mmap.mmap(descriptor, 1)
        self._memory: mmap.mmap | bytearray = self._shared

    @classmethod
    def create(cls) -> InputPrompt:
        """Return one that is not set. Raises OSError when there is no memory for it."""
        return cls(anonymous_file(1))

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear an audit event."""
        if event == "builtins.input":
            prompt = arguments[0]
            at_start = prompt is None or (isinstance(prompt, str) and prompt[-1:] in {"", "\n"})
            self._memory[0] = not at_start
        elif event == "builtins.input/result":
            self._memory[0] = False

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
    sys.addaudithook(prompt.hear)


def leave_prompt() -> bool:
    """Tell whether the cursor stands behind a prompt of this process's; see `InputPrompt.leave`."""
    return _own.prompt is not None and _own.prompt.leave()
