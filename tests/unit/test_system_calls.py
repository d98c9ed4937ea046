"""System calls that Python does not offer everywhere, and what is done without them."""

from __future__ import annotations

import os
import select
import socket
import sys
from pathlib import Path

import pytest

from asyncreload.system_calls import anonymous_file, files_open_for_writing, open_process


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has descriptors for processes")
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
