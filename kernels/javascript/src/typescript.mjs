// TypeScript becomes JavaScript by taking its types away: nothing is checked. Lines stay where they
// are. Loaded when first needed, or ahead in a process that waits for TypeScript.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
let transform = null;
let namespaceIn = null;

/** Words that namespaces begin with. */
const NAMESPACE = /\b(?:namespace|module)\b/;

/** Loads what takes types away. */
export function load() {
  ({ transform } = require("sucrase"));
}

/** A search for the first namespace that has code, by the parser of what takes types away. */
function search() {
  const { parse } = require("sucrase/dist/parser/index.js");
  const { ContextualKeyword: word } = require("sucrase/dist/parser/tokenizer/keywords.js");
  const { TokenType: kind } = require("sucrase/dist/parser/tokenizer/types.js");
  return (code) => {
    const { tokens } = parse(code, false, true, false);
    let depth = 0;
    // How deep the declaration stands that is being read: what is only declared has no code.
    let declared = null;
    for (const [at, token] of tokens.entries()) {
      if (token.type === kind.braceL || token.type === kind.dollarBraceL) depth += 1;
      if (token.type === kind.braceR && (depth -= 1) === declared) declared = null;
      const begins = token.contextualKeyword === word._namespace || token.contextualKeyword === word._module;
      const named = tokens[at + 1]?.type === kind.name && [kind.braceL, kind.dot].includes(tokens[at + 2]?.type);
      if (!begins || !token.isType || !named || declared !== null) continue;
      if (tokens[at - 1]?.contextualKeyword !== word._declare) return token.start;
      declared = depth;
    }
    return null;
  };
}

/** What takes types away leaves namespaces out without a word. */
function refuseNamespaces(code) {
  namespaceIn ??= search();
  const start = namespaceIn(code);
  if (start === null) return;
  const before = code.slice(0, start).split("\n");
  const error = new Error("namespaces are not supported: use a module, or an object with the same members");
  error.loc = { line: before.length, column: before.at(-1).length };
  throw error;
}

/** The JavaScript of a cell of TypeScript. Throws an error with `loc` for what is neither. */
export function strip(code) {
  if (transform === null) load();
  const options = { transforms: ["typescript"], disableESTransforms: true, keepUnusedImports: true };
  const { code: without } = transform(code, options);
  if (NAMESPACE.test(code)) refuseNamespaces(code);
  return without;
}
