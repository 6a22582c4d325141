// What the development chain does when it is told to go wrong, seen from the wire.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { startDevchain, rpc } from './devchain.mjs';

const CORE = 'CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d';
let chain, alice, bob;

before(async () => {
  // ten slots to be forked in, however slow this machine is just now
  chain = await startDevchain(20, '--confirmed-lag', '10');
  alice = chain.demo.wallets.alice.address;
  bob = chain.demo.wallets.bob.address;
});
afterEach(async () => {
  await chain.command('ok', {}, chain.a);
  await chain.command('ok', {}, chain.b);
});
after(async () => assert.equal(await chain?.stop(), 0));

// a raw POST: status, headers and whatever of the body arrived
function post(node, text, timeoutMs = 5000) {
  return new Promise((resolve, reject) => {
    const request = http.request(node.rpc_url, { method: 'POST', headers: { 'content-type': 'application/json' } }, (response) => {
      let body = '';
      const done = (whole) => resolve({ status: response.statusCode, headers: response.headers, body, whole });
      response.on('data', (chunk) => { body += chunk; });
      response.on('end', () => done(true));
      response.on('error', () => done(false));
    });
    request.setTimeout(timeoutMs, () => request.destroy(new Error('silent')));
    request.on('error', reject);
    request.end(text);
  });
}
const getSlot = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'getSlot' });

// a connection whose messages are kept in order
async function connect(node) {
  const socket = new WebSocket(node.ws_url);
  const messages = [];
  let wake = () => {};
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('message', (data) => { messages.push(JSON.parse(data)); wake(); });
  await new Promise((resolve, reject) => { socket.on('open', resolve); socket.on('error', reject); });
  const next = async (which) => {
    for (;;) {
      const at = messages.findIndex(which);
      if (at >= 0) return messages.splice(at, 1)[0];
      await new Promise((resolve) => { wake = resolve; });
    }
  };
  let id = 0;
  const call = (method, ...params) => {
    const mine = ++id;
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: mine, method, params }));
    return next((message) => message.id === mine);
  };
  const notified = (kind, subscription) =>
    next((message) => message.method === `${kind}Notification` && message.params.subscription === subscription);
  return { call, notified, messages, closed, close: () => socket.close() };
}

const watch = { encoding: 'base64', commitment: 'processed' };
const mint = async () => (await chain.command('mint', { owner: alice, collection: chain.demo.collection, wait: 'confirmed' })).asset;
const ownerIn = (account) => Buffer.from(account.data[0], 'base64').subarray(1, 33).toString('hex');

test('a gateway in front answers HTML', async () => {
  await chain.command('html');
  const answer = await post(chain.a, getSlot);
  assert.equal(answer.status, 502);
  assert.match(answer.headers['content-type'], /html/);
});

test('too many requests: by status, and by a JSON error in a good reply', async () => {
  await chain.command('fault', { refuse: true, retry_after: 3 });
  const loud = await post(chain.a, getSlot);
  assert.deepEqual([loud.status, loud.headers['retry-after'], JSON.parse(loud.body).error.code], [429, '3', 429]);
  await chain.command('fault', { refuse: false, refuse_quiet: true });
  const quiet = await post(chain.a, getSlot);
  assert.deepEqual([quiet.status, JSON.parse(quiet.body).error.code], [200, 429]);
});

test('half a body ends with the connection, cut JSON does not', async () => {
  await chain.command('half_body');
  const cut = await post(chain.a, getSlot);
  assert.equal(cut.whole, false);
  assert.ok(cut.body.length < Number(cut.headers['content-length']));
  await chain.command('fault', { half_body: false, half_json: true });
  const whole = await post(chain.a, getSlot);
  assert.equal(whole.whole, true);
  assert.throws(() => JSON.parse(whole.body));
});

test('a slow node answers late, in its time', async () => {
  await chain.command('fault', { delay: 150 });
  const began = performance.now();
  assert.equal((await post(chain.a, getSlot)).status, 200);
  assert.ok(performance.now() - began >= 149);
});

test('a silent node accepts and never answers, the other one does', async () => {
  const open = await connect(chain.a);
  await chain.command('silent');
  await assert.rejects(post(chain.a, getSlot, 200), /silent/);
  open.call('slotSubscribe');
  const never = new WebSocket(chain.a.ws_url, { handshakeTimeout: 200 });
  await new Promise((resolve) => never.on('error', resolve));
  assert.equal((await post(chain.b, getSlot)).status, 200);
  assert.deepEqual(open.messages, []);
  open.close();
});

test('a mute node confirms a subscription and pushes nothing; what it kept back stays lost', async () => {
  const asset = await mint();
  const socket = await connect(chain.a);
  await chain.command('mute_push');
  const { result: id } = await socket.call('accountSubscribe', asset, watch);
  await chain.command('transfer', { asset, to: bob, wait: 'finalized' });
  assert.deepEqual(socket.messages, []);
  await chain.command('ok');
  const { slot } = await chain.command('burn', { asset });
  const told = await socket.notified('account', id);
  assert.deepEqual([told.params.result.context.slot, told.params.result.value.data], [slot, ['AA==', 'base64']]);
  socket.close();
});

