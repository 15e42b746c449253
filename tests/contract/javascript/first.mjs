// The first generation of the client, which knows no URL but `https://<port>-<id>.<domain>`.

import { randomUUID } from 'node:crypto'
import { assert, e2b, Sandbox, until, withSandbox, withSandboxes } from './contract.mjs'

withSandboxes('life', async (create) => {
  const metadata = { mark: randomUUID(), 'a b': 'c&d' }
  const sandbox = await create({ metadata, envs: { GIVEN: 'yes' } })
  assert.equal(await sandbox.isRunning(), true)
  const listed = await Sandbox.list({ query: { metadata } })
  assert.deepEqual(listed.map((each) => [each.sandboxId, each.metadata]), [[sandbox.sandboxId, metadata]])
  await sandbox.setTimeout(300_000)
  const other = await Sandbox.connect(sandbox.sandboxId)
  assert.equal((await other.commands.run('echo $GIVEN')).stdout, 'yes\n')
  await sandbox.kill()
  assert.equal(await sandbox.isRunning(), false)
})

withSandbox('commands', async ({ commands }) => {
  const { stdout, stderr } = await commands.run('echo out; echo err >&2; id -un')
  assert.deepEqual([stdout, stderr], ['out\nuser\n', 'err\n'])
  await assert.rejects(commands.run('exit 7', { user: 'root' }), e2b.CommandExitError)
  const handle = await commands.run('read x; echo $x', { background: true })
  await commands.sendStdin(handle.pid, 'typed\n')
  assert.equal((await handle.wait()).stdout, 'typed\n')
})

withSandboxes('files', async (create) => {
  for (const secure of [false, true]) {
    const { files } = await create({ secure })
    await files.write('text', 'aé🙂')
    assert.equal(await files.read('text'), 'aé🙂')
    await files.write([0, 1, 2].map((n) => ({ path: `many/${n}`, data: `${n}` })))
    assert.deepEqual((await files.list('many')).map(({ name }) => name), ['0', '1', '2'])
    const events = []
    const watch = await files.watchDir('many', (event) => void events.push(event))
    await files.rename('many/1', 'many/x')
    await until(() => events.length >= 2)
    await watch.stop()
    assert.equal(await files.exists('nosuch'), false)
    await assert.rejects(files.read('nosuch'), e2b.NotFoundError)
  }
})
