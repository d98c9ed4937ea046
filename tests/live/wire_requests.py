"""Requests as bytes, by name: usual ones, odd ones, and such as have deceived servers before."""

from __future__ import annotations

HOST = b"Host: 127.0.0.1"
END = b"Connection: close"
CHUNKED = b"Transfer-Encoding: chunked"
LONG = b"x" * 3000


def request(
    line: bytes = b"GET / HTTP/1.1", *headers: bytes, body: bytes = b"", host: bytes | None = HOST
) -> bytes:
    """Join a request; `Host` and `Connection: close` are added."""
    hosts = () if host is None else (host,)
    return b"\r\n".join((line, *hosts, *headers, END, b"", body))


def post(*headers: bytes, body: bytes = b"", line: bytes = b"POST / HTTP/1.1") -> bytes:
    return request(line, *headers, body=body)


def sized(body: bytes, *headers: bytes) -> bytes:
    return post(b"Content-Length: %d" % len(body), *headers, body=body)


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(CHUNKED, *headers, body=body)


def get(path: bytes) -> bytes:
    return request(b"GET " + path + b" HTTP/1.1")


LINES = {
    "get": request(),
    "get 1.0": request(b"GET / HTTP/1.0"),
    "get 1.0 without host": request(b"GET / HTTP/1.0", host=None),
    "get 1.0 keep-alive": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "get 0.9": b"GET /\r\n\r\n",
    "post 0.9": b"POST /\r\n\r\n",
    "get 1.2": request(b"GET / HTTP/1.2"),
    "get 2.0": request(b"GET / HTTP/2.0"),
    "get 0.8": request(b"GET / HTTP/0.8"),
    "get 1.10": request(b"GET / HTTP/1.10"),
    "get 01.1": request(b"GET / HTTP/01.1"),
    "get +1.1": request(b"GET / HTTP/+1.1"),
    "get http/1.1": request(b"GET / http/1.1"),
    "get HTTP/1": request(b"GET / HTTP/1"),
    "get HTTPS/1.1": request(b"GET / HTTPS/1.1"),
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "hello of TLS": b"\x16\x03\x01\x02\x00\x01\xfc\x85\xa0\r\n\r\n",
    **{
        f"method {method.decode()}": request(method + b" / HTTP/1.1")
        for method in (b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"PROPFIND")
    },
    "method M-SEARCH": request(b"M-SEARCH / HTTP/1.1"),
    "method with an underscore": request(b"MY_METHOD / HTTP/1.1"),
    "method in small letters": request(b"get / HTTP/1.1"),
    "method in mixed letters": request(b"Get / HTTP/1.1"),
    "method with a bracket": request(b"GE(T / HTTP/1.1"),
    "method with a hash": request(b"GE#T / HTTP/1.1"),
    "method of two letters": request(b"GO / HTTP/1.1"),
    "method of 30 letters": request(b"A" * 30 + b" / HTTP/1.1"),
    "method not ASCII": request(b"G\xc3\x89T / HTTP/1.1"),
    "method absent": request(b" / HTTP/1.1"),
    "target absent": request(b"GET HTTP/1.1"),
    "two blanks": request(b"GET  / HTTP/1.1"),
    "tab for a blank": request(b"GET\t/ HTTP/1.1"),
    "blank before": request(b" GET / HTTP/1.1"),
    "blank behind": request(b"GET / HTTP/1.1 "),
    "vertical tab": request(b"GET /\x0b HTTP/1.1"),
    "four words": request(b"GET / a HTTP/1.1"),
    "empty line before": b"\r\n" + request(),
    "two empty lines before": b"\r\n\r\n" + request(),
    "CR in the line": request(b"GET /\r HTTP/1.1"),
    "NUL in the line": request(b"GET /\x00 HTTP/1.1"),
    "line ends in LF": b"GET / HTTP/1.1\nHost: x\r\nConnection: close\r\n\r\n",
    "all ends in LF": b"GET / HTTP/1.1\nHost: x\nConnection: close\n\n",
    "end in LF": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\n",
}

TARGETS = {
    f"target {path.decode('latin-1')!r}": get(path)
    for path in (
        b"/a/b?c=d",
        b"/?",
        b"/??a?b",
        b"/a?b=c#d",
        b"/a#b?c",
        b"/%41%2f%2F%3f",
        b"/a%20b+c",
        b"/%",
        b"/%zz%4",
        b"/%00",
        b"/%0d%0a",
        b"/%C3%A9",
        b"/%e9",
        b"/\xc3\xa9?\xc3\xa9",
        b"/\xc3\xa0",
        b"/\xc2\x85x",
        b"/?q=%C3%A9%20+",
        b"//a//b",
        b"///",
        b"/a/../b/./c",
        b"/a;b=c/d",
        b"/:8000",
        b"/http://x/",
        b"/a\\b",
        b'/"<>^`{|}',
        b"/a:b@c",
        b"/[::1]",
        b"*",
        b"a",
        b"?a",
        b"#a",
        b"http://127.0.0.1",
        b"http://127.0.0.1/a?b=c",
        b"http://127.0.0.1?a",
        b"http://other.example/a//b",
        b"http://user:pass@other.example:81/a",
        b"https://127.0.0.1/a",
        b"HTTP://127.0.0.1/a",
        b"ftp://127.0.0.1/a",
        b"http:///a",
        b"http:/a",
        b"http:a",
        b"http://[::1]:80/a",
        b"http://[/a",
        b"mailto:x",
        b"//[",
    )
} | {
    "options *": request(b"OPTIONS * HTTP/1.1"),
    "connect": request(b"CONNECT other.example:80 HTTP/1.1"),
    "long path": get(b"/" + LONG),
    "long query": get(b"/?" + LONG),
    "path of 70,000": get(b"/" + b"x" * 70_000),
}

