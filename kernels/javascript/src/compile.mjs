// From the text of a cell to scripts that can run.

import vm from "node:vm";

import { rewrite } from "./rewrite.mjs";
import { strip } from "./typescript.mjs";

/** Cells whose columns are remembered. Tracebacks of older ones may be some columns off. */
const REMEMBERED = 1000;

const known = new Map();

/** Of file `name`: what was put `inserted` into its code, for `original`, and how many `lines` it has. */
export function about(name) {
  return known.get(name) ?? { inserted: [], lines: Infinity };
}

function remember(name, program, code) {
  known.delete(name);
  // Behind the last line is only what the kernel has put around the code.
  known.set(name, { inserted: program.inserted, lines: code.split("\n").length });
  if (known.size > REMEMBERED) known.delete(known.keys().next().value);
}

/**
 * The scripts of a cell. `serial` is its number among all, `name` what tracebacks call it.
 * Throws SyntaxError in the words of V8.
 */
export function compile(code, language, serial, name) {
  const program = understand(code, language, serial, name);
  if (program.isAsync || program.inserted.length > 0) remember(name, program, code);
  const body = program.isAsync ? wrapped(program.body) : program.body;
  return {
    ...program,
    functions: program.functions && new vm.Script(program.functions, { filename: name }),
    body: new vm.Script(body, { filename: name, lineOffset: program.isAsync ? -1 : 0 }),
  };
}

/** A function around the code, on lines of its own so that those of the code keep their numbers. */
function wrapped(code) {
  return `(async () => {\n${code}\n})()`;
}

function understand(code, language, serial, name) {
  if (language === "typescript") return understood(stripped(code, name), serial, name);
  try {
    return rewrite(code, serial);
  } catch (error) {
    // People write types in cells of JavaScript, too.
    let without;
    try {
      without = rewrite(strip(code), serial);
    } catch {
      return otherwise(code, error, name);
    }
    return without;
  }
}

function stripped(code, name) {
  try {
    return strip(code);
  } catch (error) {
    throw syntaxError(code, error, name);
  }
}

function understood(code, serial, name) {
  try {
    return rewrite(code, serial);
  } catch (error) {
    return otherwise(code, error, name);
  }
}

/** For what the parser refuses: V8 may know more, and if it refuses too its words are the best. */
function otherwise(code, error, name) {
  try {
    new vm.Script(code, { filename: name });
  } catch {
    throw byV8(code, name) ?? syntaxError(code, error, name);
  }
  return {
    functions: null, body: code, isAsync: false, hasValue: true, names: new Set(), reset: new Set(), imports: [],
    inserted: [],
  };
}

function byV8(code, name) {
  try {
    new vm.Script(wrapped(code), { filename: name, lineOffset: -1 });
  } catch (error) {
    // It does not know that cells may import.
    if (!/import|export/.test(error.message)) return error;
  }
  return null;
}

function syntaxError(code, error, name) {
  const message = String(error.message).replace(/^Error transforming[^:]*: /, "").replace(/ \(\d+:\d+\)$/, "");
  const made = new SyntaxError(message.replace(/^SyntaxError: /, ""));
  const { line, column } = error.loc ?? { line: 1, column: 0 };
  const text = code.split(/\r\n|[\n\r\u2028\u2029]/)[line - 1] ?? "";
  made.stack = `${name}:${line}\n${text}\n${" ".repeat(Math.min(column, text.length))}^\n\n${made.name}: ${made.message}`;
  return made;
}
