// How a cell fails, in words: name, text and traceback of what was thrown.

import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import util from "node:util";

import { about } from "./compile.mjs";
import { original } from "./rewrite.mjs";

const NAME_LIMIT = 1024;
const VALUE_LIMIT = 256 * 1024;
const TRACEBACK_LIMIT = 1024 * 1024;

const HOME = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const OURS = [HOME + path.sep, pathToFileURL(HOME).href + "/"];

/** The error frame's parts for whatever a cell has thrown. */
export function describe(thrown) {
  if (!isError(thrown)) {
    const text = shown(thrown);
    return bounded("Error", text, `Uncaught ${text}`);
  }
  return bounded(property(thrown, "name") || "Error", property(thrown, "message"), traceback(thrown));
}

/** A thrown value as Node shows it, without the kernel's own frames. */
export function traceback(thrown) {
  return clean(shown(thrown));
}

/** Error parts, none longer than it may be. */
export function bounded(name, value, trace) {
  return {
    name: clipped(name, NAME_LIMIT),
    value: clipped(value, VALUE_LIMIT),
    traceback: clipped(trace, TRACEBACK_LIMIT),
  };
}

function isError(value) {
  return util.types.isNativeError(value) || value instanceof Error;
}

function property(error, name) {
  try {
    return String(error[name] ?? "");
  } catch {
    return "";
  }
}

function shown(value) {
  try {
    const text = util.inspect(value);
    // Node puts errors without frames into brackets.
    return isError(value) && text === `[${value.stack}]` ? value.stack : text;
  } catch (error) {
    return `<a value that cannot be shown: ${property(error, "message")}>`;
  }
}

function clipped(text, limit) {
  if (text.length <= limit) return text;
  const half = limit / 2;
  return `${text.slice(0, half)}\n[... ${text.length - limit} characters left out ...]\n${text.slice(-half)}`;
}

/** Whether a frame of a traceback is the kernel's own. */
export function isOurs(frame) {
  return OURS.some((place) => frame.includes(place));
}

/** Leaves out the kernel's frames and those below them, and gives columns as the user counts them. */
function clean(text) {
  const lines = [];
  // Frames since the last line that is none.
  let frames = [];
  let cut = false;
  for (const line of text.split("\n")) {
    if (!/^\s+at /.test(line)) {
      lines.push(...frames, mapped(line));
      frames = [];
      cut = false;
      continue;
    }
    const hidden = isOurs(line) || isBehind(line);
    if (hidden && !/^\s+at async /.test(line)) {
      while (frames.length > 0 && /\(?node:/.test(frames.at(-1))) frames.pop();
      cut = true;
    }
    if (!cut && !hidden) {
      frames.push(mapped(line));
    } else if (line.endsWith(" {")) {
      // An error's properties begin in the line of its last frame.
      const kept = frames.length > 0 ? frames : lines;
      kept.push(`${kept.pop() ?? ""} {`);
    }
  }
  return [...lines, ...frames].join("\n").trimEnd();
}

/** Whether a frame is the call of a cell that the kernel has put behind its code. */
function isBehind(line) {
  const [, name, row] = /(In\[\w+\]):(\d+):\d+\)?(?: \{)?$/.exec(line) ?? [];
  return name !== undefined && Number(row) > about(name).lines;
}

function mapped(line) {
  return line.replace(/(In\[\w+\]):(\d+):(\d+)/g, (_, name, row, column) =>
    `${name}:${row}:${original(about(name).inserted, Number(row), Number(column))}`);
}
