"""What stands in a page is text, whatever a message holds."""

from __future__ import annotations

from html import escape

from asyncreload.child.pages.report_markup import text


def test_text_is_escaped_as_the_standard_library_does_it() -> None:
    raw = """<a href='x' title="&amp;">&</a>"""
    assert text(raw) == escape(raw)
