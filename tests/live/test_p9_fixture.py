"""The fixture `supervised`, as a project would use it; and what a failure shows."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncreload import Changed, Failed, Ready, Starting, Stopped, TargetError
from tests.live.driving import lay_out

if TYPE_CHECKING:
    from asyncreload.testing import App, Layout

HELLO = """\
print("loading")
def app(environ, start_response):
    print("asked", environ["REQUEST_METHOD"])
    start_response("200 OK", [("X-Name", "one")])
    return ["Grüße, ".encode(), environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH", 0)))]
"""


@pytest.mark.both_interfaces
@pytest.mark.asyncio
async def test_app_that_is_written(supervised: Layout) -> None:
    async with supervised(files={"app.py": HELLO}) as app:
        answer = await app.get("/")
        assert (answer.status, answer.text) == (200, "Grüße, ")
        assert answer.headers["x-name"] == "one"
        assert (await app.request("POST", "/ä b", b"you")).text == "Grüße, you"
        await app.write("app.py", HELLO.replace("Grüße", "Hej"))
        ready = await app.fresh()
        assert ready.paths == (str(app.directory / "app.py"),)
        assert (await app.get()).text == "Hej, "
        assert re.findall("loading|asked [A-Z]+", app.output) == [
            *("loading", "asked GET", "asked POST"),
            *("loading", "asked GET"),
        ]
    assert list(map(type, app.events)) == [Starting, Ready, Changed, Ready, Stopped]


@pytest.mark.asyncio
async def test_app_that_is_copied(supervised: Layout) -> None:
    """From a file or a directory beside the test's own; two of them at a time."""
    async with (
        supervised("../../examples/hello.py") as hello,
        supervised("../apps/plain", files={"helper.py": "VERSION = 'mine'\n"}) as plain,
    ):
        assert "Hello" in (await hello.get()).text
        assert "helper=mine" in (await plain.get()).text
        assert hello.directory != plain.directory


@pytest.mark.asyncio
async def test_copy_leaves_out_what_is_large_and_not_the_app(
    supervised: Layout, project: Path
) -> None:
    others = {"env/pyvenv.cfg": "", "env/bin/python": "", ".git/HEAD": "", "node_modules/a": ""}
    lay_out(project, files={"app.py": HELLO, "pages/a.txt": "A", **others})
    async with supervised(project) as app:
        copied = {str(path.relative_to(app.directory)) for path in app.directory.rglob("*")}
    assert copied - {"__pycache__"} == {"app.py", "pages", "pages/a.txt"}


@pytest.mark.both_interfaces
@pytest.mark.asyncio
async def test_copy_leaves_out_what_is_no_file(supervised: Layout, tmp_path: Path) -> None:
    """An editor's lock is a link that leads nowhere; who serves may leave a socket or a pipe."""
    source = tmp_path / "shop"
    source.mkdir()
    (source / "app.py").write_text(HELLO)
    (source / ".#app.py").symlink_to("me@host.1234")
    os.mkfifo(source / "pipe")
    async with supervised(source) as app:
        assert (await app.get("/")).status == 200
        assert {*os.listdir(app.directory)} - {"__pycache__"} == {"app.py"}


@pytest.mark.asyncio
async def test_module_is_found_where_the_app_is(supervised: Layout) -> None:
    files = {"shop/__init__.py": "", "shop/wsgi.py": f"def make():\n    return app\n{HELLO}"}
    async with supervised(target="shop.wsgi:make()", files=files) as app:
        assert (await app.get()).status == 200


@pytest.mark.both_interfaces
@pytest.mark.asyncio
async def test_broken_app_answers_and_is_not_fresh(supervised: Layout) -> None:
    async with supervised(files={"app.py": "print('so far'); 1/0"}) as app:
        answer = await app.get()
        assert answer.status == 500
        with pytest.raises(
            AssertionError, match=r"^the app is not loaded: (?s:.*)division by zero"
        ):
            await app.fresh()
        await app.write("app.py", HELLO)
        await app.fresh()
        await app.write("app.py", "import os; os._exit(3)")
        with pytest.raises(
            AssertionError, match=r"^the app is not loaded: the app died, exit code"
        ):
            await app.fresh()
        assert any(isinstance(event, Failed) for event in app.events)


@pytest.mark.both_interfaces
@pytest.mark.asyncio
async def test_failure_shows_output_and_events(supervised: Layout) -> None:
    async def fail(app: App) -> None:
        await app.fresh()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        async with supervised(files={"app.py": HELLO}) as app:
            await fail(app)
    (note,) = caught.value.__notes__
    assert "events of the app:\n  Starting(target='app.py', url='http://127.0.0.1:" in note
    assert "\n  Ready(pid=" in note
    assert note.endswith("output of the app:\nloading\n")


@pytest.mark.both_interfaces
@pytest.mark.asyncio
async def test_every_wait_has_a_deadline(supervised: Layout) -> None:
    files = {"app.py": "import time\nprint('sleepy')\ntime.sleep(600)"}
    for use in ("get", "fresh"):
        with pytest.raises(AssertionError, match=r"^not within 0\.5 s: ") as caught:
            async with supervised(files=files, patience=0.5) as app:
                await getattr(app, use)()
        assert "output of the app:\n" in caught.value.__notes__[0]


@pytest.mark.asyncio
async def test_what_cannot_be_served(supervised: Layout) -> None:
    with pytest.raises(TargetError, match=r'^There is no "'):
        supervised("nowhere.py")
    with pytest.raises(TargetError):
        async with supervised(target="app.py"):
            pass


# --- other runs of pytest --------------------------------------------------------------------

USE = """\
import pytest
{decorator}
async def test_it(supervised):
    async with supervised(files={{"app.py": APP}}) as app:
        assert (await app.get()).text == "Hello"
        await app.write("app.py", APP.replace("Hello", "Hej"))
        await app.fresh()
        assert (await app.get()).text == {expected!r}
APP = '''
print("it prints")
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"Hello"]
'''
"""


def run_pytest(tmp_path: Path, source: str, *options: str) -> tuple[int, str]:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_it.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=", f"--basetemp={tmp_path}/base", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")


