// The life of a kernel: made ready ahead, then running the cells of one agent.

import path from "node:path";
import { pathToFileURL } from "node:url";
import util from "node:util";
import { setImmediate } from "node:timers";
import { Worker } from "node:worker_threads";

import { Cell, note } from "./cell.mjs";
import { compile } from "./compile.mjs";
import { text } from "./display.mjs";
import * as flight from "./flight.mjs";
import { importModule, makeRequire } from "./modules.mjs";
import { makeDisplay, makeDollars } from "./notebook.mjs";
import { writeAll } from "./output.mjs";
import { VERSION } from "./protocol.mjs";
import { bounded, describe, isOurs, traceback } from "./report.mjs";
import * as scope from "./scope.mjs";
import * as stop from "./stop.mjs";
import * as timers from "./timers.mjs";
import * as typescript from "./typescript.mjs";

const after = setImmediate;
const exitProcess = process.exit.bind(process);

/** By this the wire calls in the midst of whatever runs. */
const INTERRUPT = "soulbox.interrupt";

/** Frames of the interrupt itself: from the expression that calls it to the one that looks. */
const OWN_FRAMES = 4;

/** Runs cells. */
export class Kernel {
  count = 1;
  #cell = null;
  #last = 0;
  #early = 0;
  #stopped = new Set();
  #port;

  constructor(language) {
    this.language = language;
  }

  /**
   * Prepares the process, and serves the agent at the other end of descriptor `control` until it
   * closes the socket. `outputs` is what `takeOver` gave.
   */
  async serve(control, outputs) {
    const worker = new Worker(new URL("./wire.mjs", import.meta.url), {
      workerData: { control, ...outputs, interrupt: INTERRUPT, flight: flight.shared },
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
      trackUnmanagedFds: false,
    });
    this.#port = worker;
    worker.on("error", (error) => this.#lost(outputs.log, error));
    const listening = new Promise((resolve) => worker.once("message", resolve));
    this.#watch();
    this.#provide();
    this.#warm();
    if ((await listening).listening === "thread") this.#share();
    worker.on("message", (message) => this.#told(message));
    worker.postMessage({ ready: { type: "ready", protocol: VERSION, pid: process.pid, node: process.versions.node } });
  }

  #lost(log, error) {
    if (log !== null) writeAll(log, `soulbox javascript kernel: the wire did not start: ${error?.stack ?? error}\n`);
    process.reallyExit(70);
  }

  #told(message) {
    if ("leave" in message) return this.#leave(message.leave);
    const { request, serial } = message;
    const cell = new Cell(request, serial, this.#port);
    this.#last = serial;
    this.#cell = cell;
    // The interrupt may have overtaken the request.
    if (this.#early === serial) return this.#end(cell);
    return cell.begin(this);
  }

  #leave(status) {
    stop.leave();
    exitProcess(status);
  }

  get #running() {
    return this.#cell !== null && !this.#cell.done ? this.#cell : null;
  }

  // Stopping.

  /**
   * Ends the cell of request `serial`. Called in the midst of whatever runs, or of nothing. False if
   * this is no moment for it: what Node itself is at must not be cut off. `force` ends that, too.
   */
  #interrupt(serial, force) {
    const below = running();
    if (below !== "" && !force && !isUsers(below)) return false;
    if (serial > this.#last) {
      this.#early = serial;
      // Something that an earlier cell has left keeps the request from being begun.
      if (below !== "") stop.haltBelow(() => {});
      return true;
    }
    const cell = this.#running;
    if (cell === null || cell.serial !== serial) return true;
    this.#giveUp(cell);
    if (below !== "") stop.haltBelow(() => this.#end(cell));
    else after(() => this.#end(cell));
    return true;
  }

  #giveUp(cell) {
    this.#stopped.add(cell.serial);
    timers.end();
  }

