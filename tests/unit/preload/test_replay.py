"""What a child notes of its imports, and what a standby makes of it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child.preload import replay as module
from asyncreload.child.preload.fingerprint import setting, snapshot
from asyncreload.child.preload.replay import Recorder, fits, is_shadowed, replay
from asyncreload.child.watch.watch import Watch
from asyncreload.protocol import Preload, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def clean(imports: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Imports, environment, filters and loggers are put back after each test."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    environ, root = dict(os.environ), logging.getLogger()
    level, handlers, disable = root.level, list(root.handlers), root.manager.disable
    with warnings.catch_warnings():
        yield
    os.environ.clear()
    os.environ.update(environ)
    root.setLevel(level)
    root.handlers[:] = handlers
    root.manager.disable = disable


def nothing(_name: str) -> None:
    pass


class ChildRun:
    """A child and the standby after it, in this process: packages, a project, and a watch."""

    def __init__(self, directory: Path, install_import_hooks: Callable[[Watch], None]) -> None:
        self.packages = directory / "site-packages"
        self.project = directory / "project"
        for path in (self.packages, self.project):
            path.mkdir()
        sys.path.insert(0, str(self.packages))
        self.root = str(self.project)
        self.modules = set(sys.modules)
        self.watch = Watch()
        install_import_hooks(self.watch)
        self.recorder = self.start()

    def package(self, name: str, source: str = "") -> None:
        self._write(self.packages / name, source)

    def module(self, name: str, source: str = "") -> None:
        self._write(self.project / name, source)

    def _write(self, path: Path, source: str) -> None:
        path = path if path.suffix else path / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))

    def start(self) -> Recorder:
        """Be the next child: nothing is imported."""
        for name in set(sys.modules) - self.modules:
            del sys.modules[name]
        self.path(root=False)
        self.recorder = Recorder()
        self.watch.before_package = nothing
        return self.recorder

    def path(self, *, root: bool) -> None:
        """Have the project on the path, or not: a child boots without."""
        if self.root in sys.path:
            sys.path.remove(self.root)
        if root:
            sys.path.insert(0, self.root)

    def run(self, source: str) -> dict[str, Any]:
        """Load an app, as one that is watched."""
        self.watch.before_package = self.recorder.before_import
        self.path(root=True)
        names: dict[str, Any] = {"__name__": "app"}
        exec(compile(dedent(source), "app.py", "exec"), names)
        return names

    def preload(self, source: str) -> Preload:
        """Load an app, and return what there is to replay, as the next child is told it."""
        self.run(source)
        found = self.recorder.write(self.root, snapshot(self.root))
        travelled = decode(found.encode())
        assert travelled == found
        assert isinstance(travelled, Preload)
        return travelled

    def replay(self, preload: Preload) -> list[str]:
        """Be a standby."""
        recorder = self.start()
        self.watch.refuses_project = True
        try:
            return replay(preload, recorder, lambda: self.watch.refused)
        finally:
            self.watch.refuses_project = False

    def replay_twice(self, preload: Preload) -> list[str]:
        """Be a standby that finds data to differ, and the next one, which knows."""
        self.replay(preload)
        return self.replay(preload.replaced(mismatches=self.recorder.mismatches))

    def loaded(self) -> set[str]:
        """Return what was imported since the start."""
        return set(sys.modules) - self.modules


@pytest.fixture
def life(tmp_path: Path, loaders: Callable[[Watch], None]) -> ChildRun:
    return ChildRun(tmp_path, loaders)


# --- what is noted ---------------------------------------------------------------------------


def test_modules_are_noted_in_their_order(life: ChildRun) -> None:
    life.package("b.py", "import a")
    life.package("a.py")
    life.package("c", "import c.sub")
    life.package("c/sub.py")
    life.module("mine.py", "import c")
    preload = life.preload("import b, mine")
    assert preload.root == life.root
    assert [name for name in preload.modules if name in "a b c c.sub mine"] == [
        "b",
        "a",
        "c",
        "c.sub",
    ]


def test_the_standard_library_is_noted_too(life: ChildRun) -> None:
    life.modules.discard("colorsys")
    life.start()
    assert "colorsys" in life.preload("import colorsys").modules


def test_what_there_was_before_is_not_noted(life: ChildRun) -> None:
    life.package("third.py")
    life.run("import third")
    life.recorder = Recorder()
    assert life.preload("import third").modules == ()


def test_what_the_import_system_has_not_made_is_not_noted(life: ChildRun) -> None:
    """An alias, a made-up module, a script: to import these by name gives something else."""
    life.package("third.py")
    source = """
    import sys, types, third
    sys.modules["alias"] = third
    sys.modules["made_up"] = types.ModuleType("made_up")
    sys.modules["nothing"] = None
    sys.modules["object"] = object()
    """
    assert not {"alias", "made_up", "nothing", "object"} & {*life.preload(source).modules}


def test_changes_of_the_environment_are_noted(life: ChildRun) -> None:
    for name in "abc":
        life.package(f"{name}.py")
    os.environ["GONE"] = "soon"
    life.start()
    preload = life.preload(
        """
        import os, a
        os.environ["MODE"] = "fast"
        del os.environ["GONE"]
        import b
        import c
        """
    )
    assert preload.changes == {"b": {"MODE": "fast", "GONE": None}}


def test_settings_are_noted(life: ChildRun) -> None:
    for name in "ab":
        life.package(f"{name}.py")
    life.path(root=True)
    before = setting()
    preload = life.preload("import a, warnings\nwarnings.filterwarnings('ignore', 'old')\nimport b")
    assert preload.settings["a"] == before
    assert preload.settings["b"] == setting() != before


@pytest.mark.parametrize("name", ["gevent.monkey", "eventlet.patcher"])
def test_nothing_is_noted_where_the_world_is_patched(life: ChildRun, name: str) -> None:
    life.package("third.py")
    top, _, sub = name.partition(".")
    life.package(top)
    life.package(f"{top}/{sub}.py")
    assert life.preload(f"import third\nimport {name}") == Preload(life.root)


@pytest.mark.parametrize(
    "change",
    ["sys.path.insert(0, '/elsewhere')", "sys.path.append('/elsewhere')", "del sys.path[-1]"],
)
def test_nothing_is_noted_when_the_path_is_changed(life: ChildRun, change: str) -> None:
    life.package("third.py")
    assert life.preload(f"import sys, third\n{change}") == Preload(life.root)


# --- the replay ------------------------------------------------------------------------------


def test_modules_are_replayed(life: ChildRun) -> None:
    life.package("third", "import third.sub")
    life.package("third/sub.py")
    life.package("other.py")
    preload = life.preload("import third, other")
    assert life.replay(preload) == []
    assert {"third", "third.sub", "other"} <= life.loaded()
    assert life.recorder.preload == preload


def test_the_project_is_refused(life: ChildRun) -> None:
    """Its modules are no part of the recipe, and a package that asks for one fails."""
    life.package("third.py")
    life.package("needy.py", "import mine")
    life.module("mine.py")
    preload = life.preload("import third, needy, mine")
    assert "mine" not in preload.modules
    assert life.replay(preload) == ["needy"]
    assert {"third"} == life.loaded() & {"third", "needy", "mine"}


@pytest.mark.parametrize(
    "end", ["1 / 0", "import sys; sys.exit(3)", "raise KeyboardInterrupt", "import nowhere"]
)
def test_what_fails_is_told_and_the_rest_goes_on(life: ChildRun, end: str) -> None:
    for name in ("a", "bad", "z"):
        life.package(f"{name}.py")
    preload = life.preload("import a, bad, z")
    life.package("bad.py", end)
    assert life.replay(preload) == ["bad"]
    assert {"a", "z"} == life.loaded() & {"a", "bad", "z"}


def test_one_that_is_gone_is_told(life: ChildRun) -> None:
    life.package("third.py")
    preload = life.preload("import third")
    (life.packages / "third.py").unlink()
    assert life.replay(preload) == ["third"]


ENVIRONMENT = "import os\nSEEN = os.environ.get('MODE'), os.environ.get('GONE')"


def test_the_environment_is_applied_and_undone(life: ChildRun) -> None:
    for name in "abc":
        life.package(f"{name}.py", ENVIRONMENT)
    os.environ["GONE"] = "soon"
    life.start()
    app = """
    import os, a
    os.environ["MODE"] = "fast"
    import b
    os.environ["MODE"] = "faster"
    del os.environ["GONE"]
    import c
    """
    before = dict(os.environ)
    preload = life.preload(app)
    os.environ.clear()
    os.environ.update(before)
    preload = preload.replaced(modules=("a", "b", "c"))
    assert life.replay(preload) == []
    seen = [sys.modules[name].SEEN for name in "abc"]
    assert seen == [(None, "soon"), ("fast", "soon"), ("faster", None)]
    assert dict(os.environ) == before


def test_the_environment_is_undone_after_a_failure(life: ChildRun) -> None:
    life.package("third.py")
    preload = life.preload("import os\nos.environ['MODE'] = 'fast'\nimport third")
    del os.environ["MODE"]
    life.package("third.py", "raise SystemExit")
    assert life.replay(preload) == ["third"]
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
    life: ChildRun, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(life.root)
    for name in "abc":
        life.package(f"{name}.py")
    first = life.preload("import a, b, c")
    life.start()
    preload = life.preload(f"import a\n{change}\nimport b, c")
    assert preload.final != first.final
    # As it was before the app ran:
    monkeypatch.setattr(module, "setting", lambda _name="": first.settings["a"])
    assert life.replay(preload) == []
    assert {"a"} == life.loaded() & {"a", "b", "c"}
    assert life.recorder.stopped == "b"


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
def test_the_replay_ends_where_the_app_had_set_up_a_package(life: ChildRun, change: str) -> None:
    life.package(
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
    life.package("b.py")
    life.package("c.py", "import a; a.NAME = 'changed by a package'")
    preload = life.preload(f"import a\n{change}\nimport b, c, b")
    assert life.replay_twice(preload) == []
    assert {"a"} == life.loaded() & {"a", "b", "c"}
    assert life.recorder.stopped == "b"


def test_what_packages_do_to_each_other_is_no_reason(life: ChildRun) -> None:
    """It is repeated by the replay; also after a package that has been left out."""
    life.module("colours.py")
    life.package("a.py", "import time\nNAME, WHEN, LAZY = 'a', [time.time], type('Lazy', (), {})()")
    life.package("b.py", "import a; a.NAME = 'changed by a package'")
    life.package("needy.py", "import a, colours; a.NAME = 'changed by another'")
    life.package("c.py")
    preload = life.preload("import a, b, needy, c")
    assert life.replay(preload) == ["needy"]
    kept = preload.replaced(modules=tuple(name for name in preload.modules if name != "needy"))
    assert life.replay_twice(kept) == []
    assert life.recorder.stopped == "c"
    assert {"a", "b"} == life.loaded() & {"a", "b", "c", "needy"}


def test_data_that_are_never_the_same_are_no_reason(life: ChildRun) -> None:
    """A key that is drawn, or the time, of when a package is imported."""
    life.package("a.py", "import time, uuid\nKEY, AT = str(uuid.uuid4()), [time.time_ns()]")
    for name in "bc":
        life.package(f"{name}.py")
    preload = life.preload("import a, b\nb.SET = True\nimport c")
    assert life.replay(preload) == []
    assert {"a:KEY", "a:AT"} < set(life.recorder.mismatches)
    assert life.replay(preload.replaced(mismatches=life.recorder.mismatches)) == []
    assert life.recorder.mismatches == {}
    assert life.recorder.stopped == "c"
    life.start()
    preload = life.preload("import a, b, c")
    assert life.replay_twice(preload) == []
    assert life.recorder.stopped == ""
    assert set("abc") <= life.loaded()


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
    life: ChildRun, source: str, *, fits_in: bool
) -> None:
    for name in "abcd":
        life.package(f"{name}.py")
    preload = life.preload(f"import sys, types\n{source}")
    assert life.replay_twice(preload) == []
    assert fits(life.recorder) is fits_in


def test_what_a_warm_child_finds_is_not_what_was_recorded(life: ChildRun) -> None:
    """A module that it has to load late finds what was only loaded after it at first."""
    life.module("colours.py")
    life.package("a.py", "NAME = 'a'")
    life.package("needy.py", "import colours")
    life.package("c.py", "import a; a.NAME = 'c'")
    source = "import a, needy, c"
    preload = life.preload(source)
    kept = preload.replaced(modules=tuple(name for name in preload.modules if name != "needy"))
    assert life.replay(kept) == []
    life.watch.refuses_project = False
    again = life.preload(source)
    assert again.data == preload.data


def test_lazy_objects_are_left_alone(life: ChildRun) -> None:
    """To ask one for its class makes what it stands for: Django's settings, say."""
    life.package(
        "a.py",
        """
        class Lazy:
            @property
            def __class__(self):
                raise AssertionError("made")
        lazy, many = Lazy(), [Lazy()]
        """,
    )
    life.package("b.py")
    preload = life.preload("import a, b")
    assert life.replay(preload) == []
    assert {"a", "b"} <= life.loaded()


