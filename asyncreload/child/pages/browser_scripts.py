"""The JavaScript by which an open page learns that the app was reloaded, and reloads itself."""

from __future__ import annotations

LISTEN_FUNCTION = """
  const listen = (events, state, hear) => {
    let source, timer, channel, leave, told = "", failures = 0, pause = 1000;
    const close = () => {
      told = "";  // it may be old when the page opens again
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
        // While no server listens, the browser would ask twenty times a second.
        failures += 1;
        const refused = event.target.readyState === EventSource.CLOSED;
        if (failures < 5 && !refused) return;
        source.close();
        timer = setTimeout(connect, pause);
        if (refused) pause = Math.min(2 * pause, 10000);  // by another server, or a proxy
      });
    };
    // A browser has six connections to a site, so its pages share one event stream. The page that
    // holds a lock listens, and tells the others on a channel. A page that opens sends "" to ask
    // for the last state. When the page closes, the next one gets the lock.
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
    // The stream is closed when the page is left: with an open one, a browser does not keep a page
    // in its back/forward cache. Out of that it is opened again.
    addEventListener("pageshow", (event) => { if (event.persisted) open(); });
    addEventListener("pagehide", close);
    document.addEventListener("visibilitychange", open);
  };
"""
"""A function `listen(events, state, hear)`, for the scripts of both live and report pages.

It calls `hear(told, close)` for each state that the event stream at the address `events` tells,
while the page is visible. `state` is the page's own; pages of one supervisor have states that begin
with the same eight characters, and share a stream.
"""

LIVE_SCRIPT = (
    "(() => {"
    + LISTEN_FUNCTION
    + """
  const script = document.currentScript;
  const { state } = script.dataset;
  script.remove();  // for the app's own styles and scripts, it was never there
  if (self !== top) return;  // in a frame: the page around it reloads both

  // What the last page at this address noted before it reloaded itself: its state, and how far it
  // was scrolled. In a browser without storage, nothing.
  const KEY = "asyncreload";
  let left = {};
  try {
    const noted = JSON.parse(sessionStorage.getItem(KEY));
    if (noted && noted.page === location.href) left = noted;
    sessionStorage.removeItem(KEY);
  } catch {}

  // After a reload, the browser scrolls to where the page was. But if an error page came between,
  // which is short, it scrolls to where that was: then this has to be done here.
  const scroll = () => {
    if (!scrollX && !scrollY) scrollTo({ left: left.x, top: left.y, behavior: "instant" });
  };
  if (left.x || left.y) addEventListener("load", () => setTimeout(scroll));

  listen(new URL("events", script.src), state, (told, close) => {
    // If the last page was told this state, then this one is from a cache: do not try for ever.
    if (told === state || told === left.state) return;
    close();
    try {
      // A page too short to be scrolled there is an error page: keep the position for the next.
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
"""The script of live pages. The attribute `data-state` of its tag tells the state of the page."""
