"""`manage.py runserver`, on a project as Django's own `startproject` makes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload.child.watch.change_scanner import SCANNED_AT_ONCE
from tests.live.browsing import in_chromium, until_streams
from tests.live.commands import free_port
from tests.live.django_projects import APP, MANAGE, install
from tests.live.driving import COMMAND, lay_out
from tests.live.listening_page import ListeningPage

if TYPE_CHECKING:
    from tests.live.browsing import Tab
    from tests.live.conftest import Start
    from tests.live.driving import Served

pytest.importorskip("django")

OTHER_COMMAND = """\
from django.contrib.staticfiles.management.commands.runserver import Command as Staticfiles

class Command(Staticfiles):
    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--shout", action="store_true")

    def get_handler(self, *args, **options):
        handler = super().get_handler(*args, **options)
        if not options["shout"]:
            return handler
        return lambda *request: [part.upper() for part in handler(*request)]
"""


# --- as under Django's own ------------------------------------------------------------------------

PATHS = {
    "/": 200,
    "/nothing/": 404,
    "/fails/": 500,
    "/admin/": 302,
    "/admin/login/": 200,
    "/admin": 301,
    "/static/shop/site.css": 200,
    "/static/admin/css/base.css": 200,
    "/static/admin/img/search.svg": 200,
    "/static/nothing.css": 404,
}
COMPARED = ["Allow", "Content-Type", "Last-Modified", "Location", "Vary"]
COMPARED += ["Content-Disposition", "Content-Encoding", "X-Frame-Options", "Referrer-Policy"]


def page(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, object, str]:
    """Return a status, the main headers, and the body without what differs each time."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Accept": "text/html"} | (headers or {}))
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    found = {name: answer.getheader(name) for name in COMPARED}
    if answer.status == 500:  # shows the environ, in which the servers differ
        return 500, found["Content-Type"], re.search("<title>.*?</title>", body, re.DOTALL)[0]  # type: ignore[index]  # there is a title
    body = re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1", body)
    body = re.sub(r"<p>\d+</p>", "", body)
    body = re.sub(r"<p>(true|None)</p>", "", body)  # `runserver --noreload` does not set it
    body = body.replace(f":{port}", "")
    return answer.status, found, body


@pytest.mark.without_standby
def test_a_project_that_names_its_asgi_application_is_served_by_asgi(
    site: Path, start: Start
) -> None:
    pytest.importorskip("uvicorn")
    settings = site / "mysite/settings.py"
    settings.write_text(f'{settings.read_text()}\nASGI_APPLICATION = "mysite.asgi.application"\n')
    views = site / "shop/views.py"
    views.write_text(
        "from django.http import HttpResponse\n"
        "async def home(request): return HttpResponse(type(request).__name__)\nfails = home\n"
    )
    served = start(*COMMAND, "manage.py", "--port", "0")
    assert served.body() == "ASGIRequest"
    assert served.body("/static/shop/site.css") == APP["shop/static/shop/site.css"]
    served.edit("shop/views.py", "__name__", "__name__.upper()")
    assert served.body() == "ASGIREQUEST"


ASGI_COMMAND = """\
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.management.commands.runserver import Command as Djangos
from django.utils.module_loading import import_string

class Command(Djangos):
    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--noasgi", action="store_false", dest="use_asgi")
        parser.add_argument("--http_timeout", type=int)

    def inner_run(self, *args, **options):
        raise AssertionError("this would serve")

    def get_application(self, options):
        return ASGIStaticFilesHandler(import_string("mysite.asgi.application"))
"""


@pytest.mark.without_standby
@pytest.mark.parametrize(("more", "kind"), [((), "ASGIRequest"), (("--noasgi",), "WSGIRequest")])
def test_a_next_command_that_serves_by_asgi_is_extended(
    site: Path, start: Start, more: tuple[str, ...], kind: str
) -> None:
    """As daphne's."""
    pytest.importorskip("uvicorn")
    command = "wire/management/commands/runserver.py"
    packages = ("wire", "wire/management", "wire/management/commands")
    lay_out(site, files={f"{package}/__init__.py": "" for package in packages})
    views = (
        "from django.http import HttpResponse\n"
        "def home(request): return HttpResponse(type(request).__name__)\nfails = home\n"
    )
    lay_out(site, files={command: ASGI_COMMAND, "shop/views.py": views})
    install(site, "wire")
    install(site, "asyncreload.django")
    served = start(*MANAGE, "runserver", "0", "--http_timeout", "9", *more)
    assert served.body() == kind
    static = served.get("/static/shop/site.css").status
    assert static == (404 if more else 200)  # as with daphne's own


