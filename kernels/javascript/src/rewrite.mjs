// A cell's code made ready to run: its declarations survive it, `import` and `await` work at its top.
//
// All names that a cell declares at its top become variables of the global scope, which later
// scripts see and may declare again. `const x = 1` becomes `;     x = 1`, `class A` becomes
// `A=class` and `function f` becomes `f=function`: the new text is as long as the old one, so that
// lines and columns in tracebacks are the user's own. Where something must be put in besides, how
// much and where is remembered.

import { parse } from "acorn";

/** Name of the function that cells import with, as long as the word `import`. */
export const IMPORT = "impor$";

const OPTIONS = {
  ecmaVersion: "latest",
  sourceType: "script",
  allowImportExportEverywhere: true,
  allowAwaitOutsideFunction: true,
  allowHashBang: true,
};

/** Nodes whose `var` and `await` are their own. */
const BOUNDARIES = new Set([
  "FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression", "PropertyDefinition", "StaticBlock",
]);

/**
 * What a cell is made of:
 * `functions` – a script that defines its functions, or null; `body` – the script that is the rest;
 * `isAsync` – whether the body is a promise; `hasValue` – whether the body's value is the cell's;
 * `names` – what it declares; `reset` – those declared without a value; `imports` – its imports;
 * `inserted` – `{line, column, length}` of text put in, for `original`.
 */
export function rewrite(code, number) {
  const program = parse(code, OPTIONS);
  const cell = new Rewriting(code, number);
  // Only at the very start of a script, where the code may not stay.
  const bang = /^#!.*/.exec(code);
  if (bang !== null) cell.blank(0, bang[0].length);
  for (const statement of program.body) cell.statement(statement);
  return cell.finish(program);
}

class Rewriting {
  edits = [];
  functions = [];
  names = new Set();
  reset = new Set();
  imports = [];
  isAsync = false;

  constructor(code, number) {
    this.code = code;
    this.number = number;
  }

  statement(node) {
    switch (node.type) {
      case "ImportDeclaration":
        this.imports.push(importOf(node));
        return this.blank(node.start, node.end);
      case "ExportAllDeclaration":
        this.imports.push({ source: node.source.value, attributes: attributesOf(node), bindings: [] });
        return this.blank(node.start, node.end);
      case "ExportNamedDeclaration":
        return this.exported(node);
      case "ExportDefaultDeclaration":
        return this.exportedDefault(node);
      case "FunctionDeclaration":
        return this.function(node);
      case "ClassDeclaration":
        return this.class(node);
      case "VariableDeclaration":
        return this.variables(node, null, ";");
      default:
        return this.walk(node, null, false);
    }
  }

  exported(node) {
    if (node.declaration) {
      this.blank(node.start, node.declaration.start);
      return this.statement(node.declaration);
    }
    if (node.source) this.imports.push({ source: node.source.value, attributes: attributesOf(node), bindings: [] });
    return this.blank(node.start, node.end);
  }

  exportedDefault(node) {
    const inner = node.declaration;
    if (inner.id && /Declaration$/.test(inner.type)) {
      this.blank(node.start, inner.start);
      return this.statement(inner);
    }
    this.replace(node.start, inner.start, ";(".padEnd(inner.start - node.start));
    this.insert(inner.end, ");");
    return this.walk(inner, node, false);
  }

  function(node) {
    this.names.add(node.id.name);
    this.functions.push(node);
    this.walk(node, null, false);
  }

  class(node) {
    this.names.add(node.id.name);
    const head = `${node.id.name}=class`;
    this.replace(node.start, node.id.end, head.padEnd(node.id.end - node.start));
    this.insert(node.end, ";");
    this.walk(node, null, false);
  }

