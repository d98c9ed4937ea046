"""Small projects at random, whose modules depend on each other and on files in all sorts of ways.

A project is the text of each file, by name. `book.py` and `telling.py` of the app `whole_state` lie
beside what is made here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import hypothesis.strategies as st
from hypothesis.strategies import SearchStrategy

Project = Mapping[str, str]
Operation = tuple[str, ...]
"""What is done to the files, and to which; `Disk` in the test plays it."""

IMPORTED = (
    *("alpha", "beta", "gamma", "delta", "late", "pack", "pack.one", "pack.two", "space.inner"),
    *("extra", "plugins.first", "ignored"),
)
"""What modules import, there or not."""
ALWAYS = ("app.py", "book.py", "last.py")
"""They are edited, but never removed. `last.py` is imported at the end."""
MODULES = (
    *("alpha.py", "beta.py", "gamma.py", "delta.py", "late.py", "extra.py"),
    *("pack/__init__.py", "pack/one.py", "pack/two.py", "space/inner.py"),
    *("plugins/first.py", "plugins/second.py", "vendor/extra.py"),
)
SHADOWS = ("alpha/__init__.py", "pack.py", "space/__init__.py", "vendor/beta.py", "space.py")
"""Another module of a name that is there already, for some order of the path."""
WATCHED = ("conf.json",)
"""A pattern asks for it."""
IGNORED = "ignored.py"
UNWATCHED = (IGNORED, "notes.txt", "pack/text.txt", "data/one.txt", "data/two.txt", "snippet.txt")
"""A save of one of these alone is no change; but the next load is to read it as it is."""
ENVIRONMENT = "variables.env"

numbers = st.integers(0, 99)
names = st.sampled_from(IMPORTED)
inputs = st.sampled_from([*WATCHED, *UNWATCHED[1:]])


def _guarded(code: str) -> str:
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    return (
        f"try:\n{lines}\n"
        "except (ImportError, AttributeError, OSError) as exc:\n"
        "    FAULTS = [*globals().get('FAULTS', []), f'{type(exc).__name__}: {exc}']"
    )


def _once(code: str) -> str:
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    return f"if telling.first({code!r} + __name__):\n{lines}"


IMPORTS = (
    "import {name}",
    "from {name} import *",
    "from {name} import VALUE as OF_{flat}",
    "OF_{flat} = importlib.import_module({name!r}).VALUE",
    "import {name} as THE_{flat}",
)
STATEMENTS = (
    "NUMBER_{number} = {number}",
    "import book; book.COUNT += {number}",
    "import book; NUMBERED = book.numbered(__name__)",
    "import book\n@book.register\ndef function_{number}(a={number}): return a",
    "import book\n@book.traced\n@book.register\ndef inner_{number}(): return {number}",
    "import book\nclass Class{number}(book.Base): NUMBER = {number}",
    "__all__ = ['VALUE']",
    "MODE = os.environ.get('APP_MODE')",
    "if os.environ.get('APP_MODE') == '1': import {name}",
    "os.environ['APP_LEFT'] = os.environ.get('APP_LEFT', '') + '{number} '",
    "json.app_mark = getattr(json, 'app_mark', 0) + {number}",
    "telling.LATER.append((__name__, lambda: importlib.import_module({name!r}).VALUE))",
    "telling.DONE.add('seeded'); random.seed({number})",
    "DRAWN = random.random() if 'seeded' in telling.DONE else 0",
    (
        "def __getattr__(name):\n"
        "    if name != 'lazy': raise AttributeError(name)\n"
        "    return importlib.import_module({name!r}).VALUE\n"
        "telling.LATER.append((__name__, lambda: sys.modules[__name__].lazy))"
    ),
)
MEDDLING = (
    "import {name}; {name}.VALUE = {number}",
    "import {name}; {name}.patched_{number} = book.__name__ if 'book' in globals() else VALUE",
)
UNDOING = (
    "sys.modules.pop({name!r}, None)\nimport {name}",
    "import {name}\nimportlib.reload(sys.modules[{name!r}])",
)
PATHS = (
    "sys.path.insert(0, os.path.join(telling.HERE, 'vendor'))",
    "sys.path.append(os.path.join(telling.HERE, 'vendor'))",
    "sys.path.insert(1, 'vendor')",
)
READS = (
    "READ = open({input!r}).read()",
    "READ = open(os.path.join(telling.HERE, {input!r}), 'rb').read()",
    "READ = pathlib.Path({input!r}).read_text()",
    "READ = json.load(open('conf.json'))",
    "READ = sorted({{*os.listdir('data')}} - {{'__pycache__'}})",
    "READ = sorted({{*os.listdir()}} - {{'__pycache__'}})",
    "READ = sorted(entry.name for entry in os.scandir('data'))",
    "READ = sorted(glob.glob('data/*.txt'))",
    "READ = sorted(map(str, pathlib.Path('data').iterdir()))",
    "READ = [open(path).read() for path in sorted(glob.glob('**/*.txt', recursive=True))]",
    "READ = sorted({{*os.listdir('pack')}} - {{'__pycache__'}})",
    "READ = pkgutil.get_data('pack', 'text.txt')",
    "READ = importlib.resources.files('pack').joinpath('text.txt').read_text()",
    "READ = sorted(module.name for module in pkgutil.iter_modules(['plugins', 'pack']))",
    (
        "for place in sorted(glob.glob('plugins/*.py')):\n"
        "    importlib.import_module('plugins.' + os.path.basename(place)[:-3])"
    ),
    "exec(open('snippet.txt').read())",
    "RAN = runpy.run_path('snippet.txt')['VALUE']",
    (
        "READ = []\n"
        "thread = threading.Thread(target=lambda: READ.append(open({input!r}).read()))\n"
        "thread.start(); thread.join(); del thread"
    ),
    (
        "with concurrent.futures.ThreadPoolExecutor(1) as pool:\n"
        "    READ = list(pool.map(lambda path: open(path).read(), [{input!r}]))\n"
        "del pool"
    ),
    (
        "descriptor = os.open({input!r}, os.O_RDONLY)\n"
        "READ = os.read(descriptor, 100); os.close(descriptor); del descriptor"
    ),
    "READ = list(fileinput.input({input!r}))",
    # Opened before, as it knows by `stat` that there is none, of which a checkpoint hears nothing.
    "open({input!r}).close(); READ = linecache.getlines({input!r})",
    (
        "spec = importlib.util.spec_from_file_location('hidden', 'snippet.txt', loader="
        "importlib.machinery.SourceFileLoader('hidden', 'snippet.txt'))\n"
        "HIDDEN = importlib.util.module_from_spec(spec); spec.loader.exec_module(HIDDEN); del spec"
    ),
)
BREAKS = ("raise RuntimeError('number {number}')", "def broken(:", "import nowhere", "sys.exit(3)")
STANDARD = """\
import concurrent.futures, fileinput, glob, importlib.resources, importlib.util
import json, linecache, os, pathlib, pkgutil, random, runpy, sys, threading
import concurrent.futures.thread
"""
"""What the modules use of the standard library."""
_BEGINNING = f"""\
VALUE = {{number}}
import telling
telling.begin(__name__, {{pause}})
{STANDARD}"""
_VALUE = re.compile(r"\d+")


def _text(template: str, name: str, number: int, path: str) -> str:
    flat = name.replace(".", "_")
    return template.format(name=name, flat=flat, number=number, input=path)


def _from(*templates: str) -> SearchStrategy[str]:
    return st.builds(_text, st.sampled_from(templates), names, numbers, inputs)


statements = st.one_of(
    _from(*IMPORTS).map(_guarded),
    _from(*IMPORTS).map(_guarded),
    _from(*STATEMENTS),
    _from(*READS).map(_guarded),
    _from(*READS).map(_guarded),
    _from(*MEDDLING).map(_guarded),
    _from(*UNDOING).map(_guarded).map(_once),
    _from(*PATHS),
)
modules = st.builds(
    lambda number, pause, body: "\n".join(
        [_BEGINNING.format(number=number, pause=pause), *body, ""]
    ),
    numbers,
    st.sampled_from([0, 6, 6, 6]),
    st.lists(statements, max_size=3),
)
broken = st.builds(lambda text, fault: f"{text}{fault}\n", modules, _from(*BREAKS, "import {name}"))
apps = st.lists(st.sampled_from([*IMPORTED, "book"]), min_size=2, max_size=6, unique=True).map(
    lambda found: "\n".join(
        [
            "import telling",
            "telling.begin(__name__, 6)",
            *(_guarded(f"import {name}") for name in found),
            "import last",
            "def app(environ, start_response):",
            "    text = telling.told().encode()",
            "    start_response('200 OK', [('Content-Type', 'application/json')])",
            "    return [text]",
            "",
        ]
    )
)


def data_of(name: str) -> SearchStrategy[str]:
    """Return what may be in a file that is no module."""
    if name == ENVIRONMENT:
        return st.sampled_from(["", "APP_MODE=1\n", "APP_MODE=2\nAPP_LEFT=x\n"])
    if name == "conf.json":
        return numbers.map(lambda number: f'{{"number": {number}}}\n')
    return numbers.map(lambda number: f"VALUE = {number}\n")


@st.composite
def projects(draw: st.DrawFn) -> dict[str, str]:
    """Return the files of a project at its beginning."""
    files = {"app.py": draw(apps), "last.py": draw(modules)}
    for name in draw(st.lists(st.sampled_from(MODULES), unique=True, min_size=6)):
        files[name] = draw(modules)
    for name in (*WATCHED, *UNWATCHED, ENVIRONMENT):
        if draw(st.integers(0, 3)):
            files[name] = draw(texts(name))
    return files


def texts(name: str) -> SearchStrategy[str]:
    """Return what a file may be changed to."""
    if name == "app.py":
        return apps
    return modules if name.endswith(".py") else data_of(name)


_any_module = st.sampled_from([*MODULES, *ALWAYS])
_data = st.sampled_from([*WATCHED, *UNWATCHED, *UNWATCHED, ENVIRONMENT])


def _with_text(kind: str, names: SearchStrategy[str]) -> SearchStrategy[Operation]:
    return names.flatmap(lambda name: st.tuples(st.just(kind), st.just(name), texts(name)))


operations: SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("renumber"), _any_module, numbers.map(str)),
    st.tuples(st.just("renumber"), _any_module, numbers.map(str)),
    st.tuples(st.just("renumber"), _any_module, numbers.map(str)),
    st.tuples(st.just("renumber"), st.just("last.py"), numbers.map(str)),
    _with_text("save", st.sampled_from([*MODULES, "app.py", "last.py"])),
    _with_text("save", st.sampled_from(MODULES)),
    _with_text("save", st.sampled_from(SHADOWS)),
    _with_text("save", _data),
    _with_text("save", _data),
    _with_text("save", _data),
    _with_text("save", _data),
    st.tuples(st.just("save"), st.sampled_from([*MODULES, "last.py"]), broken),
    st.tuples(st.just("delete"), st.sampled_from([*MODULES, *SHADOWS])),
    st.tuples(st.just("delete"), st.sampled_from([*SHADOWS, *WATCHED, *UNWATCHED, ENVIRONMENT])),
    st.tuples(st.just("rename"), st.sampled_from(MODULES), st.sampled_from([*MODULES, *SHADOWS])),
    st.tuples(st.just("touch"), _any_module),
    st.tuples(st.just("restore"), _any_module),
    st.tuples(st.just("restore"), _data),
    st.tuples(st.just("prune"), st.sampled_from(["alpha", "space", "vendor", "data", "plugins"])),
)


def renumbered(text: str, number: str) -> str:
    """Return a module's text with another number at its beginning, as a small edit has it."""
    return _VALUE.sub(number, text, count=1)