@pytest.mark.without_standby
def test_pages_are_those_of_djangos_own_server(site: Path, start: Start) -> None:
    own = free_port()
    djangos = start(*MANAGE, "runserver", str(own), "--noreload")
    djangos.until_told("Quit the server")
    install(site, "asyncreload.django")
    served = start(*MANAGE, "runserver", "0")

    def is_there() -> bool:
        with suppress(ConnectionRefusedError):
            return page(own, "/")[0] == 200
        return False

    djangos.until(is_there, "Django's own server answers")
    for path, status in PATHS.items():
        expected = page(own, path)
        assert expected[0] == status
        assert page(served.port, path) == expected, path
    modified = page(own, "/static/shop/site.css")[1]["Last-Modified"]  # type: ignore[index]  # a dict
    asked = {"If-Modified-Since": modified}
    assert page(served.port, "/static/shop/site.css", asked)[0] == 304
    assert "<p>true</p>" in served.body("/")  # RUN_MAIN was set before apps were loaded
    told = served.output
    assert re.search(
        r"^Django version .*, using settings 'mysite.settings', no errors", told, re.MULTILINE
    )


def test_migrations_are_loaded_before_views_and_what_is_not_applied_is_told(
    site: Path, start: Start
) -> None:
    """There may be hundreds: a load that goes on from before a view has them already."""
    install(site, "asyncreload.django")
    package = "shop/migrations/__init__.py"
    lay_out(site, files={package: "import shop\nshop.migrated = True\n"})
    views = APP["shop/views.py"] + "\nimport shop\nMIGRATED = hasattr(shop, 'migrated')\n"
    lay_out(site, files={"shop/views.py": views + "assert MIGRATED\n"})
    served = start(*MANAGE, "runserver", "0")
    first = served.body("/")
    assert "unapplied" not in served.output
    empty = "from django.db import migrations\nclass Migration(migrations.Migration): pass\n"
    lay_out(site, files={"shop/migrations/0001_first.py": empty})
    served.edit("shop/views.py", "def home", "def  home")
    assert served.body("/") != first
    served.until_told("You have 1 unapplied migration(s)")


@pytest.mark.without_standby
def test_the_next_command_in_the_list_is_extended(site: Path, start: Start) -> None:
    """As staticfiles', whitenoise's or one's own: with its arguments and its handler."""
    for package in ("loud", "loud/management", "loud/management/commands"):
        lay_out(site, files={f"{package}/__init__.py": ""})
    lay_out(site, files={"loud/management/commands/runserver.py": OTHER_COMMAND})
    install(site, "loud")
    install(site, "asyncreload.django")
    served = start(*MANAGE, "runserver", "127.0.0.1:0", "--shout", "--nothreading")
    assert "<H1>SHOP</H1>" in served.body("/")


def test_options_are_typed_or_in_pyproject(site: Path, start: Start) -> None:
    install(site, "asyncreload.django")
    port = free_port()
    text = f'[tool.asyncreload]\nport = {port}\nhost = "localhost"\ntarget = "x"\nquiet = true\n'
    text += "standby = false\n"
    lay_out(site, files={"pyproject.toml": text})
    served = start(*MANAGE, "runserver")

    def answers() -> bool:
        with suppress(ConnectionRefusedError):
            return page(port, "/")[0] == 200
        return False

    served.until(answers, "it answers at the port in the file")
    assert "GET /" not in served.output
    served.stop()
    other = free_port()
    served = start(*MANAGE, "runserver", f"127.0.0.1:{other}")
    port = other
    served.until(answers, "it answers at the port that was typed")


