"""P7: the next child has imported the packages already, and nobody can tell but by the clock.

Each project is edited while a standby is ready, and must answer then as if it had been started
cold. Packages are those of a directory of their own, called `site-packages`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.driving import LONG, lay_out, replace, standby, until
from tests.live.processes import is_alive, state_of

if TYPE_CHECKING:
    from tests.live.conftest import Serve
    from tests.live.driving import Served

SAVES = 200 if LONG else 12
SEED = int(os.environ.get("ASYNCRELOAD_SEED", "1"))

PAGE = """\
import json, os, sys
{source}
VERSION = "1"

def answer(path):
    return {answer}

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["PATH_INFO"]
    found = os.getpid() if path == "/pid" else [VERSION, answer(path)]
    return [json.dumps(found, sort_keys=True, default=str).encode()]
"""
# A package that tells, beside itself, which processes imported it; a replay has no app yet.
LOGGING = """\
import os as _os, sys as _sys
with open(__file__ + ".log", "a") as _log:
    _log.write(f"{_os.getpid()} {'loaded' if 'app' in _sys.modules else 'replayed'}\\n")
"""


def page(source: str, answer: str) -> str:
    return PAGE.format(source=dedent(source), answer=answer)


class Packages:
    """A directory of packages, on PYTHONPATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def write(self, name: str, source: str, *, logs: bool = True) -> Path:
        """Install a package, or change it."""
        path = self.directory / (name if name.endswith(".py") else f"{name}/__init__.py")
        path.parent.mkdir(exist_ok=True)
        replace(path, LOGGING * logs + dedent(source))
        return path

    def imports(self, name: str) -> list[tuple[int, str]]:
        """Return the processes that imported a package, in order, and how."""
        log = self.directory / name / "__init__.py.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(int(pid), how) for pid, how in map(str.split, lines)]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    found = Packages(tmp_path / "site-packages")
    monkeypatch.setenv("PYTHONPATH", str(found.directory))
    return found


def edit(served: Served, name: str, old: str, new: str) -> None:
    """Save at once: after half of a save, an app has changed its imports, and starts cold."""
    text = served.read(name)
    assert old in text
    served.replace(name, text.replace(old, new))


def bump(served: Served, old: int, new: int) -> None:
    edit(served, "app.py", f'VERSION = "{old}"', f'VERSION = "{new}"')


@dataclass
class Case:
    """An app, the packages that it imports, and what it tells of itself."""

    source: str
    answer: str
    packages: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    edit: tuple[str, str] = ("", "")
    """What is changed in the source, beside the version."""
    is_warm: bool = True
    """Whether the standby's process can stand for one that starts cold."""
    replayed: str = "third"
    """A package that the standby has, when nothing is changed but the version."""
    varies: bool = False
    """Whether each load of the same source answers otherwise."""


COLD = ("--no-standby", "--preload", "interpreter")


def differing(warm: Any, cold: Any, at: str = "") -> dict[str, tuple[Any, Any]]:
    """Return where two answers differ, as far down as both are made alike."""
    if isinstance(warm, list) and isinstance(cold, list) and len(warm) == len(cold):
        warm, cold = dict(enumerate(warm)), dict(enumerate(cold))
    if not isinstance(warm, dict) or not isinstance(cold, dict):
        return {} if warm == cold else {at: (warm, cold)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*warm, *(key for key in cold if key not in warm)]:
        found |= differing(warm.get(key), cold.get(key), f"{at}/{key}")
    return found


def compare(serve: Serve, packages: Packages, case: Case) -> None:
    """Edit, and compare the answer with that of a cold start.

    The first load was one. Of the same source, but for the version, no other is needed.
    """
    for name, source in case.packages.items():
        packages.write(name, source)
    files = {"app.py": page(case.source, case.answer), **case.files}
    warm = serve("app.py", "--no-access-log", "--verbose", files=files)
    _, first = json.loads(warm.body())
    saves = (1, 2) if LONG else (1,)
    for number in saves:
        before = standby(warm)
        edited = warm.read("app.py").replace(f'VERSION = "{number}"', f'VERSION = "{number + 1}"')
        if number == 1 and case.edit[0]:
            assert case.edit[0] in edited
            edited = edited.replace(*case.edit)
        elif case.replayed:
            assert (before, "replayed") in packages.imports(case.replayed)
            assert case.is_warm
        warm.replace("app.py", edited)
        answer = warm.body()
        assert case.edit[0] or not case.is_warm or warm.body("/pid") == str(before), warm.output
        if number == saves[-1]:
            warm.stop()  # else it would make one more standby meanwhile
        expected = [str(number + 1), first]
        if LONG or case.edit[0] or case.varies:
            expected = json.loads(cold_answer(serve))
        assert differing(json.loads(answer), expected) == {}, warm.output
        assert "Traceback" not in warm.output, warm.output


def cold_answer(serve: Serve) -> str:
    """Return what the project answers when it is started cold."""
    cold = serve("app.py", *COLD, "--no-access-log")
    answer = cold.body()
    cold.stop()
    assert "Traceback" not in cold.output, cold.output
    return answer


THIRD = "import os, sys\nLOADED = True\n"

