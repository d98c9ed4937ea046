"""Imports point one way, held by reading the source: DESIGN.md, "The house"."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import asyncreload

assert asyncreload.__file__
HOME = Path(asyncreload.__file__).parent
FILES = sorted(HOME.rglob("*.py"))
GROUND = [path for path in FILES if path.parent == HOME]
PARENT = [path for path in FILES if path.parent == HOME / "parent"]
DJANGO = [path for path in FILES if (HOME / "django") in path.parents]
CHILD = [path for path in FILES if (HOME / "child") in path.parents]

# Each wing of the child knows those before it, and none behind it.
WINGS = ("watch", "imports", "preload", "checkpoint", "pages", "http", "lifecycle")

# The doors of the house open into a room; every other file of the ground floor knows neither.
DOORS = {
    "cli.py": "asyncreload.parent",
    "run_app.py": "asyncreload.child",
    "testing.py": "asyncreload.parent",
    "__init__.py": "asyncreload.parent",
}

# Each is imported by its framework alone, or by who serves an app of that.
FRAMEWORKS = {
    "flask.py": {"flask", "click", "werkzeug"},
    "bottle.py": {"bottle"},
    "paste.py": {"plaster", "paste", "pyramid"},
    "pyramid.py": {"pyramid"},
}


@dataclass(frozen=True)
class Import:
    """An import statement: whose it is, and when it is run."""

    name: str
    in_function: bool = False
    for_types: bool = False


class Collector(ast.NodeVisitor):
    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[Import] = []
        self._functions = 0
        self._types = 0

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_If(self, node: ast.If) -> None:
        for_types = ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        self._types += for_types
        for child in node.body:
            self.visit(child)
        self._types -= for_types
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._note(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:
            above = self.package.split(".")[: -(node.level - 1) or None]
            module = ".".join([*above, module]).rstrip(".")
        # `from asyncreload import child` names a module, too.
        for alias in node.names:
            self._note(f"{module}.{alias.name}")

    def visit_Call(self, node: ast.Call) -> None:
        function = ast.unparse(node.func)
        if function.rpartition(".")[2] in {"import_module", "__import__"}:
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    self._note(argument.value)
        self.generic_visit(node)

    def _note(self, name: str) -> None:
        self.found.append(Import(name, self._functions > 0, self._types > 0))


def imports_of(source: str, package: str = "asyncreload") -> list[Import]:
    collector = Collector(package)
    collector.visit(ast.parse(source))
    return collector.found


@cache
def imports(path: Path) -> list[Import]:
    package = ".".join(["asyncreload", *path.parent.relative_to(HOME).parts])
    return imports_of(path.read_text(encoding="utf-8"), package)


def inside(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def offenders(
    paths: list[Path], package: str, *, types: bool = True, late: bool = True
) -> set[str]:
    """Which files import something of a package, for types and in functions included."""
    return {
        str(path.relative_to(HOME))
        for path in paths
        for found in imports(path)
        if inside(found.name, package)
        and (types or not found.for_types)
        and (late or not found.in_function)
    }


def test_the_house_is_where_it_is_looked_for() -> None:
    assert {path.name for path in GROUND} > {"cli.py", "settings.py", "protocol.py"}
    assert {path.name for path in PARENT} > {"supervisor.py", "process.py"}
    assert {path.name for path in CHILD} > {"acceptor.py", "agent.py"}
    assert len(FILES) == len(GROUND) + len(PARENT) + len(CHILD) + len(DJANGO)


def test_the_parent_never_imports_the_child() -> None:
    assert offenders(PARENT, "asyncreload.child") == set()


def test_the_child_never_imports_the_parent() -> None:
    assert offenders(CHILD, "asyncreload.parent") == set()


@pytest.mark.parametrize("wing", WINGS)
def test_each_wing_of_the_child_knows_only_those_before_it(wing: str) -> None:
    files = [path for path in CHILD if path.parent == HOME / "child" / wing]
    assert files
    for later in WINGS[WINGS.index(wing) + 1 :]:
        assert offenders(files, f"asyncreload.child.{later}") == set()


def test_every_wing_of_the_child_has_its_place() -> None:
    assert {path.parent.name for path in CHILD} == {"child", *WINGS}


def test_the_ground_floor_knows_neither_but_by_its_doors() -> None:
    for room in ("asyncreload.parent", "asyncreload.child"):
        doors = {name for name, behind in DOORS.items() if behind == room}
        assert offenders(GROUND, room) == doors


def test_doors_are_opened_when_they_are_used() -> None:
    for room in ("asyncreload.parent", "asyncreload.child"):
        assert offenders(GROUND, room, types=False, late=False) <= {"cli.py", "testing.py"}


def test_the_parent_and_the_ground_floor_never_import_wsgiref() -> None:
    assert offenders(PARENT + GROUND, "wsgiref", types=False) == set()


def test_nothing_imports_the_testing_tools_or_a_test_framework() -> None:
    helpers = {"testing.py", "pytest_plugin.py"}
    running = [path for path in FILES if path.name not in helpers]
    for package in ("asyncreload.testing", "asyncreload.pytest_plugin", "pytest"):
        assert offenders(running, package) == set()


def test_nothing_is_imported_beside_python_aiofiles_extras_and_ourselves() -> None:
    known = {*sys.stdlib_module_names, "asyncreload", "aiofiles", "dotenv", "_typeshed"}
    extras = {
        "inotify.py": {"asyncinotify"},
        "app_loop.py": {"uvloop"},
        "asgi_responder.py": {"uvicorn"},
        "plain_server.py": {"uvicorn"},
    } | FRAMEWORKS
    helpers = {"testing.py", "pytest_plugin.py"}
    known_by_doors = {path: {"django"} for path in DJANGO}
    foreign = {
        (path.name, found.name)
        for path in FILES
        for found in imports(path)
        if path.name not in helpers
        and found.name.partition(".")[0]
        not in known | extras.get(path.name, set()) | known_by_doors.get(path, set())
    }
    assert foreign == set()


def test_nothing_else_imports_a_door_for_a_framework() -> None:
    for door in FRAMEWORKS:
        importers = {"paste.py"} if door == "pyramid.py" else set()  # Pyramid itself does not
        assert offenders(FILES, f"asyncreload.{door.removesuffix('.py')}") == importers


def test_a_door_is_imported_by_its_framework_alone() -> None:
    """What others import of a door knows no framework."""
    without_framework = {"asyncreload.django.manage_script"}
    others = [path for path in FILES if path not in DJANGO]
    imported = {
        found.name.rpartition(".")[0]
        for path in others
        for found in imports(path)
        if inside(found.name, "asyncreload.django")
    }
    assert imported <= without_framework
    assert offenders([HOME / "django" / "manage_script.py"], "django") == set()


def test_the_optional_package_is_imported_by_who_needs_it_and_when() -> None:
    assert offenders(FILES, "dotenv", late=False) == set()
    users = {"child/imports/environment_files.py", "flask_environment.py"}
    assert offenders(FILES, "dotenv") == users


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import asyncreload.child.watch.watch", Import("asyncreload.child.watch.watch")),
        ("from asyncreload import child", Import("asyncreload.child")),
        ("from asyncreload.child import watch", Import("asyncreload.child.watch")),
        ("from . import child", Import("asyncreload.child")),
        ("from .child.watch import Watch", Import("asyncreload.child.watch.Watch")),
        ("def f():\n import wsgiref", Import("wsgiref", in_function=True)),
        ("async def f():\n import wsgiref", Import("wsgiref", in_function=True)),
        ("if TYPE_CHECKING:\n import wsgiref", Import("wsgiref", for_types=True)),
        ("if not TYPE_CHECKING:\n import wsgiref", Import("wsgiref")),
        ("if TYPE_CHECKING:\n pass\nelse:\n import wsgiref", Import("wsgiref")),
        ("try:\n import wsgiref\nfinally: pass", Import("wsgiref")),
        ("import_module('asyncreload.child')", Import("asyncreload.child")),
    ],
)
def test_the_reader_of_imports_sees_every_form(source: str, expected: Import) -> None:
    assert imports_of(source) == [expected]


def test_the_reader_of_imports_resolves_two_dots() -> None:
    assert imports_of("from ..child import x", "asyncreload.parent") == [
        Import("asyncreload.child.x")
    ]
