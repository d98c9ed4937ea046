"""Whether a process has ended, also for a process that cannot open a file."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from asyncreload import descendants
from tests.unit.parent.fakes import NO_PROCESS


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_one_that_lives_has_not_ended() -> None:
    assert not descendants.has_ended(os.getpid())
    assert not descendants.has_ended(1)  # another user's, perhaps


def test_one_that_is_gone_has_ended() -> None:
    assert descendants.has_ended(NO_PROCESS)


def test_one_that_lives_has_not_ended_where_no_file_can_be_opened() -> None:
    """A child would take its supervisor for dead, and end it by deleting its lockfile."""
    error = 0
    with no_descriptor_left():
        ended = [descendants.has_ended(pid) for pid in (os.getpid(), NO_PROCESS)]
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as exc:
            error = exc.errno or 0
    assert ended == [False, True]
    assert error == errno.EMFILE
