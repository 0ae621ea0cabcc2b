// Every operation of the Query service with @grpc/grpc-js: calls as JSON [[method, request], ...] on standard input, the replies as JSON.
import path from 'node:path'

let grpc, protoLoader
try {
  grpc = (await import('@grpc/grpc-js')).default
  protoLoader = (await import('@grpc/proto-loader')).default
} catch (e) {
  console.log(`SKIP: node_modules of tests/integration is not installed (${e.code ?? e.message})`)
  process.exit(77)
}

const [target, token] = process.argv.slice(2)
const source = process.env.SONDE_SOURCE
const options = { includeDirs: [path.join(source, 'proto'), '/usr/include'], keepCase: true, longs: Number }
const { sonde } = grpc.loadPackageDefinition(protoLoader.loadSync('sonde/v1/query.proto', options))
const client = new sonde.v1.Query(target, grpc.credentials.createInsecure())
const metadata = new grpc.Metadata()
metadata.set('authorization', `Bearer ${token}`)

const call = (method, request) =>
  new Promise((resolve) =>
    client[method](request, metadata, { deadline: Date.now() + 20000 }, (error, reply) =>
      resolve(error ? { code: error.code, details: error.details } : reply)
    )
  )

// The first reply, then cancelled: nobody asks for the end of live data.
const first = (request) =>
  new Promise((resolve) => {
    const stream = client.Subscribe(request, metadata, { deadline: Date.now() + 20000 })
    stream.on('data', (reply) => {
      resolve(reply)
      stream.cancel()
    })
    stream.on('error', (error) => resolve({ code: error.code, details: error.details }))
  })

let input = ''
for await (const chunk of process.stdin) input += chunk
const replies = []
for (const [method, request] of JSON.parse(input)) replies.push(await (method === 'Subscribe' ? first(request) : call(method, request)))
console.log(JSON.stringify(replies, (key, value) => (typeof value === 'number' && Number.isNaN(value) ? null : value)))
client.close()
