"""What a child notes of its imports, for a standby to import the same."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType

import pytest

from asyncreload.child.preload.conditions import read_conditions
from asyncreload.child.preload.recorder import PATCHES, Aliases, Recorder
from asyncreload.protocol import Preload
from tests.unit.preload.child_runs import ChildRun


def test_modules_are_noted_in_their_order(child: ChildRun) -> None:
    child.package("b.py", "import a")
    child.package("a.py")
    child.package("c", "import c.sub")
    child.package("c/sub.py")
    child.module("mine.py", "import c")
    preload = child.preload("import b, mine")
    assert preload.root == child.root
    assert [name for name in preload.modules if name in "a b c c.sub mine"] == [
        "b",
        "a",
        "c",
        "c.sub",
    ]


def test_the_standard_library_is_noted_too(child: ChildRun) -> None:
    child.modules.discard("colorsys")
    child.start()
    assert "colorsys" in child.preload("import colorsys").modules


def test_the_rest_of_a_package_that_has_failed_is_not_noted(child: ChildRun) -> None:
    """It cannot be imported by its name: as of GeoDjango, where its libraries are missing."""
    child.package("broken", "import broken.part.sub\nraise ImportError")
    child.package("broken/part")
    child.package("broken/part/sub.py")
    preload = child.preload("try: import broken\nexcept ImportError: pass")
    assert "broken.part.sub" in sys.modules
    assert not {"broken", "broken.part", "broken.part.sub"} & {*preload.modules}


def test_what_there_was_before_is_not_noted(child: ChildRun) -> None:
    child.package("third.py")
    child.run("import third")
    child.recorder = Recorder()
    assert child.preload("import third").modules == ()


def test_what_the_import_system_has_not_made_is_not_noted(child: ChildRun) -> None:
    """An alias, a made-up module, a script: to import these by name gives something else."""
    child.package("third.py")
    source = """
    import sys, types, third
    sys.modules["alias"] = third
    sys.modules["made_up"] = types.ModuleType("made_up")
    sys.modules["nothing"] = None
    sys.modules["object"] = object()
    """
    assert not {"alias", "made_up", "nothing", "object"} & {*child.preload(source).modules}


def test_changes_of_the_environment_are_noted(child: ChildRun) -> None:
    for name in "abc":
        child.package(f"{name}.py")
    os.environ["GONE"] = "soon"
    child.start()
    preload = child.preload(
        """
        import os, a
        os.environ["MODE"] = "fast"
        del os.environ["GONE"]
        import b
        import c
        """
    )
    assert preload.changes == {"b": {"MODE": "fast", "GONE": None}}


def test_conditions_are_noted(child: ChildRun) -> None:
    for name in "ab":
        child.package(f"{name}.py")
    child.path(root=True)
    before = read_conditions()
    preload = child.preload(
        "import a, warnings\nwarnings.filterwarnings('ignore', 'old')\nimport b"
    )
    noted = [preload.conditions[preload.settings[name]] for name in "ab"]
    for each in noted:
        assert each.pop("modules put under other names") == []
        del each[PATCHES]
    assert noted == [before, read_conditions()]
    assert before != read_conditions()


def test_equal_conditions_are_noted_once(child: ChildRun) -> None:
    for name in "abc":
        child.package(f"{name}.py")
    assert len(child.preload("import a, b, c").conditions) == 1


@pytest.mark.parametrize("name", ["gevent.monkey", "eventlet.patcher"])
def test_nothing_is_noted_where_the_interpreter_is_patched(child: ChildRun, name: str) -> None:
    child.package("third.py")
    top, _, sub = name.partition(".")
    child.package(top)
    child.package(f"{top}/{sub}.py")
    why = f"{name} changes Python for all that is imported later"
    assert child.preload(f"import third\nimport {name}") == Preload(child.root, obstacle=why)


def test_what_a_standby_finds_when_it_loads_is_not_what_is_told(child: ChildRun) -> None:
    """A module that it has to load late finds what was only loaded after it at first."""
    child.module("colours.py")
    child.package("a.py", "NAME = 'a'")
    child.package("needy.py", "import colours")
    child.package("c.py", "import a; a.NAME = 'c'")
    source = "import a, needy, c"
    preload = child.preload(source)
    kept = preload.replaced(modules=tuple(name for name in preload.modules if name != "needy"))
    assert child.replay(kept) == []
    again = child.preload(source)
    assert again.data == preload.data


def test_what_was_replayed_is_told_again(child: ChildRun) -> None:
    """A child that has imported nothing by itself tells the same as the one before."""
    for name in "abc":
        child.package(f"{name}.py")
    os.environ.pop("MODE", None)
    app = "import os, a\nos.environ['MODE'] = 'fast'\nimport b"
    first = child.preload(app)
    del os.environ["MODE"]
    child.replay(first)
    assert {"a", "b"} <= {*child.preload(app).modules}
    del os.environ["MODE"]
    child.replay(first)
    second = child.preload(app)
    assert (second.modules, second.changes, second.final) == (
        first.modules,
        first.changes,
        first.final,
    )
    third = child.preload("import c")
    assert third.modules == (*first.modules, "c")


# --- aliases -----------------------------------------------------------------------------------


def test_aliases_are_found_whenever_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are looked into once, as long as each is the same."""
    aliases = Aliases(frozenset(sys.modules))
    monkeypatch.setitem(sys.modules, "own_name", with_name("own_name"))
    monkeypatch.setitem(sys.modules, "other_name", with_name("own_name"))
    for _ in range(2):
        assert aliases.find() == {"other_name"}
    # As the import system does it when a load has ended: the order is another one.
    sys.modules["own_name"] = sys.modules.pop("own_name")
    assert aliases.find() == {"other_name"}
    monkeypatch.setitem(sys.modules, "own_name", with_name("somebody"))
    assert aliases.find() == {"own_name", "other_name"}
    monkeypatch.setitem(sys.modules, "other_name", with_name("other_name"))
    assert aliases.find() == {"own_name"}
    monkeypatch.delitem(sys.modules, "own_name")
    assert aliases.find() == set()
    monkeypatch.setitem(sys.modules, "own_name", with_name("somebody"))
    assert aliases.find() == {"own_name"}


def with_name(name: str) -> ModuleType:
    return module_from_spec(ModuleSpec(name, None))