# Without what tells one supervisor's processes from those of another.
ENVIRON = """\
import os, sys
LOADED = True
def environ():
    return {name: os.environ[name] for name in os.environ if not name.startswith("ASYNCRELOAD_")}
"""

CASES = {
    "what a process is": Case(
        """
        import logging, signal, warnings, third, third.sub
        environ = third.environ
        """,
        """{
            "path": sys.path,
            "argv": sys.argv,
            "environ": environ(),
            "main": sorted(vars(sys.modules["__main__"])),
            "modules": sorted(name for name in sys.modules if name.startswith("third")),
            "handlers": [type(handler).__name__ for handler in logging.getLogger().handlers],
            "filters": list(map(str, warnings.filters)),
            "signals": {s.name: str(signal.getsignal(s)).split(" at ")[0] for s in signal.Signals},
            "cwd": os.getcwd(),
            "finders": [str(finder).split(" at ")[0] for finder in sys.meta_path],
            "hooks": [str(hook).split(" at ")[0] for hook in sys.path_hooks],
            "streams": [str(sys.stdout), str(sys.stderr), str(sys.stdin)],
            "flags": str(sys.flags),
            "excepthook": str(sys.excepthook),
            "umask": os.umask(0o22),
            "limit": sys.getrecursionlimit(),
        }""",
        {"third": ENVIRON, "third/sub.py": ""},
    ),
    "what a package sees": Case(
        "import third",
        "[third.PATH, third.ARGV, third.MAIN, third.CWD, third.ENVIRON]",
        {
            "third": ENVIRON
            + """
import __main__
PATH, ARGV, MAIN = list(sys.path), list(sys.argv), sorted(vars(__main__))
CWD, ENVIRON = os.getcwd(), environ()
"""
        },
    ),
    "environment set before an import": Case(
        'os.environ["MODE"] = "fast"\nimport third',
        '[third.MODE, os.environ["MODE"]]',
        {"third": "import os\nMODE = os.environ.get('MODE')"},
    ),
    "environment value that changes": Case(
        'os.environ["MODE"] = "fast"\nimport third',
        '[third.MODE, os.environ["MODE"]]',
        {"third": "import os\nMODE = os.environ.get('MODE')"},
        edit=('"fast"', '"slow"'),
    ),
    "environment value for one import": Case(
        'os.environ["MODE"] = "fast"\nimport third\ndel os.environ["MODE"]',
        '[third.MODE, os.environ.get("MODE")]',
        {"third": "import os\nMODE = os.environ.get('MODE')"},
        edit=('"fast"', '"slow"'),
        is_warm=False,
        replayed="",
    ),
    "environment set by a package": Case(
        "import first, third",
        '[third.MODE, os.environ.get("MODE")]',
        {
            "first": "import os\nos.environ['MODE'] = 'fast'",
            "third": "import os\nMODE = os.environ.get('MODE')",
        },
        is_warm=False,
        replayed="",
    ),
    "environment set before the import instead of after it": Case(
        'import third\nos.environ["MODE"] = "fast"',
        "third.MODE",
        {"third": "import os\nMODE = os.environ.get('MODE')"},
        edit=(
            'import third\nos.environ["MODE"] = "fast"',
            'os.environ["MODE"] = "fast"\nimport third',
        ),
        is_warm=False,
        replayed="",
    ),
    "package that changes a setting for its parts": Case(
        "import third, last",
        "[third.LOADED, last.LOADED]",
        {
            "third": """
            import warnings
            warnings.filterwarnings("ignore", "nothing")
            import third.sub
            LOADED = True
            """,
            "third/sub.py": "",
            "last": THIRD,
        },
        replayed="last",
    ),
    "environment of each load": Case(
        'os.environ["NOW"] = str(os.stat(__file__).st_mtime_ns)\nimport third',
        "third.NOW",
        {"third": "import os\nNOW = os.environ['NOW']"},
        is_warm=False,
        replayed="",
        varies=True,
    ),
    "logging configured": Case(
        "import logging, first\nlogging.basicConfig(level='DEBUG')\nimport third",
        "[first.LEVEL, third.LEVEL]",
        {
            "first": "import logging\nLEVEL = logging.getLogger().getEffectiveLevel()",
            "third": "import logging\nLEVEL = logging.getLogger().getEffectiveLevel()",
        },
    ),
    "logger of a package configured": Case(
        "import logging\nlogging.getLogger('third').setLevel('DEBUG')\nimport third",
        "third.LEVEL",
        {"third": "import logging\nLEVEL = logging.getLogger('third').getEffectiveLevel()"},
    ),
    "loggers disabled by a configuration": Case(
        """
        import logging.config
        logging.config.dictConfig({"version": 1, "loggers": {"mine": {"level": "INFO"}}})
        import third
        """,
        "[third.log.disabled, third.log.getEffectiveLevel()]",
        {"third": "import logging\nlog = logging.getLogger('third')"},
    ),
    "handler that a package adds behind the project's configuration": Case(
        """
        import logging.config
        handlers = {"mine": {"class": "logging.StreamHandler"}}
        root = {"handlers": ["mine"]}
        logging.config.dictConfig({"version": 1, "handlers": handlers, "root": root})
        import first, third
        """,
        "[type(one).__name__ for one in logging.root.handlers]",
        {
            "first": "",
            "third": "import logging\nlogging.root.addHandler(logging.NullHandler())",
        },
        replayed="first",
    ),
    "factory of log records": Case(
        """
        import logging
        plain = logging.getLogRecordFactory()
        def factory(*arguments, **named):
            return plain(*arguments, **named)
        logging.setLogRecordFactory(factory)
        import third
        """,
        "[third.LOADED, logging.getLogRecordFactory() is factory]",
        {"third": THIRD},
    ),
    "path edited after all imports": Case(
        "import third\nsys.path.append('/elsewhere')",
        "[third.LOADED, sys.path]",
        {"third": THIRD},
    ),
    "logger class": Case(
        """
        import logging
        class Mine(logging.Logger): pass
        logging.setLoggerClass(Mine)
        import third
        """,
        "type(third.log).__name__",
        {"third": "import logging\nlog = logging.getLogger('third')"},
        is_warm=False,
        replayed="",
    ),
    "warnings as errors": Case(
        """
        import warnings
        warnings.simplefilter("error")
        try:
            import third
        except DeprecationWarning as exc:
            found = str(exc)
        else:
            found = third.OLD
        """,
        "found",
        {"third": "import warnings\nwarnings.warn('old', DeprecationWarning)\nOLD = True"},
        replayed="",
    ),
    "warnings as errors from now on": Case(
        """
        import warnings
        warnings.simplefilter("ignore")
        try:
            import third
        except DeprecationWarning as exc:
            found = str(exc)
        else:
            found = third.OLD
        """,
        "found",
        {"third": "import warnings\nwarnings.warn('old', DeprecationWarning)\nOLD = True"},
        edit=('"ignore"', '"error"'),
        replayed="",
    ),
    "package configured before a part of it is imported": Case(
        "import third\nthird.RC['backend'] = 'agg'\nimport third.plots",
        "third.plots.BACKEND",
        {
            "third": "RC = {'backend': 'auto'}",
            "third/plots.py": "from third import RC\nBACKEND = RC['backend']",
        },
    ),
    "package configured by its own function before another is imported": Case(
        "import third\nthird.use('agg')\nimport other",
        "other.BACKEND",
        {
            "third": """
            class Defaults(dict): pass
            RC = Defaults(backend='auto')
            def use(name):
                RC['backend'] = name
            """,
            "other": "from third import RC\nBACKEND = RC['backend']",
        },
    ),
    "function of a package replaced": Case(
        "import third\ndef mine(): return 'mine'\nthird.get = mine\nimport other",
        "other.get()",
        {"third": "def get(): return 'its own'", "other": "from third import get"},
    ),
    "name added to the built-ins": Case(
        "import first, builtins\nbuiltins._ = str.upper\nimport third",
        "third.TEXT",
        {
            "first": "",
            "third": """
            try:
                TEXT = _('text')
            except NameError:
                TEXT = 'text'
            """,
        },
        replayed="first",
    ),
    "default timeout": Case(
        "import first, socket\nsocket.setdefaulttimeout(7)\nimport third",
        "third.TIMEOUT",
        {"first": "", "third": "import socket\nTIMEOUT = socket.getdefaulttimeout()"},
        replayed="first",
    ),
    "path edited": Case(
        "sys.path.insert(0, os.path.join(os.getcwd(), 'lib'))\nimport third, here",
        "[third.__file__, here.__file__, sys.path]",
        {"third": THIRD},
        {"lib/third.py": "", "lib/here.py": ""},
        is_warm=False,
        replayed="",
    ),
    "path edited from now on": Case(
        "import third",
        "[third.__file__, sys.path]",
        {"third": THIRD},
        {"lib/third.py": ""},
        edit=("import third", "sys.path.insert(0, os.path.join(os.getcwd(), 'lib')); import third"),
        is_warm=False,
        replayed="",
    ),
    "finder": Case(
        """
        from importlib.abc import Loader, MetaPathFinder
        from importlib.util import spec_from_loader
        class Finder(MetaPathFinder):
            def find_spec(self, name, path, target=None):
                return spec_from_loader(name, Stub()) if name == "third" else None
        class Stub(Loader):
            def exec_module(self, module):
                module.STUB = True
        sys.meta_path.insert(0, Finder())
        import other
        """,
        "[other.STUB]",
        {"third": "STUB = False", "other": "import third\nSTUB = third.STUB"},
        is_warm=False,
        replayed="",
    ),
    "module put in place of another": Case(
        """
        import types
        stub = types.ModuleType("third"); stub.STUB = True
        sys.modules["third"] = stub
        import other
        """,
        "[other.STUB]",
        {"third": "STUB = False", "other": "import third\nSTUB = third.STUB"},
        is_warm=False,
        replayed="",
    ),
    "module aliased": Case(
        """
        import better
        sys.modules["third"] = better
        import other
        """,
        "[other.STUB]",
        {
            "third": "STUB = False",
            "better": "STUB = True",
            "other": "import third\nSTUB = third.STUB",
        },
        is_warm=False,
        replayed="",
    ),
    "constant in the environment for one import": Case(
        'MODE = "fast"\nos.environ["MODE"] = MODE\nimport third\ndel os.environ["MODE"]',
        "third.MODE",
        {"third": "import os\nMODE = os.environ.get('MODE')"},
        edit=('"fast"', '"slow"'),
        is_warm=False,
        replayed="",
    ),
    "constant that decides what is imported": Case(
        "import first\nDEBUG = True\nif DEBUG: import third\nimport last",
        "sorted({'first', 'third', 'last'} & sys.modules.keys())",
        {"first": "", "third": "", "last": ""},
        edit=("DEBUG = True", "DEBUG = False"),
        is_warm=False,
        replayed="",
    ),
    "constant for the path of imports": Case(
        "LIB = 'old'\nsys.path.insert(0, os.path.join(os.getcwd(), LIB))\nimport here, third",
        "[here.PLACE, third.HERE]",
        {"third": "import here\nHERE = here.PLACE"},
        {"old/here.py": "PLACE = 'old'", "new/here.py": "PLACE = 'new'"},
        edit=("LIB = 'old'", "LIB = 'new'"),
        is_warm=False,
        replayed="",
    ),
    "constant for a filter of warnings": Case(
        """
        import warnings
        LEVEL = "ignore"
        warnings.simplefilter(LEVEL)
        try:
            import third
        except DeprecationWarning as exc:
            found = str(exc)
        else:
            found = third.OLD
        warnings.resetwarnings()
        """,
        "found",
        {"third": "import warnings\nwarnings.warn('old', DeprecationWarning)\nOLD = True"},
        edit=('"ignore"', '"error"'),
        replayed="",
    ),
    "constant that a package reads in the project's module": Case(
        "import third\nTITLE = 'shop'\nimport needy, last",
        "[needy.TITLE, third.LOADED, last.LOADED]",
        {"third": THIRD, "needy": "import app\nTITLE = app.TITLE", "last": THIRD},
        edit=("'shop'", "'market'"),
    ),
    "constant that a package takes from its caller": Case(
        "import third\nTITLE = 'shop'\nimport needy, last",
        "[needy.TITLE, third.LOADED, last.LOADED]",
        {
            "third": THIRD,
            "needy": """
            import sys
            frame = sys._getframe()
            while "TITLE" not in frame.f_globals:
                frame = frame.f_back
            TITLE = frame.f_globals["TITLE"]
            """,
            "last": THIRD,
        },
        edit=("'shop'", "'market'"),
    ),
    "import that is gone": Case(
        "import third\nimport other",
        "[sorted({'third', 'other'} & sys.modules.keys()), getattr(json, 'PATCHED', False)]",
        {"third": "import json\njson.PATCHED = True", "other": ""},
        edit=("import third\n", ""),
        is_warm=False,
        replayed="",
    ),
    "settings that a package imports by name": Case(
        "import third",
        "third.COLOUR",
        {
            "third": """
            try:
                from colours import COLOUR
            except ImportError:
                COLOUR = "none"
            """
        },
        {"colours.py": "COLOUR = 'red'\n"},
        is_warm=False,
        replayed="",
    ),
    "settings read by a package from a file": Case(
        "import third",
        "third.COLOUR",
        {
            "third": """
            try:
                with open("colours.ini") as file:
                    COLOUR = file.read()
            except OSError:
                COLOUR = "none"
            """
        },
        {"colours.ini": "red"},
        is_warm=False,
        replayed="",
    ),
    "handlers": Case(
        """
        import atexit, signal, third
        def handler(*_): pass
        signal.signal(signal.SIGUSR1, handler)
        def leave():
            with open("left", "a") as file:
                file.write(VERSION)
        atexit.register(leave)
        """,
        "[signal.getsignal(signal.SIGUSR1).__name__, signal.getsignal(signal.SIGUSR2).__name__]",
        {
            "third": """
            import signal
            def handler(*_): pass
            signal.signal(signal.SIGUSR2, handler)
            """
        },
    ),
    "patched world": Case(
        "import third",
        "third.sleep.__name__",
        {
            "third": "from time import sleep",
            "eventlet": "",
            "eventlet/patcher.py": """
            import time
            def monkey_patch():
                def green(seconds): pass
                time.sleep = green
            """,
        },
        edit=("import third", "from eventlet import patcher; patcher.monkey_patch(); import third"),
        is_warm=False,
        replayed="",
    ),
    "a failing package": Case(
        """
        import types
        sys.modules["colours"] = types.ModuleType("colours")
        import third, needy
        """,
        "[third.LOADED, needy.LOADED]",
        {"third": THIRD, "needy": "import colours\nLOADED = True"},
        is_warm=False,
        replayed="",
    ),
}


