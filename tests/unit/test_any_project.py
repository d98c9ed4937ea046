"""Whatever a project's files hold: the command serves, or says in one line why it does not."""

from __future__ import annotations

import io
import logging
import os
import signal
from contextlib import chdir, redirect_stderr
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncreload.cli import main
from asyncreload.exit_codes import BAD_USAGE
from asyncreload.ini_files import files_of
from asyncreload.options import options_of
from asyncreload.parent import supervisor as module
from asyncreload.parent.supervisor import Supervisor, _with_program
from asyncreload.printing import Voice
from asyncreload.settings import Settings
from asyncreload.target import Target

if TYPE_CHECKING:
    pass


class Unstarted(Supervisor):
    """Judges its options and its target as it should, and starts nothing."""

    async def __aenter__(self) -> Self:
        settings = _with_program(self.settings, os.getcwd())
        if not settings.script:
            Target.parse(settings.target)
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def wait(self) -> int:
        return 0


def is_served_or_refused_in_a_line(files: dict[str, bytes]) -> None:
    """Run the command in a directory with these files."""
    log, on_interrupt = logging.getLogger("asyncreload"), signal.getsignal(signal.SIGINT)
    handlers, level = list(log.handlers), log.level
    told = io.StringIO()
    with TemporaryDirectory() as directory, chdir(directory):
        for name, data in files.items():
            with open(name, "wb") as file:
                file.write(data)
        try:
            with redirect_stderr(told), patch.object(module, "Supervisor", Unstarted):
                main([])
        except SystemExit as exc:
            code = exc.code
        finally:
            log.handlers[:] = handlers
            log.setLevel(level)
            signal.signal(signal.SIGINT, on_interrupt)
    if code == 0:
        return
    assert code == BAD_USAGE
    *others, line, end = told.getvalue().split("\n")
    assert all(other.startswith("python-dotenv could not parse") for other in others)
    assert line.startswith("asyncreload: error: ")
    assert line.isprintable()
    assert not end


def pyproject_is_obeyed_or_refused_in_a_line(data: bytes) -> None:
    is_served_or_refused_in_a_line({"pyproject.toml": data, "app.py": b"app = 1\n"})


def ini_file_is_read_or_left_to_the_load(data: bytes) -> None:
    is_served_or_refused_in_a_line(
        {"pyproject.toml": b"[tool.asyncreload]\ntarget = 'a.ini'\n", "a.ini": data}
    )
    with TemporaryDirectory() as directory, chdir(directory):
        with open("a.ini", "wb") as file:
            file.write(data)
        assert os.path.abspath("a.ini") in files_of("a.ini")


NAMES = [*options_of(Settings, Voice), "prot", "env-file", "script", "door", '"a\\nb"', "a.b"]
ODD = (
    "",
    "app.py",
    "app.py:app",
    "app",
    "app:",
    ":",
    "a\\nb.py",
    "\\u001b[2J",
    "x" * 300,
    ".",
    "/",
)
NAMED = ("manage.py", "a.ini", "~", "*/..", "10.0.0.0/8", "docker", "vscode", "::", "\\u0000")
TEXTS = st.sampled_from([*ODD, *NAMED]) | st.text(max_size=8)
VALUES = st.one_of(
    TEXTS.map('"{}"'.format),
    st.sampled_from(["0", "-1", "65536", "1e9", "inf", "nan", "true", "1979-05-27", "07:32:00"]),
    st.sampled_from(["0x" + "F" * 5000, "1" * 5000, "{}", "[]", "[[]]", "{ a = 1 }", "["]),
    st.lists(TEXTS.map('"{}"'.format), max_size=3).map(lambda texts: f"[{', '.join(texts)}]"),
)
LINES = st.tuples(st.sampled_from(NAMES), VALUES).map(" = ".join)
TABLES = st.lists(LINES, max_size=3).map(lambda lines: "\n".join(["[tool.asyncreload]", *lines]))
TOML = TABLES.map(lambda text: text.encode("utf-8", "surrogatepass"))


@given(TOML | st.binary(max_size=50))
@settings(max_examples=100, deadline=None)
@example(b"a = " + b"[" * 5000)
@example(b"[tool.asyncreload]\nhost = 0x" + b"F" * 6000)
@example(b'[tool.asyncreload]\n"a\\nb\\u001b" = 1')
@example(b'[tool.asyncreload]\ntarget = "a\\nb.py"')
def test_any_pyproject_is_obeyed_or_refused_in_a_line(data: bytes) -> None:
    pyproject_is_obeyed_or_refused_in_a_line(data)


SECTIONS = ("[server:main]", "[app:main]", "[DEFAULT]", " more", "=", "\ufeff")
OPTIONS = ("host = *", "host", "port = %(port)s", "port = ٣", "port = 99999", "%(", "listen = :")
MORE = ("listen = [::1]:80 x", "use = config:b.ini", "use = config:\0", "config:%(here)s/../x")
LONG = "port = " + "1" * 5000
INI_LINES = st.lists(st.sampled_from([*SECTIONS, *OPTIONS, *MORE, LONG]), max_size=6)
INI = INI_LINES.map(lambda lines: "\n".join(lines).encode())


@given(INI | st.binary(max_size=50))
@settings(max_examples=100, deadline=None)
def test_any_ini_file_is_read_or_left_to_the_load(data: bytes) -> None:
    ini_file_is_read_or_left_to_the_load(data)


FILES = st.sampled_from([".env", ".flaskenv", "app.py", "manage.py", "wsgi.py"])
SAID = st.sampled_from([b"app = 1", b"FLASK_APP=a\n", b"FLASK_APP='a\nb'\n", b"\0", b"-" * 9000])


@given(st.dictionaries(FILES, SAID | st.binary(max_size=20), max_size=3))
@settings(max_examples=50, deadline=None)
@example({"app.py": b"x = " + b"a" + b".a" * 100_000})
@example({".env": b"FLASK_APP=\xe9", "app.py": b""})
def test_any_files_are_served_or_refused_in_a_line(files: dict[str, bytes]) -> None:
    is_served_or_refused_in_a_line(files)
