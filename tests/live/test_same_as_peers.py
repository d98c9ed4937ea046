"""What an app is told, and what becomes of its answers: as under waitress and gunicorn.

Each request goes to asyncreload and to both. What differs has its reason in the tables below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from tests.apps.told.app import GIVEN
from tests.live.comparing import Facts, ask, listening
from tests.live.driving import APPS
from tests.live.failing import serving
from tests.live.wire_requests import BY_HEAD, INCOMPLETE, REQUESTS, given

pytest.importorskip("waitress")
pytest.importorskip("gunicorn")

pytestmark = pytest.mark.without_standby

PEERS = {
    "waitress": ("waitress", "--listen=127.0.0.1:0", "app:app"),
    "gunicorn": ("gunicorn", "--bind=127.0.0.1:0", "--no-control-socket", "--workers=2", "app:app"),
}
ASKED = {
    **REQUESTS,
    **{f"give {name}": given(name) for name in GIVEN},
    **{f"head {name}": given(name, b"HEAD") for name in BY_HEAD},
}


@dataclass(frozen=True)
class Difference:
    """Why asyncreload does not do as another server: in which requests, and in which facts."""

    reason: str
    request: str = ".*"
    fact: str = "outcome"
    peer: str = ".*"

    def explains(self, peer: str, request: str, fact: str) -> bool:
        wanted = ((self.peer, peer), (self.request, request), (self.fact, fact))
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in wanted)


STRICT = "RFC 9112 calls it invalid, and servers in front could read it otherwise"

# What holds for all requests.
GENERAL = (
    Difference(
        "each server names itself, and where it listens",
        fact="environ (SERVER_(NAME|PORT|SOFTWARE)|REMOTE_PORT)|header (server|date|via)",
    ),
    Difference("one has threads, another has processes", fact="environ wsgi.multi.*"),
    Difference("objects by names of their own", fact="environ others"),
    Difference(
        "only CGI asks for it; wsgiref has always given it", fact="environ GATEWAY_INTERFACE"
    ),
    Difference("gunicorn's name for the raw target", fact="environ RAW_URI", peer="waitress"),
    Difference("waitress's name for the raw target", fact="environ REQUEST_URI", peer="gunicorn"),
    Difference("waitress gives the address as well", fact="environ REMOTE_HOST", peer="gunicorn"),
    Difference("an HTTP/1.0 response ends its connection anyway", fact="header connection"),
    Difference(
        "the others send chunks instead: HTTP/1.0 has none, but tells a length where it is known",
        fact="header content-length",
        request="(give|head) (?!304|file).*",
    ),
)

REQUESTED = (
    Difference("HTTP/0.9 is long gone", "(get|post) 0.9|target absent", peer="waitress"),
    Difference("waitress answers any version", "get (2.0|0.8)|preface of HTTP/2", peer="waitress"),
    Difference("waitress takes it for 1.0", "get 1.2", "environ SERVER_PROTOCOL", "waitress"),
    Difference(STRICT, "blank .*|vertical tab|NUL in .*|two empty lines .*", peer="waitress"),
    Difference("gunicorn limits methods", "method (with a hash|of .* letters)", peer="gunicorn"),
    Difference("curl sends a target as it was typed", r"target '/[^']*[\xc2\xc3].*"),
    Difference("left out for safety by waitress", "target '//.*", "environ PATH_INFO", "waitress"),
    Difference(STRICT, r"target '([*a]|\?a|#a|http:/?a|http:///a|mailto:x)'|connect"),
    Difference("RFC 9112, 3.2.1: an empty path is /", "target 'http:.*", "environ PATH_INFO"),
    Difference("RFC 9112, 3.2.2: the URL's host counts", "target 'http:.*", "environ HTTP_HOST"),
    Difference("other limits: 64 KB a line", "(path|header) of [79]0?,000"),
    Difference("other limits: 100 headers", "headers 200", peer="waitress"),
    Difference(
        "gunicorn puts no blank behind the comma, either",
        r"header '([\w-]+: [^&]*&[\w-]+: ).*",
        "environ HTTP_(X_A|COOKIE|ACCEPT|AUTHORIZATION)",
        "waitress",
    ),
    Difference(STRICT, "header ('.*folded'| ' X-A: 1'|'X-A: 1& '|' X-A: 1')", peer="waitress"),
    Difference(STRICT, "coding folded", peer="waitress"),
    Difference("RFC 9110, 5.3: once", "header 'Content-Type: .*&.*|hosts two.*", peer="waitress"),
    Difference(
        "no underscore comes through, whoever sends it: gunicorn trusts this machine",
        "header '(SCRIPT_NAME|PATH_INFO): /x'",
        "outcome|environ HTTP_PATH_INFO",
        "gunicorn",
    ),
    Difference(
        "the app is told what came, and its middleware decides whom to trust",
        "header '(X-)?Forwarded.*",
        "environ HTTP_(X_)?FORWARDED.*",
        "waitress",
    ),
    Difference(
        "no header changes the scheme: gunicorn trusts this machine",
        "header 'X-Forwarded-Proto.*",
        "environ wsgi.url_scheme|outcome",
        "gunicorn",
    ),
    Difference("100 is sent when the app reads", "header 'Expect: 100-continue'", peer="waitress"),
    Difference("RFC 9110, 10.1.1: 417 is allowed", "header 'Expect: else'", peer="gunicorn"),
    Difference(STRICT, "length and chunked|chunked and length|chunked 1.0", peer="waitress"),
    Difference(STRICT, "chunked twice|coding '( chunked, ?(chunked)?)?'", peer="waitress"),
    Difference("only chunked is decoded", "coding ' (gzip|identity), chunked'", peer="gunicorn"),
    Difference(
        "waitress reads the body before it calls the app; here it comes as it is sent",
        "chunks .*|coding .*|expect chunked",
        "environ (CONTENT_LENGTH|HTTP_TRANSFER_ENCODING)",
        "waitress",
    ),
    Difference("RFC 9112, 7.1.1: there may be a blank", "chunks '5 ;a.*", peer="waitress"),
    Difference(STRICT, r"chunks .*0\\r\\n(Content-Length: 9|X A).*", peer="waitress"),
    Difference("gunicorn waits for such a chunk", "chunks 'FFFF.*", peer="gunicorn"),
)

GIVEN_BACK = (
    Difference("a length of 304 is allowed", ".* 304_.*", "header content-length", "waitress"),
    Difference("waitress asks the file", ".* file.*", "header content-length", "waitress"),
    Difference("the blank behind the code is sent", "give phrase_absent"),
    Difference("no status", "give status_(short|text)", peer="waitress"),
    Difference(
        "RFC 9110: no header", "give header_(nul|name_(blank|colon|empty))", peer="waitress"
    ),
    Difference("PEP 3333 forbids it", "give header_transfer", peer="gunicorn"),
    Difference(
        "PEP 3333 forbids it, and examples do it; it is left out, as by gunicorn",
        "give header_connection",
        peer="waitress",
    ),
    Difference("no length", "give length_negative"),
    Difference(
        "what is no bytes is told as an error, while the others send headers and then nothing",
        "give (block_(str|bytearray|none)|returns_(str|bytes)|writes_str)",
    ),
    Difference("gunicorn sends the headers before", "give generator_.*", peer="gunicorn"),
    Difference("gunicorn ends the connection", "give returns_.*without_start", peer="gunicorn"),
    Difference(
        "gunicorn adds to the first headers",
        "give starts_twice_with_exc_info",
        "header (content-type|x-app|x-first)",
        "gunicorn",
    ),
    Difference("waitress adds them twice", "give headers_generator", peer="waitress"),
    Difference("gunicorn asks the app's environ", ".* environ_cleared", peer="gunicorn"),
)

DIFFERENCES = (*GENERAL, *REQUESTED, *GIVEN_BACK)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Facts]]]:
    """What each server makes of each request."""
    place = tmp_path_factory.mktemp("peers")
    source = (APPS / "told" / "app.py").read_text()
    told: dict[str, dict[str, Facts]] = {}
    with ExitStack() as stack:
        bench = stack.enter_context(serving(place, files={"app.py": source}))
        ports = {"asyncreload": bench.port} | {
            name: stack.enter_context(listening(command, bench.directory, place / name))
            for name, command in PEERS.items()
        }
        pool = stack.enter_context(ThreadPoolExecutor(8))
        for server, port in ports.items():
            asked = {
                name: pool.submit(partial(ask, port, data, is_all=name not in INCOMPLETE))
                for name, data in ASKED.items()
            }
            told[server] = {name: one.result() for name, one in asked.items()}
        yield told


def differing(ours: Facts, theirs: Facts) -> Iterator[str]:
    """Tell the names of the facts that differ; if the outcome does, the others have no meaning."""
    if ours["outcome"] != theirs["outcome"]:
        yield "outcome"
        return
    for fact in sorted(ours.keys() | theirs.keys()):
        if ours.get(fact) != theirs.get(fact):
            yield fact


def test_p2_each_request_is_understood_as_by_peers(
    answers: dict[str, dict[str, Facts]],
) -> None:
    unexplained = []
    unused = set(DIFFERENCES)
    for peer in PEERS:
        for name in ASKED:
            ours, theirs = answers["asyncreload"][name], answers[peer][name]
            for fact in differing(ours, theirs):
                found = {one for one in DIFFERENCES if one.explains(peer, name, fact)}
                unused -= found
                if not found:
                    unexplained.append(
                        f"{peer} | {name} | {fact}: {ours.get(fact)} | {theirs.get(fact)}"
                    )
    assert not unexplained, "\n".join(unexplained)
    assert not {one.reason for one in unused}
