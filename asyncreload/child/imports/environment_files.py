"""The environment files: variables for the app, read afresh at each load."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

from asyncreload.child.watch.baselines import Baselines
from asyncreload.errors import EnvironmentFileError


def read_files(paths: Sequence[str], baselines: Baselines) -> list[str]:
    """Set the variables of these files, the later before the earlier; return those that are absent.

    What is set in the environment already stays as it is. A file is watched from before it is read.

    Raises `EnvironmentFileError` when one is there and cannot be read.
    """
    if not paths:
        return []
    from dotenv.main import DotEnv  # noqa: PLC0415  an optional package, and few need it

    given = set(os.environ)
    missing = []
    for path in paths:
        baselines.take(path)
        if (text := _read(path, baselines)) is None:
            missing.append(path)
            continue
        # In `${NAME}`, too, what is set in the environment counts more than what the file says.
        values = DotEnv(None, stream=io.StringIO(text), override=False).dict()
        for name, value in values.items():
            if name not in given and value is not None:
                os.environ[name] = value
    return missing


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
