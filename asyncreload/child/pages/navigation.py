"""Whether a browser asks for a page to show, as scripts and other clients do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_navigation(environ: Mapping[str, Any]) -> bool:
    """Tell whether a browser asks for a page to show in a tab, by GET.

    The answer to a form that was sent by POST could be loaded again only by sending it again.
    """
    if environ["REQUEST_METHOD"] != "GET":
        return False
    if "HTTP_SEC_FETCH_MODE" in environ:
        mode, kind = environ["HTTP_SEC_FETCH_MODE"], environ.get("HTTP_SEC_FETCH_DEST")
        return (mode, kind) == ("navigate", "document")
    # Browsers say the above only to localhost and by https. This, elsewhere, only when they
    # navigate; `Accept: text/html` alone is said by scripts, too.
    upgrades = environ.get("HTTP_UPGRADE_INSECURE_REQUESTS") == "1"
    return upgrades and "text/html" in environ.get("HTTP_ACCEPT", "")
