"""The connections that a server holds, as the kernel tells them."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# From <linux/netlink.h>, <linux/sock_diag.h>, <linux/inet_diag.h> and <linux/tcp.h>.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_ALL = 0x301  # NLM_F_REQUEST and NLM_F_DUMP
_DONE = 3
_TCP_ESTABLISHED = 1
_INET_DIAG_INFO = 2
_BYTES_ACKED = 120  # where it lies in struct tcp_info
_HEAD = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ROW = 72  # bytes of struct inet_diag_msg
_CLIENT = slice(6, 8)  # the client's port in it


def answered(port: int) -> set[bytes]:
    """Return the open connections to a port on which the client has had something, by client.

    Those on which nothing was sent yet do not count: a browser opens some ahead.
    """
    return {row[_CLIENT] for row in _rows(port) if _sent(row)}


def _rows(port: int) -> Iterator[bytes]:
    """Return what the kernel tells of each open connection to a local port."""
    wanted = struct.pack(
        "=BBBxI",
        socket.AF_INET,
        socket.IPPROTO_TCP,
        1 << (_INET_DIAG_INFO - 1),
        1 << _TCP_ESTABLISHED,
    )
    wanted += struct.pack(">H", port) + bytes(46)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        head = (_HEAD.size + len(wanted), _SOCK_DIAG_BY_FAMILY, _REQUEST_ALL, 1, 0)
        kernel.send(_HEAD.pack(*head) + wanted)
        while True:
            told = kernel.recv(1 << 16)
            while told:
                size, kind, *_ = _HEAD.unpack_from(told)
                if kind == _DONE:
                    return
                assert kind == _SOCK_DIAG_BY_FAMILY, f"the kernel refuses: {told!r}"
                row = told[_HEAD.size : size]
                if row[4:6] == wanted[8:10]:  # a kernel may tell of all ports
                    yield row
                told = told[size:]


def _sent(row: bytes) -> int:
    """Return how many bytes the other side has had."""
    attributes = row[_ROW:]
    while attributes:
        size, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _INET_DIAG_INFO:
            return int.from_bytes(attributes[4:size][_BYTES_ACKED:][:8], "little")
        attributes = attributes[(size + 3) & ~3 :]
    raise AssertionError("no struct tcp_info")
