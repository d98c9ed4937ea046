"""The HTML page of a report.

It is readable without its script. With it, the page reloads itself once the app has been reloaded.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from http import HTTPStatus
from string import Template
from typing import TYPE_CHECKING

from asyncreload.child.pages.browser_scripts import LISTEN_FUNCTION
from asyncreload.child.pages.error_report import public_text
from asyncreload.child.pages.report_markup import Markup, text

if TYPE_CHECKING:
    from asyncreload.child.pages.error_report import Report

_WAITING = "asyncreload is waiting for a change."
_GOES_ON = "The app goes on answering other requests."
_ELSEWHERE = "The details are in the terminal of the server."
_RESTART = '<p id="restart" hidden><button type="button">start the app again</button></p>'
_ASK = (
    '<p class="hint" id="ask" hidden>The app has been reloaded. '
    '<button type="button">send the form again</button></p>'
)


def render(
    report: Report,
    *,
    events: str,
    state: str,
    asks: bool = False,
    editor: str = "",
    restarts: bool = False,
) -> str:
    """Return the page.

    events: the address of the event stream.
    state: the state of this process; the page reloads itself when the stream tells another one.
    asks: whether the page asks then instead, as its own request has sent something.
    editor: the template of links that open a file in an editor (editors.py); "" for no links.
    restarts: whether the page has a button that starts the app again.
    """
    markup = Markup(editor)
    return _PAGE.substitute(
        events=text(events),
        state=text(state),
        title=text(report.title),
        status=report.status,
        verdict=text(public_text(report)),
        header=markup.header(report) + (_RESTART if restarts else ""),
        body=markup.body(report),
        outlook=_WAITING if report.waits else _GOES_ON,
        ask=_ASK if asks else "",
    )


def render_outline(report: Report, *, events: str, state: str, asks: bool = False) -> str:
    """Return the page for those who may know no more than that the app failed: see trust.py.

    It loads itself again as the whole page does; the arguments are the same.
    """
    verdict = text(public_text(report))
    return _PAGE.substitute(
        events=text(events),
        state=text(state),
        title=verdict,
        status=report.status,
        verdict=HTTPStatus(report.status).phrase,
        header=f"<h1>{verdict}</h1>",
        body="",
        outlook=_ELSEWHERE,
        ask=_ASK if asks else "",
    )


_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1f2429; --soft: #5c646d; --rule: #e1e2df;
  --error: #b3261e; --mark: #fdecea; --hint: #f2efe4;
  --keyword: #8a3ba8; --text: #256b2d; --number: #9a4a00; --name: #0b5a9c;
  --mono: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --card: #1c1f23; --ink: #e4e6e8; --soft: #9aa3ad; --rule: #30353b;
    --error: #ff8f85; --mark: #45211f; --hint: #28271f;
    --keyword: #d3a0ec; --text: #9fd08c; --number: #f0b070; --name: #8cc4f5;
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
.related h2 { margin-bottom: .1rem; }
h3 { margin: 0 0 .75rem; font-size: 1.05rem; font-weight: 600; overflow-wrap: anywhere; }
.request { margin: 0; font-size: .875rem; color: var(--soft); overflow-wrap: anywhere; }
.hint { margin: 1rem 0; padding: .6rem .9rem; border-radius: .5rem; background: var(--hint);
  overflow-wrap: anywhere; }
.hint code { font-size: .875rem; }
.note { margin: 0 0 .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.hint::first-letter { text-transform: uppercase; }
.place { margin: 1rem 0 0; }
.location { font-size: .875rem; color: var(--soft); overflow-wrap: anywhere; }
.location b { color: var(--ink); font-weight: 600; }
button, .open { margin-left: .6em; padding: .05rem .5rem; border: 1px solid var(--rule);
  border-radius: .35rem; background: none; color: var(--soft); font-size: .75rem; line-height: 1.4;
  cursor: pointer; }
.open { display: inline-block; font-family: var(--mono); text-decoration: none; }
button:hover, .open:hover { color: var(--ink); border-color: var(--soft); }
.call, .trace { margin: 0 0 .75rem; border: 1px solid var(--rule); border-radius: .6rem;
  background: var(--card); overflow: hidden; }
.call > summary, .call > div, .trace > summary { padding: .55rem .9rem; }
summary { cursor: pointer; }
summary:focus-visible, button:focus-visible, .open:focus-visible { outline: 2px solid var(--error);
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
.lines .k { color: var(--keyword); }
.lines .t { color: var(--text); }
.lines .n { color: var(--number); }
.lines .d { color: var(--name); }
.lines .c { color: var(--soft); font-style: italic; }
mark { background: var(--mark); color: inherit; box-shadow: inset 3px 0 var(--error); }
mark i { color: var(--error) !important; font-weight: 600; }
.caret { background: var(--mark); box-shadow: inset 3px 0 var(--error); color: var(--error);
  font-weight: 700; user-select: none; line-height: 1.1; }
.caret i, .caret u { visibility: hidden; font-weight: 400; }
#restart button { margin: 0; padding: .35rem .9rem; font-size: .875rem; color: var(--ink); }
button:disabled { opacity: .5; cursor: default; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 40rem) {
  main { padding: 1.75rem 1rem 2rem; }
  h1 { font-size: 1.4rem; }
  h1.long { font-size: 1.05rem; }
}
@media print {
  :root { --page: #ffffff; }
  main { max-width: none; padding: 0; }
  button, .open, #live { display: none; }
  .trace:not([open]) { display: none; }
  summary { list-style: none; }
  /* A shadow would be printed as a frame. */
  mark, .caret { box-shadow: none; border-left: 3px solid var(--error);
    print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .lines mark i, .lines .caret i { padding-left: calc(.9rem - 3px); }
  pre, .lines b { white-space: pre-wrap; overflow-wrap: anywhere; }
  .lines { display: block; }
  .lines b { max-width: calc(100% - 5rem); vertical-align: top; }
  .lines > *, summary, h2, h3 { break-inside: avoid; }
  summary, h2, h3 { break-after: avoid; }
}
"""

