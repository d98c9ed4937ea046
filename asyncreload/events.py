"""What a supervisor tells of itself, as data; `str` of each is the line for a person.

    Starting ──► (load) ──┬──► Ready ─────┬──► Changed ──► (load)
                   ▲      ├──► Failed ────┤
                   │      ├──► Crashed ───┘
                   │      └──► Changed ───────────────────► (load)
                   └────────── Crashed(again=True), from Ready or a load

- `Starting` is the first event, and told once; `Stopped` is the last, and may follow any other.
- Each load ends in one of four: `Ready`, the app answers; `Failed` or `Crashed`, a report answers;
  `Changed`, a file was saved meanwhile and the load is given up for another.
- After `Ready`, `Failed` and `Crashed` nothing happens until a file changes or somebody calls
  `reload()`: then `Changed` is told, and the next load begins. Some exceptions: an app that dies
  while it is `Ready` is `Crashed`, too; and when somebody kills it from outside (`again`) the next
  load begins at once. When a process that serves a report is killed, the load is repeated untold.
- `Failed` may also follow `Ready`: a request has imported code of the project's that fails.
- A load that fails after a change is told 0.3 s later: the save may have been half written.
"""

from __future__ import annotations

from asyncreload.frozen_data import FrozenData
from asyncreload.style import duration, file_names, headline

LONG = 1.0
"""Seconds of a reload after which one wants to know why."""
NOTICED = 0.2
"""Seconds for which a reload waited from which one is told of it."""
_BEGINNINGS = {"standby": "packages imported ahead", "cold": "from nothing"}


class Starting(FrozenData):
    """The address is bound, the first child is being started.

    target: as it was given.
    url: where the app will answer; requests may be sent, and wait.
    network_url: where other machines find it, if it listens on every address; else empty.
    """

    target: str
    url: str
    network_url: str = ""

    def __str__(self) -> str:
        return f"serving {self.target} at {' and '.join(self.urls)}"

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses there are."""
        return (self.url, self.network_url) if self.network_url else (self.url,)


class Ready(FrozenData):
    """A child answers with freshly loaded code.

    pid: its process ID.
    seconds: since the change was seen, or since the start.
    paths: the files whose change it answers with, also if a load between was given up; empty for
        the first load, and when the reload was asked for.
    files: how many files are watched.
    origin: how its load began: "checkpoint", "standby" (packages were imported ahead) or "cold".
    modules: how many modules of the project are loaded.
    anew: how many of them were loaded anew; all of them, but from a checkpoint.
    waited: seconds of these in which no process was ready to begin.
    """

    pid: int
    seconds: float
    paths: tuple[str, ...]
    files: int
    origin: str = "cold"
    modules: int = 0
    anew: int = 0
    waited: float = 0.0

    def __str__(self) -> str:
        return self.for_people()

    def for_people(self, cwd: str = "", happened: str = "changed") -> str:
        """Return the line for a terminal: files below the directory are named from there.

        happened: what has become of the files.
        """
        fresh = f"fresh in {duration(self.seconds)}"
        if self.paths:
            changed = f"{file_names(self.paths, cwd)} {happened}"
            return " · ".join(filter(None, [changed, fresh, self._began, self._had_to_wait]))
        return f"{fresh} · {files(self.files)}"

    @property
    def _began(self) -> str:
        """What was loaded for a change, and on top of what.

        Of one module there is nothing to tell, nor of a load from nothing, unless it took long.
        """
        if self.origin == "checkpoint":
            return f"{self.anew} of {self.modules} modules" * (self.anew > 0)
        many = f"all {self.modules} modules" if self.modules > 1 else ""
        is_slow = self.modules > 0 and self.seconds >= LONG and not self._had_to_wait
        is_told = self.modules > 1 if self.origin == "standby" else is_slow
        return ", ".join(filter(None, [many, _BEGINNINGS[self.origin] if is_told else ""]))

    @property
    def _had_to_wait(self) -> str:
        if self.waited < NOTICED:
            return ""
        return f"waited {duration(self.waited)} for the next process"


class Changed(FrozenData):
    """Files were saved; the old child is leaving.

    paths: those that were seen first; empty when the reload was asked for.
    """

    paths: tuple[str, ...]

    def __str__(self) -> str:
        return self.for_people()

    def for_people(self, cwd: str = "") -> str:
        """Return the line for a terminal, as `Ready.for_people` does."""
        if not self.paths:
            return "asked to reload: starting from nothing"
        return f"{file_names(self.paths, cwd)}: reloading"


class Refreshed(FrozenData):
    """Files were saved that need no reload, such as templates; the child goes on, with these files.

    paths: those files.
    """

    paths: tuple[str, ...]

    def __str__(self) -> str:
        return self.for_people()

    def for_people(self, cwd: str = "", happened: str = "changed") -> str:
        """Return the line for a terminal, as `Ready.for_people` does."""
        return f"{file_names(self.paths, cwd)} {happened} · no reload needed"


class Failed(FrozenData):
    """The load failed; every request is answered with the report.

    Or the import of project code failed in a request, after the load.

    error: its last line, such as `NameError: name 'x' is not defined`.
    traceback: all of it; empty when there is none, as for a target that is not in the file.
    place: file and line of the user's to look at first, where there is one.
    own: the traceback with the user's own calls alone.
    hint: what may be done about it, such as to install a package; "" if there is no hint.
    """

    error: str
    traceback: str
    place: str = ""
    own: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return self._text(headline(self.error, self.place), self.traceback)

    def for_people(self, cwd: str = "") -> str:
        """Return the text for a terminal: shorter."""
        return self._text(headline(self.error, self.place, cwd), self.own)

    def for_people_again(self, cwd: str = "") -> str:
        """Return the text for a terminal that shows the same failure already."""
        first = headline(self.error, self.place, cwd)
        return f"{first}\nthe load failed as before; waiting for a change"

    def _text(self, first: str, trace: str) -> str:
        last = "the load failed; waiting for a change"
        return "\n".join(filter(None, (first, trace.rstrip(), self.hint, last)))


class Crashed(FrozenData):
    """A child died unasked.

    code: its exit code, -N for signal N.
    how: the same in words, with what it was doing, as in "killed by SIGSEGV while answering GET /".
    again: whether it is started again at once, not at the next save.
    """

    code: int
    how: str
    again: bool

    def __str__(self) -> str:
        outlook = "starting again" if self.again else "waiting for a change"
        return f"the app died, {self.how}; {outlook}"


class Stopped(FrozenData):
    """The supervisor has ended; nothing is left of it.

    code: the exit code of the app; 0 when the context was left, 1 when no child could be started.
    """

    code: int

    def __str__(self) -> str:
        return "stopped"


Event = Starting | Ready | Changed | Refreshed | Failed | Crashed | Stopped


def files(number: int) -> str:
    """Say how many files are watched."""
    return "1 file" if number == 1 else f"{number} files"
