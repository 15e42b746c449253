// Watching directories: events come by themselves.

import { assert, atLeast, e2b, promised, until, withSandbox } from './contract.mjs'

const seen = (events) => events.map(({ name, type }) => `${name} ${type}`)

withSandbox('a new file is three events', async ({ files }) => {
  await files.makeDir('w')
  const events = []
  const handle = await files.watchDir('w', (event) => void events.push(event))
  await files.write('w/new', 'x')
  await until(() => events.length >= 3)
  assert.deepEqual(seen(events), ['new create', 'new chmod', 'new write'])
  await files.rename('w/new', 'w/old')
  await files.remove('w/old')
  await until(() => events.length >= 6)
  assert.deepEqual(seen(events).slice(3), ['new rename', 'old create', 'old remove'])
  await handle.stop()
})

withSandbox('recursive, with a directory made later', async ({ files }) => {
  await files.makeDir('w')
  const events = []
  const handle = await files.watchDir('w', (event) => void events.push(event), { recursive: true })
  await files.makeDir('w/later/deep')
  await files.write('w/later/deep/x', 'x')
  await until(() => seen(events).includes('later/deep/x write'))
  await handle.stop()
})

withSandbox('entries', async ({ files }) => {
  if (!atLeast(2, 40)) return
  await files.makeDir('w')
  const events = []
  const handle = await files.watchDir('w', (event) => void events.push(event), { includeEntry: true })
  await files.write('w/new', '12345')
  await until(() => events.length >= 3)
  assert.deepEqual([events[2].entry.path, events[2].entry.size], ['/home/user/w/new', 5])
  await handle.stop()
})

withSandbox('the end of a watch is told', async ({ files }) => {
  await files.makeDir('w')
  const ended = promised()
  const handle = await files.watchDir('w', () => {}, { onExit: ended.resolve })
  await handle.stop()
  await ended.promise
})

withSandbox('a time limit ends a watch', async ({ files }) => {
  await files.makeDir('w')
  const ended = promised()
  await files.watchDir('w', () => {}, { timeoutMs: 500, onExit: ended.resolve })
  assert.ok((await ended.promise) instanceof Error)
})

withSandbox('what cannot be watched', async ({ files }) => {
  await assert.rejects(files.watchDir('nosuch', () => {}), e2b.NotFoundError)
  await assert.rejects(files.watchDir('/etc/passwd', () => {}), e2b.InvalidArgumentError)
})
