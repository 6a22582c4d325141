// A provider by TLS, for what stands in front of it: stream.mjs CERTIFICATE KEY. Prints its port.
//   /v1/one             a small answer
//   /v1/bulk/<MiB>      so much, as fast as it is taken
//   /v1/events/<n>/<ms> n events of 200 bytes, one every so many milliseconds (0: as fast as they are taken, each in a record of its own)
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [cert, key] = process.argv.slice(2, 4).map((path) => readFileSync(path));
const piece = Buffer.alloc(65536, 'x');
const event = Buffer.from(`data: ${'x'.repeat(192)}\n\n`);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const turn = () => new Promise((done) => setImmediate(done));
const heard = (emitter, what) => new Promise((done) => emitter.once(what, done));

async function stream(response, count, bytes, wait) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  const closed = heard(response, 'close');
  for (let i = 0; i < count && !response.destroyed; i++) {
    if (!response.write(bytes)) await Promise.race([heard(response, 'drain'), closed]);
    await wait();
  }
  response.end();
}

const server = createServer({ cert, key, keepAliveTimeout: 60_000 }, (request, response) => {
  const [, , what, n, ms] = request.url.split('/');
  request.resume();
  request.on('end', () => {
    if (what === 'bulk') stream(response, n * 16, piece, () => {});
    else if (what === 'events') stream(response, Number(n), event, () => (ms === '0' ? turn() : sleep(Number(ms))));
    else response.end('{"ok":true}');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
