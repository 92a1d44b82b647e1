// Joins buttons, connection and view.
import { Link } from "/link.js";
import { showAnswer, showButtons, showHalt, showLink, showPicture, showState } from "/view.js";

const CONFIRM_MS = 3000;
let state = null;
let busy = new Set(); // cameras whose picture is being drawn: the next one is left out

const link = new Link({
  state(next) {
    const isNew = JSON.stringify(next.cameras.map((c) => c.name)) !== JSON.stringify(state?.cameras.map((c) => c.name));
    if (state && next.run !== state.run) for (const input of document.querySelectorAll("input")) delete input.dataset.edited;
    state = next;
    showState(state, link);
    if (isNew) watch();
  },
  async picture(index, ageMs, jpeg) {
    if (busy.has(index)) return;
    busy.add(index);
    try {
      await showPicture(index, jpeg);
    } finally {
      busy.delete(index);
    }
  },
  link() {
    showLink(link);
    showButtons(state, link);
    showHalt(link.halting);
  },
  answer(answer) {
    showAnswer(answer);
    showButtons(state, link);
  },
  halt: showHalt,
});

function watch() {
  link.watch(document.hidden || !state ? [] : state.cameras.map((camera) => camera.name));
}
document.addEventListener("visibilitychange", watch);

const asked = new Map(); // button -> timer: it wants a second tap
function unask(button) {
  clearTimeout(asked.get(button));
  asked.delete(button);
  button.textContent = button.dataset.label;
  button.classList.remove("sure");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (!button || button.disabled || link.isPending(button.dataset.do)) return;
  if (button.dataset.confirm && !asked.has(button)) {
    button.dataset.label = button.textContent;
    button.textContent = button.dataset.confirm;
    button.classList.add("sure");
    asked.set(button, setTimeout(() => unask(button), CONFIRM_MS));
    return;
  }
  if (asked.has(button)) unask(button);
  link.send(button.dataset.do);
  showButtons(state, link);
});

for (const form of document.querySelectorAll("[data-say]")) {
  const input = form.querySelector("input");
  input.addEventListener("input", () => (input.dataset.edited = "1"));
  input.addEventListener("blur", () => setTimeout(() => delete input.dataset.edited, 4000));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    link.send(form.dataset.say, input.type === "number" ? Number(input.value) : input.value);
    delete input.dataset.edited;
    input.blur();
  });
}

const halt = document.getElementById("halt");
halt.addEventListener("pointerdown", (event) => event.button === 0 && link.halt());
halt.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && !event.repeat && link.halt());
document.addEventListener("keydown", (event) => event.key === "Escape" && !event.repeat && link.halt());
document.getElementById("give-up").addEventListener("click", () => {
  link.giveUp();
  showHalt(null);
});
