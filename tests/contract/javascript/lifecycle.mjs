// Sandboxes: made, listed, found, connected to, ended.

import { randomUUID } from 'node:crypto'
import { assert, atLeast, e2b, Sandbox, test, until, withSandbox, withSandboxes } from './contract.mjs'

withSandbox('runs and ends', async (sandbox) => {
  assert.match(sandbox.sandboxId, /^[a-z0-9]+$/)
  assert.equal(await sandbox.isRunning(), true)
  assert.equal(await Sandbox.kill(sandbox.sandboxId), true)
  assert.equal(await sandbox.isRunning(), false)
  assert.equal(await Sandbox.kill(sandbox.sandboxId), false)
})

withSandboxes('variables and metadata', async (create) => {
  const metadata = { a: '1', 'ä b': 'c&d=e' }
  const sandbox = await create({ metadata, envs: { GIVEN: 'a b' } })
  assert.deepEqual((await sandbox.getInfo()).metadata, metadata)
  assert.equal((await sandbox.commands.run('echo "$GIVEN"')).stdout, 'a b\n')
})

test('a template that is not there is named', async () => {
  await assert.rejects(Sandbox.create('nosuchtemplate'), /nosuchtemplate/)
})

test('times that cannot be', async () => {
  for (const timeoutMs of [-5000, 1e15]) await assert.rejects(Sandbox.create({ timeoutMs }), /timeout/)
})

test('wrong key', async () => {
  const apiKey = `e2b_${'0'.repeat(40)}`
  await assert.rejects(Sandbox.create({ apiKey }), e2b.AuthenticationError)
})

withSandboxes('tells what it is', async (create) => {
  const sandbox = await create({ timeoutMs: 100_000 })
  const info = await sandbox.getInfo()
  assert.equal(info.sandboxId, sandbox.sandboxId)
  assert.equal(info.state, 'running')
  assert.ok(info.cpuCount > 0 && info.memoryMB > 0)
  assert.ok(Math.abs(info.endAt - info.startedAt - 100_000) < 2000)
})

test('one that is not there', async () => {
  const id = 'nonexistingsandbox'
  await assert.rejects(Sandbox.getInfo(id), e2b.NotFoundError)
  await assert.rejects(Sandbox.connect(id), e2b.NotFoundError)
  await assert.rejects(Sandbox.setTimeout(id, 1000), e2b.NotFoundError)
  assert.equal(await Sandbox.kill(id), false)
})

withSandboxes('its time ends it', async (create) => {
  const sandbox = await create({ timeoutMs: 300_000 })
  await sandbox.setTimeout(2000)
  await until(async () => !(await sandbox.isRunning()), 6000)
  await assert.rejects(sandbox.getInfo(), e2b.NotFoundError)
})

withSandboxes('its time is never shortened by connect', async (create) => {
  const sandbox = await create({ timeoutMs: 300_000 })
  const before = (await sandbox.getInfo()).endAt
  await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 10_000 })
  assert.deepEqual((await sandbox.getInfo()).endAt, before)
  await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 600_000 })
  assert.ok((await sandbox.getInfo()).endAt - before > 200_000)
})

withSandbox('connect gives the same sandbox', async (sandbox) => {
  await sandbox.files.write('note', 'kept')
  const other = await Sandbox.connect(sandbox.sandboxId)
  assert.equal(await other.files.read('note'), 'kept')
  await sandbox.kill()
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), e2b.NotFoundError)
})

test('twenty at once', async () => {
  const live = async (number) => {
    const sandbox = await Sandbox.create({ timeoutMs: 120_000 })
    try {
      await sandbox.files.write('number', `${number}`)
      const said = await Promise.all([0, 1, 2].map((n) => sandbox.commands.run(`cat number; echo -${n}`)))
      return [sandbox.sandboxId, said.map(({ stdout }) => stdout)]
    } finally {
      await sandbox.kill()
    }
  }
  const lives = await Promise.all([...Array(20).keys()].map(live))
  assert.equal(new Set(lives.map(([id]) => id)).size, 20)
  lives.forEach(([, said], number) => assert.deepEqual(said, [0, 1, 2].map((n) => `${number}-${n}\n`)))
})

withSandboxes('lists the newest first, in pages', async (create) => {
  const metadata = { mark: randomUUID(), 'a b': 'c&d=+%ä' }
  const made = []
  for (let n = 0; n < 3; n++) made.push((await create({ metadata })).sandboxId)
  const pages = Sandbox.list({ query: { metadata }, limit: 2 })
  assert.deepEqual((await pages.nextItems()).map((each) => each.sandboxId), [made[2], made[1]])
  assert.equal(pages.hasNext, true)
  assert.deepEqual((await pages.nextItems()).map((each) => each.sandboxId), [made[0]])
  assert.equal(pages.hasNext, false)
  const ids = async (options) => (await Sandbox.list(options).nextItems()).map((each) => each.sandboxId)
  assert.deepEqual(await ids({ query: { metadata, state: ['running'] } }), made.toReversed())
  assert.deepEqual(await ids({ query: { metadata, state: ['paused'] } }), [])
  assert.deepEqual(await ids({ query: { metadata, state: ['running', 'paused'] }, limit: 1 }), [made[2]])
  assert.deepEqual(await ids({ query: { metadata: { ...metadata, other: 'x' } } }), [])
  if (atLeast(2, 50)) assert.deepEqual(await ids({ query: { metadata }, order: 'asc' }), made)
})
