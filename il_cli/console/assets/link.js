// The connection. It never queues: what cannot be sent now is not sent. Only STOP is tried again.
const SILENT_MS = 2500; // the console sends something every second
const RETRY_MS = [200, 400, 800, 1500];
const HALT_EVERY_MS = 500;
const HALT_ANSWER_MS = 3000;
const HEAD = 10; // bytes before a picture: number, camera, age; little endian

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
}

export class Link {
  constructor(on) {
    this.on = on; // state(state), picture(index, ageMs, jpeg), link(), answer(answer), halt(halting)
    this.isLive = false;
    this.run = "";
    this.pending = new Map(); // id -> name: sent, not answered
    this.halting = null;
    this.tries = 0;
    this.heardAt = 0; // performance.now() of the newest message
    this.server = null; // {nowMs, at}: the console's clock when a state came
    this.cameras = [];
    setInterval(() => this.watchdog(), 250);
    addEventListener("online", () => this.reconnect(0));
    addEventListener("offline", () => this.drop());
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heardAt = performance.now();
    socket.isNew = true;
    socket.onopen = () => this.post({ kind: "watch", cameras: this.cameras });
    socket.onmessage = (event) => {
      if (this.socket !== socket) return;
      this.heardAt = performance.now();
      if (typeof event.data === "string") this.hear(JSON.parse(event.data));
      else this.see(event.data);
    };
    socket.onclose = () => this.socket === socket && this.drop();
  }

  drop() {
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
    this.setLive(false);
    this.reconnect(RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]);
  }

  reconnect(afterMs) {
    if (this.socket) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), afterMs);
  }

  watchdog() {
    if (this.socket && performance.now() - this.heardAt > SILENT_MS) this.drop();
    this.on.link();
  }

  setLive(isLive) {
    if (this.isLive === isLive) return;
    this.isLive = isLive;
    this.on.link();
  }

  get silentMs() {
    return performance.now() - this.heardAt;
  }

  post(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  hear(message) {
    if (message.kind === "state") {
      this.server = { nowMs: message.now_ms, at: performance.now() };
      this.tries = 0;
      if (this.socket.isNew) this.resync(message.run);
      this.run = message.run;
      this.post({ kind: "confirm", number: message.number });
      this.setLive(true);
      this.on.state(message);
    } else if (message.kind === "answer") {
      this.take(message);
    }
  }

  // After a new connection: what became of what was sent over the old one? Nothing is sent a second time.
  resync(run) {
    this.socket.isNew = false;
    if (this.pending.size && run === this.run) this.post({ kind: "recall", ids: [...this.pending.keys()] });
    else for (const id of [...this.pending.keys()]) {
      this.take({ id, done: true, ok: false, text: "not known whether done: the console was started anew" });
    }
  }

  take(answer) {
    if (this.halting?.id === answer.id) {
      this.haltAnswered(answer);
      return;
    }
    const name = this.pending.get(answer.id);
    if (name === undefined) return;
    if (!answer.done) {
      // It runs: this page lost the connection that would have brought the answer. Ask again.
      setTimeout(() => this.pending.has(answer.id) && this.post({ kind: "recall", ids: [answer.id] }), 500);
      return;
    }
    this.pending.delete(answer.id);
    this.on.answer({ ...answer, name });
  }

  see(data) {
    const view = new DataView(data);
    this.post({ kind: "confirm", number: view.getUint32(0, true) });
    this.on.picture(view.getUint16(4, true), view.getUint32(6, true), data.slice(HEAD));
  }

  watch(cameras) {
    this.cameras = cameras;
    this.post({ kind: "watch", cameras });
  }

  isPending(name) {
    return [...this.pending.values()].includes(name);
  }

  send(name, argument) {
    const id = newId();
    const atMs = this.server ? this.server.nowMs + performance.now() - this.server.at : 0;
    const command = { kind: "do", id, name, run: this.run, at_ms: atMs };
    if (argument !== undefined) command.argument = argument;
    if (!this.isLive || !this.post(command)) {
      this.on.answer({ id, name, ok: false, text: "not connected: nothing was sent" });
      return;
    }
    this.pending.set(id, name);
  }

  // STOP: by the stream and by a request of its own, with one id, until the console confirms it.
  async halt() {
    const halting = { id: newId(), since: performance.now(), tries: 0, text: "", isConfirmed: false, isOver: false };
    if (this.halting) this.halting.isOver = true;
    this.halting = halting;
    while (!halting.isOver && !halting.isConfirmed) {
      halting.tries += 1;
      this.on.halt(halting);
      this.post({ kind: "do", id: halting.id, name: "halt" });
      try {
        const body = JSON.stringify({ id: halting.id });
        const answer = await fetch("/halt", { method: "POST", body, signal: AbortSignal.timeout(HALT_ANSWER_MS) });
        this.haltAnswered({ id: halting.id, ...(await answer.json()) });
      } catch (error) {
        if (!halting.isConfirmed) halting.text = `the console does not answer (${error.message})`;
      }
      this.on.halt(halting);
      if (!halting.isConfirmed) await new Promise((resolve) => setTimeout(resolve, HALT_EVERY_MS));
    }
  }

  haltAnswered(answer) {
    const halting = this.halting;
    if (halting?.id !== answer.id || halting.isConfirmed) return;
    halting.text = answer.text;
    halting.isConfirmed = Boolean(answer.done && answer.ok);
    halting.confirmedAt = performance.now();
    this.on.halt(halting);
  }

  giveUp() {
    if (this.halting) this.halting.isOver = true;
    this.halting = null;
  }
}
