"""What serves ASGI apps is imported here: uvicorn, its protocols, and uvloop if it is installed."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

_NEEDED = (
    "uvicorn.config",
    "uvicorn.server",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
_USED_IF_THERE = ("uvloop",)


def is_installed() -> bool:
    """Tell whether ASGI apps can be served."""
    return find_spec("uvicorn") is not None


def import_server() -> None:
    """Import all of it that is installed; that takes as long as many a project.

    So it is done before the project's load, where it is known in time: then what is imported ahead,
    and each checkpoint, has it.
    """
    for name in (*_NEEDED, *_USED_IF_THERE):
        with suppress(ImportError):
            import_module(name)
