"""The page is well formed and harmless whatever the report holds, and complete without script."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from asyncreload.child.pages.error_page import render
from asyncreload.child.pages.error_report import Related, Report
from asyncreload.child.pages.report_markup import UNFOLDED_FRAMES
from asyncreload.child.pages.stack_frames import Frame

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</pre></script><script>alert(1)</script>\" onload='x' & $place \ud800 \x00"
VOID = {"meta", "link", "br", "wbr"}


class Page(HTMLParser):
    """The elements of a page, its visible text, and whether each tag is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = attributes.items()
        return [has for name, has in self.elements if name == tag and wanted <= has.items()]


def page(report: Report, *, events: str = "/events", state: str = "7", asks: bool = False) -> Page:
    return Page(render(report, events=events, state=state, asks=asks))


def frame(line: int = 2, *, file: str = "/srv/app.py", in_project: bool = True) -> Frame:
    source = ((1, "import lib"), (2, "lib.call(x)"), (3, "done = True"))
    return Frame(file, line, "build", source, in_project=in_project)


def failed(*frames: Frame) -> Report:
    return Report(
        status=500,
        title="NameError: name 'x' is not defined",
        hint="the app called sys.exit(3)",
        place="/srv/app.py:2",
        frames=frames,
        trace="Traceback (most recent call last):\n  ...\nNameError: name 'x' is not defined\n",
    )


def test_the_page_tells_all_of_the_report_without_script() -> None:
    report = failed(frame())
    shown = page(report)

    for part in (report.title, report.hint, report.place, report.trace, "import lib", "build"):
        assert part in shown.text
    assert "The application failed to load." in shown.text
    assert "waiting for a change" in shown.text
    assert all("hidden" in button for button in shown.all("button"))


def test_the_error_comes_before_the_frames_and_the_trace_last() -> None:
    body = render(failed(frame()), events="", state="").split("<body>")[1]

    parts = ["<h1>", "lib.call(x)", "Traceback as plain text", "waiting for a change"]
    places = [body.index(part) for part in parts]
    assert places == sorted(places)


def test_only_the_line_of_the_error_is_marked() -> None:
    marks = re.findall(
        r"<mark>(.*?)</mark>", render(failed(frame()), events="", state=""), re.DOTALL
    )

    assert [re.sub("<.*?>", " ", mark).split() for mark in marks] == [["2", "lib.call(x)"]]


def test_the_caret_stands_under_the_column_of_a_syntax_error() -> None:
    unread = Frame("/srv/app.py", 1, "", ((1, "\tx = <"),), in_project=True, column=6)

    text = render(failed(unread), events="", state="")

    assert "<u>\tx = </u>^" in text
    assert "^" not in render(failed(frame()), events="", state="").split("<body>")[1]


def test_the_marks_of_python_stand_under_their_part_of_the_line() -> None:
    marked = frame().replaced(column=5, marks="~~~~^~~")

    assert "<u>lib.</u>~~~~^~~</b>" in render(failed(marked), events="", state="")


def test_source_has_its_colours_if_it_is_python() -> None:
    code = "    return 'a <b>' # \ud800"
    coloured = frame().replaced(source=((2, code),), quote='"' * 3)
    for file, quote, line in (
        (
            "a.py",
            "",
            '    <span class="k">return</span> <span class="t">&#x27;a &lt;b&gt;&#x27;</span>',
        ),
        ("a.py", '"' * 3, '<span class="t">    return &#x27;a &lt;b&gt;&#x27; # \\ud800</span>'),
        ("a.html", "", "    return &#x27;a &lt;b&gt;&#x27;"),
    ):
        report = failed(coloured.replaced(file=file, quote=quote))
        assert f"<mark><i>2</i><b>{line}" in render(report, events="", state="")
        assert code.replace("\ud800", "\\ud800") in page(report).text


