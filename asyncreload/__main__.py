"""`python -m asyncreload`: the command."""

import sys

# `-m` puts the current directory first: the project's `queue.py` must not be taken for Python's.
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from asyncreload.cli import main

if __name__ == "__main__":
    main()
