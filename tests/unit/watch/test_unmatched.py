"""Which patterns fit no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncreload.child.watch.globs import Patterns
from asyncreload.child.watch.unmatched import unmatched


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("*.yaml", True),
        ("conf/*.yaml", True),
        ("**/x.yaml", True),
        ("*.yam", False),
        ("config/*.yaml", False),
        ("conf", True),
        ("empty", True),
        ("config", False),
        ("conf/y.yaml", False),
        ("/no/such/file/of/a/program", True),
    ],
)
def test_whether_a_pattern_is_of_use(text: str, fits: bool, tmp_path: Path) -> None:  # noqa: FBT001  a parameter
    for name in ("conf", "empty"):
        (tmp_path / name).mkdir()
    file = tmp_path / "conf" / "x.yaml"
    file.touch()
    patterns = Patterns.of([text], [], str(tmp_path)).watch
    found = unmatched(zip([text], patterns, strict=True), [str(file)])
    assert found == ([] if fits else [text])
