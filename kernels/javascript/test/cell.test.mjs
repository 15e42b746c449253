// Values, declarations, imports and types: what cells compute.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { directory, start } from "./driver.mjs";

describe("values", () => {
  let kernel;
  before(async () => {
    kernel = await start();
  });
  after(() => kernel.close());

  const value = async (code) => {
    const answer = await kernel.run(code);
    assert.equal(answer.error, undefined, `${code}: ${JSON.stringify(answer.error)}`);
    return answer.text;
  };

  test("the last expression is the value", async () => {
    for (const [code, text] of [
      ["1 + 1", "2"], ["'abc'", "'abc'"], ["null", "null"], ["({ a: 1 })", "{ a: 1 }"], ["undefined", undefined],
      ["", undefined], ["5; const u1 = 6", undefined], ["for (let i = 0; i < 3; i++) i", undefined],
      ["let u2 = 1; u2 += 1; u2;;", "2"], ["if (true) { 7 }", undefined], ["u2 // remark", "2"],
      ["f9(); function f9() { return 9 }", "9"], ["await 5", "5"], ["await (5)\n// remark", "5"],
      ["new Map([[1, 2]])", "Map(1) { 1 => 2 }"], ["Promise.resolve(8)", "8"], ["async function m() { return 'x' }\nm()", "'x'"],
      ["async function adj() { return 1 }await adj()", "1"], ["[1, 2].map(x => x * 2)", "[ 2, 4 ]"],
    ]) {
      assert.equal(await value(code), text, code);
    }
  });

  test("declarations survive and can be made again", async () => {
    await value("const c = 1; let l = 2; var v = 3; class K { m() { return 4 } }\nfunction f() { return c }\n" +
      "const { p, q: [r, ...rest], s = 9 } = { p: 5, q: [6, 7, 8] }; async function g() { return 10 }; function* n() { yield 11 }");
    assert.equal(await value("JSON.stringify([c, l, v, new K().m(), f(), p, r, rest, s, await g(), [...n()], K.name, f.name])"),
      "'[1,2,3,4,1,5,6,[7,8],9,10,[11],\"K\",\"f\"]'");
    await value("let c = 21; const l = 22; function v() { return 23 }; const K = 24; class f { static x = 25 }; var p = 26");
    assert.equal(await value("JSON.stringify([c, l, v(), K, f.x, p])"), "'[21,22,23,24,25,26]'");
  });

  test("a function sees what later cells declare anew", async () => {
    await value("function helper() { return 1 }\nfunction outer() { return helper() }");
    await value("function helper() { return 2 }");
    assert.equal(await value("outer()"), "2");
  });

  test("declarations next to await survive, too", async () => {
    await value("const w1 = await Promise.resolve(1)\nlet [w2] = [await 2];\nfor (var w3 = 0; w3 < 3; w3++) await w3\n" +
      "for (const x of [1]) { var w4 = x }\nfor (var [w8] of [[8]]); for (var { w9 } = { w9: 9 }; w9 < 9;); if (true) var w5 = 5\nclass W6 {}\nfunction w7() { return w1 }");
    assert.equal(await value("JSON.stringify([w1, w2, w3, w4, w5, typeof W6, w7(), w8, w9])"), "'[1,2,3,1,5,\"function\",1,8,9]'");
    assert.equal(await value("#!/usr/bin/env node\nawait 4"), "4");
  });

  test("code without semicolons means what it says", async () => {
    await value("let s1 = 0\nconst s2 = () => { s1++ }\nconst { s3 } = { s3: 3 }\nclass S4 {}\n(function () { s1 = 7 })()\nfunction s5() {} function s6() { return 6 }");
    assert.equal(await value("[s1, s3, s6()].join()"), "'7,3,6'");
  });

  test("a declaration without a value is undefined again", async () => {
    await value("let un = 5");
    assert.equal(await value("let un\ntypeof un"), "'undefined'");
  });

  test("a cell that fails does not take a global name away", async () => {
    await kernel.run("const fetch = require('no-such-module')");
    assert.equal(await value("typeof fetch"), "'function'");
  });

  test("plain values have JSON, too", async () => {
    assert.deepEqual((await kernel.run("({ a: [1, { b: null }], c: NaN, d: undefined })")).main["application/json"],
      { a: [1, { b: null }], c: null });
    assert.equal((await kernel.run("const o = {}; o.o = o; o")).main["application/json"], undefined);
    assert.equal((await kernel.run("let deep = []; for (let i = 0; i < 200; i++) deep = [deep]; deep")).main["application/json"], undefined);
    assert.match((await kernel.run("new Array(1_000_001).fill(0)")).err, /application\/json form of a result was left out/);
    assert.equal((await kernel.run("({ n: 1n })")).main["application/json"], undefined);
  });

  test("rich results", async () => {
    const shown = await kernel.run("display.html('<b>'); display([1]); display({ 'image/png': Buffer.from('x') }, { raw: true }); 5");
    assert.deepEqual(shown.results.map((data) => Object.keys(data)),
      [["text/html"], ["text/plain", "application/json"], ["image/png"], ["text/plain"]]);
    assert.equal(shown.results[2]["image/png"], "eA==");
    assert.deepEqual(shown.frames.filter((f) => f.type === "result").map((f) => f.is_main_result), [false, false, false, true]);
    assert.deepEqual((await kernel.run("$$.html('<i>'); 7")).results, [{ "text/html": "<i>" }]);
    assert.equal((await kernel.run("$$.async(); setTimeout(() => $$.done('late'), 20); 1")).text, "'late'");
    assert.deepEqual((await kernel.run("({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': 'own' }) })")).main, { "text/html": "own" });
    assert.equal((await kernel.run("({ _toSvg() { return '<svg/>' } })")).main["image/svg+xml"], "<svg/>");
  });

  test("a result that is too large is an error, and the kernel goes on", async () => {
    const answer = await kernel.run("'x'.repeat(40e6)");
    assert.equal(answer.error.name, "ResultTooLarge");
    assert.equal(await value("1"), "1");
  });

  test("counts", async () => {
    const first = (await kernel.run("1")).count;
    const counts = [];
    for (const code of ["  ", "(", "2"]) counts.push((await kernel.run(code)).count - first);
    assert.deepEqual(counts, [1, 1, 2]);
    assert.deepEqual((await kernel.run("var silent = 1; silent", { silent: true })).types, ["end"]);
    assert.equal(await value("silent"), "1");
  });
});

