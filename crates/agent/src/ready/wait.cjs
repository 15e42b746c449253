'use strict';
// Loaded by `node -r` before any program. It waits, in a read that blocks, for a frame on standard
// input that says which file to run (`ready.rs`), and returns: node itself then goes on and runs that
// file as its main module. What the read leaves on standard input is the program's.
//
// Nothing of it is to be seen by the program: no frame in a stack, no handle, listener or module.

function warm() {
  // What most programs load first, and what `console.log` to a pipe is made of. The line says that
  // this process is ready.
  const { Socket } = require('net');
  const told = new Socket({ fd: 3, readable: false, writable: true });
  const { Console } = require('console');
  const util = require('util');
  util.inspect({ list: [1, 'two'], map: new Map([[1, { three: 3n }]]) });
  // Its microtasks are run here, for the event loop does not run before the program does.
  import('data:text/javascript,').catch(() => {});
  for (let turn = 0; turn < 8; turn += 1) process._tickCallback();
  const Module = require('module');
  const module = new Module('/', null);
  module.paths = [];
  module._compile('require("path"); require("os"); require("events");', '/');
  const fs = require('fs');
  // One that programs started by this one do not get.
  const pipe = fs.openSync('/proc/self/fd/3', 'w');
  // Colours would ask standard error what it is.
  new Console({ stdout: told, colorMode: false }).log('%s %d', 'ready', 1);
  // Not destroyed: that, too, would ask standard error.
  told._handle.unref();
  told._handle.close();
  return pipe;
}

function read(length) {
  const { readSync } = require('fs');
  const bytes = Buffer.alloc(length);
  for (let filled = 0; filled < length; ) {
    const got = readSync(0, bytes, filled, length - filled, null);
    // Whoever was to say so is gone.
    if (got === 0) process.reallyExit(1);
    filled += got;
  }
  return bytes;
}

/**
 * Says in `pipe` that the program went well, before its memory is given back, which takes longer. The
 * program's own listeners of its end come before.
 */
function tellEnd(pipe) {
  const { closeSync, writeSync } = require('fs');
  function tell(status) {
    // What failed has something to say on standard error still.
    if (status !== 0 || process.exitCode) return;
    for (const stream of [0, 1, 2]) {
      try {
        closeSync(stream);
      } catch {
        // The program has closed it.
      }
    }
    try {
      writeSync(pipe, 'ended 0\n');
    } catch {
      // Nobody listens: they wait for the process.
    }
  }
  // No listener is to be seen before all is over: it is there once node looks for what to call.
  const parent = Object.getPrototypeOf(process);
  const { emit } = process;
  Object.defineProperty(parent, 'emit', {
    configurable: true,
    get() {
      if (process._exiting) {
        delete parent.emit;
        const all = process._events;
        if (all.exit === undefined) process._eventsCount += 1;
        all.exit = all.exit === undefined ? tell : [all.exit, tell].flat();
      }
      return emit;
    },
    set(value) {
      delete parent.emit;
      process.emit = value;
    },
  });
}

/** Leaves nothing of this file where the program looks. */
function hide() {
  const Module = require('module');
  process.execArgv = [];
  Object.defineProperty(process, '_preload_modules', { value: [] });
  delete require.cache[__filename];
  for (const [key, path] of Object.entries(Module._pathCache)) {
    if (path === __filename) delete Module._pathCache[key];
  }
}

/** Becomes the process that was to run `order.path`, which node does next. */
function become(order) {
  const fs = require('fs');
  if (!order.stdin) {
    fs.closeSync(0);
    fs.openSync('/dev/null');
  }
  for (const name of Object.keys(process.env)) delete process.env[name];
  for (const name of Object.keys(order.env)) process.env[name] = order.env[name];
  process.chdir(order.cwd);
  const main = require('path').resolve(order.path);
  process.argv = [process.execPath, main, ...order.argv];
  process.title = 'node';
  return main;
}

/** Has node run another file than its command line says. */
function redirect(main) {
  // The last that is done here: to load a module is to look at all that `Module` has.
  const Module = require('module');
  const usual = Object.getOwnPropertyDescriptor(Module, 'runMain');
  Object.defineProperty(Module, 'runMain', {
    configurable: true,
    get() {
      Object.defineProperty(Module, 'runMain', usual);
      return usual.value.bind(Module, main);
    },
  });
}

// The threads of a program load this too.
if (require('worker_threads').isMainThread) {
  const pipe = warm();
  const main = become(JSON.parse(read(read(4).readUInt32BE(0)).toString()));
  tellEnd(pipe);
  hide();
  redirect(main);
} else {
  hide();
}
