"""Load a project in this interpreter, and call its app once; started by `reload.py`.

`python project_load.py list TARGET` prints the modules from outside the project that this takes;
`python project_load.py time TARGET MODULE ...` imports these, and prints the seconds that the
project's own load and first answer take after that;
`python project_load.py rest TARGET FILE PATH` loads all as it comes, and prints the seconds from
the moment when FILE is about to be read to the end of the first answer, to a request for PATH.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import cache_from_source
from wsgiref.util import setup_testing_defaults

from asyncreload.child.imports.app_loader import load, prepare
from asyncreload.child.imports.django_app import import_urls
from asyncreload.child.imports.interface import AsgiApp
from asyncreload.settings import WSGI
from asyncreload.target import Target


def load_and_answer(target: Target, path: str = "/") -> None:
    prepare(target)
    app = load(target, WSGI)
    assert not isinstance(app, AsgiApp)
    import_urls()
    environ: dict[str, object] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, *_: object) -> Callable[[bytes], object]:
        statuses.append(status)
        return bytes

    body = app(environ, start_response)
    assert b"".join(body)
    assert statuses[0].startswith("200"), statuses
    if hasattr(body, "close"):
        body.close()


def time_rest(target: Target, file: str, path: str) -> float:
    """Time what has to run anew after a change of a file."""
    read: list[float] = []
    paths = {file, cache_from_source(file)}

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and arguments[0] in paths and not read:
            read.append(time.perf_counter())

    sys.addaudithook(hook)
    load_and_answer(target, path)
    return time.perf_counter() - read[0]


def main(what: str, target: Target, modules: list[str]) -> None:
    if what == "rest":
        print(time_rest(target, *modules))
        return
    for name in modules:
        with suppress(Exception):  # some cannot be imported without the project
            import_module(name)
    before = set(sys.modules)
    began = time.perf_counter()
    load_and_answer(target)
    took = time.perf_counter() - began
    if what == "time":
        print(took)
        return
    found = []
    for name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        if name not in before and file and not file.startswith(target.root + os.sep):
            found.append(name)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.path.pop(0)  # this directory
    main(sys.argv[1], Target.parse(sys.argv[2], os.getcwd()), sys.argv[3:])
