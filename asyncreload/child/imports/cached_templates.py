"""Templates that a framework reads once: they are renewed when they change, without a reload.

For an app that is served by its file or module. The doors of the frameworks have more: debug mode,
and what comes with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from asyncreload.child.imports.wrapped_apps import apps_behind
from asyncreload.page_files import tell_open_pages
from asyncreload.process_role import ForFramework, for_framework


def renew_cached_templates(served: object) -> None:
    """Have the templates of apps of Flask's, Quart's or Bottle's renewed; else do nothing.

    served: one of these, or what wraps it.
    """
    child = for_framework()
    if child is None:
        return
    of_flask = _kinds("flask.Flask", "quart.Quart")
    of_bottle = _kinds("bottle.Bottle")
    found = list(apps_behind(served, of_flask + of_bottle)) if of_flask or of_bottle else []
    for app in found:
        if isinstance(app, of_flask):
            _renew_flasks(app, child)
    if any(isinstance(app, of_bottle) for app in found):
        bottle = sys.modules["bottle"]
        endings = tuple(f".{ending}" for ending in bottle.BaseTemplate.extensions)
        tell_open_pages(child, bottle.TEMPLATE_PATH, endings, renew=bottle.TEMPLATES.clear)


def _kinds(*names: str) -> tuple[type, ...]:
    """Return those of the classes whose modules are imported."""
    parts = [name.split(".") for name in names]
    found = [getattr(sys.modules.get(module), kind, None) for module, kind in parts]
    return tuple(kind for kind in found if isinstance(kind, type))


def _renew_flasks(app: Any, child: ForFramework) -> None:
    """Do so for an app of Flask's, or of Quart's, which is made of the same parts."""
    tell_open_pages(child, _template_directories(app), renew=_clear_cache_of(app))
    if child.is_live:  # nothing is kept of these
        parts = (app, *app.blueprints.values())
        tell_open_pages(child, [part.static_folder for part in parts if part.static_folder])


def _template_directories(app: Any) -> Iterator[str]:
    for part in (app, *app.blueprints.values()):
        if part.template_folder:
            yield os.path.join(part.root_path, part.template_folder)
        yield from _searched_by(vars(part).get("jinja_loader"))
    if (environment := vars(app).get("jinja_env")) is not None:
        yield from _searched_by(environment.loader)


def _searched_by(loader: Any) -> Iterator[str]:
    """Iterate over the directories in which one of Jinja's loaders looks, or those within it."""
    jinja: Any = sys.modules.get("jinja2")
    if jinja is None:
        return
    if isinstance(loader, jinja.FileSystemLoader):
        yield from map(os.fspath, loader.searchpath)
    elif isinstance(loader, jinja.PackageLoader):
        yield loader._template_root  # noqa: SLF001  it has no public name
    elif isinstance(loader, jinja.ChoiceLoader):
        for each in loader.loaders:
            yield from _searched_by(each)
    elif isinstance(loader, jinja.PrefixLoader):
        for each in loader.mapping.values():
            yield from _searched_by(each)


def _clear_cache_of(app: Any) -> Callable[[], object]:
    def clear() -> None:
        # Made at the first use, out of what the app has set up until then: not by us.
        environment = vars(app).get("jinja_env")
        if environment is not None and environment.cache is not None:
            environment.cache.clear()

    return clear
