// Files: every way to read and write them, what is told about them, and what cannot be done.

import { randomBytes } from 'node:crypto'
import { assert, atLeast, e2b, withSandbox } from './contract.mjs'

const HOME = '/home/user'

async function gather(stream) {
  const pieces = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces)
}

withSandbox('text', async ({ files }) => {
  const text = 'aé中🙂\n\0 end'
  const info = await files.write('text.txt', text)
  assert.deepEqual([info.path, info.name, info.type], [`${HOME}/text.txt`, 'text.txt', 'file'])
  assert.equal(await files.read('text.txt'), text)
  await files.write('text.txt', 'short')
  assert.equal(await files.read('text.txt'), 'short')
})

withSandbox('bytes, blobs and streams', async ({ files }) => {
  const content = randomBytes(3 * 1024 * 1024)
  const buffer = content.buffer.slice(content.byteOffset, content.byteOffset + content.length)
  await files.write('buffer', buffer)
  assert.ok(content.equals(await files.read('buffer', { format: 'bytes' })))
  await files.write('blob', new Blob([content]))
  assert.ok(content.equals(Buffer.from(await (await files.read('blob', { format: 'blob' })).arrayBuffer())))
  await files.write('stream', new Blob([content]).stream())
  assert.ok(content.equals(await gather(await files.read('stream', { format: 'stream' }))))
})

withSandbox('nothing', async ({ files }) => {
  await files.write('empty', '')
  assert.equal(await files.read('empty'), '')
  assert.equal((await files.read('empty', { format: 'bytes' })).length, 0)
  assert.equal((await (await files.read('empty', { format: 'blob' })).arrayBuffer()).byteLength, 0)
})

withSandbox('compressed and as octets', async ({ files }) => {
  if (!atLeast(2, 40)) return
  const text = 'much of the same '.repeat(50_000)
  await files.write('z', text, { gzip: true })
  assert.equal(await files.read('z', { gzip: true }), text)
  await files.write('o', text, { useOctetStream: true })
  assert.equal((await files.getInfo('o')).size, text.length)
})

withSandbox('many at once', async ({ files }) => {
  const entries = [...Array(50).keys()].map((n) => ({ path: `many/${n % 7}/é ${n}.txt`, data: `${n}` }))
  const infos = await files.write(entries)
  assert.deepEqual(infos.map(({ path }) => path), entries.map(({ path }) => `${HOME}/${path}`))
  assert.equal(await files.read('many/2/é 9.txt'), '9')
  assert.deepEqual(await files.write([]), [])
})

withSandbox('metadata', async ({ files }) => {
  if (!atLeast(2, 40)) return
  await files.write('noted', 'x', { metadata: { Author: 'ann' } })
  assert.deepEqual((await files.getInfo('noted')).metadata, { author: 'ann' })
  await files.write('noted', 'x')
  assert.equal((await files.getInfo('noted')).metadata, undefined)
})

withSandbox('files without a size, and root', async ({ files, commands }) => {
  assert.match(await files.read('/proc/sys/kernel/random/boot_id'), /^[0-9a-f-]{36}\n$/)
  await files.write('/etc/mine', 'x', { user: 'root' })
  assert.equal((await commands.run('stat -c %U /etc/mine')).stdout, 'root\n')
})

withSandbox('what is not there or of the wrong kind', async ({ files }) => {
  await assert.rejects(files.read('nosuch'), e2b.NotFoundError)
  await assert.rejects(files.list('nosuch'), e2b.NotFoundError)
  await assert.rejects(files.rename('nosuch', 'x'), e2b.NotFoundError)
  await assert.rejects(files.read('/tmp'), e2b.InvalidArgumentError)
  await assert.rejects(files.write('/tmp', 'x'), e2b.InvalidArgumentError)
  await assert.rejects(files.list('/etc/passwd'), e2b.InvalidArgumentError)
  await assert.rejects(files.read('x', { user: 'nobodyhere' }), e2b.AuthenticationError)
  assert.equal(await files.exists('nosuch'), false)
  await files.remove('nosuch')
})

withSandbox('directories', async ({ files }) => {
  assert.equal(await files.makeDir('d/deep'), true)
  assert.equal(await files.makeDir('d/deep'), false)
  for (const path of ['d/file1.txt', 'd/sub1/file', 'd/sub1/deep/x']) await files.write(path, 'x')
  const names = async (depth) => (await files.list('d', { depth })).map(({ path }) => path.slice(`${HOME}/d/`.length))
  assert.deepEqual(await names(1), ['deep', 'file1.txt', 'sub1'])
  assert.deepEqual(await names(2), ['deep', 'file1.txt', 'sub1', 'sub1/deep', 'sub1/file'])
  const { path, type } = await files.rename('d', 'e/f')
  assert.deepEqual([path, type], [`${HOME}/e/f`, 'dir'])
  await files.remove('e')
  assert.equal(await files.exists('e/f/file1.txt'), false)
})

withSandbox('entries', async ({ files, commands }) => {
  if (!files.getInfo) return
  await files.write('entry', '12345')
  await commands.run('chmod 750 entry; ln -s entry link')
  const { size, mode, permissions, owner, group, type } = await files.getInfo('entry')
  assert.deepEqual([size, mode, permissions, owner, group, type], [5, 0o750, '-rwxr-x---', 'user', 'user', 'file'])
  assert.equal((await files.getInfo('link')).symlinkTarget, `${HOME}/entry`)
})
