// What waits becomes what `node file` is: scripts are run both ways, and output and status compared.
//
// Two things are known to differ and are not compared: the number of listeners that a listener of `exit`
// sees, and `performance.now()`, which counts from the start of the process.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const WAIT = process.env.SOULBOX_WAIT ?? path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
  '../../../crates/agent/src/ready/wait.cjs');
const place = mkdtempSync(path.join(tmpdir(), 'wait-'));
after(() => rmSync(place, { recursive: true }));
const ENV = { A: '1', B: '2', HOME: '/', LANG: 'C.UTF-8', PATH: process.env.PATH, TZ: 'Asia/Tokyo' };

const SCRIPTS = [
  ["hello.js", "console.log('hi')"],
  ["argv.js", "console.log(process.argv, process.argv0, process.execArgv, process.execPath, process.title, require.main===module, module.id, __filename, __dirname, module.paths, module.parent, module.children)"],
  ["env.js", "console.log(process.env, Object.keys(process.env))"],
  ["cwd.js", "console.log(process.cwd(), process.mainModule===module, Object.keys(require.cache), require('module')._pathCache&&Object.keys(require('module')._pathCache).filter(k=>/wait/.test(k)))"],
  ["throw.js", "function f(){throw new Error('boom')}\nf()"],
  ["reject.js", "Promise.reject(new Error('late'))"],
  ["reject2.js", "(async()=>{await null; throw {a:1}})()"],
  ["syntax.js", "let a = ;"],
  ["exit3.js", "console.log(1); process.exit(3)"],
  ["exitcode.js", "process.exitCode=4; console.log('x')"],
  ["exit0.js", "console.error('e'); process.exit(0)"],
  ["onexit5.js", "process.on('exit',(c)=>{process.exitCode=5})"],
  ["uncaught.js", "process.on('uncaughtException',(e)=>{console.log('caught',e.stack)}); setTimeout(()=>{throw new Error('x')},1)"],
  ["stack.js", "console.log(new Error('s').stack)"],
  ["stackdeep.js", "Error.stackTraceLimit=100; console.log(new Error('s').stack)"],
  ["handles.js", "console.log(process._getActiveHandles().length, process._getActiveRequests().length, process.getActiveResourcesInfo())"],
  ["stdin.js", "process.stdin.on('data',d=>console.log(String(d))).on('end',()=>console.log('end'))"],
  ["stdinsync.js", "console.log(require('fs').readFileSync(0,'utf8'))"],
  ["timer.js", "const t=Date.now(); setTimeout(()=>console.log(Date.now()-t>=20),20)"],
  ["worker.js", "const {Worker,isMainThread,parentPort}=require('worker_threads'); if(isMainThread){new Worker(__filename).on('message',m=>console.log(m))} else parentPort.postMessage([process.argv.length, process.execArgv])"],
  ["fork.js", "const cp=require('child_process'); if(process.argv[2]==='c'){console.log('child',process.execArgv,process.argv.slice(1)); } else cp.fork(__filename,['c'])"],
  ["esm.mjs", "import fs from 'fs'; console.log(import.meta.url, typeof require, process.argv.length); await null; console.log(await import('os').then(o=>typeof o.cpus))"],
  ["esmthrow.mjs", "import 'fs';\nthrow new TypeError('esm')"],
  ["esmtla.mjs", "await new Promise(()=>{})"],
  ["esmimport.mjs", "import './nothing.mjs'"],
  ["esmstack.mjs", "console.log(new Error('s').stack)"],
  ["big2.js", "console.log('y'.repeat(300000))"],
  ["bigsync.js", "require('fs').writeSync(1,'z'.repeat(60000)); console.log(process.stdout._type, process.stdin.constructor.name)"],
  ["keys.js", "console.log(Object.getOwnPropertyNames(process).sort().join(), process.eventNames(), process.emit===require('events').prototype.emit, Object.keys(require('module')).join(), Object.getOwnPropertyNames(globalThis).join())"],
  ["signal.js", "process.kill(process.pid,'SIGTERM'); setTimeout(()=>{},1000)"],
  ["sigint.js", "process.on('SIGUSR2',()=>{console.log('usr2', new Error('q').stack); process.exit(0)}); process.kill(process.pid,'SIGUSR2'); setTimeout(()=>{},1000)"],
  ["locale.js", "console.log(Intl.DateTimeFormat().resolvedOptions(), new Date(0).toString())"],
  ["random.js", "console.log(Math.random()!==0.5, require('crypto').randomBytes(4).length)"],
  ["json.js", "console.log(require('./data.json'))"],
  ["fatal.js", "process.abort && process.exit(process.hrtime().length-2)"],
  ["rl.js", "const rl=require('readline').createInterface({input:process.stdin}); rl.on('line',l=>console.log('>',l))"],
  ["runmain.js", "const M=require('module'); console.log(Object.getOwnPropertyDescriptor(M,'runMain'), M._load.name, module.constructor===M, typeof M.runMain)"],
  ["assert.js", "require('assert').strictEqual(1,2)"],
  ["beforeExit.js", "process.once('beforeExit',()=>{console.log('be')})"],
  ["async_hooks.js", "console.log(require('async_hooks').executionAsyncId())"],
  ["umask.js", "console.log(process.umask(), process.getuid()===process.geteuid(), process.pid>1)"],
  ["nextTick.js", "process.nextTick(()=>console.log(1)); Promise.resolve().then(()=>console.log(2)); setImmediate(()=>console.log(3)); console.log(0)"],
  ["vm.js", "console.log(require('vm').runInNewContext('1+1'))"],
  ["dynimp.js", "import('./esmdep.mjs').then(m=>console.log(m.default))"],
];

function collect(child) {
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => { said[name] += text; });
  }
  return new Promise((done) => {
    child.on('close', (code, signal) => done({ ...said, code, signal }));
  });
}

function started(file, input) {
  const child = spawn('node', [file, 'a'], { cwd: place, env: ENV });
  child.stdin.on('error', () => {}).end(input);
  return collect(child);
}

let number = 0;

async function waited(file, input) {
  const fifo = path.join(place, `said-${(number += 1)}`);
  execFileSync('mkfifo', [fifo]);
  const said = openSync(fifo, 'r+');
  const child = spawn('node', ['-r', WAIT, 'program'], {
    cwd: '/', env: { PATH: ENV.PATH, SECRET: 'of the waiter' }, stdio: ['pipe', 'pipe', 'pipe', said],
  });
  closeSync(said);
  const order = Buffer.from(JSON.stringify({ path: file, argv: ['a'], env: ENV, cwd: place, stdin: true }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(order.length);
  child.stdin.on('error', () => {}).end(Buffer.concat([length, order, Buffer.from(input)]));
  const result = await collect(child);
  return result;
}

writeFileSync(path.join(place, 'data.json'), '{"a":1}');
writeFileSync(path.join(place, 'esmdep.mjs'), 'export default 7');

for (const [name, text] of SCRIPTS) {
  test(name, async () => {
    const file = path.join(place, name);
    writeFileSync(file, text);
    const input = 'line 1\nline 2\n';
    const [expected, became] = [await started(file, input), await waited(file, input)];
    assert.deepEqual(became, expected);
  });
}

test('a file that is not there', async () => {
  const file = path.join(place, 'absent.js');
  assert.deepEqual(await waited(file, ''), await started(file, ''));
});
