"""Which `runserver` Django finds, and which one that extends."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import management
from django.core.exceptions import AppRegistryNotReady
from django.core.management.commands.runserver import Command as DjangosCommand

OURS = "asyncreload.django"


def find_ours() -> None:
    """Have Django find our `runserver`, unless our app is installed: then the order of apps counts.

    So the command is there for a project that does not know of us, and for one whose apps cannot
    be loaded, when Django goes on without any. What is wrong with the settings is raised.
    """
    find_all = management.get_commands
    if find_all.__module__ == __name__:
        return  # this has been done

    # As Django's own. A plain function in its place would be taken for something that the project
    # sets up: then a standby imports nothing ahead of what comes after.
    @cache
    def get_commands() -> dict[str, Any]:
        # Django would go on without settings that cannot be imported, and without the arguments
        # that the command of an app adds.
        _ = settings.INSTALLED_APPS
        found: dict[str, Any] = find_all()
        is_installed = any(config.name == OURS for config in apps.app_configs.values())
        return found if is_installed else {**found, "runserver": OURS}

    management.get_commands = get_commands


def next_command() -> Any:
    """Return the class of the command that Django would run without us.

    That is of the first app behind ours in INSTALLED_APPS which has such a command; of the first of
    all if ours is not installed.

    Raises `AppRegistryNotReady` where apps are not loaded, as in a process that imports packages
    ahead: whatever it found there would stay the base of our command.
    """
    if not apps.apps_ready:
        raise AppRegistryNotReady("the next runserver is known when the apps are loaded")
    configs = list(apps.app_configs.values())
    names = [config.name for config in configs]
    start = names.index(OURS) + 1 if OURS in names else 0
    for config in configs[start:]:
        if _has_runserver(config):
            return _command_of(config)
    return DjangosCommand


def hides_ours() -> str | None:
    """Return the app before ours whose `runserver` Django takes, if that does not extend ours."""
    first = next(filter(_has_runserver, apps.get_app_configs()))
    extends_ours = any(each.__module__.startswith(OURS) for each in _command_of(first).__mro__)
    return None if extends_ours else str(first.name)


def _has_runserver(config: AppConfig) -> bool:
    commands = management.find_commands(os.path.join(config.path, "management"))
    return "runserver" in commands


def _command_of(config: AppConfig) -> Any:
    return import_module(f"{config.name}.management.commands.runserver").Command