def test_notes_and_the_commands_that_install_a_package_are_shown() -> None:
    cause = Related("Caused by", "KeyError: 'x'", notes=("of the cause",))
    report = failed().replaced(
        notes=("first <b>", "second"), install=("pip install x",), related=(cause,)
    )

    shown = page(report)

    assert shown.all("p", **{"class": "note"}) == [{"class": "note"}] * 3
    assert "first <b>" in shown.text
    assert shown.text.index("KeyError") < shown.text.index("of the cause")
    assert "pip install x" in shown.text
    assert [has["data-copy"] for has in shown.all("button")][1:] == ["pip install x"]


def test_frames_are_told_innermost_first_and_runs_of_library_calls_are_folded() -> None:
    inner, outer = frame(file="/srv/inner.py"), frame(file="/srv/outer.py")
    first, second = (frame(file=f"/lib/{n}.py", in_project=False) for n in ("first", "second"))

    shown = page(failed(outer, first, second, inner))

    section = shown.text[shown.text.index("Most recent call first") :]
    files = re.findall(r"/(?:srv|lib)/\w+\.py", section)
    assert files == ["/srv/inner.py", "/lib/second.py", "/lib/first.py", "/srv/outer.py"]
    assert "2 library calls" in shown.text
    assert [("open" in has) for has in shown.all("details")] == [True, *[False] * 3, True, False]


def test_a_deep_stack_is_unfolded_only_at_its_innermost_calls() -> None:
    deep = [frame() for _ in range(20)]
    deep[5] = Frame("/srv/app.py", 2, "build", deep[5].source, in_project=True, skipped=940)

    shown = page(failed(*deep))

    assert [("open" in has) for has in shown.all("details", **{"class": "call"})] == [
        *[True] * UNFOLDED_FRAMES,
        *[False] * (20 - UNFOLDED_FRAMES),
    ]
    assert "940 more calls" in shown.text


def test_a_recursion_is_one_call_with_a_count() -> None:
    assert "996 more times" in page(failed(frame().replaced(repeated=996))).text


def test_a_report_without_source_shows_its_trace_unfolded() -> None:
    trace = page(failed()).all("details", **{"class": "trace"})

    assert [("open" in has) for has in trace] == [True]


def test_a_crash_is_shown_without_empty_parts() -> None:
    shown = page(Report.crash("killed by SIGKILL", "while loading"))

    assert "503" in shown.text
    assert "killed by SIGKILL while loading" in shown.text
    assert not shown.all("details")
    assert not shown.all("section")


def test_a_place_can_be_copied_as_file_and_line() -> None:
    copied = {has["data-copy"] for has in page(failed(frame(line=3))).all("button")}

    assert copied == {"/srv/app.py:2", "/srv/app.py:3"}


def test_a_place_can_be_opened_in_the_editor() -> None:
    library = frame(file='/lib/a "b".py', in_project=False)
    frames = (library, frame(line=3), frame(file="relative.py"), frame(file="<string>"))
    text = render(failed(*frames), events="", state="", editor="ed://{path}?a&b={line}")

    links = [has["href"] for has in Page(text).all("a")]
    assert links == [
        "ed:///srv/app.py?a&b=2",
        "ed:///srv/app.py?a&b=3",
        "ed:///lib/a%20%22b%22.py?a&b=2",
    ]
    assert "?a&amp;b=2" in text
    assert not page(failed(*frames)).all("a")


def hostile() -> Report:
    frames = (
        Frame(HOSTILE, 1, HOSTILE, ((1, HOSTILE),), in_project=True, column=9, marks=HOSTILE),
        Frame(HOSTILE, 1, HOSTILE, ((1, HOSTILE),)),
        Frame(HOSTILE, 1, HOSTILE),
    )
    related = (Related(HOSTILE, HOSTILE, frames),)
    return Report(
        500,
        f"E: {HOSTILE}",
        HOSTILE,
        f"{HOSTILE}:1",
        frames,
        HOSTILE,
        related=related,
        request=f"POST {HOSTILE}",
    )


