"""Which clients may see names, paths and code in a report: those on this machine."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z.-]+?)\.?)(?::[0-9]*)?")


def may_see_report(environ: WSGIEnvironment) -> bool:
    """Tell whether a request comes from this machine, and names it in its `Host` header.

    The header keeps out pages of other sites whose name was made to resolve to this machine (DNS
    rebinding). If there is a whole URL in the place of the path, the environ has the host of that.

    environ: the WSGI environ of the request.
    """
    return (
        is_loopback(environ.get("REMOTE_ADDR", ""))
        and is_loopback_host(environ.get("HTTP_HOST", ""))
        and environ.get("PATH_INFO", "/")[:1] in {"/", ""}
    )


def is_loopback(address: str) -> bool:
    """Tell whether a text is a loopback IP address, also one of IPv4 mapped into IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def is_loopback_host(host: str) -> bool:
    """Tell whether a `Host` header, with or without a port, names this machine by its loopback."""
    # As strict as browsers are: neither two hosts nor a name before an @ are a valid header.
    found = _HOST.fullmatch(host)
    if not found:
        return False
    address, name = found[1], (found[2] or "").lower()
    return name == "localhost" or name.endswith(".localhost") or is_loopback(address or name)
