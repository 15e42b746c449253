// What a sandbox reaches, and what is told of it.

import { assert, atLeast, e2b, Sandbox, withSandbox, withSandboxes } from './contract.mjs'

const links = async ({ commands }) => {
  const { stdout } = await commands.run('cat /proc/net/dev')
  return stdout.trim().split('\n').slice(2).map((line) => line.split(':')[0].trim())
}

withSandboxes('all or nothing', async (create) => {
  assert.ok((await links(await create())).length > 1)
  for (const options of [{ allowInternetAccess: false }, { network: { denyOut: ['0.0.0.0/0'] } }]) {
    assert.deepEqual(await links(await create(options)), ['lo'], options)
  }
})

withSandboxes('a token for ports that are not public', async (create) => {
  assert.ok((await create({ network: { allowPublicTraffic: false } })).trafficAccessToken)
  assert.ok(!(await create()).trafficAccessToken)
})

withSandbox('rules that nothing would enforce are refused', async (sandbox) => {
  await assert.rejects(Sandbox.create({ network: { denyOut: ['1.2.3.4'] } }), /would not be enforced/)
  if (!sandbox.updateNetwork) return
  await assert.rejects(sandbox.updateNetwork({ denyOut: ['0.0.0.0/0'] }), /cannot be taken/)
  await sandbox.updateNetwork({})
  await assert.rejects(Sandbox.updateNetwork('nonexistingsandbox', {}), e2b.NotFoundError)
})

withSandbox('what is not built says so', async (sandbox) => {
  await assert.rejects(sandbox.createSnapshot(), /not built/)
  await assert.rejects(sandbox.pause({ keepMemory: false }), /memory|not built/i)
  if (atLeast(2, 50)) await assert.rejects(sandbox.fork(), /not built/)
  assert.equal(await sandbox.isRunning(), true)
})
