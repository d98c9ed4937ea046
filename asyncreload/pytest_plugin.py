"""The fixture `supervised`. Loaded into every run of pytest: what it needs is imported on use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asyncreload.testing import Layout


@pytest.fixture
def supervised(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """Serve an app while a test runs.

    async with supervised("app.py") as app:
        assert (await app.get("/")).status == 200

    The app is copied, or written, into `tmp_path`; see `asyncreload.testing.Layout`. It needs no
    plugin for asyncio: any that runs an async test will do, in any of its modes.
    """
    from asyncreload.testing import Layout  # noqa: PLC0415  see above

    return Layout(tmp_path, request.path.parent)
