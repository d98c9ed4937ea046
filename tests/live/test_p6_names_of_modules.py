"""P6 for modules of the project that have the name of one that a child has loaded for itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.live.conftest import Serve
from tests.live.driving import LOGGED
from tests.live.processes import PORTABLE

NAMES = ("resource", "queue", "calendar", "select", "aiofiles", "base64", "html")
APP = f"""{LOGGED}
import json, {", ".join(NAMES)}
FOUND = [getattr(module, "VALUE", "Python's") for module in ({", ".join(NAMES)})]
def app(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(FOUND).encode()]
if __name__ == "__main__":
    print(json.dumps(FOUND))
"""
FILES = {"app.py": APP} | {f"{name}.py": f"VALUE = '{name}'" for name in NAMES if name != "html"}


@pytest.mark.skipif(PORTABLE, reason="that mode has loaded some of them first")
@pytest.mark.parametrize("is_named", [False, True], ids=["root", "PYTHONPATH"])
@pytest.mark.usefixtures("forks_nothing")
def test_p6_the_projects_modules_are_found_as_under_plain_python(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    is_named: bool,  # noqa: FBT001  a parameter
) -> None:
    files = FILES | {"html/__init__.py": "VALUE = 'html'", "json/data.py": ""}
    served = serve("app.py", files=files | {"app.py": "def app(e, s): s('200 OK', []); return []"})
    if is_named:
        served.stop()
        monkeypatch.setenv("PYTHONPATH", str(served.directory))
        served = serve("app.py", files=files)
    else:
        served.write("app.py", APP)
    command = [sys.executable, "app.py"]
    plain = subprocess.run(command, cwd=served.directory, check=True, capture_output=True)
    assert json.loads(served.body()) == json.loads(plain.stdout) == [*NAMES]
    served.write("resource.py", "VALUE = 'other'")
    assert json.loads(served.body()) == ["other", *NAMES[1:]]
    (served.directory / "queue.py").unlink()
    assert json.loads(served.body()) == ["other", "Python's", *NAMES[2:]]
    served.write("queue.py", "VALUE = 'queue'")
    served.write("select.py", "VALUE = 'again'")
    served.write("app.py", f"{APP}\n")
    assert json.loads(served.body()) == ["other", "queue", "calendar", "again", *NAMES[4:]]