def test_what_is_printed_goes_nowhere(
    life: ChildRun, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    life.package(
        "third.py",
        """
        import os, sys
        print("printed")
        print("told", file=sys.stderr)
        os.write(1, b"written")
        os.write(2, b"written")
        """,
    )
    preload = life.preload("import third")
    capfd.readouterr()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):  # capfd's own do not write to these
        monkeypatch.setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115  not ours
    streams = sys.stdout, sys.stderr
    descriptors = sorted(os.listdir("/proc/self/fd"))
    assert life.replay(preload) == []
    print("after", flush=True)
    assert tuple(capfd.readouterr()) == ("after\n", "")
    assert (sys.stdout, sys.stderr) == streams
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_without_a_stream(life: ChildRun, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    life.package("third.py")
    preload = life.preload("import third")
    monkeypatch.setattr(sys, stream, None)
    assert life.replay(preload) == []


def test_what_was_replayed_is_told_again(life: ChildRun) -> None:
    """A child that has imported nothing by itself has the same recipe as the one before."""
    for name in "abc":
        life.package(f"{name}.py")
    os.environ.pop("MODE", None)
    app = "import os, a\nos.environ['MODE'] = 'fast'\nimport b"
    first = life.preload(app)
    del os.environ["MODE"]
    life.replay(first)
    assert {"a", "b"} <= {*life.preload(app).modules}
    del os.environ["MODE"]
    life.replay(first)
    second = life.preload(app)
    assert (second.modules, second.changes, second.final) == (
        first.modules,
        first.changes,
        first.final,
    )
    third = life.preload("import c")
    assert third.modules == (*first.modules, "c")


def test_a_failure_leaves_the_guard_to_the_watch(life: ChildRun) -> None:
    """Outside a replay the project's code loads."""
    life.module("mine.py", "LOADED = True")
    life.replay(Preload(life.root))
    assert life.run("import mine")["mine"].LOADED


# --- the conditions --------------------------------------------------------------------------


def test_the_same_twice(life: ChildRun) -> None:
    assert snapshot(life.root) == snapshot(life.root)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("os.environ['MODE'] = 'fast'", "environ"),
        ("sys.path.append('/elsewhere')", "path"),
        ("sys.meta_path.insert(0, type('Finder', (), {}))", "setting"),
        ("sys.path_hooks.append(lambda path: None)", "setting"),
        ("warnings.filterwarnings('ignore', 'old')", "setting"),
        ("logging.getLogger().setLevel(7)", "setting"),
    ],
)
def test_what_differs_is_told(life: ChildRun, change: str, told: str) -> None:
    before = snapshot(life.root)
    life.run(f"import logging, os, sys, warnings\n{change}")
    after = snapshot(life.root)
    assert told in [name for name in before if before[name] != after[name]]


