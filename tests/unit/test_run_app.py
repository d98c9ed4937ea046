"""Scripts run in the child as Python runs them; `run` becomes the supervisor, or serves."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import socket
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import asyncreload
from asyncreload import cli, process_role, run_app
from asyncreload.child.http import plain_server as plain
from asyncreload.child.imports.script_runner import root_of, run_script
from asyncreload.child.watch.file_state import digest
from asyncreload.errors import BindError, NestedError, SettingsError
from asyncreload.finalization import Finalization
from asyncreload.interpreter import BOOT
from asyncreload.options import options_of
from asyncreload.printing import Voice
from asyncreload.run_app import RunOptions
from asyncreload.settings import Settings
from tests.unit.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

    from asyncreload.settings import Settings


@pytest.fixture(autouse=True)
def own_interpreter(tmp_path: Path, imports: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script may change what an interpreter has only once; all is put back."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "orig_argv", list(sys.orig_argv))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.chdir(tmp_path)


TELL = """\
import sys
seen = {
    "argv": sys.argv[:],
    "path": sys.path[0],
    "name": __name__,
    "main": sys.modules["__main__"].__dict__ is globals(),
    "file": __file__,
    "spec": __spec__ and __spec__.name,
    "package": __package__,
    "loader": type(__loader__).__name__,
    "doc": __doc__,
}
sys._seen = seen
"""


@pytest.fixture
def seen() -> Iterator[Callable[[], dict[str, Any]]]:
    def get() -> dict[str, Any]:
        return sys._seen  # type: ignore[attr-defined,no-any-return]

    yield get
    if hasattr(sys, "_seen"):
        del sys._seen


# In the child: run_script


def test_a_script_is_main_with_its_arguments_and_its_path(
    tmp_path: Path, seen: Callable[[], dict[str, Any]]
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "app.py").write_text(f'"""Docs."""\n{TELL}')
    run_script(("dir/app.py", "-v", "a b"), Watch().hooks)
    assert seen() == {
        "argv": ["dir/app.py", "-v", "a b"],
        "path": os.path.realpath(tmp_path / "dir"),
        "name": "__main__",
        "main": True,
        "file": str(Path.cwd() / "dir" / "app.py"),
        "spec": None,
        "package": None,
        "loader": "SourceFileLoader",
        "doc": "Docs.",
    }


def test_a_script_imports_what_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("value = 42")
    (tmp_path / "app.py").write_text("import beside_it; assert beside_it.value == 42")
    run_script(("app.py",), Watch().hooks)
    assert "beside_it" in sys.modules


@pytest.mark.parametrize(
    ("given", "file"),
    [("./app.py", "./app.py"), ("app.py", "app.py"), ("dir/../app.py", "dir/../app.py")],
)
def test_the_file_is_named_as_python_names_it(
    tmp_path: Path, seen: Callable[[], dict[str, Any]], given: str, file: str
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "app.py").write_text(TELL)
    run_script((given,), Watch().hooks)
    assert seen()["argv"] == [given]
    assert seen()["file"] == f"{os.getcwd()}/{file}"


def test_our_future_imports_are_not_the_scripts(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def f(x: int): pass\nassert f.__annotations__['x'] is int")
    run_script(("app.py",), Watch().hooks)


def test_a_declared_encoding_is_heeded(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_bytes(b"# coding: latin-1\nassert ord('\xe4') == 0xe4\n")
    run_script(("app.py",), Watch().hooks)


def test_the_bytes_that_ran_are_the_baseline(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    source = b"x = 1\r\n"
    script.write_bytes(source)
    watch = Watch()
    run_script(("app.py",), watch.hooks)
    assert sorted(watch.baselines.to_json()) == [os.path.abspath("app.py")]
    assert watch.baselines.project[os.path.abspath("app.py")].digest == digest(source)


def test_a_script_that_saves_itself_while_it_runs_differs(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("with open(__file__, 'a') as me: me.write('#')")
    watch = Watch()
    run_script(("app.py",), watch.hooks)
    assert watch.scanner.look() == [os.path.abspath("app.py")]


@pytest.mark.parametrize("code", [0, 3, "text", None])
def test_the_exit_of_a_script_is_passed_on(tmp_path: Path, code: object) -> None:
    (tmp_path / "app.py").write_text(f"import sys; sys.exit({code!r})")
    with pytest.raises(SystemExit) as caught:
        run_script(("app.py",), Watch().hooks)
    assert caught.value.code == code


def test_an_exception_of_a_script_is_passed_on_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("\n1 / 0")
    with pytest.raises(ZeroDivisionError) as caught:
        run_script(("app.py",), Watch().hooks)
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (os.path.abspath("app.py"), 2)


def test_a_broken_script_is_watched(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def f(:")
    watch = Watch()
    with pytest.raises(SyntaxError):
        run_script(("app.py",), watch.hooks)
    assert sorted(watch.baselines.to_json()) == [os.path.abspath("app.py")]


def test_a_missing_script_is_watched_for(tmp_path: Path) -> None:
    watch = Watch()
    with pytest.raises(FileNotFoundError):
        run_script(("app.py",), watch.hooks)
    (tmp_path / "app.py").write_text("")
    assert watch.scanner.look() == [os.path.abspath("app.py")]


def test_a_module_is_run_as_with_m(tmp_path: Path, seen: Callable[[], dict[str, Any]]) -> None:
    (tmp_path / "tool_of_ours.py").write_text(TELL)
    run_script(("-m", "tool_of_ours", "-v"), Watch().hooks)
    file = str(Path.cwd() / "tool_of_ours.py")
    assert seen() == {
        "argv": [file, "-v"],
        "path": os.getcwd(),
        "name": "__main__",
        "main": True,
        "file": file,
        "spec": "tool_of_ours",
        "package": "",
        "loader": "SourceFileLoader",
        "doc": None,
    }


def test_a_package_is_run_by_its_main(tmp_path: Path, seen: Callable[[], dict[str, Any]]) -> None:
    package = tmp_path / "shop_of_ours"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("")
    (package / "__main__.py").write_text(f"from . import part\n{TELL}")
    run_script(("-m", "shop_of_ours", "x"), Watch().hooks)
    told = seen()
    file = str(Path.cwd() / "shop_of_ours" / "__main__.py")
    assert told["argv"] == [file, "x"]
    assert told["file"] == file
    assert told["spec"] == "shop_of_ours.__main__"
    assert told["package"] == "shop_of_ours"
    assert told["main"]


def test_a_module_that_runs_is_watched_with_what_it_imports(
    tmp_path: Path, loaders: Callable[[Watch], None]
) -> None:
    (tmp_path / "part_of_ours.py").write_text("")
    (tmp_path / "tool_of_ours.py").write_text("import part_of_ours")
    watch = Watch()
    loaders(watch)
    run_script(("-m", "tool_of_ours"), watch.hooks)
    assert sorted(watch.baselines.to_json()) == [
        os.path.abspath(f"{name}_of_ours.py") for name in ("part", "tool")
    ]


def test_a_directory_is_run_by_its_main(
    tmp_path: Path, seen: Callable[[], dict[str, Any]], loaders: Callable[[Watch], None]
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "__main__.py").write_text(TELL)
    watch = Watch()
    loaders(watch)
    run_script(("dir", "x"), watch.hooks)
    assert seen()["name"] == "__main__"
    assert seen()["argv"][1:] == ["x"]
    assert seen()["path"] == os.path.abspath("dir")
    assert sorted(watch.baselines.to_json()) == [os.path.abspath("dir/__main__.py")]


def test_the_exit_of_a_module_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "tool_of_ours.py").write_text("raise SystemExit(7)")
    with pytest.raises(SystemExit) as caught:
        run_script(("-m", "tool_of_ours"), Watch().hooks)
    assert caught.value.code == 7


def test_the_root_is_where_the_scripts_imports_start(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "app.py").write_text("")
    (tmp_path / "link.py").symlink_to(real / "app.py")
    assert root_of(("real/app.py",)) == os.path.realpath(real)
    assert root_of(("link.py",)) == os.path.realpath(real)
    assert root_of(("real",)) == os.path.realpath(real)
    assert root_of(("-m", "real.app")) == os.getcwd()
    assert root_of(("missing.py",)) == os.path.realpath(tmp_path)


# In the script: run


class ReplacedError(BaseException):
    """Raised where the process would have been replaced by another."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `run` does to the process, in order."""
    done: list[Any] = []

    def execve(path: str, command: list[str], _environment: object) -> NoReturn:
        done.append((path, command))
        raise ReplacedError

    class NoFinalization(Finalization):
        """The objects of the tests have not come to their end."""

        def run(self) -> None:
            done.append("objects")

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(run_app, "Finalization", NoFinalization)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: done.append("atexit"))
    monkeypatch.setattr(process_role, "_role", process_role._Role())
    return done


