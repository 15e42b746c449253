// Values on their way to the agent: MIME bundles that fit into a frame.

import util from "node:util";

import { FRAME_LIMIT, json } from "./protocol.mjs";

/** Nesting of a value's JSON form. Common JSON readers stop at 128, and the frame counts too. */
const DEPTH_LIMIT = 100;

/** Values in one JSON form, about 20 MB. Beyond, text has to do. */
const VALUES_LIMIT = 1_000_000;

/** Forms that a too large result can do without, since it has others. */
const STRUCTURED = ["e2b/data", "application/json"];

/** Room for what is around the data of a result. */
const AROUND = 4096;

/** Jupyter kernels for JavaScript ask a value for its forms by this symbol. */
const FORMS = Symbol.for("Jupyter.display");

/** And by these methods. */
const METHODS = {
  _toHtml: "text/html",
  _toSvg: "image/svg+xml",
  _toPng: "image/png",
  _toJpeg: "image/jpeg",
  _toMarkdown: "text/markdown",
  _toJson: "application/json",
};

/** What `display.html` and its like send. */
export const SHORT = {
  text: "text/plain",
  html: "text/html",
  markdown: "text/markdown",
  latex: "text/latex",
  javascript: "application/javascript",
  svg: "image/svg+xml",
  png: "image/png",
  jpeg: "image/jpeg",
  pdf: "application/pdf",
  json: "application/json",
};

/** A value's text, as Node shows it, but whole. */
export function text(value) {
  return util.inspect(value, { maxArrayLength: null, maxStringLength: null });
}

/**
 * All forms of a value; a promise of them if the value makes its own in its own time. `note` is
 * called with a remark if one had to be left out.
 */
export function formsOf(value, note) {
  if (value !== null && (typeof value === "object" || typeof value === "function")) {
    const own = value[FORMS] ?? value._toMime;
    if (typeof own === "function") {
      const made = own.call(value);
      return util.types.isPromise(made) ? made.then(encoded) : encoded(made);
    }
    const forms = Object.entries(METHODS).filter(([method]) => typeof value[method] === "function");
    if (forms.length > 0) {
      return { "text/plain": text(value), ...encoded(Object.fromEntries(forms.map(([m, mime]) => [mime, value[m]()]))) };
    }
  }
  const data = { "text/plain": text(value) };
  const plain = plainOf(value, note);
  if (plain !== undefined) data["application/json"] = plain;
  return data;
}

/** A bundle of the user's: bytes become base64. */
export function encoded(bundle) {
  const clean = {};
  for (const [mime, value] of Object.entries(bundle ?? {})) {
    if (value === undefined || value === null) continue;
    clean[mime] = ArrayBuffer.isView(value)
      ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")
      : value;
  }
  return clean;
}

function plainOf(value, note) {
  const proto = value !== null && typeof value === "object" ? Object.getPrototypeOf(value) : undefined;
  if (!Array.isArray(value) && proto !== Object.prototype && proto !== null) return undefined;
  if (proto === undefined) return undefined;
  const left = { values: VALUES_LIMIT };
  try {
    count(value, DEPTH_LIMIT, left);
    return JSON.stringify(value) === undefined ? undefined : value;
  } catch {
    if (left.values < 0) note(`the application/json form of a result was left out: it has more than ${VALUES_LIMIT} values`);
    return undefined;
  }
}

function count(value, depth, left) {
  left.values -= 1;
  if (left.values < 0 || depth < 0) throw new RangeError("too large");
  if (typeof value === "object" && value !== null) {
    for (const key in value) count(value[key], depth - 1, left);
  }
}

/** The JSON of a bundle that fits into a frame, or an error's `size` in place of it. */
export function fitting(bundle, note) {
  const whole = json(bundle);
  const size = Buffer.byteLength(whole);
  if (size <= FRAME_LIMIT - AROUND) return { json: whole };
  const smaller = Object.fromEntries(Object.entries(bundle).filter(([mime]) => !STRUCTURED.includes(mime)));
  const rest = json(smaller);
  if (Object.keys(smaller).length === 0 || Buffer.byteLength(rest) > FRAME_LIMIT - AROUND) return { size };
  note(`a result of ${size} bytes is larger than ${FRAME_LIMIT} bytes; only its text forms are shown`);
  return { json: rest };
}
