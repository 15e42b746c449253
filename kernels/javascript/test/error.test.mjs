// How cells fail.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { MAIN, start } from "./driver.mjs";

const HOME = MAIN.replace("main.mjs", "");

describe("errors", () => {
  let kernel;
  before(async () => {
    kernel = await start();
  });
  after(() => kernel.close());

  const failure = async (code) => {
    const answer = await kernel.run(code);
    assert.equal(answer.status, "error", code);
    assert.equal(answer.types.filter((type) => type === "error").length, 1);
    assert.ok(!answer.error.traceback.includes(HOME), answer.error.traceback);
    return { ...answer.error, n: answer.count, out: answer.out, err: answer.err };
  };

  test("name, value and a traceback of the user's lines only", async () => {
    const error = await failure("function f() {\n  throw new TypeError('bad')\n}\n\nf()");
    assert.deepEqual([error.name, error.value], ["TypeError", "bad"]);
    assert.equal(error.traceback, `TypeError: bad\n    at f (In[${error.n}]:2:9)\n    at In[${error.n}]:5:1`);
  });

  test("columns and lines are the user's beside await, imports and patterns", async () => {
    for (const [code, place] of [
      ["await 1; null.x", "1:15"], ["const { a } = { a: 1 }; null.x", "1:30"], ["import fs from 'fs'; null.x", "1:27"],
      ["await 1\n\nclass A {} null.x", "3:17"], ["let q = 1;\nawait (await 2); (await 3, null).x", "2:34"],
      ["const b = 1, [c] = [2]\n  ; null.x", "2:10"], ["async   function  s() { null.x }; await s()", "1:30"],
      ["export const e = null.x", "1:23"], ["await null.x", "1:12"],
    ]) {
      const error = await failure(code);
      assert.match(error.traceback, new RegExp(`In\\[${error.n}\\]:${place}\\b`), `${code}\n${error.traceback}`);
    }
  });

  test("of asynchronous code", async () => {
    const error = await failure("async function inner() {\n  await null\n  throw new RangeError('deep')\n}\nasync function outer() {\n  await inner()\n}\nawait outer()");
    assert.match(error.traceback, /^RangeError: deep\n    at inner \(In\[\d+\]:3:9\)\n    at async outer \(In\[\d+\]:6:3\)\n    at async In\[\d+\]:8:1$/);
    assert.equal((await failure("async function main() { throw new Error('not awaited') }\nmain()")).value, "not awaited");
  });

  test("causes, properties and whatever is thrown", async () => {
    const error = await failure("throw Object.assign(new Error('top', { cause: new Error('below') }), { code: 'E1' })");
    assert.match(error.traceback, /\[cause\]: Error: below\n/);
    assert.match(error.traceback, /code: 'E1'/);
    assert.deepEqual([(await failure("throw 'text'")).value, (await failure("throw null")).value], ["'text'", "null"]);
    assert.equal((await failure("class Own extends Error { name = 'Own' }; throw new Own('x')")).name, "Own");
    await failure("throw new Proxy(new Error('x'), { get() { throw 1 } })");
    await failure("throw { get [Symbol.toStringTag]() { throw 1 }, [require('util').inspect.custom]() { throw 2 } }");
    assert.match((await failure("throw new Error('y'.repeat(1e6))")).value, /characters left out/);
    assert.match((await failure("function r() { r() }; r()")).value, /Maximum call stack/);
    assert.match((await failure("JSON.parse('{')")).traceback, /^SyntaxError: /);
  });

  test("syntax errors tell the place in V8's words", async () => {
    const error = await failure("let fine = 1\nlet x = ;\n");
    assert.deepEqual([error.name, error.value], ["SyntaxError", "Unexpected token ';'"]);
    assert.match(error.traceback, new RegExp(`^In\\[${error.n}\\]:2\nlet x = ;\n        \\^\n\nSyntaxError: Unexpected token ';'`));
    assert.match((await failure("await 1;\nimport fs from 'fs'\nfoo(")).traceback, /^In\[\d+\]:\d\n/);
    assert.equal((await failure("return 5")).name, "SyntaxError");
    assert.match((await failure("let dup = 1; let dup = 2")).value, /already been declared/);
    assert.equal((await failure("let undefined = 1")).name, "SyntaxError");
    assert.equal((await kernel.run("fine")).error?.name, "ReferenceError");
  });

  test("a later part of the output comes before the error", async () => {
    const error = await failure("console.log('a'); throw new Error('e')");
    assert.equal(error.out, "a\n");
  });

  test("errors that no cell waits for are told and end nothing", async () => {
    const answer = await kernel.run("Promise.reject(new Error('floating')); await new Promise(r => setTimeout(r, 20))");
    assert.equal(answer.status, "ok");
    assert.match(answer.err, /^Uncaught \(in promise\) Error: floating\n    at In\[\d+\]:1:16\n$/);
    await kernel.run("setTimeout(() => { throw new Error('in timer') }, 30); 0");
    const frame = await kernel.frame();
    assert.deepEqual([frame.type, frame.id], ["stderr", null]);
    assert.match(frame.text, /^Uncaught Error: in timer\n    at Timeout\.<anonymous> \(In\[\d+\]:1:26\)\n$/);
    assert.equal((await kernel.run("new (require('events'))().emit('error', new Error('ev'))")).error.value, "ev");
    assert.equal((await kernel.run("1")).text, "1");
  });

  test("standard input is refused", async () => {
    for (const code of ["process.stdin.on('data', () => {})", "for await (const x of process.stdin);",
      "require('readline').createInterface({ input: process.stdin })",
      "await require('readline/promises').createInterface({ input: process.stdin }).question('?')"]) {
      assert.equal((await failure(code)).name, "StdinNotImplementedError", code);
    }
    assert.equal((await kernel.run("process.stdin.isTTY; require('fs').readFileSync(0, 'utf8')")).text, "''");
  });
});