@pytest.mark.without_standby
def test_a_command_before_ours_is_told(site: Path, start: Start) -> None:
    settings = site / "mysite/settings.py"
    ends = '    "asyncreload.django",\n]\n\nMIDDLEWARE'
    settings.write_text(settings.read_text().replace("]\n\nMIDDLEWARE", ends))
    served = start(*COMMAND, ".", "--port", "0")
    told = served.get("/").body
    assert 'The runserver of "django.contrib.staticfiles" hides that of "asyncreload.' in told
    assert "first in INSTALLED_APPS" in told


def test_the_command_is_the_same_where_a_standby_has_imported_packages_ahead(
    site: Path, start: Start
) -> None:
    install(site, "asyncreload.django")
    text = "[tool.asyncreload]\ncheckpoints = 0\nverbose = true\n"
    lay_out(site, files={"pyproject.toml": text})
    # A package that nothing has imported before the command is found.
    views = "from django.contrib.syndication import views as feeds\n" + APP["shop/views.py"]
    lay_out(site, files={"shop/views.py": views})
    served = start(*MANAGE, "runserver", "0", "--insecure")
    first = served.body("/")
    served.until(lambda: re.search(r"has imported \d{3} modules", served.output), "it stands by")
    served.edit("shop/views.py", "def home", "def  home")
    assert served.body("/") != first
    assert "color: red" in served.body("/static/shop/site.css")
    assert "views.py changed" in served.output
    assert "starting cold" not in served.output


