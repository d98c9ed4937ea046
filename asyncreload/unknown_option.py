"""What is said of an option that there is not."""

from __future__ import annotations

from collections.abc import Iterable

from asyncreload.errors import SettingsError
from asyncreload.target import did_you_mean

_ALWAYS = "it always reloads, so leave that out"
_RUNSERVERS = (
    'it is one of "python manage.py runserver", which takes it with "asyncreload.django" '
    "in INSTALLED_APPS"
)
_TLS = "there is no TLS: have a proxy serve it"
_ELSEWHERE = {
    "plugins": "call app.install(plugin) before",
    "config": "call app.config.update(config) before",
    "reload": _ALWAYS,
    "reloader": _ALWAYS,
    "use_reloader": _ALWAYS,
    "no_reload": "it always reloads; to serve without, use your usual server",
    "factory": 'write the call, as in "app.py:create_app()"',
    "workers": "one process answers; for WSGI, {dashes}threads says how many requests at a time",
    "bind": "write {dashes}host and {dashes}port",
    "server": "this is the server, so leave that out",
    "app_dir": 'imports start at the directory of the file, as in "asyncreload chat/main.py"',
    "log_level": "{dashes}verbose tells more, {dashes}quiet less",
    "reload_dir": "imported modules are watched by themselves, others with {dashes}watch",
    "reload_dirs": "imported modules are watched by themselves, others with {dashes}watch",
    "reload_include": "imported modules are watched by themselves, others with {dashes}watch",
    "reload_exclude": "that is {dashes}ignore here",
    "timeout_graceful_shutdown": "that is {dashes}grace here, in seconds",
    "app": 'name it as the target, as in "main.py:app"',
    "root_path": "this server stands alone: set it in the app",
    "proxy_headers": "what a proxy says of its clients is not heeded",
    "log_config": "configure logging in the app",
    "ssl_keyfile": _TLS,
    "ssl_certfile": _TLS,
    "certfile": _TLS,
    **dict.fromkeys(
        (
            "fd",
            "uds",
            "loop",
            "http",
            "ws",
            "lifespan",
            "header",
            "server_header",
            "no_server_header",
            "date_header",
            "forwarded_allow_ips",
            "limit_concurrency",
            "limit_max_requests",
            "backlog",
            "timeout_keep_alive",
            "use_colors",
            "reload_delay",
            "ws_max_size",
            "h11_max_incomplete_event_size",
        ),
        "it is uvicorn's, and there is none like it here",
    ),
    "settings": "set DJANGO_SETTINGS_MODULE in the environment",
    "insecure": _RUNSERVERS,
    "noreload": _RUNSERVERS,
    "nostatic": _RUNSERVERS,
    "nothreading": _RUNSERVERS,
    "skip_checks": _RUNSERVERS,
    "debug": "turn it on in the app, as by app.debug = True or bottle.debug(True)",
}
"""Options of other servers, and what to do here."""


def unknown_option(spelled: str, known: Iterable[str], otherwise: str) -> SettingsError:
    """Return the error that tells of it, and what was meant, or what to do here.

    spelled: as on the command line if it begins with dashes, and so are those that are known.
    otherwise: the end of the message where nobody knows what was meant.
    """
    name = spelled.lstrip("-").replace("-", "_")
    dashes = "--" if spelled.startswith("-") else ""
    if name in _ELSEWHERE:
        remedy = f": {_ELSEWHERE[name].format(dashes=dashes)}"
    else:
        remedy = did_you_mean(spelled if dashes else name, known, otherwise)
    return SettingsError(f'there is no option "{spelled}"{remedy}')
