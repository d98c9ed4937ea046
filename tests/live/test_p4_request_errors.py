"""P4: what the app raises in a request, and what a request imports that fails."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.live.browsing import in_chromium, until_streams
from tests.live.driving import DEADLINE, SPEAKS_ASGI, request
from tests.live.failing import FAILED, TRACEBACK

if TYPE_CHECKING:
    from tests.live.browsing import Tab
    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.without_standby

APP = """\
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/lazy":
        import lazy
    if path == "/late":
        return late(start_response)
    if path == "/boom":
        return prices()["pear"]
    start_response("200 OK", [("Content-Type", "text/html")])
    return [f"<title>shop</title>{environ['REQUEST_METHOD']}: good".encode()]
def late(start_response):
    start_response("200 OK", [])
    yield b"part"
    1 / 0
def prices():
    return {}
"""
MENDED = APP.replace("return {}", "return {'pear': [b'']}").replace("1 / 0", "yield b'rest'")


def lines(served: Served, text: str) -> list[str]:
    return [line for line in served.output.splitlines() if text in line]


def test_p4_an_error_in_a_request_is_shown_and_told_once(serve: Serve) -> None:
    served = serve(files={"app.py": APP})
    answer = served.get("/boom")
    assert answer.status == 500
    assert answer.body.startswith(f"KeyError: 'pear'\n{served.directory}/app.py:8\nin GET /boom\n")
    served.until_told("GET /boom 500")
    assert served.output.count(TRACEBACK) == 1
    assert "asyncreload/child" not in served.output
    assert "wsgiref" not in served.output
    assert served.body().endswith("GET: good")  # the app goes on
    assert FAILED not in served.output


FORMATS = """\
import traceback
def app(environ, start_response):
    told = "none"
    try:
        import lazy
    except Exception:
        told = traceback.format_exc()
    start_response("200 OK", [])
    return [told.encode()]
