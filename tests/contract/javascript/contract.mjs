// What the scripts share: the client, sandboxes that go with their test, and waiting.

import assert from 'node:assert/strict'
import dns from 'node:dns'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { pathToFileURL } from 'node:url'

const { lookup } = dns
// What a resolver may do, and not every machine's does: names below `localhost` are this machine.
dns.lookup = (host, ...rest) => lookup(host.endsWith('.localhost') ? '127.0.0.1' : host, ...rest)

const path = process.env.E2B_MODULE
/** The client, whose version the one who runs the script chose. */
export const e2b = await import(pathToFileURL(path))
export const { Sandbox } = e2b
const { version } = JSON.parse(readFileSync(new URL('../package.json', pathToFileURL(path))))
const [major, minor] = version.split('.').map(Number)
/** Whether the client is of that version or a later one. */
export const atLeast = (...wanted) => major > wanted[0] || (major === wanted[0] && minor >= wanted[1])

/** A test that is given a way to make sandboxes, which end with it. */
export function withSandboxes(name, body) {
  test(name, async () => {
    const made = []
    const create = async ({ template, ...options } = {}) => {
      const all = { timeoutMs: 120_000, ...options }
      const sandbox = await (template ? Sandbox.create(template, all) : Sandbox.create(all))
      made.push(sandbox)
      return sandbox
    }
    try {
      await body(create)
    } finally {
      await Promise.all(made.map((sandbox) => sandbox.kill()))
    }
  })
}

/** A test with a sandbox like any other. */
export const withSandbox = (name, body) => withSandboxes(name, async (create) => body(await create()))

/** Waits until `condition` gives something, and gives that. */
export async function until(condition, withinMs = 15_000) {
  const deadline = Date.now() + withinMs
  for (;;) {
    const value = await condition()
    if (value) return value
    assert.ok(Date.now() < deadline, `not within ${withinMs} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A promise and what fulfils it. */
export function promised() {
  let resolve
  const promise = new Promise((fulfil) => (resolve = fulfil))
  return { promise, resolve }
}

export { assert, test }
