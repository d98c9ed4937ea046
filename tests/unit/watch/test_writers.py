"""Which files somebody may have open for writing: proven by leases, undone by what is opened."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncreload.child.watch import writers
from asyncreload.child.watch.file_state import FileState
from asyncreload.child.watch.polling import Files
from asyncreload.child.watch.writers import AT_A_TIME, FOUND_AT_A_TIME, OpenFiles
from asyncreload.system_calls import has_input, is_open_for_writing
from tests.unit.watching import SharedMapping

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such leases")


class Watched:
    """Some files, and what is known of who has them open."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open_files = OpenFiles()
        self.files = Files()

    def add(self, *names: str) -> None:
        for name in names:
            path = self.root / name
            if not path.exists():
                path.write_text("x")
            self.files[str(path)] = FileState(None)
            self.open_files.watch(str(path))

    def among(self) -> list[str]:
        """Return the names of those that may be open for writing."""
        self.open_files.listen()
        return sorted(os.path.basename(path) for path in self.open_files.among(self.files))

    def tend(self, rounds: int = 1) -> bool:
        return [self.open_files.tend(self.files) for _ in range(rounds)][-1]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.open_files.close()


def test_each_file_is_possibly_open_until_it_was_tried(watched: Watched) -> None:
    watched.add("a", "b")
    assert watched.among() == ["a", "b"]
    assert watched.tend()
    assert watched.among() == []


def test_that_it_tries_files_is_not_taken_for_their_being_opened(watched: Watched) -> None:
    watched.add("a", "b")
    watched.tend()
    assert watched.open_files.queue is not None
    assert not has_input(watched.open_files.queue)
    assert watched.among() == []


def test_what_is_opened_is_possibly_open_until_it_was_tried_again(watched: Watched) -> None:
    watched.add("a", "b")
    watched.tend()
    (watched.root / "a").read_text()
    assert watched.among() == ["a"]
    assert watched.tend()
    assert watched.among() == []


def by_its_name(path: Path) -> int:
    return os.open(path, os.O_RDWR)


def by_a_hard_link(path: Path) -> int:
    other = path.with_name("elsewhere")
    other.hardlink_to(path)
    return os.open(other, os.O_RDWR)


