// The global scope that all cells share: the variables they declare, and what the kernel puts there.

import vm from "node:vm";

import { IMPORT } from "./rewrite.mjs";

const declared = new Set();

/**
 * Declares what a cell declares. A new name begins with what the global object has by that name, so
 * that a cell that fails does not take `fetch` away; `reset` ones become undefined.
 */
export function declare(names, reset) {
  const fresh = [...names].filter((name) => !declared.has(name));
  if (fresh.length > 0) {
    run(`let ${fresh.join(", ")};`);
    fresh.forEach((name) => declared.add(name));
    const known = fresh.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)?.value]);
    assign(known.filter(([, value]) => value !== undefined));
  }
  const again = [...reset].filter((name) => !fresh.includes(name));
  assign(again.map((name) => [name, undefined]));
}

/** Gives variables that are declared their values: pairs of a name and a value. */
export function assign(pairs) {
  if (pairs.length === 0) return;
  run(`(values => { [${pairs.map(([name]) => name).join(", ")}] = values; })`)(pairs.map(([, value]) => value));
}

function run(code) {
  return new vm.Script(code, { filename: "declarations" }).runInThisContext();
}

/** Puts something into the global scope that cells may replace, but need not see in a listing. */
export function provide(name, value) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

/** As `provide`, for what depends on when it is looked at. */
export function provideLive(name, get) {
  const set = (value) => provide(name, value);
  Object.defineProperty(globalThis, name, { get, set, configurable: true, enumerable: false });
}

/** The function that cells import with, and the rest of what their rewritten code needs. */
export function provideImport(importModule, meta, on) {
  const value = Object.assign((name, options) => importModule(name, options), { on });
  Object.defineProperty(value, "meta", { get: meta });
  Object.defineProperty(globalThis, IMPORT, { value });
}
