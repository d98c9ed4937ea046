"""The event streams, on socket pairs: taken over without a thread, and only from the own page."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator

import pytest

from asyncreload.child.pages import event_stream
from asyncreload.child.pages.browser_scripts import LIVE_SCRIPT
from asyncreload.child.pages.event_stream import EventStreams
from asyncreload.child.pages.report_app import EVENTS
from asyncreload.child.pages.trust import Trust
from asyncreload.sockets import ClientAddress

STATE = "0123abcd"
HERE = ("127.0.0.1", 54321)
AWAY = ("10.0.0.9", 54321)
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\n"

pytestmark = pytest.mark.asyncio


class Pair:
    """A connection: the server's end of it, and the browser's."""

    def __init__(self) -> None:
        self.server, self.client = socket.socketpair()
        self.client.settimeout(5)

    def ask(self, *headers: str, line: str = f"GET {EVENTS} HTTP/1.1") -> bytes:
        """Send a request, and return what was sent."""
        sent = "".join(f"{part}\r\n" for part in (line, *headers, "")).encode()
        self.client.sendall(sent)
        return sent

    def receive(self) -> bytes:
        """Return what has come; nothing after the end."""
        return self.client.recv(65536)

    def has_ended(self) -> bool:
        """Tell whether the server ended the connection; not ended and silent is no."""
        return not self.is_silent() and self.client.recv(65536) == b""

    def is_silent(self) -> bool:
        """Tell whether nothing came, not even the end."""
        return not select.select([self.client], [], [], 0)[0]

    def close(self) -> None:
        self.server.close()
        self.client.close()


class Pairs:
    """Makes pairs, and closes them all."""

    def __init__(self) -> None:
        self._made: list[Pair] = []

    def __call__(self) -> Pair:
        self._made.append(Pair())
        return self._made[-1]

    def close(self) -> None:
        for pair in self._made:
            pair.close()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    pairs = Pairs()
    yield pairs
    pairs.close()


def opened(streams: EventStreams, pair: Pair, *headers: str, client: ClientAddress = HERE) -> bytes:
    """Ask for the stream, and return the answer."""
    pair.ask("Host: localhost:8000", *headers)
    assert streams.take_over(pair.server, client)
    return pair.receive()


async def reaction() -> None:
    """Let the loop look at the sockets, and call back whom they concern."""
    done = asyncio.Event()
    left, right = socket.socketpair()
    with left, right:
        loop = asyncio.get_running_loop()
        loop.add_reader(left, done.set)  # ready no sooner than what happened before
        right.send(b"x")
        await asyncio.wait_for(done.wait(), 5)
        loop.remove_reader(left)


async def test_the_stream_tells_the_state_and_stays_open(pairs: Pairs) -> None:
    streams, pair = EventStreams(STATE), pairs()

    head, _, events = opened(streams, pair).decode().partition("\r\n\r\n")

    status, *headers = head.split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert "Content-Type: text/event-stream" in headers
    assert "Cache-Control: no-store, no-transform" in headers
    assert "Cross-Origin-Resource-Policy: same-origin" in headers
    assert "X-Accel-Buffering: no" in headers
    assert not [line for line in headers if line.startswith("Access-Control")]
    assert events == f"retry: 50\nevent: state\ndata: {STATE}\n\n"
    await reaction()
    assert not pair.has_ended()
    streams.close()


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["/srv/site.css", "/srv/a b.css"], " site.css a%20b.css"),
        (["/srv/site.css", "/srv/page.html"], ""),
    ],
)
async def test_open_streams_are_told_of_a_refresh(
    pairs: Pairs, paths: list[str], told: str
) -> None:
    streams, first, second = EventStreams(STATE), pairs(), pairs()
    opened(streams, first)
    streams.tell_refresh(STATE, f"{STATE}-1", paths)
    assert first.receive() == f"event: state\ndata: {STATE}-1 {STATE}{told}\n\n".encode()
    assert opened(streams, second).endswith(f"data: {STATE}-1\n\n".encode())
    streams.close()


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        f"GET {EVENTS}/more HTTP/1.1",
        f"GET {EVENTS}?state=1 HTTP/1.1",
        f"GET /app{EVENTS} HTTP/1.1",
        f"POST {EVENTS} HTTP/1.1",
        f"HEAD {EVENTS} HTTP/1.1",
        f"get {EVENTS} HTTP/1.1",
    ],
)
async def test_other_requests_are_left_alone_unread(pairs: Pairs, line: str) -> None:
    pair = pairs()
    sent = pair.ask("Host: localhost", line=line)

    assert not EventStreams(STATE).take_over(pair.server, HERE)

    assert pair.server.recv(65536) == sent
    assert not pair.has_ended()


@pytest.mark.parametrize("sent", [b"", b"G", f"GET {EVENTS}".encode()])
async def test_a_request_that_is_not_all_there_is_left_alone(pairs: Pairs, sent: bytes) -> None:
    pair = pairs()
    pair.client.sendall(sent)

    assert not EventStreams(STATE).take_over(pair.server, HERE)

    if sent:
        assert pair.server.recv(65536) == sent


async def test_a_client_that_has_gone_is_left_alone(pairs: Pairs) -> None:
    pair = pairs()
    pair.client.close()

    assert not EventStreams(STATE).take_over(pair.server, HERE)


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: evil.com", "Origin: http://shop.example"],
        ["Host: localhost:8000", "Origin: http://evil.com"],
        ["Host: localhost:8000", "Origin: http://localhost:9000"],
        ["Host: localhost:8000", "Origin: http://localhost:8000.evil.com"],
        ["Host: localhost:8000", "Origin: null"],
        ["Host: localhost:8000", "Origin: http://[evil"],
        ["Host: localhost:8000", "Origin: localhost:8000"],
        ["Host: localhost:8000", "Origin:"],
        ["host:evil.com", "Origin: http://localhost"],
        ["Host: localhost:8000", "Sec-Fetch-Site: cross-site"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("client", [HERE, AWAY])
async def test_foreign_pages_are_refused(
    pairs: Pairs, headers: list[str], client: ClientAddress
) -> None:
    streams, pair = EventStreams(STATE), pairs()
    pair.ask(*headers)

    assert streams.take_over(pair.server, client)

    answer = pair.receive()
    assert answer.startswith(FORBIDDEN)
    assert STATE.encode() not in answer
    assert pair.has_ended()


STRANGERS: list[tuple[ClientAddress, str]] = [
    (("192.168.1.5", 1), "Host: localhost"),
    (("192.168.1.5", 1), "Host: 192.168.1.4:8000"),
    (("2001:db8::1", 1, 0, 0), "Host: localhost"),
    ("", "Host: localhost"),
    (("",), "Host: localhost"),
    (HERE, "Host:"),
    (HERE, "Host: mybox.local:8000"),
    (HERE, "Host: localhost@evil.com"),
    (HERE, "Host: localhost\r\nHost: evil.com"),
    (HERE, "Host : localhost"),
    (HERE, "X: a\x85Host: localhost"),
]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(("client", "host"), STRANGERS)
async def test_a_stranger_is_told_the_state_from_streams_of_its_own(
    pairs: Pairs, client: ClientAddress, host: str, *, live: bool
) -> None:
    streams, pair, mine = EventStreams(STATE, live=live, limit=1, strangers=1), pairs(), pairs()
    pair.ask(host)

    assert streams.take_over(pair.server, client)

    events = pair.receive().decode().partition("\r\n\r\n")[2]
    assert events == f"retry: 50\nevent: state\ndata: {STATE}\n\n"
    assert b"retry: 50\n" in opened(streams, mine)
    assert not pair.has_ended()
    streams.close()
    assert pair.has_ended()
    assert mine.has_ended()


@pytest.mark.parametrize("client", [HERE, ("::1", 1, 0, 0), ("::ffff:127.0.0.1", 1, 0, 0)])
@pytest.mark.parametrize(
    "headers",
    [
        ["Host: localhost"],
        ["host:127.0.0.1:8000"],
        ["HOST: [::1]:8000", "origin: http://[::1]:8000"],
        ["Origin: https://shop.localhost:8000", "Host: shop.localhost:8000"],
    ],
    ids=" ".join,
)
async def test_the_own_page_is_served(
    pairs: Pairs, client: ClientAddress, headers: list[str]
) -> None:
    streams, pair = EventStreams(STATE), pairs()
    pair.ask(*headers)

    assert streams.take_over(pair.server, client)

    assert pair.receive().startswith(b"HTTP/1.1 200 OK\r\n")
    streams.close()


async def test_close_ends_all_streams(pairs: Pairs) -> None:
    streams, several = EventStreams(STATE), [pairs() for _ in range(3)]
    for pair in several:
        opened(streams, pair)

    streams.close()

    assert all(pair.has_ended() for pair in several)
    assert all(pair.server.fileno() == -1 for pair in several)
    streams.close()  # nothing is left to do


async def test_close_ends_a_stream_of_which_a_fork_has_a_copy(pairs: Pairs) -> None:
    streams, pair = EventStreams(STATE), pairs()
    opened(streams, pair)

    with pair.server.dup():
        streams.close()
        assert pair.has_ended()


async def test_a_client_that_leaves_is_forgotten(pairs: Pairs) -> None:
    streams, gone, here = EventStreams(STATE), pairs(), pairs()
    opened(streams, gone)
    opened(streams, here)

    gone.client.close()
    await reaction()

    assert gone.server.fileno() == -1
    assert not here.has_ended()
    assert len(streams._open) == 1
    streams.close()


async def test_what_a_client_still_sends_is_ignored(pairs: Pairs) -> None:
    streams, pair = EventStreams(STATE), pairs()
    opened(streams, pair)

    pair.client.sendall(b"x" * 1000)
    await reaction()

    assert not pair.has_ended()
    streams.close()


async def test_more_than_the_limit_ask_again_later(pairs: Pairs) -> None:
    streams = EventStreams(STATE, limit=2)
    first, second, third, fourth = pairs(), pairs(), pairs(), pairs()
    opened(streams, first)
    opened(streams, second)

    answer = opened(streams, third)
    assert answer.endswith(f"\r\n\r\nretry: 5000\nevent: state\ndata: {STATE}\n\n".encode())
    assert third.has_ended()
    assert third.server.fileno() == -1
    assert not first.has_ended()
    first.client.close()
    await reaction()
    assert b"retry: 50\n" in opened(streams, fourth)
    assert not fourth.has_ended()
    streams.close()


@pytest.mark.parametrize("live", [True, False])
async def test_strangers_cannot_take_the_streams_of_others(pairs: Pairs, *, live: bool) -> None:
    streams = EventStreams(STATE, Trust(("10.0.0.8",)), live=live, limit=2, strangers=2)
    strangers = [pairs() for _ in range(5)]
    for pair in strangers:
        assert STATE.encode() in opened(streams, pair, client=AWAY)
    assert [pair.has_ended() for pair in strangers] == [False] * 2 + [True] * 3

    mine, trusted, late = pairs(), pairs(), pairs()
    assert b"retry: 50\n" in opened(streams, mine)
    assert b"retry: 50\n" in opened(streams, trusted, client=("10.0.0.8", 1))
    assert b"retry: 5000\n" in opened(streams, late)
    assert not mine.has_ended()
    assert not strangers[0].has_ended()

    strangers[0].client.close()
    await reaction()
    again = pairs()
    assert b"retry: 50\n" in opened(streams, again, client=AWAY)
    streams.close()
    assert not streams.has_listeners


async def test_strangers_have_few_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (160, 160))
    assert EventStreams(STATE)._strangers_limit == 10
    monkeypatch.setattr("resource.getrlimit", lambda _: (10**6, 10**6))
    assert EventStreams(STATE)._strangers_limit == 64


async def test_the_limits_leave_descriptors_for_the_app() -> None:
    assert event_stream._MAX_STREAMS + event_stream._MAX_STRANGERS <= 256


async def test_a_script_that_no_place_is_left_for_is_sent_all_the_same(pairs: Pairs) -> None:
    streams, first, second = EventStreams(STATE, live=True, strangers=1), pairs(), pairs()
    opened(streams, first, client=AWAY)
    second.ask("Host: shop.example", line="GET /.asyncreload/live.js HTTP/1.1")
    assert streams.take_over(second.server, AWAY)
    assert second.receive().decode().endswith(LIVE_SCRIPT)
    assert second.has_ended()
    streams.close()


# --- live pages ------------------------------------------------------------------------------


def live_streams() -> EventStreams:
    return EventStreams(STATE, live=True)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Host: shop.example"],
        ["Host: 192.168.1.5:8000", "Origin: http://192.168.1.5:8000"],
        ["Host: app.internal", "Origin: https://shop.example", "Sec-Fetch-Site: same-origin"],
        ["Host: app.internal", "Sec-Fetch-Site: none"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "path", [EVENTS, f"/shop{EVENTS}", f"/a/%20b{EVENTS}", f"http://x{EVENTS}"]
)
async def test_a_live_page_is_served_wherever_it_is_shown(
    pairs: Pairs, path: str, headers: list[str]
) -> None:
    streams, pair = live_streams(), pairs()
    pair.ask(*headers, line=f"GET {path} HTTP/1.1")

    assert streams.take_over(pair.server, ("192.168.1.7", 1))

    assert pair.receive().startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    streams.close()


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    "headers",
    [
        ["Host: localhost", "Sec-Fetch-Site: cross-site"],
        ["Host: localhost", "Sec-Fetch-Site: same-site", "Origin: http://localhost"],
        ["Host: localhost", "Origin: http://evil.example"],
        ["Host: localhost", "Origin: null"],
        ["Host:", "Origin: null"],
        ["Host: localhost", "Origin: ftp://localhost"],
        ["Host: localhost", "Origin: http://user@localhost"],
        ["Host: localhost", "Origin: http://localhost", "Origin: http://evil.example"],
        ["Host: localhost", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        ["Host: localhost", "Sec-Fetch-Site: Same-Origin"],
    ],
    ids=" ".join,
)
async def test_a_page_of_another_site_learns_nothing(
    pairs: Pairs, headers: list[str], *, live: bool
) -> None:
    streams, pair = EventStreams(STATE, live=live), pairs()
    pair.ask(*headers)

    assert streams.take_over(pair.server, HERE)

    answer = pair.receive()
    assert answer.startswith(FORBIDDEN)
    assert STATE.encode() not in answer
    assert pair.has_ended()


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "GET /.asyncreload/events/ HTTP/1.1",
        "GET /.asyncreload/other HTTP/1.1",
        "GET /asyncreload/events HTTP/1.1",
        "GET /?/.asyncreload/events&a HTTP/1.1",
        "GET .asyncreload/events HTTP/1.1",
        "GET / HTTP/1.1\r\nX: GET /.asyncreload/events ",
        "POST /.asyncreload/live.js HTTP/1.1",
    ],
)
async def test_other_requests_to_a_live_app_are_left_alone(pairs: Pairs, line: str) -> None:
    pair = pairs()
    sent = pair.ask("Host: localhost", line=line)

    assert not live_streams().take_over(pair.server, HERE)

    assert pair.server.recv(65536) == sent


async def test_the_script_is_served_to_live_pages_only(pairs: Pairs) -> None:
    streams, pair = live_streams(), pairs()
    pair.ask("Host: app.internal", line="GET /shop/.asyncreload/live.js HTTP/1.1")
    assert not EventStreams(STATE).take_over(pair.server, HERE)
    assert streams.take_over(pair.server, ("192.168.1.7", 1))

    head, _, body = pair.receive().decode().partition("\r\n\r\n")

    assert "\r\nContent-Type: text/javascript; charset=utf-8\r\n" in head
    assert f"\r\nContent-Length: {len(body)}\r\n" in head
    assert "\r\nCross-Origin-Resource-Policy: same-origin\r\n" in head
    assert body == LIVE_SCRIPT
    assert pair.has_ended()
    pair.client.close()
    await reaction()
    assert pair.server.fileno() == -1
    assert not streams._open


@pytest.mark.parametrize("end", ["\r\n", "\n"])
async def test_a_request_is_judged_by_its_head_whatever_ends_its_lines(
    pairs: Pairs, end: str
) -> None:
    streams, foreign, own = EventStreams(STATE), pairs(), pairs()
    for pair, first, second in (foreign, "evil.com", "localhost"), (own, "localhost", "evil.com"):
        origins = f"Origin: http://{first}", "", f"Origin: http://{second}"
        lines = (f"GET {EVENTS} HTTP/1.1", "Host: localhost", *origins, "")
        pair.client.sendall(end.join(lines).encode())
        assert streams.take_over(pair.server, HERE)
    assert foreign.receive().startswith(FORBIDDEN)
    assert own.receive().startswith(b"HTTP/1.1 200 OK\r\n")
    streams.close()
