// `require` and `import` of cells: relative to the working directory, then in the directories of
// modules that are installed for everybody.

import fs from "node:fs";
import Module, { createRequire, isBuiltin } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import vm from "node:vm";

/** Name that a cell has as a file of the working directory. */
const CELL = "[cell]";

/** Directories with a `node_modules` for everybody: beside Node itself, and where Debian has it. */
function shared() {
  const prefix = path.dirname(path.dirname(process.execPath));
  const places = [path.join(prefix, "lib"), "/usr/local/lib", "/usr/lib", "/usr/share/nodejs/.."];
  return [...new Set(places)].filter((place) => fs.existsSync(path.join(place, "node_modules")));
}

const ENDINGS = [".mjs", ".js", ".cjs", ".json", ".ts", "/index.mjs", "/index.js", "/index.cjs"];

let places = null;

function bases() {
  places ??= shared();
  return [process.cwd(), ...places];
}

/** `npm:name@version`, as Deno writes it, is `name`: what is installed is what there is. */
function plainName(specifier) {
  if (!specifier.startsWith("npm:")) return specifier;
  return specifier.slice(4).replace(/^(@[^/]+\/[^/@]+|[^/@]+)@[^/]*/, "$1");
}

function isBare(specifier) {
  return !/^(\.{0,2}\/|\.{1,2}$|[a-z]+:)/i.test(specifier);
}

function isMissing(error, name) {
  return (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") &&
    String(error.message).includes(`'${name.split("/")[0]}`);
}

/** Tries `find` with each base until one has the module; else throws what the first one threw. */
function first(name, find) {
  let failure = null;
  for (const base of isBare(name) && !isBuiltin(name) ? bases() : [process.cwd()]) {
    try {
      return find(createRequire(path.join(base, CELL)));
    } catch (error) {
      failure ??= error;
      if (!isMissing(error, name)) throw error;
    }
  }
  throw failure;
}

/** The `require` of cells. */
export function makeRequire() {
  const require = (name) => first(plainName(String(name)), (of) => of(plainName(String(name))));
  require.resolve = (name, options) => first(plainName(String(name)), (of) => of.resolve(plainName(String(name)), options));
  require.resolve.paths = (name) => createRequire(path.join(process.cwd(), CELL)).resolve.paths(name);
  require.cache = Module._cache;
  require.extensions = Module._extensions;
  require.main = undefined;
  return require;
}

const importers = new Map();

/** A function that imports as a file in directory `base` would; null where Node has no such thing. */
function importerOf(base) {
  const loader = vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  if (loader === undefined) return null;
  let made = importers.get(base);
  if (made === undefined) {
    const options = { filename: path.join(base, CELL), importModuleDynamically: loader };
    made = new vm.Script("(name, options) => import(name, options)", options).runInThisContext();
    importers.set(base, made);
  }
  return made;
}

async function importFrom(base, name, options) {
  const importer = importerOf(base);
  if (importer !== null) return importer(name, options);
  // What Node 18 can: the file that `require` would load, which is the same but for packages that
  // have one for each.
  return import(pathToFileURL(createRequire(path.join(base, CELL)).resolve(name)).href, options);
}

/** Imports a module for a cell; gives its namespace. */
export async function importModule(specifier, options) {
  const name = plainName(String(specifier));
  if (isBuiltin(name)) return import(name);
  if (!isBare(name)) return importFile(name, options);
  let failure = null;
  for (const base of bases()) {
    try {
      return await importFrom(base, name, options);
    } catch (error) {
      failure ??= error;
      if (!isMissing(error, name)) throw error;
    }
  }
  return importRequired(name, options, failure);
}

/** What only `require` finds: `import` does not look at NODE_PATH. */
function importRequired(name, options, failure) {
  let found;
  try {
    found = createRequire(path.join(process.cwd(), CELL)).resolve(name);
  } catch {
    throw failure;
  }
  return import(pathToFileURL(found).href, options);
}

function importFile(name, options) {
  if (/^[a-z]+:/i.test(name)) return import(name, options);
  const exact = path.resolve(name);
  if (fs.existsSync(exact) && fs.statSync(exact).isFile()) return import(pathToFileURL(exact).href, options);
  // Without its ending, as CommonJS and TypeScript write it; with none, Node says what is missing.
  const found = ENDINGS.map((ending) => exact + ending).find((file) => fs.existsSync(file));
  return import(pathToFileURL(found ?? exact).href, options);
}

/** Does the `import` declarations of a cell; gives pairs of a name and its value. */
export async function importAll(imports, lenient) {
  const pairs = [];
  for (const { source, attributes, bindings } of imports) {
    const options = Object.keys(attributes).length > 0 ? { with: attributes, assert: attributes } : undefined;
    const module = await importModule(source, options);
    for (const { local, imported } of bindings) {
      // Of TypeScript's types nothing is left, but the names of some are still imported.
      if (imported !== null && !(imported in module) && !lenient) {
        throw new SyntaxError(`The requested module '${source}' does not provide an export named '${imported}'`);
      }
      pairs.push([local, imported === null ? module : module[imported]]);
    }
  }
  return pairs;
}