def test_fixture_in_a_project_of_its_own(tmp_path: Path) -> None:
    source = USE.format(decorator="@pytest.mark.asyncio", expected="Hej")
    code, output = run_pytest(tmp_path, source, *SCOPE, "-o", "asyncio_mode=strict")
    assert code == 0, output
    assert "1 passed" in output


def test_fixture_in_two_processes_of_which_one_fails_and_is_shown_the_whole_story(
    tmp_path: Path,
) -> None:
    good = USE.format(decorator="", expected="Hej")
    bad = USE.format(decorator="", expected="Hola").replace("test_it", "test_fails")
    options = (*SCOPE, "-o", "asyncio_mode=auto", "-n", "2")
    code, output = run_pytest(tmp_path, good + bad, *options)
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert "output of the app:" in output
    assert "it prints" in output
    told = output.partition("short test summary")[0]  # which repeats it where CI is set
    assert told.count("Ready(pid=") == 2, output


def test_plugin_imports_next_to_nothing(tmp_path: Path) -> None:
    """Whoever has asyncreload installed pays for it in each run, and may have no pytest-asyncio."""
    source = """\
import sys
def test_it():
    ours = {name for name in sys.modules if name.partition(".")[0] == "asyncreload"}
    assert ours == {"asyncreload", "asyncreload.pytest_plugin"}
    assert "aiofiles" not in sys.modules
    # In newer Pythons pdb, which pytest needs, brings it.
    assert "asyncio" not in sys.modules or sys.version_info >= (3, 14)
def test_runs(supervised):
    import asyncio
    async def main():
        async with supervised(files={"app.py": APP}) as app:
            assert (await app.get()).text == "x"
    asyncio.run(main())
APP = '''
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"x"]
'''
"""
    off = ("-p", "no:asyncio", "-p", "no:xdist", "-p", "no:anyio")
    code, output = run_pytest(tmp_path, source, *off)
    assert code == 0, output


@pytest.mark.both_interfaces
@pytest.mark.asyncio
async def test_cancelled_test_leaves_nothing(supervised: Layout) -> None:
    async def forever() -> None:
        async with supervised(files={"app.py": HELLO}) as app:
            await app.fresh()
            serving.set()
            await asyncio.Event().wait()

    serving = asyncio.Event()
    task = asyncio.create_task(forever())
    await serving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}
