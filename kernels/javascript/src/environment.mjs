// Environment variables, set in the process itself and never by code in front of the user's.

import Module from "node:module";

/** Throws TypeError if one of the variables cannot be. */
export function check(values) {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== "string" && value !== null) {
      throw new TypeError(`the value of variable '${name}' must be text`);
    }
    if (name === "" || name.includes("=") || `${name}${value ?? ""}`.includes("\0")) {
      throw new TypeError(`variable '${name}' cannot be set: names have no '=', and neither part a NUL`);
    }
  }
}

/** Sets variables; null takes one away. All of them, or none: throws as `check`. */
export function assign(values) {
  check(values);
  for (const [name, value] of Object.entries(values)) {
    if (value === null) delete process.env[name];
    else process.env[name] = value;
  }
  // Node looks at it when it starts only.
  if ("NODE_PATH" in values) Module._initPaths?.();
}

/** Sets variables, and gives a function that brings back what was before. Throws as `check`. */
export function lend(values) {
  check(values);
  const before = Object.fromEntries(Object.keys(values).map((name) => [name, process.env[name] ?? null]));
  assign(values);
  return () => assign(before);
}