def test_a_patched_world_differs(life: ChildRun) -> None:
    """A replay of an app that did not patch is nothing for one that does."""
    life.package("gevent")
    life.package("gevent/monkey.py")
    before = snapshot(life.root)
    life.run("import gevent.monkey")
    assert snapshot(life.root) != before


def test_the_conditions_travel(life: ChildRun) -> None:
    found = Preload(life.root, final=snapshot(life.root))
    travelled = decode(found.encode())
    assert isinstance(travelled, Preload)
    assert travelled.final == snapshot(life.root)


# --- shadows ---------------------------------------------------------------------------------


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
def test_shadows(life: ChildRun, name: str, expected: bool) -> None:  # noqa: FBT001  the expectation
    life.package("third", "import third.sub")
    life.package("third/sub.py")
    life.replay(life.preload("import third"))
    path = life.project / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    suffix = "".join(path.suffixes)
    if suffix.endswith(".so"):
        from importlib.machinery import EXTENSION_SUFFIXES  # noqa: PLC0415  for this one

        path.rename(path.with_name(f"third{EXTENSION_SUFFIXES[0]}"))
    assert is_shadowed(life.recorder) is expected


def test_nothing_was_replayed(life: ChildRun) -> None:
    life.module("third.py")
    life.path(root=True)
    assert not is_shadowed(Recorder())


def test_no_root(life: ChildRun) -> None:
    life.package("third.py")
    life.replay(life.preload("import third"))
    sys.path.insert(0, str(life.project / "gone"))
    assert not is_shadowed(life.recorder)
