// How code is ended that does not end by itself: by an interrupt, or because it called
// `process.exit`. No `try` of the user's can catch it, and the kernel goes on.

import inspector from "node:inspector";
import { setImmediate } from "node:timers";

const session = new inspector.Session();
session.connect();

const nothing = () => {};

// Of before cells could replace it, and before it was watched.
const after = setImmediate;

/**
 * Ends all JavaScript that is running on this thread, the caller included: never returns. Calls
 * `then` when that has happened.
 */
export function halt(then) {
  after(then);
  clearAsyncStack();
  session.post("Runtime.terminateExecution", nothing);
  // Until it takes effect, which is at the end of some turn of a loop.
  for (;;);
}

/** As `halt`, for a caller that runs inside of an interrupt: what is below it ends when it returns. */
export function haltBelow(then) {
  after(then);
  clearAsyncStack();
  session.post("Runtime.terminateExecution", nothing);
}

/** Lets go of the inspector, so that the process can end without a word. */
export function leave() {
  session.disconnect();
}

/**
 * Node notes which callbacks it is in, and ends the process when that note is wrong: callbacks that
 * are cut off do not take theirs back. It clears the note when an exception was handled, so it is
 * given one.
 */
function clearAsyncStack() {
  let ours = false;
  try {
    process.setUncaughtExceptionCaptureCallback(nothing);
    ours = true;
    process._fatalException(new Error("stopped"), false);
  } catch {
    // Somebody else captures exceptions. Then code is stopped, too, but the note may be wrong.
  } finally {
    if (ours) process.setUncaughtExceptionCaptureCallback(null);
  }
}
