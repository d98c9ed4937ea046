"""What a child notes of its imports, and what a standby makes of it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from asyncreload.child import preload
from asyncreload.child.conditions import conditions, setting
from asyncreload.child.preload import Recorder, fits, is_shadowed, replay
from asyncreload.child.watch import Watch
from asyncreload.protocol import Recipe, decode

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


class Life:
    """A child and the standby after it, in this process: packages, a project, and a watch."""

    def __init__(self, directory: Path, watch_loaders: Callable[[Watch], None]) -> None:
        self.packages = directory / "site-packages"
        self.project = directory / "project"
        for path in (self.packages, self.project):
            path.mkdir()
        sys.path.insert(0, str(self.packages))
        self.root = str(self.project)
        self.modules = set(sys.modules)
        self.watch = Watch()
        watch_loaders(self.watch)
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

    def recipe(self, source: str) -> Recipe:
        """Load an app, and return what there is to replay, as the next child is told it."""
        self.run(source)
        found = self.recorder.write(self.root, conditions(self.root))
        travelled = decode(found.encode())
        assert travelled == found
        assert isinstance(travelled, Recipe)
        return travelled

    def replay(self, recipe: Recipe) -> list[str]:
        """Be a standby."""
        recorder = self.start()
        self.watch.refuses_project = True
        try:
            return replay(recipe, recorder, lambda: self.watch.refused)
        finally:
            self.watch.refuses_project = False

    def replay_twice(self, recipe: Recipe) -> list[str]:
        """Be a standby that finds data to differ, and the next one, which knows."""
        self.replay(recipe)
        return self.replay(recipe.replaced(doubts=self.recorder.doubts))

    def loaded(self) -> set[str]:
        """Return what was imported since the start."""
        return set(sys.modules) - self.modules


@pytest.fixture
def life(tmp_path: Path, loaders: Callable[[Watch], None]) -> Life:
    return Life(tmp_path, loaders)


# --- what is noted ---------------------------------------------------------------------------


def test_modules_are_noted_in_their_order(life: Life) -> None:
    life.package("b.py", "import a")
    life.package("a.py")
    life.package("c", "import c.sub")
    life.package("c/sub.py")
    life.module("mine.py", "import c")
    recipe = life.recipe("import b, mine")
    assert recipe.root == life.root
    assert [name for name in recipe.modules if name in "a b c c.sub mine"] == [
        "b",
        "a",
        "c",
        "c.sub",
    ]


def test_the_standard_library_is_noted_too(life: Life) -> None:
    life.modules.discard("colorsys")
    life.start()
    assert "colorsys" in life.recipe("import colorsys").modules


def test_what_there_was_before_is_not_noted(life: Life) -> None:
    life.package("third.py")
    life.run("import third")
    life.recorder = Recorder()
    assert life.recipe("import third").modules == ()


def test_what_the_import_system_has_not_made_is_not_noted(life: Life) -> None:
    """An alias, a made-up module, a script: to import these by name gives something else."""
    life.package("third.py")
    source = """
    import sys, types, third
    sys.modules["alias"] = third
    sys.modules["made_up"] = types.ModuleType("made_up")
    sys.modules["nothing"] = None
    sys.modules["object"] = object()
    """
    assert not {"alias", "made_up", "nothing", "object"} & {*life.recipe(source).modules}


def test_changes_of_the_environment_are_noted(life: Life) -> None:
    for name in "abc":
        life.package(f"{name}.py")
    os.environ["GONE"] = "soon"
    life.start()
    recipe = life.recipe(
        """
        import os, a
        os.environ["MODE"] = "fast"
        del os.environ["GONE"]
        import b
        import c
        """
    )
    assert recipe.changes == {"b": {"MODE": "fast", "GONE": None}}


def test_settings_are_noted(life: Life) -> None:
    for name in "ab":
        life.package(f"{name}.py")
    life.path(root=True)
    before = setting()
    recipe = life.recipe("import a, warnings\nwarnings.filterwarnings('ignore', 'old')\nimport b")
    assert recipe.settings["a"] == before
    assert recipe.settings["b"] == setting() != before


@pytest.mark.parametrize("name", ["gevent.monkey", "eventlet.patcher"])
def test_nothing_is_noted_where_the_world_is_patched(life: Life, name: str) -> None:
    life.package("third.py")
    top, _, sub = name.partition(".")
    life.package(top)
    life.package(f"{top}/{sub}.py")
    assert life.recipe(f"import third\nimport {name}") == Recipe(life.root)


@pytest.mark.parametrize(
    "change",
    ["sys.path.insert(0, '/elsewhere')", "sys.path.append('/elsewhere')", "del sys.path[-1]"],
)
def test_nothing_is_noted_when_the_path_is_changed(life: Life, change: str) -> None:
    life.package("third.py")
    assert life.recipe(f"import sys, third\n{change}") == Recipe(life.root)


# --- the replay ------------------------------------------------------------------------------


def test_modules_are_replayed(life: Life) -> None:
    life.package("third", "import third.sub")
    life.package("third/sub.py")
    life.package("other.py")
    recipe = life.recipe("import third, other")
    assert life.replay(recipe) == []
    assert {"third", "third.sub", "other"} <= life.loaded()
    assert life.recorder.recipe == recipe


def test_the_project_is_refused(life: Life) -> None:
    """Its modules are no part of the recipe, and a package that asks for one fails."""
    life.package("third.py")
    life.package("needy.py", "import mine")
    life.module("mine.py")
    recipe = life.recipe("import third, needy, mine")
    assert "mine" not in recipe.modules
    assert life.replay(recipe) == ["needy"]
    assert {"third"} == life.loaded() & {"third", "needy", "mine"}


@pytest.mark.parametrize(
    "end", ["1 / 0", "import sys; sys.exit(3)", "raise KeyboardInterrupt", "import nowhere"]
)
def test_what_fails_is_told_and_the_rest_goes_on(life: Life, end: str) -> None:
    for name in ("a", "bad", "z"):
        life.package(f"{name}.py")
    recipe = life.recipe("import a, bad, z")
    life.package("bad.py", end)
    assert life.replay(recipe) == ["bad"]
    assert {"a", "z"} == life.loaded() & {"a", "bad", "z"}


def test_one_that_is_gone_is_told(life: Life) -> None:
    life.package("third.py")
    recipe = life.recipe("import third")
    (life.packages / "third.py").unlink()
    assert life.replay(recipe) == ["third"]


ENVIRONMENT = "import os\nSEEN = os.environ.get('MODE'), os.environ.get('GONE')"


def test_the_environment_is_applied_and_undone(life: Life) -> None:
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
    recipe = life.recipe(app)
    os.environ.clear()
    os.environ.update(before)
    recipe = recipe.replaced(modules=("a", "b", "c"))
    assert life.replay(recipe) == []
    seen = [sys.modules[name].SEEN for name in "abc"]
    assert seen == [(None, "soon"), ("fast", "soon"), ("faster", None)]
    assert dict(os.environ) == before


def test_the_environment_is_undone_after_a_failure(life: Life) -> None:
    life.package("third.py")
    recipe = life.recipe("import os\nos.environ['MODE'] = 'fast'\nimport third")
    del os.environ["MODE"]
    life.package("third.py", "raise SystemExit")
    assert life.replay(recipe) == ["third"]
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
    life: Life, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(life.root)
    for name in "abc":
        life.package(f"{name}.py")
    first = life.recipe("import a, b, c")
    life.start()
    recipe = life.recipe(f"import a\n{change}\nimport b, c")
    assert recipe.final != first.final
    # As it was before the app ran:
    monkeypatch.setattr(preload, "setting", lambda _name="": first.settings["a"])
    assert life.replay(recipe) == []
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
def test_the_replay_ends_where_the_app_had_set_up_a_package(life: Life, change: str) -> None:
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
    recipe = life.recipe(f"import a\n{change}\nimport b, c, b")
    assert life.replay_twice(recipe) == []
    assert {"a"} == life.loaded() & {"a", "b", "c"}
    assert life.recorder.stopped == "b"


def test_what_packages_do_to_each_other_is_no_reason(life: Life) -> None:
    """It is repeated by the replay; also after a package that has been left out."""
    life.module("colours.py")
    life.package("a.py", "import time\nNAME, WHEN, LAZY = 'a', [time.time], type('Lazy', (), {})()")
    life.package("b.py", "import a; a.NAME = 'changed by a package'")
    life.package("needy.py", "import a, colours; a.NAME = 'changed by another'")
    life.package("c.py")
    recipe = life.recipe("import a, b, needy, c")
    assert life.replay(recipe) == ["needy"]
    kept = recipe.replaced(modules=tuple(name for name in recipe.modules if name != "needy"))
    assert life.replay_twice(kept) == []
    assert life.recorder.stopped == "c"
    assert {"a", "b"} == life.loaded() & {"a", "b", "c", "needy"}


def test_data_that_are_never_the_same_are_no_reason(life: Life) -> None:
    """A key that is drawn, or the time, of when a package is imported."""
    life.package("a.py", "import time, uuid\nKEY, AT = str(uuid.uuid4()), [time.time_ns()]")
    for name in "bc":
        life.package(f"{name}.py")
    recipe = life.recipe("import a, b\nb.SET = True\nimport c")
    assert life.replay(recipe) == []
    assert {"a:KEY", "a:AT"} < set(life.recorder.doubts)
    assert life.replay(recipe.replaced(doubts=life.recorder.doubts)) == []
    assert life.recorder.doubts == {}
    assert life.recorder.stopped == "c"
    life.start()
    recipe = life.recipe("import a, b, c")
    assert life.replay_twice(recipe) == []
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
    life: Life, source: str, *, fits_in: bool
) -> None:
    for name in "abcd":
        life.package(f"{name}.py")
    recipe = life.recipe(f"import sys, types\n{source}")
    assert life.replay_twice(recipe) == []
    assert fits(life.recorder) is fits_in


def test_what_a_warm_child_finds_is_not_what_was_recorded(life: Life) -> None:
    """A module that it has to load late finds what was only loaded after it at first."""
    life.module("colours.py")
    life.package("a.py", "NAME = 'a'")
    life.package("needy.py", "import colours")
    life.package("c.py", "import a; a.NAME = 'c'")
    source = "import a, needy, c"
    recipe = life.recipe(source)
    kept = recipe.replaced(modules=tuple(name for name in recipe.modules if name != "needy"))
    assert life.replay(kept) == []
    life.watch.refuses_project = False
    again = life.recipe(source)
    assert again.data == recipe.data


def test_lazy_objects_are_left_alone(life: Life) -> None:
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
    recipe = life.recipe("import a, b")
    assert life.replay(recipe) == []
    assert {"a", "b"} <= life.loaded()


def test_what_is_printed_goes_nowhere(
    life: Life, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
    recipe = life.recipe("import third")
    capfd.readouterr()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):  # capfd's own do not write to these
        monkeypatch.setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115  not ours
    streams = sys.stdout, sys.stderr
    descriptors = sorted(os.listdir("/proc/self/fd"))
    assert life.replay(recipe) == []
    print("after", flush=True)
    assert tuple(capfd.readouterr()) == ("after\n", "")
    assert (sys.stdout, sys.stderr) == streams
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_without_a_stream(life: Life, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    life.package("third.py")
    recipe = life.recipe("import third")
    monkeypatch.setattr(sys, stream, None)
    assert life.replay(recipe) == []


def test_what_was_replayed_is_told_again(life: Life) -> None:
    """A child that has imported nothing by itself has the same recipe as the one before."""
    for name in "abc":
        life.package(f"{name}.py")
    os.environ.pop("MODE", None)
    app = "import os, a\nos.environ['MODE'] = 'fast'\nimport b"
    first = life.recipe(app)
    del os.environ["MODE"]
    life.replay(first)
    assert {"a", "b"} <= {*life.recipe(app).modules}
    del os.environ["MODE"]
    life.replay(first)
    second = life.recipe(app)
    assert (second.modules, second.changes, second.final) == (
        first.modules,
        first.changes,
        first.final,
    )
    third = life.recipe("import c")
    assert third.modules == (*first.modules, "c")


def test_a_failure_leaves_the_guard_to_the_watch(life: Life) -> None:
    """Outside a replay the project's code loads."""
    life.module("mine.py", "LOADED = True")
    life.replay(Recipe(life.root))
    assert life.run("import mine")["mine"].LOADED


