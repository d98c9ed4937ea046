"""Which edits of a project a standby's process may stand for: several modules, one load."""

from __future__ import annotations

from typing import NoReturn

import pytest

from asyncreload.child.preload.conditions import Conditions
from asyncreload.child.preload.session import QuietObserver, RecordingObserver
from asyncreload.child.watch.file_state import FileState
from asyncreload.protocol import Preload
from tests.unit.preload.child_runs import ChildRun


class ColdStartError(Exception):
    """Raised where the process would end, so that a cold one takes its place."""


def start_cold(reason: str, found: Conditions) -> NoReturn:
    del found
    raise ColdStartError(reason)


class Project:
    """A project whose root is imported as `main`, loaded again and again."""

    def __init__(self, child: ChildRun) -> None:
        self.child = child
        for name in ("third", "second", "late"):
            child.package(f"{name}.py", "def call(*given): pass\n")
        child.package("big", "import second\nimport big.part\ndef call(*given): pass\n")
        child.package("big/part.py")

    def write(self, **files: str) -> None:
        for name, source in files.items():
            self.child.module(f"{name}.py", source)

    def load(self) -> Preload:
        """Load it; start cold if what was imported ahead does not fit."""
        self.child.observer = RecordingObserver(self.child.recorder, start_cold, lambda _: None)
        self.child.path(root=True)
        exec("import main", {"__name__": "app"})
        self.child.recorder.end_load()
        return self.child.preload("")

    def is_warm(self, told: Preload, **files: str) -> bool:
        """Tell whether a replay may stand for a load of these files."""
        assert self.child.replay(told) == []
        self.write(**files)
        try:
            self.load()
        except ColdStartError:
            return False
        return True


@pytest.fixture
def project(child: ChildRun) -> Project:
    return Project(child)


ROOT = """\
'''A shop.'''
import json
import big
TITLE = "shop"
import views
import second
SECONDS = 60
def index(): return TITLE
if __name__ == "__main__":
    import late
"""


@pytest.mark.parametrize(
    ("old", "new", "is_warm"),
    [
        ("SECONDS = 60", "SECONDS = 70", True),
        ("SECONDS = 60", "big.call(TITLE)", True),
        ("A shop", "A market", True),
        ("return TITLE", "return SECONDS", True),
        ("__main__", "main", True),
        ("    import late\n", "    import late\n    late.call()\n", True),
        ('"shop"', '"market"', False),  # `views` loads a package below
        ("import second\n", "", False),
        ("import second\n", "import third\n", False),
        ("import late", "import third", False),
        ("import late", "pass", False),
        ("import json\n", "import json, colorsys\n", False),
        ("SECONDS = 60\n", "from big import part\n", False),
    ],
)
def test_edits_of_the_root(project: Project, old: str, new: str, *, is_warm: bool) -> None:
    project.write(main=ROOT, views="import json\nVALUE = 1\nimport third\n")
    told = project.load()
    assert old in ROOT
    assert project.is_warm(told, main=ROOT.replace(old, new)) is is_warm


@pytest.mark.parametrize(
    ("views", "is_warm"),
    [
        ("VALUE = 2\nimport big\nLAST = 1\nimport second\n", True),
        ("VALUE = 1\nimport big\nLAST = 2\nimport second\n", True),
        ("VALUE = 1\nimport big\nimport second\n", True),
        ("VALUE = 1\nimport second\nimport big\n", False),
        ("VALUE = 1\nimport big\n", False),
        ("VALUE = 1\nLAST = 1\n", False),
    ],
)
def test_edits_of_a_module_that_loads_no_package(
    project: Project, views: str, *, is_warm: bool
) -> None:
    """Which it imports: the root has done so before."""
    project.write(
        main="import big\nimport views\nimport third\n",
        views="VALUE = 1\nimport big\nLAST = 1\nimport second\n",
    )
    assert project.is_warm(project.load(), views=views) is is_warm


def test_what_calls_a_function_that_imports_is_above(project: Project) -> None:
    source = "import views\nTITLE = 'shop'\nviews.set_up(\n    'fast',\n)\nSECONDS = 60\n"
    project.write(main=source, views="def set_up(how):\n    import third\n")
    told = project.load()
    assert project.is_warm(told, main=source.replace("60", "70"))
    assert not project.is_warm(told, main=source.replace("shop", "market"))
    assert not project.is_warm(told, main=source.replace("fast", "slow"))


