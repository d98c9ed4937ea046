"""Makes the conditions in a standby what they were in a load, and puts them back.

So a package that is imported ahead finds what the project had set up before it imported it. What
cannot be made anew is replaced by something that looks the same (a log handler), or that tells
when it is used (the factory of log records). What a package changes under such conditions cannot
always be told from what the project has set up: then it cannot be imported ahead.
"""

from __future__ import annotations

import _locale
import importlib
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from socket import getdefaulttimeout, setdefaulttimeout
from typing import Any

from asyncreload.child.preload.conditions import (
    FILTERS,
    LOGGERS,
    UNTOUCHED,
    Conditions,
    describe_filter,
    logger_states,
    policy_name,
    read_conditions,
    start_method,
    state,
    time_zone,
)
from asyncreload.child.preload.stand_ins import HOOKS, Undo, make_signal_handlers, stand_in
from asyncreload.cpython import event_loop_policy, set_event_loop_policy
from asyncreload.current_directory import current_directory


class CannotReproduceError(Exception):
    """A condition cannot be made what it was."""


class Reproduction:
    """Holds the conditions of one import after the other."""

    def __init__(self) -> None:
        self._undos: list[tuple[str, Undo]] = []

    def enter(self, wanted: Conditions) -> str:
        """Make the conditions what is wanted; return the one that cannot be, "" if all are."""
        now = read_conditions()
        differing = [name for name in wanted if wanted[name] != now[name]]
        # First what cannot be made: nothing is changed then.
        for name in sorted(differing, key=_MAKERS.__contains__):
            try:
                self._undos.append((name, _MAKERS[name](wanted[name])))
            except (KeyError, CannotReproduceError):
                self.leave()
                return name
        return ""

    def leave(self) -> list[str]:
        """Put the conditions back; return those that packages have changed, or have used."""
        undos, self._undos = self._undos, []
        return [name for name, undo in reversed(undos) if not undo()]


def arrange_filters(wanted: list[Any]) -> None:
    """Put the warning filters in the order of the last load, if they are the same otherwise.

    A package that is imported ahead adds its filters before the project adds its own.
    """
    filters = [(describe_filter(each), each) for each in warnings.filters]
    if sorted(repr(told) for told, _ in filters) == sorted(map(repr, wanted)):
        _set_filters([_filter_of(told, filters) for told in wanted])


def _filter_of(told: list[Any], filters: list[tuple[list[Any], Any]]) -> Any:
    return next(each for description, each in filters if description == told)


def _make(read: Callable[[], Any], write: Callable[[Any], object], wanted: Any) -> Undo:
    """Make a single value what is wanted."""
    before = read()
    try:
        write(wanted)
    except (OSError, ValueError, _locale.Error):  # type: ignore[attr-defined]  # it has
        raise CannotReproduceError from None

    def undo() -> bool:
        is_unchanged: bool = read() == wanted
        write(before)
        return is_unchanged

    return undo


def _make_filters(wanted: list[Any]) -> Undo:
    before = list(warnings.filters)
    there = {repr(describe_filter(each)): each for each in before}
    made = [there.get(repr(told)) or _new_filter(told) for told in wanted]
    _set_filters(made)

    def undo() -> bool:
        now = list(warnings.filters)
        for at in range(len(now) - len(made) + 1):
            if now[at : at + len(made)] == made:
                _set_filters([*now[:at], *before, *now[at + len(made) :]])
                # Until the end of the load a package's filters will be behind those that the
                # project adds (see `arrange_filters`). That must not raise anything.
                return not at or all(action != "error" for action, *_ in _changed(made, before))
        _set_filters(before)
        return False

    return undo


def _changed(filters: list[Any], before: list[Any]) -> list[Any]:
    """Return the filters in front of those at the end that are the same."""
    same = 0
    for one, other in zip(reversed(filters), reversed(before), strict=False):
        if one != other:
            break
        same += 1
    return filters[: len(filters) - same]


