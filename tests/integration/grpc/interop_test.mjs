// gRPC's interoperability cases, driven by @grpc/grpc-js with the definitions of Debian's grpc-proto. With SONDE_TEST_TLS=1: over
// TLS.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { after, before, test } from 'node:test'

const protos = '/usr/share/grpc-proto'
const skip = (why) => { console.log(`SKIP: ${why}`); process.exit(77) }
let grpc, protoLoader
try {
  grpc = (await import('@grpc/grpc-js')).default
  protoLoader = (await import('@grpc/proto-loader')).default
} catch (e) {
  skip(`node_modules of tests/integration is not installed (${e.code ?? e.message})`)
}
if (!fs.existsSync(path.join(protos, 'grpc/testing/test.proto'))) skip('grpc-proto is not installed')

const { testing } = grpc.loadPackageDefinition(protoLoader.loadSync('grpc/testing/test.proto', { includeDirs: [protos], keepCase: true, defaults: true })).grpc
const { status } = grpc
const gzip = { 'grpc.default_compression_algorithm': 2 }
const requests = [27182, 8, 1828, 45904]
const replies = [31415, 9, 2653, 58979]
const payload = (size) => ({ body: Buffer.alloc(size) })
const simple = (more) => ({ response_size: 314159, payload: payload(271828), ...more })
const outputs = (sizes, more, interval_us = 0) => ({ response_parameters: sizes.map((size) => ({ size, interval_us })), ...more })

let server, lines, target, client, compressing
const args = []
let credentials = grpc.credentials.createInsecure()
if (process.env.SONDE_TEST_TLS) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sonde-tls-'))
  const [key, certificate, both] = ['key', 'certificate', 'both'].map((name) => path.join(folder, name))
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate], { stdio: 'ignore' })
  fs.writeFileSync(both, Buffer.concat([fs.readFileSync(key), fs.readFileSync(certificate)]))
  args.push('--certificate', both)
  credentials = grpc.credentials.createSsl(fs.readFileSync(certificate))
  after(() => fs.rmSync(folder, { recursive: true }))
}
before(async () => {
  server = spawn(path.join(process.env.SONDE_BUILD, 'grpc_test_server'), args, { stdio: ['pipe', 'pipe', 'inherit'] })
  lines = readline.createInterface(server.stdout)[Symbol.asyncIterator]()
  target = `127.0.0.1:${(await lines.next()).value.split(' ')[1]}`
  client = new testing.TestService(target, credentials)
  compressing = new testing.TestService(target, credentials, gzip)
})
after(async () => {
  client.close()
  compressing.close()
  const exit = once(server, 'exit')
  server.stdin.write('stop 0\n')
  assert.equal((await exit)[0], 0)
})

// {reply, initial, trailing} of a unary call.
const unary = (method, request, metadata = new grpc.Metadata(), on = client) =>
  new Promise((resolve, reject) => {
    const result = {}
    const call = on[method](request, metadata, (error, reply) => (error ? reject(error) : (result.reply = reply)))
    call.on('metadata', (m) => { result.initial = m })
    call.on('status', (s) => { result.trailing = s.metadata; if (s.code === status.OK) setImmediate(() => resolve(result)) })
  })
const fails = (promise, code, details) =>
  assert.rejects(promise, (error) => {
    assert.equal(error.code, code, error.message)
    if (details !== undefined) assert.equal(error.details, details)
    return true
  })
const sizes = async (call) => {
  const got = []
  for await (const reply of call) got.push(reply.payload.body.length)
  return got
}
const echoed = () => {
  const metadata = new grpc.Metadata()
  metadata.set('x-grpc-test-echo-initial', 'test_initial_metadata_value')
  metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from([0xab, 0xab, 0xab]))
  return metadata
}
const checkEcho = (initial, trailing) => {
  assert.deepEqual(initial.get('x-grpc-test-echo-initial'), ['test_initial_metadata_value'])
  assert.deepEqual(trailing.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0xab, 0xab, 0xab])])
}
const upload = (stub, bodies, more) =>
  new Promise((resolve, reject) => {
    const call = stub.StreamingInputCall((error, reply) => (error ? reject(error) : resolve(reply.aggregated_payload_size)))
    for (const size of bodies) call.write({ payload: payload(size), ...more })
    call.end()
  })

