// The first generation of the code interpreter's client, which knows no URL but `https://<port>-<id>.<domain>`: what
// older applications do with it.

import { assert, e2b, withSandboxes } from './contract.mjs'

withSandboxes('an application', async (create) => {
  const sandbox = await create({ metadata: { userID: 'somebody' } })
  await sandbox.files.write('/home/user/data.csv', 'a,b\n1,2\n3,4\n')
  const installed = await sandbox.commands.run('echo installed')
  assert.equal(installed.stdout, 'installed\n')
  const lines = []
  const execution = await sandbox.runCode(
    "import pandas as pd\nimport matplotlib.pyplot as plt\nframe = pd.read_csv('data.csv')\nprint(frame.a.sum())\n" +
      "plt.plot(frame.a, frame.b)\nplt.show()\nint(frame.b.sum())",
    { onStdout: ({ line }) => lines.push(line) },
  )
  assert.equal(execution.error, undefined)
  assert.deepEqual([lines, execution.logs.stdout, execution.text], [['4\n'], ['4\n'], '6'])
  const [figure] = execution.results
  assert.ok(figure.png && figure.chart.type === 'line')
  const failed = await sandbox.runCode('raise ValueError("no")')
  assert.deepEqual([failed.error.name, failed.error.value], ['ValueError', 'no'])
  assert.match(failed.error.traceback, /line 1/)
  assert.match(sandbox.getHost(3000), new RegExp(`^3000-${sandbox.sandboxId}\\.`))
})

withSandboxes('contexts, languages and limits', async (create) => {
  const sandbox = await create({ envs: { GIVEN: 'yes' } })
  const context = await sandbox.createCodeContext({ cwd: '/tmp', language: 'python' })
  assert.equal((await sandbox.runCode("import os; os.getcwd() + os.environ['GIVEN']", { context })).text, '/tmpyes')
  assert.equal((await sandbox.runCode('process.env.GIVEN', { language: 'js' })).text, 'yes')
  assert.equal((await sandbox.runCode('const n: number = 1; n', { language: 'ts' })).text, '1')
  assert.deepEqual((await sandbox.runCode('echo $MORE', { language: 'bash', envs: { MORE: 'm' } })).logs.stdout, ['m\n'])
  await assert.rejects(sandbox.runCode('while True: pass', { timeoutMs: 1000 }), e2b.TimeoutError)
  assert.equal((await sandbox.runCode('1+1', { timeoutMs: 10_000 })).text, '2')
})
