"""What is known of the present child."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asyncreload import events, protocol
from asyncreload.parent.process import Process
from asyncreload.parent.watchdog import Watchdog
from asyncreload.phase import Phase
from asyncreload.terminal import Terminal


@dataclass(slots=True, eq=False)
class ChildRun:
    """A child, from its `go` to its end."""

    child: Process
    go: protocol.Go
    dog: Watchdog
    terminal: Terminal
    began: float
    """When, by the loop's clock."""
    since: int
    """The same in nanoseconds since the epoch."""
    phase: Phase = Phase.WARM
    outcome: events.Ready | events.Failed | events.Crashed | None = None
    """How the load ended, once requests are answered: with the app, or with a report."""
    fresh: int = 0
    """The last of our looks for which it said that it is fresh."""
    left: protocol.Left | None = None
    changed: protocol.FilesChanged | None = None
    files: dict[str, Any] = field(default_factory=dict)
    silenced: bool = False
    cold: bool = False
