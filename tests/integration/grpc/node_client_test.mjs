// @grpc/grpc-js with @grpc/proto-loader against the server library, and against our schema.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import readline from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

let grpc, protoLoader
try {
  grpc = (await import('@grpc/grpc-js')).default
  protoLoader = (await import('@grpc/proto-loader')).default
} catch (e) {
  console.log(`SKIP: node_modules of tests/integration is not installed (${e.code ?? e.message})`)
  process.exit(77)
}

const source = process.env.SONDE_SOURCE
const includeDirs = [path.join(source, 'proto'), path.join(source, 'tests/integration/grpc'), '/usr/include']
const load = (options, ...files) => grpc.loadPackageDefinition(protoLoader.loadSync(files, { includeDirs, keepCase: true, ...options }))
const status = grpc.status

class Server {
  async start() {
    this.process = spawn(path.join(process.env.SONDE_BUILD, 'grpc_test_server'), { stdio: ['pipe', 'pipe', 'inherit'] })
    this.lines = readline.createInterface(this.process.stdout)[Symbol.asyncIterator]()
    const [word, port] = (await this.lines.next()).value.split(' ')
    assert.equal(word, 'PORT')
    this.target = `127.0.0.1:${port}`
  }
  async command(line) {
    this.process.stdin.write(`${line}\n`)
    return (await this.lines.next()).value
  }
  async stop(grace = 0) {
    const exit = once(this.process, 'exit')
    this.process.stdin.write(`stop ${grace}\n`)
    assert.equal((await exit)[0], 0)
  }
}

const unary = (client, method, request, ...rest) =>
  new Promise((resolve, reject) => client[method](request, ...rest, (error, reply) => (error ? reject(error) : resolve(reply))))

async function collect(call) {
  const replies = []
  for await (const reply of call) replies.push(reply)
  return replies
}

const fails = (promise, code, details) =>
  assert.rejects(promise, (error) => {
    assert.equal(error.code, code, error.message)
    if (details !== undefined) assert.equal(error.details, details)
    return true
  })

const server = new Server()
const { sonde, grpc: packages } = load({ longs: String, enums: String }, 'echo.proto', 'grpc/health/v1/health.proto',
  'grpc/reflection/v1/reflection.proto', 'grpc/reflection/v1alpha/reflection.proto')
let echo, health

before(async () => {
  await server.start()
  echo = new sonde.test.Echo(server.target, grpc.credentials.createInsecure())
  health = new packages.health.v1.Health(server.target, grpc.credentials.createInsecure())
})
after(async () => {
  echo.close()
  health.close()
  await server.stop()
})

const openCalls = async () => Number((await server.command('stats')).split(' ')[4])
const deadline = (ms) => ({ deadline: Date.now() + ms })

describe('calls', () => {
  test('empty_unary', async () => assert.equal((await unary(echo, 'Unary', {})).payload?.length ?? 0, 0))

  test('large_unary', async () => {
    const payload = Buffer.alloc(2_000_000, 'sonde')
    assert.deepEqual((await unary(echo, 'Unary', { payload })).payload, payload)
  })

  test('gzip requests', async () => {
    const client = new sonde.test.Echo(server.target, grpc.credentials.createInsecure(),
      { 'grpc.default_compression_algorithm': 2 })
    const payload = Buffer.alloc(500_000, 'z')
    assert.deepEqual((await unary(client, 'Unary', { payload })).payload, payload)
    client.close()
  })

  test('client streaming, with the server pausing', async () => {
    const reply = await new Promise((resolve, reject) => {
      const call = echo.ClientStream((error, r) => (error ? reject(error) : resolve(r)))
      for (let i = 0; i < 100; i++) call.write({ payload: Buffer.alloc(20_000), pause_ms: i % 10 === 0 ? 5 : 0 })
      call.end()
    })
    assert.equal(reply.messages, '100')
    assert.equal(reply.bytes, '2000000')
  })

  test('server streaming', async () => {
    const replies = await collect(echo.ServerStream({ replies: 200, reply_bytes: 50_000 }))
    assert.equal(replies.length, 200)
    assert.ok(replies.every((r) => r.payload.length === 50_000))
  })

  test('ping_pong', async () => {
    const call = echo.BidiStream()
    for (const size of [1, 31415, 9, 2653, 58979]) {
      call.write({ payload: Buffer.alloc(size) })
      const [reply] = await once(call, 'data')
      assert.equal(reply.payload.length, size)
    }
    call.end()
    const [end] = await once(call, 'status')
    assert.equal(end.code, status.OK)
  })

  test('empty_stream', async () => {
    const call = echo.BidiStream()
    call.end()
    assert.deepEqual(await collect(call), [])
  })

  test('status_code_and_message, special_status_message', async () => {
    for (const text of ['test status message', '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n', 'ends with a space ', '100 %'])
      await fails(unary(echo, 'Unary', { status: 2, status_message: text }), status.UNKNOWN, text)
  })

  test('unimplemented_method, unimplemented_service', async () => {
    await fails(unary(echo, 'Missing', {}), status.UNIMPLEMENTED)
    const other = new sonde.test.NotThere(server.target, grpc.credentials.createInsecure())
    await fails(unary(other, 'Unary', {}), status.UNIMPLEMENTED)
    other.close()
  })

  test('metadata refuses at the start', async () => {
    const metadata = new grpc.Metadata()
    metadata.set('x-refuse', 'no key')
    await fails(unary(echo, 'Unary', {}, metadata), status.UNAUTHENTICATED, 'no key')
  })

  test('timeout_on_sleeping_server', () => fails(unary(echo, 'Unary', { sleep_ms: 5000 }, deadline(150)), status.DEADLINE_EXCEEDED))

  test('cancel_after_begin, cancel_after_first_response', async () => {
    const begun = echo.BidiStream()
    for (let i = 0; i < 100 && (await openCalls()) === 0; i++) await sleep(10)
    begun.cancel()
    await fails(collect(begun), status.CANCELLED)
    const answered = echo.BidiStream()
    answered.write({ payload: Buffer.from('x') })
    await once(answered, 'data')
    answered.cancel()
    await fails(collect(answered), status.CANCELLED)
  })

  test('too large a message', () => fails(unary(echo, 'Unary', { payload: Buffer.alloc(5 << 20) }), status.RESOURCE_EXHAUSTED))

  test('every call was closed', async () => {
    for (let i = 0; i < 100 && (await openCalls()) > 0; i++) await sleep(20)
    assert.equal(await openCalls(), 0)
  })
})