describe("modules", () => {
  test("import and require, from the directory and from Node", async (t) => {
    const home = directory(t);
    fs.mkdirSync(path.join(home, "node_modules/both"), { recursive: true });
    fs.writeFileSync(path.join(home, "node_modules/both/package.json"),
      JSON.stringify({ name: "both", exports: { import: "./m.mjs", require: "./c.cjs" } }));
    fs.writeFileSync(path.join(home, "node_modules/both/m.mjs"), "export default 'esm'; export const named = 1; export { named as 'odd name' }");
    fs.writeFileSync(path.join(home, "node_modules/both/c.cjs"), "module.exports = 'cjs'");
    fs.writeFileSync(path.join(home, "local.mjs"), "export const here = import.meta.url; export default 3");
    fs.writeFileSync(path.join(home, "data.json"), "{\"a\": 1}");
    const kernel = await start(t);
    await kernel.ask("cd", { path: home });
    const value = async (code) => {
      const answer = await kernel.run(code);
      assert.equal(answer.error, undefined, `${code}: ${JSON.stringify(answer.error)}`);
      return answer.text;
    };
    const atLeast20 = !process.version.startsWith("v18");
    assert.equal(await value("import fs, { readFileSync as read } from 'fs'\nimport * as p from 'node:path';\nread === fs.readFileSync && p.sep"), "'/'");
    if (atLeast20) assert.equal(await value("import both, { named, 'odd name' as odd } from 'both'\n[both, named, odd].join()"), "'esm,1,1'");
    if (atLeast20) assert.equal(await value("import again from 'npm:both@1.2'; again"), "'esm'");
    assert.equal(await value("require('both') + require('npm:both')"), "'cjscjs'");
    assert.equal(await value("import three from './local.mjs'\nthree + (await import('./local.mjs')).default"), "6");
    assert.equal(await value("const m = await import('./local'); m.default"), "3");
    assert.equal(await value("const load = () => import('node:os'); (await load()).EOL"), "'\\n'");
    assert.equal(await value("require('./data.json').a"), "1");
    assert.equal(await value("export const ex = 1; export default ex + 1"), "2");
    assert.equal(await value("import.meta.dirname === __dirname && import.meta.url.startsWith('file:')"), "true");
    assert.match((await kernel.run("import { nope } from 'node:fs'")).error.value, /does not provide an export named 'nope'/);
    assert.equal((await kernel.run("import x from 'no-such-module'")).error.value.includes("no-such-module"), true);
    assert.equal((await kernel.run("require('no-such-module')")).error.name, "Error");
  });

  test("modules installed for everybody", async (t) => {
    const home = directory(t);
    fs.mkdirSync(path.join(home, "shared"));
    fs.writeFileSync(path.join(home, "shared/everywhere.js"), "module.exports = 'found'");
    const kernel = await start(t, { env: { NODE_PATH: path.join(home, "shared") } });
    assert.equal((await kernel.run("require('everywhere')")).text, "'found'");
    const waiting = await start(t);
    await waiting.ask("set_env", { env: { NODE_PATH: path.join(home, "shared") } });
    assert.equal((await waiting.run("require('everywhere')")).text, "'found'");
    assert.equal((await waiting.run("import everywhere from 'everywhere'; everywhere")).text, "'found'");
  });
});

