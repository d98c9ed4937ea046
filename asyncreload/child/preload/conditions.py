"""The conditions under which a package is imported, and a load comes to its end.

What a project sets up before it imports a package, the package may notice: the import path, log
configuration, warning filters. Here the conditions are read; reproduction.py makes them in a
standby what they were.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # typeshed has it not
import builtins
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
from socket import getdefaulttimeout
from typing import Any

from asyncreload.cpython import event_loop_policy
from asyncreload.current_directory import current_directory
from asyncreload.style import first_names

Conditions = dict[str, Any]
"""Plain data, as JSON carries it, by names that a person understands."""

ENVIRONMENT = "environment variables"
FILTERS = "warning filters"
LOGGERS = "loggers"

UNTOUCHED: list[Any] = [logging.NOTSET, False, True, 0]
"""The state of a logger as it is made: level, disabled, propagate, number of handlers."""
_PLAIN_HANDLERS: dict[Any, str] = {each.value: each.name for each in signal.Handlers}
_PATCHERS = ("gevent.monkey", "eventlet.patcher")
"""Modules that change the interpreter for those that are imported after them."""


def read_conditions() -> Conditions:
    """Return what a package may look at while it is imported, but for the environment."""
    hooks = [*map(kind_name, sys.meta_path), *map(kind_name, sys.path_hooks)]
    return {
        "import path": list(sys.path),
        "import hooks": [hook for hook in hooks if not hook.startswith("asyncreload.")],
        "working directory": current_directory(),
        "locale": _locale.setlocale(_locale.LC_ALL),
        "default timeout of sockets": getdefaulttimeout(),
        "built-in names": sorted(vars(builtins)),
        "standard streams": [kind_name(sys.stdout), kind_name(sys.stderr)],
        FILTERS: [describe_filter(each) for each in warnings.filters],
        LOGGERS: logger_states(),
        "least level of logging": logging.root.manager.disable,
        "class of loggers": kind_name(logging.getLoggerClass()),
        "factory of log records": function_name(logging.getLogRecordFactory()),
        "exception hook": function_name(sys.excepthook),
        "exception hook of threads": function_name(threading.excepthook),
        "hook of unraisable exceptions": function_name(sys.unraisablehook),
        "signal handlers": signal_handlers(),
        "time zone": time_zone(),
        "limit of recursion": sys.getrecursionlimit(),
        "event loop policy": policy_name(),
        "start method of multiprocessing": start_method(),
    }


def after_load() -> Conditions:
    """Return what must be the same after two loads for the one to have stood for the other."""
    return {ENVIRONMENT: dict(os.environ)} | read_conditions()


def describe_difference(name: str, then: Any, now: Any) -> str:
    """Return which condition differs; of one that has parts, such as loggers, which of them do."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        return name
    differing = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    return f"{name} ({', '.join(first_names(differing))})"


def patcher() -> str:
    """Return the module that has changed the interpreter for all others; "" if there is none."""
    return next((name for name in _PATCHERS if name in sys.modules), "")


def describe_filter(each: Any) -> list[Any]:
    """Return a warning filter as plain data."""
    action, message, category, module, line = each
    return [
        action,
        _describe_pattern(message),
        kind_name(category),
        _describe_pattern(module),
        line,
    ]


def _describe_pattern(pattern: Any) -> Any:
    """Return a pattern as plain data: the filters that Python begins with have plain strings."""
    return [pattern.pattern, pattern.flags] if isinstance(pattern, re.Pattern) else pattern


def logger_states() -> dict[str, list[int]]:
    """Return the loggers, the root among them, that are not as they are made."""
    named = logging.root.manager.loggerDict.items()
    loggers = {name: each for name, each in named if isinstance(each, logging.Logger)}
    states = {name: state(each) for name, each in {"root": logging.root, **loggers}.items()}
    return {name: states[name] for name in sorted(states) if states[name] != UNTOUCHED}


def state(logger: logging.Logger) -> list[int]:
    """Return what a logger was set up with."""
    return [logger.level, logger.disabled, logger.propagate, len(logger.handlers)]


def function_name(function: object) -> str:
    """Return where a function comes from: its `str` may have an address in it."""
    if hasattr(function, "__qualname__"):
        return f"{function.__module__}.{function.__qualname__}"
    return kind_name(function)


def signal_handlers() -> dict[str, str]:
    """Return the handlers that are neither Python's own nor ours, by the numbers of the signals."""
    found = {}
    for number in range(1, signal.NSIG):
        handler = _signal.getsignal(number)  # many times quicker than that of `signal`
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        if handler is not None and handler != usual:
            name = _PLAIN_HANDLERS.get(handler) or function_name(handler)
            if not name.startswith("asyncreload."):
                found[str(number)] = name
    return found


def time_zone() -> list[Any]:
    """Return what `time.tzset` has found in the environment."""
    return [*time.tzname, time.timezone]


def policy_name() -> str:
    """Return the class of the policy for event loops; "" for asyncio's own."""
    policy = event_loop_policy()
    name = "" if policy is None else kind_name(policy)
    return "" if name.startswith("asyncio.") else name


def start_method() -> str | None:
    """Return how `multiprocessing` starts processes; None as long as that may still be chosen."""
    multiprocessing = sys.modules.get("multiprocessing")
    read = getattr(multiprocessing, "get_start_method", None)
    found: str | None = read(allow_none=True) if read else None
    return found


def kind_name(thing: object) -> str:
    """Return the name of a class, or of a thing's class."""
    # Not `isinstance`: a lazy object would answer for what it stands for, and make that for it.
    kind = thing if issubclass(type(thing), type) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"  # type: ignore[attr-defined]  # a class