@pytest.mark.parametrize(
    "case",
    CASES.values(),
    ids=CASES,
)
def test_p7_the_replay_is_invisible(serve: Serve, packages: Packages, case: Case) -> None:
    """Whatever the app does before and while it imports, after an edit it is as after a start."""
    compare(serve, packages, case)


# --- what an edit may change -----------------------------------------------------------------

SHOP = """\
'''A shop.'''
import json, os, sys
import first
from settings import LEVEL
import third
TITLE = "shop"
import first.part
from settings import SECONDS
NAMES = {"first", "first.part", "third", "more", "settings"}
def answer(): return [TITLE, SECONDS, LEVEL, sorted(NAMES & sys.modules.keys())]
def app(environ, start_response):
    start_response("200 OK", [])
    found = os.getpid() if environ["PATH_INFO"] == "/pid" else answer()
    return [json.dumps(found).encode()]
if __name__ == "__main__":
    import more
    more.serve(app)
"""
SETTINGS = "LEVEL = 'high'\nimport first\nSECONDS = 60\n"


def serve_shop(serve: Serve, packages: Packages) -> Served:
    packages.write("first", "import first.part\nA = 1")
    packages.write("first/part.py", "")
    packages.write("third", "")
    packages.write("more", "")
    return serve("app.py", "--no-checkpoints", files={"app.py": SHOP, "settings.py": SETTINGS})


