"""The messages on the control channel: one JSON object a line, each naming its kind. No I/O.

A child's life as its parent hears it:

    Booted -> (Preload -> Preloading* -> Preloaded) -> (KnownFiles, Go ahead, Go) -> Going
        -> Loaded | LoadFailed | GaveUp | Reporting -> FilesChanged -> Left

A checkpoint has a channel of its own, on which the parent sends nothing but descriptors:

    CheckpointTaken -> (Resumed -> ResumedEnded)*

`LoadFailed` may also follow `Loaded`: a request has imported code of the project's that fails.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from asyncreload.frozen_data import FrozenData

NO_PROCESS = -1
"""In the place of a process ID: a process could not be forked."""

Data = dict[str, int | None]
"""What stands for the data under names such as "module:name"; None for what is not there."""

_NOTHING: dict[str, Any] = {}


class Message(FrozenData):
    """The base of all messages."""

    def encode(self) -> bytes:
        """Return the line that carries this message."""
        return json.dumps({"is": type(self).__name__, **vars(self)}).encode() + b"\n"


class Booted(Message):
    """Child: the interpreter and our modules are up; waiting for `Go`."""

    ran: tuple[str, ...] = ()
    """The project's files that Python itself has run when it started."""


class Go(Message):
    """Parent: your predecessor is gone, or only sends last responses; load and serve.

    Or, with `after`: it will be soon.
    """

    settings: dict[str, Any]
    target: dict[str, Any] | None
    """The parsed target; None when the settings name a script."""
    address: tuple[str, int]
    changed: dict[str, Any] = _NOTHING
    """The files whose change ended the predecessor, as it saw them."""
    late: tuple[str, ...] = ()
    """Those of them that were written after the predecessor had begun to load them."""
    settle: bool = False
    """Whether changes are coming in a burst: wait for 50 ms of quiet before the load."""
    crash: tuple[str, str] | None = None
    """How and when the predecessor died. Do not load: serve the report, wait for a change."""
    watched: dict[str, Any] = _NOTHING
    """After a crash: the files of the predecessor, as it saw them."""
    since: int = 0
    """After a crash: when the predecessor was told to go, in ns since the epoch."""
    explain: bool = False
    """Whether to say why files are watched."""
    checkpoints: tuple[str, ...] = ()
    """The files before which a checkpoint is to be taken, if they are loaded."""
    checkpoint_at_end: bool = False
    """Whether one is to be taken at the end of the load."""
    refreshed: tuple[str, ...] = ()
    """The files that have changed since the oldest checkpoint was taken, and needed no reload."""
    asgi: bool | None = None
    """Whether the app spoke ASGI when it was last loaded: what serves it is then imported first.

    None as long as it has not been loaded.
    """
    after: int = 0
    """The process whose farewell is to be heard first (`Farewells`), or `Go` once more without."""


class Going(Message):
    """Child: `Go` was heard, or the farewell for which it was said ahead; the load begins."""

    began: int
    """When, in nanoseconds since the epoch."""


class Loaded(Message):
    """Child: the app is loaded and requests are being taken."""

    seconds: float
    files: int
    modules: int = 0
    """How many modules of the project are loaded."""
    anew: int = 0
    """How many of them this load has loaded: fewer when it has gone on from a checkpoint."""
    asgi: bool = False
    """Whether the app speaks ASGI."""


class LoadFailed(Message):
    """Child: the load failed; a report is shown from now on."""

    title: str
    trace: str
    place: str = ""
    own: str = ""
    """The trace with the user's own calls alone."""
    hint: str = ""
    """What may be done about it."""


class GaveUp(Message):
    """Child: no save is likely to mend the first load, so all ends."""

    reason: str
    lacks_extra: bool
    """Whether the app cannot be served with what is installed; else there is none."""


class Reporting(Message):
    """Child: the report of the last child's crash is being served; nothing was loaded."""


class Watching(Message):
    """Child: these project files matter, and that is how they were."""

    files: dict[str, Any]
    settled: bool = True
    """Whether the first requests have been answered, or none came: there is time for a standby."""


class FilesChanged(Message):
    """Child: these files changed, and that is how they are; leaving with code 3."""

    files: dict[str, Any]
    loading: bool
    """Whether the load was still going on, or had just failed and was not shown yet."""
    packages: bool = False
    """Whether a standby may have loaded packages under what was before: some of the files are
    installed packages', or environment files."""
    late: tuple[str, ...] = ()
    """Those of the files that were written after the load had begun in which they were loaded."""


class Refreshed(Message):
    """Child: these files changed, which needed no reload."""

    files: tuple[str, ...]


class Preload(Message):
    """Child: what was imported from outside the project. Parent: import that ahead."""

    root: str
    argv: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Modules that cannot be imported ahead; what needs one of them cannot be either."""
    conditions: tuple[dict[str, Any], ...] = ()
    """What modules may have looked at while they were imported, each once."""
    settings: dict[str, int] = _NOTHING
    """Under which of these conditions the project imported each of these modules."""
    data: dict[str, Data] = _NOTHING
    """The data in modules that the project had imported by then, where they were new."""
    mismatches: Data = _NOTHING
    """What earlier standbys found in the place of some of these data."""
    changes: dict[str, dict[str, str | None]] = _NOTHING
    """How `os.environ` was changed just before each of these modules was imported."""
    final: dict[str, Any] = _NOTHING
    """The conditions after the load."""
    later: dict[str, Any] = _NOTHING
    """The conditions after the requests since then: they may have imported more."""
    states: dict[str, Any] = _NOTHING
    """The signatures of these files: one that has not changed need not be compared."""
    import_prefixes: dict[str, Any] = _NOTHING
    """A size and a digest, which stand for what each of the project's files does before imports."""
    obstacle: str = ""
    """Why nothing can be imported ahead; "" when something can."""
    asgi: bool = False
    """Whether what serves ASGI apps is to be imported, before all else."""

    @property
    def is_something(self) -> bool:
        """Whether there is anything to import."""
        return bool(self.modules) or self.asgi

    def is_like(self, other: Preload | None) -> bool:
        """Tell whether the same standby comes of both, however their files have been touched."""
        return other is not None and self.replaced(states=other.states) == other


