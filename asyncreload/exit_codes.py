"""What the exit codes mean: of a child to its parent, and of the command to who has started it.

A child's exit code counts only if the child has announced it (`Left`); without that it is a crash.
What the parent does then is in parent/restart_policy.py.
"""

from __future__ import annotations

# Of the command
BAD_USAGE = 2
"""What was asked for cannot be done: a wrong argument, a port that is taken, a missing extra."""

# Of a child. 0: the app is done, and so is the command.
NO_DIRECTORY = 1
"""It has nowhere to work; the parent waits until another one can be started."""
ORPHANED = 1
"""Its parent is gone, so that nobody hears of it."""
NOT_SERVED = 2
"""It lacks an extra for its app."""
RELOAD = 3
"""Start me again."""

# Of both
SIGNALLED = 128
"""And the number of the signal that has ended the process."""
INTERRUPTED = SIGNALLED + 2
"""Ctrl-C."""
