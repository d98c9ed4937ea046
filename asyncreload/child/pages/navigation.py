"""Tells the requests for a page to show in a tab from those of scripts and of other clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_navigation(environ: Mapping[str, Any]) -> bool:
    """Tell whether a browser asks for a page to show in a tab, by GET.

    A page that was the answer to POST cannot reload itself without sending the form once more.

    environ: the WSGI environ of the request.
    """
    if environ["REQUEST_METHOD"] != "GET":
        return False
    if "HTTP_SEC_FETCH_MODE" in environ:
        mode, kind = environ["HTTP_SEC_FETCH_MODE"], environ.get("HTTP_SEC_FETCH_DEST")
        return (mode, kind) == ("navigate", "document")
    # Browsers send these headers only to localhost and over https. Elsewhere they send this one,
    # for navigations alone; `Accept: text/html` is sent by scripts, too.
    upgrades = environ.get("HTTP_UPGRADE_INSECURE_REQUESTS") == "1"
    return upgrades and "text/html" in environ.get("HTTP_ACCEPT", "")
