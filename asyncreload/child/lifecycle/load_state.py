"""What a process knows of its load. A process that goes on from a checkpoint inherits all of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Self

from asyncreload.child.preload.session import ColdStart, PreloadSession
from asyncreload.child.watch.baselines import Baselines
from asyncreload.child.watch.change_scanner import ChangeScanner
from asyncreload.child.watch.module_scan import ModuleScan
from asyncreload.child.watch.refreshers import Refreshers
from asyncreload.frozen_data import FrozenData
from asyncreload.protocol import Message


class LoadState(FrozenData):
    """How files were when they were loaded, what imports have looked for, what was recorded.

    And who uses files that need no reload when they change.
    """

    baselines: Baselines
    scanner: ChangeScanner
    modules: ModuleScan
    preload: PreloadSession
    refreshers: Refreshers

    @classmethod
    def begin(
        cls,
        on_new_file: Callable[[str], object],
        before_project_file: Callable[[str], object],
        send: Callable[[Message], None],
        start_cold: ColdStart,
    ) -> Self:
        """Return the state of a process in which nothing is loaded.

        on_new_file: called, in any thread, with each file of which a baseline was taken.
        before_project_file: called with each file of the project that is about to be loaded.
        send: sends a message to the parent.
        start_cold: ends this process, so that a cold one takes its place.
        """
        baselines = Baselines(on_new_file)
        scanner = ChangeScanner(baselines)
        scanner.searches.begin(sys.path)
        preload = PreloadSession(send, start_cold, before_project_file)
        return cls(baselines, scanner, ModuleScan(baselines), preload, Refreshers())
