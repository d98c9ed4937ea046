"""Environment files: as they are now, at each load, whatever a standby has imported before."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.driving import LOGGED, standby
from tests.live.test_p7_standby import Packages

if TYPE_CHECKING:
    from tests.live.conftest import Serve
    from tests.live.driving import Served


APP = f"""\
{LOGGED}
import json, third
VERSION = 1
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/pid":
        return [str(os.getpid()).encode()]
    names = ("MODE", "GIVEN", "BOTH")
    return [json.dumps([third.MODE, *map(os.environ.get, names)]).encode()]
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """One package, that looks at its environment while it is imported."""
    found = Packages(tmp_path / "site-packages")
    found.write("third", "import os\nMODE = os.environ.get('MODE')\n")
    monkeypatch.setenv("PYTHONPATH", str(found.directory))
    return found


def answer(served: Served) -> Any:
    return json.loads(served.body())


def test_a_change_is_seen_by_the_app_and_by_its_packages(
    serve: Serve, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "shell")
    files = {"app.py": APP, ".env": "MODE=one\nGIVEN=file\nBOTH=${GIVEN}-first\n"}
    options = ("--env-file", ".env", "--env-file", ".env.local")
    served = serve("app.py", *options, files=files)
    assert answer(served) == ["one", "one", "shell", "shell-first"]
    served.until_told(f"there is no {served.directory}/.env.local: going on without it")

    # With nothing changed in the environment, packages are imported ahead.
    standby(served)
    served.edit("app.py", "VERSION = 1", "VERSION = 2")
    assert answer(served) == ["one", "one", "shell", "shell-first"]
    child = int(served.body("/pid"))
    assert packages.imports("third")[-1] != (child, "loaded")

    # With a change, nobody meets the old value; and there is one load, not one that is thrown away.
    standby(served)
    loads = len(served.loads())
    served.edit(".env", "MODE=one", "MODE=two")
    assert answer(served) == ["two", "two", "shell", "shell-first"]
    assert len(served.loads()) == loads + 1

    standby(served)
    served.edit(".env", "MODE=two", "")
    assert answer(served) == [None, None, "shell", "shell-first"]

    # The same for a file that comes, counts more than the first, and goes.
    served.write(".env.local", "MODE=three\nBOTH=second\n")
    assert answer(served) == ["three", "three", "shell", "second"]
    served.replace(".env.local", "MODE=four\n")
    assert answer(served) == ["four", "four", "shell", "shell-first"]
    os.unlink(served.directory / ".env.local")
    assert answer(served) == [None, None, "shell", "shell-first"]
    assert served.output.count("going on without it") == 2


def test_one_that_cannot_be_read_is_told_and_mended(serve: Serve, packages: Packages) -> None:
    served = serve("app.py", "--env-file", ".env", files={"app.py": APP, ".env": "MODE=one\n"})
    assert answer(served)[0] == "one"
    (served.directory / ".env").write_bytes(b"MODE=\xff\n")
    failed = served.get()
    reason = f"cannot read the environment file {served.directory}/.env: it is not UTF-8 at byte 5"
    assert (failed.status, failed.body.splitlines()[0]) == (500, reason)
    served.until_told(reason)
    assert "Traceback" not in served.output
    served.write(".env", "MODE=two\n")
    assert answer(served)[0] == "two"
    assert packages.imports("third")
