"""What a report says, and that no exception, however hostile, keeps it from saying so."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import traceback
from functools import partial
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.imports.refused_project import RefusedError
from asyncreload.child.pages import error_report as module
from asyncreload.child.pages import stack_frames
from asyncreload.child.pages.error_report import Report, public_text
from asyncreload.child.pages.stack_frames import Frame
from asyncreload.errors import InterfaceError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def raised(call: Callable[[], object]) -> BaseException:
    """What `call` raises, without the frame of this function."""
    try:
        call()
    except BaseException as exc:  # noqa: BLE001 - whatever it is, it is what the test is about
        tb = exc.__traceback__
        return exc.with_traceback(tb.tb_next if tb else None)
    pytest.fail("nothing was raised")


def load(path: Path, source: str) -> BaseException:
    """What a file of this `source` raises when it is loaded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return run(source, str(path))


def run(source: str, name: str = "<string>") -> BaseException:
    """What `source` raises when it runs as a file of that name, without a frame of this file."""
    code = compile(source, name.replace("\0", ""), "exec")
    exc = raised(lambda: exec(code.replace(co_filename=name), {"__name__": "app"}))
    tb = exc.__traceback__
    return exc.with_traceback(tb.tb_next if tb else None)


def functions(report: Report) -> list[str]:
    return [frame.function for frame in report.frames]


RED, PLAIN = "\x1b[31;1m", "\x1b[0m"


def test_what_a_framework_says_is_told_without_its_colours() -> None:
    refused = Report.from_exception(RefusedError(f"{RED}E: found{PLAIN}\n{RED}shop{PLAIN}: (E1)\n"))
    assert (refused.title, refused.trace) == ("E: found", "shop: (E1)")


