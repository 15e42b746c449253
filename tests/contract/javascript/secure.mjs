// Tokens of sandboxes and signed URLs of files.

import { assert, withSandbox } from './contract.mjs'

withSandbox('signed URLs', async (sandbox) => {
  await sandbox.files.write('signed', 'content')
  for (const options of [{}, { user: 'user' }, { useSignatureExpiration: 60_000 }]) {
    const answer = await fetch(await sandbox.downloadUrl('signed', options))
    assert.deepEqual([answer.status, await answer.text()], [200, 'content'])
  }
  const form = new FormData()
  form.append('file', new Blob(['up']), 'any')
  const up = await fetch(await sandbox.uploadUrl('up'), { method: 'POST', body: form })
  assert.equal(up.status, 200)
  assert.equal(await sandbox.files.read('up'), 'up')
})

withSandbox('expired and wrong URLs', async (sandbox) => {
  await sandbox.files.write('signed', 'content')
  const url = await sandbox.downloadUrl('signed', { useSignatureExpiration: -120 })
  const expired = await fetch(url)
  assert.equal(expired.status, 401)
  assert.deepEqual(await expired.json(), { code: 401, message: 'signature is already expired' })
  const other = await fetch((await sandbox.downloadUrl('signed')).replace('path=signed', 'path=other'))
  assert.equal(other.status, 401)
})
