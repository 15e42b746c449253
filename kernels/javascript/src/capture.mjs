// The far end of one stream: gathers what was written, and says when which piece is to be sent.

import fs from "node:fs";

import { PIECE_LIMIT } from "./protocol.mjs";

/** Milliseconds that output waits for more of it, so that short prints stay together. */
export const GATHER = 25;

/** Bytes of one read, the size of a pipe. */
const CHUNK = 64 * 1024;

const buffer = Buffer.allocUnsafeSlow(CHUNK);

/** Output of one stream: `pipe` is the read end, which does not block. */
export class Capture {
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #text = "";
  #since = null;

  constructor(name, pipe) {
    this.name = name;
    this.pipe = pipe;
  }

  /** Whether something was gathered and not sent. */
  get waiting() {
    return this.#since !== null;
  }

  /** Takes bytes that were read from the pipe. */
  add(bytes) {
    const text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return;
    this.#text += text;
    this.#since ??= performance.now();
  }

  /** Takes what is in the pipe by now. */
  drain() {
    for (;;) {
      let size;
      try {
        size = fs.readSync(this.pipe, buffer, 0, CHUNK, null);
      } catch (error) {
        if (error.code === "EAGAIN") return;
        throw error;
      }
      if (size === 0) return;
      this.add(buffer.subarray(0, size));
      // What comes while this is read is as good as what came later; a full pipe may be endless.
      if (size < CHUNK || this.#text.length > 16 * CHUNK) return;
    }
  }

  /** Pieces whose time has come. The start of a line waits for its end once more. */
  due(now) {
    if (this.#since === null || (now - this.#since < GATHER && this.#text.length < PIECE_LIMIT)) return [];
    const end = this.#text.lastIndexOf("\n") + 1 || this.#text.length;
    const text = this.#text.slice(0, end);
    this.#keep(this.#text.slice(end), now);
    return cut(text);
  }

  /** All pieces; with `final` also half a character that nobody will complete. */
  all(final) {
    if (final) {
      this.#text += this.#decoder.decode();
    }
    const text = this.#text;
    this.#keep("", null);
    return cut(text);
  }

  #keep(text, now) {
    this.#text = text;
    this.#since = text === "" ? null : now;
  }
}

function cut(text) {
  const pieces = [];
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + PIECE_LIMIT, text.length);
    const last = text.charCodeAt(end - 1);
    // Both halves of a character stay in one piece.
    if (end < text.length && last >= 0xd800 && last < 0xdc00) end -= 1;
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}