"""


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def (", 7),
        ("import absent_module", 6),
        ("1 / 0", 7),
        ("\0", 4),
    ],
)
def test_p4_a_traceback_of_the_apps_own_is_pythons(serve: Serve, source: str, lines: int) -> None:
    """A framework that shows the error of a failed import shows none of our frames."""
    served = serve(files={"app.py": FORMATS, "lazy.py": f"{source}\n"})
    told = served.body()
    assert "importlib" not in told
    assert "asyncreload" not in told.replace(str(served.directory), "")
    assert len(told.splitlines()) == lines, told


RUN_TEMPLATE = 'exec(compile(open("page.tpl").read(), "page.tpl", "exec"))'
FROM_TEMPLATE = APP.replace('return prices()["pear"]', RUN_TEMPLATE)


def test_p4_a_save_of_a_template_that_an_error_names_mends_it(serve: Serve) -> None:
    """It is no module, and so not watched before."""
    served = serve(files={"app.py": FROM_TEMPLATE, "page.tpl": "1 / 0\n"})
    assert "page.tpl:1\nin GET /boom\n" in served.get("/boom").body
    served.write("page.tpl", "pass\n")
    served.until_told("page.tpl changed · fresh in")
    assert served.body("/boom").endswith("GET: good")


@pytest.mark.skipif(SPEAKS_ASGI, reason="uvicorn sends chunks: no reset is needed")
def test_p4_a_response_that_breaks_off_is_seen_to(serve: Serve) -> None:
    served = serve(files={"app.py": APP})
    served.get()  # it answers
    with socket.create_connection(("127.0.0.1", served.port), DEADLINE) as connection:
        connection.sendall(request("/late"))
        with pytest.raises(ConnectionResetError):
            connection.makefile("rb").read()
    served.until_told("cut off")
    assert served.output.count(TRACEBACK) == 1
    assert len(lines(served, "GET /late 200")) == 1


BREAKING = {
    "a syntax error": "x = (41\n",
    "an exception": "1 / 0\n",
    "an exit": "import sys\nsys.exit('enough')\n",
    "a missing module": "import lower\n",
}


@pytest.mark.parametrize("broken", BREAKING)
@pytest.mark.both_interfaces
def test_p4_what_a_request_imports_fails_like_a_load(serve: Serve, broken: str) -> None:
    served = serve(files={"app.py": APP, "lazy.py": BREAKING[broken]})
    assert served.body().endswith("good")
    served.until_told(" file")  # how many the first load has, in one of two lines
    fresh = served.output.count("fresh in")

    answer = served.get("/lazy")
    assert answer.status == 500
    assert "lazy.py" in answer.body or "import lazy" in answer.body
    served.until_told(FAILED)
    other = served.get("/")  # until a file changes
    assert other.status == 500
    assert "in GET /lazy" in other.body
    assert other.body.endswith("asyncreload: waiting for a change.\n")

    served.write("lower.py" if broken == "a missing module" else "lazy.py", "")
    assert served.body("/lazy").endswith("good")
    served.until_told("fresh in", fresh + 1)
    assert served.output.count("fresh in") == fresh + 1
    assert served.output.count(FAILED) == 1
    assert served.output.count(TRACEBACK) <= 1


@pytest.mark.both_interfaces
def test_p4_a_module_that_is_not_there_is_missing_to_that_request_alone(serve: Serve) -> None:
    """It may be an optional package: the rest of the app can do without."""
    served = serve(files={"app.py": APP})
    answer = served.get("/lazy")
    assert answer.status == 500
    assert answer.body.startswith("ModuleNotFoundError: No module named 'lazy'\n")
    assert served.body().endswith("good")
    assert FAILED not in served.output
    served.write("lazy.py", "")
    assert served.body("/lazy").endswith("good")


VIEWS = (
    "from django.http import HttpResponse\ndef home(request):\n    return HttpResponse('good')\n"
)
URLS = """\
from django.urls import path
from project import views
urlpatterns = [path('', views.home)]
"""


def test_p4_an_error_in_a_view_of_django_is_a_failed_load(serve: Serve) -> None:
    files = {"project/views.py": VIEWS, "project/urls.py": URLS}
    served = serve("project.wsgi", app="django", files=files)
    assert served.body() == "good"
    served.write("project/views.py", f"{VIEWS}x = (41\n")
    served.until_told(FAILED)  # without a request
    assert "views.py:4" in served.get().body
    served.write("project/views.py", VIEWS.replace("home", "away"))
    served.until_told(FAILED, 2)
    assert "urls.py:3" in served.get().body
    served.write("project/views.py", VIEWS)
    assert served.body() == "good"


# --- in a browser ------------------------------------------------------------------------------


@in_chromium
def test_p4_the_page_of_a_request_comes_back_at_the_next_save(serve: Serve, tab: Tab) -> None:
    served = serve(files={"app.py": APP.replace("return prices()['pear']", "pass")})
    served.write("app.py", APP.replace('["pear"]', '["pear"]  # broken'))
    tab.open(served.port, "/boom?x=1").until_shown("KeyError")
    assert tab.one(".verdict") == "500 The application failed to answer this request."
    assert tab.one(".request") == "GET /boom?x=1"
    until_streams(served, 1)
    served.edit("app.py", '        return prices()["pear"]  # broken', "        pass")
    tab.until_shown("GET: good")


@in_chromium
def test_p4_the_page_of_a_form_asks_before_it_is_sent_again(serve: Serve, tab: Tab) -> None:
    served = serve(files={"app.py": APP})
    tab.open(served.port).until_shown("GET: good")
    tab.run("""
        const form = document.body.appendChild(document.createElement("form"));
        form.method = "post";
        form.action = "/boom";
        form.submit();
    """)
    tab.until_shown("KeyError")
    until_streams(served, 1)
    assert tab.run("return document.getElementById('ask').hidden")
    served.edit("app.py", 'return prices()["pear"]', "pass")
    tab.until("return !document.getElementById('ask').hidden", "it asks")
    assert tab.one("h1").startswith("KeyError")
    assert lines(served, "POST /boom") == lines(served, "POST /boom 500")
    assert len(lines(served, "POST /boom")) == 1
