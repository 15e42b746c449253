// A kernel in a process of its own and the agent's side of its socket, for tests.

import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const MAIN = fileURLToPath(new URL("../main.mjs", import.meta.url));

/** Milliseconds without a frame after which a test fails instead of hanging. */
const PATIENCE = 20_000;

/** A directory that is gone when the test ends. */
export function directory(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), "soulbox-js-test-"));
  t.after(() => fs.rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A kernel, which ends with test `t`; without one, somebody else must close it. */
export async function start(t, { args = [], env = {}, cwd = "/" } = {}) {
  const kernel = new Kernel(args, env, cwd);
  t?.after(() => kernel.close());
  kernel.ready = await kernel.frame();
  return kernel;
}

/** A kernel that may not be ready yet. */
export class Kernel {
  #bytes = Buffer.alloc(0);
  #frames = [];
  #wanted = null;
  #closed = false;
  #last = 0;

  constructor(args = [], env = {}, cwd = "/") {
    this.process = spawn(process.execPath, [MAIN, "--control", "3", ...args], {
      cwd,
      env: { PATH: process.env.PATH, HOME: os.tmpdir(), ...env },
      // The fourth is a connected Unix socket in the child, too.
      stdio: ["ignore", "inherit", "inherit", "pipe"],
    });
    this.status = new Promise((resolve) => this.process.on("exit", (code, signal) => resolve(signal ?? code)));
    this.socket = this.process.stdio[3];
    this.socket.on("data", (bytes) => this.#take(bytes));
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.#closed = true;
      this.#wanted?.();
    });
  }

  #take(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    while (this.#bytes.length >= 4 && this.#bytes.length >= 4 + this.#bytes.readUInt32BE(0)) {
      const end = 4 + this.#bytes.readUInt32BE(0);
      const text = new TextDecoder("utf-8", { fatal: true }).decode(this.#bytes.subarray(4, end));
      this.#frames.push(JSON.parse(text));
      this.#bytes = this.#bytes.subarray(end);
    }
    this.#wanted?.();
  }

  /** The next frame; throws when the kernel has gone. */
  async frame() {
    const deadline = Date.now() + PATIENCE;
    while (this.#frames.length === 0) {
      if (this.#closed) throw new Error("the kernel has gone");
      if (Date.now() > deadline) throw new Error("no frame came");
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, PATIENCE);
        this.#wanted = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#frames.shift();
  }

  raw(body) {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    this.socket.write(Buffer.concat([head, body]));
  }

  send(type, fields) {
    const id = String((this.#last += 1));
    this.raw(Buffer.from(JSON.stringify({ type, id, ...fields })));
    return id;
  }

  /** Frames up to the first of type `wanted`, that one included. */
  async until(wanted) {
    const frames = [];
    while (frames.at(-1)?.type !== wanted) frames.push(await this.frame());
    return frames;
  }

  async ask(type, fields) {
    const id = this.send(type, fields);
    const answer = new Answer(await this.until("end"));
    if (answer.frames.at(-1).id !== id) throw new Error(`another's end: ${JSON.stringify(answer.frames)}`);
    return answer;
  }

  /** Runs a cell; gives all that the kernel said of it. */
  run(code, fields) {
    return this.ask("execute", { code, ...fields });
  }

  interrupt() {
    this.process.kill("SIGINT");
  }

  /** Closes the socket; gives the kernel's exit status or signal. */
  async close() {
    this.socket.destroy();
    return this.status;
  }
}

/** The frames of one request, by what they are. */
class Answer {
  constructor(frames) {
    const of = (type) => frames.filter((frame) => frame.type === type);
    this.frames = frames;
    this.types = frames.map((frame) => frame.type);
    this.out = of("stdout").map((frame) => frame.text).join("");
    this.err = of("stderr").map((frame) => frame.text).join("");
    this.results = of("result").map((frame) => frame.data);
    this.main = of("result").find((frame) => frame.is_main_result)?.data;
    this.text = this.main?.["text/plain"];
    this.error = of("error")[0];
    this.count = of("count")[0]?.execution_count;
    this.status = frames.at(-1).status;
  }
}
