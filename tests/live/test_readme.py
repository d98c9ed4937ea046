"""The README holds: its commands, its programs, and what it says of options, targets, messages."""

from __future__ import annotations

import ast
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from inspect import signature
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree as ET

import pytest

from asyncreload import BindError, Settings, config, events, run
from asyncreload.child.watch import globs as patterns
from asyncreload.cli import _parse
from asyncreload.flask import command as flask_dev
from asyncreload.ini_files import is_ini
from asyncreload.keys import HINT
from asyncreload.listening import listen
from asyncreload.options import Option, options_of
from asyncreload.printing import Voice
from asyncreload.target import Target
from tests.live.commands import INTERRUPTED, PORT, ROOT, free_port, on_port, running
from tests.live.driving import lay_out

README = (ROOT / "README.md").read_text()
FIGURES = ROOT / "tests" / "benchmarks" / "results" / "figures.md"
PAGES = {ROOT / "README.md": README, FIGURES: FIGURES.read_text()}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(README)
SHELL = [text for kind, text in BLOCKS if kind == "sh"]
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
TESTS = [text for text in PYTHON if text.startswith("# test_")]
PROGRAMS = [text for text in PYTHON if text not in TESTS]
HELLO = next(program for program in PROGRAMS if program.startswith("# app.py\n"))

COMMANDS = [text.rstrip("\n") for text in SHELL if "&&" not in text]
COMMANDS += sorted(set(re.findall("`(asyncreload [^`|]+)`", README)))
"""What stands in a line of its own, or within a sentence, to be typed."""
OFFERED = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
)

RUN = (
    "python3 -m venv .venv && .venv/bin/pip install . bottle && "
    ".venv/bin/asyncreload examples/bottle_app.py"
)
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table in a section, without those of its head."""
    section = re.split("\n##+ ", README.partition(f"# {heading}\n")[2])[0]
    rows = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


# --- the beginning ---------------------------------------------------------------------------


def test_readme_begins_with_problem_promise_and_code() -> None:
    """A newcomer who reads a screenful knows what it is for, and can try it."""
    beginning = "".join(README.splitlines(keepends=True)[:30])
    title, sentence, recording, problem, promise, program, command = beginning.split("\n\n")[:7]
    assert title == "# asyncreload"
    assert "saved" in sentence
    assert recording.endswith("recording.svg)")
    assert "save" in problem
    assert "old page" in problem
    assert "never by older code" in promise
    assert "not refused" in promise.replace("\n", " ")
    assert BLOCK.findall(program)[0][0] == "python"
    assert BLOCK.findall(command)[0][0] == "sh"
    assert RUN in beginning


def test_readme_is_short() -> None:
    """What few readers need is folded: one click shows it."""
    marks = re.findall(
        r"^(?:<details>(?=<summary>.+</summary>\n\n)|</details>(?=\n\n))", README, re.MULTILINE
    )
    assert marks == ["<details>", "</details>"] * README.count("<summary>"), "as GitHub needs them"
    shown = re.sub(r"<details>.*?</details>\n\n", "", README, flags=re.DOTALL)
    assert len(shown.splitlines()) <= 450


def test_readme_knows_all_kinds_of_blocks() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "text", "toml"}
    assert README.count("\n```") == 2 * len(BLOCKS)


# --- commands --------------------------------------------------------------------------------


def test_readme_has_two_commands_to_set_up_and_run() -> None:
    """The checks of a commit run these very lines."""
    assert [text for text in SHELL if "&&" in text] == [f"{RUN}\n", f"{TEST}\n"]
    assert (ROOT / "examples" / "bottle_app.py").is_file()


@pytest.mark.parametrize("line", COMMANDS)
def test_readme_command_line_is_understood(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program == "flask":
        assert arguments[:3] == ["--app", "shop", "dev"]
        assert flask_dev.make_context("dev", arguments[3:]).params["port"] == int(PORT)
        return
    if program == "pip":
        verb, package = arguments
        extras = re.fullmatch(r"\.\./asyncreload\[([\w,]+)\]", package)
        assert verb == "install"
        assert extras is not None
        assert set(extras[1].split(",")) <= OFFERED
        return
    assert program == "asyncreload"
    options = Settings(**_parse(arguments))
    if not is_ini(options.target):
        Target.parse(options.target, must_exist=False)


def test_readme_lists_every_example_and_how_to_run_it() -> None:
    rows = table("Examples")
    names = [re.findall(r"^\[(.+)\]\(examples/(.+)\)$", row[0])[0] for row in rows]
    assert all(name == path for name, path in names)
    listed = sorted(name for name, _ in names)
    assert listed == sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    for (name, _), (*_, command) in zip(names, rows, strict=True):
        docstring = ast.get_docstring(ast.parse((ROOT / "examples" / name).read_text())) or ""
        assert f"Run it: {command.strip('`')}" in docstring


# --- programs --------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
def test_readme_program_serves(program: str, project: Path, temp: Path) -> None:
    """One that only defines an app is served by the command; the others serve app.py, or theirs."""
    port = free_port()
    served = project / "app.py"
    served.write_text(HELLO)
    command = f"asyncreload app.py --port {PORT}"
    if "asyncreload" in program or "__main__" in program:
        command = "python program.py"
        file = project / "program.py"
        file.write_text(on_port(port, program.replace("port=0", f"port={PORT}")))
        served = file if "Hello" in program else served
    else:
        served.write_text(program)
    with running(command, port, project, temp) as it:
        answer = it.first_answer()
        assert answer.status == 200, answer
        assert answer.body.startswith("Hello")
        served.write_text(served.read_text().replace("Hello", "Good morning"))
        assert it.body().startswith("Good morning")
        assert it.press_ctrl_c() in {INTERRUPTED, -signal.SIGINT}, it.output


FRAMEWORKS = {
    "app.py": {"app.py": HELLO},
    "manage.py": {
        "manage.py": """\
