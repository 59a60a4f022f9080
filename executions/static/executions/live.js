// Keeps a list of executions up to date: the stream says which ones changed, the server sends their rows as HTML.

const table = document.querySelector("table[data-live]");
const button = document.getElementById("live-switch");
const says = document.getElementById("live-says");
const ROWS_MAX = 200;
const GATHER_MS = 250;
const AT_ONCE = 50;
const AGAIN_MS = 5000;

let source = null;
let changed = new Set();
let timer = null;
let fresh = 0;

function tell(text) {
  if (says.textContent !== text) says.textContent = text;
}

function noted(event) {
  changed.add(JSON.parse(event.data).id);
  timer ??= setTimeout(fetchRows, GATHER_MS);
}

async function fetchRows() {
  const ids = [...changed].slice(0, AT_ONCE);
  ids.forEach((id) => changed.delete(id));
  timer = null;
  try {
    const answer = await fetch(`${table.dataset.rows}?ids=${ids.join(",")}`);
    if (answer.redirected || !answer.ok) throw new Error("not signed in");
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    [...parsed.querySelectorAll("tr[data-id]")].reverse().forEach(place);
  } catch {
    ids.forEach((id) => changed.add(id));
    tell("Not connected; trying again…");
    timer ??= setTimeout(fetchRows, AGAIN_MS);
  }
  if (changed.size) timer ??= setTimeout(fetchRows, GATHER_MS);
}

function place(row) {
  const body = table.tBodies[0];
  const shown = body.querySelector(`tr[data-id="${CSS.escape(row.dataset.id)}"]`);
  if (shown) {
    const held = shown.contains(document.activeElement);
    shown.replaceWith(row);
    if (held) row.querySelector("a")?.focus();
    return;
  }
  body.prepend(row);
  document.getElementById("live-empty")?.remove();
  while (body.rows.length > ROWS_MAX) body.rows[body.rows.length - 1].remove();
  fresh += 1;
  tell(`${fresh} new since you opened this page`);
}

function start() {
  source = new EventSource(table.dataset.live);
  source.addEventListener("open", () => tell(fresh ? `${fresh} new since you opened this page` : "Connected"));
  source.addEventListener("error", () => {
    tell("Connecting again…");
    if (source?.readyState === EventSource.CLOSED) setTimeout(() => source && start(), AGAIN_MS); // it was refused
  });
  ["execution.created", "execution.updated", "execution.final"].forEach((kind) => source.addEventListener(kind, noted));
  button.setAttribute("aria-pressed", "true");
}

function stop() {
  source?.close();
  source = null;
  tell("Paused");
  button.setAttribute("aria-pressed", "false");
}

if (table && button) {
  button.hidden = false;
  button.addEventListener("click", () => (source ? stop() : start()));
  addEventListener("pagehide", () => source?.close());
  start();
}
