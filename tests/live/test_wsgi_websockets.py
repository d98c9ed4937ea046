"""A WSGI app that speaks WebSocket itself, as Flask-Sock and Flask-SocketIO do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.live.conftest import Serve

client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

# As the package simple-websocket does it, but for long messages.
ECHO = """\
import base64, hashlib
VERSION = b"1:"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
def app(environ, start_response):
    connection = environ.get("werkzeug.socket")
    if connection is None or environ["PATH_INFO"] == "/none":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [VERSION]
    key = environ["HTTP_SEC_WEBSOCKET_KEY"] + GUID
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
        b"Sec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n"
    )
    while (frame := connection.recv(1000)) and frame[0] & 15 != 8:
        mask, data = frame[2:6], frame[6:]
        answer = VERSION + bytes(one ^ mask[at % 4] for at, one in enumerate(data))
        connection.sendall(bytes([0x81, len(answer)]) + answer)
    connection.close()
    if environ["PATH_INFO"] == "/empty":
        return []
    raise ConnectionError
"""


@pytest.mark.parametrize("path", ["/", "/empty"])
def test_it_is_spoken_until_a_save_and_then_with_the_new_code(serve: Serve, path: str) -> None:
    served = serve(files={"app.py": ECHO})
    url = f"ws://127.0.0.1:{served.port}{path}"
    with client.connect(url) as old:
        for text in ("one", "two"):
            old.send(text)
            assert old.recv(10) == f"1:{text}"
        served.edit("app.py", "1:", "2:")
        with pytest.raises(exceptions.ConnectionClosed):
            old.recv(10)
    with client.connect(url) as new:
        new.send("three")
        assert new.recv(10) == "2:three"
    served.until_told(f"GET {path} 101 ", 2)
    assert "Traceback" not in served.output


def test_an_app_may_answer_such_a_request_as_any_other(serve: Serve) -> None:
    served = serve(files={"app.py": ECHO})
    with pytest.raises(exceptions.InvalidStatus) as refused:
        client.connect(f"ws://127.0.0.1:{served.port}/none")
    assert refused.value.response.status_code == 200
    assert served.body() == "1:"
