"""A recording of a save, a broken save and the repair: `python tests/benchmarks/recording.py`.

asyncreload is really run, in a pseudo-terminal at port 8000; a file is saved, broken and mended,
and after each save it is asked at once. What the file held, what was answered and what was printed
is drawn with its times, as an SVG that plays in light and in dark. Changed is one thing: the
project's directory is shown as /home/you/hello. `--svg FILE` tells where to draw it.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])  # in place of this directory

from tests.live.driving import Connection, replace, until  # noqa: E402

PORT = 8000
HOME = "/home/you/hello"
HELLO = """\
def app(environ, start_response):
    start_response("200 OK",
        [("Content-Type", "text/plain")])
    return [b"Hello\\n"]
"""
EDITED = HELLO.replace("Hello", "Good morning")
BROKEN = EDITED.replace('\\n"]', '\\n"')
READING = 2.5  # seconds between two saves, for who looks on
LAST = 4.0  # seconds that the end stays
ANSWER_LINES = 6


# --- recording ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shot:
    """Lines that were to be seen from a time on, in seconds since the start."""

    at: float
    lines: list[str]


@dataclass
class Recording:
    """What was seen in each of the three windows."""

    editor: list[Shot] = field(default_factory=list)
    client: list[Shot] = field(default_factory=list)
    terminal: list[Shot] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def now(self) -> float:
        return time.perf_counter() - self.began

    def listen(self, terminal: int, directory: str) -> None:
        """Note each line that is printed, until the terminal is closed."""
        waiting = ""
        with suppress(OSError):  # Linux says EIO at the end
            while data := os.read(terminal, 65536):
                *lines, waiting = (waiting + data.decode()).split("\n")
                for line in lines:
                    shown = line.removesuffix("\r").rpartition("\r")[2].replace(directory, HOME)
                    self.terminal.append(Shot(self.now(), [shown]))

    def printed(self) -> str:
        return "\n".join(line for shot in self.terminal for line in shot.lines)


def record() -> Recording:
    """Run it all, once. Raises AssertionError when something else happens than should."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "app.py")
        file.write_text(HELLO)
        ours, theirs = pty.openpty()
        made = Recording()
        made.terminal.append(Shot(0.0, ["$ asyncreload app.py"]))
        made.editor.append(Shot(0.0, HELLO.splitlines()))
        made.client.append(Shot(0.0, []))
        reader = threading.Thread(target=made.listen, args=(ours, name))
        reader.start()
        command = [
            str(Path(sys.executable).with_name("asyncreload")),
            "app.py",
            "--port",
            str(PORT),
        ]
        # A terminal becomes the controlling one, for keys, when the leader of a session opens it.
        shell = 'exec "$@" 0<>"$0" 1>&0 2>&0'
        process = subprocess.Popen(
            ["sh", "-c", shell, os.ttyname(theirs), *command],
            cwd=name,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
            start_new_session=True,
        )
        try:
            play(made, file)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
            os.close(theirs)
            reader.join()
            os.close(ours)
    return made


def play(made: Recording, file: Path) -> None:
    """Save, break and mend, and ask after each."""
    until(lambda: "1 file" in made.printed(), "it serves", report=made.printed)
    for text, status, says in (
        (HELLO, 200, "Hello"),
        (EDITED, 200, "Good morning"),
        (BROKEN, 500, "SyntaxError"),
        (EDITED, 200, "Good morning"),
    ):
        asked = made.printed().count("GET /")
        time.sleep(READING)
        if text != file.read_text():
            made.editor.append(Shot(made.now(), text.splitlines()))
            replace(file, text)
        began = made.now()
        answer = Connection(PORT).send().receive()
        ended = made.now()
        assert answer.status == status, answer
        assert says in answer.body, answer
        took = f"{status}, {(ended - began) * 1000:,.0f} ms after it was asked"
        body = answer.body.replace(str(file.parent), HOME).splitlines()
        made.client.append(Shot(ended, [took, "", *body[:ANSWER_LINES]]))
        until(lambda: made.printed().count("GET /") > asked, "it is logged", report=made.printed)  # noqa: B023
    time.sleep(READING)


# --- drawing --------------------------------------------------------------------------------------

LINE, WIDTH, MARGIN = 19, 800, 12
TOP_LINES = 9
STYLE = """\
:root { --page: #ffffff; --bar: #eaeef2; --edge: #d1d9e0; --text: #1f2328; --dim: #59636e;
  --red: #cf222e; --green: #1a7f37; --yellow: #9a6700; --cyan: #1b7c83 }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --bar: #21262d; --edge: #3d444d;
  --text: #e6edf3; --dim: #9198a1; --red: #ff7b72; --green: #3fb950; --yellow: #d29922;
  --cyan: #39c5cf } }
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: var(--text); white-space: pre }
.window { fill: var(--page); stroke: var(--edge) }
.bar { fill: var(--bar) }
.title { font: 12px system-ui, sans-serif; fill: var(--dim) }
.sgr1 { font-weight: 600 } .sgr2 { fill: var(--dim) } .sgr31 { fill: var(--red) }
.sgr32 { fill: var(--green) } .sgr33 { fill: var(--yellow) } .sgr36 { fill: var(--cyan) }
.mark { fill: var(--yellow); opacity: .18 }
.shot { animation: var(--name) var(--all) step-end infinite }
@media (prefers-reduced-motion: reduce) {
  .shot { animation: none; opacity: 0 }
  .last { opacity: 1 } }"""
