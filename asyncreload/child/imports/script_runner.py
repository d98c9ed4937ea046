"""Run a script in the child as Python runs it: as `__main__`, with its own arguments and path."""

from __future__ import annotations

import os
import runpy
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

from asyncreload.child.imports.import_hooks import ImportHooks
from asyncreload.child.imports.search_path import put_first
from asyncreload.child.watch.file_kinds import absolute


def root_of(script: tuple[str, ...]) -> str:
    """Return the directory that the script's imports start from."""
    if script[0] == "-m":
        return os.getcwd()
    path = os.path.realpath(script[0])
    return path if os.path.isdir(path) else os.path.dirname(path)


def run_script(script: tuple[str, ...], hooks: ImportHooks) -> None:
    """Run `path argument ...` or `-m module argument ...`. What it raises is passed on."""
    root = root_of(script)
    sys.argv = list(script[script[0] == "-m" :])
    put_first(root)
    if script[0] == "-m":
        runpy.run_module(script[1], run_name="__main__", alter_sys=True)
        return
    path = absolute(script[0])
    if os.path.isdir(path):
        runpy.run_path(path, run_name="__main__")
        return
    source, state = hooks.read_source(path)
    main = ModuleType("__main__")
    vars(main).update(__file__=path, __loader__=SourceFileLoader("__main__", path), __cached__=None)
    sys.modules["__main__"] = main
    code = compile(source, path, "exec", dont_inherit=True)
    if state is not None:
        hooks.after_compile(path, code, state)
    exec(code, vars(main))  # noqa: S102  as asked
