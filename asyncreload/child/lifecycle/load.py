"""What is loaded, and how: what the parent has said with `Go`."""

from __future__ import annotations

import os
import time
from typing import Self

from asyncreload.child.imports.script_runner import root_of
from asyncreload.child.watch.file_state import ABSENT, FileState
from asyncreload.current_directory import current_directory
from asyncreload.frozen_data import FrozenData
from asyncreload.protocol import Go
from asyncreload.settings import Settings
from asyncreload.style import file_names, plain
from asyncreload.target import Target


class Load(FrozenData):
    """A load: its order, its settings, and when it began."""

    go: Go
    settings: Settings
    root: str
    """The directory that the project's imports start from."""
    began: int
    """When, in ns since the epoch; not before the end of a burst of changes."""
    loaded_before: int = 0
    """How many modules of the project were loaded in the checkpoint that this goes on from."""

    @classmethod
    def of(cls, go: Go, loaded_before: int = 0) -> Self:
        """Return what is loaded from now on, as the parent says."""
        settings = Settings.from_json(go.settings)
        root = Target(**go.target).root if go.target else root_of(settings.script)
        return cls(go, settings, root, time.time_ns(), loaded_before)

    @property
    def file(self) -> str:
        """The file that is likely to hold the app; it may not exist."""
        if self.go.target is None:
            return self.settings.script[0]
        target = Target(**self.go.target)
        return target.file or os.path.join(target.root, *target.name.split(".")) + ".py"

    @property
    def env_files(self) -> list[str]:
        """The absolute paths of the environment files."""
        return [os.path.abspath(path) for path in self.settings.env_file]

    @property
    def occasion(self) -> str:
        """After which change it was begun; "" if it was for none."""
        changed = self.go.changed
        are_gone = all(FileState.from_json(state).digest == ABSENT for state in changed.values())
        what = "disappeared" if are_gone else "changed"
        return (
            plain(f"after {file_names([*changed], current_directory())} {what}") if changed else ""
        )
