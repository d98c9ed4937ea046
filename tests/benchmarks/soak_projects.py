"""The projects of the soak, and how they are saved."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.idle import MODULE
from tests.benchmarks.soak_journal import Journal
from tests.live.driving import APPS, lay_out, replace, write

MODULES = 300
"""Of the large project."""
EDITED = (0, 20, 150, 280, 299)
"""Those of its modules that are edited."""
BREAKS = (
    "def broken(:\n",
    "import no_such_module\n",
    "raise RuntimeError('broken on purpose')\n",
    "import sys; sys.exit(3)\n",
    "import os; os._exit(7)\n",
    "import os; os.abort()\n",
    "",
)
VERSION = re.compile(r'^VERSION = "\d+"', re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """A kind of project. An answer of its app is the newest version that it has."""

    app: str
    """The directory in `tests/apps` that it is made from."""
    is_large: bool = False

    @property
    def is_asgi(self) -> bool:
        return self.app == "asgi"

    def lay_out(self, directory: Path) -> list[str]:
        """Write its files; return those that are edited."""
        if not self.is_large:
            lay_out(directory, self.app)
            return ["app.py"]
        lay_out(directory, self.app, _modules())
        # In place of the version of `app.py` comes that of the module that was edited last.
        app = (APPS / self.app / "app.py").read_text()
        imports = "\n".join(f"import part.module{number}" for number in range(MODULES))
        edited = ", ".join(f"part.module{number}" for number in EDITED)
        newest = f"max((m.VERSION for m in ({edited})), key=int)"
        write(directory / "app.py", VERSION.sub(f"{imports}\nVERSION = {newest}", app))
        return [f"part/module{number}.py" for number in EDITED]


KINDS: Mapping[str, Kind] = {
    "wsgi": Kind("plain"),
    "asgi": Kind("asgi"),
    "large-wsgi": Kind("plain", is_large=True),
    "large-asgi": Kind("asgi", is_large=True),
}


def _modules() -> dict[str, str]:
    modules = {f"part/module{number}.py": MODULE.format(number) for number in range(MODULES)}
    for number in EDITED:
        modules[f"part/module{number}.py"] += '\n\nVERSION = "1"\n'
    return {"part/__init__.py": "", **modules}


class Editor:
    """Saves a project in all manners.

    files: those that are edited; each has a line with its version.
    """

    def __init__(
        self, directory: Path, files: list[str], journal: Journal, dice: random.Random
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._dice = dice
        self._texts = {name: (directory / name).read_text() for name in files}

    def save(self, *, breaking: str | None = None, name: str = "") -> str:
        """Save the next version, which may be one that does not load; return the file."""
        journal = self._journal
        number = journal.saved + 1
        name = name or self._dice.choice([*self._texts])
        text = VERSION.sub(f'VERSION = "{number}"', self._texts[name])
        if breaking is not None:
            journal.broken.add(number)
            text = breaking and text + breaking
        way = self._dice.choice([write, replace])
        journal.begin()
        way(self._directory / name, text)
        journal.end(number)
        return name

    def act(self) -> None:
        """Do one thing that people, editors and their tools do."""
        kind = self._dice.choices(["save", "break", "burst", "touch"], [60, 15, 10, 15])[0]
        self._journal.note(f"edits: {kind}")
        match kind:
            case "save":
                self.save()
            case "break":
                name = self.save(breaking=self._dice.choice(BREAKS))
                time.sleep(self._dice.choice([0, 0.1, 1.5]))
                self.save(name=name)
            case "burst":
                for _ in range(self._dice.randrange(5, 60)):
                    self.save()
                    time.sleep(self._dice.uniform(0, 0.01))
            case "touch":
                (self._directory / "helper.py").touch()
