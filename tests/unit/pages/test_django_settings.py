"""Django imports what its settings name: the traceback has no line of the project then."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from asyncreload.child.pages.django_settings import setting_that_names, setting_to_blame

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
        ("shop.urlss", "ROOT_URLCONF"),
        ("shop.middleware", "MIDDLEWARE"),
        ("shop.logs", "LOGGING"),
        ("shop.log", ""),
        ("urlss", ""),
    ],
)
def test_the_setting_that_names_a_module_is_found(module: str, setting: str) -> None:
    assert setting_that_names(module) == setting


def test_before_there_are_settings_none_names_it(settings: SimpleNamespace) -> None:
    settings.configured = False
    assert setting_that_names("shop.urlss") == ""


def test_it_is_found_by_the_error_or_by_its_cause() -> None:
    lacks = ImportError('Module "shop.middleware" does not define a "Slow" attribute/class')
    assert setting_to_blame(lacks) == "MIDDLEWARE"
    handler = ValueError("Unable to configure handler 'mail'")
    handler.__cause__ = ModuleNotFoundError("No module named 'shop.logs'", name="shop.logs")
    assert setting_to_blame(handler) == "LOGGING"
    handler.__cause__.__cause__ = handler  # as an app may have it
    assert setting_to_blame(ValueError("'shop.middleware'")) == ""


def test_what_no_setting_names_has_none_to_blame() -> None:
    assert setting_to_blame(ImportError("no name", name=None)) == ""
    assert setting_to_blame(ModuleNotFoundError("shop.nope", name="shop.nope")) == ""
