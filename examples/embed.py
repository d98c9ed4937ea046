"""A web app that reloads, beside another task of one asyncio program.

Run it: python examples/embed.py 8000. Then change the greeting in hello.py beside this file, save,
and reload the page: the clock, a task of this program, goes on ticking. Ctrl-C ends both.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import asyncreload

GREETING = "Hello from asyncio, it is"
APP = Path(__file__).with_name("hello.py")


async def clock() -> None:
    while True:
        print(GREETING, time.strftime("%H:%M:%S"), flush=True)
        await asyncio.sleep(10)


async def main(port: int) -> int:
    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(clock())
        code = await asyncreload.supervise(str(APP), port=port)
        ticking.cancel()
    return code


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 8000)))
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell expects of a program that Ctrl-C has ended
