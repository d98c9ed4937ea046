"""What servers make of the same request: each is asked, and the answers are told as flat facts.

And whether the pages of a project are those that it has under its framework's own server.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from tests.live.driving import DEADLINE, Served, until

PATIENCE = 6 * DEADLINE  # seconds; only a server that does not answer is waited for so long
Facts = dict[str, str]
"""What is told of an answer: each fact has a name, such as `outcome` or `environ PATH_INFO`."""


# --- pages of a project ---------------------------------------------------------------------------

NOT_THE_PAGES = {"Server", "Date", "Connection", "Transfer-Encoding", "Expires"}
"""Headers of the connection, of the server and of the moment."""


class Page(NamedTuple):
    """What a browser gets."""

    status: int
    headers: dict[str, str]
    body: str


class Asked(NamedTuple):
    """A request for a page, and the status that is expected."""

    status: int
    path: str
    method: str = "GET"
    form: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def page(port: int, asked: Asked) -> Page | None:
    """Ask for a page; None while nobody listens. The server's port in it is left out."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Accept": "text/html", **dict(asked.headers)}
    if asked.form:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        connection.request(asked.method, asked.path, asked.form or None, headers)
        answer = connection.getresponse()
        body = answer.read().decode()
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()
    found = {
        name.title(): value.replace(f":{port}", "")
        for name, value in answer.getheaders()
        if name.title() not in NOT_THE_PAGES
    }
    if "Allow" in found:  # a set, which is in another order in each process
        found["Allow"] = ", ".join(sorted(found["Allow"].split(", ")))
    if f":{port}" in body:
        found.pop("Content-Length", None)
    return Page(answer.status, found, body.replace(f":{port}", ""))


def compare_pages(ours: Served, theirs: Served, port: int, pages: Iterable[Asked]) -> None:
    """Ask for the same of our server and, at its port, of the framework's own."""
    first, *_ = pages = list(pages)
    theirs.until(lambda: page(port, first), "the framework's own server answers", PATIENCE)
    for asked in pages:
        expected = page(port, asked)
        assert expected is not None
        assert expected.status == asked.status, asked
        assert page(ours.port, asked) == expected, asked


# --- requests, whatever they are ------------------------------------------------------------------


@contextmanager
def listening(command: Sequence[str], directory: Path, output: Path) -> Iterator[int]:
    """Run a server that tells its address; give its port."""
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=directory, stdout=sink, stderr=subprocess.STDOUT
        )

    def told() -> re.Match[str] | None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", output.read_text(errors="replace"))
        assert found or process.poll() is None, output.read_text(errors="replace")
        return found

    try:
        yield int(until(told, "it listens", PATIENCE)[1])
    finally:
        process.terminate()
        process.wait(PATIENCE)


def ask(port: int, request: bytes, *, is_all: bool = True) -> Facts:
    """Send a request, and tell what came of it.

    is_all: whether a server may be expected to find the request complete. If not, the sending side
        of the connection is ended behind it, so that none waits for more.

    `outcome` is the status that the app gave; `refused` if the app was not called, whatever the
    status; `failed` if it is told that the app has failed.
    """
    data = _exchange(port, request, is_all=is_all)
    while data.startswith(b"HTTP/1.1 100 "):
        data = data.partition(b"\r\n\r\n")[2]
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for name, _, text in (line.partition(":") for line in lines):
        key, value = name.lower(), text.strip()
        headers[key] = f"{headers[key]} & {value}" if key in headers else value
    status = line.partition(" ")[2]
    if "x-app" not in headers:
        return {"outcome": "failed" if status.startswith("500") else "refused"}
    if headers.pop("transfer-encoding", None):
        body = _decoded(body)
    is_environ = headers.get("content-type") == "application/json"
    if is_environ:
        headers.pop("content-length", None)  # what is told is as long as the server's name
    told = {"outcome": status} | {f"header {name}": value for name, value in headers.items()}
    if request.startswith(b"HEAD"):
        return told
    if is_environ:
        return told | _environ(json.loads(body))
    return told | {"body": repr(body[:100]), "size": f"{len(body)}"}


def _environ(told: dict[str, Any]) -> Facts:
    environ = {f"environ {name}": repr(value) for name, value in told["environ"].items()}
    return {"body": repr(told["body"])[:100], **environ}


def _exchange(port: int, request: bytes, *, is_all: bool) -> bytes:
    """Return what comes until the response is complete, or the server ends the connection."""
    data = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        with suppress(ConnectionError):  # it has refused what it has read, and reads no more
            client.sendall(request)
            if not is_all:
                client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while (more := client.recv(1_000_000)) and not _is_complete(data + more):
                data += more
            data += more
    return data


def _is_complete(data: bytes) -> bool:
    """Tell whether the response has the length that it says; else it ends with the connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(found and body and len(body) >= int(found[1]))


def _decoded(chunked: bytes) -> bytes:
    body = b""
    while (found := re.match(rb"([0-9A-Fa-f]+)\r\n", chunked)) and (size := int(found[1], 16)):
        body += chunked[found.end() : found.end() + size]
        chunked = chunked[found.end() + size + 2 :]
    return body
