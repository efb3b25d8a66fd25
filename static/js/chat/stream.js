// Follows the events of a turn until it is done, through broken connections.

const NAMES = ["started", "html", "extras", "tool_call", "tool_result", "approval", "approval_resolved", "notice", "replace", "usage", "done"];
const ATTEMPTS = 7;

/** `on` has a function per event, and connected, reconnecting, lost. Returns a function that stops following. */
export function follow(url, on) {
  let source;
  let failures = 0;
  let timer;
  let moved = false; // whether the server ended the stream to restart: the browser resumes in a moment

  function close() {
    clearTimeout(timer);
    source.close();
  }

  function open() {
    source = new EventSource(url);
    source.addEventListener("open", () => {
      failures = 0;
      moved = false;
      on.connected();
    });
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        if (name === "done") close(); // else the browser would reconnect
        on[name](JSON.parse(event.data));
      });
    }
    source.addEventListener("moved", () => (moved = true));
    // Two things have this name: an error of the turn has data, a broken connection has none.
    source.addEventListener("error", (event) => {
      if (event.data === undefined) return broken();
      on.error(JSON.parse(event.data).error);
    });
  }

  function broken() {
    const isExpected = moved && source.readyState !== EventSource.CLOSED;
    moved = false;
    if (isExpected) return;
    on.reconnecting();
    // The browser reconnects by itself, unless the response was not a stream.
    if (source.readyState !== EventSource.CLOSED) return;
    if (!navigator.onLine) return addEventListener("online", open, { once: true });
    failures += 1;
    if (failures >= ATTEMPTS) return on.lost();
    timer = setTimeout(open, Math.min(10_000, 250 * 2 ** failures));
  }

  open();
  return close;
}
