"""The command: `asyncreload app.py --port 8000`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NoReturn

from asyncreload.errors import AsyncreloadError

if TYPE_CHECKING:
    from asyncreload.parent.supervisor import Supervisor

BAD_USAGE = 2

_EXAMPLES = """\
examples:
  asyncreload app.py                  the application in a file
  asyncreload shop.wsgi               in a module
  asyncreload "shop:create_app()"     made by a factory
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command; exits with its exit code."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("asyncreload: %(message)s"))
    log = logging.getLogger("asyncreload")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        code = asyncio.run(_until_signal(options))
    except (AsyncreloadError, OSError) as exc:
        print(f"asyncreload: error: {exc}", file=sys.stderr)  # noqa: T201  the command's voice
        code = BAD_USAGE
    sys.exit(code)


async def _until_signal(options: dict[str, Any]) -> int:
    """Supervise until a signal ends it; the exit code is then as the shell would give it."""
    # Not before: elsewhere than on Linux and macOS it raises PlatformError, which is to be told.
    from asyncreload.parent.supervisor import Supervisor  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    supervisor = Supervisor(**options)
    task = asyncio.create_task(_supervise(supervisor))
    received: list[int] = []
    asking: set[asyncio.Task[None]] = set()

    def end(number: int) -> None:
        received.append(number)
        task.cancel()  # the second time it ends what is left at once

    async def interrupt() -> None:
        if not await supervisor.is_debugging():
            end(signal.SIGINT)

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGINT, lambda: asking.add(loop.create_task(interrupt())))
    try:
        return await task
    except asyncio.CancelledError:
        return 128 + received[0]


async def _supervise(supervisor: Supervisor) -> int:
    async with supervisor:
        return await supervisor.wait()


def _parse(arguments: list[str]) -> dict[str, Any]:
    if arguments[:1] == ["--settings"]:  # from `run`, which has replaced itself by this process
        with suppress(IndexError, KeyError, TypeError, ValueError):
            options: dict[str, Any] = json.loads(arguments[1])
            script = tuple(options["script"])
            return options | {"script": script, "target": " ".join(script)}
    parser = argparse.ArgumentParser(
        "asyncreload",
        usage="%(prog)s [options] target",
        description="Serve a WSGI app and reload it the moment a file is saved.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("target", help="what to serve: app.py, app.py:name, pkg.module:name")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (8000)")
    parser.add_argument("--threads", type=int, help="requests answered at a time (64)")
    parser.add_argument("--interval", type=float, help="seconds between idle looks (0.1)")
    parser.add_argument("--grace", type=float, help="seconds for a last response (5)")
    parser.add_argument("--watch", action="append", metavar="PATTERN", help="watch this as well")
    parser.add_argument("--ignore", action="append", metavar="PATTERN", help="do not watch this")
    parser.add_argument(
        "--no-inotify", dest="inotify", action="store_false", help="look at each file by itself"
    )
    parser.add_argument("--preload", help="what the next process loads: packages, or interpreter")
    parser.add_argument(
        "--no-standby", dest="standby", action="store_false", help="start processes when needed"
    )
    parser.add_argument(
        "--no-access-log", dest="access_log", action="store_false", help="log no requests"
    )
    parser.add_argument("--live", action="store_true", help="have open pages refresh themselves")
    parser.add_argument("--version", action="version", version=f"asyncreload {_version()}")
    return vars(parser.parse_args(arguments))


def _version() -> str:
    try:
        return version("asyncreload")
    except PackageNotFoundError:
        return "(not installed)"
