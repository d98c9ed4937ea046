"""The listening socket."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from asyncreload.errors import BindError
from asyncreload.frozen_data import FrozenData
from asyncreload.networks import parse_address

_DEFER = 5
"""Seconds that Linux keeps a connection to itself until its first byte comes."""


# Addresses for documentation, which are nobody's. Towards them, the system chooses the one of its
# own addresses that others know this machine by.
_ANYWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


class Address(FrozenData):
    """An address as the system has it."""

    family: socket.AddressFamily
    name: Any


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen. Raises `BindError` when the address cannot be had."""
    return bind(resolve(host, port), host, port)


def resolve(host: str, port: int) -> Address:
    """Look the host up, which may take its time. Raises `BindError` when it is not known.

    Of a name with several addresses, such as `localhost`, the IPv4 one is taken, as by the
    frameworks' own servers. A client that asks by IPv6 first is refused at once, and asks by IPv4.
    """
    try:
        # As bytes: for a text, Python loads what it needs for names with other letters, 3 ms.
        name = host.encode("ascii") if host.isascii() else host
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise BindError(_not_here(host, exc), getattr(exc, "errno", None)) from exc
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return Address(family, address)


def bind(address: Address, host: str, port: int) -> socket.socket:
    """Bind and listen; host and port are what a `BindError` names."""
    family = address.family
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise BindError(_not_here(host, exc), exc.errno) from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` is every address, as people expect it: IPv4 too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            # Connections that browsers open early stay out of any process that may crash.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER)
        # Connections have it from the listener. Else a second block of an answer waits until the
        # client has acknowledged the first: 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address.name)
        listener.listen(socket.SOMAXCONN)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        raise BindError(_explain(exc, host, port), exc.errno) from exc
    return listener


def _not_here(host: str, exc: Exception) -> str:
    return f"cannot listen on {host!r}: {exc}; name an address of this machine"


def _explain(exc: OSError, host: str, port: int) -> str:
    match exc.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port} on {host} is in use: stop what listens there, choose another port, "
                "or 0 for a free one"
            )
        case errno.EACCES:
            return f"not permitted to listen on {host} port {port}: choose a port above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine: choose one that is, or 127.0.0.1"
        case _:
            reason = os.strerror(exc.errno) if exc.errno else exc
            return f"cannot listen on {host} port {port}: {reason}"


def url_of(listener: socket.socket) -> str:
    """Return where a browser on this machine finds what listens there."""
    host, port = listener.getsockname()[:2]
    return _url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)


def network_url_of(listener: socket.socket) -> str:
    """Return where other machines find what listens on every address.

    Empty if it listens on one address alone, or if this machine has no address in a network.
    """
    host, port = listener.getsockname()[:2]
    if host not in {"0.0.0.0", "::"}:
        return ""
    families = [socket.AF_INET]
    if host == "::":
        takes_ipv4 = not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        families = [*(families if takes_ipv4 else ()), socket.AF_INET6]
    found = next(filter(None, map(_own_address, families)), "")
    return _url(found, port) if found else ""


def _own_address(family: socket.AddressFamily) -> str:
    """Return the address of this machine that others use, "" if there is none. Sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ANYWHERE[family], 9))
            found: str = probe.getsockname()[0]
    except OSError:  # no route leads out, or there is no IPv6
        return ""
    address = parse_address(found)
    # A link-local address is none without the name of an interface.
    is_known = address is not None and not address.is_loopback and not address.is_link_local
    return found if is_known else ""


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
