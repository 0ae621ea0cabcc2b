// @grpc/grpc-js drives Ingest and Query of the real backend over TLS: with the CA that the first start made and the key it wrote.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

let grpc, protoLoader
try {
  grpc = (await import('@grpc/grpc-js')).default
  protoLoader = (await import('@grpc/proto-loader')).default
} catch (e) {
  console.log(`SKIP: node_modules of tests/integration is not installed (${e.code ?? e.message})`)
  process.exit(77)
}
const protos = path.join(process.env.SONDE_SOURCE, 'proto')
const { sonde } = grpc.loadPackageDefinition(protoLoader.loadSync(['sonde/v1/ingest.proto', 'sonde/v1/query.proto'],
  { includeDirs: [protos, '/usr/include'], keepCase: true, longs: String, enums: String, oneofs: true }))
const password = 'correct horse battery'
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sonde-node-'))
let backend, http, target, credentials, key

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

before(async () => {
  const [httpPort, grpcPort] = [await freePort(), await freePort()]
  http = `http://127.0.0.1:${httpPort}`
  target = `localhost:${grpcPort}`
  backend = spawn(path.join(process.env.SONDE_BUILD, 'sonde-backend'), ['--store', `sqlite:${folder}/sonde.db`, '--tls', '--http-listen',
    `127.0.0.1:${httpPort}`, '--grpc-listen', `127.0.0.1:${grpcPort}`], { stdio: 'ignore', env: { ...process.env, SONDE_ADMIN_PASSWORD: password } })
  for (let i = 0; ; i++) {
    try {
      if ((await fetch(`${http}/health`)).ok) break
    } catch (e) {
      if (i > 200) throw e
    }
    await sleep(50)
  }
  credentials = grpc.credentials.createSsl(fs.readFileSync(path.join(folder, 'tls/ca.pem')))
  key = fs.readFileSync(path.join(folder, 'agent.key'), 'utf8').trim().split('#')[0]
})
after(async () => {
  const exit = once(backend, 'exit')
  backend.kill('SIGTERM')
  assert.equal((await exit)[0], 0)
  fs.rmSync(folder, { recursive: true })
})

const bearer = (token) => {
  const metadata = new grpc.Metadata()
  metadata.set('authorization', `Bearer ${token}`)
  return metadata
}
const instance = randomBytes(16)
const hostId = randomUUID()

function hello() {
  const set = path.join(folder, 'set')
  execFileSync('protoc', [`-I${protos}`, '-I/usr/include', '--include_imports', `--descriptor_set_out=${set}`, 'sonde/v1/snapshot.proto'])
  return { host_id: hostId, hostname: 'from-node', instance, boot_id: Buffer.alloc(16, 7),
    descriptor_hash: createHash('sha256').update(fs.readFileSync(set)).digest(), facts: { agent_version: 'node' } }
}
const snapshot = (sequence) => ({ boot_id: Buffer.alloc(16, 7), instance, sequence, interval_ms: 1000, boottime_us: sequence * 1e6,
  timestamp: { seconds: Math.floor(Date.now() / 1000), nanos: 0 }, summary: { state: { code: 1 }, cpu_busy_ratio: 0.25 } })

test('Ingest: a stream of its own, acknowledged', async () => {
  const client = new sonde.v1.Ingest(target, credentials)
  const call = client.Stream(bearer(key))
  const replies = call[Symbol.asyncIterator]()
  const next = async (kind) => {
    for (;;) {
      const { value } = await replies.next()
      if (value[kind]) return value[kind]
    }
  }
  call.write({ hello: hello() })
  const welcome = await next('welcome')
  assert.equal(welcome.hostname, 'from-node')
  call.write({ batch: { snapshots: [snapshot(1), snapshot(2), snapshot(3)] } })
  const { accepted, rejected } = await next('acknowledgement')
  assert.deepEqual(accepted.map((r) => [r.first, r.last]), [['1', '3']])
  assert.deepEqual(rejected ?? [], [])
  call.end()
  for await (const rest of replies) assert.ok(rest)
  client.close()
})

test('a wrong key is UNAUTHENTICATED', async () => {
  const client = new sonde.v1.Ingest(target, credentials)
  const call = client.Stream(bearer(`${key}x`))
  call.on('data', () => {})
  const [error] = await once(call, 'error')
  assert.equal(error.code, grpc.status.UNAUTHENTICATED)
  client.close()
})

test('Query finds the host', async () => {
  const client = new sonde.v1.Query(target, credentials)
  const ask = (method, request, metadata) => new Promise((resolve, reject) =>
    client[method](request, metadata, (error, reply) => (error ? reject(error) : resolve(reply))))
  await assert.rejects(ask('ListHosts', {}, new grpc.Metadata()), { code: grpc.status.UNAUTHENTICATED })
  const login = await fetch(`${http}/token`, { method: 'POST', body: new URLSearchParams({ username: 'admin', password }) })
  const { access_token } = await login.json()
  const { servers } = await ask('ListHosts', {}, bearer(access_token))
  assert.deepEqual(servers.map((s) => s.hostname), ['from-node'])
  const { metrics } = await ask('ListMetrics', {}, bearer(access_token))
  assert.ok(metrics.length > 100)
  client.close()
})
