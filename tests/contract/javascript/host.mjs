// Servers in a sandbox, reached by the host names that the client makes.

import { assert, until, withSandboxes } from './contract.mjs'

/** A sandbox with a server on port 8000. Gives it and a way to ask that port. */
async function serve(create, options) {
  const sandbox = await create(options)
  await sandbox.files.write('page', 'served')
  await sandbox.commands.run('python3 -m http.server 8000', { background: true, timeoutMs: 0 })
  const token = sandbox.trafficAccessToken
  const ask = async (headers = token ? { 'e2b-traffic-access-token': token } : {}, port = 8000) => {
    const answer = await fetch(`https://${sandbox.getHost(port)}/page`, { headers })
    return [answer.status, await answer.text()]
  }
  await until(async () => (await ask())[0] === 200)
  return [sandbox, ask]
}

withSandboxes('names the port and the sandbox', async (create) => {
  const [sandbox, ask] = await serve(create)
  const { sandboxId } = sandbox
  assert.equal(sandbox.getHost(8000), `8000-${sandboxId}.${process.env.E2B_DOMAIN}`)
  assert.deepEqual(await ask(), [200, 'served'])
  const [closed, why] = await ask({}, 8001)
  const message = 'The sandbox is running but port is not open'
  assert.deepEqual([closed, JSON.parse(why)], [502, { sandboxId, message, port: 8001, code: 502 }])
  await sandbox.kill()
  const [gone, told] = await ask()
  assert.deepEqual([gone, JSON.parse(told)], [502, { sandboxId, message: 'The sandbox was not found', code: 502 }])
})

withSandboxes('a request wakes the sandbox', async (create) => {
  const lifecycle = { onTimeout: 'pause', autoResume: true }
  const [sandbox, ask] = await serve(create, { lifecycle })
  await sandbox.pause()
  assert.deepEqual(await ask(), [200, 'served'])
  assert.equal((await sandbox.getInfo()).state, 'running')
})

withSandboxes('ports that are not public', async (create) => {
  const [, ask] = await serve(create, { network: { allowPublicTraffic: false } })
  assert.equal((await ask({}))[0], 403)
  assert.equal((await ask({ 'e2b-traffic-access-token': 'wrong' }))[0], 403)
  assert.deepEqual(await ask(), [200, 'served'])
})

withSandboxes('WebSockets', async (create) => {
  const [sandbox] = await serve(create)
  const server = `
import base64, hashlib, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        key = [line for line in iter(self.rfile.readline, b'\\r\\n') if line.lower().startswith(b'sec-websocket-key')][0]
        key = key.split(b':')[1].strip() + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        accept = base64.b64encode(hashlib.sha1(key).digest())
        self.wfile.write(b'HTTP/1.1 101 Go\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + b'\\r\\n\\r\\n')
        self.wfile.write(b'\\x81\\x05hello')
        self.rfile.read(1)
socketserver.ThreadingTCPServer(('127.0.0.1', 9000), Handler).serve_forever()
`
  await sandbox.files.write('server.py', server)
  await sandbox.commands.run('python3 server.py', { background: true, timeoutMs: 0 })
  const heard = () => new Promise((resolve) => {
    const socket = new WebSocket(`wss://${sandbox.getHost(9000)}/`)
    socket.onmessage = ({ data }) => {
      resolve(data)
      socket.close()
    }
    socket.onerror = () => resolve(null)
  })
  assert.equal(await until(heard), 'hello')
})
