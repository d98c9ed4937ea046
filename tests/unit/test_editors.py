"""Which editors are known, what is taken as the URL of another, and the links that come of it."""

from __future__ import annotations

import logging
import re

import pytest

from asyncreload import editors
from asyncreload.editors import EDITORS, editor_url, link_to
from asyncreload.errors import SettingsError
from asyncreload.parent.supervisor import _with_editor
from asyncreload.settings import Settings


@pytest.mark.parametrize(
    ("editor", "url"),
    [
        ("vscode", "vscode://file/srv/app.py:7"),
        ("VSCode", "vscode://file/srv/app.py:7"),
        ("pycharm", "pycharm://open?file=/srv/app.py&line=7"),
        ("sublime", "subl://open?url=file:///srv/app.py&line=7"),
        ("cursor", "cursor://file/srv/app.py:7"),
        ("zed", "zed://file/srv/app.py:7"),
        ("x-mine:{path}?{line}", "x-mine:/srv/app.py?7"),
        ("http://localhost:63342/api/file{path}:{line}", "http://localhost:63342/api/file/srv/app.py:7"),
        ("ed://{path}", "ed:///srv/app.py"),
    ],
)  # fmt: skip
def test_an_editor_is_known_by_its_name_or_its_url(editor: str, url: str) -> None:
    assert link_to(editor_url(editor), "/srv/app.py", 7) == url
    assert Settings(target="app.py", editor=editor).editor == editor


def test_every_known_editor_has_a_url_that_would_be_taken() -> None:
    for template in EDITORS.values():
        assert editor_url(template) == template
        assert "{line}" in template


@pytest.mark.parametrize(
    "editor",
    [
        "vim",
        "{path}",
        "://{path}",
        "ed://x:{line}",
        "ed://{path}:{column}",
        "ed://{path}{",
        "ed://{{path}}",
        "ed://{path} x",
        "ed://{path}\n",
        'ed://{path}"é',
        " ed://{path}",
        "javascript:alert({line})//{path}",
        "JavaScript:{path}",
        "data:text/html,{path}",
        "file://{path}",
    ],
)
def test_what_opens_no_editor_is_refused_with_the_remedy(editor: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(target="app.py", editor=editor)
    told = str(caught.value)
    assert re.match(
        r"editor: .* is (neither cursor, .*, zed nor a URL|a URL for the browser)", told
    )
    assert "\n" not in told


@pytest.mark.parametrize("value", [None, 3, b"vscode", ["vscode"], "a\0b"])
def test_an_editor_is_a_text(value: object) -> None:
    with pytest.raises(SettingsError, match=r"^editor must be text"):
        Settings(target="app.py", editor=value)  # type: ignore[arg-type]


def test_a_path_keeps_to_its_place_in_the_url() -> None:
    path = '/srv/ä b/{line}"&#?%.py'
    url = link_to("ed://open?file={path}&line={line}", path, 7)
    assert url == "ed://open?file=/srv/%C3%A4%20b/%7Bline%7D%22%26%23%3F%25.py&line=7"
    link_to("ed:{path}", "/\ud800", "x&y")  # and nothing is raised


# --- the environment ---------------------------------------------------------------------------


def test_the_environment_names_an_editor_where_no_option_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDITOR_URL", "zed")
    assert _with_editor(Settings(target="app.py")).editor == "zed"
    assert _with_editor(Settings(target="app.py", editor="vscode")).editor == "vscode"
    monkeypatch.setenv(editors.VARIABLE, "")
    assert _with_editor(Settings(target="app.py")).editor == ""


def test_a_url_of_the_environment_that_is_meant_for_others_costs_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EDITOR_URL", "txmt://open?url=file://%{file}")
    with caplog.at_level(logging.WARNING, "asyncreload"):
        assert _with_editor(Settings(target="app.py")).editor == ""
    (line,) = caplog.messages
    assert line.startswith("EDITOR_URL in the environment is not used: 'txmt://open?url=file://%{")
