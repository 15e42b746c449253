// The timers that a cell starts, so that they can be ended with it when it is interrupted.
// `setTimeout` and its like are replaced by functions that behave the same.

import { createRequire, syncBuiltinESMExports } from "node:module";
import util from "node:util";

const require = createRequire(import.meta.url);
const timers = require("node:timers");
const promised = require("node:timers/promises");
const { clearTimeout, clearImmediate } = timers;

/** Timers of one cell that are remembered before those that have ended are looked for. */
const MANY = 1024;

let live = new Set();

/** Forgets the timers so far: they belong to cells that have ended well. */
export function begin() {
  live = new Set();
}

/** Ends all timers since `begin`. */
export function end() {
  for (const timer of live) {
    if (typeof timer === "function") timer();
    else if (timer.constructor?.name === "Immediate") clearImmediate(timer);
    else clearTimeout(timer);
  }
  live = new Set();
}

/** Remembers a timer. Cleared ones are not told of, so a cell that makes many has them looked through. */
function remember(set, timer) {
  set.add(timer);
  set.many ??= MANY;
  if (set.size < set.many) return;
  for (const one of set) if (one._destroyed) set.delete(one);
  set.many = Math.max(MANY, 2 * set.size);
}

function kept(start, isRepeated) {
  return function (callback, ...rest) {
    if (typeof callback !== "function") return start(callback, ...rest);
    const mine = live;
    const timer = isRepeated ? start(callback, ...rest) : start(once, ...rest);
    remember(mine, timer);
    return timer;

    function once(...values) {
      mine.delete(timer);
      return callback.apply(this, values);
    }
  };
}

function keptPromise(start, signalAt) {
  return function (...values) {
    const options = values[signalAt] ?? {};
    if (typeof options !== "object" || options.signal !== undefined) return start(...values);
    const mine = live;
    const stop = new AbortController();
    const never = { stopped: false };
    const cancel = () => {
      never.stopped = true;
      stop.abort();
    };
    remember(mine, cancel);
    const given = [...values];
    while (given.length < signalAt) given.push(undefined);
    given[signalAt] = { ...options, signal: stop.signal };
    return new Promise((resolve, reject) => {
      const settle = (how) => (value) => {
        mine.delete(cancel);
        // What waits for a timer that was ended waits for ever.
        if (!never.stopped) how(value);
      };
      start(...given).then(settle(resolve), settle(reject));
    });
  };
}

/** Replaces the functions, in the global scope and in the modules. */
export function watch() {
  const promises = {
    setTimeout: keptPromise(promised.setTimeout, 2),
    setImmediate: keptPromise(promised.setImmediate, 1),
  };
  const all = {
    setTimeout: kept(timers.setTimeout, false),
    setInterval: kept(timers.setInterval, true),
    setImmediate: kept(timers.setImmediate, false),
  };
  for (const [name, made] of Object.entries(all)) {
    Object.defineProperty(made, "name", { value: name });
    if (name in promises) Object.defineProperty(made, util.promisify.custom, { value: promises[name] });
    timers[name] = made;
    globalThis[name] = made;
  }
  Object.assign(promised, promises);
  syncBuiltinESMExports();
}