def test_p7_edits_below_the_imports_that_load_packages(serve: Serve, packages: Packages) -> None:
    """One after the other, each on top of the packages that the standby has imported."""
    served = serve_shop(serve, packages)
    edits = (
        ("app.py", '"shop"', '"market"'),
        ("app.py", "'''A shop.'''", "'''A market.'''\n# More of it."),
        ("app.py", "NAMES =", "MORE = 60 * 60\nfirst.A = [MORE, TITLE]\nNAMES ="),
        ("app.py", "def answer():", "def answer(more=1):\n    '''Tell.'''\n   "),
        ("app.py", "    more.serve(app)", "    more.serve(app, 1)"),
        ("settings.py", "'high'", "'low'"),
        ("settings.py", "SECONDS = 60", "SECONDS = 70"),
        ("app.py", '"market"', 'f"{LEVEL} market"'),
    )
    answer = ""
    for name, old, new in edits:
        before = standby(served)
        edit(served, name, old, new)
        answer = served.body()
        assert served.body("/pid") == str(before), (old, new, served.output)
    served.stop()
    assert answer == serve("app.py", *COLD).body()


def test_p7_edits_above_them_and_of_imports(serve: Serve, packages: Packages) -> None:
    """Each starts cold, and so do any number of them: the next replay fits again."""
    served = serve_shop(serve, packages)
    for old, new in (
        ("import third\n", "A = 1\nimport third\n"),
        ("import first\n", "import first\nfirst.A = 2\n"),
        ("    import more\n", "    import more, third\n"),
        ("import third\n", ""),
        ("SECONDS\n", "SECONDS\nimport third\n"),
    ):
        before = standby(served)
        edit(served, "app.py", old, new)
        answer = served.body()
        assert served.body("/pid") != str(before), (old, new, served.output)
    before = standby(served)
    edit(served, "app.py", '"shop"', '"market"')
    assert served.body("/pid") != str(before)  # the last import that loads a package is below now
    before = standby(served)
    edit(served, "app.py", "NAMES =", "AFTER = 1\nNAMES =")
    answer = served.body()
    assert served.body("/pid") == str(before)
    served.stop()
    assert answer == serve("app.py", *COLD).body()


