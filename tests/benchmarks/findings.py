"""What was found of the servers that `peers.py` compares: figures, tables and a summary."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.benchmarks.servers import PEERS, Wait

OURS = "asyncreload"
TARGETS = {"small": 10, "heavy": 50}
"""How many times sooner than the fastest of the others an answer shall be fresh."""


@dataclass
class Storm:
    """What became of requests while a file was saved all the time."""

    requests: int = 0
    failed: int = 0
    stale: int = 0
    slowest: float = 0.0
    then: str = ""
    """The next answers: fresh; not fresh; or stale by Python's own cache of compiled files."""


@dataclass
class Break:
    """What clients saw of a SyntaxError, in this order, and when the mending save was served."""

    seen: list[str] = field(default_factory=list)
    mended: float | None = None
    ended: bool = False
    """The server had ended by itself."""


@dataclass
class Idle:
    """CPU, in % of a core, and memory, in MB, of all processes together."""

    cpu: float = 0.0
    memory: float = 0.0


@dataclass
class Left:
    """What was there some seconds after a kill -9: the processes, and whether the port answered."""

    processes: list[str] = field(default_factory=list)
    port: bool = False
    later: list[str] = field(default_factory=list)
    """The processes that were there some more seconds after that."""


@dataclass
class Result:
    """What was found of one server; what could not be measured has an error instead."""

    version: str
    command: str
    small: list[Wait] = field(default_factory=list)
    heavy: list[Wait] = field(default_factory=list)
    storm: Storm | None = None
    broken: Break | None = None
    idle: Idle | None = None
    left: Left | None = None
    errors: dict[str, str] = field(default_factory=dict)

    def median(self, which: str) -> float | None:
        """Return the median of the saves of an app that were served at all."""
        found = seconds(self.small if which == "small" else self.heavy)
        return statistics.median(found) if found else None

    def faults(self) -> list[str]:
        """Return what did not go as it should, in words."""
        waits, storm, broken = self.small + self.heavy, self.storm, self.broken
        found = {
            "failed answers": any(one.failed for one in waits) or bool(storm and storm.failed),
            "stale answers": any(one.stale for one in waits) or bool(storm and storm.stale),
            "missed saves": any(one.seconds is None for one in waits),
            "not fresh after the storm": storm is not None and storm.then != "fresh",
            "a SyntaxError not shown": broken is not None and broken.seen[-1:] != ["the error"],
            "the mending save not served": broken is not None and broken.mended is None,
            "left after kill -9": self.left is not None
            and bool(self.left.processes or self.left.port),
            **{f"{phase}: {error.splitlines()[0]}": True for phase, error in self.errors.items()},
        }
        return [fault for fault, found_it in found.items() if found_it]


def seconds(waits: Iterable[Wait]) -> list[float]:
    return [one.seconds for one in waits if one.seconds is not None]


# --- tables ---------------------------------------------------------------------------------------

SOON = ["server", "small app, ms", "heavy app, ms", "saves", "failed", "stale", "missed"]
SOON += ["idle CPU, %", "memory, MB"]
WRONG = ["server", "storm: failed, stale", "longest, s"]
WRONG += ["SyntaxError", "mended after", "kill -9 leaves"]


def tables(results: Mapping[str, Result]) -> str:
    """Return two tables: how soon and at what cost; and what happens when something goes wrong."""
    soon = [SOON]
    wrong = [WRONG]
    for name, one in results.items():
        soon.append([name, *timing(one), *cost(one)])
        wrong.append([name, *stormy(one), *breaking(one), leftover(one)])
    return f"{table(soon, '---:')}\n\n{table(wrong, '---')}"


