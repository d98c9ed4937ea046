"""Pages that a fork shares are copied ahead. Their state is what the kernel tells of them."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Callable
from mmap import PAGESIZE as PAGE
from pathlib import Path

import pytest

from asyncreload.child.checkpoint import own_pages as module
from asyncreload.child.checkpoint.own_pages import MOST, own_shared_pages
from asyncreload.forks import own_fork

SHARED, OWN, ABSENT, OF_A_FILE = 1 << 63, 1 << 63 | 1 << 56, 0, 1 << 63 | 1 << 61


class Bench:
    """The memory of a process, as a test says what it is."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.maps, self.pagemap = directory / "maps", directory / "pagemap"
        self.copied: list[tuple[int, int]] = []
        self.is_possible = True
        monkeypatch.setattr(module, "MAPS", str(self.maps))
        monkeypatch.setattr(module, "PAGEMAP", str(self.pagemap))
        monkeypatch.setattr(module, "own_pages", self.own_pages)

    def own_pages(self, address: int, size: int) -> bool:
        self.copied.append((address // PAGE, size // PAGE))
        return self.is_possible

    def holds(self, *mappings: tuple[str, list[int]]) -> None:
        """Have mappings of these modes and pages, one after the other, from address 0 on."""
        lines, pages = [], array("Q")
        for mode, entries in mappings:
            start, end = len(pages) * PAGE, (len(pages) + len(entries)) * PAGE
            lines.append(f"{start:012x}-{end:012x} {mode} 00000000 00:00 0    [heap]\n")
            pages.extend(entries)
        self.maps.write_text("".join(lines))
        self.pagemap.write_bytes(pages.tobytes())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def always() -> bool:
    return True


def test_what_is_shared_and_may_be_written_is_copied_and_nothing_else(bench: Bench) -> None:
    pages = [SHARED, SHARED, OWN, ABSENT, SHARED, OF_A_FILE]
    bench.holds(("r--p", [SHARED]), ("rw-p", pages), ("rw-s", [SHARED]), ("rw-p", [SHARED] * 2))
    own_shared_pages(always)
    assert bench.copied == [(1, 2), (5, 1), (8, 2)]


def test_it_is_done_in_steps_and_ends_when_it_is_told_to(bench: Bench) -> None:
    step = module._AT_A_TIME // PAGE
    bench.holds(("rw-p", [SHARED] * (2 * step + 1)))
    own_shared_pages(always)
    assert bench.copied == [(0, step), (step, step), (2 * step, 1)]
    bench.copied.clear()
    own_shared_pages(iter([True, False]).__next__)
    assert bench.copied == [(0, step)]


def test_of_much_memory_no_more_is_copied_than_is_likely_to_be_used(bench: Bench) -> None:
    bench.holds(("rw-p", [SHARED] * (2 * MOST // PAGE)))
    own_shared_pages(always)
    assert sum(size for _, size in bench.copied) == MOST // PAGE


@pytest.mark.parametrize("lack", ["kernel", "files"])
def test_where_it_cannot_be_done_it_is_left(bench: Bench, lack: str) -> None:
    bench.holds(("rw-p", [SHARED, OWN, SHARED]))
    bench.is_possible = False
    if lack == "files":
        bench.pagemap.unlink()
    own_shared_pages(always)
    assert len(bench.copied) == (lack == "kernel")


@pytest.mark.skipif(sys.platform != "linux", reason="by /proc")
def test_a_fork_has_its_memory_for_itself_after_that() -> None:
    """A real one; it tells how much of it is shared with this process."""
    data = bytearray(b"x" * 16 * 1024 * 1024)
    if tuple(map(int, os.uname().release.split(".")[:2])) < (5, 14):
        pytest.skip("the kernel copies nothing ahead (before Linux 5.14)")
    as_it_is, ahead = in_a_fork(lambda: None), in_a_fork(lambda: own_shared_pages(always))
    assert ahead - as_it_is > len(data)


def in_a_fork(do: Callable[[], object]) -> int:
    """Return how many bytes of memory are a fork's own after it has done something."""
    reader, writer = os.pipe()
    if not (pid := own_fork()):
        do()
        rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
        own = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty"))
        os.write(writer, str(own * 1024).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as told:
        held = int(told.read())
    os.waitpid(pid, 0)
    return held
