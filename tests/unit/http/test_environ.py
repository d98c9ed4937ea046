"""What an app is told of a request: all that the client sent, and nothing that it did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.http.environ import make_environ
from asyncreload.child.http.head_parser import RequestHead, parse_target
from asyncreload.child.pages.trust import THIS_MACHINE

if TYPE_CHECKING:
    from asyncreload.sockets import ClientAddress

CLIENT = ("127.0.0.1", 54321)


def environ_of(
    *headers: tuple[str, str], target: str = "/", client: ClientAddress = CLIENT
) -> dict[str, Any]:
    head = RequestHead("GET", target, "HTTP/1.1", headers)
    return make_environ(head, parse_target(head), client, ("localhost", 8000))


def sent(*headers: tuple[str, str]) -> dict[str, Any]:
    """What is there beyond a request without headers."""
    return {name: value for name, value in environ_of(*headers).items() if name not in environ_of()}


def test_there_is_no_type_and_no_length_unless_they_were_sent() -> None:
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH"} & environ_of().keys()
    assert sent(("content-type", "a/b"), ("Content-Length", "5")) == {
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "5",
    }


def test_headers_of_one_name_become_one_text() -> None:
    assert sent(("X-A", "1"), ("x-a", "2")) == {"HTTP_X_A": "1,2"}


def test_names_with_underscores_are_left_out() -> None:
    """Else X_Real_IP passes for X-Real-IP, which only a front server may set."""
    assert sent(("X_Real_IP", "1.2.3.4"), ("Content_Type", "a/b"), ("X-Real-IP", "5.6.7.8")) == {
        "HTTP_X_REAL_IP": "5.6.7.8"
    }


@pytest.mark.parametrize("name", ["Path-Info", "Request-Method", "Remote-Addr", "Server-Name"])
def test_a_header_never_takes_the_place_of_what_the_server_tells(name: str) -> None:
    assert sent((name, "x")) == {f"HTTP_{name.upper().replace('-', '_')}": "x"}


@pytest.mark.parametrize("name", ["Https", "X-Forwarded-Proto", "Forwarded"])
def test_a_header_never_changes_the_scheme(name: str) -> None:
    """Guessed by wsgiref from a variable named HTTPS, which no header becomes."""
    assert "HTTPS" not in environ_of((name, "on"))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a%20b+c", "/a b+c"),
        ("/%C3%A9", "/\xc3\xa9"),
        ("/\xc3\xa9", "/\xc3\xa9"),
        ("/%", "/%"),
        ("/%zz", "/%zz"),
        ("/%00", "/\x00"),
        ("/a?b=%20", "/a"),
    ],
)
def test_the_path_is_decoded_and_the_target_is_told_as_it_was_sent(target: str, path: str) -> None:
    environ = environ_of(target=target)
    assert (environ["PATH_INFO"], environ["REQUEST_URI"], environ["RAW_URI"]) == (
        path,
        target,
        target,
    )


def test_the_host_of_a_url_counts_in_the_place_of_the_header() -> None:
    for host, is_trusted in (("localhost", True), ("other.example", False)):
        environ = environ_of(("Host", "127.0.0.1"), target=f"http://{host}/a")
        assert environ["HTTP_HOST"] == host
        assert environ["PATH_INFO"] == "/a"
        assert THIS_MACHINE.may_see_report(environ) is is_trusted


def test_a_client_without_an_address_has_no_port() -> None:
    environ = environ_of(client="")
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ
