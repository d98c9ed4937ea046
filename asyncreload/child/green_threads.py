"""Libraries that replace the threads of `threading` by greenlets."""

from __future__ import annotations

import sys

_LIBRARIES = (
    ("gevent.monkey", "is_module_patched", "threading"),
    ("eventlet.patcher", "is_monkey_patched", "thread"),
)


def green_threads() -> str:
    """Return the name of the library that has replaced threads; "" if none has."""
    for module, name, what in _LIBRARIES:
        is_patched = getattr(sys.modules.get(module), name, None)  # it may be half imported
        if is_patched is not None and is_patched(what):
            return module.partition(".")[0]
    return ""
