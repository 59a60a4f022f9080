// Posts the address to the API and shows what it answers. Text only ever enters the page as text.

const form = document.getElementById("device");
const answer = document.getElementById("answer");

function show(text, refused) {
  answer.textContent = text;
  answer.className = refused ? "refused" : "approved";
}

async function send(email) {
  const response = await fetch(form.dataset.action, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ device_code: form.dataset.code, email }),
  });
  if (response.ok) return;
  throw new Error((await response.json()).error.message);
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const email = form.elements.email.value.trim();
  button.disabled = true;
  show("Sending…", false);
  try {
    await send(email);
    form.hidden = true;
    show(`A link is on its way to ${email}. Open it within 15 minutes. (No mail set up here? The link is in the server's log.)`, false);
  } catch (error) {
    show(error instanceof TypeError ? "The server cannot be reached. Try again." : error.message, true);
    button.disabled = false;
  }
});