def _new_filter(told: list[Any]) -> Any:
    action, message, kind, module, line = told
    patterns = [re.compile(*each) if isinstance(each, list) else each for each in (message, module)]
    home, _, name = kind.rpartition(".")
    category = getattr(sys.modules.get(home), name, None)
    if not isinstance(category, type):  # the project's own
        raise CannotReproduceError
    return action, patterns[0], category, patterns[1], line


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]  # typed as a sequence, but a list
    with warnings.catch_warnings():
        pass  # has Python forget which filter it has found for which place


def _make_loggers(wanted: dict[str, list[int]]) -> Undo:
    undos: list[Undo] = []
    for name in {**logger_states(), **wanted}:
        logger = logging.getLogger(name)
        undos += _make_logger(logger, wanted.get(name, UNTOUCHED))

    def undo() -> bool:
        kept = [undo() for undo in undos]
        return all(kept)

    return undo


def _make_logger(logger: logging.Logger, wanted: list[int]) -> list[Undo]:
    lacking = wanted[3] - len(logger.handlers)
    if lacking < 0:
        raise CannotReproduceError
    stand_ins = [logging.NullHandler() for _ in range(lacking)]
    for handler in stand_ins:
        logger.addHandler(handler)

    def undo() -> bool:
        there = [handler for handler in stand_ins if handler in logger.handlers]
        for handler in there:
            logger.removeHandler(handler)
        return there == stand_ins

    undos: list[Undo] = [undo]
    writers: tuple[tuple[str, Callable[[Any], object]], ...] = (
        ("level", logger.setLevel),
        ("disabled", partial(setattr, logger, "disabled")),
        ("propagate", partial(setattr, logger, "propagate")),
    )
    now = state(logger)
    for place, (name, write) in enumerate(writers):
        if now[place] != wanted[place]:
            undos.append(_make(partial(getattr, logger, name), write, wanted[place]))
    return undos


def _make_zone(wanted: list[Any]) -> Undo:
    """Have the environment read, which is as it was; when that is put back, it is read again."""
    time.tzset()
    if time_zone() != wanted:
        raise CannotReproduceError
    return lambda: True


def _make_policy(wanted: str) -> Undo:
    before = event_loop_policy()
    set_event_loop_policy(_new_policy(wanted) if wanted else None)

    def undo() -> bool:
        is_unchanged = policy_name() == wanted
        set_event_loop_policy(before)
        return is_unchanged

    return undo


def _new_policy(name: str) -> Any:
    home, _, kind = name.rpartition(".")
    try:
        return getattr(sys.modules[home], kind)()
    except Exception:  # noqa: BLE001  it is the project's own, or wants arguments
        raise CannotReproduceError from None


def _set_start_method(wanted: str | None) -> None:
    multiprocessing = importlib.import_module("multiprocessing")
    multiprocessing.set_start_method(wanted, force=True)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


def _set_locale(wanted: str) -> None:
    _locale.setlocale(_locale.LC_ALL, wanted)


_MAKERS: dict[str, Callable[[Any], Undo]] = {
    "import path": partial(_make, lambda: list(sys.path), _set_path),
    "working directory": partial(_make, current_directory, os.chdir),
    "locale": partial(_make, lambda: _locale.setlocale(_locale.LC_ALL), _set_locale),
    "default timeout of sockets": partial(_make, getdefaulttimeout, setdefaulttimeout),
    FILTERS: _make_filters,
    LOGGERS: _make_loggers,
    "least level of logging": partial(_make, lambda: logging.root.manager.disable, logging.disable),
    "factory of log records": partial(
        stand_in, logging.getLogRecordFactory, logging.setLogRecordFactory
    ),
    **HOOKS,
    "signal handlers": make_signal_handlers,
    "time zone": _make_zone,
    "limit of recursion": partial(_make, sys.getrecursionlimit, sys.setrecursionlimit),
    "event loop policy": _make_policy,
    "start method of multiprocessing": partial(_make, start_method, _set_start_method),
}
"""The conditions that can be made what they were. An import hook cannot, for instance."""
