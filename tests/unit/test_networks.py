"""Addresses and networks, as people name them."""

from __future__ import annotations

import pytest

from asyncreload.networks import parse_address, parse_network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.168.0.7", "192.168.0.7/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::1", "::1/128"),
        ("fd00::/8", "fd00::/8"),
        ("::/0", "::/0"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_a_network_is_named_as_everywhere(text: str, expected: str) -> None:
    assert str(parse_network(text)) == expected


NO_NETWORKS = [
    *("localhost", "x", "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "/8", "10.0.0.1:80", "[::1]"),
    *("fe80::1%eth0", "fe80::%eth0/64", "010.0.0.1", "10.0.0.0/8,fd00::/8", "Docker"),
]


@pytest.mark.parametrize("text", ["", " 10.0.0.1", *NO_NETWORKS])
def test_what_is_no_network_is_told_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="is no address or network: name one, as 192"):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "network"), [("10.0.0.1/8", "10.0.0.0/8"), ("fd00::1/64", "fd00::/64")]
)
def test_an_address_inside_a_network_names_neither(text: str, network: str) -> None:
    with pytest.raises(ValueError, match="is not where a network begins") as caught:
        parse_network(text)
    address = text.partition("/")[0]
    assert str(caught.value).endswith(f": name {network}, or {address} alone")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
        ("10.0.0.1/32", "None"),
        ("localhost", "None"),
        ("", "None"),
    ],
)
def test_the_address_of_a_client(text: str, expected: str) -> None:
    assert str(parse_address(text)) == expected