def by_a_descriptor(path: Path) -> int:
    """One that was for reading only."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    finally:
        os.close(descriptor)


def passed_on(path: Path) -> int:
    """By a descriptor that comes from elsewhere."""
    one, two = socket.socketpair()
    with one, two:
        descriptor = os.open(path, os.O_RDWR)
        socket.send_fds(one, [b"."], [descriptor])
        os.close(descriptor)
        return socket.recv_fds(two, 1, 1)[1][0]


def by_truncation(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, b"x")
    return descriptor


HOW = pytest.mark.parametrize(
    "how", [by_its_name, by_a_hard_link, by_a_descriptor, passed_on, by_truncation]
)


@HOW
@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_a_file_counts_as_open_for_as_long_as_it_is_mapped(
    watched: Watched,
    how: Callable[[Path], int],
    is_first: bool,  # noqa: FBT001  a parameter
) -> None:
    """It was opened before it is watched, or after that."""
    path = watched.root / "a"
    path.write_text("x")
    if is_first:
        mapping = SharedMapping(how(path))
    watched.add("a")
    if not is_first:
        assert watched.tend()
        mapping = SharedMapping(how(path))
    assert watched.among() == ["a"]
    assert not watched.tend(3)
    assert watched.among() == ["a"]
    mapping.close()
    assert watched.tend()
    assert watched.among() == []


def test_a_descriptor_that_nobody_has_received_yet_counts(watched: Watched) -> None:
    watched.add("a")
    one, two = socket.socketpair()
    with one, two:
        descriptor = os.open(watched.root / "a", os.O_RDWR)
        socket.send_fds(one, [b"."], [descriptor])
        os.close(descriptor)
        assert not watched.tend(3)
    assert watched.tend()


@pytest.mark.parametrize("is_before", [True, False], ids=["before the lease", "after it"])
def test_a_file_that_is_mapped_while_it_is_tried_is_not_missed(
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    is_before: bool,  # noqa: FBT001  a parameter
) -> None:
    mappings: list[SharedMapping] = []

    def and_map(descriptor: int) -> bool | None:
        monkeypatch.setattr(writers, "is_open_for_writing", is_open_for_writing)
        found = None if is_before else is_open_for_writing(descriptor)
        mappings.append(SharedMapping(os.open(watched.root / "a", os.O_RDWR)))
        return is_open_for_writing(descriptor) if is_before else found

    watched.add("a")
    monkeypatch.setattr(writers, "is_open_for_writing", and_map)
    watched.tend()
    assert watched.among() == ["a"]
    assert not watched.tend(3)
    assert watched.among() == ["a"]
    mappings[0].close()


def test_names_of_the_same_file_are_tried_together(watched: Watched) -> None:
    """To try one of them opens them all."""
    names = [f"{number}" for number in range(AT_A_TIME + 2)]
    watched.add(names[0])
    for name in names[1:]:
        (watched.root / name).hardlink_to(watched.root / names[0])
        watched.add(name)
    assert watched.tend()
    assert watched.among() == []


def test_many_files_are_tried_in_several_rounds(watched: Watched) -> None:
    watched.add(*(f"{number}" for number in range(2 * AT_A_TIME + 1)))
    assert [watched.tend() for _ in range(3)] == [False, False, True]


def test_those_found_open_are_tried_again_in_turn_and_only_some_at_a_time(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}" for number in range(2 * FOUND_AT_A_TIME)]
    watched.add(*names)
    mappings = [SharedMapping(os.open(watched.root / name, os.O_RDWR)) for name in names]
    assert not watched.tend()
    tried: list[int] = []

    def count(descriptor: int) -> bool | None:
        tried.append(os.fstat(descriptor).st_ino)
        return is_open_for_writing(descriptor)

    monkeypatch.setattr(writers, "is_open_for_writing", count)
    assert not watched.tend()
    assert len(tried) == FOUND_AT_A_TIME
    assert not watched.tend()
    assert len({*tried}) == len(names)
    for mapping in mappings:
        mapping.close()
    assert watched.tend(2)


def test_a_file_of_which_nobody_can_tell_is_tried_again_only_when_it_was_opened(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(writers, "is_open_for_writing", tried.append)
    watched.add("a")
    assert watched.tend(5)  # nothing is to be found out
    assert len(tried) == 1
    assert watched.among() == ["a"]
    (watched.root / "a").read_text()
    assert watched.tend(5)
    assert len(tried) == 2


def test_a_file_that_cannot_be_opened_is_asked_for(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("a", "b")
    (watched.root / "b").unlink()
    (watched.root / "b").symlink_to("a")
    assert watched.tend(2)
    assert watched.among() == ["b"]


def test_another_file_of_the_name_is_one_that_was_not_tried(watched: Watched) -> None:
    watched.add("a", "b")
    watched.tend()
    mapping = SharedMapping(os.open(watched.root / "b", os.O_RDWR))
    (watched.root / "b").replace(watched.root / "a")
    watched.add("a")
    assert not watched.tend(3)
    assert "a" in watched.among()
    mapping.close()
    assert watched.tend()


def test_when_the_kernel_has_lost_count_all_files_may_be_open(watched: Watched) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    watched.add("a", "b", "c")
    watched.tend()
    one, two = (str(watched.root / name) for name in ("a", "b"))
    for _ in range(limit // 2 + 100):  # by turns: the kernel takes equal neighbours for one
        os.close(os.open(one, os.O_RDONLY))
        os.close(os.open(two, os.O_RDONLY))
    mapping = SharedMapping(os.open(watched.root / "c", os.O_RDWR))
    assert watched.among() == ["a", "b", "c"]
    assert not watched.tend(3)
    assert watched.among() == ["c"]
    mapping.close()


@pytest.mark.parametrize("missing", ["new_event_queue", "hear_of_opens"])
def test_at_the_kernels_limit_files_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers, missing, refuse)
    watched = Watched(tmp_path)
    watched.add("a")
    assert watched.tend(3)
    assert watched.among() == ["a"]
    watched.open_files.close()
