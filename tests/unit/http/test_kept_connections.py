"""Connections that wait for another request, each of which is claimed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from asyncreload.child.http.kept_connections import KeptConnections

if TYPE_CHECKING:
    from asyncreload.child.http.asgi_connection import AsgiConnection


def connection() -> AsgiConnection:
    return cast("AsgiConnection", object())


def test_each_is_claimed_once() -> None:
    kept, one = KeptConnections(), connection()
    assert not kept.claim(one)
    assert kept.add(one)
    assert len(kept) == 1
    assert kept.claim(one)
    assert not kept.claim(one)
    assert len(kept) == 0


def test_at_the_end_all_are_claimed_and_none_is_kept_any_more() -> None:
    kept, one, other = KeptConnections(), connection(), connection()
    kept.add(one)
    kept.add(other)
    assert sorted(kept.close(), key=id) == sorted([one, other], key=id)
    assert not kept.claim(one)
    assert not kept.add(one)
    assert kept.close() == []
    assert len(kept) == 0
