"""What of a module counts when it is edited: what it does before its last import that loads."""

from __future__ import annotations

import dis
import importlib.util
import marshal
import sys
from textwrap import dedent
from types import CodeType

import pytest

from asyncreload.child.preload.import_prefix import (
    NO_IMPORTS,
    ImportPrefix,
    import_prefix,
    instructions,
)

IMPORT = "IMPORT_NAME"

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


def prefix(code: CodeType, loaded: str = "", *, calls: bool = False) -> ImportPrefix:
    """Return what stands for code that was at its imports of `loaded` when that was loaded.

    calls: whether it was at its calls instead.
    """
    loads = [
        each.offset
        for each in dis.get_instructions(code)
        if (each.opname == "CALL" if calls else (each.opname, each.argval) == (IMPORT, loaded))
    ]
    assert loads or not loaded
    return import_prefix(code, loads=loads)


def fits(old: str, new: str, loaded: str = "", *, calls: bool = False) -> bool:
    """Tell whether an edit leaves as it was what counts, given what was loaded by the old source.

    `old` and `new` may be the same in all but a part.
    """
    assert old != new
    then = prefix(compiled(old), loaded, calls=calls)
    return import_prefix(compiled(new), then.size) == then


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
    assert not fits("lazy import z", "import z")


def test_code_that_has_run_reads_the_same() -> None:
    """Python writes into the code that it runs, and so do debuggers and coverage."""
    source = f"for n in range(100):\n    {'import os; os.sep.join(str(n))'}\nimport sys"
    code = compiled(source)
    before = prefix(code, "sys")
    for _ in range(10):
        exec(code, {})
    assert prefix(code, "sys") == before == prefix(compiled(source), "sys")


def test_code_that_is_monitored_reads_the_same() -> None:
    if sys.version_info < (3, 12):
        pytest.skip("sys.monitoring comes with Python 3.12")
    code = compiled(f"import os\n{MODULE}")
    before = prefix(code, "package")
    monitoring = sys.monitoring
    tool = next(tool for tool in range(6) if monitoring.get_tool(tool) is None)
    monitoring.use_tool_id(tool, "test")
    try:
        monitoring.set_local_events(tool, code, monitoring.events.LINE | monitoring.events.CALL)
        with pytest.raises(ModuleNotFoundError):
            exec(code, {})
        assert prefix(code, "package") == before
    finally:
        monitoring.set_local_events(tool, code, 0)
        monitoring.free_tool_id(tool)


# --- what counts ---------------------------------------------------------------------------------


def test_no_import_at_all() -> None:
    assert import_prefix(compiled("x = 1\ndef f():\n    import os")) == NO_IMPORTS


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
    assert fits(MODULE, changed, "package")


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
    assert not fits(MODULE, changed, "package")


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


@pytest.mark.parametrize("loaded", ["fast", "json"])
@pytest.mark.parametrize(
    "more",
    [
        "AFTER = 2.5",
        "try:\n    AFTER = json.loads('1')\nexcept ValueError:\n    AFTER = (1, 2.5)",
        "if json:\n    AFTER = [each for each in json.a]",
        MANY,
    ],
)
def test_below_a_handler_that_imports_it_does_not(more: str, loaded: str) -> None:
    """Newer Pythons place the handler behind it."""
    assert fits(HANDLED, f"{HANDLED}{more}", loaded)
    assert not fits(HANDLED, f"X = 1\n{HANDLED}", loaded)
    assert not fits(HANDLED, HANDLED.replace("ImportError", "ValueError"), "json")


def test_behind_a_handler_it_does() -> None:
    """Newer Pythons jump back from there: that is no loop."""
    source = f"{HANDLED}import last\nLAST = 1.5\n"
    assert fits(source, source.replace("LAST = 1.5", "LAST = 2.5"), "last")
    assert not fits(source, source.replace("AFTER = 1.5", "AFTER = 2.5"), "last")


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
    assert not fits(plain, changed, "b")
    assert not fits(f"{plain}\nimport c", changed, "b")


# --- which import is the last that counts --------------------------------------------------------

