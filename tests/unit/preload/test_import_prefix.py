"""What of a module counts when it is edited: what it does before its last import."""

from __future__ import annotations

import dis
import importlib.util
import marshal
import sys
from textwrap import dedent
from types import CodeType

import pytest

from asyncreload.child.preload.import_prefix import import_prefix, instructions

MANY = "\n".join(f"name{number} = {number}.5" for number in range(300))
"""More names and constants than fit into one byte."""

MODULE = """
import os
X: int = 1
if os.environ.get("MODE") in {"fast", "slow"}:
    os.environ["LEVEL"] = "high"
def setup(level: int = 7) -> None:
    print(level)
import package
AFTER = 1000
"""


def compiled(source: str) -> CodeType:
    return compile(dedent(source), "m.py", "exec")


def source_of(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.origin
    with open(spec.origin, encoding="utf-8") as file:
        return file.read()


# --- the reading of bytecode ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        MODULE,
        f"{MANY}\nimport os\nname299.real.imag()\nname299.real = 5.5",
        "global called\ncalled = print\ncalled('x')\ncalled",
        "first: int = 1\nif first:\n    second: 'str' = 'x'\nimport os, os.path as p",
        "from os import path, sep\ndel path\nx = [sep.join(y) for y in ('a', 'b')]",
        "class A:\n    b = 1.5\n    def c(self): return super().c(key=1)\nA.b += 2.5\ndel A.b",
        "try:\n    import os\nexcept ImportError as exc:\n    raise SystemExit(exc.name) from None",
        "x = -1.5, (2, 3.5), 1 << 40, 'a' 'b', slice(1, 2), ..., None\nprint(*x, sep='')",
        *map(source_of, ("ast", "dis", "enum", "inspect", "typing", "subprocess", "threading")),
    ],
    ids=lambda source: source.strip()[:20],
)
def test_what_instructions_mean_is_what_dis_says(source: str) -> None:
    """On every Python: the layout of an operand differs from one to the next."""
    todo = [compiled(source)]
    while todo:
        code = todo.pop()
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        found = list(instructions(code, [(0, len(code.co_code))]))
        told = [each for each in dis.get_instructions(code) if each.opname != "EXTENDED_ARG"]
        assert [opcode for _, opcode, _, _ in found] == [each.opcode for each in told]
        means = {*dis.hasname, *dis.hasconst, *dis.hasjrel}
        for (_, opcode, operand, meant), each in zip(found, told, strict=True):
            if opcode not in means:
                assert (meant, operand) == (None, each.arg or 0), each
            elif repr(each.argval) != "<unknown>":  # 3.11's looks up no names of keywords
                assert repr(meant) == repr(each.argval), each


def test_lazy_imports_differ() -> None:
    if sys.version_info < (3, 15):
        pytest.skip("no import is lazy before Python 3.15")
    assert import_prefix(compiled("lazy import z")) != import_prefix(compiled("import z"))


def test_code_that_has_run_reads_the_same() -> None:
    """Python writes into the code that it runs, and so do debuggers and coverage."""
    source = f"for n in range(100):\n    {'import os; os.sep.join(str(n))'}\nimport sys"
    code = compiled(source)
    before = import_prefix(code)
    for _ in range(10):
        exec(code, {})
    assert import_prefix(code) == before == import_prefix(compiled(source))


def test_code_that_is_monitored_reads_the_same() -> None:
    if sys.version_info < (3, 12):
        pytest.skip("sys.monitoring comes with Python 3.12")
    code = compiled(f"import os\n{MODULE}")
    before = import_prefix(code)
    monitoring = sys.monitoring
    tool = next(tool for tool in range(6) if monitoring.get_tool(tool) is None)
    monitoring.use_tool_id(tool, "test")
    try:
        monitoring.set_local_events(tool, code, monitoring.events.LINE | monitoring.events.CALL)
        with pytest.raises(ModuleNotFoundError):
            exec(code, {})
        assert import_prefix(code) == before
    finally:
        monitoring.set_local_events(tool, code, 0)
        monitoring.free_tool_id(tool)


