"""The script by which an open page learns that it is outdated, and loads itself again."""

from __future__ import annotations

LISTEN = """
  const listen = (events, state, hear) => {
    let source, timer, channel, leave, told = "", failures = 0, pause = 1000;
    const close = () => {
      told = "";  // by the time that it opens again it may be old
      clearTimeout(timer);
      if (leave) leave();
      if (channel) channel.close();
      if (source) source.close();
    };
    const tell = (news) => { told = news; channel.postMessage(told); hear(told, close); };
    const connect = () => {
      source = new EventSource(events);
      source.addEventListener("state", (event) => {
        failures = 0;
        pause = 1000;
        tell(event.data);
      });
      source.addEventListener("error", (event) => {
        told = "";
        // While nobody listens the browser would ask twenty times a second.
        failures += 1;
        const refused = event.target.readyState === EventSource.CLOSED;
        if (failures < 5 && !refused) return;
        source.close();
        timer = setTimeout(connect, pause);
        if (refused) pause = Math.min(2 * pause, 10000);  // by another server, or a proxy
      });
    };
    // A browser has six connections for a site: its windows share one. Whose turn it is listens,
    // and tells the others; they ask (with "") what was told before they came.
    const open = () => {
      close();
      if (document.hidden) return;
      const name = "asyncreload " + state.slice(0, 8);
      channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }) => {
        if (data) hear(data, close); else if (told) channel.postMessage(told);
      };
      if (!navigator.locks) return connect();  // neither localhost nor https
      const waiting = new AbortController();
      const turn = new Promise((done) => { leave = () => { waiting.abort(); done(); }; });
      const begin = () => { if (!waiting.signal.aborted) connect(); return turn; };
      navigator.locks.request(name, { signal: waiting.signal }, begin).catch(() => {});
      channel.postMessage("");
    };
    open();
    // Out of the back/forward cache, where a page with an open stream would have no place.
    addEventListener("pageshow", (event) => { if (event.persisted) open(); });
    addEventListener("pagehide", close);
    document.addEventListener("visibilitychange", open);
  };
"""
"""Calls `hear(told, close)` for each state that is told, as long as the page can be seen.

Pages whose states begin alike are of one supervisor.
"""

LIVE = (
    "(() => {"
    + LISTEN
    + """
  const script = document.currentScript;
  const { state } = script.dataset;
  script.remove();  // the page's styles and scripts find what the app wrote, no more
  if (self !== top) return;  // the page around it loads it again, too

  // What the page noted that was left for this one. Without storage it is done without.
  const KEY = "asyncreload";
  let left = {};
  try {
    const noted = JSON.parse(sessionStorage.getItem(KEY));
    if (noted && noted.page === location.href) left = noted;
    sessionStorage.removeItem(KEY);
  } catch {}

  // The browser itself goes back to where the user was; but not by way of an error page, after
  // which it may go to where that was, when all is loaded.
  const scroll = () => {
    if (!scrollX && !scrollY) scrollTo({ left: left.x, top: left.y, behavior: "instant" });
  };
  if (left.x || left.y) addEventListener("load", () => setTimeout(scroll));

  listen(new URL("events", script.src), state, (told, close) => {
    // The latter: it came out of some cache, and would do so for ever.
    if (told === state || told === left.state) return;
    close();
    try {
      // A page that is too short to be scrolled there is an error's: the next may be long again.
      const end = document.scrollingElement.scrollHeight - innerHeight;
      const { x, y } = left.y > end ? left : { x: scrollX, y: scrollY };
      const noted = { page: location.href, state: told, x, y };
      sessionStorage.setItem(KEY, JSON.stringify(noted));
    } catch {}
    location.reload();
  });
})();
"""
)
"""The file that live pages load; their tag says of which state they are."""
