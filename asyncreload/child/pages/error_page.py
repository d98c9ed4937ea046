"""A report as a page for the browser: complete without script, gone once the app answers again."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from itertools import groupby
from string import Template
from typing import TYPE_CHECKING

from asyncreload.child.pages.browser_scripts import LISTEN
from asyncreload.child.pages.error_report import public_text
from asyncreload.style import plain

if TYPE_CHECKING:
    from asyncreload.child.pages.error_report import Frame, Report

UNFOLDED = 4  # of the user's frames, counted from the innermost
LONG = 160  # characters of a message that is no headline any more


def html(report: Report, *, events: str, state: str) -> str:
    """The whole page. It loads itself again when `events` tells another state than `state`."""
    kind, _, message = report.title.partition(": ")
    return _PAGE.substitute(
        events=_text(events),
        state=_text(state),
        title=_text(report.title),
        status=report.status,
        verdict=_text(public_text(report)),
        heading=_heading(kind, message),
        hint=_optional("hint", report.hint),
        place=_place(report.place),
        stack=_stack(report.frames),
        trace=_trace(report),
    )


def _text(text: str) -> str:
    """`text` as it may stand in an element or in a quoted attribute."""
    return escape(plain(text), quote=True)


def _heading(kind: str, message: str) -> str:
    """The error's name above its message; a title that is a sentence stays in one piece."""
    tag = '<h1 class="long">' if len(message) > LONG else "<h1>"
    if not message or " " in kind:
        return f"{tag}{_text(': '.join(filter(None, (kind, message))))}</h1>"
    name = _text(kind).replace(".", ".<wbr>")
    return f'{tag}<span class="kind">{name}<i>:</i> </span>{_text(message)}</h1>'


def _optional(name: str, text: str) -> str:
    return f'<p class="{name}">{_text(text)}</p>' if text else ""


def _place(place: str) -> str:
    if not place:
        return ""
    file, _, line = place.rpartition(":")
    return f'<p class="place">{_location(file, line)}</p>'


def _location(file: str, line: int | str) -> str:
    """`file:line`, its last part set off from the directories, and a button that copies it."""
    cut = max(file.rfind("/"), file.rfind("\\")) + 1
    return (
        f'<code class="location">{_path(file[:cut])}<b>{_path(file[cut:])}:{_text(str(line))}</b>'
        f'</code><button type="button" hidden data-copy="{_text(f"{file}:{line}")}">copy</button>'
    )


def _path(file: str) -> str:
    """A path that is broken after its separators where it does not fit into one line."""
    return _text(file).replace("/", "/<wbr>").replace("\\", "\\<wbr>")


def _stack(frames: tuple[Frame, ...]) -> str:
    """The frames, innermost first: the user's with their source, runs of others folded."""
    if not frames:
        return ""
    shown, parts = 0, []
    for yours, run in groupby(
        reversed(frames), key=lambda frame: frame.yours or not frame.function
    ):
        calls = list(run)
        if not yours:
            parts.append(_folded(calls))
            continue
        for frame in calls:
            parts.append(_call(frame, unfolded=shown < UNFOLDED))
            shown += 1
    return f"<section><h2>Most recent call first</h2>\n{''.join(parts)}</section>"


def _folded(frames: list[Frame]) -> str:
    calls = f"{len(frames)} library call{'s' if len(frames) > 1 else ''}"
    inner = "".join(_call(frame, unfolded=False) for frame in frames)
    return f'<details class="library"><summary>{calls}</summary>{inner}</details>\n'


def _call(frame: Frame, *, unfolded: bool) -> str:
    function = f' <span class="in">in {_text(frame.function)}</span>' if frame.function else ""
    summary = f"<summary>{_location(frame.file, frame.line)}{function}</summary>"
    gap = _optional("gap", f"{frame.skipped} more calls" if frame.skipped else "")
    if not frame.source:
        return f'<div class="call">{summary.replace("summary>", "div>")}</div>{gap}\n'
    opened = " open" if unfolded else ""
    return f'<details class="call"{opened}>{summary}{_source(frame)}</details>{gap}\n'


def _source(frame: Frame) -> str:
    width = len(str(frame.source[-1][0]))
    lines = "".join(_line(frame, number, text, width) for number, text in frame.source)
    return f'<pre><code class="lines">{lines}</code></pre>'


def _line(frame: Frame, number: int, text: str, width: int) -> str:
    hit = number == frame.line
    caret = ""
    if hit and frame.column:
        # The text before the caret, unseen, aligns it whatever tabs and wide letters there are.
        before = text[: frame.column - 1]
        caret = f'<span class="caret"><i>{number:>{width}}</i><b><u>{_text(before)}</u>^</b></span>'
    tag = "mark" if hit else "span"
    return f"<{tag}><i>{number:>{width}}</i><b>{_text(text)}</b>\n</{tag}>{caret}"


def _trace(report: Report) -> str:
    """The plain text, to be copied whole; open where no call of the user's says more."""
    if not report.trace:
        return ""
    opened = "" if any(frame.source for frame in report.frames) else " open"
    return (
        f'<details class="trace"{opened}><summary>Traceback as plain text</summary>'
        f"<pre><code>{_text(report.trace)}</code></pre></details>"
    )


