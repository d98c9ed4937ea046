"""Has the pages of django-browser-reload load themselves again after each reload of the app.

They are told a version by the process that answers them, and load themselves again when that is
another one. The package makes it up at its import. So a process that goes on from a checkpoint
behind that import would have the version of the process before.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from django.utils.crypto import get_random_string

_MODULE = "django_browser_reload.views"
_NAME = "version_id"  # in 1.0 to 1.21


def tell_processes_apart() -> None:
    """Give this process, and each fork of it, a version of its own. To be called in each load."""
    _renew_version()
    os.register_at_fork(after_in_child=_renew_version)  # checkpoints are forks


def _renew_version() -> None:
    views: Any = sys.modules.get(_MODULE)
    if hasattr(views, _NAME):
        setattr(views, _NAME, get_random_string(32))
