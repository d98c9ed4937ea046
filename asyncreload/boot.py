"""Start a module of ours by its location: `python boot.py MODULE ARGUMENT ...`.

Neither the project nor the current directory comes first on the path meanwhile, so the standard
library's `queue` is found and not the project's `queue.py`; and the process runs the same
asyncreload as the one that started it, wherever that was found.
"""

import sys

LOADED_AT_START = frozenset(sys.modules)
"""The modules that Python itself has loaded at its start, before any of ours."""

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # this directory, whose settings.py is nobody's `import settings`

import os

SEARCH_PATH = list(sys.path)
"""Where modules are looked for, once ours are imported."""


def put_named_places_last() -> None:
    """Look in the places of PYTHONPATH last: there may be a project's `queue.py` in one, too."""
    if not sys.flags.ignore_environment:
        try:
            named = {*map(os.path.abspath, os.environ.get("PYTHONPATH", "").split(os.pathsep))}
            sys.path.sort(key=lambda place: os.path.abspath(place) in named)
        except FileNotFoundError:  # the current directory was removed: who needs it says so
            pass


if __name__ == "__main__":
    put_named_places_last()

if __name__ == "__main__" and sys.argv[1:2] == ["asyncreload.child.__main__"]:
    # First of all: a child has a process group of its own, so that Ctrl-C in the terminal spares
    # it. Not every event loop of a parent can do that when it starts a process.
    try:  # noqa: SIM105  `contextlib` may not be loaded yet
        os.setpgid(0, 0)
    except OSError:
        pass

import _signal  # type: ignore[import-not-found]  # typeshed has it not

if __name__ == "__main__" and _signal.SIGTSTP in _signal.pthread_sigmask(_signal.SIG_BLOCK, ()):
    # Whoever has started this process has blocked Ctrl-Z: see parent/subprocesses.py. If it came
    # meanwhile, it was for the group that this process has left: to ignore a signal drops it.
    if _signal.getsignal(_signal.SIGTSTP) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGTSTP, _signal.SIG_IGN)
        _signal.signal(_signal.SIGTSTP, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGTSTP,))

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location


def main() -> None:
    home = os.path.dirname(os.path.realpath(__file__))
    spec = spec_from_file_location(
        "asyncreload", f"{home}/__init__.py", submodule_search_locations=[home]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{home} is not a whole asyncreload package: install it again")
    package = module_from_spec(spec)
    sys.modules["asyncreload"] = package
    sys.modules["asyncreload.boot"] = sys.modules[__name__]  # as it was at the start
    spec.loader.exec_module(package)
    if sys.argv[1] == "asyncreload.cli":
        end_quietly_on_ctrl_c()
    with no_search_for_garbage():
        module = import_module(sys.argv[1])
    sys.path[:] = SEARCH_PATH
    module.main(sys.argv[2:])


def end_quietly_on_ctrl_c() -> None:
    """Have Ctrl-C end the command at once while it loads: nothing is there yet that it has to end.

    Nobody wants to see where in our imports that was. The command listens by itself afterwards.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # else it may be ignored
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(128 + _signal.SIGINT))


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """Look for none while modules are imported, which make none, nor in them after that."""
    if not gc.isenabled():  # somebody's `sitecustomize` has its own ideas
        yield
        return
    gc.disable()
    yield
    count_as_searched()
    gc.enable()


def count_as_searched() -> None:
    """Have what is there count as searched for garbage: soon it would be, while a save waits."""
    if gc.get_freeze_count():  # somebody has set objects aside, or Python 3.12 itself has
        gc.collect(1)  # takes milliseconds longer, but leaves them there
    else:
        gc.freeze()
        gc.unfreeze()


if __name__ == "__main__":
    main()