def test_a_loop_that_imports(project: Project) -> None:
    source = """\
from importlib import import_module
for name in ("big", "third"):
    import_module(name)
    AFTER = "each"
LAST = "last"
"""
    project.write(main=source)
    told = project.load()
    assert project.is_warm(told, main=source.replace('"last"', "1"))
    assert not project.is_warm(told, main=source.replace('"each"', "1"))
    assert not project.is_warm(told, main=source.replace('"third"', '"late"'))


def test_one_edit_after_the_other(project: Project) -> None:
    """Each child tells the next one what it has loaded, with what it was given."""
    source = "import big\nA = 1\nif A > 2:\n    import third\nB = 1\nimport second\nC = 1\n"
    project.write(main=source)
    told = project.load()
    for old, new, is_warm in (
        ("A = 1", "A = 2", True),
        ("A = 2", "A = 3", True),  # which loads a package anew
        ("B = 1", "B = 2", True),
        ("C = 1", "C = 2", True),
        ("A = 3", "A = 4", False),  # so this counts from now on
        ("A = 4", "A = 1", False),
    ):
        assert old in source
        assert project.child.replay(told) == []
        source = source.replace(old, new)
        project.write(main=source)
        try:
            told = project.load()
        except ColdStartError:
            assert not is_warm, source
            project.child.start()
            told = project.load()
        else:
            assert is_warm, source


def test_what_another_module_has_changed_may_load_a_package_in_one_that_is_the_same(
    project: Project,
) -> None:
    source = "import big, views\nA = 1\nif views.DEBUG:\n    import third\nB = 1\n"
    more = "import late\nC = 1\n"
    project.write(main=source + more, views="DEBUG = False\n")
    told = project.load()
    assert project.child.replay(told) == []
    project.write(views="DEBUG = True\n")
    told = project.load()
    assert "third" in told.modules
    assert project.is_warm(told, main=f"{source}{more}C = 2\n")
    # It was loaded in this process, what follows it ahead: that still counts.
    assert not project.is_warm(told, main=source.replace("A = 1", "A = 2") + more)
    assert not project.is_warm(told, main=source.replace("B = 1", "B = 2") + more)


def test_a_package_that_is_loaded_anew_counts_from_then_on(project: Project) -> None:
    source = "import big, views\nA = 1\nif views.DEBUG:\n    import third\nB = 1\n"
    project.write(main=source, views="DEBUG = False\n")
    told = project.load()
    assert project.is_warm(told, main=source.replace("A = 1", "A = 2"))
    assert project.child.replay(told) == []
    project.write(views="DEBUG = True\n", main=source)
    told = project.load()
    assert project.is_warm(told, main=source.replace("B = 1", "B = 2"))
    assert not project.is_warm(told, main=source.replace("A = 1", "A = 2"))


def test_a_module_that_is_loaded_once_more_counts_as_it_is_now(project: Project) -> None:
    project.write(main="import big\nA = 1\n")
    told = project.load()
    assert project.child.replay(told) == []
    project.load()
    path, recorder = f"{project.child.root}/main.py", project.child.recorder
    code = compile("A = 1\nimport big\n", path, "exec")
    recorder.after_compile(path, code, FileState((1, 2, 3, 4)))
    assert project.child.preload("").import_prefixes[path] != told.import_prefixes[path]


def test_what_requests_import_is_nothing_that_counts(project: Project) -> None:
    """A script that serves is at its last statement then."""
    recorder, path = project.child.recorder, f"{project.child.root}/main.py"

    def serve() -> None:
        recorder.end_load()
        exec(compile("import late", path, "exec"), {})

    code = compile("import big\nA = 1\nserve()\n", path, "exec")
    project.child.observer = QuietObserver(recorder)
    recorder.after_compile(path, code, FileState((1, 2, 3, 4)))
    exec(code, {"serve": serve})
    told = project.child.preload("")
    assert "late" in told.modules
    assert project.is_warm(told, main="import big\nA = 2\n")


def test_a_script_is_known_by_any_spelling(project: Project) -> None:
    """Such as that of the command; it is watched under another."""
    recorder, path = project.child.recorder, f"{project.child.root}/main.py"
    source = "A = 1\nimport big\n"
    code = compile(source, f"{project.child.root}/./main.py", "exec")
    recorder.after_compile(path, code, FileState((1, 2, 3, 4)))
    project.child.observer = QuietObserver(recorder)
    exec(code, {"__name__": "app"})
    assert project.child.preload("").import_prefixes[path][0] > 0


def test_nothing_is_told_twice(project: Project) -> None:
    """Else a standby would be replaced for nothing."""
    project.write(main=ROOT, views="import third\n")
    told = project.load()
    assert project.child.replay(told) == []
    project.write(main=ROOT.replace("60", "70"))
    assert project.load().is_like(told)
