"""The environment files: variables for the app, read afresh at each load."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import LogRecord, getLogger

from asyncreload.child.watch.baselines import Baselines
from asyncreload.errors import EnvironmentFileError


def read_files(paths: Sequence[str], baselines: Baselines) -> dict[str, str]:
    """Set the variables of these files, the later before the earlier; return what is amiss in some.

    That is one sentence for a file that is not there, or has lines that cannot be understood. What
    is set in the environment already stays as it is. A file is watched from before it is read.

    Raises `EnvironmentFileError` when one is there and cannot be read.
    """
    if not paths:
        return {}
    from dotenv.main import DotEnv  # noqa: PLC0415  an optional package, and few need it

    given = set(os.environ)
    amiss = {}
    for path in paths:
        baselines.take(path)
        if (text := _read(path, baselines)) is None:
            amiss[path] = f"there is no {path}: going on without it"
            continue
        # In `${NAME}`, too, what is set in the environment counts more than what the file says.
        with _broken_lines() as broken:
            values = DotEnv(None, stream=io.StringIO(text), override=False).dict()
        if broken:
            amiss[path] = f"{path}, line {broken[0]}: this is no NAME=value; going on without it"
        for name, value in values.items():
            if name not in given and value is not None:
                os.environ[name] = value
    return amiss


@contextmanager
def _broken_lines() -> Iterator[list[object]]:
    """Note the numbers of lines that python-dotenv tells its logger of, without the file's name."""
    found: list[object] = []

    def hear(record: LogRecord) -> bool:
        if not isinstance(record.args, tuple) or not record.args:
            return True
        found.append(record.args[0])
        return False

    logger = getLogger("dotenv.main")
    logger.addFilter(hear)
    try:
        yield found
    finally:
        logger.removeFilter(hear)


def _read(path: str, baselines: Baselines) -> str | None:
    try:
        with open(path, "rb") as file:
            data = file.read()
        baselines.was_read(path, data)
        return data.decode()
    except FileNotFoundError:
        return None
    except OSError as exc:
        reason = exc.strerror
    except UnicodeDecodeError as exc:
        reason = f"it is not UTF-8 at byte {exc.start}"
    raise EnvironmentFileError(f"cannot read the environment file {path}: {reason}")
