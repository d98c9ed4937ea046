"""The JavaScript by which an open page learns that the app was reloaded, and reloads itself."""

from __future__ import annotations

LISTEN_FUNCTION = """
  const listen = (events, ownState, onState) => {
    let source, timer, channel, releaseLock, latest = "", failures = 0, pause = 1000;
    const close = () => {
      latest = "";  // it may be old when the page opens again
      clearTimeout(timer);
      if (releaseLock) releaseLock();
      if (channel) channel.close();
      if (source) source.close();
    };
    const hear = (message) => {
      const [state, before, ...styles] = message.split(" ");
      onState(state, close, before, styles);
    };
    const publish = (message) => {
      latest = message;
      channel.postMessage(message);
      hear(message);
    };
    const connect = () => {
      source = new EventSource(events);
      source.addEventListener("state", (event) => {
        failures = 0;
        pause = 1000;
        publish(event.data);
      });
      source.addEventListener("error", (event) => {
        latest = "";
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
      const name = "asyncreload " + ownState.slice(0, 8);
      channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }) => {
        if (data) hear(data); else if (latest) channel.postMessage(latest);
      };
      if (!navigator.locks) return connect();  // neither localhost nor https
      const request = new AbortController();
      const released = new Promise((release) => {
        releaseLock = () => { request.abort(); release(); };
      });
      const onLocked = () => { if (!request.signal.aborted) connect(); return released; };
      navigator.locks.request(name, { signal: request.signal }, onLocked).catch(() => {});
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
"""A function `listen(events, ownState, onState)`, for the scripts of both live and report pages.

It calls `onState(state, close, before, styles)` for each state that the event stream at the address
`events` tells, while the page is visible; `close()` ends that. `before` and `styles`: see
`EventStreams.tell_refresh`. `ownState` is the page's own. The states of one
supervisor begin with the same eight characters, and its pages share a stream.
"""

LIVE_SCRIPT = (
    "(() => {"
    + LISTEN_FUNCTION
    + """
  const script = document.currentScript;
  let ownState = script.dataset.state;
  script.remove();  // for the app's own styles and scripts, it was never there
  if (self !== top) return;  // in a frame: the page around it reloads both

  // What the last page at this address noted before it reloaded itself: its state, and how far it
  // was scrolled. In a browser without storage, nothing.
  const KEY = "asyncreload";
  let last = {};
  try {
    const noted = JSON.parse(sessionStorage.getItem(KEY));
    if (noted && noted.page === location.href) last = noted;
    sessionStorage.removeItem(KEY);
  } catch {}

  // After a reload, the browser scrolls to where the page was. But if an error page came between,
  // which is short, it scrolls to where that was: then this has to be done here.
  const scroll = () => {
    if (!scrollX && !scrollY) scrollTo({ left: last.x, top: last.y, behavior: "instant" });
  };
  if (last.x || last.y) addEventListener("load", () => setTimeout(scroll));

  // A style sheet stays until the new one has come, so that the page is never without it. If it is
  // saved again meanwhile, that one is no longer waited for.
  const coming = new Map();
  const swap = (link, state) => {
    const next = link.cloneNode(), url = new URL(link.href);
    if (url.searchParams.has("asyncreload")) url.searchParams.delete("asyncreload");
    // Else the page might show the old one from the browser's cache, once it is loaded again.
    fetch(url, { cache: "reload" }).catch(() => {});
    url.searchParams.set("asyncreload", state);
    next.href = url;
    next.nonce = link.nonce;
    coming.get(link)?.remove();
    coming.set(link, next);
    const replace = () => {
      if (coming.get(link) !== next) return;
      coming.delete(link);
      link.remove();
    };
    for (const end of ["load", "error"]) next.addEventListener(end, replace);
    link.after(next);
  };
  const isNamed = (styles, href) => {
    const url = new URL(href, document.baseURI);
    return url.origin === location.origin && styles.includes(url.pathname.split("/").pop());
  };
  const imports = (styles, sheet) => {
    try {
      return [...sheet.cssRules].some((rule) => rule.styleSheet
        && (isNamed(styles, rule.styleSheet.href) || imports(styles, rule.styleSheet)));
    } catch { return false; }  // of another origin
  };
  // Show style sheets of these names anew; tell whether that is all that it takes.
  const restyle = (styles, state) => {
    if (!styles.length || [...document.styleSheets].some((sheet) => imports(styles, sheet))) {
      return false;
    }
    const old = new Set(document.querySelectorAll("link[rel~=stylesheet][href]"));
    for (const next of coming.values()) old.delete(next);
    for (const link of old) if (isNamed(styles, link.href)) swap(link, state);
    return true;
  };

  listen(new URL("events", script.src), ownState, (state, close, before, styles) => {
    if (before === ownState && restyle(styles, state)) {
      ownState = state;
      return;
    }
    // If the last page was told this state, then this one is from a cache: do not try for ever.
    if (state === ownState || state === last.state) return;
    close();
    try {
      // A page too short to be scrolled there is an error page: keep the position for the next.
      const end = document.scrollingElement.scrollHeight - innerHeight;
      const { x, y } = last.y > end ? last : { x: scrollX, y: scrollY };
      const noted = { page: location.href, state, x, y };
      sessionStorage.setItem(KEY, JSON.stringify(noted));
    } catch {}
    location.reload();
  });
})();
"""
)
"""The script of live pages. The attribute `data-state` of its tag tells the state of the page."""