def app(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
    raise AssertionError


def started_as(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", line.split())
    main = ModuleType("__main__")
    main.__file__ = f"{os.getcwd()}/dir/app.py"
    monkeypatch.setitem(sys.modules, "__main__", main)


def test_the_process_becomes_the_supervisor_of_the_same_script(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_as("python -X dev -OO dir/app.py -v x", monkeypatch)
    with pytest.raises(ReplacedError):
        asyncreload.run(app, "::1", 9000, interval=0.5, live=False, trust="docker")
    *before, (path, command) = steps
    assert before == ["atexit", "objects"]
    assert path == sys.executable
    assert command[:-1] == [
        sys.executable,
        *("-X", "dev", "-OO"),
        BOOT,
        "asyncreload.cli",
        "--settings",
    ]
    assert json.loads(command[-1]) == {
        "host": "::1",
        "port": 9000,
        "interval": 0.5,
        "live": False,
        "trust": ["docker"],
        "access_log": True,
        "script": ["dir/app.py", "-v", "x"],
    }


def test_the_supervisor_understands_what_it_is_given(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_as("python -m shop.web --debug", monkeypatch)
    with pytest.raises(ReplacedError):
        asyncreload.run(app)
    *_, (_, command) = steps
    assert cli._asked(command[-2:]) == {
        "script": ("-m", "shop.web", "--debug"),
        "target": "-m shop.web --debug",
        "access_log": True,
    }


FILE = """
[tool.asyncreload]
target = "other.py"
port = 9001
live = true
grace = 1
watch = ["data"]
quiet = true
"""


def test_what_is_not_given_is_as_the_file_says(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started_as("python dir/app.py", monkeypatch)
    (tmp_path / "pyproject.toml").write_text(FILE)
    (tmp_path / "dir").mkdir()
    monkeypatch.chdir(tmp_path / "dir")  # the script does so; it was started above
    sys.modules["__main__"].__file__ = str(tmp_path / "dir/app.py")
    with pytest.raises(ReplacedError):
        asyncreload.run(app, live=False)
    *_, (_, command) = steps
    assert cli._asked(command[-2:]) == {
        "script": ("dir/app.py",),
        "target": "dir/app.py",
        "port": 9001,
        "live": False,
        "grace": 1,
        "watch": [str(tmp_path / "data")],
        "quiet": True,
        "access_log": False,
    }


def test_a_door_has_files_and_usual_options_of_its_own(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started_as("python dir/app.py", monkeypatch)
    (tmp_path / "pyproject.toml").write_text(FILE)
    monkeypatch.setenv("PORT", "9002")
    usual = {"port": 5000, "host": "::1"}
    door = run_app.Door(("-m", "shop"), "the shop", usual=usual, watch=(".env",), name="django")
    with pytest.raises(ReplacedError):
        run_app.become_supervisor({"grace": 2}, door)
    *_, (_, command) = steps
    told = cli._asked(command[-2:])
    assert (told["script"], told["target"], told["door"]) == (("-m", "shop"), "the shop", "django")
    assert (told["host"], told["port"], told["grace"]) == ("::1", 9001, 2)
    assert told["watch"] == [".env", "data"]
    (tmp_path / "pyproject.toml").write_text("")
    with pytest.raises(ReplacedError):
        run_app.become_supervisor({}, door)
    assert cli._asked(steps[-1][1][-2:])["port"] == 9002


def test_a_broken_file_is_told_before_anything_is_done(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started_as("python dir/app.py", monkeypatch)
    (tmp_path / "pyproject.toml").write_text("[tool.asyncreload]\nprot = 1\n")
    for reload in (True, False):
        with pytest.raises(SettingsError, match='there is no option "prot"'):
            asyncreload.run(app, reload=reload)
    assert steps == []


@pytest.mark.parametrize("line", ["python -c code", "python -Ic code", "python -", "python"])
def test_what_cannot_be_run_again_is_refused_with_the_remedy(
    line: str, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_as(line, monkeypatch)
    with pytest.raises(SettingsError) as caught:
        asyncreload.run(app)
    assert str(caught.value) == (
        "run(reload=True) needs a script that can be run again: save the code in a file, "
        'or write `await asyncreload.supervise("app.py")`, as in a notebook'
    )
    assert steps == []


@pytest.mark.parametrize("reload", [True, False])
@pytest.mark.parametrize(
    ("no_app", "told"),
    [("app:app", "'app:app': import it, and pass that"), (None, "None"), (3, "3")],
)
def test_what_is_no_app_is_refused(
    no_app: Any, told: str, steps: list[Any], *, reload: bool
) -> None:
    with pytest.raises(SettingsError) as caught:
        asyncreload.run(no_app, reload=reload)
    assert str(caught.value) == f"run() takes the app itself, not {told}"
    assert steps == []


@pytest.mark.asyncio
async def test_where_a_loop_is_running_it_does_not_say_that_it_serves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SettingsError, match=r"^run\(\) cannot serve where an event loop is"):
        asyncreload.run(app, port=0, reload=False)
    assert capsys.readouterr().err == ""


def test_a_notebook_is_refused_as_well(steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel would be run again, and not the cell. In a prompt, no code has a file."""
    started_as("python -m ipykernel_launcher -f kernel.json", monkeypatch)
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    with pytest.raises(SettingsError, match="needs a script that can be run again"):
        asyncreload.run(app)
    assert steps == []


def test_a_program_whose_directory_is_gone_is_refused(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started_as("python dir/app.py", monkeypatch)
    sys.modules["__main__"].__file__ = f"{tmp_path}/gone/dir/app.py"
    with pytest.raises(SettingsError) as caught:
        asyncreload.run(app)
    assert str(caught.value) == (
        f"run(reload=True) runs the script again where it was started, and {tmp_path}/gone is gone "
        "or closed to this process: start it in a directory that stays"
    )
    assert steps == []


@pytest.mark.parametrize("reload", [True, False])
def test_a_bad_option_is_refused_before_anything_is_done(
    reload: bool,  # noqa: FBT001
    steps: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started_as("python app.py", monkeypatch)
    with pytest.raises(SettingsError) as caught:
        asyncreload.run(app, port=70000, reload=reload)
    assert str(caught.value) == "port must be a whole number from 0 to 65535, not 70000"
    assert steps == []


def test_the_options_for_type_checkers_are_those_of_the_command() -> None:
    named = {*RunOptions.__annotations__} | {"host", "port", "target"}
    assert named == {*options_of(Settings, Voice)}


def test_an_error_of_the_apps_own_is_told_by_python(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one than the mistake, and one at a prompt, which would end with it."""
    told: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, exc, trace: told.append(exc))
    started_as("python", monkeypatch)
    monkeypatch.setattr(sys, "argv", [""])
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(SettingsError) as typed:
        asyncreload.run(app, port=70000)
    sys.excepthook(typed.type, typed.value, typed.tb)
    started_as("python app.py", monkeypatch)
    with pytest.raises(SettingsError) as caught:
        asyncreload.run(app, port=70000)
    sys.excepthook(KeyError, other := KeyError(), None)
    assert told == [typed.value, other]
    with pytest.raises(SystemExit) as ended:
        sys.excepthook(caught.type, caught.value, caught.tb)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("asyncreload: error: port must be a whole number")
    assert steps == []


def test_a_worker_that_imports_the_script_is_refused_with_the_remedy(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_as("python app.py", monkeypatch)
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    with pytest.raises(NestedError) as caught:
        asyncreload.run(app)
    assert str(caught.value) == (
        "run(reload=True) was called in a multiprocessing worker that imports the script: "
        'put the call under `if __name__ == "__main__":`'
    )
    assert steps == []


def test_in_a_child_the_app_is_served_and_nothing_else_is_done(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []

    def serve(given: Any) -> NoReturn:
        served.append(given)
        raise SystemExit(3)

    monkeypatch.setattr(process_role, "_role", process_role._Role(serve, loading=True))
    with pytest.raises(SettingsError):  # for the load to fail
        asyncreload.run(app, port=70000)
    assert served == []
    with pytest.raises(SystemExit):
        asyncreload.run(app, port=7000)
    assert served == [app]
    assert steps == []


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param(("app.py",), ["live=True", "port=8001"], id="its own"),
        pytest.param((), [], id="of a target, whose options are typed"),
    ],
)
def test_options_that_were_changed_since_the_start_are_told(
    script: tuple[str, ...], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(_: Any) -> NoReturn:
        raise SystemExit(3)

    notices: list[str] = []
    started_with = Settings(target="app.py", port=8000, trust=("docker",), script=script)
    child: Any = SimpleNamespace(started_with=started_with, notice=notices.append)
    monkeypatch.setattr(process_role, "_role", process_role._Role(serve, child))
    for port in (8000, 8001):
        with pytest.raises(SystemExit):
            asyncreload.run(app, port=port, live=port != 8000, trust=["docker"])
    assert notices == [
        f"options are read at the start: for {option}, stop the server and start it again"
        for option in told
    ]


def test_without_reload_it_serves_right_here_until_ctrl_c(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[Any] = []

    async def serve(given: Any, listener: socket.socket, settings: Settings) -> None:
        served.append((given, listener.getsockname(), settings.interval))
        raise KeyboardInterrupt

    monkeypatch.setattr(plain, "serve_plainly", serve)
    Path("pyproject.toml").write_text("[tool.asyncreload]\nport = 0\nlive = true\n")
    asyncreload.run(app, reload=False, interval=0.5)
    ((given, (host, port), interval),) = served
    told = capsys.readouterr().err
    assert told.endswith(f" serving without reload at http://127.0.0.1:{port}/, Ctrl-C to stop\n")
    assert given is app
    assert (host, interval) == ("127.0.0.1", 0.5)
    assert steps == []
    with socket.create_server((host, port)):
        pass  # it is free again


def test_without_reload_the_address_is_not_told_to_who_wants_quiet(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plain, "serve_plainly", serve)
    Path("pyproject.toml").write_text("[tool.asyncreload]\nport = 0\nquiet = true\n")
    asyncreload.run(app, reload=False)
    assert capsys.readouterr().err == ""
    assert steps == []


def test_without_reload_a_busy_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError) as caught:
            asyncreload.run(app, port=port, reload=False)
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is in use: stop what listens there, choose another port, "
        "or 0 for a free one"
    )