# --- what the standby does -------------------------------------------------------------------

PLAIN = page("import third", "third.VALUE")


def test_p7_the_standby_has_the_packages(serve: Serve, packages: Packages) -> None:
    """Also those that requests imported; and no other process than a standby replays."""
    packages.write("third", "VALUE = 1")
    packages.write("lazy", "VALUE = 2")
    source = page("import third", "[third.VALUE, __import__('lazy').VALUE]")
    served = serve(files={"app.py": source})
    assert served.body() == '["1", [1, 2]]'
    first = int(served.body("/pid"))
    second = standby(served)
    bump(served, 1, 2)
    assert served.body() == '["2", [1, 2]]'
    assert served.body("/pid") == str(second)
    assert packages.imports("third")[0] == (first, "loaded")
    for name in ("third", "lazy"):
        assert (second, "replayed") in packages.imports(name)
        assert [pid for pid, how in packages.imports(name) if how == "loaded"] == [first]


STOPS_SUPERVISOR = """\
import atexit, os, pathlib, signal, time
VERSION = "old"

def stop():  # by then it has heard of the change, and said what is to be loaded next
    if pathlib.Path("stops").exists():
        time.sleep(0.2)
        os.kill(os.getppid(), signal.SIGSTOP)

atexit.register(stop)

def app(environ, start_response):
    start_response("200 OK", [])
    return [(str(os.getpid()) if environ["PATH_INFO"] == "/pid" else VERSION).encode()]
"""


def test_p7_the_next_process_waits_for_the_old_one_and_not_for_the_supervisor(serve: Serve) -> None:
    served = serve(files={"app.py": STOPS_SUPERVISOR, "stops": ""})
    for version in ("new", "newer"):
        following = standby(served)
        served.replace("app.py", STOPS_SUPERVISOR.replace("old", version))
        assert served.body() == version
        assert served.body("/pid") == str(following)
        assert state_of(served.process.pid) == "T"
        served.signal(signal.SIGCONT)
    (served.directory / "stops").unlink()


def test_p7_a_boot_imports_little_and_leaves_python_as_it_is(serve: Serve) -> None:
    """Every child boots, and each module that it imports is one more to wait for."""
    source = "import ctypes.util, gc\nmodules = list(sys.modules)"
    answer = "[modules, gc.isenabled(), gc.get_freeze_count(), ctypes.util.find_library.__module__]"
    served = serve(files={"app.py": page(source, answer)})
    _, (modules, *rest) = json.loads(served.body())
    plain = "import gc; print(gc.get_freeze_count())"  # some in Python 3.12
    set_aside = subprocess.run([sys.executable, "-c", plain], capture_output=True, check=True)
    assert rest == [True, int(set_aside.stdout), "ctypes.util"]
    assert {"argparse", "tomllib"}.isdisjoint(modules)
    assert "sysconfig" not in modules or sys.version_info >= (3, 14)  # there, ctypes needs it


