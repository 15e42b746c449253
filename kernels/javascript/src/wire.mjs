// The thread that talks to the agent.
//
// Cells run on the main thread, where code may be busy for ever. So the main thread never touches
// the socket: it hands frames to this one, which is never busy, and which reads the pipes that
// descriptors 1 and 2 are, and hears interrupts.

import fs from "node:fs";
import inspector from "node:inspector";
import net from "node:net";
import { parentPort, workerData } from "node:worker_threads";

import { Capture, GATHER } from "./capture.mjs";
import { give, heard } from "./flight.mjs";
import { BadRequest, encode, frame, FrameTooLarge, json, Reader, WAITING_LIMIT } from "./protocol.mjs";
import { watch } from "./signal.mjs";

/** Bytes that may wait for the agent before output is left in its pipes. */
const OUTGOING_LIMIT = 1024 * 1024;

/** Milliseconds the main thread has to end when the conversation is over. */
const FAREWELL = 2000;

/** Times an interrupt waits for Node to be at a place where it can be cut off, and milliseconds between. */
const TRIES = 300;
const PAUSE = 2;

const captures = [new Capture("stdout", workerData.stdout), new Capture("stderr", workerData.stderr)];
const pipes = captures.map((capture) => new net.Socket({ fd: capture.pipe, readable: true, writable: false }));
const control = new net.Socket({ fd: workerData.control, readable: true, writable: true });
const main = new inspector.Session();
const reader = new Reader();
const waiting = [];
let current = null;
let serial = 0;
let timer = null;
let started = false;

// From the very first: an agent may go before the kernel is ready.
control.on("close", () => leave(0));
control.on("error", () => leave(0));

function send(frames, sent) {
  if (frames.length === 0 || control.destroyed) return;
  control.write(frames.length === 1 ? frames[0] : Buffer.concat(frames), sent);
  if (control.writableLength > OUTGOING_LIMIT) for (const pipe of pipes) pipe.pause();
}

function pieces(capture, texts) {
  return texts.map((text) => encode({ type: capture.name, id: current, text }));
}

function outputSoFar(final) {
  captures.forEach((capture, at) => {
    // One that was told to pause may have read on before it did; it is heard by its listener.
    while (pipes[at].readableLength > 0 && pipes[at].read() !== null);
    capture.drain();
  });
  return captures.flatMap((capture) => pieces(capture, capture.all(final)));
}

function look() {
  timer = null;
  const now = performance.now();
  send(captures.flatMap((capture) => pieces(capture, capture.due(now))));
  arm();
}

function arm() {
  if (timer === null && captures.some((capture) => capture.waiting)) timer = setTimeout(look, GATHER);
}

function start() {
  captures.forEach((capture, at) => {
    pipes[at].on("data", (bytes) => {
      capture.add(bytes);
      send(pieces(capture, capture.due(performance.now())));
      arm();
    });
  });
  control.on("drain", () => pipes.forEach((pipe) => pipe.resume()));
  control.on("data", receive);
  started = true;
}

function receive(bytes) {
  let items;
  try {
    items = reader.feed(bytes);
  } catch (error) {
    if (!(error instanceof FrameTooLarge)) throw error;
    leave(70);
    return;
  }
  for (const item of items) {
    if (item instanceof BadRequest) {
      refuse(item.id, "BadRequest", item.message);
    } else if (waiting.length >= WAITING_LIMIT) {
      refuse(item.id, "TooManyRequests", `${WAITING_LIMIT} requests wait already; send fewer at once`);
    } else {
      waiting.push(item);
      if (current === null) next();
    }
  }
}

function refuse(id, name, value) {
  const frames = [encode({ type: "error", id, name, value, traceback: "" })];
  if (id !== null) frames.push(encode({ type: "end", id, status: "error" }));
  send(frames);
}

function next() {
  const request = waiting.shift();
  if (request === undefined) return;
  // What was printed before does not belong to it.
  send(outputSoFar(false));
  current = request.id;
  serial += 1;
  parentPort.postMessage({ request, serial });
}

/** The agent has gone: an idle kernel ends as a program does, a running one at once. */
function leave(status) {
  if (current !== null || !started) process.kill(process.pid, "SIGKILL");
  parentPort.postMessage({ leave: status });
  setTimeout(() => process.kill(process.pid, "SIGKILL"), FAREWELL).unref();
}

const said = {
  ready(message) {
    start();
    send([encode(message.ready)]);
  },
  count(message) {
    send([encode({ type: "count", id: current, execution_count: message.count })]);
  },
  result(message) {
    // The value is JSON already: whoever made it had to know its size.
    const head = json({ type: "result", id: current, is_main_result: message.main }).slice(0, -1);
    const size = message.result.length;
    send([...outputSoFar(false), frame(`${head},"data":${message.result}}`)], () => give(workerData.flight, size));
    heard(workerData.flight);
  },
  error(message) {
    send([...outputSoFar(false), encode({ type: "error", id: current, ...message.error })]);
  },
  end(message) {
    send([...outputSoFar(true), encode({ type: "end", id: current, status: message.end })]);
    current = null;
    next();
  },
};

parentPort.on("message", (message) => {
  for (const kind of Object.keys(said)) if (kind in message) said[kind](message);
});

/** Interrupts request `which`, in the midst of whatever the main thread does; again if that must not be. */
function interrupt(which, tries) {
  if (current === null || serial !== which) return;
  const expression = `globalThis[Symbol.for(${json(workerData.interrupt)})](${which},${tries > TRIES})`;
  main.post("Runtime.evaluate", { expression }, (_, answer) => {
    if (answer?.result?.value === false) setTimeout(interrupt, PAUSE, which, tries + 1);
  });
}

process.on("uncaughtException", (error) => {
  // Whoever waits for this thread would wait for ever.
  if (workerData.log !== null) fs.writeSync(workerData.log, `soulbox javascript kernel: the wire broke: ${error?.stack}\n`);
  process.kill(process.pid, "SIGKILL");
});
main.connectToMainThread();
const listening = await watch(() => interrupt(serial, 0));
parentPort.postMessage({ listening });
