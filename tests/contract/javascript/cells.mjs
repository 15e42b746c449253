// The code interpreter: cells, what they give, contexts, languages, time limits.

import { assert, e2b, withSandboxes } from './contract.mjs'

/** For calls that are refused: the client's clock of such a one runs on, and keeps the process. */
const brief = { timeoutMs: 1000 }

/** A test with a sandbox whose cells must not fail unless that is said. */
const withCells = (name, body, options) =>
  withSandboxes(name, async (create) => {
    const sandbox = await create(options)
    const cell = async (code, options) => {
      const execution = await sandbox.runCode(code, options)
      assert.equal(execution.error, undefined, execution.error?.traceback)
      return execution
    }
    await body(sandbox, cell)
  })

withCells('results', async (sandbox, cell) => {
  const first = await cell('x = 1; x')
  assert.deepEqual([first.text, first.executionCount, first.results.length], ['1', 1, 1])
  assert.equal((await cell('x += 1; x')).executionCount, 2)
  assert.equal((await cell("import os; os.getcwd()")).text, '/home/user')
  const { results } = await cell(
    "display({'text/html': '<b>é🙂</b>', 'image/png': 'cG5n', 'application/json': [1, None], 'a/b': 'c'}, raw=True)\n{'a': 1}",
  )
  assert.deepEqual([results[0].html, results[0].png, results[0].json, results[0].isMainResult], ['<b>é🙂</b>', 'cG5n', [1, null], false])
  assert.deepEqual([results[1].text, results[1].json, results[1].isMainResult], ["{'a': 1}", { a: 1 }, true])
  const frame = await cell("import pandas as pd; pd.DataFrame({'a': [1, float('nan')], 'b': ['x', 'y']})")
  assert.deepEqual(frame.results[0].data, { a: [1, null], b: ['x', 'y'] })
  assert.ok(frame.results[0].formats().includes('html'))
  const figure = await cell("import matplotlib.pyplot as plt\nplt.bar(['A'], [2]); plt.title('T')\nplt.show()")
  assert.deepEqual([figure.results[0].chart.type, figure.results[0].chart.title], ['bar', 'T'])
  assert.deepEqual([...Buffer.from(figure.results[0].png, 'base64').subarray(1, 4)], [...Buffer.from('PNG')])
})

withCells('output and errors', async (sandbox, cell) => {
  const seen = []
  const hear = (kind) => (told) => seen.push([kind, told.line ?? told.text ?? told.name])
  const execution = await sandbox.runCode("import sys\nprint('out')\nsys.stdout.flush()\ndisplay(1)\nprint('err', file=sys.stderr)\n1/0", {
    onStdout: hear('stdout'),
    onStderr: hear('stderr'),
    onResult: hear('result'),
    onError: hear('error'),
  })
  assert.deepEqual(Object.fromEntries(seen), { stdout: 'out\n', result: '1', stderr: 'err\n', error: 'ZeroDivisionError' })
  assert.deepEqual(execution.logs, { stdout: ['out\n'], stderr: ['err\n'] })
  assert.match(execution.error.traceback, /Cell In\[\d+\], line 6/)
  const much = await cell("print('é🙂' * 500_000)")
  assert.equal(much.logs.stdout.join(''), 'é🙂'.repeat(500_000) + '\n')
  assert.equal((await sandbox.runCode("input('?')")).error.name, 'StdinNotImplementedError')
})

withCells(
  'contexts and environment',
  async (sandbox, cell) => {
    assert.deepEqual((await sandbox.listCodeContexts()).map(({ language }) => language), ['python', 'javascript'])
    await sandbox.files.makeDir('/home/user/project')
    const context = await sandbox.createCodeContext({ cwd: '/home/user/project' })
    assert.deepEqual([context.language, context.cwd], ['python', '/home/user/project'])
    const look = "import os; [os.getcwd(), os.environ.get('GIVEN'), os.environ.get('MORE')]"
    const given = { context, envs: { MORE: "m'" } }
    assert.deepEqual((await cell(look, given)).results[0].json, ['/home/user/project', 'yes', "m'"])
    assert.deepEqual((await cell(look, { context })).results[0].json, ['/home/user/project', 'yes', null])
    await cell('x = 1', { context })
    await sandbox.restartCodeContext(context)
    assert.equal((await sandbox.runCode('x', { context })).error.name, 'NameError')
    assert.equal((await sandbox.listCodeContexts()).at(-1).id, context.id)
    await sandbox.removeCodeContext(context)
    await assert.rejects(sandbox.runCode('1', { context, ...brief }), e2b.NotFoundError)
  },
  { envs: { GIVEN: 'yes' } },
)

withCells('languages', async (sandbox, cell) => {
  const languages = {
    javascript: ["console.log('out'); const x = await Promise.resolve([1]); x", '[ 1 ]'],
    js: ["import path from 'node:path'; path.join('a', 'b') + x[0]", 'a/b1'],
    typescript: ["console.log('out'); const n: number = 5; n", '5'],
    ts: ["console.log('out'); n + 1", '6'],
    python: ["print('out'); 1", '1'],
  }
  for (const [language, [code, text]] of Object.entries(languages)) {
    const execution = await cell(code, { language })
    assert.equal(execution.text, text, language)
  }
  assert.deepEqual((await cell('echo out', { language: 'bash' })).logs.stdout, ['out\n'])
  await assert.rejects(sandbox.runCode('1', { language: 'cobol', ...brief }), e2b.SandboxError)
})

withCells('time limits', async (sandbox, cell) => {
  for (const [language, code] of [['python', 'import time; time.sleep(300)'], ['javascript', 'for (;;);']]) {
    await assert.rejects(sandbox.runCode(code, { language, timeoutMs: 1000 }), e2b.TimeoutError)
    assert.equal((await cell('1+1', { language, timeoutMs: 10_000 })).text, '2')
  }
  const crashed = await sandbox.runCode('import os; os._exit(1)')
  assert.equal(crashed.error.name, 'ContextRestarting')
  assert.equal((await cell('1+1')).text, '2')
})
