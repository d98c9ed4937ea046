"""What serves a Django project by ASGI, where it names its ASGI application."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from asyncreload.child.imports.asgi_server import is_installed
from asyncreload.errors import MissingExtraError
from asyncreload.process_role import notice

_MISSING = (
    "{} serves by ASGI, which asyncreload does with uvicorn: install it with "
    "pip install uvicorn websockets, or type --noasgi"
)
_BY_WSGI = (
    "ASGI_APPLICATION is not served, WSGI_APPLICATION is: for ASGI, pip install uvicorn websockets"
)


def asgi_handler(command: Any, options: dict[str, Any]) -> Any | None:
    """Return the project's ASGI application; None where it is to be served by WSGI.

    That is where it names none, where the extra is missing, or with daphne's `--noasgi`. It comes
    with the static files, as Django's `runserver` serves them for WSGI.

    command: may be one that serves by ASGI itself, such as daphne's; that has `get_application`.
    options: those of the command; that of `django.contrib.staticfiles` has some more.

    Raises `MissingExtraError` where such a command cannot be stood in for.
    """
    if not options.get("use_asgi", True):
        return None
    if own := getattr(command, "get_application", None):
        if not is_installed():
            raise MissingExtraError(_MISSING.format(type(command).__mro__[1].__module__))
        return own(options)
    name = getattr(settings, "ASGI_APPLICATION", None)
    if name and not is_installed():
        notice(_BY_WSGI)
    if not name or not is_installed():
        return None
    application = import_string(name)
    wants_static = settings.DEBUG or options.get("insecure_serving", False)
    if not (options.get("use_static_handler", False) and wants_static):
        return application
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: PLC0415  if installed

    return ASGIStaticFilesHandler(application)
