// Commands: input, output, users, variables, time limits, ends.

import { assert, e2b, promised, until, withSandbox, withSandboxes } from './contract.mjs'

withSandbox('output and exit code', async ({ commands }) => {
  const { stdout, stderr, exitCode } = await commands.run('echo out; echo err >&2')
  assert.deepEqual([stdout, stderr, exitCode], ['out\n', 'err\n', 0])
  await assert.rejects(commands.run('echo so far; exit 7'), (error) => {
    assert.ok(error instanceof e2b.CommandExitError)
    assert.deepEqual([error.exitCode, error.stdout], [7, 'so far\n'])
    return true
  })
})

withSandbox('output in pieces as it comes', async ({ commands, files }) => {
  const pieces = []
  await files.write('wait', '')
  const onStdout = async (text) => {
    pieces.push(text)
    if (text === 'one\n') await files.remove('wait')
  }
  await commands.run('echo one; while [ -e wait ]; do sleep 0.01; done; echo two', { onStdout })
  assert.deepEqual(pieces, ['one\n', 'two\n'])
})

withSandbox('much output, and text cut anywhere', async ({ commands, files }) => {
  const text = 'aé中🙂'.repeat(200_000)
  await files.write('text', text)
  assert.equal((await commands.run('cat text')).stdout, text)
})

withSandbox('bytes that are no text', async ({ commands }) => {
  const { stdout } = await commands.run(String.raw`printf 'a\xff\xfeb\xc3'`)
  assert.equal(stdout, 'a\ufffd\ufffdb\ufffd')
})

withSandbox('place and user', async ({ commands }) => {
  const say = async (command, options) => (await commands.run(command, options)).stdout.trim()
  assert.equal(await say('pwd; id -un'), '/home/user\nuser')
  assert.equal(await say('pwd; id -un', { user: 'root', cwd: '/tmp' }), '/tmp\nroot')
  assert.equal(await say('sudo id -u'), '0')
  await assert.rejects(commands.run('true', { user: 'nobodyhere' }), e2b.AuthenticationError)
  await assert.rejects(commands.run('true', { cwd: '/nosuch' }), e2b.InvalidArgumentError)
})

withSandboxes('variables: later ones win', async (create) => {
  const { commands } = await create({ envs: { A: 'sandbox', B: 'sandbox' } })
  const { stdout } = await commands.run('echo $A $B $E2B_SANDBOX', { envs: { B: 'command' } })
  assert.equal(stdout, 'sandbox command true\n')
})

withSandbox('background, list and kill', async ({ commands }) => {
  const handle = await commands.run('sleep 60', { background: true })
  const listed = (await commands.list()).find((process) => process.pid === handle.pid)
  assert.deepEqual([listed.cmd, listed.args], ['/bin/bash', ['-l', '-c', 'sleep 60']])
  assert.equal(await handle.kill(), true)
  await assert.rejects(handle.wait(), e2b.CommandExitError)
  assert.equal(await commands.kill(handle.pid), false)
})

withSandbox('many at once', async ({ commands }) => {
  const numbers = [...Array(30).keys()]
  const said = await Promise.all(numbers.map((n) => commands.run(`sleep 0.1; echo ${n}`)))
  assert.deepEqual(said.map(({ stdout }) => stdout), numbers.map((n) => `${n}\n`))
})

withSandbox('disconnect, and connect by pid', async ({ commands }) => {
  const first = await commands.run('read x; echo $x', { background: true, stdin: true })
  await first.disconnect()
  const second = await commands.connect(first.pid)
  await commands.sendStdin(first.pid, 'late\n')
  assert.equal((await second.wait()).stdout, 'late\n')
})

withSandbox('input', async ({ commands }) => {
  const handle = await commands.run('cat', { background: true, stdin: true })
  await commands.sendStdin(handle.pid, '')
  await commands.sendStdin(handle.pid, 'a é')
  if (commands.closeStdin) {
    await commands.closeStdin(handle.pid)
    assert.equal((await handle.wait()).stdout, 'a é')
  } else {
    await until(() => handle.stdout === 'a é')
    await handle.kill()
  }
  await assert.rejects(commands.sendStdin(999_999, 'x'), e2b.NotFoundError)
  await assert.rejects(commands.connect(999_999), e2b.NotFoundError)
})

withSandbox('time limit', async ({ commands }) => {
  await assert.rejects(commands.run('sleep 30; touch late', { timeoutMs: 1000 }), e2b.TimeoutError)
  await until(async () => !(await commands.list()).some(({ args }) => `${args}`.includes('late')))
  assert.equal((await commands.run('echo x', { timeoutMs: 0 })).stdout, 'x\n')
})

withSandbox('kill of the sandbox during a command', async (sandbox) => {
  const up = promised()
  const handle = await sandbox.commands.run('echo up; sleep 60', { background: true, onStdout: up.resolve })
  await up.promise
  // It may end before the kill is answered.
  const ended = assert.rejects(handle.wait(), e2b.TimeoutError)
  await sandbox.kill()
  await ended
  await assert.rejects(sandbox.commands.run('true'), e2b.SandboxError)
})
