"""A module that is not there: what to install, and when to say nothing of that."""

from __future__ import annotations

import sys
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from asyncreload.child.pages.error_report import Report
from asyncreload.child.pages.missing_package import (
    DISTRIBUTIONS,
    missing_distribution,
    missing_module,
    remedy,
    remedy_of_distribution,
)

if TYPE_CHECKING:
    from pathlib import Path


def missing(name: object) -> ModuleNotFoundError:
    return ModuleNotFoundError("No module", name=name)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "/opt/python/bin/python")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("requests", "requests"),
        ("yaml", "PyYAML"),
        ("cv2", "opencv-python"),
        ("PIL", "Pillow"),
        ("bs4", "beautifulsoup4"),
        ("psycopg2", "psycopg2-binary"),
        ("distutils", "setuptools"),  # was a part of Python until 3.12
    ],
)
def test_a_package_is_named_as_its_index_names_it(name: str, package: str) -> None:
    report = Report.from_exception(missing(name))

    commands = f"pip install {package}", f"/opt/python/bin/python -m pip install {package}"
    assert report.install == commands
    assert report.text().splitlines()[1:4] == [
        "if it is a package from elsewhere, one of these installs it:",
        *(f"  {command}" for command in commands),
    ]


def test_where_uv_has_made_the_environment_it_installs(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.9.1\n")
    assert remedy("yaml", [])[1] == (
        "uv pip install PyYAML",
        "uv pip install --python /opt/python/bin/python PyYAML",
    )
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nprompt = uv = x\n")
    assert remedy("yaml", [])[1][0] == "pip install PyYAML"


def test_a_path_with_a_space_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/My Apps/python")
    assert remedy("yaml", [])[1][1] == '"/My Apps/python" -m pip install PyYAML'


def test_a_module_of_the_projects_is_not_to_be_installed(tmp_path: Path) -> None:
    (tmp_path / "src" / "shop").mkdir(parents=True)
    (tmp_path / "src" / "shop" / "__init__.py").touch()
    (tmp_path / "src" / "shop" / "prices.py").touch()
    near = [str(tmp_path / "src" / "shop" / "views.py"), "<string>"]

    for name, path in (("shop", "shop/__init__.py"), ("prices", "shop/prices.py")):
        hint, commands = remedy(name, near)
        assert hint.startswith(f"there is {tmp_path / 'src' / path}, but ")
        assert commands == ()


def test_a_library_beside_which_such_a_module_lies_means_another_one(tmp_path: Path) -> None:
    library = tmp_path / "site-packages" / "lib"
    library.mkdir(parents=True)
    (library / "yaml.py").touch()
    code = compile("import missing_for_test as yaml", str(library / "loader.py"), "exec")
    with pytest.raises(ModuleNotFoundError) as caught:
        exec(code)
    caught.value.name = "yaml"

    assert Report.from_exception(caught.value).install[0] == "pip install PyYAML"


def test_a_mistyped_module_of_the_projects_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "prices.py").touch()
    for name, meant in (("shopp", "shop"), ("price", "prices")):
        hint, commands = remedy(name, [])
        assert hint.startswith(f'did you mean "{meant}"? If it is a package from elsewhere, one of')
        assert commands
    assert remedy("requests", [])[0].startswith("if it is a package from elsewhere")


def test_an_app_of_django_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback names no line of the project that imports it."""
    settings = SimpleNamespace(configured=True, INSTALLED_APPS=["shop.apps.Shop", "news"])
    monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=settings))
    assert remedy("news", [])[0].startswith("INSTALLED_APPS names it; if it is a package")
    assert remedy("shop", [])[0].startswith("INSTALLED_APPS names it; if it is a package")
    assert remedy("apps", [])[0].startswith("if it is a package")
    settings.configured = False
    assert remedy("news", [])[0].startswith("if it is a package")


def test_two_apps_of_django_without_a_comma_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is to install what is called like both."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    settings = SimpleNamespace(configured=True, INSTALLED_APPS=["jsonshop.apps.ShopConfig"])
    monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=settings))
    hint, commands = remedy("jsonshop", [str(tmp_path / "manage.py")])
    assert hint == 'INSTALLED_APPS has them in one: is a comma missing between "json" and "shop"?'
    assert commands == ()


def test_a_directory_that_is_no_package_is_not_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "web").mkdir()
    assert remedy("web", ())[1]
    (tmp_path / "web/main.py").touch()
    told, commands = remedy("web", ())
    assert told.startswith(f"there is the directory {tmp_path}/web, but Python does not look in")
    assert '"web.main:app"' in told
    assert commands == ()


def test_a_distribution_that_is_not_there_may_be_the_project_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        version("no-such-shop")
    assert missing_distribution(caught.value) == "no-such-shop"
    assert missing_distribution(ModuleNotFoundError(name="shop")) is None
    assert "pip install shop" in remedy_of_distribution("shop")[1]
    (tmp_path / "setup.py").touch()
    told, commands = remedy_of_distribution("shop")
    assert told == "if shop is this project, one of these installs it:"
    assert "pip install -e ." in commands


def test_a_part_of_python_cannot_be_installed() -> None:
    hint = "sqlite3 is a part of Python that /opt/python/bin/python was built without"
    assert remedy("sqlite3", []) == (hint, ())


@pytest.mark.parametrize("name", ["shop.prices", "x; rm -rf ~", "-r", "", None, 3, "späti"])
def test_nothing_else_is_a_package(name: object) -> None:
    assert missing_module(missing(name)) is None
    assert Report.from_exception(missing(name)).install == ()


def test_a_module_that_a_cause_or_a_member_lacked_counts_and_that_of_a_context_does_not() -> None:
    wrapper = RuntimeError("cannot configure")
    wrapper.__context__ = missing("yaml")
    assert missing_module(wrapper) is None
    wrapper.__cause__ = missing("yaml")
    assert missing_module(wrapper) == "yaml"
    assert missing_module(ExceptionGroup("two", [ValueError(), wrapper])) == "yaml"
    wrapper.__cause__ = wrapper
    assert missing_module(wrapper) is None


def test_each_of_the_names_is_one_that_is_imported() -> None:
    assert all(name.isidentifier() for name in DISTRIBUTIONS)
    assert all(name != package for name, package in DISTRIBUTIONS.items())


def test_what_django_says_it_cannot_load_is_a_module_that_was_not_found() -> None:
    """It raises while it handles that, and has tried two."""

    class ImproperlyConfigured(Exception):  # noqa: N818  as Django calls it
        pass

    lacks = ImproperlyConfigured("Error loading psycopg2 or psycopg module")
    lacks.__context__ = ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")
    assert missing_module(lacks) == "psycopg2"
    lacks.__suppress_context__ = True
    assert missing_module(lacks) is None
