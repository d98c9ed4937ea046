"""Which exceptions of a request are those of a failed import, and which are the request's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreload.child.imports.import_failure import is_import_failure


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def raised(place: Path, handler: str, lazy: str = "") -> BaseException:
    """Run a handler of a project that has a module `lazy`; return what it raises."""
    (place / "lazy.py").write_bytes(lazy.encode())
    body = "".join(f"    {line}\n" for line in handler.splitlines())
    (place / "handlers.py").write_text(f"def handle():\n{body}")
    handle = __import__("handlers").handle
    with pytest.raises(BaseException) as caught:
        handle()
    return caught.value


@pytest.mark.parametrize(
    ("handler", "lazy"),
    [
        ("import lazy", "x = (41\n"),
        ("import lazy", "1 / 0\n"),
        ("import lazy", "raise SystemExit\n"),
        ("import lazy", "import not_there\n"),
        ("import lazy", "import json\njson.loads('{')\n"),
        ("import lazy", "def f():\n    1 / 0\nf()\n"),
        ("import importlib\nimportlib.import_module('lazy')", "x = 1\0\n"),
        ("from lazy import x", ""),
        ("import lazy.below", ""),
        ("import importlib\nimportlib.import_module('lazy')", "1 / 0\n"),
        ("try:\n    import lazy\nexcept Exception as e:\n    raise ValueError from e", "1 / 0\n"),
    ],
)
def test_an_import_has_failed(tmp_path: Path, handler: str, lazy: str) -> None:
    assert is_import_failure(raised(tmp_path, handler, lazy))


@pytest.mark.parametrize(
    ("handler", "lazy"),
    [
        ("1 / 0", ""),
        ("import not_there", ""),  # such as an optional package: the rest of the app goes on
        ("import importlib\nimportlib.import_module('not_there')", ""),
        ("import lazy\nlazy.f()", "def f():\n    1 / 0\n"),
        ("raise ImportError('no driver')", ""),
        ("eval('1 +')", ""),
        ("exec('1 / 0')", ""),
        ("import ast\nast.parse('1 +')", ""),
        ("compile('1 +', 'page.tpl', 'exec')", ""),
        ("compile('1 +', 'sent.py', 'exec')", ""),
        ("import ast\nast.parse('1 +', __file__)", ""),
        ("raise SyntaxError('no', (__file__, 1, 1, 'text'))", ""),
        ("import runpy\nrunpy.run_path(__file__[:-11] + 'lazy.py')", "1 / 0\n"),
        ("import json\njson.loads('{')", ""),
        ("try:\n    import lazy\nexcept Exception:\n    {}['x']", "1 / 0\n"),
        ("open('/not/there')", ""),
    ],
)
def test_an_error_is_the_requests_own(tmp_path: Path, handler: str, lazy: str) -> None:
    assert not is_import_failure(raised(tmp_path, handler, lazy))


def test_an_import_of_an_installed_package_is_its_own(tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "lib.py").write_text("1 / 0\n")
    error = raised(tmp_path, f"import sys\nsys.path.append({str(packages)!r})\nimport lib\n")
    assert isinstance(error, ZeroDivisionError)
    assert not is_import_failure(error)


def test_an_exception_whose_attributes_raise_is_the_requests_own() -> None:
    class LyingError(Exception):
        @property
        def __cause__(self) -> BaseException | None:  # type: ignore[override]
            raise RuntimeError

    assert not is_import_failure(LyingError())


def test_a_cause_that_bites_its_tail_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert not is_import_failure(first)
