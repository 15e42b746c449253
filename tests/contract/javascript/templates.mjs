// Templates: built, tagged, used. Against a server that has a real `base`.

import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert, atLeast, e2b, withSandboxes } from './contract.mjs'

const { Template, Sandbox } = e2b
const size = { cpuCount: 1, memoryMB: 512 }
const name = () => `t-${crypto.randomUUID().slice(0, 8)}`

function remove(template) {
  const headers = { 'X-API-KEY': process.env.E2B_API_KEY }
  return fetch(`${process.env.E2B_API_URL}/templates/${template}`, { method: 'DELETE', headers })
}

withSandboxes('build and use', async (create) => {
  const template = name()
  const context = mkdtempSync(join(tmpdir(), 'context-'))
  // Servers of other tests share the layers: what shall be built and not found must be new.
  writeFileSync(join(context, 'file.txt'), template)
  const heard = []
  const plan = Template({ fileContextPath: context })
    .fromTemplate('base')
    .copy('file.txt', '/app/')
    .setEnvs({ WORD: 'said' })
    .setWorkdir('/app')
    .runCmd('echo $WORD > word; echo told')
  const onBuildLogs = (entry) => heard.push(entry.message)
  const built = await Template.build(plan, template, { ...size, onBuildLogs })
  assert.equal(heard.filter((line) => line === 'told').length, 1, heard.join('\n'))
  const sandbox = await create({ template })
  assert.equal(await sandbox.files.read('/app/file.txt'), template)
  assert.equal((await sandbox.commands.run('cat word; pwd')).stdout, 'said\n/app\n')
  const info = await sandbox.getInfo()
  assert.equal(info.templateId, built.templateId)
  assert.equal(await Template.exists(template), true)
  assert.equal((await remove(template)).status, 204)
  assert.equal(await Template.exists(template), false)
})

withSandboxes('a step that fails', async () => {
  const template = name()
  const plan = Template().fromTemplate('base').runCmd('echo before').runCmd('exit 7')
  await assert.rejects(Template.build(plan, template, size), /exit status 7/)
  await assert.rejects(Sandbox.create(template), /not found/)
  await remove(template)
})

if (atLeast(2, 46)) {
  withSandboxes('tags', async (create) => {
    const template = name()
    const plan = (word) => Template().fromTemplate('base').runCmd(`echo ${word} > /tmp/said`)
    const said = async (of) => (await (await create({ template: of })).files.read('/tmp/said')).trim()
    const one = await Template.build(plan('one'), `${template}:v1`, size)
    await Template.build(plan('two'), template, size)
    assert.deepEqual([await said(`${template}:v1`), await said(template)], ['one', 'two'])
    const tagged = await Template.assignTags(`${template}:v1`, ['default', 'old'])
    assert.equal(tagged.buildId, one.buildId)
    assert.equal(await said(template), 'one')
    await Template.removeTags(template, ['old'])
    const tags = await Template.getTags(template)
    assert.deepEqual(tags.map((tag) => tag.tag).sort(), ['default', 'v1'])
    await remove(template)
  })
}
