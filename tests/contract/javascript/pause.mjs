// Pauses: what they keep, and what ends them.

import { assert, e2b, Sandbox, until, withSandbox, withSandboxes } from './contract.mjs'

const state = async (sandbox) => (await sandbox.getInfo()).state

withSandbox('keeps everything in memory', async (sandbox) => {
  const handle = await sandbox.commands.run('sleep 60', { background: true, timeoutMs: 0 })
  await handle.disconnect()
  assert.equal(await sandbox.pause(), true)
  assert.equal(await sandbox.pause(), false)
  assert.equal(await sandbox.isRunning(), false)
  assert.equal(await state(sandbox), 'paused')
  await assert.rejects(sandbox.commands.run('true'), e2b.SandboxError)
  const other = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 60_000 })
  assert.ok((await other.commands.list()).some(({ pid }) => pid === handle.pid))
  assert.equal(await state(sandbox), 'running')
})

withSandbox('then kill', async (sandbox) => {
  await sandbox.pause()
  assert.equal(await sandbox.kill(), true)
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), e2b.NotFoundError)
})

withSandbox('many connect at once', async (sandbox) => {
  await sandbox.pause()
  const others = await Promise.all([...Array(8)].map(() => Sandbox.connect(sandbox.sandboxId)))
  const said = await Promise.all(others.map((other) => other.commands.run('echo up')))
  assert.deepEqual(said.map(({ stdout }) => stdout), Array(8).fill('up\n'))
})

withSandboxes('its time pauses it', async (create) => {
  const sandbox = await create({ timeoutMs: 2000, lifecycle: { onTimeout: 'pause' } })
  await until(async () => (await state(sandbox)) === 'paused', 6000)
  await assert.rejects(sandbox.commands.run('true'), e2b.SandboxError)
  assert.equal(await state(sandbox), 'paused')
  await sandbox.connect({ timeoutMs: 60_000 })
  assert.equal((await sandbox.commands.run('echo up')).stdout, 'up\n')
})

withSandboxes('a request wakes it after its time', async (create) => {
  const sandbox = await create({ timeoutMs: 2000, lifecycle: { onTimeout: 'pause', autoResume: true } })
  await sandbox.files.write('kept', 'x')
  await until(async () => (await state(sandbox)) === 'paused', 6000)
  assert.equal(await sandbox.files.read('kept'), 'x')
  assert.equal(await state(sandbox), 'running')
})
