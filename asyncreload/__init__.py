"""A development server that reloads Python web code the moment it is saved."""

from __future__ import annotations

import os
from importlib import import_module

# Not from `typing`, which loads `re` and `enum`: `python -m asyncreload` imports this package while
# the current directory comes first, and there may be a project's `re.py` in it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncreload.errors import (
        AbsentTargetError,
        AsyncreloadError,
        BindError,
        EnvironmentFileError,
        InterfaceError,
        LifespanError,
        LockfileError,
        MissingExtraError,
        NestedError,
        PlatformError,
        SettingsError,
        TargetError,
    )
    from asyncreload.events import (
        Changed,
        Crashed,
        Event,
        Failed,
        Ready,
        Refreshed,
        Starting,
        Stopped,
    )
    from asyncreload.parent.supervisor import Supervisor, supervise
    from asyncreload.process_role import is_child
    from asyncreload.run_app import run
    from asyncreload.settings import Settings

    __version__: str

__all__ = [
    "AbsentTargetError",
    "AsyncreloadError",
    "BindError",
    "Changed",
    "Crashed",
    "EnvironmentFileError",
    "Event",
    "Failed",
    "InterfaceError",
    "LifespanError",
    "LockfileError",
    "MissingExtraError",
    "NestedError",
    "PlatformError",
    "Ready",
    "Refreshed",
    "Settings",
    "SettingsError",
    "Starting",
    "Stopped",
    "Supervisor",
    "TargetError",
    "is_child",
    "run",
    "supervise",
]

try:
    IMPORTED_IN = os.getcwd()
    """Most likely where Python was started: scripts import first, and then change directory."""
except OSError:  # it has been removed
    IMPORTED_IN = ""

_EVENTS = {"Changed", "Crashed", "Event", "Failed", "Ready", "Refreshed", "Starting", "Stopped"}
_HOMES = dict.fromkeys(_EVENTS, "asyncreload.events") | {
    "Settings": "asyncreload.settings",
    "Supervisor": "asyncreload.parent.supervisor",
    "is_child": "asyncreload.process_role",
    "run": "asyncreload.run_app",
    "supervise": "asyncreload.parent.supervisor",
}


# Names are looked up when they are first used: a child needs none of the parent's modules, and
# `python -m asyncreload` must leave the project's directory before it imports more (boot.py).
if not TYPE_CHECKING:  # for type checkers, any name would be there

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return import_module("importlib.metadata").version("asyncreload")
        if name not in __all__:
            raise AttributeError(f"module 'asyncreload' has no attribute {name!r}")
        return getattr(import_module(_HOMES.get(name, "asyncreload.errors")), name)


def __dir__() -> list[str]:
    return __all__
