// Copy buttons, and a page of an execution that keeps itself up to date until it has ended.

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
