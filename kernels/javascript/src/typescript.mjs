// TypeScript becomes JavaScript by taking its types away: nothing is checked. Lines stay where they
// are. Loaded when first needed, or ahead in a process that waits for TypeScript.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
let transform = null;

/** Loads what takes types away. */
export function load() {
  ({ transform } = require("sucrase"));
}

/** The JavaScript of a cell of TypeScript. Throws an error with `loc` for what is neither. */
export function strip(code) {
  if (transform === null) load();
  const options = { transforms: ["typescript"], disableESTransforms: true, keepUnusedImports: true };
  return transform(code, options).code;
}
