"""One request is answered, whatever the client does and whatever the app raises."""

from __future__ import annotations

import gc
import io
import re
import socket
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn
from wsgiref.validate import validator

import pytest

from asyncreload.child.http.request_errors import RequestErrors
from asyncreload.child.http.wsgi import answer
from tests.unit.http.exchange import (
    CLIENT,
    DEADLINE,
    GET,
    NEVER_WAITS,
    SITE,
    UNLOGGED,
    Blocks,
    Keeper,
    answering,
    body_of,
    chunked,
    exchange,
    hello,
    never,
    pair,
    post,
    read_all,
    receive,
    tcp_pair,
    unix_pair,
)
from tests.unit.http.network import reset_on_close

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment


class TestAnswer:
    def test_a_plain_answer(self, capsys: pytest.CaptureFixture[str]) -> None:
        reply, unread = exchange(hello, GET)
        head, _, body = reply.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 OK\r\nDate: ")
        assert b"\r\nServer: WSGIServer" in head
        assert b"\r\nContent-Length: 5" in head
        assert body == b"hello"
        assert unread is False
        line = r"\d\d:\d\d:\d\d GET / 200 [\d.]+ ms\n"
        assert re.fullmatch(line, capsys.readouterr().err)

    @pytest.mark.parametrize(
        ("request_line", "told"),
        [
            (b"GET /a?b=c%20d HTTP/1.1", r"GET /a\?b=c%20d 200"),
            (b"GET /\x9b1m HTTP/1.1", r"GET /\\x9b1m 200"),
            (b"GET /\x1b[2J HTTP/1.1", r"GET /\\x1b\[2J HTTP/1.1 400"),
            (b"GET", "GET 400"),
            (b"GET / HTTP/9.9", "GET / HTTP/9.9 505"),
            (b"\x1b[31mred", r"\\x1b\[31mred 400"),
        ],
    )
    def test_the_access_log_tells_what_was_asked_and_steers_no_terminal(
        self, request_line: bytes, told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        exchange(hello, request_line + b"\r\n\r\n")
        line = rf"\d\d:\d\d:\d\d {told} [\d.]+ ms\n"
        assert re.fullmatch(line, capsys.readouterr().err)

    def test_a_client_is_answered_when_nobody_reads_the_log(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Broken(io.StringIO):
            def write(self, _text: str) -> int:
                raise BrokenPipeError

        def fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            raise ValueError

        monkeypatch.setattr(sys, "stderr", Broken())
        assert body_of(exchange(hello, GET)[0]) == b"hello"
        assert exchange(fails, GET)[0].startswith(b"HTTP/1.0 500 ")

    def test_no_access_log(self, capsys: pytest.CaptureFixture[str]) -> None:
        exchange(hello, GET, site=UNLOGGED)
        exchange(never, b"GARBAGE\r\n\r\n", site=UNLOGGED)
        assert capsys.readouterr().err == ""

    def test_over_tcp_and_only_our_side_is_ended(self) -> None:
        with pair(tcp_pair) as (browser, server):
            browser.sendall(GET)
            assert answer(server, CLIENT, NEVER_WAITS, app=validator(hello), site=SITE) is False
            assert receive(browser).endswith(b"hello")  # the end is told by then
            browser.sendall(b"more")
            assert server.recv(4) == b"more"  # what else comes is the caller's to read

    def test_nothing_keeps_the_descriptor(self) -> None:
        keeper = Keeper()  # the environ, with wsgi.input in it, lives on
        with pair() as (browser, server):
            browser.sendall(GET)
            answer(server, CLIENT, NEVER_WAITS, app=keeper, site=SITE)
            server.close()
            assert receive(browser).endswith(b"hello")  # so the end came
            with pytest.raises(OSError, match="Bad file descriptor"):
                server.getpeername()

    def test_no_reference_cycle(self) -> None:
        gc.collect()
        gc.disable()
        try:
            with pair() as (browser, server):
                browser.sendall(post(b"abc", b"Content-Length: 3"))
                answer(server, CLIENT, NEVER_WAITS, app=hello, site=UNLOGGED)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [type(item).__name__ for item in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not {
            "_Request",
            "AppHandler",
            "RequestBody",
            "ResponseWriter",
            "BufferedReader",
        } & set(left)

    def test_headers_and_first_block_leave_together(self) -> None:
        sent: list[bytes] = []

        class Recording(socket.socket):
            def send(self, data: Any, flags: int = 0, /) -> int:
                sent.append(bytes(data))
                return super().send(data, flags)

        browser, server = unix_pair()
        with browser, Recording(fileno=server.detach()) as recording:
            browser.sendall(GET)
            answer(recording, CLIENT, NEVER_WAITS, app=Blocks([b"one", b"two"]), site=SITE)
        assert [part[-3:] for part in sent] == [b"one", b"two"]

    def test_each_block_is_sent_at_once(self) -> None:
        received = threading.Event()

        def blocks() -> Iterator[bytes]:
            yield b"first"
            assert received.wait(DEADLINE)
            yield b"second"

        app = Blocks(blocks())
        with answering(validator(app)) as (browser, _):
            browser.sendall(GET)
            head = b""
            while not head.endswith(b"first"):
                head += browser.recv(1000)
            received.set()
            assert receive(browser) == b"second"
        assert b"Content-Length" not in head
        assert app.closed == 1

    def test_large_answer(self) -> None:
        app = Blocks(b"%d" % digit * 1_000_000 for digit in range(5))
        reply, _ = exchange(app, GET)
        assert body_of(reply) == b"".join(b"%d" % digit * 1_000_000 for digit in range(5))

    def test_write_callable(self) -> None:
        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"one ")
            write(b"two ")
            return [b"three"]

        reply, _ = exchange(validator(app), GET)
        assert body_of(reply) == b"one two three"

    def test_file_wrapper(self) -> None:
        data = bytes(range(256)) * 500
        file = io.BytesIO(data)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [])
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 1000)
            return wrapped

        reply, _ = exchange(app, GET)
        assert body_of(reply) == data
        assert file.closed

    def test_head_has_headers_only(self) -> None:
        reply, _ = exchange(hello, b"HEAD / HTTP/1.1\r\n\r\n")
        assert b"Content-Length: 5\r\n" in reply
        assert body_of(reply) == b""
        reply, _ = exchange(Blocks([b"one", b"two"]), b"HEAD / HTTP/1.1\r\n\r\n")
        assert body_of(reply) == b""

    def test_empty_answer_is_sent_before_close(self) -> None:
        closing = threading.Event()

        class Slow(Blocks):
            def close(self) -> None:
                assert closing.wait(DEADLINE)
                super().close()

        app = Slow([])
        with answering(app) as (browser, _):
            browser.sendall(GET)
            assert browser.recv(1000).endswith(b"Content-Length: 0\r\n\r\n")
            closing.set()
        assert app.closed == 1


