"""Imports a Django project's URLconf, and with it its views, while the project is loaded."""

from __future__ import annotations

import sys

_HANDLERS = frozenset({"django.core.handlers.wsgi", "django.core.handlers.asgi"})


def import_urls() -> None:
    """Import the URLconf if the app that was loaded is Django's; else do nothing.

    Django does so only at the first request. An error in a view would then be one of a request,
    although the whole project fails; `runserver` imports the URLconf early for the same reason.
    What it raises is passed on.
    """
    if sys.modules.keys().isdisjoint(_HANDLERS):
        return  # nothing of the kind is served, even if Django's models are used
    # The handler has imported these.
    settings = sys.modules["django.conf"].settings
    if not (settings.configured and sys.modules["django.apps"].apps.ready):
        return
    if getattr(settings, "ROOT_URLCONF", None):
        _ = sys.modules["django.urls"].get_resolver().url_patterns