describe('presence: absent is not zero', () => {
  const bare = load({ longs: String, defaults: false }, 'echo.proto').sonde.test.Echo

  test('a snapshot from the server', async () => {
    const client = new bare(server.target, grpc.credentials.createInsecure())
    const snapshot = await unary(client, 'Sample', {})
    assert.equal(snapshot.sequence, '9007199254740993')
    assert.ok(Object.hasOwn(snapshot, 'interval_ms'))
    assert.equal(snapshot.interval_ms, 0)
    assert.equal(Object.hasOwn(snapshot, 'boottime_us'), false)
    assert.equal(Object.hasOwn(snapshot, 'cpu'), false)
    assert.equal(snapshot.memory.total_bytes, '8589934592')
    assert.equal(snapshot.memory.buffers_bytes, '0')
    assert.equal(Object.hasOwn(snapshot.memory, 'cached_bytes'), false)
    client.close()
  })

  test('from bytes', () => {
    const method = bare.service.Sample
    const decoded = (...bytes) => JSON.parse(JSON.stringify(method.responseDeserialize(Buffer.from(bytes))))
    assert.deepEqual(decoded(0x62, 0x02, 0x10, 0x00), { memory: { total_bytes: '0' } })
    assert.deepEqual(decoded(0x62, 0x00), { memory: {} })
    assert.deepEqual(decoded(), {})
  })
})

describe('health', () => {
  test('Check and List', async () => {
    assert.equal(await server.command('serving -'), 'HEALTH 0')
    assert.equal(await server.command('not_serving a.Service'), 'HEALTH 0')
    assert.equal((await unary(health, 'Check', {})).status, 'SERVING')
    assert.equal((await unary(health, 'Check', { service: 'a.Service' })).status, 'NOT_SERVING')
    await fails(unary(health, 'Check', { service: 'no.such' }), status.NOT_FOUND)
    const { statuses } = await unary(health, 'List', {})
    assert.deepEqual(statuses, { '': { status: 'SERVING' }, 'a.Service': { status: 'NOT_SERVING' } })
  })

  test('Watch', async () => {
    const call = health.Watch({ service: 'w.Service' })
    const seen = []
    call.on('error', () => {})
    call.on('data', (reply) => seen.push(reply.status))
    const until = async (n) => {
      for (let i = 0; i < 200 && seen.length < n; i++) await sleep(10)
    }
    await until(1)
    await server.command('serving w.Service')
    await until(2)
    await server.command('not_serving w.Service')
    await until(3)
    assert.deepEqual(seen, ['SERVICE_UNKNOWN', 'SERVING', 'NOT_SERVING'])
    call.cancel()
  })
})

for (const version of ['v1', 'v1alpha']) {
  describe(`reflection ${version}`, () => {
    test('the schema can be rebuilt from the server alone', async () => {
      const client = new packages.reflection[version].ServerReflection(server.target, grpc.credentials.createInsecure())
      const call = client.ServerReflectionInfo()
      const replies = []
      const done = (async () => { for await (const reply of call) replies.push(reply) })()
      call.write({ list_services: '' })
      call.write({ file_containing_symbol: 'sonde.v1.Ingest' })
      call.write({ file_by_filename: 'nothing.proto' })
      call.end()
      await done
      const [list, files, missing] = replies
      assert.ok(list.list_services_response.service.some((s) => s.name === `grpc.reflection.${version}.ServerReflection`))
      assert.equal(missing.error_response.error_code, status.NOT_FOUND)
      const descriptors = (await import('protobufjs/ext/descriptor/index.js')).default
      const set = { file: files.file_descriptor_response.file_descriptor_proto.map((f) => descriptors.FileDescriptorProto.decode(f)) }
      const loaded = protoLoader.loadFileDescriptorSetFromObject(descriptors.FileDescriptorSet.toObject(descriptors.FileDescriptorSet.create(set)))
      assert.equal(loaded['sonde.v1.Ingest'].Stream.path, '/sonde.v1.Ingest/Stream')
      client.close()
    })
  })
}

test('a stopping server finishes what is under way', async () => {
  const own = new Server()
  await own.start()
  const client = new sonde.test.Echo(own.target, grpc.credentials.createInsecure())
  await unary(client, 'Unary', {})
  const slow = unary(client, 'Unary', { payload: Buffer.from('late'), sleep_ms: 500 })
  await sleep(100)
  const stopped = own.stop(3000)
  assert.equal((await slow).payload.toString(), 'late')
  await stopped
  client.close()
})
