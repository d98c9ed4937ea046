"""`python -m asyncreload`, and the command `asyncreload`.

No code of the project's is wanted here: its `queue.py` must not be taken for Python's. `-m` puts
the current directory first, and PYTHONPATH may name one of the project's.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from asyncreload.boot import (
    end_quietly_on_ctrl_c,
    no_search_for_garbage,
    put_named_places_last,
)


def main() -> None:
    """Run the command; exits with its exit code."""
    end_quietly_on_ctrl_c()
    put_named_places_last()
    with no_search_for_garbage():
        from asyncreload.cli import main as run  # noqa: PLC0415  not before

    run()


if __name__ == "__main__":
    main()
