"""Every exception that asyncreload raises on purpose. Each message names the value and the remedy."""

from __future__ import annotations


class AsyncreloadError(Exception):
    """The base: catch it to catch them all."""


class SettingsError(AsyncreloadError, ValueError):
    """An option has a value that cannot work."""


class TargetError(AsyncreloadError):
    """The target names no WSGI application: no such file, module or attribute, or not a callable."""


class BindError(AsyncreloadError, OSError):
    """The address cannot be listened on: in use, not this machine's, or not permitted."""


class LockfileError(AsyncreloadError, OSError):
    """The lockfile cannot be created: the temporary directory is full, missing or not writable."""


class PlatformError(AsyncreloadError, RuntimeError):
    """This platform lacks what asyncreload is built on; Linux and macOS have it."""


class NestedError(AsyncreloadError, RuntimeError):
    """A supervised app tried to supervise itself while it was being loaded."""
