"""Whatever an app raises, and wherever: there is a report, and its page holds nothing of the app's.

That is, no element and no attribute that the page has not of itself.
"""

from __future__ import annotations

import linecache
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreload.child.pages.error_page import render, render_outline
from asyncreload.child.pages.error_report import Report
from asyncreload.child.pages.source_colours import colour
from asyncreload.editors import EDITORS

if TYPE_CHECKING:
    from collections.abc import Iterator

VOID = {"meta", "link", "br", "wbr"}
ELEMENTS = VOID | {
    *("html", "head", "title", "style", "body", "main", "header", "footer", "section", "script"),
    *("p", "b", "i", "u", "h1", "h2", "h3", "span", "code", "pre", "mark", "button", "a"),
    *("details", "summary", "div"),
}
ATTRIBUTES = {
    *("lang", "data-state", "data-events", "charset", "name", "content", "rel", "href", "class"),
    *("id", "hidden", "type", "open", "data-copy"),
}
MARKUP = "</pre></script><script>alert(1)</script>\" onload='x' <!-- & &lt; ]]> $place ${x} "
TEXTS = st.one_of(
    st.sampled_from(
        [MARKUP, "\0", "\ud800", "\x1b[2J", "a" * 700, "", "\n\n", "x: y: z", "\u2028"]
    ),
    st.sampled_from(
        ["SyntaxError", "'''", '"""', "\\", "# <b>", "\tif x:", "\x85\x9b", "\U0010ffff"]
    ),
    st.text(max_size=20),
)
LONGER = st.lists(TEXTS, max_size=4).map("".join)
FILES = (
    st.sampled_from(["/srv/app.py", "/srv/<b>.py", "<string>", "", "\0", "a\ud800.py", "."]) | TEXTS
)
NUMBERS = st.sampled_from([None, 0, 1, 2, -1, 10**9, 2**63]) | st.integers(-5, 30)
OBJECTS = st.one_of(
    TEXTS, NUMBERS, st.binary(max_size=5), st.just(object()), st.lists(TEXTS, max_size=2)
)


class Odd(Exception):  # noqa: N818  a name for the test
    """One whose parts are whatever a test makes them."""

    def __init__(self, told: object, **parts: object) -> None:
        self.told = told
        for name, value in parts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.told  # type: ignore[return-value]  # no text: that fails


def syntax_error(kind: Any, told: object, place: list[object]) -> BaseException:
    try:
        made: BaseException = kind(told, tuple(place))
    except TypeError as exc:
        return exc
    return made


def of_class(name: str, told: str) -> BaseException:
    made: type[Exception] = type(name.replace("\0", "") or "x", (ValueError,), {})
    return made(told)


SINGLE: st.SearchStrategy[BaseException] = st.one_of(
    st.builds(ValueError, OBJECTS),
    st.builds(KeyError, OBJECTS),
    st.builds(SystemExit, OBJECTS),
    st.builds(OSError, st.integers(-1, 40), TEXTS, FILES),
    st.builds(
        lambda *told: ImportError(told[0], name=told[1], path=told[2]), TEXTS, OBJECTS, OBJECTS
    ),
    st.builds(lambda *told: ModuleNotFoundError(told[0], name=told[1]), TEXTS, TEXTS),
    st.builds(lambda *told: NameError(told[0], name=told[1]), TEXTS, TEXTS),
    st.builds(
        syntax_error,
        st.sampled_from([SyntaxError, IndentationError, TabError]),
        OBJECTS,
        st.tuples(FILES, NUMBERS, NUMBERS, LONGER | st.none(), NUMBERS, NUMBERS).map(list),
    ),
    st.builds(of_class, TEXTS.filter(lambda text: text.isprintable()), TEXTS),
    st.builds(Odd, OBJECTS),
    st.builds(
        Odd,
        TEXTS,
        __notes__=OBJECTS | st.lists(OBJECTS, max_size=3),
        exceptions=OBJECTS,
        lineno=NUMBERS,
        filename=OBJECTS,
        name=OBJECTS,
        __suppress_context__=st.booleans(),
    ),
)


