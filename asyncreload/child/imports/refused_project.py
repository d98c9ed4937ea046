"""What a framework says against a project that it does not serve."""

from __future__ import annotations


class RefusedError(Exception):
    """Raised in a load by the door of a framework.

    The message is the framework's own text, of many lines perhaps: that is all that is shown.
    """