# --- the conditions --------------------------------------------------------------------------


def test_the_same_twice(life: Life) -> None:
    assert conditions(life.root) == conditions(life.root)


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
def test_what_differs_is_told(life: Life, change: str, told: str) -> None:
    before = conditions(life.root)
    life.run(f"import logging, os, sys, warnings\n{change}")
    after = conditions(life.root)
    assert told in [name for name in before if before[name] != after[name]]


def test_a_patched_world_differs(life: Life) -> None:
    """A replay of an app that did not patch is nothing for one that does."""
    life.package("gevent")
    life.package("gevent/monkey.py")
    before = conditions(life.root)
    life.run("import gevent.monkey")
    assert conditions(life.root) != before


def test_the_conditions_travel(life: Life) -> None:
    found = Recipe(life.root, final=conditions(life.root))
    travelled = decode(found.encode())
    assert isinstance(travelled, Recipe)
    assert travelled.final == conditions(life.root)


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
def test_shadows(life: Life, name: str, expected: bool) -> None:  # noqa: FBT001  the expectation
    life.package("third", "import third.sub")
    life.package("third/sub.py")
    life.replay(life.recipe("import third"))
    path = life.project / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    suffix = "".join(path.suffixes)
    if suffix.endswith(".so"):
        from importlib.machinery import EXTENSION_SUFFIXES  # noqa: PLC0415  for this one

        path.rename(path.with_name(f"third{EXTENSION_SUFFIXES[0]}"))
    assert is_shadowed(life.recorder) is expected


def test_nothing_was_replayed(life: Life) -> None:
    life.module("third.py")
    life.path(root=True)
    assert not is_shadowed(Recorder())


def test_no_root(life: Life) -> None:
    life.package("third.py")
    life.replay(life.recipe("import third"))
    sys.path.insert(0, str(life.project / "gone"))
    assert not is_shadowed(life.recorder)