describe("TypeScript", () => {
  const CODE = "interface A { x: number }\nenum E { P, Q = 5 }\nclass C<T> { constructor(private readonly y: T) {} get() { return this.y } }\n" +
    "const f = <T,>(a: T): T => a;\nlet z = f<string>('s') as unknown as A;\n" +
    "abstract class D extends C<number> { abstract q(): void }\nfunction subtract(x: number, y: number): number { return x - y }\nsubtract(E.P, E.Q)";

  test("in a context of its own", async (t) => {
    const kernel = await start(t, { args: ["--language", "typescript"] });
    assert.equal((await kernel.run(CODE)).text, "-5");
    assert.equal((await kernel.run("f<string>(new C<string>('kept').get()) satisfies string")).text, "'kept'");
    assert.equal((await kernel.run("import type { X } from 'nowhere'; import fs, { Stats, type Y } from 'fs'; const s: Stats | null = null; typeof fs.statSync")).text, "'function'");
    const failed = await kernel.run("type T = number;\n\nconst x: T = null!;\nx.boom");
    assert.match(failed.error.traceback, /In\[4\]:4:3/);
    const wrong = await kernel.run("let ok = 1;\nlet x: = 5");
    assert.equal(wrong.error.name, "SyntaxError");
    assert.match(wrong.error.traceback, /In\[5\]:2\nlet x: = 5\n/);
  });

  test("by the cell, and where JavaScript was expected", async (t) => {
    const kernel = await start(t);
    assert.equal((await kernel.run("const id = <T>(a: T): T => a; id<number>(5)", { language: "typescript" })).text, "5");
    for (const code of ["let a = 1;\nnamespace N { export const x = 1 }", "export namespace N.M { const y = 1 }"]) {
      const { error } = await kernel.run(code, { language: "typescript" });
      assert.equal(error.name, "SyntaxError");
      assert.match(error.value, /namespaces are not supported/);
    }
    for (const code of ["declare namespace N { namespace M { const x: 1 } }\n1", "const namespace = 1; namespace", "declare module 'm' { }\n1"]) {
      assert.equal((await kernel.run(code, { language: "typescript" })).text, "1", code);
    }
    assert.equal((await kernel.run("const typed: number = 6; typed")).text, "6");
    assert.equal((await kernel.run("1", { language: "cobol" })).error.name, "TypeError");
  });
});