HEADERS = {
    f"header {header[:40].decode('latin-1')!r}": request(b"GET / HTTP/1.1", *header.split(b"&"))
    for header in (
        b"X-A: 1",
        b"x-a: 1",
        b"X-A: 1&X-A: 2&x-a: 3",
        b"X-A:1",
        b"X-A:   1  \t",
        b"X-A:",
        b"X-A: &X-A: 1",
        b"X-A: a\tb",
        b"X-A: a\x0bb",
        b"X-A: \xc3\xa0",
        b"X-A: a\xa0",
        b"X-A: \x85a\x85",
        b"X-A: a\x00b",
        b"X-A: a\rb",
        b"X-A: a\nb",
        b"X-A: a\rContent-Length: 5",
        b"X-A: a\nX-B: b",
        b"X-A: a\x7f",
        b"X-A: a\x1b[31m",
        b"X-A : 1",
        b"X-A\t: 1",
        b" X-A: 1",
        b"X A: 1",
        b"X-A\x00: 1",
        b"X\xc3\xa9: 1",
        b"X-\xdf: 1",
        b"X(A): 1",
        b"X/A: 1",
        b": 1",
        b"X-A",
        b"X-A: 1&\tfolded",
        b"X-A: 1& folded",
        b"X-A: 1& ",
        b"X_A: 1",
        b"X-A: 1&X_A: 2",
        b"X_A: 1&X-A: 2",
        b"X_Forwarded_For: 1.2.3.4",
        b"Content_Length: 5",
        b"Content_Type: text/x",
        b"Transfer_Encoding: chunked",
        b"X.A!#$%&'*+^`|~: 1",
        b"Content-Type: text/plain; charset=x",
        b"Content-Type:",
        b"Content-Type: text/a&Content-Type: text/b",
        b"Content-Type: multipart/mixed; boundary*=x\x00'y'z",
        b"Content-Encoding: gzip",
        b"Cookie: a=1&Cookie: b=2",
        b"Accept: a&Accept: b",
        b"Accept-Encoding: gzip, br",
        b"Range: bytes=0-1",
        b"If-None-Match: *",
        b"Authorization: Basic eDp5",
        b"Authorization: a&Authorization: b",
        b"Proxy: http://evil.example",
        b"Https: on",
        b"Script-Name: /x",
        b"SCRIPT_NAME: /x",
        b"Path-Info: /x",
        b"PATH_INFO: /x",
        b"Request-Method: PUT",
        b"Remote-Addr: 1.2.3.4",
        b"Remote-User: admin",
        b"REMOTE_USER: admin",
        b"Server-Name: x",
        b"Gateway-Interface: x",
        b"wsgi.url_scheme: https",
        b"wsgi.input: x",
        b"Forwarded: for=1.2.3.4;proto=https;host=x",
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-For: 1.2.3.4&X-Forwarded-For: 5.6.7.8",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Proto: https&X-Forwarded-Ssl: off",
        b"X-Forwarded-Protocol: ssl",
        b"X-Forwarded-Host: x",
        b"X-Forwarded-Prefix: /x",
        b"X-Real-Ip: 1.2.3.4",
        b"X-HTTP-Method-Override: PUT",
        b"Upgrade: websocket",
        b"Upgrade: h2c&HTTP2-Settings: x",
        b"Keep-Alive: 5",
        b"TE: trailers",
        b"Trailer: X-A",
        b"Expect: 100-continue",
        b"Expect: else",
        b"X-A: " + LONG,
        b"X-A: " + b" " * 3000 + b"a" + b" " * 3000,
        b"From nobody: 1",
    )
} | {
    "host absent": request(host=None),
    "host empty": request(host=b"Host:"),
    "hosts two": request(b"GET / HTTP/1.1", b"Host: other.example"),
    "hosts two, alike": request(b"GET / HTTP/1.1", HOST),
    "host with a path": request(host=b"Host: x/y"),
    "host with two names": request(host=b"Host: x, y"),
    "header of 9,000": request(b"GET / HTTP/1.1", b"X-A: " + b"x" * 9000),
    "header of 70,000": request(b"GET / HTTP/1.1", b"X-A: " + b"x" * 70_000),
    "headers 90": request(b"GET / HTTP/1.1", *(b"X-%d: 1" % n for n in range(90))),
    "headers 200": request(b"GET / HTTP/1.1", *(b"X-%d: 1" % n for n in range(200))),
    "connection twice": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n",
    "connection names a header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nConnection: X-A, close"
    b"\r\n\r\n",
}