class CheckpointTaken(Message):
    """Checkpoint: it was taken, and waits to be asked to go on."""

    pid: int
    place: str
    """Before which file, behind which module that is kept, or at the end of the load."""
    read: tuple[str, ...]
    """What was read until then: files, and directories that were listed."""
    modules: int
    """How many modules of the project were loaded until then."""
    seconds: float
    """How long that process had loaded until then."""


class Resumed(Message):
    """Checkpoint: a process has been forked that goes on with the load."""

    pid: int
    """`NO_PROCESS` if the system gives none."""


class ResumedEnded(Message):
    """Checkpoint: that process has ended, with this exit code; -N for signal N."""

    pid: int
    code: int


class GetReady(Message):
    """Parent: you go on from a checkpoint, and `Go` may be far off; do now what can be done."""


class CheckpointRefused(Message):
    """Child: the checkpoint that it goes on from is not valid any more; leaving with code 3."""

    reason: str
    found: dict[str, Any] = _NOTHING
    """The conditions after the load that were not those of the load replayed."""


class Obstacle(Message):
    """Child: why there is no checkpoint at a place."""

    reason: str


class KnownFiles(Message):
    """Parent: how the project's files were when your predecessor loaded them; it still serves."""

    files: dict[str, Any]


class Preloading(Message):
    """Child: this module is about to be imported ahead. If the process dies, it died of it."""

    module: str


class Preloaded(Message):
    """Child: what was to be imported ahead is; these modules could not be."""

    failed: tuple[str, ...]
    stopped: str = ""
    """Before which module it ended, as the app had set something up before that."""
    reason: str = ""
    """What that was."""
    mismatches: Data = _NOTHING
    """Data that are not what they were, perhaps as they are never the same."""


class StartCold(Message):
    """Child: what was replayed cannot stand for a cold start here; leaving with code 3."""

    reason: str
    found: dict[str, Any] = _NOTHING
    """The conditions after the load that were not those of the load replayed."""


class Left(Message):
    """Child: the app has ended, but for responses that are `lingering`; this exit code is meant."""

    code: int
    lingering: int = 0
    """How many responses are still being sent; the process ends after the last one."""
    vanished: bool = False
    """Whether nothing is open or running any more, and only memory remains to be freed."""


class PackagesChanged(Message):
    """Child: packages were installed or removed; none that the app has loaded."""


class WatchReasons(Message):
    """Child: why these files of the project are watched, and how many of packages."""

    reasons: dict[str, str]
    packages: int


class Notice(Message):
    """Child: a line for the terminal.

    once: that the same is not to be told again by a successor.
    """

    text: str
    once: bool = False


class Reload(Message):
    """Parent: leave with code 3 as if a file had changed."""


class End(Message):
    """Parent: leave politely; within `grace` seconds, or be killed."""

    code: int = 0
    """The exit code. Unless it is that of a reload, the parent ends, and its lockfile goes."""


class Interrupt(Message):
    """Parent: Ctrl-C was pressed; say if it is yours, else leave."""

    at: float = 0.0
    """When, in seconds by the system's clock that only goes forward."""


class AskPrompt(Message):
    """Parent: say whether a debugger waits at its prompt."""


class ShowPrompt(Message):
    """Parent: lines were printed behind the prompt of your app's; show it again."""


class Debugging(Message):
    """Child: a debugger waits at its prompt; what is typed, Ctrl-C too, is meant for it."""

    at_prompt: bool = True
    """False if none does."""


class Look(Message):
    """Parent: look at the files now; if none has changed, say that you are fresh."""

    number: int


class Fresh(Message):
    """Child: the answer to that look; requests are being answered."""

    number: int


class Ping(Message):
    """Parent: answer, to show that you can."""


class Pong(Message):
    """Child: the answer to that."""


_KINDS = {
    kind.__name__: kind
    for kind in (
        Booted,
        Go,
        Going,
        Loaded,
        LoadFailed,
        GaveUp,
        Reporting,
        Watching,
        FilesChanged,
        Preload,
        CheckpointTaken,
        Resumed,
        ResumedEnded,
        GetReady,
        CheckpointRefused,
        Obstacle,
        KnownFiles,
        Preloading,
        Preloaded,
        StartCold,
        PackagesChanged,
        Left,
        WatchReasons,
        Notice,
        Refreshed,
        Reload,
        End,
        Interrupt,
        AskPrompt,
        ShowPrompt,
        Debugging,
        Look,
        Fresh,
        Ping,
        Pong,
    )
}


def decode(line: bytes) -> Message:
    """Return the message that a line carries. Raises ValueError if it carries none."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("is")]
        return kind(**{name: _frozen(value) for name, value in fields.items()})
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as exc:
        raise ValueError(f"not a message: {line[:80]!r}") from exc


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Lines:
    """Cuts a byte stream into messages. A line that is none is left out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes and return the messages that they complete."""
        first, *others = data.split(b"\n")
        self._rest += first
        messages = []
        for following in others:
            with suppress(ValueError):
                messages.append(decode(bytes(self._rest)))
            self._rest = bytearray(following)
        return messages
