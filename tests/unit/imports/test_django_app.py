"""The URLconf of Django is imported where Django serves, and nowhere else."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from asyncreload.child.imports.django_app import directories_of_apps, import_urls


class Django:
    """The modules of Django that count; a URLconf that cannot be imported."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = SimpleNamespace(configured=True, ROOT_URLCONF="urls")
        self.apps = SimpleNamespace(ready=True)
        self.imported = 0
        modules: dict[str, Any] = {
            "django.core.handlers.wsgi": {},
            "django.conf": {"settings": self.settings},
            "django.apps": {"apps": self.apps},
            "django.urls": {"get_resolver": lambda: self},
        }
        for name, contents in modules.items():
            module = ModuleType(name)
            vars(module).update(contents)
            monkeypatch.setitem(sys.modules, name, module)

    @property
    def url_patterns(self) -> list[object]:
        self.imported += 1
        raise SyntaxError("in a view")


@pytest.fixture
def django(monkeypatch: pytest.MonkeyPatch) -> Django:
    return Django(monkeypatch)


def test_what_the_urlconf_raises_is_passed_on(django: Django) -> None:
    with pytest.raises(SyntaxError):
        import_urls()
    assert django.imported == 1


def test_nothing_is_imported_where_django_does_not_serve(
    django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    django.settings.ROOT_URLCONF = None
    import_urls()
    django.settings.ROOT_URLCONF = "urls"
    django.apps.ready = False
    import_urls()
    django.apps.ready = True
    django.settings.configured = False
    import_urls()
    django.settings.configured = True
    monkeypatch.delitem(sys.modules, "django.core.handlers.wsgi")
    import_urls()
    assert django.imported == 0


def test_the_directories_of_the_projects_apps_are_those_that_are_looked_for_once(
    django: Django, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [SimpleNamespace(path=path) for path in (tmp_path, os.path.dirname(json.__file__))]
    django.apps.get_app_configs = lambda: configs
    found = [os.path.relpath(path, tmp_path) for path in directories_of_apps()]
    assert found == ["static", "templates", "jinja2"]
    django.apps.ready = False
    assert [*directories_of_apps()] == []
    monkeypatch.delitem(sys.modules, "django.apps")
    assert [*directories_of_apps()] == []
