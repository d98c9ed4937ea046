"""What Pyramid knows of an app's pages: the directories of their templates and static files.

It tells them by its introspection: docs.pylonsproject.org, "Pyramid Configuration Introspection".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from asyncreload.page_files import tell_open_pages
from asyncreload.process_role import for_framework


def tell_of_pages() -> None:
    """Have open pages told of changed templates and static files, once the app is made.

    Of templates only if they are read afresh, by `pyramid.reload_templates`.
    """
    child = for_framework()
    pyramid = sys.modules.get("pyramid.config")
    if child is None or not child.is_live or pyramid is None:
        return
    for registry in pyramid.global_registries:
        directories = {*_static_directories(registry)}
        if (registry.settings or {}).get("pyramid.reload_templates"):
            directories |= {*_template_directories(registry)}
        tell_open_pages(child, directories)


def _static_directories(registry: Any) -> Iterator[str]:
    for each in registry.introspector.get_category("static views", ()):
        yield _located(each["introspectable"]["spec"], None)


def _template_directories(registry: Any) -> Iterator[str]:
    for each in registry.introspector.get_category("templates", ()):
        renderer = each["introspectable"]["renderer"]
        yield os.path.dirname(_located(renderer.name, renderer.package))


def _located(asset: str, package: Any) -> str:
    """Return the path of what may be named relative to a package, as `shop:static/`."""
    resolver = import_module("pyramid.path").AssetResolver(package)
    return str(resolver.resolve(asset).abspath())