def table(rows: list[list[str]], rule: str) -> str:
    head, *body = rows
    lines = [head, ["---"] + [rule] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def timing(one: Result) -> list[str]:
    """Return median and worst times, and after how many saves some request went wrong."""
    waits = one.small + one.heavy
    counts = [
        len(waits),
        sum(wait.failed > 0 for wait in waits),
        sum(wait.stale > 0 for wait in waits),
        sum(wait.seconds is None for wait in waits),
    ]
    return [median_and_worst(one, "small"), median_and_worst(one, "heavy"), *map(str, counts)]


def median_and_worst(one: Result, which: str) -> str:
    median = one.median(which)
    if median is None:
        return "failed" if which in one.errors else "never"
    worst = max(seconds(one.small if which == "small" else one.heavy))
    return f"{median * 1000:,.0f} (max {worst * 1000:,.0f})"


def cost(one: Result) -> list[str]:
    return [f"{one.idle.cpu:.2f}", f"{one.idle.memory:.0f}"] if one.idle else ["failed"] * 2


def stormy(one: Result) -> list[str]:
    """Return what was answered wrongly in the storm and after it, and the longest wait in it."""
    if one.storm is None:
        return ["failed"] * 2
    then = "" if one.storm.then == "fresh" else f"; then {one.storm.then}"
    counts = f"{one.storm.failed}, {one.storm.stale} of {one.storm.requests}{then}"
    return [counts, f"{one.storm.slowest:.1f}"]


def breaking(one: Result) -> list[str]:
    """Return what clients saw last of a SyntaxError, and what became of the mending save."""
    if one.broken is None:
        return ["failed"] * 2
    if one.broken.mended is not None:
        mended = f"{one.broken.mended * 1000:,.0f} ms"
    else:
        mended = "never: has ended" if one.broken.ended else "never"
    return [one.broken.seen[-1], mended]


def leftover(one: Result) -> str:
    if one.left is None:
        return "failed"
    count = len(one.left.processes)
    found = [f"{count} process{'es' * (count > 1)}"] * (count > 0) + ["the port"] * one.left.port
    gone = "; later nothing" if count and not one.left.later else ""
    return (", ".join(found) or "nothing") + gone


def versions(results: Mapping[str, Result]) -> str:
    """Return each program with its version, once."""
    found = {name.partition(",")[0]: one.version for name, one in results.items()}
    return ", ".join(f"{name} {version}" for name, version in found.items())


# --- summary --------------------------------------------------------------------------------------


def summary(results: Mapping[str, Result]) -> Iterator[str]:
    """Tell how each asyncreload compares with the best of the others."""
    ours = {name: one for name, one in results.items() if name.startswith(OURS)}
    others = {name: one for name, one in results.items() if name not in ours}
    for name, one in ours.items():
        yield f"{name}: {', '.join(one.faults()) or 'no failed and no stale answer, no fault'}"
        for which, target in TARGETS.items():
            yield from compared(one, others, which, target)
        polling = {
            rival: it.idle.cpu for rival, it in others.items() if PEERS[rival].polls and it.idle
        }
        if polling and one.idle:
            least = min(polling, key=polling.__getitem__)
            verdict = "met" if one.idle.cpu <= polling[least] else "MISSED"
            yield (
                f"  idle: {one.idle.cpu:.2f} % of a core; the least that others take who poll: "
                f"{polling[least]:.2f} % ({least}): {verdict}"
            )


def compared(
    ours: Result, others: Mapping[str, Result], which: str, target: float
) -> Iterator[str]:
    """Tell how many times sooner an app is fresh than with the fastest of the others."""
    medians = {name: median for name, it in others.items() if (median := it.median(which))}
    own = ours.median(which)
    if own and medians:
        fastest = min(medians, key=medians.__getitem__)
        ratio = medians[fastest] / own
        yield (
            f"  {which} app: {own * 1000:.1f} ms; the fastest of the others "
            f"{medians[fastest] * 1000:.1f} ms ({fastest}): {ratio:.1f} times as long, "
            f"target {target}: {'met' if ratio >= target else 'MISSED'}"
        )
