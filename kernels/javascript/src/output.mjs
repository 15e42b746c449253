// Descriptors 0, 1 and 2 of the process, and the streams that cells know them by.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable, Writable } from "node:stream";

/**
 * Makes descriptors 1 and 2 pipes and 0 /dev/null. Gives the pipes' other ends, and the descriptor
 * that standard error was before, or null.
 */
export function takeOver() {
  const log = reopened("/proc/self/fd/2");
  const [stdout, stderr] = pipes();
  for (const [number, place, flags] of [[0, "/dev/null", "r"], [1, stdout.write, "w"], [2, stderr.write, "w"]]) {
    fs.closeSync(number);
    const opened = fs.openSync(place, flags);
    if (opened !== number) throw new Error(`descriptor ${number} could not be taken over`);
  }
  for (const { spare } of [stdout, stderr]) fs.closeSync(spare);
  for (const [name, number] of [["stdout", 1], ["stderr", 2]]) replace(name, new Output(number));
  replace("stdin", new Refused());
  return { stdout: stdout.read, stderr: stderr.read, log };
}

function reopened(place) {
  try {
    return fs.openSync(place, "a");
  } catch {
    // A socket cannot be opened again.
    return null;
  }
}

/** Two pipes. Node has no call that makes one, so they have names for a moment. */
function pipes() {
  const directory = fs.mkdtempSync(path.join(writable(), "soulbox-kernel-"));
  try {
    const names = ["stdout", "stderr"].map((name) => path.join(directory, name));
    execFileSync("mkfifo", ["-m", "600", ...names], { stdio: ["ignore", "ignore", "inherit"] });
    return names.map((name) => {
      const read = fs.openSync(name, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
      const spare = fs.openSync(name, "w");
      return { read, spare, write: `/proc/self/fd/${spare}` };
    });
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function writable() {
  for (const directory of [os.tmpdir(), "/dev/shm", "/tmp", os.homedir()]) {
    try {
      fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK);
      return directory;
    } catch {
      continue;
    }
  }
  throw new Error("no directory to make pipes in: $TMPDIR, /dev/shm, /tmp and the home are not writable");
}

function replace(name, stream) {
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream });
}

/** Characters that a pipe takes whole or not at all, whatever bytes they become. */
const WHOLE = 1024;

const nothing = new Int32Array(new SharedArrayBuffer(4));

/** Writes all of `data`, text or bytes; waits while the pipe is full. */
export function writeAll(number, data) {
  if (typeof data === "string" && data.length <= WHOLE) {
    attempt(() => fs.writeSync(number, data));
    return;
  }
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  for (let at = 0; at < bytes.length; ) at += attempt(() => fs.writeSync(number, bytes, at));
}

function attempt(write) {
  for (;;) {
    try {
      return write();
    } catch (error) {
      // Some programs have what they inherit not wait; the pipe is one for them and the kernel.
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(nothing, 0, 0, 1);
    }
  }
}

/** `process.stdout` and `process.stderr`: what is written has been written when the call returns. */
class Output extends Writable {
  constructor(fd) {
    super({ decodeStrings: true });
    this.fd = fd;
    // What Node calls a stream that need not be waited for.
    this._type = "fs";
  }

  write(chunk, encoding, done) {
    // What it refuses, it refuses in its own words.
    if (typeof chunk !== "string" && !ArrayBuffer.isView(chunk)) return super.write(chunk, encoding, done);
    writeAll(this.fd, dataOf(chunk, encoding));
    const last = typeof encoding === "function" ? encoding : done;
    if (typeof last === "function") process.nextTick(last);
    return true;
  }

  /** Writes a last chunk, but the next cell needs the stream: it stays open. */
  end(chunk, encoding, done) {
    const last = [chunk, encoding, done].find((value) => typeof value === "function");
    if (chunk !== undefined && chunk !== null && typeof chunk !== "function") this.write(chunk, encoding);
    if (last) process.nextTick(last);
    return this;
  }

  destroy() {
    return this;
  }
}

function dataOf(chunk, encoding) {
  if (typeof chunk !== "string") return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const plain = typeof encoding !== "string" || /^utf-?8$/i.test(encoding);
  return plain ? chunk : Buffer.from(chunk, encoding);
}

/** `process.stdin`: there is nobody to type, and who waits for it would wait for ever. */
class Refused extends Readable {
  fd = 0;

  on(event, listener) {
    if (event === "data" || event === "readable" || event === "keypress") refuse();
    return super.on(event, listener);
  }

  addListener(event, listener) {
    return this.on(event, listener);
  }

  read() {
    return refuse();
  }

  resume() {
    return refuse();
  }

  [Symbol.asyncIterator]() {
    return refuse();
  }
}

function refuse() {
  const error = new Error("cells have no standard input; put what the code needs into variables or files");
  error.name = "StdinNotImplementedError";
  throw error;
}
