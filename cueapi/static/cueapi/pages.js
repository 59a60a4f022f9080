// Adds the reader's own time beside each UTC time, also to what arrives later. Text only ever enters as text.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function tellLocally(time) {
  if (time.dataset.told || zone === "UTC") return;
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) return;
  time.dataset.told = "yes";
  const beside = document.createElement("span");
  beside.className = "zone";
  beside.textContent = ` (${local.format(at)} ${zone})`;
  time.append(beside);
}

function tellAllLocally(root) {
  root.querySelectorAll("time[datetime]").forEach(tellLocally);
}

tellAllLocally(document);
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) if (node instanceof Element && !node.matches(".zone")) tellAllLocally(node.parentElement ?? node);
  }
}).observe(document.body, { childList: true, subtree: true });