_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1f2429; --soft: #5c646d; --rule: #e1e2df;
  --error: #b3261e; --mark: #fdecea; --hint: #f2efe4;
  --mono: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --card: #1c1f23; --ink: #e4e6e8; --soft: #9aa3ad; --rule: #30353b;
    --error: #ff8f85; --mark: #45211f; --hint: #28271f;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 3.5rem 1.5rem 3rem; }
code, pre, button { font-family: var(--mono); }
.verdict { margin: 0; color: var(--soft); }
.verdict b { color: var(--error); margin-right: .2em; }
h1 { margin: .5rem 0 1rem; font-size: 1.65rem; line-height: 1.3; font-weight: 600;
  overflow-wrap: anywhere; }
h1.long { font-size: 1.15rem; }
h1 .kind { display: block; color: var(--error); }
h1 .kind i { position: absolute; opacity: 0; }
h2 { margin: 2.5rem 0 .75rem; font-size: .875rem; font-weight: 500; color: var(--soft); }
.hint { margin: 1rem 0; padding: .6rem .9rem; border-radius: .5rem; background: var(--hint);
  overflow-wrap: anywhere; }
.hint::first-letter { text-transform: uppercase; }
.place { margin: 1rem 0 0; }
.location { font-size: .875rem; color: var(--soft); overflow-wrap: anywhere; }
.location b { color: var(--ink); font-weight: 600; }
button { margin-left: .6em; padding: .05rem .5rem; border: 1px solid var(--rule);
  border-radius: .35rem; background: none; color: var(--soft); font-size: .75rem; cursor: pointer; }
button:hover { color: var(--ink); border-color: var(--soft); }
.call, .trace { margin: 0 0 .75rem; border: 1px solid var(--rule); border-radius: .6rem;
  background: var(--card); overflow: hidden; }
.call > summary, .call > div, .trace > summary { padding: .55rem .9rem; }
summary { cursor: pointer; }
summary:focus-visible, button:focus-visible { outline: 2px solid var(--error);
  outline-offset: -2px; }
.in { display: inline-block; max-width: 100%; margin-left: .5em; font-size: .875rem;
  color: var(--soft); overflow-wrap: anywhere; }
.library { margin: 0 0 .75rem; }
.library > summary, .gap { color: var(--soft); font-size: .875rem; padding: .15rem .9rem; }
.library[open] > summary { margin-bottom: .6rem; }
.library .call { margin-left: 1.25rem; }
.gap { margin: 0 0 .75rem; }
pre { margin: 0; padding: .6rem 0; border-top: 1px solid var(--rule); overflow-x: auto;
  font-size: .8125rem; line-height: 1.65; tab-size: 4; }
.trace pre { padding: .9rem; }
.trace { margin-top: 2.5rem; }
.lines { display: inline-block; min-width: 100%; }
.lines > * { display: block; padding: 0 1rem 0 0; }
.lines i { display: inline-block; font-style: normal; color: var(--soft); padding: 0 1.1rem 0 .9rem;
  user-select: none; }
.lines b { display: inline-block; font-weight: inherit; }  /* tabs count from its own edge */
mark { background: var(--mark); color: inherit; box-shadow: inset 3px 0 var(--error); }
mark i { color: var(--error) !important; font-weight: 600; }
.caret { background: var(--mark); box-shadow: inset 3px 0 var(--error); color: var(--error);
  font-weight: 700; user-select: none; line-height: 1.1; }
.caret i, .caret u { visibility: hidden; font-weight: 400; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 40rem) {
  main { padding: 1.75rem 1rem 2rem; }
  h1 { font-size: 1.4rem; }
  h1.long { font-size: 1.05rem; }
}
"""

_SCRIPT = (
    "\n(() => {"
    + LISTEN
    + """
  const { events, state } = document.documentElement.dataset;
  listen(events, state, (told, close) => {
    if (told === state) return;
    close();
    // Not reload(): that would ask to send a form again. To replace an address by itself with
    // its fragment would only scroll, so that one is left first.
    const here = location.href;
    if (here.includes("#")) history.replaceState(null, "", "?reload");
    location.replace(here);
  });
  document.getElementById("live").hidden = false;

  // Where the page before was scrolled to is not where this one begins to be read. The browser may
  // have gone there already, or be about to; the next page is none of our business.
  history.scrollRestoration = "manual";
  addEventListener("load", () => setTimeout(() => scrollTo(0, 0)));
  addEventListener("pagehide", () => { history.scrollRestoration = "auto"; });

  const copy = async (button) => {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);  // only on localhost and https
    } catch {
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1200);
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", (event) => { event.preventDefault(); copy(button); });
  }
})();
"""
)


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_digest(_STYLE)}",
        f"script-src {_digest(_SCRIPT)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The Content-Security-Policy of the page: were a text not escaped, it would still run nothing."""

_PAGE = Template(f"""\
<!doctype html>
<html lang="en" data-state="$state" data-events="$events">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>$title</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<header>
<p class="verdict"><b>$status</b> $verdict</p>
$heading
$place
$hint
</header>
$stack
$trace
<footer>asyncreload is waiting for a change. \
<span id="live" hidden>This page loads itself again after the next save.</span></footer>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
""")
