"""Which clients may see names, paths and code in a report: those on this machine, by default."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from asyncreload.networks import DOCKER, parse_address, parse_network

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import WSGIEnvironment

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z.-]+?)\.?)(?::[0-9]*)?")


class Trust:
    """Knows whom to trust; everybody else is a stranger. Changes nothing, so threads may share it.

    The address of the client decides, and the `Host` header. That keeps out pages of other sites
    whose name was made to resolve to this machine (DNS rebinding): they say that name.

    networks: the addresses and networks that are trusted beside this machine's loopback.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        # The gateways that the word stands for have been added by the supervisor.
        self._networks = tuple(parse_network(text) for text in networks if text != DOCKER)

    def includes(self, address: str, host: str) -> bool:
        """Tell whether a client is trusted.

        A client on this machine has to name it by its loopback, another one by any IP address or
        by its loopback, as where a container's port is published on its host.

        host: the `Host` header, with or without a port.
        """
        client = parse_address(address)
        if client is None:
            return False
        if any(client in network for network in self._networks):
            return is_address_host(host) or is_loopback_host(host)
        return client.is_loopback and is_loopback_host(host)

    def may_see_report(self, environ: WSGIEnvironment) -> bool:
        """Tell whether a request comes from a trusted client.

        If there is a whole URL in the place of the path, the environ has the host of that.

        environ: the WSGI environ of the request.
        """
        is_path = environ.get("PATH_INFO", "/")[:1] in {"/", ""}
        host = environ.get("HTTP_HOST", "")
        return is_path and self.includes(environ.get("REMOTE_ADDR", ""), host)


THIS_MACHINE = Trust()
"""Trusts nobody beside this machine's loopback."""


def is_same_origin(site: str, origin: str | None, host: str) -> bool:
    """Tell whether a request does not come from a page of another site.

    site: the header `Sec-Fetch-Site`; "" if there is none. It holds also where a proxy changes
        the host.
    origin: the header `Origin`; None if there is none.
    host: the `Host` header.
    """
    if site:
        return site in {"same-origin", "none"}
    return origin is None or origin in {f"http://{host}", f"https://{host}"}


def is_loopback(address: str) -> bool:
    """Tell whether a text is a loopback IP address, also one of IPv4 mapped into IPv6."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback


def is_loopback_host(host: str) -> bool:
    """Tell whether a `Host` header, with or without a port, names this machine by its loopback."""
    name = _name_in(host)
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)


def is_address_host(host: str) -> bool:
    """Tell whether a `Host` header, with or without a port, has an IP address, not a name."""
    return parse_address(_name_in(host)) is not None


def _name_in(host: str) -> str:
    """Return the address or name in a `Host` header, in lower case; "" if that is not valid."""
    # As strict as browsers are: neither two hosts nor a name before an @ are a valid header.
    found = _HOST.fullmatch(host)
    return (found[1] or found[2] or "").lower() if found else ""