def test_a_failed_load_names_the_error_the_place_and_the_lines_around_it(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    source = "\n".join([*(f"a{n} = {n}" for n in range(1, 10)), "x", "a11 = 11", "a12 = 12"])

    report = Report.from_exception(load(app, source))

    assert report.status == 500
    assert report.title == "NameError: name 'x' is not defined"
    assert report.hint == ""
    assert report.place == f"{app}:10"
    assert report.mending == (str(app),)
    lines = [*((n, f"a{n} = {n}") for n in range(6, 10)), (10, "x")]
    source_lines = (*lines, (11, "a11 = 11"), (12, "a12 = 12"))
    assert report.frames == (Frame(str(app), 10, "<module>", source_lines, in_project=True),)
    assert report.text() == (
        "NameError: name 'x' is not defined\n"
        f"{app}:10\n\n"
        "Traceback (most recent call last):\n"
        f'  File "{app}", line 10, in <module>\n'
        "    x\n"
        "NameError: name 'x' is not defined\n\n"
        "asyncreload: waiting for a change.\n"
    )


def test_what_the_title_tells_is_not_told_again() -> None:
    report = Report.from_exception(FileNotFoundError(2, "No such file", "app.py"))
    assert (report.trace, report.own) == ("", "")
    assert report.text().count("No such file") == 1
    assert "second line" in Report.from_exception(ValueError("first\nsecond line")).trace


def test_source_that_was_saved_again_is_read_again(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    Report.from_exception(load(app, "x"))

    report = Report.from_exception(load(app, "y  # another length"))

    assert report.frames[0].source == ((1, "y  # another length"),)


def test_a_syntax_error_is_placed_at_its_line_and_column(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("ok = 1\nlabel = (1 +\n")
    app = tmp_path / "app.py"
    source = "import pathlib\n\ndef load(file):\n    compile(file.read_text(), file, 'exec')\n"

    report = Report.from_exception(load(app, f"{source}load(pathlib.Path({str(broken)!r}))"))

    assert report.title == "SyntaxError: '(' was never closed"
    assert report.place == f"{broken}:2"
    last = report.frames[-1]
    assert (last.file, last.line, last.column, last.function) == (str(broken), 2, 9, "")
    assert last.source == ((1, "ok = 1"), (2, "label = (1 +"))
    assert last.in_project
    assert set(report.mending) == {str(app), str(broken)}


def test_a_syntax_error_in_a_string_is_placed_at_who_ran_it(tmp_path: Path) -> None:
    app = tmp_path / "app.py"

    report = Report.from_exception(load(app, "a = 1\neval('1 +')\n"))

    assert report.place == f"{app}:2"
    assert report.frames[-1].source == ((1, "1 +"),)


def test_a_syntax_error_without_a_place_has_no_frame() -> None:
    report = Report.from_exception(SyntaxError("said by a parser of XML"))

    assert (report.title, report.frames) == ("SyntaxError: said by a parser of XML", ())


def test_the_place_is_the_innermost_frame_of_the_users(tmp_path: Path) -> None:
    library = tmp_path / "site-packages" / "lib.py"
    library.parent.mkdir()
    library.write_text("def call(f):\n    return f['key']\n")
    app = tmp_path / "app.py"
    source = (
        "import sys, importlib.util as util\n"
        f"spec = util.spec_from_file_location('lib', {str(library)!r})\n"
        "lib = util.module_from_spec(spec); spec.loader.exec_module(lib)\n"
        "lib.call({})\n"
    )

    report = Report.from_exception(load(app, source))

    assert report.place == f"{app}:4"
    assert [(frame.function, frame.in_project) for frame in report.frames] == [
        ("<module>", True),
        ("call", False),
    ]


def test_the_terminal_gets_the_users_own_calls_and_the_one_that_raised(tmp_path: Path) -> None:
    library = tmp_path / "site-packages" / "lib.py"
    library.parent.mkdir()
    library.write_text(
        "def outer(f):\n    middle(f)\ndef middle(f):\n    f(inner)\n"
        "def inner():\n    within()\ndef within():\n    return {}['key']\n"
    )
    app = tmp_path / "app.py"
    source = (
        "import importlib.util as util\n"
        f"spec = util.spec_from_file_location('lib', {str(library)!r})\n"
        "lib = util.module_from_spec(spec); spec.loader.exec_module(lib)\n"
        "def back(f):\n    f()\n"
        "lib.outer(back)\n"
    )

    report = Report.from_exception(load(app, source))

    told = re.findall(r"in (\w+|<module>)$|(\.\.\. .* \.\.\.)$", report.own, re.MULTILINE)
    assert ["".join(each) for each in told] == [
        "<module>",
        "... 2 calls in libraries ...",
        "back",
        "... 1 call in libraries ...",
        "within",
    ]
    assert report.own.endswith("\nKeyError: 'key'\n")
    assert len(re.findall("File ", report.trace)) == 6
    assert "libraries" not in report.trace


@pytest.mark.parametrize(
    ("file", "in_project"),
    [
        ("/srv/app/views.py", True),
        ("views.py", True),
        ("/srv/app/.venv/lib/python3.11/site-packages/flask/app.py", False),
        ("/usr/lib/python3/dist-packages/flask/app.py", False),
        (os.__file__, False),
        (module.__file__, False),
        ("<string>", False),
        ("<frozen os>", False),
        ("uvloop/loop.pyx", False),
    ],
)
def test_a_project_file_is_neither_installed_nor_pythons_nor_ours(
    file: str, *, in_project: bool
) -> None:
    assert stack_frames.is_project_file(file) is in_project


def test_a_frame_of_ours_or_of_the_import_system_is_trimmed_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outer_mod.py").write_text("import importlib\nimportlib.import_module('inner_mod')")
    (tmp_path / "inner_mod.py").write_text("try:\n    1 / 0\nexcept Exception as e:\n    e.x\n")
    monkeypatch.syspath_prepend(tmp_path)
    ours = str(stack_frames._PACKAGE / "child" / "target.py")
    source = "import importlib\nimportlib.import_module('outer_mod')"

    report = Report.from_exception(run(source, ours))

    assert functions(report) == ["<module>", "<module>"]
    assert re.findall(r'File "(.*)"', report.trace) == [
        str(tmp_path / "inner_mod.py"),  # the ZeroDivisionError
        str(tmp_path / "outer_mod.py"),
        str(tmp_path / "inner_mod.py"),
    ]
    assert "During handling of the above exception" in report.trace


def test_no_stack_is_shown_where_all_of_it_is_trimmed() -> None:
    exc = raised(lambda: importlib.import_module("there_is_no_such_module"))
    tb = exc.__traceback__
    report = Report.from_exception(exc.with_traceback(tb.tb_next if tb else None))

    assert report.frames == ()
    assert report.place == ""
    assert report.trace == ""
    assert report.hint == "if it is a package from elsewhere, one of these installs it:"


def test_a_wrapper_without_a_frame_of_the_users_gives_way_to_what_it_wraps(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    wrapper = RuntimeError("cannot configure")
    wrapper.__cause__ = load(app, "x")

    report = Report.from_exception(wrapper)

    assert report.title == "RuntimeError: cannot configure"
    assert report.place == f"{app}:1"


@pytest.mark.parametrize(("name", "is_marked"), [("page.html", False), ("app.wsgi", True)])
def test_a_template_has_no_marks(tmp_path: Path, name: str, *, is_marked: bool) -> None:
    """The columns would be those of the code that was made of it."""
    file = tmp_path / name
    file.write_text("<p>{{ x.y }}</p> and more of it\n")
    with pytest.raises(AttributeError) as caught:
        exec(compile("z = x.y + 1\n", str(file), "exec"), {"x": 1})
    report = Report.from_exception(caught.value)
    assert report.place == f"{file}:1"
    assert (report.frames[-1].column > 0) is is_marked
    assert ("more of it\n        ^^^\n" in report.trace) is is_marked


@pytest.mark.parametrize(
    ("source", "column", "marks"),
    [
        ("first = {}['key']", 9, "~~^^^^^^^"),
        ("a = b = 0; c = 1 + a / b", 20, "~~^~~"),
        ("def f():\n\treturn 0\nx = (f(), 1 / 0, '\u20ac')", 11, "~~^~~"),
        ("x = '\u20ac\u20ac' + 1", 5, "~~~~~^~~"),
        ("undefined", 0, "^"),  # all of the line
        ("x = 1 + int(\n    'a')", 9, ""),  # Python 3.13 marks every line
    ],
)
def test_marks_stand_where_python_sets_them(
    tmp_path: Path, source: str, column: int, marks: str
) -> None:
    report = Report.from_exception(load(tmp_path / "app.py", source))

    frame = report.frames[0]
    assert (frame.column, marks and frame.marks) == (column, marks)
    if column and "\u20ac" not in source and "\n" not in source:
        assert f"\n    {source}\n    {' ' * (column - 1)}{marks}\n" in report.trace


def test_a_line_that_is_shown_without_its_middle_is_not_marked(tmp_path: Path) -> None:
    source = f"x = 1 + {'1 + ' * stack_frames.MAX_LINE}{{}}"

    frame = Report.from_exception(load(tmp_path / "app.py", source)).frames[0]

    assert "[...]" in frame.source[0][1]
    assert frame.column == 0


def test_a_syntax_error_is_marked_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("ok = 1\nfor name names:\n    pass\n")
    source = f"import pathlib\nbroken = {str(broken)!r}\n"

    report = Report.from_exception(
        load(
            tmp_path / "app.py",
            f"{source}compile(pathlib.Path(broken).read_text(), broken, 'exec')",
        )
    )

    frame = report.frames[-1]
    assert (frame.line, frame.column, frame.marks) == (2, 10, "^^^^^")


def test_source_that_has_shrunk_since_is_not_marked(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("x = 1\n")

    frame = Report.from_exception(run("longer = [1][1] + 1\n", str(app))).frames[0]

    assert frame.source == ((1, "x = 1"),)
    assert frame.marks == "^"


@pytest.mark.parametrize(
    ("code", "shown"), [("3", "3"), ("'bye'", "'bye'"), ("", ""), ("None", ""), ("0", "0")]
)
def test_an_exit_while_loading_is_told_as_such(tmp_path: Path, code: str, shown: str) -> None:
    report = Report.from_exception(load(tmp_path / "app.py", f"import sys; sys.exit({code})"))

    assert report.hint == f"the app called sys.exit({shown}) while it was being loaded"


def test_an_error_of_the_target_is_only_its_message() -> None:
    def refuse() -> None:
        raise TargetError("app.py has no WSGI callable: name one, as in app.py:name")

    report = Report.from_exception(raised(refuse))

    title = "app.py has no WSGI callable: name one, as in app.py:name"
    assert report == Report(500, title)
    assert report.text() == f"{title}\n\nasyncreload: waiting for a change.\n"


def test_an_error_of_ours_in_a_request_is_not_waited_with() -> None:
    report = Report.from_exception(InterfaceError("it is an ASGI app"), "GET /", waits=False)

    assert report == Report(500, "it is an ASGI app", request="GET /", waits=False)
    assert report.text() == "it is an ASGI app\nin GET /\n"


def test_an_error_of_the_target_with_a_cause_is_reported_as_the_cause(tmp_path: Path) -> None:
    cause = load(tmp_path / "app.py", "x")
    wrapper = TargetError("app.py cannot be loaded")
    wrapper.__cause__ = cause

    assert Report.from_exception(wrapper) == Report.from_exception(cause)


def test_what_mends_includes_the_files_of_the_whole_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = load(tmp_path / "first.py", "open('settings.toml')")
    second = load(tmp_path / "second.py", "import os; os.rename('/nowhere/a', '/nowhere/b')")
    second.__context__ = first
    third = ImportError("cannot import name 'x'", path=str(tmp_path / "third.py"))
    group = BaseExceptionGroup("several", [second, third, OSError(5, "I/O", 7)])

    mending = Report.from_exception(group).mending

    names = ("settings.toml", "first.py", "second.py", "third.py")
    assert set(mending) == {str(tmp_path / n) for n in names} | {"/nowhere/a", "/nowhere/b"}


def test_mending_holds_only_paths_that_can_be_checked() -> None:
    for name in ("<string>", "a\0b", "\ud800", "", 3, None):
        assert Report.from_exception(OSError(2, "gone", name)).mending == ()
    assert Report.from_exception(OSError(2, "gone", b"/\xff")).mending == ("/\udcff",)


def test_notes_and_groups_stay_in_the_trace(tmp_path: Path) -> None:
    inner = load(tmp_path / "app.py", "x")
    inner.add_note("look at the docs")

    trace = Report.from_exception(BaseExceptionGroup("two things", [inner])).trace

    assert "BaseExceptionGroup" not in trace  # a group of Exceptions is an ExceptionGroup
    assert "ExceptionGroup: two things (1 sub-exception)" in trace
    assert "NameError: name 'x' is not defined" in trace
    assert "look at the docs" in trace


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first

    assert Report.from_exception(first).title == "ValueError: first"


def test_an_endless_recursion_is_cut_in_the_middle(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    source = (
        "def ping(n):\n    pong(n)\ndef pong(n):\n    if n == 0: x\n    ping(n - 1)\nping(300)\n"
    )

    report = Report.from_exception(load(app, source))

    assert len(report.frames) == stack_frames.FIRST_FRAMES + stack_frames.LAST_FRAMES
    total = 1 + 301 * 2  # the module, and a ping and a pong for each n
    assert [f.skipped for f in report.frames if f.skipped] == [total - len(report.frames)]
    assert report.frames[stack_frames.FIRST_FRAMES].skipped == total - len(report.frames)
    assert report.place == f"{app}:4"
    assert report.trace.count("  File ") == len(report.frames)
    assert f"  ... {total - len(report.frames)} more calls ...\n" in report.trace


def test_a_recursion_error_is_reported(tmp_path: Path) -> None:
    report = Report.from_exception(load(tmp_path / "app.py", "def f():\n    f()\nf()\n"))

    assert report.title.startswith("RecursionError: maximum recursion depth exceeded")
    assert len(report.trace) < 3000
    assert [(frame.line, frame.repeated > 900) for frame in report.frames] == [
        (3, False),
        (2, True),
    ]
    told = re.findall(
        r"File .* line (\d)|\[Previous line repeated (\d{3}) more times]", report.trace
    )
    repeated = str(report.frames[1].repeated - 2)
    assert told == [("3", ""), *[("2", "")] * 3, ("", repeated)]
    assert report.own == report.trace


def test_what_is_left_out_of_a_recursion_is_counted_in_calls(tmp_path: Path) -> None:
    source = (
        "def ping(n, k):\n"
        "    return 1 / n and (ping(n, k - 1) if k else pong(n))\n"
        "def pong(n):\n    return ping(n - 1, 1)\nping(100, 1)\n"
    )

    frames = Report.from_exception(load(tmp_path / "app.py", source)).frames

    assert {frame.function: frame.repeated for frame in frames[1:-1]} == {"ping": 1, "pong": 0}
    shown = sum(1 + frame.repeated for frame in frames)
    total = 1 + 100 * 3 + 1  # the module, twice ping and a pong for each n, and ping for 0
    assert sum(frame.skipped for frame in frames) == total - shown


def test_a_recursion_is_told_in_the_words_of_python(tmp_path: Path) -> None:
    source = "def f(n):\n    if n == 0: x\n    f(n - 1)\nf({})\n"

    for depth in (2, 3, 4, 5):
        exc = load(tmp_path / "app.py", source.format(depth))
        assert Report.from_exception(exc).trace == "".join(traceback.format_exception(exc))


def test_notes_belong_to_the_exception_that_has_them(tmp_path: Path) -> None:
    inner = load(tmp_path / "app.py", "x")
    inner.add_note("look at\nthe docs")
    group = BaseExceptionGroup("two things", [inner, ValueError("y")])
    group.add_note("\x1b[31m")

    report = Report.from_exception(group)

    assert report.notes == (r"\x1b[31m",)
    assert [one.notes for one in report.related] == [("look at\nthe docs",), ()]


@pytest.mark.parametrize("notes", [None, 3, "text", [3, None]])
def test_notes_that_are_none_are_left_out(notes: object) -> None:
    exc = ValueError("x")
    exc.__notes__ = notes  # type: ignore[assignment]

    report = Report.from_exception(exc)

    assert (report.title, report.notes) == ("ValueError: x", ())


class Mute(Exception):  # noqa: N818 - a name for the test
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Evasive(Exception):  # noqa: N818 - as above
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("not your business")


class Leaving(Exception):  # noqa: N818 - as above
    def __getattr__(self, name: str) -> Any:
        raise SystemExit(name)


def test_an_exception_whose_attributes_leave_is_reported() -> None:
    hint = "the exception cannot be shown, looking at it raised SystemExit"
    assert Report.from_exception(Leaving()).hint == hint


def test_a_message_of_megabytes_is_cut_before_it_is_made_plain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That would take a second for each of them."""
    lengths = []

    def plain(text: str) -> str:
        lengths.append(len(text))
        return text

    monkeypatch.setattr(stack_frames, "plain", plain)
    report = Report.from_exception(ValueError("\xe9" * 3_000_000))
    assert max(lengths) < 500_000
    assert len(report.title) < 600
    assert report.title.endswith("\xe9")


def test_a_syntax_error_that_ends_nowhere_is_marked_within_reason() -> None:
    report = Report.from_exception(SyntaxError("x", ("a.py", 1, 2, "abc", 1, 10**9)))
    (frame,) = report.frames
    assert (frame.column, len(frame.marks)) == (2, stack_frames.MAX_LINE)
    assert len(report.trace) < 2 * stack_frames.MAX_LINE


def test_an_exception_that_cannot_be_printed_is_reported() -> None:
    assert Report.from_exception(Mute()).title.endswith("Mute: <exception str() failed>")


def test_an_exception_whose_attributes_raise_is_reported() -> None:
    report = Report.from_exception(Evasive())

    hint = "the exception cannot be shown, looking at it raised RuntimeError"
    assert report == Report(500, "Evasive", hint)


@pytest.mark.parametrize("name", ["\ud800.py", "/\udcff.py", "a\0b.py", "x" * 5000, "\x1b[2J.py"])
def test_a_hostile_file_name_is_shown_in_harmless_characters(name: str) -> None:
    report = Report.from_exception(run("raise ValueError('\\ud800 \\x1b[31m')", name))

    assert report.title == r"ValueError: \ud800 \x1b[31m"
    assert report.place.endswith(":1")
    assert functions(report) == ["<module>"]
    assert "Traceback" in report.trace
    for text in (report.text(), report.place, report.frames[0].file):
        text.encode()
        assert not re.search(r"[\x00\x1b]", text)


def test_a_message_of_many_lines_becomes_one_and_a_long_one_short() -> None:
    assert Report.from_exception(ValueError("a\n\n b\tc")).title == "ValueError: a b c"
    title = Report.from_exception(ValueError("y" * 10**6)).title
    assert len(title) < 520


@pytest.mark.parametrize("content", [None, b"# caf\xe9\n"])
def test_source_that_is_missing_or_not_utf8_is_left_out(
    tmp_path: Path, content: bytes | None
) -> None:
    app = tmp_path / "app.py"
    if content is not None:
        app.write_bytes(content)

    report = Report.from_exception(run("x", str(app)))

    assert report.frames == (Frame(str(app), 1, "<module>", (), in_project=True),)


def test_a_loader_that_fails_to_give_the_source_costs_only_the_source() -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError(name)

    loader: Any = Loader()
    scope = {"__name__": "app", "__loader__": loader, "__spec__": ModuleSpec("app", loader)}
    exc = raised(lambda: exec(compile("x", "/archive.zip/hostile.py", "exec"), scope))

    report = Report.from_exception(exc)

    assert report.title == "NameError: name 'x' is not defined"
    assert report.place == "/archive.zip/hostile.py:1"


def test_a_crash_says_how_when_and_what_helps() -> None:
    report = Report.crash("killed by SIGSEGV", "while serving")

    hint = "the next save starts the app again"
    assert report == Report(503, "killed by SIGSEGV while serving", hint)
    assert report.text() == (
        "killed by SIGSEGV while serving\n"
        "the next save starts the app again\n\n"
        "asyncreload: waiting for a change.\n"
    )


def test_a_stranger_learns_no_detail(tmp_path: Path) -> None:
    failed = Report.from_exception(load(tmp_path / "app.py", "x"))

    assert public_text(failed) == "The application failed to load."
    assert public_text(Report.crash("exit code 7", "while loading")) == "The application crashed."


# --- a request ------------------------------------------------------------------------------------


def test_a_failed_request_is_told_with_its_method_and_path(tmp_path: Path) -> None:
    report = Report.from_exception(
        load(tmp_path / "app.py", "x"), "POST /cart?page=2\n", waits=False
    )

    assert report.request == "POST /cart?page=2"
    assert report.text().splitlines()[2] == "in POST /cart?page=2"
    assert "waiting for a change" not in report.text()
    assert public_text(report) == "The application failed to answer this request."


def test_an_exit_in_a_request_is_told_as_such() -> None:
    hint = Report.from_exception(SystemExit(3), "GET /").hint
    assert hint == "the app called sys.exit(3) in a request"


def test_the_server_that_called_the_app_is_trimmed_and_what_the_app_calls_is_not() -> None:
    source = "def app(start):\n    start()\n"
    handlers = "def run(app):\n    app(start)\ndef start():\n    raise AssertionError\n"
    space: dict[str, Any] = {}
    exec(compile(source, "/srv/app.py", "exec"), space)
    exec(compile(handlers, stack_frames._SERVER_FILE, "exec"), space)

    report = Report.from_exception(raised(partial(space["run"], space["app"])), "GET /")

    assert functions(report) == ["app", "start"]


# --- related exceptions --------------------------------------------------------------------------


def test_causes_contexts_and_group_members_are_shown_in_their_order(tmp_path: Path) -> None:
    source = """\
def fail(message):
    raise ValueError(message)
def caught(message):
    try:
        fail(message)
    except ValueError as exc:
        return exc
try:
    try:
        fail("first")
    except ValueError:
        fail("second")
except ValueError as exc:
    raise ExceptionGroup("both", [caught("one"), caught("two")]) from exc
"""

    report = Report.from_exception(load(tmp_path / "app.py", source))

    assert report.title == "ExceptionGroup: both (2 sub-exceptions)"
    assert [(one.relation, one.title) for one in report.related] == [
        ("1 of 2 in the group", "ValueError: one"),
        ("2 of 2 in the group", "ValueError: two"),
        ("Caused by", "ValueError: second"),
        ("Raised while handling", "ValueError: first"),
    ]
    assert [frame.function for frame in report.related[0].frames] == ["caught", "fail"]


def test_a_suppressed_context_is_not_shown(tmp_path: Path) -> None:
    source = "try:\n    x\nexcept NameError:\n    raise ValueError from None\n"

    assert Report.from_exception(load(tmp_path / "app.py", source)).related == ()


def test_of_a_long_chain_the_latest_are_shown(tmp_path: Path) -> None:
    source = """\
def fail(depth):
    try:
        depth and fail(depth - 1)
    finally:
        raise ValueError(depth)
fail(100)
"""

    related = Report.from_exception(load(tmp_path / "app.py", source)).related

    assert [one.title for one in related[:2]] == ["ValueError: 99", "ValueError: 98"]
    assert len(related) == module.MAX_RELATED + 1
    assert related[-1].title == f"{100 - module.MAX_RELATED} more, see the traceback"


def test_a_module_of_the_projects_that_has_gone_is_not_to_be_installed(tmp_path: Path) -> None:
    missing = ModuleNotFoundError("No module named 'prices'", name="prices")
    report = Report.from_exception(missing)
    assert report.install
    for gone in ("prices.py", "prices/__init__.py"):
        after = report.after([str(tmp_path / "other.py"), str(tmp_path / gone)])
        assert after.install == ()
        assert after.hint.startswith(f"{tmp_path / gone} has disappeared: restore it")
    listed = report.replaced(hint="INSTALLED_APPS names it; if it is a package")
    hint = listed.after([str(tmp_path / "prices.py")]).hint
    assert hint.endswith("restore it, or name what is in its place in INSTALLED_APPS")
    (tmp_path / "prices.py").touch()
    assert report.after([str(tmp_path / "prices.py")]) == report


def test_the_place_is_not_where_a_command_of_django_was_started(tmp_path: Path) -> None:
    """Nor is it in Django: whatever the settings name is looked up there."""
    manage = tmp_path / "manage.py"
    source = "import json\njson.loads('no settings')\n"
    assert Report.from_exception(load(manage, source)).place == ""
    assert Report.from_exception(load(manage, "1 / 0\n")).place == f"{manage}:1"
