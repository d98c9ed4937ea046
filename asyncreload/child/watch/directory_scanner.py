"""The directories in which files of the patterns may appear.

A directory's own signature changes when an entry comes, goes, or takes the place of another; so
only those that have changed are listed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from asyncreload.child.watch.file_kinds import is_below
from asyncreload.child.watch.file_state import UNLISTED, is_lack, stat_state
from asyncreload.child.watch.globs import Patterns, is_marked
from asyncreload.child.watch.polling import Files

MOST = 200_000
"""How many files and directories are gone through: a pattern may take in a whole disk."""


class DirectoryScanner:
    """Goes through the directories that the patterns lead to; again where something has changed.

    found: told each file that a pattern wants, by the first scan.
    appeared: told the same by later scans, and of files that were told before.
    most: how many files and directories are gone through; if there are more, it is given up. If not
        given, that is `MOST`, and what lies directly at the root of a pattern is found in any case.
    """

    def __init__(
        self,
        patterns: Patterns,
        found: Callable[[str], object],
        appeared: Callable[[str], object],
        most: int | None = None,
    ) -> None:
        self._patterns = patterns
        self._roots = frozenset(patterns.roots)
        self._tell = found
        self._appeared = appeared
        self._gives_up = most is not None
        self._left = MOST if most is None else most
        self.directories: Files = Files()
        self.unlisted: set[str] = set()
        """Directories that could not be listed, for lack of descriptors."""

    def scan_all(self) -> None:
        """Go through everything for the first time."""
        for root in sorted(self._roots):
            if self._gives_up and not self.is_whole:
                return
            self._start(root)
        self._tell = self._appeared

    def scan_again(self, directory: str) -> None:
        """List a directory again, and go through those that are new in it."""
        self._walk(directory)
        for root in sorted(self._roots):
            if root not in self.directories and is_below(root, directory):
                self._start(root)

    @property
    def is_whole(self) -> bool:
        """Whether there was nothing that was left out because there was too much."""
        return self._left > 0

    def _start(self, root: str) -> None:
        """Walk a root. While it is not there, the directory is looked at in which it may appear."""
        if os.path.isdir(root):
            self._walk(root)
            return
        if self._patterns.wants(root):
            self._tell(root)  # also if there is no such file yet
        missing, above = root, os.path.dirname(root)
        while not os.path.isdir(above):
            missing, above = above, os.path.dirname(above)
        self.directories.setdefault(above, stat_state(above))
        if os.path.islink(missing):  # that it leads somewhere again changes nothing where it lies
            self.directories.setdefault(missing, stat_state(missing))

    def _walk(self, directory: str) -> None:
        waiting = self._list(directory, self._patterns.above(directory))
        while waiting and self.is_whole:
            waiting += self._list(*waiting.pop())

    def _list(self, directory: str, patterns: Patterns) -> list[tuple[str, Patterns]]:
        """Tell the files of a directory; return those in it that are to be walked.

        patterns: those that may fit there. A framework may ask for a hundred directories, and to
            try the patterns of all of them on each file would take most of the time.
        """
        known = directory in self.directories
        # Before the listing: what comes later makes the next signature differ.
        self.directories[directory] = stat_state(directory)
        try:
            entries = list(os.scandir(directory))
        except OSError as exc:
            if is_lack(exc):
                self.directories[directory] = UNLISTED
                self.unlisted.add(directory)
                return []
            if os.path.isfile(directory) and patterns.wants(directory):
                self._tell(directory)  # in the place of the directory that was there
            return []
        if is_marked(entry.name for entry in entries) and directory not in self._roots:
            return []
        if not known:  # else an app that writes there all the time would use it up
            self._left -= len(entries)
        below = []
        for entry in entries:
            if _is(entry.is_dir):
                # A link to a directory is not gone into: it may lead back to where it is.
                is_known = entry.is_symlink() or entry.path in self.directories
                begins = entry.path in self._roots
                inner = self._patterns.above(entry.path) if begins else patterns
                if not is_known and inner.enters(entry.path):
                    below.append((entry.path, inner))
            # Also a link that leads nowhere: a file may come to where it leads.
            elif (_is(entry.is_file) or _is(entry.is_symlink)) and patterns.wants(entry.path):
                self._tell(entry.path)
        return below


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:
        return False