import os, sys
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
execute_from_command_line(sys.argv)
""",
        "site_settings.py": """\
DEBUG, SECRET_KEY, ROOT_URLCONF = True, "secret", "site_urls"
MIDDLEWARE, INSTALLED_APPS, DATABASES = [], [], {}
""",
        "site_urls.py": """\
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("Hello"))]
""",
    },
    "shop": {
        "shop/__init__.py": """\
from flask import Flask
def create_app():
    app = Flask(__name__)
    app.get("/")(lambda: "Hello")
    return app
"""
    },
    "main.py": {
        "main.py": """\
from fastapi import FastAPI, Response
app = FastAPI()
@app.get("/")
async def home():
    return Response("Hello")
"""
    },
}
"""For each command of the quick start, by what it names: a small project as people have it."""
QUICK_STARTS = re.findall(
    "^```sh\n(.+)\n```$", README.partition("## Quick start")[2].partition("\n## ")[0], re.MULTILINE
)


def test_readme_quick_starts_are_known() -> None:
    assert len(QUICK_STARTS) == len(FRAMEWORKS)


@pytest.mark.parametrize("command", QUICK_STARTS)
def test_readme_quick_start_serves(command: str, project: Path, temp: Path) -> None:
    """As typed, with no option more: a page, and after a save another one."""
    (files,) = [files for named, files in FRAMEWORKS.items() if named in command.split()]
    lay_out(project, files=files)
    port = free_port()
    with running(command, port, project, temp) as it:
        answer = it.first_answer()
        assert (answer.status, answer.body.strip()) == (200, "Hello")
        saved = project / list(files)[-1]
        saved.write_text(saved.read_text().replace("Hello", "Good morning"))
        assert it.body().strip() == "Good morning"
        assert it.press_ctrl_c() == INTERRUPTED, it.output


@pytest.mark.parametrize("text", TESTS)
def test_readme_test_passes(text: str, tmp_path: Path) -> None:
    file = tmp_path / "test_app.py"
    file.write_text(text)
    scope = ("-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:hypothesispytest")
    command = [sys.executable, "-m", "pytest", f"--rootdir={tmp_path}", *scope, file.name]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


# --- what it says ----------------------------------------------------------------------------


def expected_row(option: Option) -> list[str]:
    """Return the cells of an option: its name, how it is typed, its default and its meaning."""
    default = "" if option.is_required else f"`{json.dumps(option.field.default)}`"
    return [f"`{option.name}`", f"`{option.spelled}`", default, option.meaning]


def test_readme_options_are_the_settings() -> None:
    """Every row, as one would copy it into the README."""
    assert table("Options") == [expected_row(option) for option in options_of(Settings).values()]


def test_readme_options_of_the_command_alone_are_its_own() -> None:
    assert table("In the terminal") == [
        [f"`{option.spelled}`", option.effect] for option in options_of(Voice).values()
    ]


def test_readme_events_are_those_that_are_told() -> None:
    assert {row[0]: row[1] for row in table("Events")} == {
        f"`{kind.__name__}`": ", ".join(f"`{name}`" for name in kind.names())
        for kind in get_args(events.Event)
    }


def test_readme_patterns_are_as_documented() -> None:
    said = re.findall(r"^\|(.*)\|$", patterns.__doc__ or "", re.MULTILINE)[2:]
    assert table("Watch and ignore") == [[cell.strip() for cell in row.split("|")] for row in said]
    for row in table("Watch and ignore"):
        for pattern in re.findall("`(.+?)`", row[0]):
            Settings(target="app.py", watch=(pattern,), ignore=(pattern,))


def test_readme_figures_have_their_places() -> None:
    """Between the marks stands what a benchmark prints, with the command that prints it."""
    pattern = r"<!-- figures: (\w+) -->\n(.+?)\n<!-- end -->"
    places = re.findall(pattern, PAGES[FIGURES], re.DOTALL)
    assert [name for name, _ in places] == ["peers", "reload", "idle", "scale", "serving"]
    for name, text in places:
        assert f"`python tests/benchmarks/{name}.py" in text
    for page in PAGES.values():
        for path in set(re.findall(r"\btests/benchmarks/\w+\.py", page)):
            assert (ROOT / path).is_file(), path


def test_readme_compares_by_what_was_measured() -> None:
    """Each cell of the comparison is one that `peers.py` has printed for that server."""
    head, _, *rows = re.findall(
        r"^\|(.*)\|$", README.partition("## Why")[2].partition("## ")[0], re.MULTILINE
    )
    shown = [[cell.strip() for cell in row.split("|")] for row in (head, *rows)]
    servers = shown[0][1:]
    assert len(shown) == 6
    measured: dict[str, dict[str, str]] = {server: {} for server in servers}
    for part in re.findall(
        r"(?:^\|.*\|\n)+", PAGES[FIGURES].partition("figures: peers")[2], re.MULTILINE
    )[:2]:
        names, _, *lines = [
            [cell.strip() for cell in line.split("|")] for line in part.splitlines()
        ]
        for line in lines:
            measured.get(line[1], {}).update(zip(names, line, strict=True))
    columns = ("small app, ms", "heavy app, ms", "stale", "failed", "SyntaxError")
    for column, (_, *cells) in zip(columns, shown[1:], strict=True):
        for server, cell in zip(servers, cells, strict=True):
            assert measured[server]["saves"] == "10"
            assert measured[server][column].partition(" (")[0] == cell, (server, column)


def test_readme_options_are_understood_by_the_command() -> None:
    options = options_of(Settings)
    for name, flag, default, _ in table("Options")[1:]:
        typed, *value = flag.strip("`").split()
        option = options[name.strip("`")]
        shown = json.loads(default.strip("`"))
        meant = (["::1"] if option.repeats else [str(shown)]) if value else []
        parsed = _parse(["app.py", typed, *meant])
        assert parsed.pop("target") == "app.py"
        expected = ("::1",) if option.repeats else shown if value else not option.default
        assert parsed == {option.name: expected}
        Settings(target="app.py", **parsed)


def test_readme_pyproject_is_understood(tmp_path: Path) -> None:
    (block,) = [text for kind, text in BLOCKS if kind == "toml"]
    (tmp_path / "pyproject.toml").write_text(block)
    read = config.read(str(tmp_path / "pyproject.toml"), options_of(Settings, Voice))
    Settings(**read)
    assert read["target"]


def test_readme_options_of_run_are_those_of_the_command() -> None:
    said = (
        "`run` takes the [options](#options) and [switches](#in-the-terminal) of the command, "
        "such as `live=True`, and `reload`, which may be spelled `reloader`"
    )
    assert said in " ".join(README.split())
    assert set(signature(run).parameters) == {
        "app",
        "host",
        "port",
        "reload",
        "reloader",
        "options",
    }


def test_readme_targets_are_understood() -> None:
    targets = [row[0].strip("`") for row in table("What to serve")]
    assert len(targets) == 5
    for target in targets:
        parsed = Target.parse(target, must_exist=False)
        assert (parsed.file is None) == target.startswith("pkg.")


def test_readme_quotes_the_message_of_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(BindError) as caught:
            listen("127.0.0.1", port)
    message = str(caught.value).partition(":")[0].replace(str(port), PORT)
    assert f'**"{message}".**' in README


def test_readme_shows_a_recording_of_every_step() -> None:
    (path,) = re.findall(r"\((\S+\.svg)\)", README.partition("\n## ")[0])
    seen = "\n".join(ET.parse(ROOT / path).getroot().itertext())
    for step in (
        "serving app.py at",
        HINT,
        "changed · fresh in",
        "SyntaxError: '[' was",
        "stopped",
    ):
        assert step in seen


def anchors(page: str) -> set[str]:
    """Return what links to a place in a page may name."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_readme_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        here, _, anchor = link.partition("#")
        target = (page.parent / here).resolve() if here else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(PAGES[target]), link
