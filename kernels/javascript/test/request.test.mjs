// Frames, environment, directory, bad requests and starting.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";

import { BadRequest, encode, FRAME_LIMIT, FrameTooLarge, json, Reader } from "../src/protocol.mjs";
import { original, rewrite } from "../src/rewrite.mjs";
import { directory, MAIN, start } from "./driver.mjs";

function framed(text) {
  const body = Buffer.from(text);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

describe("frames", () => {
  test("a reader joins pieces", () => {
    const one = framed('{"type":"cd","id":"1","path":"/"}');
    const data = Buffer.concat([one, one, one]);
    for (const step of [1, 3, 7, data.length]) {
      const reader = new Reader();
      const seen = [];
      for (let at = 0; at < data.length; at += step) seen.push(...reader.feed(data.subarray(at, at + step)));
      assert.deepEqual(seen.map(({ path }) => path), ["/", "/", "/"]);
    }
  });

  test("lengths beyond the limit", () => {
    assert.throws(() => new Reader().feed(Buffer.from([2, 0, 0, 1])), FrameTooLarge);
    assert.equal(encode({ t: "x".repeat(FRAME_LIMIT - 8) }).length, FRAME_LIMIT + 4);
    assert.throws(() => encode({ t: "x".repeat(FRAME_LIMIT - 7) }), FrameTooLarge);
  });

  test("what is no request", () => {
    for (const body of ["", "{", "[]", "5", "null", "{}", '{"id":5,"type":"cd"}', '{"id":"1","type":"no"}', '{"id":"1","type":"cd"}',
      '{"id":"1","type":"cd","path":5}', '{"id":"1","type":["cd"]}', '{"id":"1","type":"toString"}', '{"id":"1","type":"set_env","env":[]}',
      '{"id":"1","type":"execute","code":"1","env":5}', "[".repeat(100_000)]) {
      assert.ok(new Reader().feed(framed(body))[0] instanceof BadRequest, body);
    }
    assert.ok(new Reader().feed(Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.from([0xff])]))[0] instanceof BadRequest);
  });

  test("lone surrogates and only those are replaced", () => {
    assert.equal(json({ a: "\ud800 \\ud800 😀 \udfff\\" }), '{"a":"\ufffd \\\\ud800 😀 \ufffd\\\\"}');
  });
});

describe("rewriting", () => {
  test("keeps the place of everything", () => {
    const code = "const a = 1\nlet { b } = {}; class C {} function  d ( ) {} var e, f = 2\nimport('x')";
    const { body, functions } = rewrite(code, 1);
    assert.equal(body.split("\n")[0], ";     a = 1");
    assert.equal(body.split("\n")[2], "impor$('x')");
    assert.match(functions, /^ *\n *d=function  \( \) \{\};$/);
    assert.equal(functions.split("\n")[1].indexOf("( )"), code.split("\n")[1].indexOf("( )"));
  });

  test("columns are mapped back", () => {
    const inserted = [{ line: 1, column: 5, length: 3 }, { line: 1, column: 8, length: 2 }];
    assert.deepEqual([1, 4, 5, 6, 8, 10, 13, 20].map((column) => original(inserted, 1, column)), [1, 4, 5, 5, 5, 7, 8, 15]);
  });
});

describe("requests", () => {
  test("ready tells versions", async (t) => {
    const { ready, process: child } = await start(t);
    assert.deepEqual(ready, { type: "ready", protocol: 1, pid: child.pid, node: process.versions.node });
  });

  test("environment", async (t) => {
    const kernel = await start(t, { env: { OLD: "1" } });
    const look = async (fields) => (await kernel.run(
      "[process.env.OLD, process.env.NEW, require('child_process').execSync('printenv NEW || true').toString()]", fields)).main["application/json"];
    assert.deepEqual(await look({ env: { OLD: "2", NEW: "it's\n\"$x\"" } }), ["2", "it's\n\"$x\"", "it's\n\"$x\"\n"]);
    assert.deepEqual(await look(), ["1", null, ""]);
    assert.deepEqual((await kernel.ask("set_env", { env: { OLD: null, NEW: "here" } })).types, ["end"]);
    assert.deepEqual(await look(), [null, "here", "here\n"]);
    for (const code of ["throw 1", "process.exit()", "("]) {
      await kernel.run(code, { env: { NEW: "lent" } });
      assert.equal((await kernel.run("process.env.NEW")).text, "'here'", code);
    }
    for (const env of [{ "": "x" }, { "A=B": "x" }, { A: 5 }, { A: "a\0" }]) {
      assert.equal((await kernel.ask("set_env", { env: { NEW: "half", ...env } })).error.name, "TypeError");
      assert.equal((await kernel.run("1", { env })).error.name, "TypeError");
    }
    assert.equal((await kernel.run("process.env.NEW")).text, "'here'");
  });

  test("directory", async (t) => {
    const kernel = await start(t);
    assert.deepEqual((await kernel.ask("cd", { path: "/usr" })).types, ["end"]);
    assert.equal((await kernel.run("process.cwd()")).text, "'/usr'");
    const failed = await kernel.ask("cd", { path: "/no/such" });
    assert.deepEqual([failed.types, failed.error.name], [["error", "end"], "Error"]);
    assert.match(failed.error.value, /ENOENT/);
    await kernel.run("process.chdir('/')");
    assert.equal((await kernel.run("__dirname")).text, "'/'");
  });

  test("requests wait in line, too many are refused, bad ones answered", async (t) => {
    const kernel = await start(t);
    kernel.raw(Buffer.from("{"));
    assert.deepEqual([(await kernel.frame()).name], ["BadRequest"]);
    assert.equal((await kernel.ask("nonsense")).error.name, "BadRequest");
    const first = kernel.send("execute", { code: "const end = Date.now() + 300; while (Date.now() < end);" });
    const ids = Array.from({ length: 80 }, (_, at) => kernel.send("execute", { code: `${at}` }));
    const ended = [];
    const refused = [];
    while (ended.length < 81) {
      const frame = await kernel.frame();
      if (frame.type === "end") ended.push(frame.id);
      if (frame.type === "error") refused.push([frame.id, frame.name]);
    }
    assert.deepEqual(refused, ids.slice(64).map((id) => [id, "TooManyRequests"]));
    assert.deepEqual(ended.filter((id) => !ids.slice(64).includes(id)), [first, ...ids.slice(0, 64)]);
  });

  test("large code, and frames beyond the limit", async (t) => {
    const kernel = await start(t);
    assert.equal((await kernel.run(`'${"x".repeat(5_000_000)}'.length`)).text, "5000000");
    kernel.socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
    assert.equal(await kernel.status, 70);
  });

  test("wrong arguments are refused in words", (t) => {
    const run = (...args) => spawnSync(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8", cwd: directory(t) });
    for (const descriptor of ["0", "2", "99"]) {
      const done = run("--control", descriptor);
      assert.equal(done.status, 1);
      assert.match(done.stderr, new RegExp(`cannot serve on descriptor ${descriptor}`));
    }
    for (const args of [[], ["--control", "x"], ["--control", "3", "--language", "perl"], ["--what"]]) assert.equal(run(...args).status, 2);
  });
});
