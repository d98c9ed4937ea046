"""Which `runserver` Django finds, and which one that extends."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import management
from django.core.management.commands.runserver import Command as DjangosCommand

OURS = "asyncreload.django"


def find_ours() -> None:
    """Have Django find our `runserver`, unless our app is installed: then the order of apps counts.

    So the command is there for a project that does not know of us, and for one whose apps cannot
    be loaded, when Django goes on without any. What is wrong with the settings is raised.
    """
    find_all = management.get_commands

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
    """
    configs = list(apps.app_configs.values())
    names = [config.name for config in configs]
    start = names.index(OURS) + 1 if OURS in names else 0
    for config in configs[start:]:
        if "runserver" in management.find_commands(os.path.join(config.path, "management")):
            return import_module(f"{config.name}.management.commands.runserver").Command
    return DjangosCommand
