"""Every exception that asyncreload raises on purpose; messages name the value and the remedy."""

from __future__ import annotations


class AsyncreloadError(Exception):
    """The base: catch it to catch them all."""


class SettingsError(AsyncreloadError, ValueError):
    """An option has a value that cannot work."""


class TargetError(AsyncreloadError):
    """The target names no application: nothing has that name, or it is not a callable."""


class MissingExtraError(TargetError):
    """The app cannot be served with what is installed."""


class AbsentTargetError(TargetError):
    """There is no module of the target's name."""


class InterfaceError(AsyncreloadError):
    """The app was called as a WSGI app, and turns out to speak ASGI."""


class LifespanError(AsyncreloadError):
    """An ASGI app says that its startup has failed, and raises nothing that would tell why."""


class EnvironmentFileError(AsyncreloadError):
    """An environment file cannot be read: not permitted, a directory, or not UTF-8."""


class BindError(AsyncreloadError, OSError):
    """The address cannot be listened on: in use, not this machine's, or not permitted.

    `errno` tells which, as by any OSError; it is that of `socket.gaierror` for an unknown name.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class LockfileError(AsyncreloadError, OSError):
    """The lockfile cannot be created: the temporary directory is full, missing or not writable."""


class PlatformError(AsyncreloadError, RuntimeError):
    """The platform lacks what asyncreload is built on; Linux and macOS have it."""


class NestedError(AsyncreloadError, RuntimeError):
    """A supervised app tried to supervise itself while it was being loaded."""
