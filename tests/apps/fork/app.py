"""An app that leaves processes about: a fork, a multiprocessing worker and a subprocess."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

VERSION = "1"


def work() -> NoReturn:
    """Sleep for good; whatever ends that never goes back into the code that forked."""
    try:
        while True:
            time.sleep(3600)
    finally:
        os._exit(1)


forked = os.fork()
if forked == 0:
    work()
# A daemon, so that multiprocessing's own atexit handler ends it and does not wait for it.
worker = multiprocessing.get_context("fork").Process(target=work, daemon=True)
worker.start()
sleeper = subprocess.Popen(["sleep", "3600"])


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer /pids with the three of them, separated by spaces, and all else with the version."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    if environ["PATH_INFO"] == "/pids":
        return [f"{forked} {worker.pid} {sleeper.pid}".encode()]
    return [f"app={VERSION}".encode()]
