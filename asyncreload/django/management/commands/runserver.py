"""Django's `runserver`, served by asyncreload."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections

from asyncreload import process_role, run_app
from asyncreload.child.imports.refused_project import RefusedError
from asyncreload.django.asgi_handler import asgi_handler
from asyncreload.django.browser_reload import tell_processes_apart
from asyncreload.django.command_lookup import next_command
from asyncreload.django.manage_script import script_in_child
from asyncreload.django.reloader import Reloader
from asyncreload.errors import AsyncreloadError


class Command(next_command()):  # type: ignore[misc]  # Django has no types
    """Takes the arguments of the command that Django would run without us, and its handler.

    The process that a person starts becomes the supervisor; its children run the same command, and
    serve here. With `--noreload` it is that other command.
    """

    def add_arguments(self, parser: Any) -> None:
        """Take the same arguments, and say in the help where others go."""
        super().add_arguments(parser)
        parser.epilog = (
            "Served by asyncreload; its other options go into [tool.asyncreload] in pyproject.toml."
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; in a child, raise what is wrong with the project."""
        if not process_role.is_child():
            return super().execute(*args, **options)  # type: ignore[no-any-return]  # the same
        try:
            return super().execute(*args, **options)  # type: ignore[no-any-return]  # the same
        except CommandError as exc:  # a check that failed is one, too
            raise RefusedError(str(exc)) from None

    def run(self, **options: Any) -> None:
        """Serve, in one of these ways."""
        serve, child = process_role.server_of_child(), process_role.for_framework()
        if serve is not None and child is not None:
            self._check(options, is_first=child.is_first_load)
            handler = asgi_handler(self, options) or self.get_handler(**options)
            tell_processes_apart()
            Reloader(child).start()
            serve(handler)
        if not options["use_reloader"]:
            super().run(**options)
            return
        try:
            self._become_supervisor(options)
        except (AsyncreloadError, OSError) as exc:
            raise CommandError(str(exc)) from exc

    def _check(self, options: dict[str, Any], is_first: Callable[[], bool]) -> None:
        """Check project and migrations, as `runserver` does; what is well is told the first time.

        The migrations come first: that is to import all of them, hundreds in a large project, and
        the other checks import the views. A load that goes on from before a view has them already.
        A connection that was left open would be shared by all of these loads.

        Raises `SystemCheckError`.

        is_first: tells whether this is the first load.
        """
        self.check_migrations()
        _close_connections()
        if not options["skip_checks"]:
            self.check()
            _close_connections()
        # Asked late: the checks import the views, so a later load may go on from within them.
        if is_first():
            told = f"Django version {self.get_version()}, using settings"
            checked = "" if options["skip_checks"] else ", no errors found by system checks"
            self.stdout.write(f"{told} {settings.SETTINGS_MODULE!r}{checked}")

    def _become_supervisor(self, options: dict[str, Any]) -> NoReturn:
        _set_colours(options)
        given: dict[str, Any] = {}
        if ":" in (options["addrport"] or "") or self.use_ipv6:
            given["host"] = self._host()
        if options["addrport"]:
            given["port"] = int(self.port)
        if not options["use_threading"]:
            given["threads"] = 1
        door = run_app.Door(
            title="manage.py runserver",
            in_child=script_in_child,
            usual={"host": self.addr, "port": int(self.port)},
            name="django",
        )
        run_app.become_supervisor(given, door)

    def _host(self) -> str:
        """Return the address to listen on; of a name, with `-6`, the one of IPv6."""
        if self.addr == "0":
            return "0.0.0.0"
        if not self.use_ipv6 or ":" in self.addr:
            return str(self.addr)
        try:
            found = socket.getaddrinfo(self.addr, None, socket.AF_INET6, socket.SOCK_STREAM)
        except OSError as exc:
            raise CommandError(f'"{self.addr}" has no IPv6 address: leave out -6') from exc
        return str(found[0][4][0])


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close()


def _set_colours(options: dict[str, Any]) -> None:
    """Have our own lines coloured as Django's are, here and in the children."""
    if options["no_color"] or os.environ.get("DJANGO_COLORS") == "nocolor":
        os.environ["NO_COLOR"] = "1"
    elif options["force_color"]:
        os.environ["FORCE_COLOR"] = "1"
