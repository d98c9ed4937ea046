"""What a standby imports ahead, and when it does not."""

from __future__ import annotations

import os
import smtplib
import sys

import pytest

from asyncreload.child.preload.conditions import logger_states, read_conditions
from asyncreload.child.preload.reproduction import arrange_filters
from asyncreload.child.preload.shadowing import is_shadowed
from asyncreload.protocol import Preload
from tests.unit.preload.child_runs import ChildRun

ENVIRONMENT = "import os\nSEEN = os.environ.get('MODE'), os.environ.get('GONE')"


def test_modules_are_replayed(child: ChildRun) -> None:
    child.package("third", "import third.sub")
    child.package("third/sub.py")
    child.package("other.py")
    preload = child.preload("import third, other")
    assert child.replay(preload) == []
    assert {"third", "third.sub", "other"} <= child.loaded()
    assert child.recorder._replayed == preload


def test_the_project_is_refused(child: ChildRun) -> None:
    """Its modules are not replayed, and a package that asks for one fails."""
    child.package("third.py")
    child.package("needy.py", "import mine")
    child.module("mine.py")
    preload = child.preload("import third, needy, mine")
    assert "mine" not in preload.modules
    assert child.replay(preload) == ["needy"]
    assert {"third"} == child.loaded() & {"third", "needy", "mine"}


@pytest.mark.parametrize(
    "end", ["1 / 0", "import sys; sys.exit(3)", "raise KeyboardInterrupt", "import nowhere"]
)
def test_what_fails_is_told_and_the_rest_goes_on(child: ChildRun, end: str) -> None:
    for name in ("a", "bad", "z"):
        child.package(f"{name}.py")
    preload = child.preload("import a, bad, z")
    child.package("bad.py", end)
    assert child.replay(preload) == ["bad"]
    assert {"a", "z"} == child.loaded() & {"a", "bad", "z"}


def test_one_that_is_gone_is_told(child: ChildRun) -> None:
    child.package("third.py")
    preload = child.preload("import third")
    (child.packages / "third.py").unlink()
    assert child.replay(preload) == ["third"]


def test_the_environment_is_applied_and_undone(child: ChildRun) -> None:
    for name in "abc":
        child.package(f"{name}.py", ENVIRONMENT)
    os.environ["GONE"] = "soon"
    child.start()
    app = """
    import os, a
    os.environ["MODE"] = "fast"
    import b
    os.environ["MODE"] = "faster"
    del os.environ["GONE"]
    import c
    """
    before = dict(os.environ)
    preload = child.preload(app)
    os.environ.clear()
    os.environ.update(before)
    preload = preload.replaced(modules=("a", "b", "c"))
    assert child.replay(preload) == []
    seen = [sys.modules[name].SEEN for name in "abc"]
    assert seen == [(None, "soon"), ("fast", "soon"), ("faster", None)]
    assert dict(os.environ) == before


def test_the_environment_is_undone_after_a_failure(child: ChildRun) -> None:
    child.package("third.py")
    preload = child.preload("import os\nos.environ['MODE'] = 'fast'\nimport third")
    del os.environ["MODE"]
    child.package("third.py", "raise SystemExit")
    assert child.replay(preload) == ["third"]
    assert "MODE" not in os.environ


# --- what the app had set up ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "import sys; sys.meta_path.append(type('Finder', (), {'find_spec': lambda *_: None}))",
        "import builtins; builtins._ = str",
        "import logging; logging.setLoggerClass(type('Mine', (logging.Logger,), {}))",
        "import io, sys; sys.stdout = io.StringIO()",
        "import warnings; warnings.simplefilter('error', type('Mine', (Warning,), {}))",
    ],
)
def test_the_replay_ends_where_the_app_had_set_up_what_cannot_be_made_anew(
    child: ChildRun, change: str
) -> None:
    for name in "abc":
        child.package(f"{name}.py")
    with child.app_settings():
        preload = child.preload(f"import a\n{change}\nimport b, c")
    assert child.replay(preload) == []
    assert {"a"} == child.loaded() & {"a", "b", "c"}
    assert child.told.stopped == "b"
    assert child.told.reason in preload.final


