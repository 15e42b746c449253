// Terminals: made, resized, typed into, left and found again.

import { assert, e2b, until, withSandbox } from './contract.mjs'

/** Opens a terminal. Gives its handle, a way to type, and a way to wait for output. */
async function open(sandbox, options = {}) {
  let output = ''
  const decoder = new TextDecoder()
  const onData = (data) => void (output += decoder.decode(data, { stream: true }))
  const handle = await sandbox.pty.create({ rows: 24, cols: 80, onData, ...options })
  return {
    handle,
    onData,
    type: (text) => sandbox.pty.sendInput(handle.pid, new TextEncoder().encode(text)),
    expect: (text) => until(() => output.includes(text)),
  }
}

withSandbox('is a terminal of its size', async (sandbox) => {
  const terminal = await open(sandbox, { envs: { GIVEN: 'yes' }, cwd: '/tmp' })
  await terminal.type('stty size; echo $(pwd)-$GIVEN-$TERM\n')
  await terminal.expect('24 80')
  await terminal.expect('/tmp-yes-xterm-256color')
  await sandbox.pty.resize(terminal.handle.pid, { rows: 31, cols: 99 })
  await terminal.type('stty size\n')
  await terminal.expect('31 99')
  await terminal.type('exit 5\n')
  await assert.rejects(terminal.handle.wait(), (error) => error.exitCode === 5)
})

withSandbox('is killed', async (sandbox) => {
  const terminal = await open(sandbox)
  assert.equal(await sandbox.pty.kill(terminal.handle.pid), true)
  await assert.rejects(terminal.handle.wait(), e2b.CommandExitError)
  assert.equal(await sandbox.pty.kill(terminal.handle.pid), false)
})

withSandbox('is left and found again', async (sandbox) => {
  if (!sandbox.pty.connect) return
  const terminal = await open(sandbox)
  await terminal.type("KEPT=yes; echo s''et\n")
  await terminal.expect('set')
  await terminal.handle.disconnect()
  await sandbox.pty.connect(terminal.handle.pid, { onData: terminal.onData })
  await terminal.type('echo -$KEPT-\n')
  await terminal.expect('-yes-')
  await terminal.handle.kill()
})