class TestEnviron:
    def test_is_all_that_is_known_and_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://proxy.example")  # is not the client's
        keeper = Keeper(dict)
        request = b"GET /a%20b/%C3%A9?q=%20 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
        exchange(validator(keeper), request)
        environ = keeper.seen
        expected = {
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "REQUEST_METHOD": "GET",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_HOST": "127.0.0.1",
            "REMOTE_PORT": "54321",
            "SERVER_SOFTWARE": "WSGIServer/0.2",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a b/Ã©",
            "QUERY_STRING": "q=%20",
            "REQUEST_URI": "/a%20b/%C3%A9?q=%20",
            "RAW_URI": "/a%20b/%C3%A9?q=%20",
            "HTTP_HOST": "x",
            "HTTP_X_A": "1,2",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        objects = {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper"}
        assert {name: environ[name] for name in environ.keys() - objects} == expected

    def test_one_thread(self) -> None:
        keeper = Keeper(dict)
        exchange(keeper, GET, site=UNLOGGED)
        assert keeper.seen["wsgi.multithread"] is False

    @pytest.mark.parametrize(
        ("client", "address"), [(("::1", 5, 0, 0), "::1"), ("", ""), (("1.2.3.4", 5), "1.2.3.4")]
    )
    def test_clients(self, client: tuple[Any, ...] | str, address: str) -> None:
        keeper = Keeper(dict)
        exchange(validator(keeper), GET, client=client)
        assert keeper.seen["REMOTE_ADDR"] == address


class TestRefused:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ((b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
            ((b"Content-Length: -1",), 400),
            ((b"Content-Length: +1",), 400),
            ((b"Content-Length: 1_0",), 400),
            ((b"Content-Length: \xb2",), 400),
            ((b"Content-Length: one",), 400),
            ((b"Content-Length:",), 400),
            ((b"Content-Length: " + b"9" * 5000,), 400),
            ((b"Content-Length: 1", b"Content-Length: 2"), 400),
            ((b"Content-Length: 1", b"Content-Length: 1"), 400),
            ((b"Content-Length: 1, 1",), 400),
            ((b"Transfer-Encoding: gzip, chunked",), 501),
            ((b"Transfer-Encoding: gzip",), 501),
            ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 501),
            ((b"Content-Type: multipart/mixed; boundary*=x\x00'y'z",), 400),
        ],
    )
    def test_framing(
        self, headers: tuple[bytes, ...], status: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reply, unread = exchange(never, post(b"", *headers))
        assert reply.startswith(b"HTTP/1.0 %d " % status)
        assert unread is True
        assert "Traceback" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"GET / HTTP/1.1.1\r\n\r\n", 400),
            (b"GET / HTTP/x\r\n\r\n", 400),
            (b"GET / a b HTTP/1.1\r\n\r\n", 400),
            (b"GARBAGE\r\n\r\n", 400),
            (b"GET /\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nX: 1\n\r\n", 400),
            (b"\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\xfc\x85\xa0\n\r\n", 400),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (b"\r\n", None),
            (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
            (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        ],
    )
    def test_malformed_head(
        self, request_: bytes, status: int | None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with answering(never) as (browser, unread):
            browser.sendall(request_)
            browser.shutdown(socket.SHUT_WR)
            reply = receive(browser)
        if status is None:
            assert reply == b""
        else:
            assert reply.startswith(b"HTTP/1.0 %d " % status)
            assert b"\r\n\r\n%d " % status in reply
        assert unread == [True]
        assert "Traceback" not in capsys.readouterr().err

    def test_nothing_sent(self, capsys: pytest.CaptureFixture[str]) -> None:
        with answering(never) as (browser, unread):
            browser.shutdown(socket.SHUT_WR)
            assert receive(browser) == b""
        assert unread == [False]
        assert capsys.readouterr().err == ""


class TestClientGone:
    def test_while_it_is_answered(self, capsys: pytest.CaptureFixture[str]) -> None:
        started, gone = threading.Event(), threading.Event()

        def blocks() -> Iterator[bytes]:
            started.set()
            assert gone.wait(DEADLINE)
            while True:
                yield b"x" * 100_000

        app = Blocks(blocks())
        with answering(validator(app)) as (browser, _):
            browser.sendall(GET)
            assert started.wait(DEADLINE)
            browser.close()
            gone.set()
        assert app.closed == 1
        assert re.fullmatch(r"[\d:]+ GET / 200 [\d.]+ m?s · cut off\n", capsys.readouterr().err)

    def test_a_stream_has_no_other_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return (b"data: x\n\n" * 10_000 for _ in range(100))

        with answering(app) as (browser, _):
            browser.sendall(GET)
            assert browser.recv(1)
            browser.close()
        assert re.fullmatch(r"[\d:]+ GET / 200 [\d.]+ m?s\n", capsys.readouterr().err)

    def test_reset(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pair(tcp_pair) as (browser, server):
            reset_on_close(browser)
            browser.sendall(b"POST / HTTP/1.1\r\n")
            browser.close()
            assert answer(server, CLIENT, NEVER_WAITS, app=never, site=SITE) is True
        assert capsys.readouterr().err == ""

    def test_in_the_body(self, capsys: pytest.CaptureFixture[str]) -> None:
        with answering(Keeper(read_all)) as (browser, unread):
            browser.sendall(post(b"par", b"Content-Length: 6"))
            browser.close()
        assert unread == [True]
        assert capsys.readouterr().err == ""

    def test_in_a_chunk(self, capsys: pytest.CaptureFixture[str]) -> None:
        for body in (b"", b"6", b"6\r\npar", b"3\r\npar", b"0\r\nTrailer"):
            with answering(Keeper(read_all)) as (browser, unread):
                browser.sendall(chunked(body))
                browser.close()
            assert unread == [True]
        assert capsys.readouterr().err == ""

    def test_wrapped_by_a_framework(self, capsys: pytest.CaptureFixture[str]) -> None:
        class UnreadablePostError(OSError):  # Django's
            pass

        def look(environ: WSGIEnvironment) -> None:
            try:
                read_all(environ)
            except OSError as error:
                raise UnreadablePostError(*error.args) from error

        with answering(Keeper(look)) as (browser, _):
            browser.sendall(post(b"", b"Content-Length: 6"))
            browser.close()
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHo"])
    def test_timeout_in_the_head(self, sent: bytes, capsys: pytest.CaptureFixture[str]) -> None:
        with pair() as (browser, server):
            browser.sendall(sent)
            server.settimeout(0.01)
            assert answer(server, CLIENT, NEVER_WAITS, app=never, site=SITE) is True
        assert capsys.readouterr().err == ""

    def test_timeout_in_the_body(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pair() as (browser, server):
            browser.sendall(post(b"par", b"Content-Length: 6"))
            server.settimeout(0.01)
            assert answer(server, CLIENT, NEVER_WAITS, app=Keeper(read_all), site=SITE) is True
        assert capsys.readouterr().err == ""

    def test_given_up_in_the_answer(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = Blocks(iter([b"x" * 10_000_000]))

        @contextmanager
        def given_up() -> Iterator[None]:
            server.shutdown(socket.SHUT_RDWR)  # as is done to who waits for longest
            yield

        with pair() as (browser, server):
            browser.sendall(GET)
            assert answer(server, CLIENT, given_up(), app=app, site=SITE) is False
        assert app.closed == 1
        assert re.fullmatch(r"[\d:]+ GET / 200 [\d.]+ m?s · cut off\n", capsys.readouterr().err)


class TestAppFails:
    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("oops"),
            SystemExit(3),
            KeyboardInterrupt(),
            BaseException("base"),
            ConnectionResetError("the app's database"),
            TimeoutError("the app's database"),
            ValueError("oops"),
        ],
    )
    def test_traceback_and_500(
        self, error: BaseException, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            raise error

        reply, unread = exchange(app, GET)
        assert reply.startswith(b"HTTP/1.0 500 Internal Server Error\r\n")
        assert unread is False
        told = capsys.readouterr().err
        first, second = told.splitlines()[:2]
        assert re.fullmatch(rf"[\d:]{{8}} {type(error).__name__}.* · .*test_wsgi.py:\d+", first)
        assert second == "Traceback (most recent call last):"
        assert "in app\n    raise error" in told
        assert type(error).__name__ in told
        assert " GET / 500 " in told

    def test_an_interrupt_of_the_main_thread_is_raised(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A reload interrupts it, or Ctrl-C: nothing has failed, but who waits gets an answer."""

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            raise KeyboardInterrupt

        with pair() as (browser, server):
            browser.sendall(GET)
            with pytest.raises(KeyboardInterrupt):
                answer(server, CLIENT, NEVER_WAITS, app=app, site=UNLOGGED)
            assert receive(browser).startswith(b"HTTP/1.0 503 Service Unavailable\r\n")
        assert capsys.readouterr().err == ""

    def test_an_interrupt_while_an_error_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As when somebody quits a debugger that has held a reload."""

        def report(*_: object) -> NoReturn:
            raise KeyboardInterrupt

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            raise SystemExit(1)

        errors = RequestErrors("", live=False)
        monkeypatch.setattr(errors, "report", report)
        with pair() as (browser, server):
            browser.sendall(GET)
            with pytest.raises(KeyboardInterrupt):
                answer(server, CLIENT, NEVER_WAITS, app=app, site=UNLOGGED, errors=errors)
            assert receive(browser).startswith(b"HTTP/1.0 503 Service Unavailable\r\n")

    def test_before_the_first_block(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = Blocks(b"%d" % (1 // 0) for _ in range(1))
        reply, _ = exchange(app, GET)
        assert reply.startswith(b"HTTP/1.0 500 ")
        assert app.closed == 1
        assert "ZeroDivisionError" in capsys.readouterr().err

    def test_after_the_headers(self, capsys: pytest.CaptureFixture[str]) -> None:
        def blocks() -> Iterator[bytes]:
            yield b"partial"
            raise SystemExit

        app = Blocks(blocks())
        reply, _ = exchange(app, GET)
        assert body_of(reply) == b"partial"
        assert app.closed == 1
        assert "SystemExit" in capsys.readouterr().err

    def test_in_close(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Unclosable(Blocks):
            def close(self) -> None:
                raise SystemExit("unclosable")

        reply, _ = exchange(Unclosable([b"whole"]), GET)
        assert body_of(reply) == b"whole"
        assert "SystemExit: unclosable" in capsys.readouterr().err

    def test_headers_that_cannot_be_sent(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [("Location", "/中")])
            return [b"hello"]

        for method in (b"GET", b"HEAD"):
            reply, _ = exchange(app, method + b" / HTTP/1.1\r\n\r\n")
            assert reply.startswith(b"HTTP/1.0 500 ")
            assert b"200 OK" not in reply
        assert "the header Location is '/中'" in capsys.readouterr().err

    def test_no_start_response(self, capsys: pytest.CaptureFixture[str]) -> None:
        reply, _ = exchange(lambda _environ, _start_response: [], GET)
        assert reply.startswith(b"HTTP/1.0 500 ")
        assert "without a call of start_response" in capsys.readouterr().err

    def test_wsgi_errors_is_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        keeper = Keeper(lambda environ: environ["wsgi.errors"].write("told\n"))
        exchange(validator(keeper), GET)
        assert capsys.readouterr().err.startswith("told\n")


# Streams


@pytest.mark.parametrize(
    ("kind", "is_stream"),
    [
        ("text/event-stream; charset=utf-8", True),
        ("multipart/x-mixed-replace; boundary=a", True),
        ("text/plain", False),
    ],
)
def test_a_stream_is_told_of_once_its_head_was_sent(kind: str, *, is_stream: bool) -> None:
    """It may be ended from then on: its client has an answer, and the app learns of it."""
    blocks = Blocks([b"one", b"two"])
    received: list[bytes] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", kind)])
        return blocks

    def end() -> None:
        received.append(browser.recv(65536))
        server.shutdown(socket.SHUT_WR)

    with pair() as (browser, server):
        browser.sendall(GET)
        assert not answer(server, CLIENT, NEVER_WAITS, app=app, site=SITE, on_stream=end)
        left = receive(browser)
    # Before its first event, which may be long in coming.
    assert [body_of(data) for data in received] == ([b""] if is_stream else [])
    assert left == b"" if is_stream else body_of(left) == b"onetwo"
    assert blocks.closed == 1


@pytest.mark.parametrize(
    ("method", "make"), [("GET", list), ("HEAD", iter)], ids=["its length is known", "no body"]
)
def test_what_has_an_end_is_no_stream(method: str, make: Callable[[list[bytes]], Any]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        result: Iterable[bytes] = make([b"one"])
        return result

    reply, _ = exchange(app, GET.replace(b"GET", method.encode()))
    assert body_of(reply) == (b"one" if method == "GET" else b"")
    assert (b"Content-Length: 3" in reply) is (method == "GET")


@pytest.mark.parametrize("header", ["Connection", "keep-alive"])
def test_what_an_app_says_of_the_connection_is_left_out(header: str) -> None:
    """As other servers do: examples of event streams ask to keep it alive."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [(header, "keep-alive"), ("X-Own", "1")])
        return [b"fine"]

    reply, _ = exchange(app, GET)
    assert body_of(reply) == b"fine"
    assert b"X-Own: 1" in reply
    assert b"keep-alive" not in reply
