// What sandboxes use.

import { assert, e2b, Sandbox, until, withSandbox } from './contract.mjs'

withSandbox('tell amounts and bounds', async (sandbox) => {
  const samples = await until(async () => {
    const told = await sandbox.getMetrics()
    return told.length > 0 && told
  }, 30_000)
  const info = await sandbox.getInfo()
  const { timestamp, cpuCount, cpuUsedPct, memUsed, memTotal, diskUsed, diskTotal } = samples[0]
  assert.deepEqual([cpuCount, memTotal], [info.cpuCount, info.memoryMB * 1024 * 1024])
  assert.ok(memUsed > 0 && memUsed <= memTotal && diskUsed >= 0 && diskUsed < diskTotal)
  assert.ok(cpuUsedPct >= 0 && cpuUsedPct <= 100)
  assert.ok(Math.abs(Date.now() - timestamp) < 60_000)
  const hour = 3_600_000
  const start = new Date(info.startedAt - 2 * hour)
  assert.deepEqual(await sandbox.getMetrics({ start, end: new Date(info.startedAt - hour) }), [])
  assert.ok((await Sandbox.getMetrics(sandbox.sandboxId, { start })).length >= samples.length)
})

withSandbox('of one that is not there', async (sandbox) => {
  await assert.rejects(Sandbox.getMetrics('nonexistingsandbox'), e2b.SandboxError)
  await sandbox.kill()
  await assert.rejects(sandbox.getMetrics(), e2b.SandboxError)
})
