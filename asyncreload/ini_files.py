"""Configuration in the manner of PasteDeploy: `development.ini`, and what it includes.

Read as text: nothing of a framework or of the project is imported here.
"""

from __future__ import annotations

import os
import re

_INCLUDED = re.compile(r"\bconfig:([^\s#,;\0]+)")


def is_ini(target: str) -> bool:
    """Tell whether a target is such a file; `development.ini#name` names an app in it."""
    return target.partition("#")[0].endswith(".ini")


def program_of(target: str) -> tuple[str, ...]:
    """Return what the child runs to serve such a file."""
    return ("-m", "asyncreload.paste", target)


def files_of(target: str) -> list[str]:
    """Return the paths of the file and of those that it includes by `config:`, there or not."""
    found: list[str] = []
    coming = [os.path.abspath(target.partition("#")[0])]
    while coming:
        path = coming.pop()
        if path not in found:
            found.append(path)
            coming += _included(path)
    return found


def _included(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            named = _INCLUDED.findall(file.read())
    except OSError:
        return []
    here = os.path.dirname(path)
    paths = (os.path.join(here, name.replace("%(here)s", here)) for name in named)
    return [os.path.normpath(path) for path in paths]  # else two that name each other have no end


def address_in(target: str) -> dict[str, str | int]:
    """Return `host` and `port` as far as `[server:main]` tells them, or the first of `listen`."""
    from configparser import ConfigParser  # noqa: PLC0415  takes 3 ms, and is for Pyramid alone
    from configparser import Error as ConfigError  # noqa: PLC0415

    path = os.path.abspath(target.partition("#")[0])
    parser = ConfigParser({"here": os.path.dirname(path), "__file__": path}, strict=False)
    try:
        parser.read(path, encoding="utf-8")
        return address_of(dict(parser.items("server:main")))
    except (ConfigError, ValueError):  # bytes that are no UTF-8 included; the load shows it
        return {}


def address_of(server: dict[str, str]) -> dict[str, str | int]:
    """Return `host` and `port` of a server's section, and remove them from it."""
    listen = (server.pop("listen", "").split() or [""])[0]
    host, _, port = listen.rpartition(":")
    host = server.pop("host", "") or host.strip("[]")
    port = server.pop("port", "") or port
    address: dict[str, str | int] = {}
    if host:
        address["host"] = "0.0.0.0" if host == "*" else host
    if port.isdecimal():
        address["port"] = int(port)
    return address
