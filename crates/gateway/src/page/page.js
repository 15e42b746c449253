// The page: what lives, what ended, what happened, and a terminal.
// Whatever comes from a sandbox or its owner is put in as text, never as markup.

import { Terminal } from "./xterm.js";
import { FitAddon } from "./addon-fit.js";

const KEY = "soulbox.key";
const EVERY = 5000;
const one = (id) => document.getElementById(id);

let key = sessionStorage.getItem(KEY);
let panel = null;
let timer = null;

// --- asking

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { "X-API-Key": key, ...options.headers };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, body.message ?? `status ${answer.status}`);
}

// Reads server-sent events; unlike EventSource, with the key in a header.
async function* events(path, signal) {
  const answer = await ask(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name) => lines.filter((line) => line.startsWith(`${name}:`))
        .map((line) => line.slice(name.length + 1).trimStart()).join("\n");
      const data = field("data");
      if (data) yield { kind: field("event"), data: JSON.parse(data) };
    }
  }
}

// --- words

function seconds(count) {
  const whole = Math.max(0, Math.round(count));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = Math.max(0, units.findIndex(([size]) => whole >= size));
  const [size, unit] = whole === 0 ? [1, "s"] : units[at];
  const first = `${Math.floor(whole / size)} ${unit}`;
  const below = units[at + 1];
  const rest = below && whole !== 0 ? Math.floor((whole % size) / below[0]) : 0;
  return rest > 0 && size > 60 ? `${first} ${rest} ${below[1]}` : first;
}

function bytes(count) {
  const units = [[1 << 30, "GiB"], [1 << 20, "MiB"], [1 << 10, "KiB"]];
  const [size, unit] = units.find(([size]) => count >= size) ?? units.at(-1);
  const amount = count / size;
  return `${amount.toFixed(unit === "KiB" || amount >= 100 ? 0 : 1)} ${unit}`;
}

const since = (from, to = Date.now()) => (to - Date.parse(from)) / 1000;
const words = (text) => text.replaceAll("_", " ");
const STATES = { running: "good", paused: "warn", starting: "quiet" };
const CAUSES = { killed: "quiet", expired: "quiet", server_stopped: "warn" };

// --- building

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const cell = (content, className = "") => element("td", { className }, content);
const badge = (word, tone) => element("span", { className: `badge ${tone}` }, words(word));
const button = (text, onclick, className = "") => element("button", { type: "button", className, onclick }, text);

// Updates the rows of a table in place, so that a button under the pointer stays where it is.
function fill(table, sandboxes, row) {
  const body = one(table).tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  const rows = sandboxes.map((sandbox) => {
    const text = JSON.stringify(sandbox);
    const kept = old.get(sandbox.sandboxID);
    if (kept && kept.dataset.text === text) return kept;
    const made = element("tr", {}, ...row(sandbox, kept));
    made.dataset.id = sandbox.sandboxID;
    made.dataset.text = text;
    return made;
  });
  const same = rows.length === body.rows.length && rows.every((row, at) => row === body.rows[at]);
  if (!same) body.replaceChildren(...rows);
  one(table).hidden = rows.length === 0;
  one(`${table}-none`).hidden = rows.length > 0;
}

function live(sandbox, before) {
  const { sandboxID: id, usage } = sandbox;
  const used = usage ? usage.memoryBytes + usage.cacheBytes : null;
  const memory = used === null ? "…" : element("span", { className: "memory" },
    element("progress", { max: sandbox.memoryBytes, value: used }),
    `${bytes(used)} of ${bytes(sandbox.memoryBytes)}`);
  const actions = before?.cells[7].cloneNode(false) ?? element("td", { className: "actions" });
  const shell = button("Terminal", () => terminal(id));
  shell.disabled = sandbox.state !== "running";
  actions.append(shell, button("Events", () => timeline(id)), killer(id));
  return [
    cell(id, "id"), cell(sandbox.template), cell(badge(sandbox.state, STATES[sandbox.state] ?? "quiet")),
    element("td", { className: "number age" }, ""), element("td", { className: "number left" }, ""),
    cell(usage ? `${usage.cpuUsedPct.toFixed(0)} %` : "…", "number"), cell(memory), actions,
  ];
}

function ended(sandbox) {
  const { sandboxID: id, ended: end } = sandbox;
  const actions = element("td", { className: "actions" }, button("Events", () => timeline(id)));
  return [
    cell(id, "id"), cell(sandbox.template), cell(badge(end.cause, CAUSES[end.cause] ?? "bad")),
    cell(end.detail, "detail"), cell(seconds(since(sandbox.startedAt, Date.parse(end.at))), "number"),
    element("td", { className: "number ago", title: end.at }, ""), actions,
  ];
}

// Times go on between two looks.
function clocks() {
  for (const row of one("live").tBodies[0].rows) {
    const sandbox = JSON.parse(row.dataset.text);
    row.querySelector(".age").textContent = seconds(since(sandbox.startedAt));
    const left = sandbox.state === "paused" ? "–" : seconds(-since(sandbox.endAt));
    row.querySelector(".left").textContent = left;
  }
  for (const row of one("ended").tBodies[0].rows) {
    row.querySelector(".ago").textContent = `${seconds(since(JSON.parse(row.dataset.text).ended.at))} ago`;
  }
}

// One click asks, the second one does it.
const sure = new Map();
function killer(id) {
  const asks = (sure.get(id) ?? 0) > Date.now();
  const made = button(asks ? "Really kill?" : "Kill", async () => {
    if ((sure.get(id) ?? 0) < Date.now()) {
      sure.set(id, Date.now() + 4000);
      made.textContent = "Really kill?";
      made.classList.add("sure");
      setTimeout(() => {
        made.textContent = "Kill";
        made.classList.remove("sure");
      }, 4000);
      return;
    }
    sure.delete(id);
    try {
      await ask(`sandboxes/${id}`, { method: "DELETE" });
    } catch (error) {
      say(error.message);
    }
    await look();
  }, asks ? "kill sure" : "kill");
  return made;
}

