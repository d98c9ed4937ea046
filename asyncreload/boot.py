"""Start a module of ours by its location: `python boot.py MODULE ARGUMENT ...`.

Neither the project nor the current directory is on the path meanwhile, so the standard library's
`queue` is found and not the project's `queue.py`; and the process runs the same asyncreload as the
one that started it, wherever that was found.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # this directory, whose settings.py is nobody's `import settings`

import os

if __name__ == "__main__" and sys.argv[1:2] == ["asyncreload.child.__main__"]:
    # First of all: a child has a process group of its own, so that Ctrl-C in the terminal spares
    # it. Not every event loop of a parent can do that when it starts a process.
    try:  # noqa: SIM105  `contextlib` may not be loaded yet
        os.setpgid(0, 0)
    except OSError:
        pass

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def main() -> None:
    home = Path(__file__).resolve().parent
    spec = spec_from_file_location(
        "asyncreload", home / "__init__.py", submodule_search_locations=[str(home)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{home} is not a whole asyncreload package: install it again")
    package = module_from_spec(spec)
    sys.modules["asyncreload"] = package
    spec.loader.exec_module(package)
    with _no_search_for_garbage():
        module = import_module(sys.argv[1])
    module.main(sys.argv[2:])


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Look for none while modules are imported, which make none, nor in them after that."""
    if not gc.isenabled():  # somebody's `sitecustomize` has its own ideas
        yield
        return
    gc.disable()
    yield
    gc.freeze()
    gc.unfreeze()  # among what has been looked through
    gc.enable()


if __name__ == "__main__":
    main()
