"""Django imports what its settings name: the traceback has no line of the project then."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asyncreload.child.pages.django_settings import setting_that_names, setting_to_blame

NONE = ("", "")
LOGGING = {"handlers": {"mail": {"class": "shop.logs.Mail", "filters": ["x"]}}}


class Settings(SimpleNamespace):
    """Raises for one, as Django does for an empty SECRET_KEY."""

    @property
    def SECRET_KEY(self) -> str:  # noqa: N802  as it is called there
        raise ValueError("empty")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    named: dict[str, Any] = {"LOGGING": LOGGING, "MIDDLEWARE": ["shop.middleware.Slow"]}
    settings = Settings(configured=True, ROOT_URLCONF="shop.urlss", DEBUG=True, **named)
    monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=settings))
    return settings


@pytest.mark.parametrize(
    ("module", "setting"),
    [
        ("shop.urlss", ("ROOT_URLCONF", "shop.urlss")),
        ("shop.middleware", ("MIDDLEWARE", "shop.middleware.Slow")),
        ("shop.logs", ("LOGGING", "shop.logs.Mail")),
        ("shop.log", NONE),
        ("urlss", NONE),
    ],
)
def test_the_setting_that_names_a_module_is_found(module: str, setting: tuple[str, str]) -> None:
    assert setting_that_names(module) == setting


def test_before_there_are_settings_none_names_it(settings: SimpleNamespace) -> None:
    settings.configured = False
    assert setting_that_names("shop.urlss") == NONE


def test_it_is_found_by_the_error_or_by_its_cause() -> None:
    lacks = ImportError('Module "shop.middleware" does not define a "Slow" attribute/class')
    assert setting_to_blame(lacks) == ("MIDDLEWARE", "shop.middleware.Slow")
    handler = ValueError("Unable to configure handler 'mail'")
    handler.__cause__ = ModuleNotFoundError("No module named 'shop.logs'", name="shop.logs")
    assert setting_to_blame(handler) == ("LOGGING", "shop.logs.Mail")
    handler.__cause__.__cause__ = handler  # as an app may have it
    assert setting_to_blame(ValueError("'shop.middleware'")) == NONE


def test_what_no_setting_names_has_none_to_blame() -> None:
    assert setting_to_blame(ImportError("no name", name=None)) == NONE
    assert setting_to_blame(ModuleNotFoundError("shop.nope", name="shop.nope")) == NONE


def test_a_line_of_the_project_that_imports_is_to_blame_itself(tmp_path: Path) -> None:
    path = tmp_path / "apps.py"
    with pytest.raises(ImportError) as caught:
        exec(compile("from shop.middleware import slow", str(path), "exec"))
    caught.value.name = "shop.middleware"
    assert setting_to_blame(caught.value) == NONE