// --- the panel

function open(title) {
  panel?.close();
  one("panel-title").textContent = title;
  one("panel-said").textContent = "";
  const body = one("panel-body");
  body.className = "";
  body.replaceChildren();
  one("panel").hidden = false;
  document.body.classList.add("panel-open");
  return body;
}

function close() {
  panel?.close();
  panel = null;
  one("panel").hidden = true;
  document.body.classList.remove("panel-open");
}

async function timeline(id) {
  const rows = element("tbody");
  open(`Events of ${id}`).append(element("table", { id: "events" }, rows));
  const stop = new AbortController();
  const mine = { close: () => stop.abort() };
  panel = mine;
  const said = (text) => {
    if (panel === mine) one("panel-said").textContent = text;
  };
  try {
    said("following");
    for await (const { kind, data } of events(`v1/sandboxes/${id}/events?follow`, stop.signal)) {
      if (kind === "lagged") said(`${data.missed} events were missed`);
      if (!data.timestamp) continue;
      const tone = kind === "ended" ? CAUSES[data.cause] ?? "bad" : kind.endsWith("out_of_memory") ? "bad" : "quiet";
      const what = data.cause ? `${kind}: ${data.cause}` : kind;
      rows.append(element("tr", {}, cell(data.timestamp, "id"), cell(badge(what, tone)), cell(data.detail, "detail")));
      rows.lastChild.scrollIntoView({ block: "nearest" });
    }
    said("that is all");
  } catch (error) {
    if (error.name !== "AbortError") said(error.message);
  }
}

// A key may hold letters that no subprotocol may.
const encoded = (text) => btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function terminal(id) {
  const body = open(`Terminal of ${id}`);
  body.className = "terminal";
  const shown = new Terminal({ cursorBlink: true, fontFamily: 'ui-monospace, "DejaVu Sans Mono", monospace', fontSize: 13,
    theme: { background: "#101318" }, scrollback: 5000 });
  const fit = new FitAddon();
  shown.loadAddon(fit);
  shown.open(body);
  fit.fit();
  const url = new URL(`v1/sandboxes/${id}/terminal`, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ cols: shown.cols, rows: shown.rows });
  const socket = new WebSocket(url, ["soulbox.terminal", `soulbox.key.${encoded(key)}`]);
  socket.binaryType = "arraybuffer";
  const said = (text) => {
    if (panel === mine) one("panel-said").textContent = text;
  };
  const send = (data) => socket.readyState === WebSocket.OPEN && socket.send(data);
  const resized = new ResizeObserver(() => fit.fit());
  const mine = {
    close: () => {
      resized.disconnect();
      socket.close();
      shown.dispose();
    },
  };
  panel = mine;
  let over = "it cannot be opened; the sandbox may be paused or have ended";
  socket.onopen = () => {
    over = "the connection was lost";
    said("connected");
    shown.focus();
  };
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) return shown.write(new Uint8Array(data));
    const told = JSON.parse(data);
    if (told.exit) over = `the shell ended: ${told.exit.status}`;
    if (told.error) over = told.error;
  };
  socket.onclose = () => said(over);
  shown.onData((text) => send(new TextEncoder().encode(text)));
  shown.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  shown.onResize(({ cols, rows }) => send(JSON.stringify({ resize: { cols, rows } })));
  resized.observe(body);
}

// --- looking

function say(text) {
  one("said").textContent = text;
}

async function look() {
  clearTimeout(timer);
  try {
    const all = [];
    for (let next = ""; next !== null;) {
      const query = next ? `?nextToken=${encodeURIComponent(next)}` : "";
      const page = await (await ask(`v1/sandboxes${query}`)).json();
      all.push(...page.sandboxes);
      next = all.length < 1000 ? page.nextToken ?? null : null;
    }
    const past = await (await ask("v1/sandboxes?state=ended&limit=50")).json();
    fill("live", all, live);
    fill("ended", past.sandboxes, ended);
    one("live-count").textContent = all.length;
    one("ended-count").textContent = past.sandboxes.length === 50 ? "the last 50" : past.sandboxes.length;
    clocks();
    say("");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return forget(error.message);
    say(error instanceof Refused ? error.message : "the server does not answer");
  }
  if (key) timer = setTimeout(look, EVERY);
}

// Looks again as soon as something happens.
async function follow() {
  while (key) {
    const stop = new AbortController();
    follow.stop = stop;
    try {
      for await (const _ of events("v1/events?follow", stop.signal)) await look();
    } catch {
      // The clock asks meanwhile.
    }
    await new Promise((done) => setTimeout(done, EVERY));
  }
}

// --- the key

function forget(why = "") {
  close();
  follow.stop?.abort();
  key = null;
  sessionStorage.removeItem(KEY);
  show();
  say(why);
}

function show() {
  one("enter").hidden = key !== null;
  one("main").hidden = one("forget").hidden = key === null;
  if (key === null) {
    one("key").value = "";
    one("key").focus();
  }
}

function begin() {
  show();
  if (key === null) return;
  look();
  follow();
}

one("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  key = one("key").value.trim();
  sessionStorage.setItem(KEY, key);
  begin();
});
one("forget").addEventListener("click", () => forget());
one("panel-close").addEventListener("click", close);
setInterval(clocks, 1000);
fetch("health").then((answer) => answer.json()).then(({ version }) => { one("version").textContent = version; }).catch(() => {});
begin();
