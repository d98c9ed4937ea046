"""The lines that a person reads."""

from __future__ import annotations

import pytest

from asyncreload.events import Changed, Crashed, Event, Failed, Ready, Starting, Stopped

LONG_LOAD = "app.py changed · fresh in 2.2 s · all 9 modules, packages imported ahead"
LINES: list[tuple[Event, str]] = [
    (
        Starting("app.py", "http://127.0.0.1:8000/"),
        "serving app.py at http://127.0.0.1:8000/",
    ),
    (
        Starting("app.py", "http://127.0.0.1:8000/", "http://192.168.0.7:8000/"),
        "serving app.py at http://127.0.0.1:8000/ and http://192.168.0.7:8000/",
    ),
    (Ready(1, 0.01249, (), 300), "fresh in 12 ms · 300 files"),
    (Ready(1, 0.0042, ("/a/app.py",), 3), "app.py changed · fresh in 4 ms"),
    (Ready(1, 0.0042, ("/a/app.py",), 3, "cold", 1, 1), "app.py changed · fresh in 4 ms"),
    (
        Ready(1, 0.0042, ("/a/app.py",), 3, "cold", 2, 2),
        "app.py changed · fresh in 4 ms · all 2 modules",
    ),
    (
        Ready(1, 1.5, ("/a/app.py",), 3, "cold", 2, 2),
        "app.py changed · fresh in 1.5 s · all 2 modules, from nothing",
    ),
    (
        Ready(1, 2.2, ("/a/app.py",), 3, "standby", 9, 9, 2.1),
        f"{LONG_LOAD} · waited 2.1 s for the next process",
    ),
    (
        Ready(1, 2.2, ("/a/app.py",), 3, "standby", 1, 1, 2.1),
        "app.py changed · fresh in 2.2 s · waited 2.1 s for the next process",
    ),
    (Ready(1, 0.2, ("/a/app.py",), 3, "cold", 1, 1, 0.1), "app.py changed · fresh in 200 ms"),
    (
        Ready(1, 0.0042, ("/a/app.py",), 3, "standby", 9, 9),
        "app.py changed · fresh in 4 ms · all 9 modules, packages imported ahead",
    ),
    (
        Ready(1, 0.0042, ("/a/app.py",), 3, "checkpoint", 9, 1),
        "app.py changed · fresh in 4 ms · 1 of 9 modules",
    ),
    (  # of a module that is imported later, by a request
        Ready(1, 0.0042, ("/a/late.py",), 3, "checkpoint", 9, 0),
        "late.py changed · fresh in 4 ms",
    ),
    (
        Ready(1, 2.0, ("/a/b.py", "/a/c.py", "/a/d.py"), 3),
        "b.py, c.py, d.py changed · fresh in 2.0 s",
    ),
    (
        Ready(1, 2.0, ("/a/app.py",), 3, "cold", 1, 1),
        "app.py changed · fresh in 2.0 s · from nothing",
    ),
    (Ready(1, 0.9, ("/a/app.py",), 3, "cold", 1, 1), "app.py changed · fresh in 900 ms"),
    (Changed(()), "asked to reload: starting from nothing"),
    (Changed(("/srv/shop/models.py",)), "models.py: reloading"),
    (Changed(("/s/shop/__init__.py",)), "shop/__init__.py: reloading"),
    (Changed(("/s/a/x.py", "/s/b/x.py", "/s/c.py")), "a/x.py, b/x.py, c.py: reloading"),
    (Changed(("/a", "/b", "/c", "/d")), "a, b, c, 1 more: reloading"),
    (Changed(tuple(f"/x/{n}.py" for n in range(200))), "0.py, 1.py, 2.py, 197 more: reloading"),
    (
        Failed("ValueError: x", "Traceback:\n  ...\nValueError: x\n"),
        "ValueError: x\nTraceback:\n  ...\nValueError: x\nthe load failed; waiting for a change",
    ),
    (
        Failed("ValueError: x", "Traceback: all\n", "/srv/app.py:3", "Traceback: own\n"),
        "ValueError: x · /srv/app.py:3\nTraceback: all\nthe load failed; waiting for a change",
    ),
    (Ready(1, 0.00042, (), 1), "fresh in 0.4 ms · 1 file"),
    (  # the whole of it is at the end of the traceback
        Failed("E: " + "word " * 99, "Traceback: all\n", "/srv/app.py:3"),
        "E: " + "word " * 22 + "word … · /srv/app.py:3\n"
        "Traceback: all\nthe load failed; waiting for a change",
    ),
    (Failed("There is no app", ""), "There is no app\nthe load failed; waiting for a change"),
    (Failed("There is no app", "\n"), "There is no app\nthe load failed; waiting for a change"),
    (
        Crashed(-11, "killed by SIGSEGV while loading", again=False),
        "the app died, killed by SIGSEGV while loading; waiting for a change",
    ),
    (
        Crashed(-9, "killed by SIGKILL while serving", again=True),
        "the app died, killed by SIGKILL while serving; starting again",
    ),
    (Stopped(0), "stopped"),
    (Stopped(3), "stopped"),
]


@pytest.mark.parametrize(("event", "line"), LINES)
def test_an_event_is_told_in_a_line(event: Event, line: str) -> None:
    assert str(event) == line


@pytest.mark.parametrize("event", [event for event, _ in LINES])
def test_an_event_is_frozen(event: Event) -> None:
    name = event.names()[0]
    with pytest.raises(AttributeError, match=f"^{name} cannot be changed"):
        setattr(event, name, None)
    with pytest.raises(AttributeError, match=f"^{name} cannot be changed"):
        delattr(event, name)


def test_an_event_is_matched_by_position_and_by_name() -> None:
    match Crashed(-9, "killed by SIGKILL", again=True):
        case Crashed(code, again=True):
            assert code == -9
        case _:
            pytest.fail("it does not match")


def test_a_terminal_gets_the_short_form_of_a_failure() -> None:
    failed = Failed("ValueError: x", "Traceback: all\n", "/srv/app.py:3", "Traceback: own\n")
    expected = "ValueError: x · {}\nTraceback: own\nthe load failed; waiting for a change"
    assert failed.for_people("/srv") == expected.format("app.py:3")
    assert failed.for_people("/sr") == expected.format("/srv/app.py:3")


def test_the_hint_stands_below_the_traceback() -> None:
    failed = Failed("X", "Traceback: all\n", "", "Traceback: own\n", "install it:\n  pip install x")
    told = "X\nTraceback: {}\ninstall it:\n  pip install x\nthe load failed; waiting for a change"
    assert failed.for_people("/srv") == told.format("own")
    assert str(failed) == told.format("all")
