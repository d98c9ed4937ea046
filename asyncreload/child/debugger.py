"""Whether a debugger waits at its prompt in this process.

Nothing is installed for it: the stacks are looked at when it matters, which is when a file has
changed or Ctrl-C was pressed.
"""

from __future__ import annotations

import signal
import sys
from threading import main_thread
from types import FrameType

from asyncreload.cpython import current_frames, handler_before_pdb, have_pdb_raise

_PROMPTS = frozenset({"interaction", "_cmdloop", "cmdloop"})


def is_at_prompt() -> bool:
    """Tell whether pdb, or a debugger that is built on it, waits for a command in any thread."""
    return bool(_threads_at_prompt())


def hears_ctrl_c() -> bool:
    """Tell whether Ctrl-C reaches a debugger that waits; Python interrupts the main thread."""
    return main_thread().ident in _threads_at_prompt()


def _threads_at_prompt() -> list[int]:
    if (kind := _pdb()) is None:
        return []
    stacks = current_frames()
    return [thread for thread, frame in stacks.items() if _is_prompt(frame, kind)]


def give_interrupts_back() -> None:
    """Put the handler of SIGINT back that pdb has replaced; called in the main thread.

    When its prompt is left in the main thread, pdb makes Ctrl-C open another one, until the next
    prompt. What was debugged is over, though, when the main thread waits for us, or has answered.
    """
    if (kind := _pdb()) is not None and _handler_of_sigint(kind) is not None:
        signal.signal(signal.SIGINT, handler_before_pdb(kind))


def let_interrupts_through() -> None:
    """Have the next SIGINT raise KeyboardInterrupt, where pdb would open its prompt again.

    It does when a prompt was left in the main thread. Whoever calls this, in any thread, is about
    to interrupt that one because the process ends.
    """
    if (kind := _pdb()) is not None and (debugger := _handler_of_sigint(kind)) is not None:
        have_pdb_raise(debugger)


def _handler_of_sigint(kind: type) -> object | None:
    """Return the debugger of this kind that has taken SIGINT for itself, if one has."""
    found = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return found if isinstance(found, kind) else None


def _pdb() -> type | None:
    """Return the class of the debugger; None if it is not imported, or another thread does that."""
    kind = getattr(sys.modules.get("pdb"), "Pdb", None)
    return kind if isinstance(kind, type) else None


def _is_prompt(frame: FrameType | None, kind: type) -> bool:
    while frame is not None:
        code = frame.f_code
        if (
            code.co_name in _PROMPTS
            and code.co_argcount
            and isinstance(frame.f_locals.get(code.co_varnames[0]), kind)
        ):
            return True
        frame = frame.f_back
    return False
