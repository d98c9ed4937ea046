"""Django's signals of a reloader: what templates, translations and apps are watched for.

Receivers of `autoreload_started` name directories and files. Those of `file_changed` are told of
each file that has changed, modules included, and say whether they have seen to it: Django's
templates and translations are renewed so, without a reload.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.core.files.storage import FileSystemStorage
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.utils.autoreload import BaseReloader, autoreload_started, file_changed

from asyncreload.child.watch.file_kinds import FileKind, kind_of
from asyncreload.process_role import ForFramework


class Reloader(BaseReloader):  # type: ignore[misc]  # Django has no types
    """The sender of the signals; it leaves all looking to the child.

    child: watches, and calls `notify` with what has changed.
    """

    def __init__(self, child: ForFramework) -> None:
        super().__init__()
        self._child = child
        self._pages_only: list[str] = []

    def start(self) -> None:
        """Have files watched, and receivers told of changes: call it when the project is loaded."""
        autoreload_started.send(sender=self)
        if self._child.is_live:
            self._pages_only = list(_directories_for_pages())
        patterns = [
            os.path.join(glob.escape(str(directory)), pattern)
            for directory, patterns in self.directory_globs.items()
            for pattern in patterns
        ]
        patterns += [glob.escape(os.path.abspath(path)) for path in self.extra_files]
        patterns += [os.path.join(glob.escape(path), "**", "*") for path in self._pages_only]
        self._child.refresh_with(patterns, self.notify)

    def notify(self, path: str) -> bool:
        """Tell of a changed file; return whether a receiver has seen to it."""
        results = file_changed.send(sender=self, file_path=Path(path))
        is_code = path.endswith(".py")
        is_for_pages = any(path.startswith(f"{directory}/") for directory in self._pages_only)
        return any(result for _, result in results) or (is_for_pages and not is_code)


def _directories_for_pages() -> Iterator[str]:
    """Iterate over the directories whose files are read afresh, so that only pages are outdated."""
    for engine in engines.all():
        if not isinstance(engine, DjangoTemplates):  # else `file_changed` tells
            yield from map(os.path.abspath, engine.template_dirs)
    if apps.is_installed("django.contrib.staticfiles"):
        from django.contrib.staticfiles.finders import get_finders  # noqa: PLC0415  if installed

        for finder in get_finders():
            for storage in getattr(finder, "storages", {}).values():
                if isinstance(storage, FileSystemStorage):
                    location = os.path.abspath(storage.location)
                    # Nobody edits those of packages, and there are many of them.
                    if kind_of(location) is FileKind.PROJECT:
                        yield location