@pytest.mark.parametrize("options", [["--no-standby"], ["--preload", "interpreter"]])
def test_p7_turned_off(serve: Serve, packages: Packages, options: list[str]) -> None:
    packages.write("third", "VALUE = 1")
    served = serve("app.py", *options, files={"app.py": PLAIN})
    for number in (1, 2):
        assert served.body() == f'["{number}", 1]'
        if "--no-standby" in options:
            assert [str(pid) for pid in served.children()] == [served.body("/pid")]
        else:
            standby(served)
        bump(served, number, number + 1)
    assert served.body() == '["3", 1]'
    assert {how for _, how in packages.imports("third")} == {"loaded"}


def test_p7_silent(serve: Serve, packages: Packages) -> None:
    """What packages print while they are imported is printed by a cold start, once."""
    source = "import os, sys\nVALUE = 1\nprint('said')\nprint('told', file=sys.stderr)\n"
    packages.write("third", source + "os.write(1, b'written')\n")
    served = serve(files={"app.py": PLAIN})
    assert served.body() == '["1", 1]'
    before = standby(served)
    bump(served, 1, 2)
    assert served.body() == '["2", 1]'
    assert served.body("/pid") == str(before)
    assert [served.output.count(text) for text in ("said", "told", "written")] == [1, 1, 1]


def test_p7_a_package_that_needs_the_project_is_left_out(serve: Serve, packages: Packages) -> None:
    """As Django's models need settings. Once it failed the others are replayed without it."""
    packages.write("third", "VALUE = 1")
    packages.write("needy", "import colours\nVALUE = colours.VALUE")
    source = page("import third\nimport needy", "[third.VALUE, needy.VALUE]")
    served = serve(files={"app.py": source, "colours.py": "VALUE = 'red'"})
    for number in (1, 2):
        assert served.body() == f'["{number}", [1, "red"]]'
        before = standby(served)
        assert (before, "replayed") in packages.imports("third")
        bump(served, number, number + 1)
        served.body()
        assert served.body("/pid") == str(before)
        assert (before, "loaded") in packages.imports("needy")
    served.write("colours.py", "VALUE = 'blue'")
    assert served.body() == '["3", [1, "blue"]]'


def test_p7_a_module_of_the_project_shadows_a_package(serve: Serve, packages: Packages) -> None:
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    before = standby(served)
    served.write("third.py", "VALUE = 2")
    bump(served, 1, 2)
    assert served.body() == '["2", 2]'
    assert served.body("/pid") != str(before)
    standby(served)
    (served.directory / "third.py").unlink()
    bump(served, 2, 3)
    assert served.body() == '["3", 1]'


