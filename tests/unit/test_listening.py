"""The listening socket, and what is said when it cannot be had."""

from __future__ import annotations

import errno
import os
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pytest

from asyncreload.errors import AsyncreloadError, BindError
from asyncreload.listening import listen, network_url_of, resolve, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[tuple[socket.socket, int]]:
    with listen(host, port) as listener:
        yield listener, listener.getsockname()[1]


def complaint(host: str, port: int) -> str:
    with pytest.raises(BindError) as caught:
        listen(host, port)
    assert isinstance(caught.value, AsyncreloadError)
    assert isinstance(caught.value, OSError)
    assert caught.value.__cause__ is not None
    assert caught.value.errno == getattr(caught.value.__cause__, "errno", None)
    return str(caught.value)


def bind_raises(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, address: Any) -> None:
            raise error

    monkeypatch.setattr(socket, "socket", Refused)


def test_of_a_name_the_ipv4_address_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many systems name that of IPv6 first for localhost; then 127.0.0.1 would be refused."""
    tcp = (socket.SOCK_STREAM, 6, "")
    found = [(socket.AF_INET6, *tcp, ("::1", 80, 0, 0)), (socket.AF_INET, *tcp, ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert resolve("localhost", 80).name == ("127.0.0.1", 80)
    del found[1]
    assert resolve("ip6-localhost", 80).name == ("::1", 80, 0, 0)


def test_port_0_is_a_free_one_that_can_be_connected_to() -> None:
    with listening("127.0.0.1") as (listener, port):
        assert port > 0
        assert url_of(listener) == f"http://127.0.0.1:{port}/"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_the_socket_blocks_nobody_and_is_left_to_no_stranger() -> None:
    with listening("127.0.0.1") as (listener, _):
        assert listener.getblocking() is False
        assert listener.get_inheritable() is False
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="only Linux has it")
def test_connections_without_a_byte_are_left_to_the_kernel() -> None:
    with listening("127.0.0.1") as (listener, _):
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0


def test_a_busy_port_is_named_with_the_remedy() -> None:
    with listening("127.0.0.1") as (_, port):
        assert complaint("127.0.0.1", port) == (
            f"port {port} on 127.0.0.1 is in use: stop what listens there, "
            "choose another port, or 0 for a free one"
        )


def test_a_port_is_free_again_at_once() -> None:
    with listening("127.0.0.1") as (_, port):
        pass
    with listening("127.0.0.1", port) as (_, again):
        assert again == port


def test_all_of_ipv4_is_shown_as_an_address_that_a_browser_takes() -> None:
    with listening("0.0.0.0") as (listener, port):
        assert url_of(listener) == f"http://127.0.0.1:{port}/"


class Probe:
    """Stands in for a UDP socket: the system chooses one of these addresses for it, or none."""

    addresses: ClassVar[dict[int, str]] = {}

    def __init__(self, family: int, kind: int) -> None:
        assert kind == socket.SOCK_DGRAM
        self._family = family

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def connect(self, _address: Any) -> None:
        if self._family not in self.addresses:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

    def getsockname(self) -> tuple[str, int]:
        return self.addresses[self._family], 1


IPV4, IPV6 = socket.AF_INET, socket.AF_INET6


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "addresses", "expected"),
    [
        ("0.0.0.0", {IPV4: "192.168.0.7", IPV6: "2001:db8::7"}, "http://192.168.0.7:{port}/"),
        ("0.0.0.0", {IPV6: "2001:db8::7"}, ""),
        ("0.0.0.0", {}, ""),
        ("0.0.0.0", {IPV4: "127.0.0.1"}, ""),
        ("::", {IPV4: "192.168.0.7", IPV6: "2001:db8::7"}, "http://192.168.0.7:{port}/"),
        ("::", {IPV6: "2001:db8::7"}, "http://[2001:db8::7]:{port}/"),
        ("::", {IPV6: "fe80::7%eth0"}, ""),
        ("::0", {IPV4: "192.168.0.7", IPV6: "2001:db8::7"}, "http://[2001:db8::7]:{port}/"),
        ("127.0.0.1", {IPV4: "192.168.0.7"}, ""),
        ("::1", {IPV6: "2001:db8::7"}, ""),
    ],
)
def test_other_machines_get_an_address_where_all_are_listened_on(
    host: str, addresses: dict[int, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(host) as (listener, port):
        monkeypatch.setattr(Probe, "addresses", addresses)
        monkeypatch.setattr(socket, "socket", Probe)
        assert network_url_of(listener) == expected.format(port=port)
        monkeypatch.undo()


def test_a_name_is_looked_up() -> None:
    with listening("localhost") as (listener, port):
        assert url_of(listener) in {f"http://127.0.0.1:{port}/", f"http://[::1]:{port}/"}


@needs_ipv6
def test_two_colons_are_every_address_of_ipv4_too() -> None:
    with listening("::") as (listener, port):
        assert url_of(listener) == f"http://[::1]:{port}/"
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=5):
                pass


@needs_ipv6
def test_an_ipv6_address_is_that_alone() -> None:
    with listening("::1") as (listener, port):
        assert listener.family == socket.AF_INET6
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) != 0
        assert url_of(listener) == f"http://[::1]:{port}/"


def test_a_host_that_is_nowhere_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_args: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    assert complaint("nowhere.invalid", 8000) == (
        f"cannot listen on 'nowhere.invalid': [Errno {socket.EAI_NONAME}] "
        "Name or service not known; name an address of this machine"
    )


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "\udc80"])
def test_text_that_can_be_no_host_is_named_with_the_remedy(host: str) -> None:
    message = complaint(host, 8000)
    assert re.fullmatch(
        re.escape(f"cannot listen on {host!r}: ") + ".+; name an address of this machine", message
    )


def test_another_machines_address_is_named_with_the_remedy() -> None:
    assert complaint("192.0.2.1", 0) == (
        "192.0.2.1 is not an address of this machine: choose one that is, or 127.0.0.1"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may listen anywhere")
def test_a_low_port_is_named_with_the_remedy() -> None:
    assert complaint("127.0.0.1", 80) == (
        "not permitted to listen on 127.0.0.1 port 80: choose a port above 1023"
    )


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "not permitted to listen on 127.0.0.1 port 80: choose a port above 1023"),
        (
            errno.EADDRNOTAVAIL,
            "127.0.0.1 is not an address of this machine: choose one that is, or 127.0.0.1",
        ),
        (
            errno.ENOBUFS,
            f"cannot listen on 127.0.0.1 port 80: {os.strerror(errno.ENOBUFS)}",
        ),
    ],
)
def test_each_reason_has_its_message(
    number: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind_raises(OSError(number, "as the system says it"), monkeypatch)
    assert complaint("127.0.0.1", 80) == message


def test_a_reason_without_a_number_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    bind_raises(OSError("no reason"), monkeypatch)
    assert complaint("127.0.0.1", 80) == "cannot listen on 127.0.0.1 port 80: no reason"
