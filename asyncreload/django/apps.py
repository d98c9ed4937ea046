"""The app that a project installs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.apps import AppConfig
from django.core import checks

from asyncreload.django.command_lookup import find_ours, hides_ours


class AsyncreloadConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Offers `runserver`, also while the project cannot be loaded."""

    name = "asyncreload.django"
    label = "asyncreload"  # the last part of the name, "django", may be another app's

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        super().__init__(app_name, app_module)
        # When an app fails to load, Django goes on without any, to start its own `runserver`.
        find_ours()

    def ready(self) -> None:
        """Have Django check the order of the apps."""
        checks.register(_check_order)


def _check_order(**_: Any) -> list[checks.CheckMessage]:
    if (other := hides_ours()) is None:
        return []
    return [
        checks.Error(
            f'The runserver of "{other}" hides that of "asyncreload.django".',
            hint='Put "asyncreload.django" first in INSTALLED_APPS.',
            id="asyncreload.E001",
        )
    ]
