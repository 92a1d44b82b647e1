// Shows the token once; afterwards a cookie speaks for this browser. A token after # in the address never
// travels with a request for the page, and is taken out of the address at once.
const message = document.getElementById("login-message");

async function logIn(token) {
  message.textContent = "";
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch("/login", { method: "POST", headers, signal: AbortSignal.timeout(5000) });
    const said = await answer.json();
    if (said.ok) location.replace("/");
    else message.textContent = said.text;
  } catch (error) {
    message.textContent = `The console does not answer (${error.message}).`;
  }
}

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  history.replaceState(null, "", "/");
  logIn(given);
}
document.getElementById("login").addEventListener("submit", (event) => {
  event.preventDefault();
  logIn(document.getElementById("token").value.trim());
});
