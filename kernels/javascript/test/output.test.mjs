// What cells, their timers and their child processes print.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { directory, start } from "./driver.mjs";

describe("output", () => {
  let kernel;
  before(async () => {
    kernel = await start();
  });
  after(() => kernel.close());

  const ok = async (code) => {
    const answer = await kernel.run(code);
    assert.equal(answer.error, undefined, JSON.stringify(answer.error));
    return answer;
  };

  test("a print is one piece", async () => {
    const answer = await ok("console.log('Hello, World!')");
    assert.deepEqual(answer.types, ["count", "stdout", "end"]);
    assert.equal(answer.frames[1].text, "Hello, World!\n");
  });

  test("short prints are joined, streams told apart, and formats Node's own", async () => {
    const answer = await ok("console.log('a %d', 1, { b: [2] }); console.error('err'); console.info('i'); console.warn('w'); process.stdout.write('raw'); undefined");
    assert.deepEqual(answer.types, ["count", "stdout", "stderr", "end"]);
    assert.deepEqual([answer.out, answer.err], ["a 1 { b: [ 2 ] }\ni\nraw", "err\nw\n"]);
    assert.match((await ok("console.table([{ a: 1 }])")).out, /│ \(index\) │ a │/);
  });

  test("results and output keep their order", async () => {
    const answer = await ok("console.log('a'); display(5); console.log('b'); 7");
    assert.deepEqual(answer.types, ["count", "stdout", "result", "stdout", "result", "end"]);
    const many = await ok("for (let i = 0; i < 100; i++) { display.text(String(i)); console.log(i) }");
    assert.deepEqual(many.frames.slice(1, -1).map((frame) => frame.text ?? `${frame.data["text/plain"]}\n`),
      Array.from({ length: 200 }, (_, at) => `${at >> 1}\n`));
  });

  test("output leaves while the cell is busy", async (t) => {
    const gate = path.join(directory(t), "gate");
    execFileSync("mkfifo", [gate]);
    for (const print of ["console.log('first')", "process.stdout.write('first')"]) {
      kernel.send("execute", { code: `${print}; require('fs').readFileSync(${JSON.stringify(gate)}); console.log('second')` });
      assert.equal((await kernel.until("stdout")).at(-1).text.trim(), "first");
      fs.writeFileSync(gate, "");
      assert.equal((await kernel.until("end"))[0].text, "second\n");
    }
  });

  test("child processes print into the cell, in order and while it is blocked", async () => {
    const answer = await ok("const cp = require('child_process'); console.log('a'); cp.execSync('echo x; echo y >&2', { stdio: 'inherit' });" +
      " console.log('b'); cp.spawnSync('seq', ['100000'], { stdio: 'inherit' }); console.log('c')");
    const numbers = Array.from({ length: 100_000 }, (_, at) => `${at + 1}\n`).join("");
    assert.equal(answer.out, `a\nx\nb\n${numbers}c\n`);
    assert.equal(answer.err, "y\n");
    assert.equal((await ok("await new Promise(r => cp.spawn('cat', { stdio: 'inherit' }).on('exit', r))")).text, "0");
    assert.equal((await ok("cp.execSync('echo > /dev/stdout; echo to stderr > /dev/stderr', { stdio: 'inherit' })")).err, "to stderr\n");
  });

  test("worker threads print", async () => {
    const answer = await ok("await new Promise(r => new (require('worker_threads').Worker)(`console.log('from worker')`, { eval: true }).on('exit', r))");
    assert.equal(answer.out, "from worker\n");
  });

  test("what is due at once belongs to the cell, what comes later has no id", async () => {
    assert.equal((await ok("Promise.resolve().then(() => console.log('micro')); process.nextTick(() => console.log('tick'))")).out, "tick\nmicro\n");
    await ok("setTimeout(() => console.log('late'), 50); 1");
    assert.deepEqual(await kernel.frame(), { type: "stdout", id: null, text: "late\n" });
  });

  test("much output comes whole and in bounded pieces", async () => {
    let answer = await ok("for (let i = 0; i < 100000; i++) console.log(i)");
    assert.equal(answer.out, Array.from({ length: 100_000 }, (_, at) => `${at}\n`).join(""));
    answer = await ok("process.stdout.write('x' + '😀'.repeat(1_000_000))");
    assert.equal(answer.out, `x${"😀".repeat(1_000_000)}`);
    assert.ok(Math.max(...answer.frames.map((frame) => frame.text?.length ?? 0)) <= 64 * 1024);
  });

  test("any text and any bytes pass", async () => {
    assert.equal((await ok("console.log('häß 😀 \\0 \\x1b[31m', '\\ud800')")).out, "häß 😀 \0 \x1b[31m \ufffd\n");
    assert.equal((await ok("process.stdout.write(Buffer.from([97, 255, 0xc3])); process.stdout.write(Buffer.from([0xa4, 10]));")).out, "a\ufffdä\n");
    assert.equal((await ok("process.stdout.write(Buffer.from([0xc3]));")).out, "\ufffd");
    assert.deepEqual((await ok("({ 'k\\ud800': '\\\\ud800 \\udc00' })")).main["application/json"], { "k\ufffd": "\\ud800 \ufffd" });
  });

  test("ending the streams does not silence later cells", async () => {
    await ok("process.stdout.end('last\\n'); process.stderr.destroy()");
    const answer = await ok("console.log('out'); console.error('err')");
    assert.deepEqual([answer.out, answer.err], ["out\n", "err\n"]);
  });

  test("a slow reader slows the cell down", async (t) => {
    const slow = await start(t);
    for (const [code, size] of [
      ["const line = 'x'.repeat(1e6); for (let i = 0; i < 300; i++) process.stdout.write(line)", (frame) => frame.text?.length],
      ["for (let i = 0; i < 300; i++) display.text('y'.repeat(1e6))", (frame) => frame.data?.["text/plain"].length],
    ]) {
      slow.socket.pause();
      slow.send("execute", { code });
      await new Promise((resolve) => setTimeout(resolve, 700));
      const memory = Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${slow.process.pid}/status`, "utf8"))[1]);
      assert.ok(memory < 300_000, `${memory} KiB`);
      slow.socket.resume();
      assert.equal((await slow.until("end")).reduce((sum, frame) => sum + (size(frame) ?? 0), 0), 300e6);
    }
  });
});