  #end(cell) {
    // The name that an interrupt has in Python, so that clients know one name for it.
    cell.fail(bounded("KeyboardInterrupt", "", "KeyboardInterrupt: the cell was interrupted"));
    cell.finish();
  }

  /** `process.exit` of cells: ends the cell, and the kernel goes on. */
  #exit(code = process.exitCode) {
    process.exitCode = undefined;
    const cell = this.#running;
    if (cell === null) stop.halt(() => {});
    this.#giveUp(cell);
    stop.halt(() => {
      const status = Number(code ?? 0);
      if (status !== 0) cell.fail(bounded("ProcessExit", String(status), `process.exit(${status})`));
      cell.finish();
    });
  }

  /** What a cell awaits; for ever, if the cell was stopped. Being `async` keeps tracebacks whole. */
  async #awaited(serial, promise) {
    try {
      const value = await promise;
      return this.#stopped.has(serial) ? await NEVER : value;
    } catch (error) {
      if (this.#stopped.has(serial)) await NEVER;
      throw error;
    }
  }

  // What cells find.

  #watch() {
    timers.watch();
    process.on("uncaughtException", (error) => this.#uncaught("Uncaught", error));
    process.on("unhandledRejection", (error) => this.#uncaught("Uncaught (in promise)", error));
    process.exit = (code) => this.#exit(code);
    const interrupt = (serial, force) => this.#interrupt(serial, force);
    Object.defineProperty(globalThis, Symbol.for(INTERRUPT), { value: interrupt });
  }

  /**
   * Without a handle of its own the kernel does not hear SIGINT any more once a cell listens to it,
   * except as that cell does.
   */
  #share() {
    const listen = (name) => {
      if (name !== "SIGINT") return;
      process.off("newListener", listen);
      process.on("SIGINT", () => this.#running && this.#interrupt(this.#last, false));
    };
    process.on("newListener", listen);
  }

  /** An error that no cell waits for is told on standard error. */
  #uncaught(how, error) {
    writeAll(2, `${how} ${traceback(error)}\n`);
  }

  #provide() {
    process.argv = [process.argv[0]];
    const show = (data, isMain) => {
      const cell = this.#running;
      // Between cells there is nobody whose value it could be.
      if (cell === null) return new Cell({}, 0, this.#port).show(data, false);
      return cell.silent ? undefined : cell.show(data, isMain);
    };
    const require = makeRequire();
    const module = { exports: {}, require, children: [], paths: [], loaded: false, id: "." };
    scope.provide("require", require);
    scope.provide("module", module);
    scope.provide("exports", module.exports);
    scope.provideLive("__dirname", () => process.cwd());
    scope.provideLive("__filename", () => path.join(process.cwd(), "[cell]"));
    scope.provide("display", makeDisplay(show, note));
    scope.provide("$$", makeDollars(() => this.#running, show, note));
    scope.provideImport(importModule, meta, (serial, value) => this.#awaited(serial, value));
  }

  /** Runs what a first cell would have to load. */
  #warm() {
    if (this.language === "typescript") typescript.load();
    const { functions, body } = compile(WARM, this.language, 0, "In[0]");
    functions.runInThisContext();
    text(body.runInThisContext());
    describe(new SyntaxError("warm"));
    util.format("%s", [1]);
    // Node makes it when it is first asked for.
    void globalThis.console.log;
  }
}

const WARM = "function soulboxWarm(a) { return a.b?.[0] ?? `x${1}`; }\n({ a: [1, 'b', new Map([[1, 2]])], e: new Error('e') })";

const NEVER = new Promise(() => {});

/** Whether the code of a cell, or of a module that it uses, is at work, and not Node or the kernel. */
function isUsers(frames) {
  // Functions that are part of the language have no place of their own.
  const places = frames.split("\n").filter((frame) => !/\((<anonymous>|native)\)$/.test(frame));
  return places.length > 0 && !/\(?node:/.test(places[0]) && !isOurs(places[0]);
}

/** The frames of what the interrupt has met; none if that is the loop that waits for events. */
function running() {
  const { prepareStackTrace, stackTraceLimit } = Error;
  Error.prepareStackTrace = undefined;
  Error.stackTraceLimit = 50;
  const { stack } = new Error("where");
  Error.stackTraceLimit = stackTraceLimit;
  Error.prepareStackTrace = prepareStackTrace;
  return stack.split("\n").slice(1 + OWN_FRAMES).join("\n");
}

function meta() {
  const filename = path.join(process.cwd(), "[cell]");
  return {
    url: pathToFileURL(filename).href,
    filename,
    dirname: process.cwd(),
    resolve: (name) => {
      const found = globalThis.require.resolve(name);
      return path.isAbsolute(found) ? pathToFileURL(found).href : found;
    },
  };
}
