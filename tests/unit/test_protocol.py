"""Messages survive the way over the channel, however it is cut; garbage does not become one."""

from __future__ import annotations

import builtins
import types
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreload import protocol
from asyncreload.protocol import Lines, Message, decode
from asyncreload.settings import Settings
from asyncreload.target import Target

# Bytes of a file's name that are no UTF-8 are lone surrogates in Python's text.
ODD = "/srv/\udc80\udcff/ü\n\"'\\\0\u2028.py"

EXAMPLES: list[Message] = [
    protocol.Booted(),
    protocol.Go({}, None, ("127.0.0.1", 8000)),
    protocol.Go(
        {"port": 0, "interval": 0.1, "access_log": True},
        {"text": ODD, "file": None},
        ("::1", 65535),
        changed={ODD: None, "b.py": [1, 2, 3, 4]},
        settle=True,
        crash=("killed by SIGSEGV", "while serving"),
        watched={ODD: [1, 2, 3, 4]},
    ),
    protocol.Loaded(0.25, 12),
    protocol.LoadFailed("NameError: name 'x' is not defined", "Traceback\n  ...\n"),
    protocol.Watching({}),
    protocol.Watching({ODD: [1, 2, 3, 4], "/srv/app.py": None}),
    protocol.FilesChanged({ODD: [1, 2, 3, 4]}, loading=True),
    protocol.Left(3),
    protocol.Left(0, lingering=2),
    protocol.LoadFailed("ValueError: x", "Traceback\n  ...\n", place="/srv/app.py:3", own="  ..."),
    protocol.WatchReasons({ODD: "imported as b"}, 12),
    protocol.Notice("still loading\nafter 3 s"),
    protocol.Reload(),
    protocol.End(),
    protocol.End(1),
    protocol.Ping(),
    protocol.Pong(),
]

NAMES = st.text(st.characters(max_codepoint=0x2FFF)) | st.binary(max_size=8).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
JSON = st.none() | st.booleans() | NAMES | st.floats(allow_nan=False, allow_infinity=False)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of the type that a field is annotated with."""
    match get_origin(kind), get_args(kind):
        case builtins.tuple, (item, builtins.Ellipsis):
            return st.lists(values(item), max_size=3).map(tuple)
        case builtins.tuple, items:
            return st.tuples(*map(values, items))
        case builtins.dict, (key, item):
            return st.dictionaries(values(key), values(item), max_size=3)
        case types.UnionType, kinds:
            return st.one_of([values(one) for one in kinds])
    known = {str: NAMES, int: st.integers(), bool: st.booleans(), types.NoneType: st.none()}
    floats = st.floats(allow_nan=False, allow_infinity=False)
    return (known | {float: floats, Any: JSON})[kind]


def any_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Messages of a kind, whatever is in them."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.names()})


KINDS = list(protocol._KINDS.values())
MESSAGES = st.one_of([st.sampled_from(EXAMPLES), *map(any_of, KINDS)])


def test_every_message_has_a_kind() -> None:
    names = {kind.__name__ for kind in Message.__subclasses__()}
    assert names == set(protocol._KINDS) == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_message_comes_back_whatever_is_in_it(kind: type[Message]) -> None:
    @given(any_of(kind))
    @settings(max_examples=30)
    def check(message: Message) -> None:
        assert decode(message.encode()) == message

    check()


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    line = message.encode()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    back = decode(line)
    assert back == message
    assert type(back) is type(message)
    assert all(type(now) is type(message.fields()[name]) for name, now in back.fields().items())


def test_settings_and_target_travel_with_go() -> None:
    options = Settings(target="pkg.mod:create()", port=0, interval=1, threads=2)
    target = Target.parse("pkg.mod:create()", "/", must_exist=False)
    go = decode(protocol.Go(asdict(options), target.fields(), ("127.0.0.1", 1)).encode())
    assert isinstance(go, protocol.Go)
    assert go.target is not None
    assert Target(**go.target) == target
    assert Settings.from_json(go.settings) == options


def test_lines_gives_each_message_as_soon_as_it_is_complete() -> None:
    lines = Lines()
    line = protocol.Ping().encode()
    assert [lines.feed(bytes([byte])) for byte in line[:-1]] == [[]] * (len(line) - 1)
    assert lines.feed(line[-1:] + line[:3]) == [protocol.Ping()]
    assert lines.feed(line[3:]) == [protocol.Ping()]


def test_a_line_that_is_no_message_is_left_out() -> None:
    ping, pong = protocol.Ping(), protocol.Pong()
    assert Lines().feed(ping.encode() + b"garbage\n" + pong.encode()) == [ping, pong]


@given(st.lists(MESSAGES.map(Message.encode) | st.binary(max_size=9), max_size=5), st.data())
def test_any_bytes_are_the_messages_that_are_in_them_however_they_are_cut(
    parts: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    expected = []
    for line in stream.split(b"\n")[:-1]:
        with suppress(ValueError):
            expected.append(decode(line))
    lines = Lines()
    edges = pairwise([0, *cuts, len(stream)])
    assert [each for start, end in edges for each in lines.feed(stream[start:end])] == expected


@pytest.mark.parametrize(
    "line",
    [b"5", b'"Ping"', b"null", b"{}", b'{"is": "Nothing"}', b'{"is": null}', b'{"to": "Ping"}'],
)
def test_json_that_is_no_message_is_refused_with_its_text(line: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        decode(line)
    assert str(caught.value) == f"not a message: {line!r}"


def test_a_long_line_is_shown_by_its_beginning() -> None:
    line = b'{"x": "' + b"y" * 1000 + b'"}'
    with pytest.raises(ValueError) as caught:
        decode(line)
    assert str(caught.value) == f"not a message: {line[:80]!r}"


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{", b"Ping", b"\xff\xfe", protocol.Ping().encode()[:-3]]
)
def test_what_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b'{"is": []}',
        b'{"is": "Go"}',
        b'{"is": "Pong", "more": 1}',
        b"[" * 100_000,
    ],
    ids=["list", "unhashable", "fields missing", "fields unknown", "deep"],
)
def test_json_of_another_shape_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_a_message(line: bytes) -> None:
    answer: Any = None
    try:
        answer = decode(b'{"is": ' + line)
    except ValueError:
        return
    assert isinstance(answer, Message)