test('empty_unary', async () => assert.deepEqual((await unary('EmptyCall', {})).reply, {}))
test('large_unary', async () => assert.equal((await unary('UnaryCall', simple())).reply.payload.body.length, 314159))
test('client_compressed_unary', async () => {
  await fails(unary('UnaryCall', simple({ expect_compressed: { value: true } })), status.INVALID_ARGUMENT)
  const { reply } = await unary('UnaryCall', simple({ expect_compressed: { value: true } }), undefined, compressing)
  assert.equal(reply.payload.body.length, 314159)
  assert.equal((await unary('UnaryCall', simple({ expect_compressed: { value: false } }))).reply.payload.body.length, 314159)
})
test('server_compressed_unary', async () => {
  for (const value of [true, false])
    assert.equal((await unary('UnaryCall', simple({ response_compressed: { value } }))).reply.payload.body.length, 314159)
})
test('client_streaming', async () => assert.equal(await upload(client, requests), 74922))
test('client_compressed_streaming', async () => {
  await fails(upload(client, [27182], { expect_compressed: { value: true } }), status.INVALID_ARGUMENT)
  assert.equal(await upload(compressing, [27182, 45904], { expect_compressed: { value: true } }), 73086)
})
test('server_streaming', async () => assert.deepEqual(await sizes(client.StreamingOutputCall(outputs(replies))), replies))
test('server_compressed_streaming', async () => {
  const response_parameters = [{ size: 31415, compressed: { value: true } }, { size: 92653, compressed: { value: false } }]
  assert.deepEqual(await sizes(client.StreamingOutputCall({ response_parameters })), [31415, 92653])
})
test('ping_pong', async () => {
  const call = client.FullDuplexCall()
  for (const [i, size] of replies.entries()) {
    call.write(outputs([size], { payload: payload(requests[i]) }))
    const [reply] = await once(call, 'data')
    assert.equal(reply.payload.body.length, size)
  }
  call.end()
  assert.equal((await once(call, 'status'))[0].code, status.OK)
})
test('empty_stream', async () => {
  const call = client.FullDuplexCall()
  call.end()
  assert.deepEqual(await sizes(call), [])
})
test('custom_metadata', async () => {
  const { initial, trailing } = await unary('UnaryCall', simple(), echoed())
  checkEcho(initial, trailing)
  const call = client.FullDuplexCall(echoed())
  call.write(outputs([314159], { payload: payload(271828) }))
  call.end()
  call.resume()
  const [[first], [last]] = await Promise.all([once(call, 'metadata'), once(call, 'status')])
  checkEcho(first, last.metadata)
})
for (const [name, message] of [['status_code_and_message', 'test status message'],
  ['special_status_message', '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n']])
  test(name, async () => {
    const response_status = { code: 2, message }
    await fails(unary('UnaryCall', { response_status }), status.UNKNOWN, message)
    const call = client.FullDuplexCall()
    call.write({ response_status })
    await fails(sizes(call), status.UNKNOWN, message)
  })
test('unimplemented_method', () => fails(unary('UnimplementedCall', {}), status.UNIMPLEMENTED))
test('unimplemented_service', async () => {
  const other = new testing.UnimplementedService(target, credentials)
  await fails(unary('UnimplementedCall', {}, undefined, other), status.UNIMPLEMENTED)
  other.close()
})
test('cancel_after_begin', async () => {
  const cancelled = new Promise((resolve) => {
    const call = client.StreamingInputCall(resolve)
    // Not in this very turn: the stream that grpc-js 1.14 then still opens is never reset by it.
    setTimeout(() => call.cancel(), 20)
  })
  assert.equal((await cancelled).code, status.CANCELLED)
})
test('cancel_after_first_response', async () => {
  const call = client.FullDuplexCall()
  call.write(outputs([31415], { payload: payload(27182) }))
  await once(call, 'data')
  call.cancel()
  await fails(sizes(call), status.CANCELLED)
})
test('timeout_on_sleeping_server', async () => {
  const call = client.FullDuplexCall({ deadline: Date.now() + 100 })
  call.write(outputs([31415], { payload: payload(27182) }, 3_000_000))
  await fails(sizes(call), status.DEADLINE_EXCEEDED)
})
test('every call was closed', async () => {
  for (let i = 0; i < 200; i++) {
    server.stdin.write('stats\n')
    const open = (await lines.next()).value.split(' ')[4]
    if (open === '0') return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.fail('a call stayed open')
})
