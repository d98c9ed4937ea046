"""What serves a Django project by ASGI, where it names its ASGI application."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from asyncreload.child.imports.asgi_server import is_installed


def asgi_handler(options: dict[str, Any]) -> Any | None:
    """Return the project's ASGI application; None where it names none, or the extra is missing.

    With the static files, as Django's `runserver` serves them for WSGI.

    options: those of `runserver`; that of `django.contrib.staticfiles` has some more.
    """
    name = getattr(settings, "ASGI_APPLICATION", None)
    if not name or not is_installed():
        return None
    application = import_string(name)
    wants_static = settings.DEBUG or options.get("insecure_serving", False)
    if not (options.get("use_static_handler", False) and wants_static):
        return application
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: PLC0415  if installed

    return ASGIStaticFilesHandler(application)
