"""Open a page in the person's browser."""

from __future__ import annotations

import asyncio
import sys
from subprocess import DEVNULL

_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
"""Not `-m webbrowser`, which ends as if all were well where there is no browser."""


async def open_browser(url: str) -> bool:
    """Open a page, and wait until a browser has taken it; tell whether one has.

    In a process of its own, as Python's `webbrowser` may wait for as long as the browser runs; and
    in a session of its own, so that a browser for the terminal cannot take that from the app.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", _OPEN, url),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )
    except OSError:  # out of processes or descriptors
        return False
    return await process.wait() == 0