@pytest.mark.without_standby
def test_static_files_are_left_to_others_if_that_is_asked_for(site: Path, start: Start) -> None:
    install(site, "asyncreload.django")
    settings = site / "mysite/settings.py"
    text = settings.read_text().replace("DEBUG = True", "DEBUG = False")
    settings.write_text(text.replace("ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = ["*"]'))
    served = start(*MANAGE, "runserver", "0", "--insecure", "--skip-checks")
    assert "color: red" in served.body("/static/shop/site.css")
    assert "using settings 'mysite.settings'\n" in served.output
    served.stop()
    served = start(*MANAGE, "runserver", "0", "--insecure", "--nostatic")
    assert served.get("/static/shop/site.css").status == 404


# --- errors, and their mending --------------------------------------------------------------------


def test_a_project_that_cannot_be_loaded_is_told_and_mended(site: Path, start: Start) -> None:
    install(site, "asyncreload.django")
    models, settings = "shop/models.py", "mysite/settings.py"
    served_models = (site / models).read_text()
    (site / models).write_text(served_models + "oops(\n")
    served = start(*MANAGE, "runserver", "0", "--nostatic")
    answer = served.get("/")
    assert answer.status == 500
    assert answer.body.startswith("SyntaxError: '(' was never closed\n")
    # What Django's checks find.
    served.write(
        models,
        served_models.replace("CharField(max_length=20)", 'ForeignKey("No", models.CASCADE)'),
    )
    answer = served.get("/")
    assert answer.status == 500
    assert answer.body.startswith("SystemCheckError: System check identified some issues:\n")
    assert "(fields.E300) Field defines a relation with model 'No'" in answer.body
    assert "Traceback" not in answer.body
    served.write(models, served_models)
    assert "<h1>Shop</h1>" in served.body("/")
    served.edit(settings, "DEBUG = True", "DEBUG = False")
    answer = served.get("/")
    assert answer.body.startswith("You must set settings.ALLOWED_HOSTS if DEBUG is")
    served.edit(settings, "DEBUG = False", "DEBUG = True; import missing_part")
    assert served.get("/").body.startswith("ModuleNotFoundError: No module named 'missing_part'")
    served.edit(settings, "; import missing_part", "")
    served.edit("mysite/urls.py", "views.fails", "views.gone")
    assert served.get("/").body.startswith("AttributeError: module 'shop.views' has no attribute")
    served.edit("mysite/urls.py", "views.gone", "views.fails")
    assert "<h1>Shop</h1>" in served.body("/")


# --- templates and static files -------------------------------------------------------------------

RECEIVER = """
from django.dispatch import receiver
from django.utils.autoreload import autoreload_started, file_changed, trigger_reload

@receiver(autoreload_started)
def watch(sender, **kwargs):
    sender.watch_dir("notes", "*.txt")
    sender.extra_files.add("rules.txt")

@receiver(file_changed)
def read(sender, file_path, **kwargs):
    if file_path.name == "b.txt":
        trigger_reload(file_path)
    return file_path.parent.name == "notes" and "code" not in file_path.read_text()
"""


@pytest.mark.without_standby
def test_a_template_is_renewed_without_a_reload(site: Path, start: Start) -> None:
    install(site, "asyncreload.django")
    template = "shop/templates/shop/home.html"
    served = start(*MANAGE, "runserver", "0")
    first = served.body("/")
    served.edit(template, "Shop", "Store")
    assert served.body("/") == first.replace("Shop", "Store")  # the same process, too
    served.until_told("home.html changed · no reload needed")
    # One that hides another, and goes again.
    over = site / "templates/shop/home.html"
    served.edit("mysite/settings.py", "'DIRS': []", "'DIRS': [BASE_DIR / 'templates']")
    first = served.body("/")
    lay_out(site, files={"templates/shop/home.html": "<p>over</p>"})
    assert served.body("/") == "<p>over</p>"
    over.unlink()
    assert served.body("/") == first
    # In a process that goes on from a checkpoint, as well.
    served.edit("shop/views.py", "def home", "def  home")
    again = served.body("/")
    assert again != first
    served.edit(template, "Store", "Shop")
    assert served.body("/") == again.replace("Store", "Shop")


@pytest.mark.parametrize("others", [0, 2 * SCANNED_AT_ONCE])
def test_p1_a_template_counts_from_its_first_use_in_a_process_on(
    site: Path, start: Start, others: int
) -> None:
    """If there are many, the others are gone through later, when there is time."""
    install(site, "asyncreload.django")
    lay_out(site, files={f"shop/templates/other/{n}.html": "" for n in range(others)})
    template, over = "shop/templates/shop/home.html", site / "templates/shop/home.html"
    settings = site / "mysite/settings.py"
    text = settings.read_text().replace("'DIRS': []", "'DIRS': [BASE_DIR / 'templates']")
    settings.write_text(text)
    over.parent.mkdir(parents=True)
    served = start(*MANAGE, "runserver", "0")
    served.body("/")
    for number in range(8):
        served.write("shop/views.py", served.read("shop/views.py") + f"# {number}\n")
        for step in range(3):
            served.write(template, f"<p>{number} {step}</p>")
            assert served.body("/") == f"<p>{number} {step}</p>"
        over.write_text(f"<p>over {number}</p>")
        assert served.body("/") == f"<p>over {number}</p>"
        over.unlink()
        assert served.body("/") == f"<p>{number} 2</p>"
    if others:
        served.write("shop/templates/other/7.html", "new")
        served.until_told("shop/templates/other/7.html changed · no reload needed")


@pytest.mark.without_standby
def test_receivers_of_djangos_signals_say_what_needs_a_reload(site: Path, start: Start) -> None:
    install(site, "asyncreload.django")
    lay_out(site, files={"shop/apps.py": APP["shop/apps.py"] + RECEIVER})
    lay_out(site, files={"notes/a.txt": "one", "rules.txt": "one"})
    served = start(*MANAGE, "runserver", "0")
    first = served.body("/")
    served.write("notes/a.txt", "two")
    assert served.body("/") == first
    served.write("notes/a.txt", "code")
    second = served.body("/")
    assert second != first
    served.write("rules.txt", "two")
    third = served.body("/")
    assert third != second
    served.write("notes/b.txt", "one")
    assert served.body("/") != third


TOLD = """
import importlib
from django.dispatch import receiver
from django.utils.autoreload import file_changed

@receiver(file_changed)
def note(sender, file_path, **kwargs):
    with open("told", "a") as log:
        log.write(f"{file_path.name}\\n")
    from shop import prices
    if file_path.name == "prices.py":
        importlib.reload(prices)
    return file_path.name in ("prices.py", "rules.py")
"""


@pytest.mark.without_standby
def test_receivers_are_told_of_code_and_may_see_to_it_themselves(site: Path, start: Start) -> None:
    """As under Django's own reloader; but old code does not answer, whatever a receiver says."""
    install(site, "asyncreload.django")
    lay_out(site, files={"shop/apps.py": APP["shop/apps.py"] + TOLD, "shop/prices.py": "ONE = 1\n"})
    views = APP["shop/views.py"].replace(
        "import os\n", "import os\nfrom shop import prices, rules\n"
    )
    views = views.replace('"pid": os.getpid()', '"pid": f"{os.getpid()} {prices.ONE} {rules.ONE}"')
    lay_out(site, files={"shop/views.py": views, "shop/rules.py": "ONE = 1\n"})
    served = start(*MANAGE, "runserver", "0")
    first = served.body("/")
    served.edit("shop/prices.py", "1", "2")
    assert served.body("/") == first.replace("1 1<", "2 1<")
    served.until_told("prices.py changed · no reload needed")
    served.edit("shop/rules.py", "1", "2")  # for which nothing was done
    assert " 2 2<" in served.body("/")
    served.edit("shop/views.py", "def home", "def  home")
    second = served.body("/")
    told = served.read("told").split()
    assert told == ["prices.py", "rules.py", "views.py"]  # each of them once
    # Code needs a reload; what has changed with it is new then, too.
    lay_out(site, files={"shop/templates/shop/home.html": "<p>{{ pid }}</p>"})
    served.edit("shop/views.py", "def  home", "def home")
    assert served.body("/") != second
    assert served.body("/").startswith("<p>")


PO = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "greeting"
msgstr "Guten Tag"
"""
TRANSLATED = """
from django.http import HttpResponse
from django.utils.translation import gettext

def greet(request):
    return HttpResponse(f"{gettext('greeting')} {os.getpid()}")
"""


def compile_messages(site: Path) -> None:
    """Make the .mo files of all .po files."""
    subprocess.run([*MANAGE, "compilemessages", "-v0"], cwd=site, check=True)


@pytest.mark.without_standby
@pytest.mark.skipif(not shutil.which("msgfmt"), reason="Django compiles by msgfmt")
@pytest.mark.parametrize("templates", [0, 2 * SCANNED_AT_ONCE])
def test_a_translation_is_renewed_without_a_reload(
    site: Path, start: Start, templates: int
) -> None:
    install(site, "asyncreload.django")
    lay_out(site, files={f"shop/templates/other/{n}.html": "" for n in range(templates)})
    messages = "shop/locale/de/LC_MESSAGES/django.po"
    views, urls = APP["shop/views.py"], APP["mysite/urls.py"]
    urls = urls.replace('path("", v', 'path("greet/", views.greet), path("", v')
    lay_out(site, files={"shop/views.py": views + TRANSLATED, "mysite/urls.py": urls})
    lay_out(site, files={messages: PO})
    settings = site / "mysite/settings.py"
    settings.write_text(settings.read_text().replace('"en-us"', '"de"').replace("'en-us'", "'de'"))
    compile_messages(site)
    served = start(*MANAGE, "runserver", "0")
    greeting, process = served.body("/greet/").rsplit(maxsplit=1)
    assert greeting == "Guten Tag"
    served.edit(messages, "Guten Tag", "Servus")
    compile_messages(site)
    assert served.body("/greet/") == f"Servus {process}"
    served.until_told("django.mo changed · no reload needed")
    # One that comes, with its directory, and hides the other: of the project, not of the app.
    served.edit(
        "mysite/settings.py", "USE_I18N = True", "USE_I18N = True; LOCALE_PATHS = ['words']"
    )
    process = served.body("/greet/").split()[-1]
    if templates:  # what nobody has tried to open is watched when all are
        served.write("shop/templates/other/7.html", "new")
        served.until_told("7.html changed · no reload needed")
    lay_out(site, files={"words/de/LC_MESSAGES/django.po": PO.replace("Guten Tag", "Moin")})
    compile_messages(site)
    assert served.body("/greet/") == f"Moin {process}"
    # In a process that goes on from a checkpoint, as well.
    served.edit("shop/views.py", "def home", "def  home")
    greeting, again = served.body("/greet/").split()
    assert (greeting, again != process) == ("Moin", True)
    served.edit("words/de/LC_MESSAGES/django.po", "Moin", "Hallo")
    compile_messages(site)
    assert served.body("/greet/") == f"Hallo {again}"


@pytest.mark.without_standby
def test_a_template_of_an_installed_package_is_renewed_within_seconds(
    site: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "labels")
    install(site, "asyncreload.django")
    installed = "venv/lib/site-packages"
    lay_out(site, files={f"{installed}/labels/__init__.py": ""})
    label = f"{installed}/labels/templates/labels/label.html"
    template = APP["shop/templates/shop/home.html"] + "{% include 'labels/label.html' %}"
    lay_out(site, files={label: "<i>one</i>", "shop/templates/shop/home.html": template})
    monkeypatch.setenv("PYTHONPATH", str(site / installed))
    served = start(*MANAGE, "runserver", "0")
    first = served.body("/")
    assert "<i>one</i>" in first
    served.until_told("GET / 200")
    served.write(label, "<i>two</i>")
    served.until_told("label.html changed · no reload needed")
    assert served.body("/") == first.replace("one", "two")


def test_open_pages_are_told_which_style_sheet_has_changed(site: Path, start: Start) -> None:
    install(site, "asyncreload.django")
    lay_out(site, files={"pyproject.toml": "[tool.asyncreload]\nlive = true\nstandby = false\n"})
    served = start(*MANAGE, "runserver", "0")
    first = served.body("/")
    with ListeningPage(served) as page:
        served.edit("shop/static/shop/site.css", "red", "blue")
        assert page.changed() == ["site.css"]
        served.edit("shop/templates/shop/home.html", "Shop", "Store")
        assert page.changed() == []  # the page is to be loaded again
    assert served.body("/") == first.replace("Shop", "Store")


TALL = "<div style='height: 5000px'></div>"


@in_chromium
def test_an_open_page_shows_templates_and_style_sheets_as_saved(
    site: Path, start: Start, tab: Tab
) -> None:
    install(site, "asyncreload.django")
    lay_out(site, files={"pyproject.toml": "[tool.asyncreload]\nlive = true\nstandby = false\n"})
    template = "shop/templates/shop/home.html"
    # One that is a day old is shown from the browser's cache for hours.
    os.utime(site / "shop/static/shop/site.css", (time.time() - 86400,) * 2)
    served = start(*MANAGE, "runserver", "0")
    served.write(template, served.read(template) + "<input>" + TALL)
    tab.open(served.port).until_shown("Shop")
    process = tab.all("p")[0]
    until_streams(served, 1)
    tab.type_and_scroll("half a name", 900)
    served.edit("shop/static/shop/site.css", "red", "blue")
    blue = "return getComputedStyle(document.querySelector('h1')).color === 'rgb(0, 0, 255)'"
    tab.until(blue, "it is blue")
    assert tab.typed_and_scrolled() == ["half a name", 900]
    served.edit(template, "Shop", "Store")
    tab.until_shown("Store")
    assert tab.all("p")[0] == process
    tab.until(blue, "it is still blue")  # once the style sheet of the new page is there


def version_told(served: Served) -> str:
    """Return the version that django-browser-reload tells first."""
    connection = HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", "/__reload__/events/", headers={"Accept": "text/event-stream"})
    told = connection.getresponse().readline().decode()
    connection.close()
    assert "versionId" in told
    return told


@pytest.fixture
def browser_reload(site: Path) -> Path:
    """The same project, with django-browser-reload as its documentation says."""
    pytest.importorskip("django_browser_reload")
    settings, urls = site / "mysite/settings.py", site / "mysite/urls.py"
    install(site, "django_browser_reload")
    install(site, "asyncreload.django")
    head, line, tail = settings.read_text().partition("MIDDLEWARE = [\n")
    middleware = "    'django_browser_reload.middleware.BrowserReloadMiddleware',\n"
    settings.write_text(head + line + middleware + tail)
    own = 'path("__reload__/", include("django_browser_reload.urls")), path("admin/"'
    text = urls.read_text().replace("import path", "import include, path")
    urls.write_text(text.replace('path("admin/"', own))
    template = site / "shop/templates/shop/home.html"
    template.write_text(f"<html><body>{template.read_text()}</body></html>")
    return site


@pytest.mark.without_standby
def test_each_process_has_its_own_version_for_django_browser_reload(
    browser_reload: Path, start: Start
) -> None:
    """Also one that goes on from a checkpoint that lies behind the import of the package."""
    views = APP["shop/views.py"]
    late = "def fails(request):\n    from shop import late\n    return home(request)\n"
    views = views[: views.index("def fails")] + late
    lay_out(browser_reload, files={"shop/views.py": views, "shop/late.py": "ONE = 1\n"})
    served = start(*MANAGE, "runserver", "0")
    assert served.get("/fails/").status == 200
    told = [version_told(served)]
    assert version_told(served) == told[0]
    for file, old, new in [
        ("shop/late.py", "1", "2"),  # on the checkpoint at the end of the load
        ("shop/views.py", "def home", "def  home"),
        ("shop/views.py", "def  home", "def home"),
    ]:
        assert served.get("/fails/").status == 200
        served.edit(file, old, new)
        told.append(version_told(served))
    assert len(set(told)) == len(told)


@in_chromium
def test_a_page_with_django_browser_reload_loads_itself_again(
    browser_reload: Path, start: Start, tab: Tab
) -> None:
    served = start(*MANAGE, "runserver", "0")
    tab.open(served.port).until_shown("Shop")
    until_streams(served, 1)
    served.edit("shop/views.py", '"pid": os', '"pid": -os')
    tab.until_shown("-", within=30)  # the package's script asks again after some seconds
    until_streams(served, 1)
    process = tab.all("p")[0]
    served.edit("shop/templates/shop/home.html", "Shop", "Store")
    tab.until_shown("Store")
    assert tab.all("p")[0] == process


# --- a project that is served by its module ---------------------------------------------------


def test_its_templates_are_renewed_as_well(site: Path, start: Start) -> None:
    served = start(*COMMAND, "mysite.wsgi", "--port", "0")
    first = served.body("/")
    served.until_told('"asyncreload manage.py" has them')
    served.edit("shop/templates/shop/home.html", "Shop", "Store")
    assert served.body("/") == first.replace("Shop", "Store")
    served.until_told("home.html changed · no reload needed")
    served.edit("shop/views.py", "os.getpid()", '"edited"')
    assert "<p>edited</p>" in served.body("/")
    assert served.output.count("asyncreload manage.py") == 1


def test_its_package_is_no_target(site: Path, start: Start) -> None:
    served = start(*COMMAND, "mysite", "--port", "0")
    served.until_told("the load failed")
    assert f'has no application in {site}/mysite/__init__.py: write "manage.py".' in served.output


# --- a project that does not know of us -----------------------------------------------------------


@pytest.mark.parametrize("target", ["manage.py", "."])
def test_a_project_needs_no_setting(site: Path, start: Start, target: str) -> None:
    served = start(*COMMAND, target, "--port", "0")
    assert "<p>true</p>" in served.body("/")
    assert "color: red" in served.body("/static/shop/site.css")
    served.edit("shop/views.py", "os.getpid()", '"edited"')
    assert "<p>edited</p>" in served.body("/")
    assert served.output.count("Django version") == 1


def test_p1_a_directory_of_static_files_that_an_app_had_not_before(
    site: Path, start: Start
) -> None:
    """Django looks once whether there is one: in a checkpoint, before it came."""
    install(site, "asyncreload.django")
    lay_out(site, files={"second/__init__.py": ""})
    install(site, "second")
    served = start(*MANAGE, "runserver", "0")
    served.body("/")
    for number in range(4):  # until a checkpoint lies before what is edited
        served.write("shop/views.py", served.read("shop/views.py") + f"# {number}\n")
        served.body("/")
    lay_out(site, files={"second/static/second/a.css": "body {}"})
    served.write("shop/views.py", served.read("shop/views.py") + "# last\n")
    served.body("/")
    assert served.get("/static/second/a.css").body == "body {}"
