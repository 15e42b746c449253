// One request of the agent from its first frame to its last.

import util from "node:util";

import { compile } from "./compile.mjs";
import { fitting, formsOf } from "./display.mjs";
import * as environment from "./environment.mjs";
import * as flight from "./flight.mjs";
import { importAll } from "./modules.mjs";
import { writeAll } from "./output.mjs";
import { FRAME_LIMIT } from "./protocol.mjs";
import { bounded, describe } from "./report.mjs";
import * as scope from "./scope.mjs";
import { setImmediate } from "node:timers";
import * as timers from "./timers.mjs";

// Of before cells could replace them.
const after = setImmediate;

/** Tracebacks without a piece of code in front, as those of asynchronous code are. */
const QUIET = { displayErrors: false };

/** Tells the user something about a result on the cell's standard error. */
export function note(text) {
  writeAll(2, `soulbox: ${text}\n`);
}

/** A request that runs. `port` takes what is to be told to the agent. */
export class Cell {
  done = false;
  failed = false;
  shown = false;
  /** Whether the cell waits for `$$.done()`. */
  open = false;

  constructor(request, serial, port) {
    this.request = request;
    this.serial = serial;
    this.port = port;
    this.restore = null;
  }

  /** Does what is asked for. Ends by itself, now or later, unless it is stopped. */
  begin(kernel) {
    try {
      if (this.request.type === "set_env") environment.assign(this.request.env);
      else if (this.request.type === "cd") process.chdir(this.request.path);
      else return this.execute(kernel);
    } catch (error) {
      this.fail(describe(error));
    }
    return this.finish();
  }

  execute(kernel) {
    const { code, env, silent } = this.request;
    this.silent = Boolean(silent);
    const name = `In[${this.silent ? "silent" : kernel.count}]`;
    if (!this.silent) {
      this.port.postMessage({ count: kernel.count });
      // A cell of nothing is not counted.
      if (code.trim() !== "") kernel.count += 1;
    }
    timers.begin();
    try {
      this.restore = environment.lend(env ?? {});
      const language = this.request.language ?? kernel.language;
      if (language !== "javascript" && language !== "typescript") {
        throw new TypeError(`unknown language '${String(language).slice(0, 100)}'; known are javascript, typescript`);
      }
      const program = compile(code, language, this.serial, name);
      scope.declare(new Set([...program.names, ...program.imports.flatMap(({ bindings }) => bindings.map((b) => b.local))]),
        program.reset);
      if (program.imports.length === 0) return this.run(program);
      importAll(program.imports, language === "typescript")
        .then((pairs) => {
          if (this.done) return;
          scope.assign(pairs);
          this.run(program);
        })
        .catch((error) => this.threw(error));
    } catch (error) {
      this.threw(error);
    }
    return undefined;
  }

  run(program) {
    try {
      program.functions?.runInThisContext(QUIET);
      const value = program.body.runInThisContext(QUIET);
      const wanted = program.hasValue ? value : undefined;
      // A promise as the last value is waited for: what it does belongs to the cell.
      if (program.isAsync || util.types.isPromise(wanted)) {
        value.then((result) => this.returned(program.hasValue ? result : undefined), (error) => this.threw(error));
      } else {
        // What is due at once still belongs to the cell.
        after(() => this.returned(wanted));
      }
    } catch (error) {
      this.threw(error);
    }
  }

  returned(value) {
    if (this.done) return;
    if (value === undefined || this.silent || this.shown || this.open) return this.settle();
    try {
      const forms = formsOf(value, note);
      if (util.types.isPromise(forms)) {
        forms.then((data) => { this.show(data, true); this.settle(); }, (error) => this.threw(error));
        return;
      }
      this.show(forms, true);
      this.settle();
    } catch (error) {
      this.threw(error);
    }
  }

  /** Sends a value's forms. One that is too large is the cell's error instead; the cell goes on. */
  show(data, isMain) {
    if (Object.keys(data).length === 0) return;
    const fit = fitting(data, note);
    if (fit.json !== undefined) {
      flight.send(fit.json.length, () => this.port.postMessage({ result: fit.json, main: isMain }));
      return;
    }
    const value = `a result of ${fit.size} bytes is larger than ${FRAME_LIMIT} bytes; show a part of it, or write it to a file`;
    this.fail(bounded("ResultTooLarge", value, value));
  }

  threw(error) {
    if (this.done) return;
    // Behind what the cell left to be done at once.
    const parts = describe(error);
    after(() => {
      this.fail(parts);
      this.finish();
    });
  }

  /** Ends the cell, unless it said that it is still at work. */
  settle() {
    if (!this.open) this.finish();
  }

  /** Tells an error; those after the first are not told. */
  fail(parts) {
    if (this.done || this.failed) return;
    this.failed = true;
    this.port.postMessage({ error: parts });
  }

  /** Ends the cell: from here on nothing can stop it any more, and nothing else is told of it. */
  finish() {
    if (this.done) return;
    this.done = true;
    try {
      this.restore?.();
    } finally {
      this.port.postMessage({ end: this.failed ? "error" : "ok" });
    }
  }
}
