"""Which answers become live pages, and how: by one script tag behind their last byte.

Behind it, so that nothing is held back of an answer that is streamed, and the page's own bytes
stay as they are. Every other answer is none of our business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.headers import Headers

SCRIPT = ".asyncreload/live.js"
"""Relative to the page: so it is found behind a proxy that serves the app below a path."""

_VALIDATORS = ("ETag", "Last-Modified")
_POLICIES = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")
_NOT_WHOLE = frozenset({"204", "205", "206"})
_LENGTH = re.compile("[1-9][0-9]{,17}")
_WIDE = re.compile("charset[ \t]*=[ \t]*[\"']?(utf-?16|utf-?32|ucs|iso-10646|(cs)?unicode)")
_WIDE_MARKS = (b"\xfe\xff", b"\xff\xfe")
_NONCE = re.compile("'nonce-([A-Za-z0-9+/_-]+={0,2})'", re.IGNORECASE)
_ANY_ORIGIN = frozenset({"'self'", "*", "http:"})

ERROR_PAGE = (
    b"<!doctype html><html lang=en><title>500 Internal Server Error</title>"
    b"<link rel=icon href=data:,>"
    b"<p>A server error occurred. The traceback is in the terminal."
)
"""What a live page turns into when the app raises: unlike plain text it can be mended."""


def tag(state: str, status: str, headers: Headers, first: bytes) -> bytes:
    """Return what to send behind the answer to a navigation; nothing if it is to be left alone.

    state: names the process that answers.
    first: the first bytes of the body.
    """
    whole = _is_whole_page(status, headers) and not first.startswith(_WIDE_MARKS)
    if not whole or not _is_plain(headers):
        return b""
    policies = [policy for name in _POLICIES for policy in headers.get_all(name)]
    nonce = _permission(",".join(policies).split(","))
    if nonce is None:
        return b""
    attribute = f' nonce="{nonce}"' if nonce else ""
    return f'<script async src="{SCRIPT}" data-state="{state}"{attribute}></script>'.encode()


def adapt(headers: Headers, added: int) -> None:
    """Make the headers true of a page with `added` bytes more."""
    if (length := headers["Content-Length"]) is not None:
        headers["Content-Length"] = str(int(length) + added)
    for name in _VALIDATORS:  # they are of the page without; what is cached by them had no script
        del headers[name]
    headers.add_header("Vary", "Sec-Fetch-Dest")


def _is_whole_page(status: str, headers: Headers) -> bool:
    # A redirection is not shown.
    if status[0] not in "245" or status[:3] in _NOT_WHOLE:
        return False
    lengths = headers.get_all("Content-Length")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        return False
    if (headers["Content-Disposition"] or "").lstrip()[:10].lower() == "attachment":
        return False
    return _is_html(headers["Content-Type"] or "")


def _is_html(content_type: str) -> bool:
    """Tell whether it is HTML, in an encoding of which ASCII is a part."""
    kind, _, parameters = content_type.lower().partition(";")
    return kind.strip() == "text/html" and not _WIDE.search(parameters)


def _is_plain(headers: Headers) -> bool:
    """Tell whether the page is sent as it is, and may be changed on its way."""
    encodings = {encoding.strip().lower() for encoding in headers.get_all("Content-Encoding")}
    caching = ",".join(headers.get_all("Cache-Control")).lower()
    return encodings <= {"", "identity"} and "no-transform" not in caching


def _permission(policies: Iterable[str]) -> str | None:
    """Return the nonce by which all policies permit our script, or ""; None if one forbids it.

    A policy is the app's: it is not widened. Where it forbids, a tag would only be reported.
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
    """Tell whether sources include the page's own origin; a directive that is missing does."""
    if sources is None:
        return True
    lowered = {source.lower() for source in sources}
    return "'strict-dynamic'" not in lowered and not lowered.isdisjoint(_ANY_ORIGIN)


def _has_origin(allowed: list[str]) -> bool:
    return {"allow-scripts", "allow-same-origin"} <= {word.lower() for word in allowed}
