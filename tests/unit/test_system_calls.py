"""System calls that Python does not offer everywhere, and what is done without them."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from asyncreload import system_calls
from asyncreload.system_calls import (
    Polled,
    anonymous_file,
    files_open_for_writing,
    has_input,
    hear_of_opens,
    is_open_for_writing,
    new_event_queue,
    open_process,
    opened,
    process_began,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such calls")


@linux
def test_the_descriptor_is_silent_while_the_parent_lives() -> None:
    descriptor = open_process(os.getppid())
    assert descriptor is not None
    try:
        assert select.select([descriptor], [], [], 0) == ([], [], [])
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("pid", [0, 2**22 + 1])  # of another namespace, and more than there can be
def test_where_nothing_can_be_heard_it_is_said(pid: int) -> None:
    assert open_process(pid) is None


def test_a_system_without_such_descriptors_is_served_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert open_process(os.getppid()) is None


@pytest.mark.parametrize("has_memfd", [True, False])
def test_a_file_without_a_name_has_its_size(
    monkeypatch: pytest.MonkeyPatch, *, has_memfd: bool
) -> None:
    if not has_memfd:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = anonymous_file(8)
    try:
        assert os.fstat(descriptor).st_size == 8
    finally:
        os.close(descriptor)


def test_news_of_some_descriptors_is_asked_for_at_once() -> None:
    (out, into), file = os.pipe(), os.open(__file__, os.O_RDONLY)
    polled = Polled((out, select.POLLIN), (-1, select.POLLIN), (file, select.POLLPRI))
    assert polled.now() == [False, False, False]
    os.write(into, b".")
    assert polled.now() == [True, False, False]
    os.close(file)  # an error is news
    assert polled.now() == [True, False, True]
    os.read(out, 1)
    assert polled.now() == [False, False, True]
    os.close(out)
    os.close(into)


def test_what_is_to_be_read_is_told_without_reading_it() -> None:
    out, into = os.pipe()
    assert not has_input(out)
    os.write(into, b".")
    assert has_input(out)
    assert os.read(out, 1) == b"."
    os.close(out)
    os.close(into)


@linux
def test_whether_a_file_is_open_for_writing_is_told_and_nobody_is_held_up(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x")
    descriptor = os.open(path, os.O_RDONLY)
    assert is_open_for_writing(descriptor) is False
    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    with path.open("a"):
        assert is_open_for_writing(descriptor) is True
    os.close(descriptor)


@linux
def test_a_signal_that_does_nothing_tells_that_somebody_waits_for_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is sent else, SIGIO, ends the process."""
    (tmp_path / "a").write_text("x")
    descriptor = os.open(tmp_path / "a", os.O_RDONLY)
    libc = system_calls._libc()
    signals: list[int] = []

    class Libc:
        def __init__(self) -> None:
            self.fstatfs = libc.fstatfs

        def fcntl(self, number: int, what: int, value: int) -> int:
            result: int = libc.fcntl(number, what, value)
            if (what, value) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
                signals.append(fcntl.fcntl(number, fcntl.F_GETSIG))
            return result

    monkeypatch.setattr(system_calls, "_libc", Libc)
    assert is_open_for_writing(descriptor) is False
    assert signals == [signal.SIGURG]
    os.close(descriptor)


@linux
@pytest.mark.parametrize("error", [errno.EACCES, errno.EINVAL])
def test_where_no_lease_is_to_be_had_nobody_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A file of another user, a file system without leases."""
    (tmp_path / "a").write_text("x")
    descriptor = os.open(tmp_path / "a", os.O_RDONLY)

    libc = system_calls._libc()

    class Libc:
        def __init__(self) -> None:
            self.fstatfs = libc.fstatfs

        def fcntl(self, _: int, what: int, __: int) -> int:
            ctypes.set_errno(error)
            return -1 if what == fcntl.F_SETLEASE else 0

    monkeypatch.setattr(system_calls, "_libc", Libc)
    assert is_open_for_writing(descriptor) is None
    os.close(descriptor)


@linux
def test_what_was_opened_is_told_once(tmp_path: Path) -> None:
    queue = new_event_queue()
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.touch()
    one, two = (hear_of_opens(queue, str(path)) for path in paths)
    assert opened(queue) == set()
    for path in (*paths, *paths):
        path.read_text()
    assert opened(queue) == {one, two}
    assert opened(queue) == set()
    paths[0].unlink()  # of which the kernel tells, too
    assert opened(queue) == set()
    with pytest.raises(FileNotFoundError):
        hear_of_opens(queue, str(paths[0]))
    os.close(queue)


def test_files_that_are_open_for_writing_are_found(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("")
    before = files_open_for_writing()
    out, into = os.pipe()
    with (
        open(tmp_path / "write", "w") as write,
        open(tmp_path / "read") as _,
        socket.socket() as _,
    ):
        after = files_open_for_writing()
        assert before is not None
        assert after is not None
        state = os.fstat(write.fileno())
        assert (write.fileno(), state.st_dev, state.st_ino) in after - before
        assert {number for number, *_ in after - before} == {write.fileno(), into}
    os.close(out)
    os.close(into)


def test_a_system_that_does_not_list_descriptors_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def listdir(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert files_open_for_writing() is None


@linux
def test_the_beginning_of_this_process_is_told() -> None:
    before = time.time_ns() - time.process_time_ns()
    assert 0 < process_began(0) < before + 20_000_000


def test_where_it_is_not_told_it_is_when_the_start_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(_: str) -> int:
        raise ValueError

    monkeypatch.setattr(os, "sysconf", unknown)
    assert process_began(7) == 7
