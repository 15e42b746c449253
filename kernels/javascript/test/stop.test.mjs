// Interrupts, process.exit, crashes and the end.

import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, test } from "node:test";

import { Kernel, start } from "./driver.mjs";

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("interrupts", () => {
  let kernel;
  before(async () => {
    kernel = await start();
    await kernel.run("let kept = 1; const sleep = ms => new Promise(r => setTimeout(r, ms))");
  });
  after(() => kernel.close());

  const interrupted = async (code, which = kernel) => {
    const id = which.send("execute", { code });
    await which.until("stdout");
    const begin = performance.now();
    which.interrupt();
    const frames = await which.until("end");
    const took = performance.now() - begin;
    const error = frames.find((frame) => frame.type === "error");
    assert.equal(error?.name, "KeyboardInterrupt", `${code}: ${JSON.stringify(frames)}`);
    assert.equal(frames.at(-1).id, id);
    assert.ok(took < 2000, `${code}: ${took} ms`);
    assert.equal((await which.run("kept")).text, "1", code);
    return frames;
  };

  const GO = "console.log('go')";
  const BUSY = `${GO}; for (;;);`;

  test("of busy code, wherever it runs", async () => {
    for (const code of [
      BUSY,
      `${GO}; try { for (;;); } catch { console.log('caught') } finally { console.log('finally') }`,
      `await null; ${BUSY}`, `import fs from 'fs'; ${BUSY}`, `await sleep(5); ${BUSY}`,
      `await new Promise(() => setTimeout(() => { ${BUSY} }, 5))`, `await new Promise(() => setImmediate(() => { ${BUSY} }))`,
      `await new Promise(() => process.nextTick(() => { ${BUSY} }))`, `await new Promise(() => queueMicrotask(() => { ${BUSY} }))`,
      `async function main() { await sleep(1); ${BUSY} }\nmain()`,
      `${GO}; let o = {}; for (;;) o = { o: JSON.stringify([1, 2]) };`, `${GO}; for (;;) [3, 2, 1].sort(() => { let i = 1e5; while (i--); return 1 })`,
      `const { AsyncLocalStorage } = require('async_hooks'); await new AsyncLocalStorage().run(1, () => new Promise(() => setTimeout(() => { ${BUSY} }, 1)))`,
      `new (require('events'))().on('x', () => { ${BUSY} }).emit('x')`,
    ]) {
      const frames = await interrupted(code);
      assert.deepEqual(frames.filter((frame) => frame.type === "stdout"), [], code);
    }
  });

  test("of endless output", async () => {
    await interrupted("for (;;) console.log('x')");
    assert.equal((await kernel.run("console.log('after')")).out.split("\n").at(-2), "after");
  });

  test("of waiting for what never comes", async () => {
    for (const code of [`${GO}; await new Promise(() => {})`, `${GO}; new Promise(() => {})`, `${GO}; await sleep(1e6)`,
      `${GO}; await require('timers/promises').setTimeout(1e6)`, `${GO}; for await (const x of (async function* () { await sleep(1e6) })());`,
      `${GO}; require('child_process').execSync('sleep 1; true', { stdio: 'inherit' }); await new Promise(() => {})`]) {
      await interrupted(code);
    }
  });

  test("what was interrupted does not go on", async () => {
    await interrupted("for (;;) { console.log('tick'); await sleep(5) }");
    await interrupted("async function loop() { for (;;) { console.log('tick'); await sleep(5) } }\nawait loop()");
    await interrupted("setInterval(() => console.log('tick'), 5); await new Promise(() => {})");
    const server = http.createServer((_, reply) => setTimeout(() => reply.end("x"), 5)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const url = `http://127.0.0.1:${server.address().port}`;
    await interrupted(`for (;;) { const r = await fetch('${url}'); await r.text(); console.log('tick') }`);
    const answer = await kernel.run("await sleep(100)");
    server.close();
    server.closeAllConnections();
    assert.equal(answer.out, "");
  });

  test("timers of cells that ended well live on", async () => {
    await kernel.run("globalThis.ticks = 0; globalThis.ticker = setInterval(() => ticks++, 5)");
    await interrupted(`${GO}; await new Promise(() => {})`);
    await kernel.run("ticks = 0; await sleep(60)");
    assert.ok(Number((await kernel.run("clearInterval(ticker); ticks")).text) > 2);
  });

  test("without a cell it does nothing, and at any moment it leaves a kernel", async () => {
    for (let turn = 0; turn < 20; turn++) {
      kernel.interrupt();
      // The signal must not meet the next cell.
      await sleep(10);
      assert.equal((await kernel.run("console.log('on'); kept")).error, undefined);
    }
    let stopped = 0;
    for (let turn = 0; turn < 60; turn++) {
      kernel.send("execute", { code: "let sum = 0; for (let i = 0; i < 1e5; i++) sum += i; console.log(sum); [1, 2, { a: 3 }]" });
      await sleep(turn / 15);
      kernel.interrupt();
      const frames = await kernel.until("end");
      const error = frames.find((frame) => frame.type === "error");
      if (error) assert.equal(error.name, "KeyboardInterrupt");
      stopped += error ? 1 : 0;
    }
    assert.equal((await kernel.run("console.log('on'); kept")).out, "on\n");
    assert.ok(stopped > 0);
  });

  test("a cell that waits behind it runs as usual", async () => {
    kernel.send("execute", { code: BUSY });
    kernel.send("execute", { code: "'next'" });
    await kernel.until("stdout");
    kernel.interrupt();
    await kernel.until("end");
    assert.equal((await kernel.until("end")).find((frame) => frame.type === "result").data["text/plain"], "'next'");
  });

  test("of what an earlier cell has left", async () => {
    await kernel.run("setTimeout(() => { console.log('left'); for (;;); }, 20)");
    await kernel.until("stdout");
    kernel.send("execute", { code: "1" });
    await sleep(50);
    kernel.interrupt();
    const frames = await kernel.until("end");
    assert.deepEqual(frames.map((frame) => frame.name ?? frame.type), ["KeyboardInterrupt", "end"]);
    assert.equal((await kernel.run("kept")).text, "1");
  });

  test("handlers of the user's are called and change nothing", async () => {
    const own = await start({ after });
    await own.run("let kept = 1; process.on('SIGINT', () => globalThis.heard = true)");
    await interrupted(`${GO}; await new Promise(() => {})`, own);
    assert.equal((await own.run("heard")).text, "true");
  });
});

describe("exit", () => {
  test("process.exit ends the cell and not the kernel", async (t) => {
    const kernel = await start(t);
    const run = async (code) => {
      const answer = await kernel.run(code);
      return [answer.out, answer.error?.name, answer.error?.value, answer.status];
    };
    await kernel.run("let kept = 1");
    assert.deepEqual(await run("console.log('a'); try { process.exit() } catch { } finally { console.log('b') }"), ["a\n", undefined, undefined, "ok"]);
    assert.deepEqual(await run("process.exit(3)"), ["", "ProcessExit", "3", "error"]);
    assert.deepEqual(await run("await null; process.exitCode = 4; process.exit()"), ["", "ProcessExit", "4", "error"]);
    assert.deepEqual(await run("await new Promise(() => setTimeout(() => process.exit(5), 5))"), ["", "ProcessExit", "5", "error"]);
    await kernel.run("setTimeout(() => { console.log('x'); process.exit(6); console.log('y') }, 20)");
    assert.equal((await kernel.frame()).text, "x\n");
    assert.equal((await kernel.run("kept")).text, "1");
  });

  test("a crash closes the socket without an end", async (t) => {
    const kernel = await start(t);
    kernel.send("execute", { code: "process.kill(process.pid, 'SIGKILL')" });
    await assert.rejects(kernel.until("end"), /has gone/);
    assert.equal(await kernel.status, "SIGKILL");
  });

  test("an agent may go before the kernel is ready", async () => {
    for (let wait = 0; wait <= 300; wait += 30) {
      const kernel = new Kernel();
      await sleep(wait);
      assert.ok([0, "SIGKILL"].includes(await kernel.close()));
    }
  });

  test("closing the socket ends an idle and a busy kernel", async (t) => {
    const idle = await start(t);
    await idle.run("process.on('exit', () => {}); setInterval(() => {}, 1000)");
    assert.equal(await idle.close(), 0);
    const busy = await start(t);
    busy.send("execute", { code: BUSY_CODE });
    await busy.until("stdout");
    assert.equal(await busy.close(), "SIGKILL");
  });
});

const BUSY_CODE = "console.log('go'); for (;;);";