SGR = re.compile(r"\x1b\[(\d*)m")


class Film:
    """Draws a recording; each shot is there from its time to that of the next."""

    def __init__(self, made: Recording) -> None:
        self._made = made
        self._all = made.terminal[-1].at + LAST
        self._frames: list[str] = []

    def svg(self) -> str:
        half = (WIDTH - MARGIN) / 2
        top = 30 + LINE * TOP_LINES
        printed = self._made.terminal
        bottom = 38 + LINE * len(printed)
        body = [
            *_window(0, 0, half, top, "app.py, saved"),
            *self._turns(self._made.editor, 12, marks=True),
            *_window(half + MARGIN, 0, half, top, f"curl http://127.0.0.1:{PORT}/"),
            *self._turns(self._made.client, half + MARGIN + 12),
            *_window(0, top + MARGIN, WIDTH, bottom, "a terminal"),
            *self._scroll(printed, top + MARGIN),
        ]
        height = top + MARGIN + bottom
        box = f"-1 -1 {WIDTH + 2} {height + 2}"
        title = "A file is saved, broken and mended; each request is answered by what was saved"
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img">',
                f"<title>{title}</title>",
                f"<style>\n:root {{ --all: {self._all:.2f}s }}\n{STYLE}",
                *self._frames,
                "</style>",
                *body,
                "</svg>\n",
            ]
        )

    def _turns(self, shots: list[Shot], left: float, *, marks: bool = False) -> Iterator[str]:
        """Draw shots that take the place of one another; what is new in one is marked."""
        before: list[str] = shots[0].lines
        for number, shot in enumerate(shots):
            last = number + 1 == len(shots)
            yield self._shown(shot.at, None if last else shots[number + 1].at)
            for row, line in enumerate(shot.lines):
                y = 46 + LINE * row
                if marks and before[row : row + 1] != [line]:
                    yield (
                        f'<rect class="mark" x="{left - 6}" y="{y - 14}" width="382"'
                        f' height="{LINE}"/>'
                    )
                yield _line(left, y, line)
            yield "</g>"
            before = shot.lines

    def _scroll(self, shots: list[Shot], top: float) -> Iterator[str]:
        """Draw lines that stay."""
        for row, shot in enumerate(shots):
            yield self._shown(shot.at, None)
            yield from (_line(12, top + 46 + LINE * row, line) for line in shot.lines)
            yield "</g>"

    def _shown(self, start: float, end: float | None) -> str:
        """Begin a group that is seen from one time to another, or to the end."""
        name = f"f{len(self._frames)}"
        steps = [(0.0, 0), (start / self._all * 100, 1)]
        if end is not None:
            steps.append((end / self._all * 100, 0))
        frames = " ".join(f"{at:.3f}% {{ opacity: {seen} }}" for at, seen in steps if at or seen)
        begin = "" if start == 0 else "0% { opacity: 0 } "
        self._frames.append(f"@keyframes {name} {{ {begin}{frames} }}")
        kind = "shot last" if end is None else "shot"
        return f'<g class="{kind}" style="--name: {name}">'


def _window(x: float, y: float, width: float, height: float, title: str) -> Iterator[str]:
    yield (
        f'<rect class="window" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        f'<path class="bar" d="M{x + 0.5} {y + 24}v-18a6 6 0 0 1 6 -5.5h{width - 13}'
        f'a6 6 0 0 1 6 5.5v18z"/>'
        f'<text class="title" x="{x + 12}" y="{y + 16}">{escape(title)}</text>'
    )


def _line(x: float, y: float, line: str) -> str:
    """Draw a line; its colours are classes."""
    first, *rest = SGR.split(line)
    parts = [escape(first, quote=False)]
    for code, text in zip(rest[::2], rest[1::2], strict=True):
        shown = escape(text, quote=False)
        parts.append(f'<tspan class="sgr{code}">{shown}</tspan>' if code.strip("0") else shown)
    return f'<text x="{x}" y="{y}" xml:space="preserve">{"".join(parts)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description="Records a save, a broken save and the repair.")
    parser.add_argument("--svg", type=Path, default=HERE / "results" / "recording.svg")
    options = parser.parse_args()
    made = record()
    for shot in sorted(made.client + made.terminal, key=lambda shot: shot.at):
        for line in shot.lines:
            print(f"{shot.at:7.3f}  {SGR.sub('', line)}")
    options.svg.write_text(Film(made).svg())


if __name__ == "__main__":
    main()