BODIES = {
    "body": sized(b"hello"),
    "body empty": sized(b""),
    "body of JSON": sized(b"{}", b"Content-Type: application/json"),
    "body bytes": sized(bytes(range(256))),
    "body large": sized(b"x" * 300_000),
    "body of GET": request(b"GET / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
    "body of HEAD": request(b"HEAD / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
    "body of DELETE": request(b"DELETE / HTTP/1.1", b"Content-Length: 5", body=b"hello"),
    "body 1.0": post(b"Content-Length: 5", body=b"hello", line=b"POST / HTTP/1.0"),
    "body without length": post(body=b"hello"),
    "body longer than its length": post(b"Content-Length: 3", body=b"hello"),
    "body and a request behind": sized(b"hello") + request(b"GET /second HTTP/1.1"),
    "body unread": post(b"Content-Length: 5", body=b"hello", line=b"POST /unread HTTP/1.1"),
    "expect": sized(b"hello", b"Expect: 100-continue"),
    "expect in capitals": sized(b"hello", b"Expect: 100-CONTINUE"),
    "expect 1.0": post(
        b"Content-Length: 5", b"Expect: 100-continue", body=b"hello", line=b"POST / HTTP/1.0"
    ),
    "expect chunked": chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Expect: 100-continue"),
    **{
        f"length {value.decode('latin-1')!r}": post(b"Content-Length:" + value, body=b"hello")
        for value in (
            b"5",
            b" 5 ",
            b" 05",
            b" +5",
            b" -5",
            b" 5.0",
            b" 5e0",
            b" 0x5",
            b" 5_0",
            b" 5 5",
            b" 5,5",
            b" 5, 5",
            b" 5;",
            b" \xb2",
            b" \x0b5",
            b" \xa05",
            b" five",
            b"",
            b" " + b"9" * 5000,
        )
    },
    "lengths two": post(b"Content-Length: 5", b"Content-Length: 3", body=b"hello"),
    "lengths two, alike": post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "length and chunked": chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Content-Length: 5"),
    "chunked and length": post(
        b"Content-Length: 5", CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    ),
    "chunked 1.0": post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n", line=b"POST / HTTP/1.0"),
    "chunked twice": chunked(b"5\r\nhello\r\n0\r\n\r\n", CHUNKED),
    **{
        f"coding {value.decode('latin-1')!r}": post(
            b"Transfer-Encoding:" + value, body=b"5\r\nhello\r\n0\r\n\r\n"
        )
        for value in (
            b" Chunked",
            b"\tchunked\t",
            b" gzip",
            b" gzip, chunked",
            b" chunked, gzip",
            b" chunked, chunked",
            b" chunked,",
            b" identity",
            b" identity, chunked",
            b" xchunked",
            b' "chunked"',
            b" chunked;a=b",
            b" \x0bchunked",
            b" \x85chunked\xa0",
            b" chunked\x00",
            b"",
        )
    },
    "coding with a blank before the colon": post(
        b"Transfer-Encoding : chunked", body=b"5\r\nhello\r\n0\r\n\r\n"
    ),
    "coding folded": post(b"Transfer-Encoding:\r\n chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "coding behind LF": post(b"X: a\nTransfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "coding with underscore, and length": post(
        b"Transfer_Encoding: chunked", b"Content-Length: 5", body=b"hello"
    ),
}

CHUNKS = {
    f"chunks {body[:30].decode('latin-1')!r}": chunked(body)
    for body in (
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        b"0\r\n\r\n",
        b"00005\r\nhello\r\n000\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b'5;a="b c"\r\nhello\r\n0\r\n\r\n',
        b"5;a\r\nhello\r\n0;b\r\n\r\n",
        b"5 ;a\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\x0b\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\nX-A: 1\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX A\r\n\r\n",
        b"3\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\nGET /second HTTP/1.1\r\n\r\n",
    )
}

REQUESTS = {**LINES, **TARGETS, **HEADERS, **BODIES, **CHUNKS}

# One server or another waits for more behind these.
INCOMPLETE = {
    "end in LF",
    "all ends in LF",
    "header 'Expect: 100-continue'",
    r"chunks '5\r\nhello\r\n0\r\n\n'",
    r"chunks '5\r\nhello\r\n0\n\r\n'",
    r"chunks 'FFFFFFFFFFFFFFFFFFFFF\r\nhello\r\n'",
}

# Answers that are asked for by HEAD as well.
BY_HEAD = (
    "200_empty",
    "200_empty_block",
    "200_body",
    "200_blocks",
    "200_length",
    "200_length_alone",
    "204_body",
    "304_length",
    "generator",
    "generator_empty",
    "writes",
    "file",
    "method_changed",
    "environ_cleared",
    "length_long",
    "raises",
)


def given(name: str, method: bytes = b"GET") -> bytes:
    """Ask for one of the answers of tests/apps/told."""
    body = b"one\ntwo\nthree" if name.startswith("reads") else b""
    line = method + b" /give/" + name.encode() + b"?query HTTP/1.1"
    return request(line, b"Content-Length: %d" % len(body), body=body)
