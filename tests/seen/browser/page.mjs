// Looks at the server's page with a real browser, as a person would: `node tests/seen/browser/page.mjs DIRECTORY`,
// with the variables that `soulbox env` prints. Needs Chromium (`apt-get install chromium`; `CHROMIUM` names
// another one) and Node.js 22. Pictures of what was seen go into the directory.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tab, browserIn, until } from './tab.mjs'

const server = process.env.E2B_API_URL
const key = process.env.E2B_API_KEY
const pictures = process.argv[2]
assert.ok(server && key && pictures, 'set E2B_API_URL and E2B_API_KEY, and name a directory for the pictures')
mkdirSync(pictures, { recursive: true })

async function api(method, path, body) {
  const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' }
  const answer = await fetch(`${server}${path}`, { method, headers, body: body && JSON.stringify(body) })
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`)
  return answer.status === 204 ? null : answer.json()
}

const made = []
async function create(timeout = 600) {
  const { sandboxID } = await api('POST', '/v2/sandboxes', { templateID: 'base', timeout })
  made.push(sandboxID)
  return sandboxID
}

async function look(tab) {
  const picture = async (name) => writeFileSync(join(pictures, `${name}.png`), await tab.picture())
  const row = (id) => `[...document.querySelectorAll('tbody tr')].find((row) => row.dataset.id === ${JSON.stringify(id)})`
  const text = (id) => tab.run(`${row(id)}?.innerText ?? ''`)
  const press = (id, label) => tab.run(`[...${row(id)}.querySelectorAll('button')].find((button) => button.innerText === '${label}').click()`)
  const shown = (id, ...words) => until(async () => {
    const found = await text(id)
    return words.every((word) => found.includes(word))
  }, `${words} in the row of ${id}`)

  await tab.open(`${server}/`)
  await picture('key')
  const enter = (text) => tab.run(`document.getElementById('key').value = '${text}'; document.querySelector('#enter button').click()`)
  await enter('wrong')
  await until(() => tab.run(`document.getElementById('said').innerText !== ''`), 'a wrong key is told')
  await enter(key)

  const [running, paused, killed, expired] = [await create(), await create(), await create(), await create(1)]
  await api('POST', `/sandboxes/${paused}/pause`)
  await api('DELETE', `/sandboxes/${killed}`)
  await shown(running, 'running')
  await shown(paused, 'paused')
  await shown(killed, 'killed')
  await shown(expired, 'expired')
  await until(async () => /\d+ [KM]iB of/.test(await text(running)), 'what it uses is shown')
  await picture('sandboxes')

  await press(running, 'Terminal')
  await until(() => tab.run(`document.getElementById('panel-said').innerText === 'connected'`), 'a terminal')
  const screen = () => tab.run(`document.querySelector('.xterm-rows').innerText`)
  await until(async () => (await screen()).includes('$'), 'a prompt')
  await tab.type('echo $((6*7))-$(id -un); ls --color=always -d / /etc\r')
  await until(async () => (await screen()).includes('42-'), 'the answer of the shell')
  await picture('terminal')
  await tab.type('exit 3\r')
  await until(() => tab.run(`document.getElementById('panel-said').innerText.includes('ended')`), 'the end of the shell')

  await press(paused, 'Events')
  await until(async () => (await tab.run(`document.getElementById('panel-body').innerText`)).includes('paused'), 'events')
  await picture('events')

  await press(running, 'Kill')
  await press(running, 'Really kill?')
  await shown(running, 'killed')
  await tab.run(`document.getElementById('panel-close').click()`)
  await until(async () => (await tab.run(`document.getElementById('live-count').innerText`)) === '1', 'one is left')
  await picture('after')
  await tab.run(`document.getElementById('forget').click()`)
  assert.equal(await tab.run(`document.getElementById('main').hidden && sessionStorage.length === 0`), true)
  assert.deepEqual(tab.complaints.filter((text) => !text.includes('401')), [], 'the browser found nothing wrong')
}

const profile = mkdtempSync(join(tmpdir(), 'page-'))
const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0', `--user-data-dir=${profile}`]
const browser = spawn(process.env.CHROMIUM ?? 'chromium', [...flags, '--window-size=1280,800', 'about:blank'], { stdio: 'ignore' })
try {
  const tab = new Tab(await browserIn(profile))
  await tab.ready
  await look(tab)
  tab.close()
  console.log(`the page is as it should be; pictures are in ${pictures}`)
} finally {
  const ended = new Promise((resolve) => browser.once('exit', resolve))
  browser.kill()
  await ended
  // Its helpers end after it, and write until then.
  await until(() => {
    try {
      rmSync(profile, { recursive: true, force: true })
      return true
    } catch {
      return false
    }
  }, 'the profile can be removed')
  for (const id of made) await api('DELETE', `/sandboxes/${id}`).catch(() => {})
}
