"""The last thing that an old child does in a reload."""

from __future__ import annotations

import os
from typing import NoReturn

from asyncreload.system_calls import close_all_but


def vanish(code: int, channel: int, farewell: bytes) -> NoReturn:
    """Close all that is open, say farewell on the channel, and end the process.

    To free the memory of a large process takes the kernel several milliseconds, and only then does
    it close the files. So they are closed here, and nobody need wait for more: no port, lock or
    file is held when the farewell is heard, and no code runs any more.
    """
    close_all_but(channel, farewell)
    os._exit(code)
