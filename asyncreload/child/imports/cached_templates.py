"""Templates that a framework reads once: they are renewed when they change, without a reload.

For an app that is served by its file or module. The doors of the frameworks have more: debug mode,
and what comes with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from asyncreload.page_files import tell_open_pages
from asyncreload.process_role import ForFramework, for_framework


def renew_cached_templates(app: object) -> None:
    """Have the templates of an app of Flask's or Bottle's renewed; else do nothing."""
    child = for_framework()
    if child is None:
        return
    debug = sys.modules.get("werkzeug.debug")
    if debug is not None and isinstance(app, debug.DebuggedApplication):  # `flask dev --debugger`
        app = app.app
    flask, bottle = sys.modules.get("flask"), sys.modules.get("bottle")
    if flask is not None and isinstance(app, flask.Flask):
        _renew_flasks(app, child)
    elif bottle is not None and isinstance(app, bottle.Bottle):
        endings = tuple(f".{ending}" for ending in bottle.BaseTemplate.extensions)
        tell_open_pages(child, bottle.TEMPLATE_PATH, endings, renew=bottle.TEMPLATES.clear)


def _renew_flasks(app: Any, child: ForFramework) -> None:
    tell_open_pages(child, _template_folders(app), renew=_clear_cache_of(app))
    if child.is_live:  # nothing is kept of these
        parts = (app, *app.blueprints.values())
        tell_open_pages(child, [part.static_folder for part in parts if part.static_folder])


def _template_folders(app: Any) -> Iterator[str]:
    for part in (app, *app.blueprints.values()):
        if part.template_folder:
            yield os.path.join(part.root_path, part.template_folder)


def _clear_cache_of(app: Any) -> Callable[[], object]:
    def clear() -> None:
        # Made at the first use, out of what the app has set up until then: not by us.
        environment = vars(app).get("jinja_env")
        if environment is not None and environment.cache is not None:
            environment.cache.clear()

    return clear
