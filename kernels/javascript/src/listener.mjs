// A thread that does nothing but wait for SIGINT, for versions of Node that offer no other way.

import vm from "node:vm";
import { parentPort } from "node:worker_threads";

const wait = new vm.Script("Atomics.wait(soulboxNever, 0, 0)");
globalThis.soulboxNever = new Int32Array(new SharedArrayBuffer(4));
globalThis.soulboxListen = () => {
  for (;;) {
    try {
      wait.runInThisContext({ breakOnSigint: true });
    } catch {
      parentPort.postMessage("interrupted");
    }
  }
};
parentPort.postMessage("listening");
// Once more around it: between two waits the signal would end the process.
const listen = new vm.Script("soulboxListen()");
for (;;) {
  try {
    listen.runInThisContext({ breakOnSigint: true });
  } catch {
    parentPort.postMessage("interrupted");
  }
}