  /** Makes a declaration an expression that begins with `first`; in the head of a loop, a target. */
  variables(node, parent, first) {
    if (/using$/.test(node.kind)) return this.walk(node, null, false);
    for (const { id, init } of node.declarations) {
      collect(id, this.names);
      if (init === null && node.kind === "let" && id.type === "Identifier") this.reset.add(id.name);
    }
    const start = node.declarations[0].start;
    const isTarget = /^For(In|Of)Statement$/.test(parent?.type ?? "");
    const braces = !isTarget && node.declarations.some(({ id }) => id.type !== "Identifier");
    this.replace(node.start, start, (first + (braces ? "(" : "")).padEnd(start - node.start));
    if (braces) this.insert(node.declarations.at(-1).end, ")");
    for (const declaration of node.declarations) this.walk(declaration, node, false);
    return undefined;
  }

  /** Looks below `node` for what has to change there; `inner` is whether a function is around it. */
  walk(node, parent, inner) {
    if (BOUNDARIES.has(node.type)) inner = true;
    switch (node.type) {
      case "ImportExpression":
        this.replace(node.start, node.start + 6, IMPORT);
        break;
      case "MetaProperty":
        if (node.meta.name === "import") this.replace(node.start, node.start + 6, IMPORT);
        break;
      case "AwaitExpression":
        if (!inner) this.await(node);
        break;
      case "ForOfStatement":
        if (!inner && node.await) this.isAsync = true;
        break;
      case "VariableDeclaration":
        if (!inner && node.kind === "var") return this.variables(node, parent, atStart(parent) ? ";" : "");
        if (!inner && node.kind === "await using") this.isAsync = true;
        break;
      default:
    }
    for (const key of Object.keys(node)) {
      const below = node[key];
      if (Array.isArray(below)) {
        for (const one of below) if (one && typeof one.type === "string") this.walk(one, node, inner);
      } else if (below && typeof below.type === "string") {
        this.walk(below, node, inner);
      }
    }
    return undefined;
  }

  /** An interrupted cell does not go on behind its next `await`, nor does it begin another one. */
  await(node) {
    this.isAsync = true;
    this.insert(node.start + "await".length, ` ${IMPORT}.on(${this.number},`);
    this.insert(node.end, ")");
  }

  blank(start, end) {
    this.replace(start, end, this.code.slice(start, end).replace(/[^\n\r\u2028\u2029]/g, " "));
  }

  replace(start, end, text) {
    // Comments between the words of a declaration may hold lines.
    if (text.length === end - start && !/[\n\r\u2028\u2029]/.test(text)) {
      const old = this.code.slice(start, end);
      if (/[\n\r\u2028\u2029]/.test(old)) text = `${text.trimEnd()}${old.replace(/[^\n\r\u2028\u2029]/g, "")}`;
    }
    this.edits.push({ start, end, text });
  }

  insert(at, text) {
    this.edits.push({ start: at, end: at, text });
  }

  finish(program) {
    const last = program.body.filter((node) => !/^(Function|Empty|Import|ExportAll)/.test(node.type)).at(-1);
    const hasValue = last?.type === "ExpressionStatement" ||
      (last?.type === "ExportDefaultDeclaration" && !last.declaration.id);
    this.isAsync ||= this.imports.length > 0;
    if (hasValue && this.isAsync && last.type === "ExpressionStatement") {
      const semicolon = this.code[last.end - 1] === ";" ? 1 : 0;
      this.edits.unshift({ start: last.start, end: last.start, text: "return (" });
      this.edits.push({ start: last.end - semicolon, end: last.end - semicolon, text: ")" });
    } else if (hasValue && this.isAsync) {
      this.edits.find(({ start }) => start === last.start).text = "return(".padEnd(last.declaration.start - last.start);
    }
    // What is put in right before or behind a function is not its own.
    const within = (node) => (edit) => edit.start > node.start && edit.end < node.end;
    const ofFunctions = this.functions.map((node) => this.edits.filter(within(node)));
    const rest = this.edits.filter((edit) => !this.functions.some((node) => within(node)(edit)));
    const inserted = [];
    return {
      functions: this.functions.length === 0 ? null : this.#define(ofFunctions, inserted),
      body: this.#apply([...rest, ...this.functions.map((node) => this.#blanked(node))], 0, this.code.length, inserted),
      isAsync: this.isAsync,
      hasValue,
      names: this.names,
      reset: this.reset,
      imports: this.imports,
      inserted,
    };
  }

