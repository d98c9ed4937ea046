"""What a Django project is given that is served by its WSGI or ASGI module, as others are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from asyncreload import process_role
from asyncreload.child.watch.file_kinds import FileKind, kind_of

_DOOR = "django"
"""The room that has this for `runserver`; it is opened only where Django is imported already."""
_OF_APPS = ("static", "templates", "jinja2")
_HANDLERS = frozenset({"django.core.handlers.wsgi", "django.core.handlers.asgi"})


def import_urls() -> None:
    """Import the URLconf if the app that was loaded is Django's; else do nothing.

    Django does so only at the first request. An error in a view would then be one of a request,
    although the whole project fails; `runserver` imports the URLconf early for the same reason.
    What it raises is passed on.
    """
    if not _is_served():
        return
    if getattr(sys.modules["django.conf"].settings, "ROOT_URLCONF", None):
        _ = sys.modules["django.urls"].get_resolver().url_patterns


def renew_templates(root: str) -> None:
    """Have templates and translations renewed as `runserver` does; else Django keeps old ones.

    And tell of `manage.py`, if there is one in the directory `root`: it has more than that.
    """
    child = process_role.for_framework()
    if child is None or not _is_served():
        return
    try:
        import_module(f"asyncreload.{_DOOR}.reloader").Reloader(child).start()
    except Exception as exc:  # noqa: BLE001  of a template engine, or of a receiver of the signal
        process_role.notice(f"templates are not renewed without a reload: {exc}")
    if os.path.isfile(os.path.join(root, "manage.py")):
        process_role.notice(
            'served without the static files and checks of runserver: "asyncreload manage.py" '
            "has them"
        )


def directories_of_apps() -> Iterator[str]:
    """Iterate over the directories of apps that Django looks for once, with `os.path.isdir`.

    It keeps which of them there are, of static files for good; none of that raises an event.
    """
    apps: Any = getattr(sys.modules.get("django.apps"), "apps", None)
    if not getattr(apps, "ready", False):
        return
    for config in apps.get_app_configs():
        path = os.fspath(config.path)
        if kind_of(os.path.join(path, "")) is FileKind.PROJECT:  # of what is in it
            yield from (os.path.join(path, name) for name in _OF_APPS)


def _is_served() -> bool:
    """Tell whether an app of Django's is loaded, and not its models alone."""
    if sys.modules.keys().isdisjoint(_HANDLERS):
        return False
    # The handler has imported these.
    settings = sys.modules["django.conf"].settings
    return bool(settings.configured and sys.modules["django.apps"].apps.ready)