@pytest.mark.parametrize(
    "value",
    ["type('Mine', (), {})", "type('Mine', (), {})()", "wraps(smtplib.quoteaddr)(lambda: 0)"],
)
def test_the_replay_ends_where_the_app_had_put_something_into_the_standard_library(
    child: ChildRun, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package may have taken it at its import: `from socket import socket`."""
    child.package("a.py")
    child.package("b.py")
    source = (
        f"import a, smtplib\nfrom functools import wraps\nsmtplib.quoteaddr = {value}\nimport b"
    )
    with monkeypatch.context() as patch:
        patch.setattr(smtplib, "quoteaddr", smtplib.quoteaddr)
        preload = child.preload(source)
    assert child.replay(preload) == []
    assert child.told.stopped == "b"
    assert child.told.reason == "smtplib.quoteaddr"


SEES = """
import asyncio.events, locale, logging, multiprocessing, os, signal, socket, sys, time, warnings
def look():
    with warnings.catch_warnings(record=True) as shown:
        try:
            warnings.warn("old", UserWarning)
        except UserWarning as exc:
            shown.append(exc)
    root, own = logging.getLogger(), logging.getLogger("sees")
    return [
        len(shown), root.level, len(root.handlers), own.getEffectiveLevel(), own.propagate,
        root.manager.disable, os.getcwd(), list(sys.path), locale.setlocale(locale.LC_ALL),
        socket.getdefaulttimeout(), sys.getrecursionlimit(), *time.tzname,
        multiprocessing.get_start_method(allow_none=True), type(asyncio.events._event_loop_policy),
        callable(signal.getsignal(signal.SIGUSR1)), signal.getsignal(signal.SIGUSR2),
        getattr(sys.excepthook, "__module__", "") == "sys",
    ]
SEEN = look()
"""


@pytest.mark.parametrize(
    "change",
    [
        "import warnings; warnings.filterwarnings('ignore', 'old')",
        "import warnings; warnings.simplefilter('ignore', UserWarning)",
        "import logging; logging.getLogger().setLevel(7)",
        "import logging; logging.getLogger('sees').setLevel(7)",
        "import logging; logging.getLogger('sees').propagate = False",
        "import logging; logging.getLogger().addHandler(logging.NullHandler())",
        "import logging; logging.disable(logging.ERROR)",
        "import os; os.chdir('..')",
        "import sys; sys.path.append('/elsewhere')",
        "import sys; sys.path.insert(0, '/elsewhere')",
        "import locale; locale.setlocale(locale.LC_ALL, 'C')",
        "import socket; socket.setdefaulttimeout(7)",
        "import sys; sys.setrecursionlimit(7777)",
        "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        "import multiprocessing; multiprocessing.set_start_method('spawn', force=True)",
        "import asyncio.events; asyncio.events._event_loop_policy = object()",
        "import signal; signal.signal(signal.SIGUSR1, lambda *_: None)",
        "import signal; signal.signal(signal.SIGUSR2, signal.SIG_IGN)",
        "import sys; sys.excepthook = lambda *_: None",
    ],
)
def test_a_package_finds_what_the_app_had_set_up(
    child: ChildRun, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And after the replay, all is as it was: the app is to set it up again."""
    monkeypatch.chdir(child.root)
    child.package("first.py", "import logging, warnings")
    child.package("sees.py", SEES)
    child.package("other.py")
    with child.app_settings():
        preload = child.preload(f"import first\n{change}\nimport sees, other")
        found = sys.modules["sees"].SEEN
    child.path(root=True)
    before = read_conditions()
    assert child.replay(preload) == []
    assert child.told.stopped == ""
    assert found == sys.modules["sees"].SEEN
    assert "other" in child.loaded()
    assert read_conditions() == before
    assert sys.modules["sees"].look() != found


def test_a_replay_ends_with_the_loggers_that_a_configuration_had_not_found(
    child: ChildRun,
) -> None:
    """`dictConfig` disables all loggers that there are, and there were fewer then."""
    app = """
    import logging.config, first
    logging.config.dictConfig({"version": 1, "loggers": {"mine": {"level": "INFO"}}})
    import third
    """
    child.package("first.py", "import logging\nlog = logging.getLogger('first')")
    child.package("third.py", "import logging\nlog = logging.getLogger('third')")
    with child.app_settings():
        preload = child.preload(app)
    with child.app_settings():
        child.replay(preload)
        child.run(app)
        assert [sys.modules[name].log.disabled for name in ("first", "third")] == [True, False]
        assert logger_states() == preload.final["loggers"]


def test_a_package_that_makes_log_records_is_left_out_under_a_factory_of_the_apps(
    child: ChildRun,
) -> None:
    child.package("silent.py")
    child.package("loud.py", "import logging\nlogging.getLogger('loud').warning('here')")
    source = """
    import logging
    plain = logging.getLogRecordFactory()
    def factory(*arguments, **named):
        return plain(*arguments, **named)
    logging.setLogRecordFactory(factory)
    import loud, silent
    """
    with child.app_settings():
        preload = child.preload(source)
    assert child.replay(preload) == ["loud"]
    assert child.told.stopped == ""
    assert "silent" in child.loaded()


@pytest.mark.parametrize(
    ("app", "package"),
    [
        ("logging.getLogger('loud').setLevel(7)", "logging.getLogger('loud').setLevel(8)"),
        ("logging.disable(7)", "logging.disable(8)"),
        (
            "warnings.filterwarnings('error', 'mine')",
            "warnings.simplefilter('ignore', UserWarning)",
        ),
        ("warnings.simplefilter('ignore')", "warnings.resetwarnings()"),
        ("sys.path.append('/elsewhere')", "sys.path.append('/there')"),
        ("sys.excepthook = print", "sys.excepthook = repr"),
        ("sys.excepthook = id", "sys.excepthook(1)"),
        ("signal.signal(10, print)", "signal.signal(10, repr)"),
        ("sys.setrecursionlimit(7777)", "sys.setrecursionlimit(8888)"),
    ],
)
def test_a_package_that_changes_what_the_app_had_set_up_is_left_out(
    child: ChildRun, app: str, package: str
) -> None:
    """Which of the two came last cannot be repeated: the app's comes after the replay."""
    imports = "import logging, signal, sys, warnings"
    child.package("loud.py", f"{imports}\n{package}")
    child.package("silent.py")
    with child.app_settings():
        preload = child.preload(f"{imports}\n{app}\nimport loud, silent")
    with child.app_settings():
        assert child.replay(preload) == ["loud"]


def test_a_package_adds_warning_filters_to_those_of_the_app(child: ChildRun) -> None:
    """As numpy does: in front of the app's, which come later when it is imported ahead."""
    imports = "import warnings"
    source = f"{imports}\nwarnings.simplefilter('ignore', UserWarning)\nimport loud"
    child.package("loud.py", f"{imports}\nwarnings.filterwarnings('ignore', 'numpy.dtype')")
    with child.app_settings():
        preload = child.preload(source)
    with child.app_settings():
        assert child.replay(preload) == []
        child.run(source)
        wanted = preload.final["warning filters"]
        assert read_conditions()["warning filters"] != wanted
        arrange_filters(wanted)
        assert read_conditions()["warning filters"] == wanted


@pytest.mark.parametrize(
    "change",
    [
        "a.NAME = 'mine'",
        "a.NAMES['mine'] = 1",
        "a.NAMES['more'].append('mine')",
        "a.SEEN.add('mine')",
        "a.Defaults['mine'] = 1",
        "def mine(): pass\na.get = mine",
        "class Mine: pass\na.Own = Mine",
        "a.new = None",
        "del a.NAME",
    ],
)
def test_the_replay_ends_where_the_app_had_set_up_a_package(child: ChildRun, change: str) -> None:
    child.package(
        "a.py",
        """
        NAME, NAMES, SEEN = "a", {"more": []}, {"x", "y", "z"}
        class Own(dict):
            def items(self):
                raise AssertionError("read by its own method")
        Defaults = Own()
        def get(): pass
        """,
    )
    child.package("b.py")
    child.package("c.py", "import a; a.NAME = 'changed by a package'")
    preload = child.preload(f"import a\n{change}\nimport b, c, b")
    assert child.replay_twice(preload) == []
    assert {"a"} == child.loaded() & {"a", "b", "c"}
    assert child.told.stopped == "b"


def test_what_packages_do_to_each_other_is_no_reason(child: ChildRun) -> None:
    """It is repeated by the replay; also after a package that has been left out."""
    child.module("colours.py")
    child.package(
        "a.py", "import time\nNAME, WHEN, LAZY = 'a', [time.time], type('Lazy', (), {})()"
    )
    child.package("b.py", "import a; a.NAME = 'changed by a package'")
    child.package("needy.py", "import a, colours; a.NAME = 'changed by another'")
    child.package("c.py")
    preload = child.preload("import a, b, needy, c")
    assert child.replay(preload) == ["needy"]
    kept = preload.replaced(modules=tuple(name for name in preload.modules if name != "needy"))
    assert child.replay_twice(kept) == []
    assert child.told.stopped == "c"
    assert {"a", "b"} == child.loaded() & {"a", "b", "c", "needy"}


def test_data_that_are_never_the_same_are_no_reason(child: ChildRun) -> None:
    """A key that is drawn, or the time, of when a package is imported."""
    child.package("a.py", "import time, uuid\nKEY, AT = str(uuid.uuid4()), [time.time_ns()]")
    for name in "bc":
        child.package(f"{name}.py")
    preload = child.preload("import a, b\nb.SET = True\nimport c")
    assert child.replay(preload) == []
    assert {"a:KEY", "a:AT"} < set(child.told.mismatches)
    assert child.replay(preload.replaced(mismatches=child.told.mismatches)) == []
    assert child.told.mismatches == {}
    assert child.told.stopped == "c"
    child.start()
    preload = child.preload("import a, b, c")
    assert child.replay_twice(preload) == []
    assert child.told.stopped == ""
    assert set("abc") <= child.loaded()


@pytest.mark.parametrize(
    ("source", "stopped"),
    [
        ("sys.modules['stub'] = types\nimport a, b, c", "a"),
        ("import a, b\nsys.modules['stub'] = types\nimport c", "c"),
        ("import a, b\nsys.modules['a.sub'] = types\nimport c", "c"),
        ("import a, b, c\nsys.modules['stub'] = types", ""),
    ],
)
def test_the_replay_ends_where_the_app_had_put_something_among_the_modules(
    child: ChildRun, source: str, stopped: str
) -> None:
    for name in "abc":
        child.package(f"{name}.py")
    preload = child.preload(f"import sys, types\n{source}")
    assert child.replay(preload) == []
    assert child.told.stopped == stopped
    assert child.told.reason.startswith("the module ") is bool(stopped)


def test_what_the_standard_library_puts_among_the_modules_is_not_the_apps(
    child: ChildRun,
) -> None:
    child.modules -= {"pyexpat", "pyexpat.model", "pyexpat.errors", "xml.parsers.expat"}
    child.modules -= {"xml.parsers.expat.model", "xml.parsers.expat.errors"}
    child.package("a.py")
    child.start()
    preload = child.preload("import xml.parsers.expat, a")
    assert child.replay(preload) == []
    assert child.told.stopped == ""
    assert "a" in child.loaded()


def test_names_that_a_package_makes_when_they_are_asked_for_are_not_the_apps(
    child: ChildRun,
) -> None:
    """As pydantic's. Nor is the value that comes of it another one than the app has found."""
    child.package(
        "lazy.py",
        """
        def Field(): pass
        made = {"Field": Field, "NAME": "lazy"}
        del Field
        def __getattr__(name):
            if name not in made:
                raise AttributeError(name)
            globals()[name] = made[name]
            return made[name]
        """,
    )
    child.package("b.py")
    preload = child.preload("from lazy import Field, NAME\nimport b")
    assert child.replay(preload) == []
    assert child.told.mismatches == {}
    assert "b" in child.loaded()
    child.start()
    preload = child.preload("from lazy import NAME\nimport lazy\nlazy.other = 1\nimport b")
    child.replay_twice(preload)
    assert (child.told.stopped, child.told.reason) == ("b", "lazy.other")


# --- what cannot be imported ahead ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["import needy", "try: import needy\nexcept Exception: pass"])
def test_what_needs_a_package_that_fails_is_left_out_too(child: ChildRun, how: str) -> None:
    """Also one that copes without it: it is not the same after that."""
    child.module("mine.py", "VALUE = 1")
    child.package("needy.py", "from mine import VALUE")
    child.package("user.py", how)
    child.package("other.py")
    preload = child.preload("import mine, user, needy, other")
    assert child.replay(preload) == ["user", "needy"]
    kept = ("other",)
    preload = preload.replaced(modules=("user", "other"), left_out=("needy",))
    assert child.replay(preload) == ["user"]
    assert child.replay(preload.replaced(modules=kept, left_out=("needy", "user"))) == []
    assert {*kept} == child.loaded() & {"user", "needy", "other"}


def test_a_package_that_fails_in_each_process_is_no_reason(child: ChildRun) -> None:
    """Such as what only speeds up another, and is not there."""
    child.package("speedups.py", "raise ImportError")
    child.package("third.py", "try: import speedups\nexcept ImportError: pass")
    assert child.replay(child.preload("import third")) == []
    assert "third" in child.loaded()


def test_lazy_objects_are_left_alone(child: ChildRun) -> None:
    """To ask one for its class makes what it stands for: Django's settings, say."""
    child.package(
        "a.py",
        """
        class Lazy:
            @property
            def __class__(self):
                raise AssertionError("made")
        lazy, many = Lazy(), [Lazy()]
        """,
    )
    child.package("b.py")
    preload = child.preload("import a, b")
    assert child.replay(preload) == []
    assert {"a", "b"} <= child.loaded()


def test_what_is_printed_goes_nowhere(
    child: ChildRun, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    child.package(
        "third.py",
        """
        import os, sys
        print("printed")
        print("told", file=sys.stderr)
        os.write(1, b"written")
        os.write(2, b"written")
        """,
    )
    preload = child.preload("import third")
    capfd.readouterr()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):  # capfd's own do not write to these
        monkeypatch.setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115  not ours
    streams = sys.stdout, sys.stderr
    descriptors = sorted(os.listdir("/dev/fd"))
    assert child.replay(preload) == []
    print("after", flush=True)
    assert tuple(capfd.readouterr()) == ("after\n", "")
    assert (sys.stdout, sys.stderr) == streams
    assert sorted(os.listdir("/dev/fd")) == descriptors


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_without_a_stream(child: ChildRun, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    child.package("third.py")
    preload = child.preload("import third")
    monkeypatch.setattr(sys, stream, None)
    assert child.replay(preload) == []


def test_after_a_replay_the_projects_code_loads(child: ChildRun) -> None:
    child.module("mine.py", "LOADED = True")
    child.replay(Preload(child.root))
    assert child.run("import mine")["mine"].LOADED


# --- files of the project with the names of packages ---------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("third.py", True),
        ("third/__init__.py", True),
        ("third.cpython-311-x86_64-linux-gnu.so", True),
        ("third/other.py", False),
        ("sub.py", False),
        ("another.py", False),
        ("third.log", False),
        ("third.txt.py", False),
        ("third", False),
        ("Third.py", False),
    ],
)
def test_a_file_of_the_project_with_the_name_of_a_package(
    child: ChildRun,
    name: str,
    expected: bool,  # noqa: FBT001  the expectation
) -> None:
    child.package("third", "import third.sub")
    child.package("third/sub.py")
    child.replay(child.preload("import third"))
    path = child.project / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    suffix = "".join(path.suffixes)
    if suffix.endswith(".so"):
        from importlib.machinery import EXTENSION_SUFFIXES  # noqa: PLC0415  for this one

        path.rename(path.with_name(f"third{EXTENSION_SUFFIXES[0]}"))
    assert is_shadowed(child.replayed) is expected


def test_a_directory_that_is_gone_has_no_such_files(child: ChildRun) -> None:
    child.package("third.py")
    child.replay(child.preload("import third"))
    sys.path.insert(0, str(child.project / "gone"))
    assert not is_shadowed(child.replayed)
