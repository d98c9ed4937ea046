"""Serves what a PasteDeploy file describes: for Pyramid, and for others that use such files.

`asyncreload development.ini` has the child run this module. `[server:main] use = egg:asyncreload`
has `pserve` call `serve`, which makes the supervisor of its process; the child runs `pserve` again.
"""

from __future__ import annotations

import os
import sys
from glob import escape, glob
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, cast

from asyncreload import process_role, pyramid
from asyncreload.errors import AsyncreloadError, SettingsError, TargetError
from asyncreload.ini_files import address_of, files_of
from asyncreload.options import options_of
from asyncreload.run_app import Door, become_supervisor, check_in_child, run, script_of_command
from asyncreload.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIApplication


# --- asyncreload development.ini -------------------------------------------------------------


def main(target: str) -> None:
    """Load the app as `pserve` does, and serve it."""
    _watch(target)
    app = _load(target)
    pyramid.tell_of_pages()
    run(app)


def _load(target: str) -> WSGIApplication:
    file, _, name = target.partition("#")
    if find_spec("plaster") and find_spec("plaster_pastedeploy"):  # Pyramid brings them
        loader = import_module("plaster").get_loader(target, protocols=["wsgi"])
        loader.setup_logging()
        _watch_what_pserve_does(file, loader.get_settings("pserve"))
        return cast("WSGIApplication", loader.get_wsgi_app())
    if not _has_paste():
        raise TargetError(
            f'"{target}" needs PasteDeploy: install it with "pip install plaster_pastedeploy".'
        )
    path = os.path.abspath(file)
    app = import_module("paste.deploy").loadapp(f"config:{path}", name=name or None)
    return cast("WSGIApplication", app)


def _has_paste() -> bool:
    try:
        return find_spec("paste.deploy") is not None
    except ModuleNotFoundError:
        return False


def _watch_what_pserve_does(file: str, settings: Mapping[str, str]) -> None:
    """Watch the files of `[pserve] watch_files`: paths or patterns from the file, or assets."""
    here = os.path.dirname(os.path.abspath(file))
    for named in settings.get("watch_files", "").split():
        path = os.path.join(here, named)
        if ":" in named:
            resolver = import_module("pyramid.path").AssetResolver(package=None)
            path = resolver.resolve(named).abspath()
        for each in glob(path, recursive=True) or [path]:
            process_role.watch(each)


def _watch(target: str) -> None:
    for path in files_of(target):
        process_role.watch(path)


# --- pserve ----------------------------------------------------------------------------------


class _Served(BaseException):
    """The end of a child. `pserve` would tell of a SystemExit or KeyboardInterrupt at a reload."""


def serve(app: WSGIApplication, global_conf: Mapping[str, str], **section: str) -> None:
    """Serve an app for `pserve`: the entry point `paste.server_runner`.

    section: what stands below `[server:main]`: `host`, `port` or `listen`, and other options.
    """
    file = global_conf.get("__file__", "")
    if (serve_in_child := process_role.server_of_child()) is not None:
        _watch(file)
        check_in_child(_options(section))
        pyramid.tell_of_pages()
        try:
            serve_in_child(app)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise _Served from exc
    try:
        _supervise(file, section)
    except AsyncreloadError as exc:
        raise SystemExit(f"asyncreload: error: {exc}") from exc  # `pserve` tells it in a line


def _supervise(file: str, section: dict[str, str]) -> NoReturn:
    hupper = sys.modules.get("hupper")
    if hupper is not None and hupper.is_active():
        raise SettingsError(
            "pserve --reload starts another reloader: leave --reload out, as this one needs none"
        )
    watched = tuple(map(escape, files_of(file))) if file else ()
    script = script_of_command("pyramid.scripts.pserve", "pyramid.scripts.pserve")
    become_supervisor(_options(section), Door(script, os.path.basename(file), watch=watched))


def _options(section: dict[str, str]) -> dict[str, Any]:
    """Return the options that stand below `[server:main]`."""
    address = address_of(section)
    return {name: _value(name, text) for name, text in section.items()} | address


def _value(name: str, text: str) -> Any:
    """Return the value of an option that stands in a section, as text."""
    option = options_of(Settings).get(name)
    if option is None:
        return text  # which is refused where all options are checked
    if option.repeats:
        return tuple(text.split())
    if option.is_switch:
        if text.lower() not in {"true", "false"}:
            raise SettingsError(f"{name} must be true or false, not {text!r}")
        return text.lower() == "true"
    try:
        return option.kind(text)
    except ValueError:
        raise SettingsError(f"{name} must be a number, not {text!r}") from None


if __name__ == "__main__":
    main(sys.argv[1])
