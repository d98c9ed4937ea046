"""What a load is told to be."""

from __future__ import annotations

from typing import Any

import pytest

from asyncreload.child.lifecycle.load import Load
from asyncreload.child.watch.file_state import ABSENT, FileState
from asyncreload.protocol import Go
from asyncreload.settings import Settings


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ([], ""),
        (["/srv/app.py"], "after app.py changed"),
        (["/srv/a.py", "/srv/b\x1b.py", "/c.py"], r"after a.py, b\x1b.py, c.py changed"),
        ([f"/{name}.py" for name in "abcde"], "after a.py, b.py, c.py, 2 more changed"),
    ],
)
def test_a_load_says_after_which_change_it_was_begun(changed: list[str], told: str) -> None:
    there, gone = FileState((1, 1, 1, 1)).to_json(), FileState(None, digest=ABSENT).to_json()
    assert occasion(dict.fromkeys(changed, there)) == told
    assert occasion(dict.fromkeys(changed, gone)) == told.replace("changed", "disappeared")
    if changed:
        assert occasion(dict.fromkeys(changed, gone) | {changed[-1]: there}) == told


def occasion(changed: dict[str, Any]) -> str:
    go = Go({}, None, ("127.0.0.1", 1), changed)
    return Load(go, Settings(target="app.py"), "/", 0).occasion
