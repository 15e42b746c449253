// A tab of a browser, by Chromium's own protocol (https://chromedevtools.github.io/devtools-protocol).

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Waits until `condition` gives something, and gives that. */
export async function until(condition, what, withinMs = 20_000) {
  const deadline = Date.now() + withinMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The address of the first tab of the browser with that profile. */
export async function browserIn(profile) {
  const port = await until(() => {
    try {
      return readFileSync(join(profile, 'DevToolsActivePort'), 'utf8').split('\n')[0]
    } catch {
      return null
    }
  }, 'the browser starts')
  const find = async () => (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()).find(({ type }) => type === 'page')
  return (await until(find, 'the browser has a tab')).webSocketDebuggerUrl
}

export class Tab {
  /** What the browser found wrong: errors of scripts and of loading. */
  complaints = []
  #socket
  #asked = new Map()
  #heard = new Map()
  #last = 0

  constructor(address) {
    this.#socket = new WebSocket(address)
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data))
    this.ready = new Promise((resolve) => (this.#socket.onopen = resolve)).then(async () => {
      for (const domain of ['Page', 'Runtime', 'Log']) await this.#ask(`${domain}.enable`)
    })
  }

  #take({ id, method, params, result, error }) {
    if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text)
    if (method === 'Log.entryAdded' && params.entry.level === 'error') this.complaints.push(params.entry.text)
    this.#heard.get(method)?.()
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    if (error) asked?.reject(new Error(error.message))
    else asked?.resolve(result)
  }

  #ask(method, params = {}) {
    const id = ++this.#last
    this.#socket.send(JSON.stringify({ id, method, params }))
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }))
  }

  async open(url) {
    const loaded = new Promise((resolve) => this.#heard.set('Page.loadEventFired', resolve))
    await this.#ask('Page.navigate', { url })
    await loaded
  }

  /** Runs a script in the page and gives its value. */
  async run(expression) {
    const { result, exceptionDetails } = await this.#ask('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(`${exceptionDetails.exception?.description ?? exceptionDetails.text}: ${expression}`)
    return result.value
  }

  /** Types where the focus is. */
  async type(text) {
    for (const letter of text) {
      const enter = letter === '\r' ? { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 } : { key: letter }
      await this.#ask('Input.dispatchKeyEvent', { type: 'keyDown', text: letter, ...enter })
      await this.#ask('Input.dispatchKeyEvent', { type: 'keyUp', ...enter })
    }
  }

  async picture() {
    const { data } = await this.#ask('Page.captureScreenshot', { format: 'png' })
    return Buffer.from(data, 'base64')
  }

  close() {
    this.#socket.close()
  }
}