test('a fork takes back what was processed and says so', async () => {
  const asset = await mint();
  const socket = await connect(chain.a);
  const { result: id } = await socket.call('accountSubscribe', asset, watch);
  const { slot } = await chain.command('transfer', { asset, to: bob, wait: 'processed' });
  assert.ok((await chain.command('fork', { slots: 10 })).dropped >= 1);
  const forward = (await socket.notified('account', id)).params.result;
  const back = (await socket.notified('account', id)).params.result;
  assert.equal(forward.context.slot, slot);
  assert.ok(back.context.slot > slot);
  assert.notEqual(ownerIn(back.value), ownerIn(forward.value));
  socket.close();
});

test('a waiting command hears that a fork dropped its slot', async () => {
  const asset = await mint();
  const waiting = chain.command('transfer', { asset, to: bob, wait: 'finalized' });
  await chain.command('transfer', { asset, to: bob, wait: 'processed' });
  const refused = assert.rejects(waiting, /dropped by a fork/);
  await chain.command('fork', { slots: 10 });
  await refused;
});

test('a frozen node pushes nothing and catches up when it thaws', async () => {
  const asset = await mint();
  const socket = await connect(chain.b);
  const { result: id } = await socket.call('programSubscribe', CORE, { ...watch, filters: [{ dataSize: 97 }] });
  const { result: account } = await socket.call('accountSubscribe', asset, watch);
  assert.notEqual(id, account);
  await chain.command('freeze', {}, chain.b);
  const { slot } = await chain.command('transfer', { asset, to: bob, wait: 'confirmed' });
  assert.ok(await rpc(chain.b.rpc_url, 'getSlot', [{ commitment: 'processed' }]) < slot);
  assert.deepEqual(socket.messages, []);
  await chain.command('ok', {}, chain.b);
  assert.equal((await socket.notified('account', account)).params.result.context.slot, slot);
  socket.close();
});

test('equal subscriptions share an id, others do not, and each ends once', async () => {
  const [one, two] = [await connect(chain.a), await connect(chain.a)];
  const first = (await one.call('accountSubscribe', alice, watch)).result;
  assert.equal((await two.call('accountSubscribe', alice, watch)).result, first);
  assert.notEqual((await two.call('accountSubscribe', bob, watch)).result, first);
  assert.equal((await two.call('programUnsubscribe', first)).error.code, -32602);
  assert.equal((await two.call('accountUnsubscribe', first)).result, true);
  assert.equal((await two.call('accountUnsubscribe', first)).error.message, 'Invalid subscription id.');
  assert.equal((await one.call('logsSubscribe', 'all')).error.code, -32601);
  one.close();
  two.close();
});

test('a removed account is told to its own subscribers as empty, to the program\'s not at all', async () => {
  const asset = await mint();
  const socket = await connect(chain.a);
  const { result: account } = await socket.call('accountSubscribe', asset, watch);
  await socket.call('programSubscribe', CORE, watch);
  await chain.command('set_account', { key: asset, lamports: 0, wait: 'confirmed' });
  const { value } = (await socket.notified('account', account)).params.result;
  assert.deepEqual([value.lamports, value.owner, value.data[0], value.space], [0, '1'.repeat(32), '', 0]);
  assert.deepEqual(socket.messages, []);
  socket.close();
});

test('slots are told in order, and dropped connections can come back', async () => {
  const socket = await connect(chain.a);
  const { result: id } = await socket.call('slotSubscribe');
  const slots = [];
  while (slots.length < 5) slots.push((await socket.notified('slot', id)).params.result);
  for (let i = 1; i < slots.length; i++) assert.equal(slots[i].parent, slots[i - 1].slot);
  assert.ok(slots[0].root < slots[0].slot);
  await chain.command('drop_ws');
  await socket.closed;
  (await connect(chain.a)).close();
});

test('kill -9 and a restart: no slot comes back, nothing that was reported is lost', async () => {
  const asset = await mint();
  const { slot } = await chain.command('transfer', { asset, to: bob });
  const genesis = await rpc(chain.a.rpc_url, 'getGenesisHash');
  const last = await rpc(chain.a.rpc_url, 'getSlot', [{ commitment: 'processed' }]);
  await chain.restart('SIGKILL');
  assert.equal(await rpc(chain.a.rpc_url, 'getGenesisHash'), genesis);
  const { context, value } = await rpc(chain.a.rpc_url, 'getAccountInfo', [asset, watch]);
  assert.ok(context.slot >= last && context.slot < last + 500, `${last} ${context.slot}`);
  assert.ok(context.slot >= slot);
  const account = await rpc(chain.b.rpc_url, 'getAccountInfo', [chain.demo.assets.find(({ owner }) => owner === bob).asset, watch]);
  assert.equal(ownerIn(value), ownerIn(account.value));
});
