// What cells show on its way to the agent. A cell waits until what it shows has its place behind the
// output before it, and while more is on the way than the agent takes.

/** Bytes that may be on their way before a cell waits. */
const LIMIT = 8 * 1024 * 1024;

/** Milliseconds a cell waits for its place. Without an end it would wait for a thread that has died. */
const PATIENCE = 5000;

/** Known to both threads: the bytes on their way, and how many results have their place. */
export const shared = new Int32Array(new SharedArrayBuffer(8));

/** Waits until there is room, takes `size` of it, has `post` send, and waits for the place. */
export function send(size, post) {
  for (let now = Atomics.load(shared, 0); now > LIMIT; now = Atomics.load(shared, 0)) {
    Atomics.wait(shared, 0, now, PATIENCE);
  }
  Atomics.add(shared, 0, size);
  const before = Atomics.load(shared, 1);
  post();
  Atomics.wait(shared, 1, before, PATIENCE);
}

/** `size` bytes have been handed to the agent. Called by the thread that sends. */
export function give(flight, size) {
  Atomics.sub(flight, 0, size);
  Atomics.notify(flight, 0);
}

/** A result has its place. Called by the thread that sends. */
export function heard(flight) {
  Atomics.add(flight, 1, 1);
  Atomics.notify(flight, 1);
}