_SCRIPT = (
    "\n(() => {"
    + LISTEN_FUNCTION
    + """
  const { events, state: ownState } = document.documentElement.dataset;
  const ask = document.getElementById("ask");  // is there if the request has sent something
  listen(events, ownState, (state, close) => {
    if (state === ownState) return;
    close();
    if (ask) {
      ask.hidden = false;
      return;
    }
    // Not reload(): after a POST, that would ask whether to send the form again. An address with a
    // fragment (#) is changed first: to replace it by itself would only scroll.
    const here = location.href;
    if (here.includes("#")) history.replaceState(null, "", "?reload");
    location.replace(here);
  });
  if (ask) ask.querySelector("button").addEventListener("click", () => location.reload());
  else document.getElementById("live").hidden = false;

  // Begin at the top: the browser may scroll, now or soon, to where the page before was read. The
  // setting is put back for the next page.
  history.scrollRestoration = "manual";
  addEventListener("load", () => setTimeout(() => scrollTo(0, 0)));
  addEventListener("pagehide", () => { history.scrollRestoration = "auto"; });

  const restart = document.getElementById("restart");
  if (restart) {
    const button = restart.querySelector("button");
    restart.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;  // the stream tells when the app is there again, or has failed
      const url = new URL("restart", new URL(events, location.href));
      const told = await fetch(url, { method: "POST" }).catch(() => ({}));
      if (!told.ok) button.disabled = false;
    });
  }

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
"""The Content-Security-Policy of the page: no script but this one runs, whatever a report says."""

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
$ask
$header
</header>
$body
<footer>$outlook \
<span id="live" hidden>This page loads itself again after the next save.</span></footer>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
""")
