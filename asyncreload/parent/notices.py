"""What children have to say to the person at the terminal."""

from __future__ import annotations

import logging

from asyncreload.protocol import Notice, WatchReasons

log: logging.Logger = logging.getLogger("asyncreload")


class Notices:
    """Logs what children say, without what an earlier child has said already."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._reasons: dict[str, str] = {}

    def tell(self, notice: Notice) -> None:
        """Log a line; one that every child would say, only the first time."""
        if notice.text not in self._told:
            log.warning("%s", notice.text)
        if notice.once:
            self._told.add(notice.text)

    def explain(self, message: WatchReasons) -> None:
        """Log why files are watched, as far as it is new."""
        packages = f"{message.packages} files of them, looked at seldom"
        for path, reason in {**message.reasons, "installed packages": packages}.items():
            if self._reasons.get(path) != reason:
                log.debug("watching %s: %s", path, reason)
                self._reasons[path] = reason
