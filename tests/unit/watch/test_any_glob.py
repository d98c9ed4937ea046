"""Whatever a pattern is: it means what a slow and simple reading of it says."""

from __future__ import annotations

import re
from functools import cache

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from asyncreload.child.watch.file_kinds import is_below
from asyncreload.child.watch.globs import _LEFTOVERS, Patterns
from asyncreload.options import _placed
from asyncreload.python_files import SKIPPED

ANY_DEPTH = None
LETTERS = st.sampled_from([*"ab.-_!^[]*?~&|\\+({ä\n", "**", "[!", "node_modules", "\udc80"])
WORDS = st.lists(LETTERS, min_size=1, max_size=6).map("".join)
PARTS = st.sampled_from(["a", "b", "ab", "*", "?", "**", "..", ".", "", "[ab]", "[!a]", ".*"])
PATTERNS = st.lists(PARTS | WORDS, min_size=1, max_size=5).map("/".join)
NAMES = st.sampled_from(["a", "b", "ab", ".a", "b.txt", "[x]", "node_modules"]) | WORDS
BASES = st.sampled_from(["/", "/srv/project", "/srv/[x]/a", "/srv/*", "/a/.hidden/node_modules"])


# --- the reading: a pattern is a list of texts, each of which says whether it is to be read as one


def names_of(pattern: str, base: str, *, anywhere: bool) -> list[tuple[str, bool] | None]:
    """What each name of a path has to be, from the root on, and whether stars count there."""
    own: list[tuple[str, bool] | None] = [(name, False) for name in base.split("/") if name]
    alone = pattern.rstrip("/")
    if "/" not in alone and (anywhere or is_magic(alone)):
        return [*own, ANY_DEPTH, ANY_DEPTH if alone == "**" else (alone, True)]
    names = [] if pattern.startswith("/") else own
    for name in pattern.split("/"):
        if name == "..":
            names = names[:-1]
        elif name not in {"", "."}:
            names = [*names, ANY_DEPTH if name == "**" else (name, True)]
    return names


def is_magic(name: str) -> bool:
    return any(letter in "*?[" for letter in name)


def takes(wanted: list[tuple[str, bool] | None], path: list[str], *, hidden: bool) -> bool:
    """Whether the names fit a path, or a directory above it."""

    @cache
    def fits(place: int, depth: int) -> bool:
        if place == len(wanted):
            return True
        if (part := wanted[place]) is ANY_DEPTH:
            return fits(place + 1, depth) or (depth < len(path) and fits(place, depth + 1))
        return depth < len(path) and is_named(part, path[depth]) and fits(place + 1, depth + 1)

    def is_named(part: tuple[str, bool], name: str) -> bool:
        text, counts = part
        if not counts or not is_magic(text):
            return text == name
        return (hidden or text[0] == "." or name[0] != ".") and matches(text, name)

    return fits(0, 0)


def matches(text: str, name: str) -> bool:
    """What a shell makes of stars: the plain definition, letter by letter."""

    @cache
    def fits(place: int, at: int) -> bool:
        if place == len(text):
            return at == len(name)
        if text[place] == "*":
            return fits(place + 1, at) or (at < len(name) and fits(place, at + 1))
        if at == len(name):
            return False
        if (
            text[place] == "["
            and (end := text.find("]", place + 2 + (text[place + 1 :][:1] == "!"))) > 0
        ):
            inner = text[place + 1 : end]
            found = is_in(inner.removeprefix("!"), name[at]) is not inner.startswith("!")
            return found and fits(end + 1, at + 1)
        return text[place] in {"?", name[at]} and fits(place + 1, at + 1)

    return fits(0, 0)


def is_in(inner: str, letter: str) -> bool:
    """Whether a letter is one of a set; between two letters, a hyphen stands for a range."""
    place = 0
    while place < len(inner):
        if inner[place + 1 : place + 2] == "-" and place + 2 < len(inner):
            if inner[place] <= letter <= inner[place + 2]:
                return True
            place += 3
        elif inner[place] == letter:
            return True
        else:
            place += 1
    return False


@given(PATTERNS, BASES, st.lists(NAMES, min_size=1, max_size=5), st.booleans())
@settings(max_examples=300)
@example("*/../a", "/srv/project", ["a"], False)
@example("a/*.txt", "/srv/[x]/a", ["a", "b.txt"], True)
@example("//srv/project/a", "/srv/project", ["a"], True)
def test_any_pattern_is_read_as_it_is_written(
    pattern: str,
    base: str,
    names: list[str],
    begins: bool,  # noqa: FBT001  hypothesis gives it by position
) -> None:
    """begins: whether the path begins with the base."""
    assume(not pattern.startswith("~"))
    path = path_of(base, names, begins=begins)
    whole = "/" + "/".join(path)
    ignored = takes(names_of(pattern, base, anywhere=True), path, hidden=True)
    assert Patterns.of([], [pattern], base).ignores(whole) is ignored

    patterns = Patterns.of([pattern], [], base)
    wanted = names_of(pattern, base, anywhere=False)
    root = patterns.watch[0].root
    depth = len([name for name in root.split("/") if name])
    below = path[depth:]
    named = [part for part in wanted[depth:] if part is not ANY_DEPTH]
    shown = all(
        any(takes([part], [name], hidden=False) for part in named)
        for name in below
        if name.startswith(".") or name in SKIPPED
    )
    expected = takes(wanted, path, hidden=False) and shown and not is_leftover(path)
    assert patterns.wants(whole) is expected
    if expected:  # and so it is found by who walks from the root
        assert is_below(whole, root)
        above = [path[:count] for count in range(depth, len(path))]
        assert all(patterns.enters("/" + "/".join(names)) for names in above)


def path_of(base: str, names: list[str], *, begins: bool) -> list[str]:
    above = base.split("/") if begins else []
    return [name for name in (*above, *names) if name not in {"", ".", ".."} and "/" not in name]


def is_leftover(path: list[str]) -> bool:
    return bool(path) and re.fullmatch(_LEFTOVERS, path[-1]) is not None


@given(PATTERNS, BASES, st.lists(NAMES, min_size=1, max_size=5), st.booleans())
@settings(max_examples=300)
def test_any_pattern_means_the_same_from_elsewhere(
    pattern: str,
    base: str,
    names: list[str],
    begins: bool,  # noqa: FBT001
) -> None:
    """As one in a pyproject.toml above the current directory does."""
    assume(not pattern.startswith("~") and pattern.rstrip("/") not in {"", ".", ".."})
    path = "/" + "/".join(path_of(base, names, begins=begins))
    here = Patterns.of([pattern], [pattern], base)
    there = Patterns.of(
        [_placed(pattern, "pattern", base)], [_placed(pattern, "name", base)], "/elsewhere"
    )
    assert there.ignores(path) == here.ignores(path)
    if not any(name.startswith(".") or name in SKIPPED for name in path.split("/")):
        assert there.wants(path) == here.wants(path)
