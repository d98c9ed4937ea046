"""Run a program in the child as Python runs it: as `__main__`, with its own arguments and path.

A program is what the command line names: a script, a directory or an archive with a `__main__.py`,
or `-m` and a module. What each of them finds of itself (`sys.argv`, `sys.path[0]`, `__file__`,
`__spec__`) is what plain Python gives it: tests/live/test_programs.py compares the two.
"""

from __future__ import annotations

import builtins
import os
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from pkgutil import get_importer
from types import CodeType, ModuleType
from typing import Any

from asyncreload.child.imports.import_hooks import ImportHooks
from asyncreload.child.imports.search_path import forget_hidden_modules
from asyncreload.child.watch.file_kinds import absolute
from asyncreload.cpython import code_of_cache, run_main_module
from asyncreload.interpreter import command_of


def root_of(script: tuple[str, ...]) -> str:
    """Return the directory that the program's imports start from; an archive's is beside it."""
    if script[0] == "-m":
        return os.getcwd()
    path = os.path.realpath(script[0])
    return path if os.path.isdir(path) else os.path.dirname(path)


def run_script(script: tuple[str, ...], hooks: ImportHooks) -> None:
    """Run `path argument ...` or `-m module argument ...`. What it raises is passed on."""
    root = root_of(script)
    if sys.path[:1] == [root]:
        del sys.path[0]  # put there for packages that were imported ahead
    sys.modules["__main__"] = main = _new_main()
    sys.orig_argv = command_of(script)
    if script[0] == "-m":
        if not sys.flags.safe_path:
            sys.path.insert(0, root)
        sys.argv = ["-m", *script[2:]]  # until the module is found, Python has no better name
        forget_hidden_modules()
        run_main_module(main, script[1])
        return
    sys.argv = list(script)
    path = _from_root(script[0])
    if get_importer(path) is not None:  # a directory, or an archive
        sys.path.insert(0, path)  # also with `-P`: else there would be nothing to run
        forget_hidden_modules()
        run_main_module(main)
        return
    if not sys.flags.safe_path:
        sys.path.insert(0, root)
    forget_hidden_modules()
    _run_file(path, absolute(script[0]), main, hooks)


def _run_file(path: str, watched: str, main: ModuleType, hooks: ImportHooks) -> None:
    """Run a source, or what was compiled from one.

    path: the name that the program is given for it.
    watched: the name under which it is watched.
    """
    source, state = hooks.read_source(watched)
    is_cache = source.startswith(MAGIC_NUMBER)
    loader = (SourcelessFileLoader if is_cache else SourceFileLoader)("__main__", path)
    vars(main).update(__file__=path, __loader__=loader, __cached__=None)
    code: CodeType = (
        code_of_cache(source) if is_cache else compile(source, path, "exec", dont_inherit=True)
    )
    if state is not None:
        hooks.after_compile(watched, code, state)
    exec(code, vars(main))  # noqa: S102  as asked


def _new_main() -> ModuleType:
    """Return a module such as Python runs a program in."""
    main = ModuleType("__main__")
    own: dict[str, Any] = {"__builtins__": builtins}  # `exec` would put its dictionary there
    if sys.version_info < (3, 14):
        own["__annotations__"] = {}
    vars(main).update(own)
    return main


def _from_root(path: str) -> str:
    """Return the path from the root, spelled as Python spells it in `__file__`."""
    return os.getcwd() if path == "." else os.path.join(os.getcwd(), path)
