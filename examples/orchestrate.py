"""Two web apps that reload, and a task of our own, in one asyncio program.

Run it: python examples/orchestrate.py 8000. Then break hello.py beside this file and save: the
board, whose address is printed, announces it; mend it, and the board knows that, too. Ctrl-C ends
all of them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from asyncreload import Crashed, Failed, Ready, Supervisor

HERE = Path(__file__).parent


async def put_up(notice: str, board: Supervisor) -> None:
    """Tell the board; while it reloads itself, the notice waits."""
    try:
        with await asyncio.to_thread(urlopen, board.url, notice.encode(), 10):
            print(notice, flush=True)
    except URLError as exc:
        print(f"{notice} (which the board did not take: {exc})", flush=True)


async def announce(hello: Supervisor, board: Supervisor) -> None:
    async for event in hello.events():
        match event:
            case Failed(error=problem) | Crashed(how=problem):
                await put_up(f"hello.py is broken: {problem}", board)
            case Ready(paths=paths) if paths:
                await put_up("hello.py answers again", board)


async def clock() -> None:
    while True:
        print("It is", time.strftime("%H:%M:%S"), flush=True)
        await asyncio.sleep(10)


async def main(port: int) -> int:
    async with (
        Supervisor(str(HERE / "hello.py"), port=port) as hello,
        Supervisor(str(HERE / "board.py"), port=0) as board,
        asyncio.TaskGroup() as tasks,
    ):
        print(f"hello.py at {hello.url}, board.py at {board.url}", flush=True)
        ours = [tasks.create_task(announce(hello, board)), tasks.create_task(clock())]
        code = await hello.wait()
        for task in ours:
            task.cancel()
    return code


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 8000)))
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell expects of a program that Ctrl-C has ended
