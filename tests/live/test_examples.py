"""Each example runs as its docstring says, shows an edit at once, and leaves nothing behind."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from tests.live.commands import INTERRUPTED, PORT, ROOT, free_port, running
from tests.live.driving import Connection

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# Where the greeting of the page is, if not in the example itself.
GREETS = {"embed.py": "hello.py", "orchestrate.py": "hello.py"}
RUN_IT = re.compile(rf"Run it: ((?:asyncreload|python) examples/(\w+\.py) (?:--port )?{PORT})\b")
GREETING = re.compile(r'^GREETING = "(.+)"$', re.MULTILINE)


def how_to_run(example: Path) -> str:
    """Return the command in the docstring, which is about this file."""
    docstring = ast.get_docstring(ast.parse(example.read_text())) or ""
    commands = RUN_IT.findall(docstring)
    assert len(commands) == 1, docstring
    command, name = commands[0]
    assert name == example.name
    return str(command)


def test_example_of_each_kind_is_there() -> None:
    assert [example.stem for example in EXAMPLES] == [
        "board",
        "bottle_app",
        "django_app",
        "django_asgi",
        "embed",
        "fastapi_app",
        "flask_app",
        "hello",
        "orchestrate",
        "script",
        "starlette_ws",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_runs_as_its_docstring_says(example: Path, project: Path, temp: Path) -> None:
    copy = project / "examples"
    shutil.copytree(example.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / GREETS.get(example.name, example.name)
    source = file.read_text()
    (greeting,) = GREETING.findall(source)
    with running(how_to_run(example), free_port(), project, temp) as run:
        answer = run.first_answer()
        assert answer.status == 200, answer
        assert f"<h1>{greeting}</h1>" in answer.body
        file.write_text(source.replace(greeting, "Good morning"))
        body = run.body()
        assert "<h1>Good morning</h1>" in body
        if "/hello/you" in body:
            assert "<h1>Good morning, you</h1>" in run.body("/hello/you")
        if example.stem == "embed":
            assert "Hello from asyncio, it is" in run.output, "the other task runs beside it"
        assert run.press_ctrl_c() == INTERRUPTED, run.output
        assert "Traceback" not in run.output


def test_orchestrate_announces_a_failed_load(project: Path, temp: Path) -> None:
    copy = project / "examples"
    shutil.copytree(ROOT / "examples", copy, ignore=shutil.ignore_patterns("__pycache__"))
    hello = copy / "hello.py"
    source = hello.read_text()
    with running(
        how_to_run(ROOT / "examples" / "orchestrate.py"), free_port(), project, temp
    ) as run:
        assert run.first_answer().status == 200
        board = run.until(r"board\.py at http://127\.0\.0\.1:(\d+)/")
        hello.write_text(f"{source}\n1 / 0\n")
        run.until("(hello.py is broken: ZeroDivisionError: division by zero)")
        hello.write_text(source)
        run.until("(hello.py answers again)")
        page = Connection(int(board)).send().receive().body
        assert "<li>hello.py is broken: ZeroDivisionError: division by zero</li>" in page
        assert "<li>hello.py answers again</li>" in page
        assert "It is" in run.output, "the clock ticks beside them"
        assert run.press_ctrl_c() == INTERRUPTED, run.output
