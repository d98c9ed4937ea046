"""Files of pages, such as templates: when one changes, no code has to be loaded again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from glob import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncreload.process_role import ForFramework


def tell_open_pages(
    child: ForFramework,
    directories: Iterable[str],
    endings: tuple[str, ...] = ("",),
    renew: Callable[[], object] = lambda: None,
) -> None:
    """Have open pages told of files that change below directories: that reloads nothing.

    Modules are left out: some lie beside templates, and they need a reload. So are directories of
    installed packages: nobody edits those, and there are many of them.

    endings: of the names of such files; by default, all of them are.
    renew: called before, in another thread; has the framework forget what it has read.
    """
    absolute = {os.path.abspath(directory) for directory in directories}
    # One that is not there is not waited for: to look for it costs each reload a millisecond.
    own = [each for each in sorted(absolute) if child.is_own(each) and os.path.isdir(each)]
    places = [os.path.join(each, "") for each in own]
    patterns = [f"{escape(place)}**/*{ending}" for place in places for ending in endings]

    def is_of_pages(path: str) -> bool:
        if not (path.startswith(tuple(places)) and path.endswith(endings)) or path[-3:] == ".py":
            return False
        renew()
        return True

    if patterns:
        child.refresh_with(patterns, is_of_pages)
