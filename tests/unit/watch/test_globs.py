"""One table: what each pattern means, in `watch` and in `ignore`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreload.child.watch.globs import Patterns

BASE = "/srv/project"

# pattern, path, in watch, in ignore. Paths are relative to the directory that patterns start from.
TABLE = [
    # a plain path: that file, or all in that directory, whether it is there or not
    (".env", ".env", True, True),
    (".env", "sub/.env", False, True),
    ("data", "data", True, True),
    ("data", "data/deep/er.csv", True, True),
    ("data/", "data/deep/er.csv", True, True),
    ("data", "sub/data/x.csv", False, True),
    ("data", "database", False, False),
    ("./data", "data/x.csv", True, True),
    ("./data", "sub/data/x.csv", False, False),
    ("conf/app.yaml", "conf/app.yaml", True, True),
    ("conf/app.yaml", "sub/conf/app.yaml", False, False),
    ("/etc/app.toml", "/etc/app.toml", True, True),
    ("../shared", "/srv/shared/x/y.html", True, True),
    # stars without a slash: in any directory
    ("*.yaml", "a.yaml", True, True),
    ("*.yaml", "sub/deep/a.yaml", True, True),
    ("*.yaml", "a.yaml.bak", False, False),
    ("*.yaml", "sub.yaml/inside.txt", True, True),
    ("m?.txt", "m1.txt", True, True),
    ("m?.txt", "m12.txt", False, False),
    ("m[0-9].txt", "sub/m1.txt", True, True),
    ("m[!0-9].txt", "m1.txt", False, False),
    # stars with a slash: from the start
    ("conf/*.yaml", "conf/a.yaml", True, True),
    ("conf/*.yaml", "conf/sub/a.yaml", False, False),
    ("conf/*.yaml", "sub/conf/a.yaml", False, False),
    ("./*.yaml", "a.yaml", True, True),
    ("./*.yaml", "sub/a.yaml", False, False),
    ("apps/*/pages", "apps/shop/pages/deep/index.html", True, True),
    ("apps/*/pages", "apps/pages/index.html", False, False),
    ("/etc/app/*.toml", "/etc/app/a.toml", True, True),
    # two stars: any number of directories, none included
    ("pages/**/*.html", "pages/index.html", True, True),
    ("pages/**/*.html", "pages/a/b/index.html", True, True),
    ("pages/**/*.html", "index.html", False, False),
    ("pages/**", "pages/a/b/c", True, True),
    ("**/conf/*.yaml", "conf/a.yaml", True, True),
    ("**/conf/*.yaml", "a/b/conf/a.yaml", True, True),
    ("a/**/b/**/c", "a/b/c", True, True),
    ("a/**/b/**/c", "a/x/b/y/z/c", True, True),
    ("a/**/b/**/c", "a/x/c", False, False),
    # case counts
    ("*.YAML", "a.yaml", False, False),
    ("Data", "data", False, False),
    # what is hidden is watched only when the pattern says so
    ("*.yaml", ".a.yaml", False, True),
    ("*.yaml", ".github/a.yaml", False, True),
    ("**/*.yaml", ".github/a.yaml", False, True),
    (".github/**/*.yaml", ".github/work/a.yaml", True, True),
    (".*.yaml", ".a.yaml", True, True),
    ("data", "data/.hidden", False, True),
    # nor is gone into what is no one's source
    ("*.js", "node_modules/x/a.js", False, True),
    ("node_modules/x", "node_modules/x/a.js", True, True),
    ("**", "__pycache__/a.pyc", False, True),
    # what editors leave for a moment
    ("data", "data/a.txt~", False, True),
    ("data", "data/4913", False, True),
    ("data", "data/#a.txt#", False, True),
    ("data", "data/a.txt.tmp", False, True),
]


def at(path: str) -> str:
    return os.path.join(BASE, path)


@pytest.mark.parametrize(("pattern", "path", "watched", "ignored"), TABLE)
def test_what_a_pattern_means(pattern: str, path: str, watched: bool, ignored: bool) -> None:  # noqa: FBT001  a row
    assert Patterns.of([pattern], [], BASE).wants(at(path)) is watched
    assert Patterns.of([], [pattern], BASE).ignores(at(path)) is ignored


def test_what_is_ignored_is_not_wanted() -> None:
    patterns = Patterns.of(["*.yaml"], ["generated", "./secret.yaml"], BASE)
    assert patterns.wants(at("a.yaml"))
    assert not patterns.wants(at("sub/generated/a.yaml"))
    assert not patterns.wants(at("secret.yaml"))
    assert patterns.wants(at("sub/secret.yaml"))


def test_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Patterns.of(["~/a.toml"], [], BASE).wants("/home/somebody/a.toml")


@pytest.mark.parametrize("pattern", ["conf/*.yaml", "conf", "*.yaml", "../app/conf/a.yaml"])
def test_stars_in_the_name_of_the_directory_are_none(pattern: str) -> None:
    base = "/srv/[old] projects*/app"
    assert Patterns.of([pattern], [], base).wants(f"{base}/conf/a.yaml")
    assert Patterns.of([], [pattern], base).ignores(f"{base}/conf/a.yaml")
    assert not Patterns.of([], [pattern], base).ignores("/srv/o projects/app/conf/a.yaml")


@pytest.mark.parametrize("pattern", ["*/../a.yaml", "a/**/../../a.yaml", "//srv/project/a.yaml"])
def test_a_path_is_taken_as_the_shortest_that_means_the_same(pattern: str) -> None:
    assert Patterns.of([pattern], [], BASE).wants(at("a.yaml"))
    assert not Patterns.of([pattern], [], BASE).wants(at("b.yaml"))


def test_only_directories_that_can_hold_something_are_entered() -> None:
    patterns = Patterns.of(["conf/*.yaml", "pages/**/*.html"], ["pages/old"], BASE)
    assert patterns.roots == [at("conf"), at("pages")]
    assert patterns.enters(at("conf"))
    assert not patterns.enters(at("conf/sub"))
    assert patterns.enters(at("pages/a/b"))
    assert not patterns.enters(at("pages/old"))
    assert not patterns.enters(at("pages/.git"))
    assert not patterns.enters(at("other"))


NAMES = st.sampled_from(["a", "b", "ab", ".a", "a.txt", "b.txt"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.sampled_from(["a", "b", "*", "?", "a*", "*.txt", "[ab]", "**"])


@given(st.lists(PARTS, min_size=2, max_size=4).map("/".join), PATHS)
def test_paths_with_stars_mean_what_they_mean_to_a_shell(pattern: str, path: str) -> None:
    """But that a directory that fits stands for all that is in it."""
    patterns = Patterns.of([pattern], [], BASE)
    names = path.split("/")
    above = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
    hidden = any(name.startswith(".") for name in names)
    if any(part in "*?[" for part in pattern):
        expected = any(fits(pattern.split("/"), one.split("/")) for one in above) and not hidden
        assert patterns.wants(at(path)) is expected


def fits(parts: list[str], names: list[str]) -> bool:
    """The plain definition, by trying all that `**` may stand for."""
    if not parts:
        return not names
    if parts[0] == "**":
        return any(fits(parts[1:], names[count:]) for count in range(len(names) + 1))
    return bool(names) and Path(names[0]).match(parts[0]) and fits(parts[1:], names[1:])


def test_what_needs_no_reload_is_watched_as_well() -> None:
    patterns = Patterns.of(["pages/code.html"], ["old.html"], BASE, ["pages", "*.css"])
    assert patterns.wants(at("pages/a.html"))
    assert patterns.refreshes(at("pages/a.html"))
    assert patterns.refreshes(at("deep/down/a.css"))
    assert patterns.wants(at("pages/code.html"))
    assert not patterns.refreshes(at("pages/code.html"))  # `watch` says more
    assert not patterns.wants(at("pages/old.html"))
    assert not patterns.refreshes(at("pages/old.html"))
    assert not patterns.refreshes(at("app.py"))
    assert patterns.enters(at("pages/below"))
    assert patterns.roots == [BASE, at("pages"), at("pages/code.html")]
