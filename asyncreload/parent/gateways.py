"""The gateways of the default routes, as Linux tells them. In a container, that is its host."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

_PROC = "/proc/net"
_UP_AND_GATEWAY = 0x1 | 0x2  # flags of a route, from linux/route.h

_Route = tuple[int, str]
"""The metric of a default route, and its gateway. The route with the least metric is used."""


def default_gateways(proc: str = _PROC) -> tuple[str, ...]:
    """Return the gateways of the default routes of IPv4 and of IPv6, as far as there are any.

    proc: the directory of the files `route` and `ipv6_route`; only Linux has one.
    """
    tables = (("route", _ipv4_route), ("ipv6_route", _ipv6_route))
    found = [[*_routes(os.path.join(proc, name), parse)] for name, parse in tables]
    return tuple(min(routes)[1] for routes in found if routes)


def _routes(path: str, parse: Callable[[list[str]], _Route | None]) -> Iterator[_Route]:
    try:
        with open(path, encoding="ascii") as file:
            lines = file.readlines()
    except OSError:  # no Linux, or no IPv6
        return
    for line in lines:
        fields = line.split()
        if "Iface" not in fields and (route := parse(fields)):
            yield route


def _ipv4_route(fields: list[str]) -> _Route | None:
    _, destination, gateway, flags, _, _, metric, mask, *_ = fields
    if int(destination, 16) or int(mask, 16) or not _has_gateway(flags):
        return None
    # The bytes of an address as they are in memory, printed as one number.
    return int(metric), str(IPv4Address(struct.pack("=I", int(gateway, 16))))


def _ipv6_route(fields: list[str]) -> _Route | None:
    destination, length, _, _, gateway, metric, _, _, flags, _ = fields
    if int(destination, 16) or int(length, 16) or not _has_gateway(flags):
        return None
    return int(metric, 16), str(IPv6Address(bytes.fromhex(gateway)))


def _has_gateway(flags: str) -> bool:
    return int(flags, 16) & _UP_AND_GATEWAY == _UP_AND_GATEWAY
