"""Parses the head of a request: its request line and its headers, as strictly as RFC 9112 allows.

Where a front server and the app read the same bytes differently, a client could slip a header or a
body past the front server. So what is not clearly valid is refused, not repaired.
"""

from __future__ import annotations

import io
import re
from http import HTTPStatus
from typing import Final, NamedTuple, NoReturn

from asyncreload.child.http.refusal import RefusedRequestError

MAX_LINE: Final = 65536  # bytes; http.server has this limit for the request line and each header
_MAX_HEADERS: Final = 100  # http.client has this limit
_REQUEST_LINE: Final = re.compile(
    # A method in small letters is a mistake: methods are case-sensitive. Beyond ASCII, a target has
    # to be percent-encoded; but curl, for one, sends it as it was typed.
    rb"([!#$%&'*+.^_`|~0-9A-Z-]+) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])\r\n"
)
_URL: Final = re.compile(
    "[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?"
    r"((?:[0-9A-Za-z._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?)([/?#].*)?"
)
HEADER_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r\n")
"""A header, or a trailer, with its line end."""
# An app gets these as one text. A second one would make it a text that means neither.
_ONLY_ONCE: Final = ("host", "content-type")


class RequestHead(NamedTuple):
    """The head of a request. Texts are decoded as Latin-1: each character stands for a byte."""

    method: str
    target: str
    """As the client sent it: usually a path and a query."""
    version: str
    """HTTP/1.0, HTTP/1.1 or another HTTP/1."""
    headers: tuple[tuple[str, str], ...]
    """Names and values, in their order; values have no blanks around them."""

    def get_all(self, name: str) -> list[str]:
        """Return the values of all headers of that name; upper and lower case are the same."""
        name = name.lower()
        return [value for own, value in self.headers if own.lower() == name]


class Target(NamedTuple):
    """What a request is for; not decoded."""

    host: str | None
    """With a port, if any; None if the target is a path: then the Host header tells it."""
    path: str
    query: str


def read_head(first_line: bytes, reader: io.BufferedReader) -> RequestHead:
    """Parse the first line of a request, then read its headers and the empty line behind them.

    Raises RefusedRequestError for what is malformed, too long, too much, or not HTTP/1; and OSError
    when the connection breaks.
    """
    if len(first_line) > MAX_LINE:
        raise RefusedRequestError(
            HTTPStatus.REQUEST_URI_TOO_LONG, f"the request line is longer than {MAX_LINE} bytes"
        )
    found = _REQUEST_LINE.fullmatch(first_line)
    if not found:
        _refuse(f"the request line {_shown(first_line)} is not METHOD TARGET HTTP/1.1 and CR LF")
    method, target, major, minor = (part.decode("latin-1") for part in found.groups())
    version = f"HTTP/{major}.{minor}"
    if major != "1":
        raise RefusedRequestError(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, f"{version} is not supported; send HTTP/1.1"
        )
    headers = _read_headers(reader)
    names = [name.lower() for name, _ in headers]
    for name in _ONLY_ONCE:
        if names.count(name) > 1:
            _refuse(f"the header {name.title()} may be sent only once")
    return RequestHead(method, target, version, headers)


def parse_target(head: RequestHead) -> Target:
    """Split the target of a request. A fragment has no meaning for a server, and is left out.

    Raises RefusedRequestError for what is neither a path nor the URL of one, nor `OPTIONS *`.
    """
    host, rest = None, head.target
    if found := _URL.fullmatch(rest):
        host, rest = found[1], found[2] or ""
        if not rest.startswith("/"):
            rest = f"/{rest}"
    elif not rest.startswith("/") and (head.method, rest) != ("OPTIONS", "*"):
        _refuse(f"the target {rest[:100]!r} is neither a path, which begins with /, nor a URL")
    path, _, query = rest.partition("#")[0].partition("?")
    return Target(host, path, query)


def _read_headers(reader: io.BufferedReader) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    while (line := reader.readline(MAX_LINE + 1)) != b"\r\n":
        if len(line) > MAX_LINE or len(headers) == _MAX_HEADERS:
            raise RefusedRequestError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"at most {_MAX_HEADERS} headers of {MAX_LINE} bytes each may be sent",
            )
        headers.append(_parse_header(line))
    return tuple(headers)


def _parse_header(line: bytes) -> tuple[str, str]:
    found = HEADER_LINE.fullmatch(line)
    if not found:
        # Among them: LF without CR, a line that goes on with the one before, a blank before the
        # colon, and control characters in a value.
        _refuse(f"the header line {_shown(line)} is not NAME: VALUE and CR LF")
    # Only these blanks are blanks in HTTP; str.strip() would take a part of "à" in UTF-8.
    return found[1].decode(), found[2].strip(b" \t").decode("latin-1")


def _refuse(reason: str) -> NoReturn:
    raise RefusedRequestError(HTTPStatus.BAD_REQUEST, reason)


def _shown(line: bytes) -> str:
    return repr(line[:100])[1:]