def test_nothing_in_a_report_becomes_markup() -> None:
    shown = page(hostile(), events=HOSTILE, state=HOSTILE)

    assert len(shown.all("script")) == 1
    assert not [has for _, has in shown.elements if "onload" in has]
    assert shown.text.count("<script>alert(1)</script>") >= 9
    assert "$place" in shown.text  # and is no placeholder either


def test_the_page_always_encodes() -> None:
    text = render(hostile(), events=HOSTILE, state=HOSTILE)

    assert rb"\ud800 \x00" in text.encode("utf-8")
    assert "\x00" not in text


def test_the_page_loads_nothing_from_elsewhere() -> None:
    text = render(failed(frame()), events="/events", state="7")

    assert not re.search(r"https?:|//\w+\.|@import|url\(|\bsrc=", text)
    assert [has["href"] for has in Page(text).all("link")] == ["data:,"]


def test_the_page_carries_its_state_and_where_to_hear_of_the_next() -> None:
    (root,) = page(failed(), events="/e?a=1&b=2", state='a"b').all("html")

    assert (root["data-state"], root["data-events"]) == ('a"b', "/e?a=1&b=2")


@pytest.mark.parametrize(
    "needed",
    ["new EventSource(events)", '"visibilitychange"', "location.replace(", "EventSource.CLOSED"],
)
def test_the_script_keeps_to_the_contract(needed: str) -> None:
    script = render(failed(), events="", state="").split("<script>")[1]

    assert needed in script


def test_the_page_knows_light_and_dark() -> None:
    text = render(failed(), events="", state="")

    assert "prefers-color-scheme: dark" in text
    assert "color-scheme: light dark" in text


def test_a_real_exception_makes_a_page(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("total = 1\ntotal / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile(app.read_text(), str(app), "exec"))

    shown = page(Report.from_exception(caught.value))

    assert f"{app}:2" in shown.text
    assert "ZeroDivisionError: division by zero" in shown.text


def test_a_failed_request_is_named_and_the_app_goes_on() -> None:
    shown = page(failed(frame()).replaced(request="GET /cart?page=2", waits=False))

    assert "GET /cart?page=2" in shown.text
    assert "The application failed to answer this request." in shown.text
    assert "goes on answering other requests" in shown.text
    assert "waiting for a change" not in shown.text
    assert not shown.all("p", id="ask")


def test_a_failed_load_says_after_which_change() -> None:
    report = failed(frame()).replaced(occasion="after app.py changed")

    assert [*page(report).all("p", **{"class": "request"})] == [{"class": "request"}]
    assert "after app.py changed" in page(report).text
    assert report.text().splitlines()[:3] == [report.title, report.place, report.occasion]


def test_paper_has_no_buttons() -> None:
    paper = render(failed(), events="", state="").split("@media print {")[1].split("</style>")[0]

    assert "button, .open, #live { display: none; }" in paper


def test_what_was_sent_is_sent_again_only_when_somebody_asks_for_it() -> None:
    asks = page(failed(frame()), asks=True).all("p", id="ask")

    assert len(asks) == 1
    assert "hidden" in asks[0]  # until the app was reloaded


def test_related_exceptions_are_open_and_in_order() -> None:
    cause = Related("Caused by", "KeyError: 'x'", (frame(file="/srv/cause.py"),))
    context = Related(
        "Raised while handling", "OSError", (frame(file="/lib/c.py", in_project=False),)
    )

    shown = page(failed(frame()).replaced(related=(cause, context)))

    parts = ("/srv/app.py", "Caused by", "KeyError: 'x'", "/srv/cause.py", "Raised while handling")
    places = [shown.text.index(part) for part in parts]
    assert places == sorted(places)
    # The calls of the project, the folded library and the call in it, the traceback.
    opened = ["open" in has for has in shown.all("details")]
    assert opened == [True, True, False, False, False]