@contextmanager
def source(file: str, lines: list[str]) -> Iterator[None]:
    """Have a file hold these lines, as far as tracebacks know."""
    linecache.cache[file] = (len(lines), None, lines, file)
    try:
        yield
    finally:
        linecache.cache.pop(file, None)


def raised(exc: BaseException, file: str, function: str, line: int, lines: list[str]) -> Report:
    """The report of an exception that was raised in a function of that name, in such a file."""
    code = compile("\n" * line + "raise exc", file.replace("\0", "") or "x", "exec")
    with source(code.co_filename, lines):
        try:
            exec(code.replace(co_name=function), {"exc": exc})
        except BaseException as caught:  # noqa: BLE001  whatever it is
            return Report.from_exception(caught, "GET " + function, waits=False)
    raise AssertionError


def linked(exc: BaseException, other: BaseException, notes: list[str], how: str) -> BaseException:
    """An exception with a relative: its cause, its context, a member of its group."""
    for note in notes:
        exc.add_note(note) if isinstance(getattr(exc, "__notes__", []), list) else None
    if how == "cause":
        exc.__cause__ = other
    elif how == "context":
        exc.__context__ = other
    elif how == "circle":
        exc.__cause__, other.__context__ = other, exc
    elif isinstance(exc, Exception) and isinstance(other, Exception):
        return ExceptionGroup(str(notes), [exc, other, exc])
    return exc


EXCEPTIONS = st.recursive(
    SINGLE,
    lambda inner: st.builds(
        linked,
        inner,
        inner,
        st.lists(TEXTS, max_size=2),
        st.sampled_from(["cause", "context", "circle", "group"]),
    ),
    max_leaves=4,
)


class Checked(HTMLParser):
    """Refuses what the page has not of itself, and tags that are not closed in their turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.scripts = 0
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.inside
        assert self.scripts == 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS
        assert ATTRIBUTES.issuperset(name for name, _ in attrs)
        assert len({name for name, _ in attrs}) == len(attrs)
        self.scripts += tag == "script"
        if tag == "a":
            assert urlsplit(str(dict(attrs)["href"])).scheme == "vscode"
        if tag not in VOID:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_data(self, data: str) -> None:
        if self.inside[-1:] not in (["script"], ["style"]):
            self.text += data


@given(EXCEPTIONS, FILES, TEXTS, st.integers(0, 12), st.lists(LONGER, max_size=12))
@settings(max_examples=100, deadline=None)
def test_any_exception_has_a_report_and_a_harmless_page(
    exc: BaseException, file: str, function: str, line: int, lines: list[str]
) -> None:
    report = raised(exc, file, function, line, [f"{text}\n" for text in lines])
    page = render(report, events="/events", state="7-1", asks=True, editor=EDITORS["vscode"])
    page.encode()
    checked = Checked(page)
    title = report.title.removeprefix(report.title.partition(": ")[0]).removeprefix(": ")
    assert title in checked.text
    assert is_plain(report.text())
    assert is_plain(checked.text)
    Checked(render_outline(report, events="/events", state="7-1"))


def is_plain(text: str) -> bool:
    """Whether it has no character that steers a terminal, or that UTF-8 does not have."""
    return not any(
        (letter < " " and letter not in "\n\t") or "\x7f" <= letter < "\xa0" for letter in text
    )


@given(st.lists(LONGER, max_size=8), st.sampled_from(["", '"""', "'''"]))
def test_colours_take_nothing_away(lines: list[str], quote: str) -> None:
    lines = [line.replace("\n", "") for line in lines] or [""]
    coloured = colour(lines, quote)
    assert ["".join(text for _, text in parts) for parts in coloured] == lines
