"""IP addresses and networks: how people name them, and how clients are compared with them.

An IPv4 address that is mapped into IPv6, as `::ffff:10.0.0.1`, counts as the IPv4 one: so a socket
that listens on `::` names its IPv4 clients.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

DOCKER = "docker"
"""Stands for the default gateway, which is the container's host where Docker runs."""

_MAPPED_LENGTH = 96  # bits of an IPv6 address before the IPv4 address that is mapped into it


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a client; None for text that is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that a text names; an address is a network of its own.

    Raises ValueError, with what to name instead.
    """
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in text:  # a zone would not be compared
        raise ValueError(
            f"is no address or network: name one, as 192.168.0.7 or 10.0.0.0/8, or {DOCKER}"
        )
    address, is_network, _ = text.partition("/")
    if is_network and ip_address(address) != network.network_address:
        raise ValueError(f"is not where a network begins: name {network}, or {address} alone")
    return _unmapped(network)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return the IPv4 network that is mapped into an IPv6 network; every other one as it is."""
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_LENGTH:
        first = network.network_address.ipv4_mapped
        if first is not None:
            return IPv4Network((first, network.prefixlen - _MAPPED_LENGTH))
    return network
