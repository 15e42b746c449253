// What the agent and the kernel say to each other, in frames of 4 bytes of length (big-endian) and
// JSON. The reference is kernels/python/soulbox_kernel/protocol.py; this is the same in JavaScript.

/** Of the protocol; told in `ready`. */
export const VERSION = 1;

/** Bytes of JSON in one frame, either way. */
export const FRAME_LIMIT = 32 * 1024 * 1024;

/** Characters of output in one stdout or stderr frame. */
export const PIECE_LIMIT = 64 * 1024;

/** Requests that may wait for the one that runs; those beyond are answered with an error. */
export const WAITING_LIMIT = 64;

const HEADER = 4;

const FIELDS = {
  execute: { code: isText },
  set_env: { env: isObject },
  cd: { path: isText },
};

/** A frame has more bytes than `FRAME_LIMIT`. */
export class FrameTooLarge extends Error {
  constructor(size) {
    super(`a frame of ${size} bytes is larger than ${FRAME_LIMIT} bytes`);
    this.size = size;
  }
}

/** A frame arrived whole, but is not a request. `id` is whom to answer, or null. */
export class BadRequest extends Error {
  constructor(text, id = null) {
    super(text);
    this.id = id;
  }
}

function isText(value) {
  return typeof value === "string";
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The JSON text of a value; lone surrogates, which no strict reader takes, become U+FFFD. */
export function json(value) {
  const text = JSON.stringify(value);
  if (!text.includes("\\ud")) return text;
  // Only lone ones are escaped. Each escape is looked at whole, so that an escaped backslash in
  // front of a "u" is not mistaken for one.
  return text.replace(/\\(?:u(d[89a-f][0-9a-f]{2})|.)/g, (escape, lone) => (lone ? "\ufffd" : escape));
}

/** The bytes of one frame. Throws `FrameTooLarge`. */
export function encode(message) {
  return frame(json(message));
}

/** The bytes of the frame whose JSON is `text`. Throws `FrameTooLarge`. */
export function frame(text) {
  const size = Buffer.byteLength(text);
  if (size > FRAME_LIMIT) throw new FrameTooLarge(size);
  const bytes = Buffer.allocUnsafe(HEADER + size);
  bytes.writeUInt32BE(size, 0);
  bytes.write(text, HEADER);
  return bytes;
}

function checked(message) {
  if (!isObject(message)) throw new BadRequest("a request must be a JSON object");
  const { id, type } = message;
  if (!isText(id)) throw new BadRequest("a request must have an id that is a string");
  const fields = isText(type) && Object.hasOwn(FIELDS, type) ? FIELDS[type] : undefined;
  if (fields === undefined) {
    const known = Object.keys(FIELDS).sort().join(", ");
    throw new BadRequest(`unknown type of request ${String(json(type)).slice(0, 100)}; known are ${known}`, id);
  }
  for (const [name, fits] of Object.entries(fields)) {
    if (!fits(message[name])) throw new BadRequest(`${type} needs a different '${name}'`, id);
  }
  if (message.env != null && !isObject(message.env)) throw new BadRequest("'env' must be an object", id);
  return message;
}

function request(bytes) {
  try {
    return checked(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch (error) {
    return error instanceof BadRequest ? error : new BadRequest(`a request must be JSON: ${error.message}`);
  }
}

/** Makes requests of the bytes that arrive. */
export class Reader {
  #pieces = [];
  #size = 0;

  /**
   * Takes `bytes` and gives what is complete: requests, and `BadRequest`s as values. Throws
   * `FrameTooLarge`; what follows such a length cannot be understood any more.
   */
  feed(bytes) {
    this.#pieces.push(bytes);
    this.#size += bytes.length;
    const complete = [];
    while (this.#size >= HEADER) {
      // Joined only when something can come of it: a large frame arrives in many pieces.
      if (this.#pieces[0].length < HEADER) this.#join();
      const size = this.#pieces[0].readUInt32BE(0);
      if (size > FRAME_LIMIT) throw new FrameTooLarge(size);
      const end = HEADER + size;
      if (this.#size < end) break;
      this.#join();
      const all = this.#pieces[0];
      complete.push(request(all.subarray(HEADER, end)));
      this.#pieces = [all.subarray(end)];
      this.#size -= end;
    }
    return complete;
  }

  #join() {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
  }
}
