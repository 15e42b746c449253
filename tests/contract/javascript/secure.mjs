// Tokens of sandboxes and signed URLs of files.

import { assert, atLeast, e2b, Sandbox, withSandbox, withSandboxes } from './contract.mjs'

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

withSandboxes('the token of one sandbox is for it alone', async (create) => {
  const [one, other] = [await create(), await create()]
  // The client sends the token that it was given, whatever the sandbox.
  const stranger = await Sandbox.connect(one.sandboxId)
  assert.equal(stranger.envdAccessToken, one.envdAccessToken)
  assert.notEqual(one.envdAccessToken, other.envdAccessToken)
  const base = process.env.E2B_SANDBOX_URL ?? `https://${one.getHost(49983)}`
  const ask = (token) => {
    const named = { 'E2b-Sandbox-Id': one.sandboxId, 'E2b-Sandbox-Port': '49983' }
    return fetch(`${base}/envs`, { headers: { ...named, ...(token && { 'X-Access-Token': token }) } })
  }
  assert.equal((await ask(one.envdAccessToken)).status, 200)
  for (const token of [undefined, 'wrong', other.envdAccessToken, process.env.E2B_API_KEY]) {
    assert.equal((await ask(token)).status, 401)
  }
})

withSandboxes('without a token', async (create) => {
  if (atLeast(2, 50)) return // it always wants one
  const sandbox = await create({ secure: false })
  await sandbox.files.write('x', 'open')
  assert.equal(await sandbox.files.read('x'), 'open')
  await assert.rejects(sandbox.downloadUrl('x', { useSignatureExpiration: 5 }), e2b.InvalidArgumentError ?? Error)
})
