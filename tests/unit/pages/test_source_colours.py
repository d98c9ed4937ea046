"""What is a keyword, a text, a number or a comment in an excerpt of Python source."""

from __future__ import annotations

import io
import keyword
import tokenize
import tracemalloc
from pathlib import Path

import pytest

from asyncreload.child.pages import source_colours
from asyncreload.child.pages.source_colours import colour, is_python, quote_before

TOKENS = {tokenize.STRING: "text", tokenize.NUMBER: "number", tokenize.COMMENT: "comment"}


def told(source: str, quote: str = "") -> list[tuple[str, str]]:
    """The parts that have a colour, without those of no letter."""
    lines = colour(source.split("\n"), quote)
    assert ["".join(text for _, text in line) for line in lines] == source.split("\n")
    return [(kind, text) for line in lines for kind, text in line if kind and text.strip()]


def test_each_kind_is_found() -> None:
    assert told("def total(a=0x1F, *, b='x'):  # why") == [
        ("keyword", "def "),
        ("definition", "total"),
        ("number", "0x1F"),
        ("text", "'x'"),
        ("comment", "# why"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("''", '""', "'a\"b'", r"'a\'b'", r"r'\'", "rb'x'", "F'{x}'", "t'x'", "'# no'", "''''''"),
        r"'\\'",
    ],
)
def test_a_text_ends_where_it_ends(text: str) -> None:
    if text != r"r'\'":  # Python says that this goes on, too
        assert told(f"x = {text} if y") == [("text", text), ("keyword", "if")]


@pytest.mark.parametrize("code", ["iffy", "x_if", "é", "x1", "a.b"])
def test_a_name_is_nothing_else(code: str) -> None:
    assert told(code) == []


@pytest.mark.parametrize("code", ["0", "1_000", "1.5e-3", ".5", "2j", "0b10", "0o17"])
def test_numbers(code: str) -> None:
    assert told(f"x[{code}]") == [("number", code)]


def test_a_text_over_several_lines_is_one_on_each() -> None:
    source = 'x = """one\n  if two\n""" if 3'
    parts = [("text", '"""one'), ("text", "  if two"), ("text", '"""')]
    assert told(source) == [*parts, ("keyword", "if"), ("number", "3")]


def test_an_excerpt_may_begin_in_a_text() -> None:
    assert told('if one\n""" if 2', '"""') == [
        *(("text", text) for text in ("if one", '"""')),
        ("keyword", "if"),
        ("number", "2"),
    ]


@pytest.mark.parametrize(
    ("before", "quote"),
    [
        ('def f():\n    """Say\n    """\n', ""),
        ('def f():\n    """Say\n', '"""'),
        ("x = '''\n", "'''"),
        ("x = '''\n\"\"\"\n", "'''"),
        ('x = "a" # """\n', ""),
        ('"""Of a module,\nfor all\n', '"""'),
        (r'x = """\"""' + "\n", '"""'),
        ('"""', '"""'),
        ("", ""),
    ],
)
def test_what_stands_before_tells_whether_it_does(before: str, quote: str) -> None:
    lines = [*before.splitlines(keepends=True), "next\n"]
    assert quote_before(lines, len(lines) - 1) == quote


def test_no_more_is_read_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ['x = """\n', "def f():\n", "    1\n", "    2\n"]
    assert quote_before(lines, 3) == ""
    monkeypatch.setattr(source_colours, "_FURTHEST", 2)
    assert quote_before(['x = """\n', "1\n", "2\n", "3\n"], 3) == ""
    assert quote_before(['x = """\n', "1\n", "2\n", "3\n"], 2) == '"""'


@pytest.mark.parametrize("mark", ['"', '"""'])
def test_a_text_of_megabytes_takes_no_memory(mark: str) -> None:
    lines = [f"x = {mark}{'y' * 1_000_000}{mark}\n", "z\n"]
    tracemalloc.start()
    try:
        assert quote_before(lines, 1) == ""
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10_000_000


def test_a_text_that_ends_behind_a_backslash_is_one() -> None:
    assert told('x = """one \\') == [("text", '"""one ')]


def test_code_that_is_broken_has_colours_too() -> None:
    assert told("if x = 'open\nreturn (") == [
        ("keyword", "if"),
        ("text", "'open"),
        ("keyword", "return"),
    ]


def test_it_agrees_with_python_on_code_of_its_own() -> None:
    for path in (source_colours.__file__, pytest.__file__, tokenize.__file__):
        source = Path(path).read_text(encoding="utf-8")
        expected = []
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            kind = TOKENS.get(token.type, "")
            if token.type == tokenize.NAME and keyword.iskeyword(token.string):
                kind = "keyword"
            lines = token.string.split("\n") if kind else []
            expected += [(kind, line.strip()) for line in lines if line.strip()]
        found = [(kind, text.strip()) for kind, text in told(source) if kind != "definition"]
        if not any(text.startswith(("f'", 'f"')) for _, text in found):  # tokens since Python 3.12
            assert found == expected


@pytest.mark.parametrize(("file", "answer"), [("a.py", True), ("a.html", False), ("<x>", False)])
def test_only_python_is_python(file: str, *, answer: bool) -> None:
    assert is_python(file) is answer