def test_p7_a_module_elsewhere_on_the_path_shadows_a_package(
    serve: Serve, packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "src"
    sources.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{sources}{os.pathsep}{packages.directory}")
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    standby(served)
    (sources / "third.py").write_text("VALUE = 2")
    bump(served, 1, 2)
    assert served.body() == '["2", 2]'


def test_p7_files_with_the_name_of_a_package_shadow_nothing(
    serve: Serve, packages: Packages
) -> None:
    """A log, a database, notes, data without code."""
    packages.write("third", "VALUE = 1")
    others = dict.fromkeys(("third.log", "third.db", "third/data.txt"), "")
    served = serve(files={"app.py": PLAIN, **others})
    before = standby(served)
    bump(served, 1, 2)
    assert served.body() == '["2", 1]'
    assert served.body("/pid") == str(before)


def test_p7_an_edited_package_is_noticed(serve: Serve, packages: Packages) -> None:
    """By the child that serves, sooner or later; and then nothing of it comes from a standby."""
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    before = standby(served)
    packages.write("third", "VALUE = 2")
    served.until(lambda: served.body() == '["1", 2]', "the edited package answers")
    assert served.body("/pid") != str(before)
    assert before not in served.children()
    standby(served)
    bump(served, 1, 2)
    assert served.body() == '["2", 2]'


def test_p7_an_edited_package_and_a_save(serve: Serve, packages: Packages) -> None:
    """The save comes before anybody has looked at the packages."""
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    standby(served)
    packages.write("third", "VALUE = 2")
    bump(served, 1, 2)
    served.until(lambda: served.body() == '["2", 2]', "the edited package answers")


def test_p7_a_new_package_mends_a_failed_load(serve: Serve, packages: Packages) -> None:
    served = serve(files={"app.py": PLAIN})
    assert "No module named 'third'" in served.get().body
    packages.write("third", "VALUE = 1")
    served.until(lambda: served.get().status == 200, "the new package mends the load")
    assert served.body() == '["1", 1]'


def test_p7_a_new_package_is_preferred_from_the_next_load_on(
    serve: Serve, packages: Packages
) -> None:
    """One that a replayed package takes when it is there."""
    source = """
    try:
        from faster import VALUE
    except ImportError:
        VALUE = "slow"
    """
    packages.write("third", source)
    served = serve(files={"app.py": PLAIN})
    assert served.body() == '["1", "slow"]'
    before = standby(served)
    packages.write("faster", "VALUE = 'fast'")
    served.until(lambda: before not in served.children(), "the standby is thrown away")
    standby(served)
    bump(served, 1, 2)
    assert served.body() == '["2", "fast"]'


AUDIT = """\
import os, site, sys
site.addsitedir(os.path.dirname(__file__))
LOG = __file__ + ".log"

def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0] != LOG:
        with os.fdopen(os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as log:
            log.write(f"{os.getpid()} {os.path.abspath(arguments[0])}\\n")

sys.addaudithook(hook)
"""
FINDER = """\
import sys
from importlib.util import spec_from_file_location

class Finder:
    def find_spec(name, path, target=None):
        if name == "found":
            return spec_from_file_location(name, {path!r})

sys.meta_path.append(Finder)
"""


def test_p7_the_standby_opens_no_file_of_the_project(
    serve: Serve, packages: Packages, tmp_path: Path
) -> None:
    """Nor of what is installed to be edited, by whatever way the packages ask for it."""
    packages.write("sitecustomize.py", AUDIT, logs=False)
    sources = tmp_path / "src"
    lay_out(
        sources,
        files={
            "editable.py": "VALUE = 1",
            "found.py": "VALUE = 1",
            "spread/part/__init__.py": "VALUE = 1",
        },
    )
    (packages.directory / "editable.pth").write_text(f"{sources}\nimport __editable___finder\n")
    finder = FINDER.replace("{path!r}", repr(str(sources / "found.py")))
    packages.write("__editable___finder.py", finder, logs=False)
    wants = {"a": "editable", "b": "found", "c": "spread.part", "d": "settings", "e": "package.m"}
    for name, wanted in wants.items():
        packages.write(f"wants_{name}", f"import {wanted} as it\nVALUE = it.VALUE")
    packages.write("third", "VALUE = 1")
    imports = ", ".join(["third", "editable", "found", *(f"wants_{name}" for name in wants)])
    value = "[third.VALUE, editable.VALUE, found.VALUE, "
    value += ", ".join(f"wants_{name}.VALUE" for name in wants) + "]"
    files = {"app.py": page(f"import {imports}", value), "settings.py": "VALUE = 1"}
    served = serve(files=files | {"package/__init__.py": "", "package/m.py": "VALUE = 1"})
    log = packages.directory / "sitecustomize.py.log"

    def opened(pid: int) -> list[str]:
        lines = [line.partition(" ") for line in log.read_text().splitlines()]
        theirs = (f"{served.directory}/", f"{sources}/")
        return [path for who, _, path in lines if who == str(pid) and path.startswith(theirs)]

    first = int(served.body("/pid"))
    assert f"{served.directory}/app.py" in opened(first)
    before = standby(served)
    assert (before, "replayed") in packages.imports("third")
    assert opened(before) == []
    os.kill(first, signal.SIGSTOP)  # on a slow machine it would reload between the saves
    for name in ("editable", "found", "spread/part/__init__"):
        replace(sources / f"{name}.py", "VALUE = 2")
    bump(served, 1, 2)
    os.kill(first, signal.SIGCONT)
    assert served.body() == '["2", [1, 2, 2, 2, 2, 2, 1, 1]]'
    assert served.body("/pid") == str(before)
    assert f"{served.directory}/app.py" in opened(before)


# --- its manners -----------------------------------------------------------------------------


def test_p7_ctrl_c_spares_the_standby(serve: Serve, packages: Packages) -> None:
    """It is in a process group of its own, until it is its turn."""
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    before = standby(served)
    assert os.getpgid(before) != os.getpgid(served.pid)
    bump(served, 1, 2)
    assert served.body("/pid") == str(before)
    assert os.getpgid(before) == os.getpgid(served.pid)
    following = standby(served)
    served.signal_group(signal.SIGINT)
    assert served.wait() == 128 + signal.SIGINT
    assert "Traceback" not in served.output
    assert not is_alive(following)


def test_p7_the_standby_dies_with_the_parent(serve: Serve, packages: Packages) -> None:
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    before = standby(served)
    served.signal(signal.SIGKILL)
    served.wait()
    until(lambda: not is_alive(before), "the standby is gone", within=2)


def test_p7_the_standby_is_killed(serve: Serve, packages: Packages) -> None:
    """Whoever does that, and when: the next child is another one."""
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    os.kill(standby(served), signal.SIGKILL)
    bump(served, 1, 2)
    assert served.body() == '["2", 1]'
    standby(served)
    bump(served, 2, 3)
    assert served.body() == '["3", 1]'
    assert "the app died" not in served.output


def test_p7_handlers_run_once_for_each_load(serve: Serve, packages: Packages) -> None:
    """What an app, or a package in its process, has registered with `atexit`."""
    packages.write(
        "third",
        """
        import atexit, os
        VALUE = 1
        def leave():
            with open(__file__ + ".left", "a") as log:
                log.write(f"{os.getpid()}\\n")
        atexit.register(leave)
        """,
    )
    served = serve(files={"app.py": PLAIN})
    pids = [served.body("/pid")]
    for number in (1, 2):
        standby(served)
        bump(served, number, number + 1)
        pids.append(served.body("/pid"))
    assert served.stop() == 128 + signal.SIGTERM
    left = (packages.directory / "third/__init__.py.left").read_text().split()
    assert len(left) == len(set(left))
    # A load of a file that is just being written is given up: such a process has left, too.
    assert [pid for pid in left if pid in pids] == pids


def test_p7_back_to_back(serve: Serve, packages: Packages) -> None:
    """Saves at once, and at any time of a standby's life, each met by a request."""
    packages.write("third", "VALUE = 1")
    served = serve(files={"app.py": PLAIN})
    dice = random.Random(SEED)
    for number in range(1, SAVES):
        assert served.body() == f'["{number}", 1]'
        time.sleep(dice.choice([0, 0, dice.uniform(0, 0.2)]))  # no wait: any instant will do
        bump(served, number, number + 1)
    assert served.body() == f'["{SAVES}", 1]'


# --- real packages ---------------------------------------------------------------------------

GREEN = """
from gevent import monkey
monkey.patch_all()
import gevent, socket, ssl, threading, third
"""


def test_p7_gevent(serve: Serve, packages: Packages) -> None:
    """Patched before anything else is imported, or not at all."""
    pytest.importorskip("gevent")
    packages.write("third", "from time import sleep")
    answer = (
        "[third.sleep.__module__, socket.socket.__module__, threading.Lock().__class__.__name__]"
    )
    compare(serve, packages, Case(GREEN, answer, is_warm=False, replayed=""))


FIGURES = """
import matplotlib
matplotlib.use("svg")
matplotlib.rcParams["lines.linewidth"] = 7
import matplotlib.pyplot as plt
from matplotlib import rcsetup
"""


def test_p7_matplotlib(serve: Serve, packages: Packages) -> None:
    """It is configured before its larger part is imported, and replayed up to there."""
    pytest.importorskip("matplotlib")
    answer = """[
        plt.get_backend(), plt.figure().canvas.__class__.__name__,
        [line.get_linewidth() for line in plt.plot([1, 2])],
        sorted(name for name in sys.modules if name.startswith("matplotlib.")),
    ]"""
    compare(serve, packages, Case(FIGURES, answer, replayed=""))


@pytest.mark.parametrize(
    ("app", "target", "file", "needs"),
    [
        ("flask", "app.py:create_app()", "shop/pages.py", ["flask", "sqlalchemy"]),
        ("django", "project.wsgi", "project/views.py", ["django", "rest_framework"]),
        ("numpy", "app.py", "app.py", ["numpy", "pandas"]),
        ("queries", "app.py", "app.py", ["flask", "sqlalchemy"]),
    ],
    ids=["flask", "django", "numpy", "queries"],
)
def test_p7_frameworks(serve: Serve, app: str, target: str, file: str, needs: list[str]) -> None:
    """The apps of the benchmark answer the same, cold and warm."""
    for name in needs:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    # A checkpoint may be sooner, and is no child of the supervisor's.
    warm = serve(target, "--no-checkpoints", app=f"../benchmarks/apps/{app}")
    first = warm.body()  # of a process that has started cold
    assert "version=1" in first
    (child, *_) = warm.children()
    for number in range(1, 4):
        before = standby(warm, child)
        edit(warm, file, f'VERSION = "{number}"', f'VERSION = "{number + 1}"')
        answer = warm.body()
        assert f"version={number + 1}" in answer
        if before in warm.children():
            break  # on a busy machine it may be told late what the first request has imported
        (child, *_) = warm.children()
    else:
        pytest.fail(f"each standby was replaced\n{warm.output}")
    assert answer == first.replace("version=1", f"version={number + 1}")
    assert warm.output.count("Traceback") == 0


def test_p1_a_package_that_the_app_has_done_without_is_installed(
    serve: Serve, packages: Packages
) -> None:
    source = """
try:
    import optional
except ImportError:
    optional = None
"""
    served = serve("app.py", files={"app.py": page(source, "optional and optional.NAME")})
    standby(served)
    assert json.loads(served.body())[1] is None
    packages.write("other", "")
    packages.write("optional", "NAME = 'installed'")
    served.until(lambda: json.loads(served.body())[1] == "installed", "it is used")
    shutil.rmtree(packages.directory / "optional")
    served.until(lambda: json.loads(served.body())[1] is None, "it is done without")


def test_p7_saves_in_a_row_do_not_wait_for_the_packages_each_time(
    serve: Serve, packages: Packages
) -> None:
    """The next standby is still importing them; a checkpoint has them."""
    packages.write("heavy", "import time\ntime.sleep(1.5)")
    served = serve("app.py", "--verbose", files={"app.py": page("import heavy", "'it'")})
    first = served.body("/pid")
    standby(served)
    bump(served, 1, 2)
    second = served.body("/pid")
    assert second != first
    for old in (2, 3, 4):
        bump(served, old, old + 1)
        assert served.body() == f'["{old + 1}", "it"]'
        loaded = [pid for pid, how in packages.imports("heavy") if how == "loaded"]
        assert loaded == [int(first)], served.output
    assert served.output.count(" · 1 of 1 modules") == 3
