"""What a pattern of `watch`, `refresh` or `ignore` means. Pure: nothing is looked at on the disk.

| pattern | in `watch` and `refresh` | in `ignore` |
| --- | --- | --- |
| `x.yaml`, `data` | that file; all in that directory | all of that name, and all below them |
| `./data`, `conf/data`, `/srv/data` | the same | that one, and all below it |
| `*.yaml` | such files in any directory | the same |
| `conf/*.yaml` | such files in `conf` | the same |
| `pages/**/*.html` | such files in `pages`, however deep | the same |

Relative to the directory that is given; case counts everywhere. `**` stands for any number of
directories, none included. But in `ignore`, only a part that begins with a dot names hidden files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from itertools import takewhile

from asyncreload.child.watch.file_kinds import is_below
from asyncreload.frozen_data import FrozenData
from asyncreload.python_files import SKIPPED

_MAGIC = frozenset("*?[")
_ANY_DEPTH = "**"
_LEFTOVERS = (
    r".*~|\#.*\#|\.\#.*|\..*\.sw.|4913|.*\.tmp|.*___jb_(tmp|old)___|\.goutputstream-.*|.*\.py[co]"
)
"""What editors and Python leave beside a file for a moment."""
_MARKS = frozenset({"pyvenv.cfg", "CACHEDIR.TAG", "conda-meta"})
"""What a directory holds that is a virtual environment, or a cache."""


def is_walked(name: str) -> bool:
    """Tell whether a directory of that name is gone into."""
    return not name.startswith(".") and name not in SKIPPED


def is_marked(names: Iterable[str]) -> bool:
    """Tell whether these are the entries of a virtual environment, or of a cache."""
    return not _MARKS.isdisjoint(names)


class Pattern(FrozenData):
    """One pattern, cut into parts: `**` is None, the others say whether a name fits."""

    root: str
    """The directory that its parts begin from; for a plain path, that path."""
    parts: tuple[Callable[[str], object] | None, ...]

    def takes(self, path: str) -> bool:
        """Tell whether this is a file of the pattern's, by itself or by a directory above it."""
        return len(self.parts) in self._places(path)

    def leads_to(self, directory: str) -> bool:
        """Tell whether there can be files of the pattern's in a directory, or below it."""
        return bool(self._places(directory))

    def _places(self, path: str) -> set[int]:
        """Return how many parts may stand for the path; all of them when it is taken."""
        if not is_below(path, self.root):
            return set()
        places = self._beyond({0})
        for name in filter(None, path[len(self.root) :].split(os.sep)):
            if len(self.parts) in places:
                break  # a directory is taken, and with it what is in it
            places = self._beyond({at for place in places for at in self._step(place, name)})
        return places

    def _beyond(self, places: set[int]) -> set[int]:
        """Add the places that are reached by a `**` that stands for nothing."""
        reached = set(places)
        for place in sorted(places):
            while place < len(self.parts) and self.parts[place] is None:
                place += 1  # noqa: PLW2901  it is walked on from here
                reached.add(place)
        return reached

    def _step(self, place: int, name: str) -> set[int]:
        part = self.parts[place]
        if part is None:
            return {place}
        return {place + 1} if part(name) else set()


class Patterns(FrozenData):
    """What is watched beside the modules, and what is not watched at all."""

    watch: tuple[Pattern, ...] = ()
    ignore: tuple[Pattern, ...] = ()
    refresh: tuple[Pattern, ...] = ()
    """What is watched as well, but needs no reload when it changes."""

    @classmethod
    def of(
        cls, watch: Sequence[str], ignore: Sequence[str], base: str, refresh: Sequence[str] = ()
    ) -> Patterns:
        """Read patterns; they are relative to the directory `base`."""
        return cls(
            tuple(_pattern(text, base, anywhere=False) for text in watch),
            tuple(_pattern(text, base, anywhere=True) for text in ignore),
            tuple(_pattern(text, base, anywhere=False) for text in refresh),
        )

    @property
    def roots(self) -> list[str]:
        """Where files of the patterns are to be looked for."""
        return sorted({pattern.root for pattern in (*self.watch, *self.refresh)})

    def above(self, directory: str) -> Patterns:
        """Return the patterns that begin in a directory, or above it."""
        watch, refresh = (
            tuple(one for one in some if is_below(directory, one.root))
            for some in (self.watch, self.refresh)
        )
        return Patterns(watch, self.ignore, refresh)

    def wants(self, path: str) -> bool:
        """Tell whether a file is watched because of a pattern."""
        return self._takes(path, (*self.watch, *self.refresh))

    def refreshes(self, path: str) -> bool:
        """Tell whether a file needs no reload when it changes."""
        return self._takes(path, self.refresh) and not self.reloads(path)

    def reloads(self, path: str) -> bool:
        """Tell whether a pattern asks for a reload when a file changes."""
        return self._takes(path, self.watch)

    def _takes(self, path: str, patterns: tuple[Pattern, ...]) -> bool:
        if re.fullmatch(_LEFTOVERS, os.path.basename(path)) or self.ignores(path):
            return False
        return any(one.takes(path) and _is_shown(path, one) for one in patterns)

    def enters(self, directory: str) -> bool:
        """Tell whether a directory is looked into for such files."""
        if self.ignores(directory):
            return False
        patterns = (*self.watch, *self.refresh)
        return any(one.leads_to(directory) and _is_shown(directory, one) for one in patterns)

    def ignores(self, path: str) -> bool:
        """Tell whether nothing is to be made of changes there."""
        return any(one.takes(path) for one in self.ignore)


def _pattern(text: str, base: str, *, anywhere: bool) -> Pattern:
    expanded = os.path.expanduser(text)
    alone = expanded.rstrip(os.sep)
    if os.sep not in alone and (anywhere or not _MAGIC.isdisjoint(alone)):
        return Pattern(base, (None, _part(alone, hidden=anywhere)))
    # Without `..` behind a star, and apart from the base: stars in that are a part of its name.
    names = os.path.normpath(expanded).split(os.sep)
    plain = [*takewhile(_MAGIC.isdisjoint, names)]
    # The empty name at the end keeps the root of the file system, which is an empty name as well.
    root = os.path.normpath(os.path.join(base, os.sep.join([*plain, ""])))
    parts = tuple(_part(name, hidden=anywhere) for name in names[len(plain) :])
    return Pattern(f"{os.sep}{root.lstrip(os.sep)}", parts)


def _part(text: str, *, hidden: bool) -> Callable[[str], object] | None:
    if text == _ANY_DEPTH:
        return None
    shown = "" if hidden or text.startswith(".") else r"(?!\.)"
    return re.compile(shown + translate(text)).match


def _is_shown(path: str, pattern: Pattern) -> bool:
    """Tell whether a path is hidden nowhere below the pattern's root but where the pattern says."""
    names = path[len(pattern.root) :].split(os.sep)
    hidden = [name for name in names if name and not is_walked(name)]
    if not hidden:
        return True
    named = [part for part in pattern.parts if part is not None]
    return all(any(part(name) for part in named) for name in hidden)