# --- what counts ---------------------------------------------------------------------------------


def test_no_import_at_all() -> None:
    assert import_prefix(compiled("x = 1\ndef f():\n    import os")) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AFTER = 1000", "AFTER = 2000"),
        ("AFTER = 1000", "AFTER = 1000\nMORE = package.other('x', 3.5, key=(1, 2.5))"),
        ("AFTER = 1000", "AFTER: int = 1000\nOTHER: str = 'x'"),
        ("AFTER = 1000", "def after(a: int = 3) -> str: return 'x'"),
        ("AFTER = 1000", MANY),
        ("print(level)", "print(level, 'more')"),
        ("import package", "import package as p"),
    ],
)
def test_below_it_does_not(old: str, new: str) -> None:
    changed = MODULE.replace(old, new)
    assert changed != MODULE
    assert import_prefix(compiled(changed)) == import_prefix(compiled(MODULE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import package", "import packages"),
        ("import package", "from package import thing"),
        ("import os\n", "import os, sys\n"),
        ("X: int = 1", "X: int = 2"),
        ("X: int = 1", "Y: int = 1"),
        ("X: int = 1", "X: int = 1.0"),
        ("X: int = 1", "X: int = True"),
        ('"MODE"', '"KIND"'),
        ('"slow"', '"slower"'),
        ("os.environ.get", "os.environ.pop"),
        (" in {", " not in {"),
        ("setup(", "prepare("),
        ("= 7", "= 8"),
        ("AFTER = 1000", "import other"),
    ],
)
def test_above_it_does(old: str, new: str) -> None:
    changed = MODULE.replace(old, new)
    assert changed != MODULE
    assert import_prefix(compiled(changed)) != import_prefix(compiled(MODULE))


HANDLED = """
try:
    import fast as json
except ImportError:
    import json
AFTER = 1.5
def app(environ, start_response):
    return [json.dumps(AFTER)]
app.after = AFTER
"""


@pytest.mark.parametrize(
    "more",
    [
        "AFTER = 2.5",
        "try:\n    AFTER = json.loads('1')\nexcept ValueError:\n    AFTER = (1, 2.5)",
        "if json:\n    AFTER = [each for each in json.a]",
        MANY,
    ],
)
def test_below_a_handler_that_imports_it_does_not(more: str) -> None:
    """Newer Pythons place the handler behind it."""
    assert import_prefix(compiled(f"{HANDLED}{more}")) == import_prefix(compiled(HANDLED))


@pytest.mark.parametrize(
    "changed",
    [
        "if X:\n    import a\n    import b",
        "if X:\n    import a\nelse:\n    import b",
        "if not X:\n    import a\nimport b",
        "while X:\n    import a\nimport b",
        "if X:\n    import a\n    import b\nimport c",
    ],
)
def test_what_an_import_hangs_on_does(changed: str) -> None:
    plain = "if X:\n    import a\nimport b"
    assert import_prefix(compiled(changed)) != import_prefix(compiled(plain))
    assert import_prefix(compiled(changed)) != import_prefix(compiled(f"{plain}\nimport c"))


def test_comments_and_blank_lines_do_not() -> None:
    commented = MODULE.replace("\n", "\n\n# what follows\n").replace(
        "\n\n# what follows\n    ", "\n    "
    )
    assert commented != MODULE
    assert import_prefix(compiled(commented)) == import_prefix(compiled(MODULE))


def test_a_set_is_told_the_same_in_every_process() -> None:
    """Its order hangs on how strings are hashed, which is another in each."""
    code = compiled("x = 1.5\nimport os")
    both = [
        code.replace(co_consts=tuple(each if v == 1.5 else v for v in code.co_consts))
        for each in (frozenset([0, 8]), frozenset([8, 0]))
    ]
    assert len({repr(each.co_consts) for each in both}) == 2
    assert import_prefix(both[0]) == import_prefix(both[1])


def test_a_cache_stands_for_the_code_in_it() -> None:
    code = compiled(MODULE)
    assert import_prefix(bytes(16) + marshal.dumps(code)) == import_prefix(code)
