"""Which answers become live pages, and how: a script tag is sent behind their last byte.

A live page reloads itself when the app has been reloaded. The tag comes last so that an answer that
is streamed is not held back, and the page's own bytes stay as they are. Every answer that is not
a whole HTML page is sent unchanged. An empty page gets the tag, too: many editors empty a template
before they write it, and a page that is shown at that moment has to come back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.headers import Headers

SCRIPT_URL = ".asyncreload/live.js"
"""The address of the script, relative to the page: a proxy may serve the app below a path."""

_VALIDATORS = ("ETag", "Last-Modified")
_POLICY_HEADERS = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")
_NOT_WHOLE_PAGES = frozenset({"204", "205", "206"})  # no content, or a range of it
_LENGTH = re.compile("0|[1-9][0-9]{,17}")
_WIDE_CHARSET = re.compile("charset[ \t]*=[ \t]*[\"']?(utf-?16|utf-?32|ucs|iso-10646|(cs)?unicode)")
_WIDE_BYTE_ORDER_MARKS = (b"\xfe\xff", b"\xff\xfe")
_NONCE = re.compile("'nonce-([A-Za-z0-9+/_-]+={0,2})'", re.IGNORECASE)
_OWN_ORIGIN = frozenset({"'self'", "*", "http:"})  # each includes it


def script_tag(state: str, status: str, headers: Headers, first_bytes: bytes) -> bytes:
    """Return the tag to send behind the answer to a navigation; b"" if it is no page for a script.

    state: names the process that answers, see `EventStreams`.
    first_bytes: how the body begins, two bytes if it has so many.
    """
    whole = _is_whole_page(status, headers) and not first_bytes.startswith(_WIDE_BYTE_ORDER_MARKS)
    if not whole or not _may_be_changed(headers):
        return b""
    policies = [policy for name in _POLICY_HEADERS for policy in headers.get_all(name)]
    nonce = _permitted_nonce(",".join(policies).split(","))
    if nonce is None:
        return b""
    attribute = f' nonce="{nonce}"' if nonce else ""
    return f'<script async src="{SCRIPT_URL}" data-state="{state}"{attribute}></script>'.encode()


def adapt_headers(headers: Headers, added: int) -> None:
    """Make the headers of a page for which there is a tag right for one `added` bytes longer."""
    if (length := headers["Content-Length"]) is not None:
        headers["Content-Length"] = str(int(length) + added)
    # They stand for the page without a script: a browser would show that again from its cache.
    for name in _VALIDATORS:
        del headers[name]
    headers.add_header("Vary", "Sec-Fetch-Dest")


def _is_whole_page(status: str, headers: Headers) -> bool:
    """Tell whether a browser will show the answer as an HTML page."""
    # A redirection is not shown.
    if status[0] not in "245" or status[:3] in _NOT_WHOLE_PAGES:
        return False
    lengths = headers.get_all("Content-Length")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        return False
    if (headers["Content-Disposition"] or "").lstrip()[:10].lower() == "attachment":
        return False
    return _is_html(headers["Content-Type"] or "")


def _is_html(content_type: str) -> bool:
    """Tell whether it is HTML in an encoding that includes ASCII, in which the tag is written."""
    kind, _, parameters = content_type.lower().partition(";")
    return kind.strip() == "text/html" and not _WIDE_CHARSET.search(parameters)


def _may_be_changed(headers: Headers) -> bool:
    """Tell whether the page is sent without compression, and no header forbids to change it."""
    encodings = {encoding.strip().lower() for encoding in headers.get_all("Content-Encoding")}
    caching = ",".join(headers.get_all("Cache-Control")).lower()
    return encodings <= {"", "identity"} and "no-transform" not in caching


def _permitted_nonce(policies: Iterable[str]) -> str | None:
    """Return the nonce by which the policies permit our script, "" if they do without one.

    Return None if one of them forbids the script or its connection to the event stream. Policies
    are the app's, and stay as they are; a tag that they forbid would only be reported as an error.
    """
    nonce = ""
    for policy in policies:
        directives: dict[str, list[str]] = {}
        for directive in policy.split(";"):
            if words := directive.split():
                directives.setdefault(words[0].lower(), words[1:])
        if "sandbox" in directives and not _has_origin(directives["sandbox"]):
            return None
        scripts = _first(directives, "script-src-elem", "script-src", "default-src")
        if found := _nonce(scripts):
            if nonce not in {"", found}:
                return None
            nonce = found
        elif not _permits(scripts):
            return None
        if not _permits(_first(directives, "connect-src", "default-src")):
            return None
    return nonce


def _first(directives: Mapping[str, list[str]], *names: str) -> list[str] | None:
    return next((directives[name] for name in names if name in directives), None)


def _nonce(sources: list[str] | None) -> str:
    found = map(_NONCE.fullmatch, sources or ())
    return next((match[1] for match in found if match), "")


def _permits(sources: list[str] | None) -> bool:
    """Tell whether sources include the page's own origin. All origins are, without a directive."""
    if sources is None:
        return True
    lowered = {source.lower() for source in sources}
    return "'strict-dynamic'" not in lowered and not lowered.isdisjoint(_OWN_ORIGIN)


def _has_origin(allowed: list[str]) -> bool:
    return {"allow-scripts", "allow-same-origin"} <= {word.lower() for word in allowed}
