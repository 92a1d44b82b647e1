// What the page shows. Text goes in as text, never as markup.
const CONFIRMED_MS = 6000; // how long a confirmed stop is shown; who drives later is told above
const byId = (id) => document.getElementById(id);
const put = (id, text) => {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
};
const make = (tag, text = "", className = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
};

export function showState(state, link) {
  const recorder = state.recorder;
  put("what", recorder ? `${recorder.task} · ${recorder.robot}` : "il_robot");
  document.title = recorder ? `${recorder.state} · ${recorder.task}` : "il_robot console";
  showDrive(state);
  showRecorder(state);
  showPolicy(state.policy);
  showTopics(state);
  showNodes(state.nodes);
  showActions(state.actions);
  showCameras(state.cameras);
  showButtons(state, link);
}

export function showButtons(state, link) {
  const can = new Set(link.isLive ? state?.can ?? [] : []);
  for (const button of document.querySelectorAll("[data-do]")) {
    button.disabled = !can.has(button.dataset.do);
    button.classList.toggle("busy", link.isPending(button.dataset.do));
  }
  for (const form of document.querySelectorAll("[data-say]")) {
    form.querySelector("button").disabled = !can.has(form.dataset.say);
  }
  byId("resume").hidden = !state?.stopped;
  byId("keep-anyway").hidden = !state?.recorder?.rejection;
}

function showDrive(state) {
  const drive = state.drive;
  const chip = byId("drive");
  chip.className = `chip ${!drive ? "silent" : state.stopped ? "error" : drive.source === "hold" ? "hold" : "moves"}`;
  put("drive-source", drive ? drive.source : "controller is silent");
  put("drive-cause", state.stopped || drive?.cause || "");
}

function showRecorder({ recorder, target, cue }) {
  put("rec-state", recorder ? recorder.state : "no recorder");
  byId("rec-state").className = `badge ${recorder ? recorder.state : "silent"}`;
  const quality = recorder?.quality ? `, quality ${recorder.quality}` : "";
  const labels = recorder && ["recording", "review"].includes(recorder.state) ? `${recorder.outcome}${quality}` : "";
  const said = recorder ? recorder.pending || recorder.message : "Nothing was heard of node 'recorder'.";
  put("rec-message", [labels, said === recorder?.state ? "" : said, cue.startsWith("warning") ? cue : ""].filter(Boolean).join(" · "));
  for (const name of ["success", "failure", 1, 2, 3, 4, 5]) {
    const isChosen = labels && (recorder.outcome === name || recorder.quality === String(name));
    const button = document.querySelector(`[data-do="record.${typeof name === "number" ? `quality_${name}` : name}"]`);
    button.classList.toggle("chosen", Boolean(isChosen));
  }
  const kept = recorder?.saved;
  const known = kept !== null && kept !== undefined;
  put("count", known ? (target ? `${kept} of ${target} kept` : `${kept} kept`) : "not known");
  byId("bar").style.width = known && target ? `${Math.min(100, (100 * kept) / target)}%` : "0";
  for (const [id, value] of [["task-text", recorder?.task_text], ["operator", recorder?.operator], ["target", target || ""]]) {
    const input = byId(id);
    if (document.activeElement === input || input.dataset.edited) continue;
    input.value = value ?? "";
  }
}

function showPolicy(policy) {
  const words = !policy ? "no policy" : policy.is_planning ? "planning" : policy.lifecycle === "active" ? "ready" : policy.lifecycle;
  put("pol-state", words);
  byId("pol-state").className = `badge ${!policy ? "silent" : policy.is_planning ? "planning" : ""}`;
  const facts = policy?.inference_ms_p50 ? `${policy.runtime}, ${Math.round(Number(policy.inference_ms_p50))} ms per plan` : "";
  const said = policy && policy.message !== words ? policy.message : "";
  put("pol-message", policy ? policy.help || [facts, said].filter(Boolean).join(" · ") : "Start one with il serve.");
  byId("pol-message").classList.toggle("error", Boolean(policy?.help));
  const doubt = policy?.doubt;
  const known = doubt !== null && doubt !== undefined;
  byId("doubt").className = `meter ${known ? (doubt > 1 ? "error" : doubt > 0.8 ? "warn" : "ok") : "unknown"}`;
  byId("doubt-bar").style.width = known ? `${Math.min(100, doubt * 50)}%` : "0";
  put("doubt-text", known ? `doubt ${doubt.toFixed(2)} (1 = edge of what was shown)` : "doubt: not known");
}