  #blanked(node) {
    return { start: node.start, end: node.end, text: spaces(this.code.slice(node.start, node.end)) };
  }

  /** Only the functions, each where it was. Inside, a function's name is the global variable. */
  #define(edits, inserted) {
    let text = "";
    let at = 0;
    this.functions.forEach((node, index) => {
      const head = this.code.slice(node.start, node.id.start);
      const named = `${node.id.name}=${head.trimEnd()}`;
      // As long as before if one blank was in front of the name.
      const own = { start: node.start, end: node.id.end, text: named.padEnd(node.id.end - node.start) };
      text += spaces(this.code.slice(at, node.start));
      text += `${this.#apply([own, ...edits[index]], node.start, node.end, inserted)};`;
      at = node.end;
    });
    return text;
  }

  #apply(edits, from, to, inserted) {
    // Edits at one place stay in the order in which they were made.
    const sorted = [...edits].sort((one, other) => one.start - other.start);
    let text = "";
    let at = from;
    for (const edit of sorted) {
      text += this.code.slice(at, edit.start) + edit.text;
      if (edit.start === edit.end) inserted.push({ ...placeOf(this.code, edit.start), length: edit.text.length });
      at = edit.end;
    }
    return text + this.code.slice(at, to);
  }
}

function spaces(text) {
  return text.replace(/[^\n\r\u2028\u2029]/g, " ");
}

/** Line and column, from 1, of an offset. */
export function placeOf(code, offset) {
  const before = code.slice(0, offset);
  const line = before.split(/\r\n|[\n\r\u2028\u2029]/).length;
  const start = Math.max(...["\n", "\r", "\u2028", "\u2029"].map((end) => before.lastIndexOf(end))) + 1;
  return { line, column: offset - start + 1 };
}

/** The user's column for a column of the code that runs. */
export function original(inserted, line, column) {
  const here = inserted.filter((one) => one.line === line).sort((one, other) => one.column - other.column);
  let shift = 0;
  for (const { column: at, length } of here) {
    if (at + shift + length <= column) shift += length;
    else if (at + shift < column) return at;
  }
  return column - shift;
}

/** Whether a statement may begin with a semicolon: not as the only one of an `if` or loop. */
function atStart(parent) {
  return parent !== null && /^(Program|BlockStatement|SwitchCase)$/.test(parent.type);
}

function collect(pattern, names) {
  switch (pattern?.type) {
    case "Identifier":
      names.add(pattern.name);
      break;
    case "ObjectPattern":
      for (const property of pattern.properties) collect(property.value ?? property.argument, names);
      break;
    case "ArrayPattern":
      for (const element of pattern.elements) collect(element, names);
      break;
    case "RestElement":
      collect(pattern.argument, names);
      break;
    case "AssignmentPattern":
      collect(pattern.left, names);
      break;
    default:
  }
}

/** Imports that name no export: of the default one, and of the whole module (null). */
const UNNAMED = { ImportDefaultSpecifier: "default", ImportNamespaceSpecifier: null };

function importOf(node) {
  const bindings = node.specifiers.map(({ type, local, imported }) => ({
    local: local.name,
    // A string may name an export, too.
    imported: type in UNNAMED ? UNNAMED[type] : imported.name ?? imported.value,
  }));
  return { source: node.source.value, attributes: attributesOf(node), bindings };
}

function attributesOf(node) {
  const attributes = node.attributes ?? [];
  return Object.fromEntries(attributes.map(({ key, value }) => [key.name ?? key.value, value.value]));
}