SHOP = """
'A shop.'
import package
TITLE = "shop"
from os import (
    path,
    sep,
)
SECONDS = 60
package.seconds = SECONDS
try:
    import json
finally:
    SECONDS = 61
if __name__ == "__main__":
    import server
"""


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ('"shop"', '"market"', True),
        ("60", "70", True),
        ("61", "71", True),
        ("package.seconds = SECONDS", "package.configure('x')", True),
        ("package.seconds = SECONDS\n", "", True),
        ('if __name__ == "__main__":', "if package.is_main:", True),
        ("import json", "import json as j", True),
        ("import server\n", "import server\n    server.run()\n", True),
        ("A shop", "A market", True),
        ("'A shop.'\n", "", True),
        ("'A shop.'\n", "'A shop.'\nTITLE = 'x'\n", False),
        ("'A shop.'\n", "__doc__ = set_up()\n", False),
        ("'A shop.'\n", "__doc__ = __name__\n", False),
        ("import package", "import sys\nimport package", False),
        ("import json", "import yaml", False),
        ("import json", "from json import loads", False),
        ("import json", "pass", False),
        ("    path", "    path as p", True),
        ("    path", "    walk", False),
        ("    sep,\n", "", False),
        ("from os import", "from .os import", False),
        ("import server", "from server import *", False),
        ("import server", "import server, other", False),
        ("    import server", "    pass", False),
        ("import server\n", "import server\nimport other\n", False),
        ("61\n", "61\nwith package:\n    import other\n", False),
    ],
)
def test_below_the_last_one_that_loads_only_imports_do(
    old: str, new: str, *, is_same: bool
) -> None:
    assert fits(SHOP, SHOP.replace(old, new), "package") is is_same


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [("A shop", "A market", True), ("61", "71", True), ("json", "yaml", False)],
)
def test_without_one_that_loads_only_imports_do(old: str, new: str, *, is_same: bool) -> None:
    assert fits(SHOP, SHOP.replace(old, new)) is is_same


def test_a_file_that_is_shorter_differs() -> None:
    assert not fits(SHOP, "'A shop.'", "server")


def test_the_arguments_of_a_call_that_loads_do() -> None:
    """They stand on later lines than the call."""
    source = "app = create(\n    'first',\n    'last',\n)\nAFTER = 1\nimport os"
    for old, is_same in (("first", False), ("last", False), ("AFTER = 1", True)):
        assert fits(source, source.replace(old, "x"), calls=True) is is_same


@pytest.mark.parametrize("loop", ["for name in names", "while names"])
def test_a_loop_that_loads_does(loop: str) -> None:
    """What is done in it may be done before the next load."""
    source = f"""
{loop}:
    load()
    for x in y:
        LAST = 'last'
    INNER = 'inner'
for other in others:
    AFTER = 'after'
import os
"""
    for old, is_same in (("last", False), ("inner", False), ("after", True)):
        assert fits(source, source.replace(f"'{old}'", "1.5"), calls=True) is is_same


def test_what_counts_at_least() -> None:
    """What a replay has imported ahead was loaded further down at first."""
    code = compiled(SHOP)
    then = prefix(code, "json")
    load = next(each.offset for each in dis.get_instructions(code) if each.argval == "package")
    assert import_prefix(code, then.size, [load]) == then
    assert import_prefix(code, 1, [load]).size < then.size


# --- how it is told ------------------------------------------------------------------------------


def test_comments_and_blank_lines_do_not() -> None:
    commented = MODULE.replace("\n", "\n\n# what follows\n").replace(
        "\n\n# what follows\n    ", "\n    "
    )
    assert fits(MODULE, commented, "package")


def test_a_set_is_told_the_same_in_every_process() -> None:
    """Its order hangs on how strings are hashed, which is another in each."""
    code = compiled("x = 1.5\nimport os")
    both = [
        code.replace(co_consts=tuple(each if v == 1.5 else v for v in code.co_consts))
        for each in (frozenset([0, 8]), frozenset([8, 0]))
    ]
    assert len({repr(each.co_consts) for each in both}) == 2
    assert prefix(both[0], "os") == prefix(both[1], "os")


def test_a_cache_stands_for_the_code_in_it() -> None:
    code = compiled(MODULE)
    assert import_prefix(bytes(16) + marshal.dumps(code), 9) == import_prefix(code, 9)