function showTopics({ topics, recorder }) {
  const bad = topics.filter((t) => t.warning || Number(t.lost) > 0 || !t.age_ms);
  const sync = byId("sync");
  sync.className = `badge ${!recorder ? "silent" : bad.some((t) => t.warning || Number(t.lost) > 0) ? "error" : ""}`;
  put("sync", recorder ? `${topics.length - bad.length} of ${topics.length} well` : "no recorder");
  byId("topics").replaceChildren(
    ...topics.map((t) => {
      const row = make("tr", "", t.warning || Number(t.lost) > 0 ? "error" : t.age_ms ? "" : "silent");
      const name = make("td", t.name);
      if (t.warning) name.append(make("small", t.warning));
      row.append(name, ...[t.rate_hz, t.age_ms || "–", t.lost, t.gaps].map((text) => make("td", text)));
      return row;
    }),
  );
}

function showNodes(nodes) {
  byId("node-list").replaceChildren(
    ...nodes.map((node) => {
      const item = make("li", "", node.level);
      const said = node.level === "silent" ? `silent for ${node.age_s} s; last: ${node.message}` : node.message;
      item.append(make("i"), make("b", node.name), make("span", said));
      return item;
    }),
  );
}

function showActions(actions) {
  byId("actions").replaceChildren(
    ...actions.toReversed().map((action) => {
      const item = make("li", "", action.ok ? "ok" : "error");
      item.append(make("b", action.name.replace("record.", "")), make("span", action.text));
      return item;
    }),
  );
}

export function showCameras(cameras) {
  const place = byId("cameras");
  if (place.childElementCount !== cameras.length) {
    place.replaceChildren(
      ...cameras.map((camera) => {
        const figure = make("figure");
        figure.dataset.camera = camera.name;
        figure.append(make("canvas"), make("figcaption", camera.name), make("p"));
        return figure;
      }),
    );
  }
  for (const camera of cameras) {
    const figure = place.querySelector(`[data-camera="${CSS.escape(camera.name)}"]`);
    const isOld = camera.age_s === null || camera.age_s > 2;
    const age = camera.age_s === null ? `no picture on ${camera.topic} yet` : `no picture for ${camera.age_s.toFixed(0)} s`;
    figure.classList.toggle("old", isOld);
    figure.lastElementChild.textContent = isOld ? age : "";
  }
}

export async function showPicture(index, jpeg) {
  const canvas = byId("cameras").children[index]?.querySelector("canvas");
  if (!canvas) return;
  const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.dataset.pictures = Number(canvas.dataset.pictures ?? 0) + 1;
  bitmap.close();
}

export function showLink(link) {
  document.body.classList.toggle("cut", !link.isLive);
  const chip = byId("link");
  const late = link.isLive && link.silentMs > 1500;
  chip.className = `chip link ${!link.isLive ? "error" : late ? "warn" : "ok"}`;
  put("link-text", !link.isLive ? "not connected" : late ? "slow" : "connected");
  byId("banner").hidden = link.isLive;
  const waiting = link.pending.size ? ` ${[...link.pending.values()].join(", ")}: not known whether done.` : "";
  put("banner", link.isLive ? "" : `NOT CONNECTED for ${Math.round(link.silentMs / 1000)} s. What you see is old. Only STOP keeps trying.${waiting}`);
}

export function showHalt(halting) {
  const button = byId("halt");
  const isOpen = halting && !halting.isConfirmed && !halting.isOver;
  const lastedMs = halting ? performance.now() - halting.since : 0;
  const isConfirmed = halting?.isConfirmed && performance.now() - halting.confirmedAt < CONFIRMED_MS;
  button.className = isOpen ? "trying" : isConfirmed ? "confirmed" : "";
  put(
    "halt-text",
    isOpen ? `sent ${halting.tries} times, not confirmed yet` : isConfirmed ? `confirmed: ${halting.text}` : "stop the arm and the policy",
  );
  const isAlarm = Boolean(isOpen && (halting.text || lastedMs > 1500));
  byId("alarm").hidden = !isAlarm;
  if (isAlarm) put("alarm-text", `Tried ${halting.tries} times in ${(lastedMs / 1000).toFixed(0)} s: ${halting.text || "no answer yet"}`);
}

export function showAnswer(answer) {
  const toast = byId("toast");
  toast.textContent = `${answer.name.replace("record.", "")}: ${answer.text}`;
  toast.className = answer.ok ? "ok" : "error";
  toast.hidden = false;
  clearTimeout(showAnswer.timer);
  showAnswer.timer = setTimeout(() => (toast.hidden = true), answer.ok ? 4000 : 10000);
}
