"""P7: a reload goes on from just before the edited file, also where a load takes long."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.checkpointing import checkpointed

if TYPE_CHECKING:
    from tests.live.conftest import Serve
    from tests.live.driving import Served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="checkpoints are there on Linux")

MODELS = "import time\ntime.sleep(0.25)\n"
APP = """\
import models, views
def app(environ, start_response):
    start_response("200 OK", [])
    return [views.VERSION.encode()]
"""
# What the end of a child looks through, if it has reason to.
WALKED = """\
import gc
PLAIN = gc.get_objects
def get_objects(*args):
    open("walked", "w").close()
    return PLAIN(*args)
gc.get_objects = get_objects
"""
_TOLD = re.compile(r"changed · fresh in \d\S* m?s(?: · (\d+) of \d+ modules)?")
SLOW = """\
import time
time.sleep(1.5)  # as pandas takes
"""


def save(served: Served, version: int) -> str:
    """Save, wait for the fresh answer, and return how many modules were loaded for that.

    "" if the load did not go on from a checkpoint.
    """
    loads = len(_TOLD.findall(served.output))
    text = served.read("views.py").split("VERSION")[0]
    served.replace("views.py", f'{text}VERSION = "{version}"\n')
    assert served.body() == str(version)
    served.until(lambda: len(_TOLD.findall(served.output)) > loads, "the load is told")
    found: list[str] = _TOLD.findall(served.output)
    return found[-1]


def test_a_process_stands_by_that_goes_on_from_just_before_the_file_edited_last(
    tmp_path: Path,
) -> None:
    """To fork it, and to boot what is ours in it, takes no part of the time after a save."""
    with checkpointed(tmp_path) as bench:
        bench.begin().save(1)
        bench.fresh("1")
        stands_by = bench.until_one_stands_by()
        bench.begin().save(2)
        assert bench.body("/pid") == str(stands_by)
        bench.fresh("2")
        assert bench.loaded() == "1 of 3"
        assert bench.until_one_stands_by() != stands_by


def test_each_edit_goes_on_from_just_before_the_edited_file(serve: Serve) -> None:
    """The side thread looks while the main thread is about to read that file."""
    files = {"app.py": APP, "models.py": MODELS, "views.py": 'VERSION = "1"\n'}
    served = serve("app.py", "--verbose", files=files)
    assert served.body() == "1"
    save(served, 2)
    served.until(lambda: re.search(r"taken at .*views\.py", served.output), "a checkpoint is there")
    assert [save(served, version) for version in range(3, 7)] == ["1"] * 4


def test_an_end_looks_through_no_objects_without_reason(serve: Serve, project: Path) -> None:
    """That would take 100 ms in a large app; our own pipes are no reason."""
    files = {"app.py": APP, "models.py": MODELS + WALKED, "views.py": 'VERSION = "1"\n'}
    served = serve("app.py", files=files)
    assert served.body() == "1"
    for version in range(2, 5):
        save(served, version)
    assert not (project / "walked").exists()


def test_a_standby_that_has_the_packages_is_taken_instead(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first load has taken a checkpoint before the file that imports them."""
    package = project.parent / "site-packages"
    (package / "__pycache__").mkdir(parents=True)
    (package / "slow.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(package))
    files = {
        "app.py": "import time\ntime.sleep(0.05)\n" + APP,
        "models.py": "",
        "views.py": 'import slow\nVERSION = "1"\n',
    }
    served = serve("app.py", "--verbose", files=files)
    assert served.body() == "1"
    served.until(lambda: "has imported 1 modules" in served.output, "a standby is ready")
    assert save(served, 2) == ""
    assert save(served, 3) in {"1", "2"}
