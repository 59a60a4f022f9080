// What the parts do beyond HTML: copy buttons, an execution that keeps itself up to date until it has ended, and arrow
// keys in drawings. Without it, all links and forms still work.

const POLL_MS = 3000;

function offerCopies(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
      button.textContent = "Copied";
    });
  }
}

async function follow(part) {
  let tag = part.dataset.tag;
  const again = () => setTimeout(look, POLL_MS);
  async function look() {
    if (part.querySelector("details[open]") || part.contains(document.activeElement)) return again();
    try {
      const answer = await fetch(part.dataset.follow, { headers: tag ? { "If-None-Match": tag } : {} });
      if (answer.redirected) return undefined;
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-part]");
        part.replaceChildren(...found.childNodes);
        offerCopies(part);
        if (found.dataset.part === "final") return undefined;
      }
    } catch {
      // the server is away for a moment
    }
    return again();
  }
  again();
}

offerCopies(document);
const followed = document.querySelector("[data-follow]");
if (followed) follow(followed);

// One stop of the Tab key for all marks of a drawing; the arrow keys move along them.
const KEYS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };

function followArrows(drawing) {
  const links = [...drawing.querySelectorAll("a")];
  if (!links.length) return;
  const stopAt = (chosen) => links.forEach((link) => link.setAttribute("tabindex", link === chosen ? "0" : "-1"));
  stopAt(links.at(-1));
  drawing.addEventListener("keydown", (event) => {
    const here = links.indexOf(event.target.closest("a"));
    const ends = { Home: 0, End: links.length - 1 };
    const there = event.key in ends ? ends[event.key] : here + (KEYS[event.key] ?? 0);
    if (here < 0 || there === here || !links[there]) return;
    event.preventDefault();
    stopAt(links[there]);
    links[there].focus();
  });
}

document.querySelectorAll("[data-arrows]").forEach(followArrows);
