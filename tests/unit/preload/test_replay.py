"""What a standby imports ahead, and when it does not."""

from __future__ import annotations

import os
import sys

import pytest

from asyncreload.child.preload import replay as replay_module
from asyncreload.child.preload.replay import is_shadowed
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


@pytest.mark.parametrize(
    "change",
    [
        "import warnings; warnings.filterwarnings('ignore', 'old')",
        "import warnings; warnings.simplefilter('always')",
        "import logging; logging.getLogger().setLevel(7)",
        "import logging; logging.getLogger().addHandler(logging.NullHandler())",
        "import logging; logging.disable(logging.ERROR)",
        "import os; os.chdir(os.path.dirname(os.getcwd()))",
    ],
)
def test_the_replay_ends_where_the_app_had_changed_a_setting(
    child: ChildRun, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(child.root)
    for name in "abc":
        child.package(f"{name}.py")
    first = child.preload("import a, b, c")
    child.start()
    preload = child.preload(f"import a\n{change}\nimport b, c")
    assert preload.final != first.final
    # As it was before the app ran:
    monkeypatch.setattr(replay_module, "fingerprint", lambda _name="": first.settings["a"])
    assert child.replay(preload) == []
    assert {"a"} == child.loaded() & {"a", "b", "c"}
    assert child.told.stopped == "b"


@pytest.mark.parametrize(
    "change",
    [
        "a.NAME = 'mine'",
        "a.NAMES['mine'] = 1",
        "a.NAMES['more'].append('mine')",
        "a.SEEN.add('mine')",
        "a.Defaults['mine'] = 1",
        "def mine(): pass\na.get = mine",
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
    ("source", "fits_in"),
    [
        ("import a, b\nb.SET = True\nimport c, d", True),
        ("sys.modules['stub'] = types\nimport a, b\nb.SET = True\nimport c, d", False),
        ("import a, b\nb.SET = True\nsys.modules['stub'] = types\nimport c, d", True),
        ("import a, b, c, d\nsys.modules['stub'] = types", True),
        ("import a, b, c\nsys.modules['stub'] = types\nimport d", False),
    ],
)
def test_what_the_project_put_among_the_modules_was_met_by_what_came_later(
    child: ChildRun, source: str, *, fits_in: bool
) -> None:
    for name in "abcd":
        child.package(f"{name}.py")
    preload = child.preload(f"import sys, types\n{source}")
    assert child.replay_twice(preload) == []
    assert child.told.fits is fits_in


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
    descriptors = sorted(os.listdir("/proc/self/fd"))
    assert child.replay(preload) == []
    print("after", flush=True)
    assert tuple(capfd.readouterr()) == ("after\n", "")
    assert (sys.stdout, sys.stderr) == streams
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


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
