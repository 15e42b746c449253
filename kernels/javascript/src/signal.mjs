// SIGINT, heard in a thread other than the main one, which may be busy.

import { Worker } from "node:worker_threads";

/**
 * Calls `heard` for each SIGINT of the process from when the promise is fulfilled.
 *
 * Node gives signals to the main thread only. Up to version 22 a thread can have the handle that
 * `process.on` is made of; later ones need a thread that is blocked where Node lets itself be
 * interrupted, which costs some megabytes of memory. Gives which it is, "handle" or "thread".
 */
export async function watch(heard) {
  const Signal = handle();
  if (Signal !== null) {
    const signal = new Signal();
    signal.onsignal = heard;
    if (signal.start(2) === 0) return "handle";
  }
  const listener = new Worker(new URL("./listener.mjs", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
  });
  await new Promise((resolve, reject) => {
    listener.once("error", reject);
    listener.on("message", (word) => (word === "listening" ? resolve() : heard()));
  });
  return "thread";
}

function handle() {
  const before = process.noDeprecation;
  process.noDeprecation = true;
  try {
    return process.binding("signal_wrap").Signal ?? null;
  } catch {
    return null;
  } finally {
    process.noDeprecation = before;
  }
}
