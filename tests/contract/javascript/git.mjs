// The client's helpers for git, against a `git daemon` in the sandbox itself.

import { assert, until, withSandbox } from './contract.mjs'

const DAEMON = 'git daemon --reuseaddr --listen=127.0.0.1 --base-path=/home/user/served --export-all --enable=receive-pack'

withSandbox('commit, push, clone and pull', async ({ git, files, commands }) => {
  await git.configureUser('Ann', 'ann@example.com')
  await git.init('served/r.git', { bare: true, initialBranch: 'main' })
  await commands.run(DAEMON, { background: true, timeoutMs: 0 })
  await until(async () => (await commands.run('ss -ltn')).stdout.includes(':9418'))
  const url = 'git://127.0.0.1/r.git'
  await git.init('r', { initialBranch: 'main' })
  await files.write('r/file', 'one\n')
  const status = await git.status('r')
  assert.deepEqual(status.fileStatus.map(({ name, status }) => [name, status]), [['file', 'untracked']])
  await git.add('r')
  await git.commit('r', 'first')
  await git.remoteAdd('r', 'origin', url)
  await git.push('r', { remote: 'origin', branch: 'main' })
  await git.clone(url, { path: 'copy' })
  assert.equal(await files.read('copy/file'), 'one\n')
  await git.createBranch('copy', 'side')
  assert.equal((await git.branches('copy')).currentBranch, 'side')
})

withSandbox('branches, settings, changes that are taken back', async ({ git, files }) => {
  await git.configureUser('Ann', 'ann@example.com')
  await git.init('r', { initialBranch: 'main' })
  await files.write('r/file', 'one\n')
  await git.add('r')
  await git.commit('r', 'first')
  await git.createBranch('r', 'side')
  const { branches, currentBranch } = await git.branches('r')
  assert.deepEqual([branches.toSorted(), currentBranch], [['main', 'side'], 'side'])
  await git.checkoutBranch('r', 'main')
  await git.deleteBranch('r', 'side')
  assert.deepEqual((await git.branches('r')).branches, ['main'])
  assert.equal(await git.getConfig('user.name'), 'Ann')
  await files.write('r/file', 'two\n')
  await git.restore('r', { paths: ['file'] })
  assert.equal((await git.status('r')).isClean, true)
  await files.write('r/file', 'two\n')
  await git.reset('r', { mode: 'hard' })
  assert.equal(await files.read('r/file'), 'one\n')
})
