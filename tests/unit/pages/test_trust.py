"""Whom reports are shown to: which addresses, under which names."""

from __future__ import annotations

import pytest

from asyncreload.child.pages.trust import (
    THIS_MACHINE,
    Trust,
    is_address_host,
    is_loopback,
    is_loopback_host,
)

OFFICE = Trust(("192.168.0.7", "10.0.0.0/8", "fd00::/8", "docker"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("LocalHost:8000", True),
        ("localhost.", True),
        ("localhost.:8000", True),
        ("shop.localhost:8000", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8000", True),
        ("127.8.9.10:80", True),
        ("[::1]", True),
        ("[::1]:8000", True),
        ("[::ffff:127.0.0.1]:8000", True),
        ("", False),
        (":8000", False),
        ("evil.com", False),
        ("evil.com:8000", False),
        ("127.0.0.1.evil.com", False),
        ("127.0.0.1.evil.com:8000", False),
        ("localhost.evil.com", False),
        ("notlocalhost", False),
        ("evil.com#localhost", False),
        ("0.0.0.0:8000", False),
        ("10.0.0.9:8000", False),
        ("[::]:8000", False),
        ("[2001:db8::1]:8000", False),
        ("[evil.com]", False),
        ("[", False),
        ("localhost:", True),
        ("127.0.0.1.", True),
        ("localhost..", False),
        (".localhost", True),
        ("localhost:evil.com", False),
        ("localhost,evil.com", False),
        ("localhost:8000,evil.com", False),
        ("localhost:80, localhost:80", False),
        ("evil.com@localhost", False),
        ("evil.com:x@localhost", False),
        ("localhost@evil.com", False),
        ("localhost:80@evil.com", False),
        ("127.0.0.1:80@evil.com:80", False),
        ("127.0.0.1%evil.com", False),
        ("[::1]evil.com", False),
        ("[::1].evil.com:80", False),
        ("[::1]:80:80", False),
        ("[localhost]", False),
        ("::1", False),
        ("http://localhost", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("127.1", False),
        ("localhost\n", False),
        ("\u0131ocalhost", False),
    ],
)
def test_hosts_that_name_this_machine(host: str, expected: bool) -> None:  # noqa: FBT001  a parameter of the table above
    assert is_loopback_host(host) is expected
    assert THIS_MACHINE.includes("127.0.0.1", host) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.9", False),
        ("10.0.0.9", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
        ("2130706433", False),
    ],
)
def test_addresses_of_this_machine(address: str, expected: bool) -> None:  # noqa: FBT001  a parameter of the table above
    assert is_loopback(address) is expected
    assert THIS_MACHINE.includes(address, "localhost") is expected


@pytest.mark.parametrize("path", ["http://evil.com/", "evil.com:80", "*"])
def test_what_is_meant_for_a_proxy_is_not_for_this_machine(path: str) -> None:
    here = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}
    assert THIS_MACHINE.may_see_report(here | {"PATH_INFO": "/"})
    assert not THIS_MACHINE.may_see_report(here | {"PATH_INFO": path})


def test_without_address_or_host_nobody_may_see_report() -> None:
    assert not THIS_MACHINE.may_see_report({})
    assert not THIS_MACHINE.may_see_report({"REMOTE_ADDR": "127.0.0.1"})
    assert not THIS_MACHINE.may_see_report({"HTTP_HOST": "localhost"})


# --- an option says whom else ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.168.0.7", True),
        ("192.168.0.8", False),
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("9.255.255.255", False),
        ("11.0.0.0", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:192.168.0.7", True),
        ("::ffff:192.168.0.8", False),
        ("::10.1.2.3", False),
        ("fd12::1", True),
        ("fd12::1%eth0", True),
        ("fe80::1", False),
        ("127.0.0.1", True),
        ("::1", True),
        ("", False),
        ("docker", False),
        ("10.0.0.0/8", False),
    ],
)
def test_addresses_that_an_option_trusts(address: str, expected: bool) -> None:  # noqa: FBT001  a parameter of the table above
    assert OFFICE.includes(address, "localhost:8000") is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:8000", True),
        ("shop.localhost", True),
        ("127.0.0.1:8000", True),
        ("192.168.0.5", True),
        ("192.168.0.5:8000", True),
        ("8.8.8.8", True),
        ("[2001:db8::1]:8000", True),
        ("[fd00::1]", True),
        ("", False),
        (":8000", False),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("192.168.0.5.evil.example", False),
        ("mybox", False),
        ("mybox.local:8000", False),
        ("192.168.0.5@evil.example", False),
        ("192.168.0.5,evil.example", False),
        ("evil.example:80@192.168.0.5", False),
        ("[192.168.0.5].evil.example", False),
        ("[evil.example]", False),
        ("3232235525", False),
        ("192.168.5", False),
        ("2001:db8::1", False),
        ("192.168.0.5%evil.example", False),
    ],
)
def test_a_trusted_client_names_an_address_or_the_loopback(host: str, expected: bool) -> None:  # noqa: FBT001  the same
    """Any other name may have been made to lead here by the page that asks."""
    assert (is_address_host(host) or is_loopback_host(host)) is expected
    for client in ("192.168.0.7", "fd00::9", "::ffff:10.0.0.9"):
        assert OFFICE.includes(client, host) is expected
    assert not OFFICE.includes("192.168.0.8", host)


def test_a_client_of_this_machine_names_the_loopback_unless_it_is_trusted() -> None:
    assert not THIS_MACHINE.includes("127.0.0.1", "192.168.0.5:8000")
    assert not OFFICE.includes("127.0.0.1", "192.168.0.5:8000")
    assert Trust(("127.0.0.1",)).includes("127.0.0.1", "192.168.0.5:8000")


def test_everybody_has_to_be_named() -> None:
    assert Trust(("0.0.0.0/0",)).includes("8.8.8.8", "10.0.0.1")
    assert Trust(("0.0.0.0/0",)).includes("::ffff:8.8.8.8", "10.0.0.1")
    assert not Trust(("0.0.0.0/0",)).includes("2001:db8::1", "10.0.0.1")
    assert Trust(("::/0",)).includes("2001:db8::1", "[::1]")
    assert not Trust(("::/0",)).includes("8.8.8.8", "10.0.0.1")


def test_the_path_decides_as_well() -> None:
    told = {"REMOTE_ADDR": "10.0.0.9", "HTTP_HOST": "10.0.0.1:8000"}
    assert OFFICE.may_see_report(told | {"PATH_INFO": "/"})
    assert not OFFICE.may_see_report(told | {"PATH_INFO": "http://evil.example/"})
    assert not THIS_MACHINE.may_see_report(told | {"PATH_INFO": "/"})
