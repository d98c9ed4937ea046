"""Checks how an app begins a response before any of it is sent: so an error can be shown instead.

By `start_response` if it speaks WSGI, by `http.response.start` if it speaks ASGI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_TEXT: Final = re.compile("[\t\x20-\x7e\x80-\xff]*")
_NAME: Final = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS: Final = re.compile("[1-9][0-9]{2}(?: .*)?")  # "²".isdigit() is true, for wsgiref
_RAW: Final = re.compile(
    rb"(?!(?i:content-length):)[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*"
)
"""A header that needs no closer look."""
_LENGTH: Final = re.compile("[0-9]{1,18}")
_OF_THE_CONNECTION: Final = ("connection", "keep-alive")
_ENDLESS: Final = ("text/event-stream", "multipart/x-mixed-replace")


def checked_status(status: str) -> str:
    """Return a status that may be sent, such as "200 OK".

    Raises ValueError for line ends and control characters, and where no code is.
    """
    status = _plain(_checked("status", status))
    if not isinstance(status, str):
        return status  # which wsgiref refuses
    if not _STATUS.fullmatch(status):
        raise ValueError(f"the status is {status!r}: begin with three digits, as in '200 OK'")
    # wsgiref insists on the blank that PEP 3333 asks for; other servers take "200" alone.
    return status if status[3:] else f"{status} "


def checked_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return a list of headers that may be sent. It is a new one: wsgiref adds to it.

    Raises ValueError for a name or value that could not be sent as it is: with a line end, which
    would begin another header, with a control character, or with one that is not in Latin-1.
    """
    return [(_checked_name(name), _checked_value(name, value)) for name, value in headers]


def without_connection(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers without those by which an app speaks of the connection, which is ours."""
    return [pair for pair in headers if str(pair[0]).lower() not in _OF_THE_CONNECTION]


def checked_code(status: Any) -> int:
    """Return the status of an ASGI app's response. Raises ValueError if it cannot be sent."""
    if not isinstance(status, int) or not 100 <= status <= 599:  # noqa: PLR2004  all that there are
        raise ValueError(f"the status is {status!r}: give a number from 100 to 599")
    return int(status)


def checked_raw_headers(headers: Iterable[tuple[Any, Any]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an ASGI app's response, as far as they may be sent.

    Raises TypeError for what is not bytes, and ValueError as `checked_headers` does.
    """
    return [
        (name, value) if _is_usual(name, value) else _checked_raw(name, value)
        for name, value in headers
    ]


def _is_usual(name: Any, value: Any) -> bool:
    """Tell whether a header can be sent as it is. For each header of each response: so in short."""
    if type(name) is not bytes or type(value) is not bytes or b":" in name:
        return False
    return _RAW.fullmatch(b"%b:%b" % (name, value)) is not None


def _checked_raw(name: Any, value: Any) -> tuple[bytes, bytes]:
    name, value = checked_bytes("name of a header", name), checked_bytes("value of a header", value)
    checked_headers([(name.decode("latin-1"), value.decode("latin-1"))])
    return name, value


def checked_bytes(what: str, data: Any) -> bytes:
    """Return a part of an ASGI app's response. Raises TypeError if it is not bytes."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"the {what} is {data!r:.100}: give bytes")
    return bytes(data)


def has_no_body(status: str) -> bool:
    """Tell whether the answer ends with its headers, whatever they say: 1xx, 204 and 304."""
    return status[0] == "1" or status[:3] in {"204", "304"}


def has_no_end(content_type: str) -> bool:
    """Tell whether a response of this type goes on until its client has enough."""
    return content_type.startswith(_ENDLESS)


def _checked_name(name: str) -> str:
    if isinstance(name, str) and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header: use letters, digits and -")
    return _plain(name)


def _checked_value(name: str, value: str) -> str:
    if isinstance(value, str) and name.lower() == "content-length" and not _LENGTH.fullmatch(value):
        raise ValueError(f"the header Content-Length is {value!r}: give the number of bytes")
    return _plain(_checked(f"header {name}", value))


def _checked(what: str, text: str) -> str:
    if isinstance(text, str) and not _TEXT.fullmatch(text):
        raise ValueError(
            f"the {what} is {text!r}: it may hold neither line ends nor control characters, "
            "and only characters of Latin-1; quote others, as by urllib.parse.quote()"
        )
    return text


def _plain(text: str) -> str:
    """Return the text as a str: wsgiref refuses classes derived from that, and all other types."""
    return str.__str__(text) if isinstance(text, str) else text
