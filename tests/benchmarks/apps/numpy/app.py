# mypy: ignore-errors
"""Packages that take long to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

VERSION = "1"
SALES = pd.DataFrame({"day": np.arange(100) % 7, "sold": np.arange(100)})


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    best = SALES.groupby("day")["sold"].sum().idxmax()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"version={VERSION} best={best}".encode()]
