// The development chain is read by the ecosystem's own libraries as any Solana node is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fetchAsset, fetchAssetsByOwner, fetchCollection, mplCore } from '@metaplex-foundation/mpl-core';
import { createUmi } from '@metaplex-foundation/umi-bundle-defaults';
import { Connection, Keypair, PublicKey } from '@solana/web3.js';
import { WebSocket } from 'ws';
import { startDevchain, rpc } from './devchain.mjs';

const CORE = new PublicKey('CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d');
let chain, umi, connection, alice, bob;

before(async () => {
  chain = await startDevchain();
  umi = createUmi(chain.a.rpc_url, 'confirmed').use(mplCore());
  connection = new Connection(chain.a.rpc_url, { commitment: 'confirmed', wsEndpoint: chain.a.ws_url });
  alice = chain.demo.wallets.alice.address;
  bob = chain.demo.wallets.bob.address;
});

after(async () => {
  connection?._rpcWebSocket.setAutoReconnect(false);
  connection?._rpcWebSocket.close();
  assert.equal(await chain?.stop(), 0);
});

const mint = async (params = {}) =>
  (await chain.command('mint', { owner: alice, collection: chain.demo.collection, wait: 'confirmed', ...params })).asset;

// the next event of a subscription, and everything that came by then
function listen(subscribe, unsubscribe) {
  const seen = [];
  let wake = () => {};
  const id = subscribe((...event) => { seen.push(event); wake(); });
  return {
    seen,
    async until(n) { while (seen.length < n) await new Promise((resolve) => { wake = resolve; }); },
    stop: () => unsubscribe(id),
  };
}

// web3.js subscribes when its socket is up; a slot that arrives says that what was asked before it stands
async function subscribed() {
  const slots = listen((on) => connection.onSlotChange(on), (id) => connection.removeSlotChangeListener(id));
  await slots.until(2);
  await slots.stop();
}

test('mpl-core reads an asset with its attributes', async () => {
  const asset = await fetchAsset(umi, chain.demo.assets[0].asset);
  assert.equal(asset.owner, alice);
  assert.equal(asset.name, 'Claw #1');
  assert.deepEqual(asset.updateAuthority, { type: 'Collection', address: chain.demo.collection });
  assert.deepEqual(asset.attributes.attributeList, [{ key: 'model', value: 'opus' }]);
});

test('mpl-core finds the assets of an owner by getProgramAccounts', async () => {
  const owned = await fetchAssetsByOwner(umi, bob);
  assert.deepEqual(owned.map((asset) => asset.name), ['Claw #4']);
});

test('mpl-core reads the collection and its counters follow a mint and a burn', async () => {
  const before = await fetchCollection(umi, chain.demo.collection);
  const asset = await mint();
  assert.equal((await fetchCollection(umi, chain.demo.collection)).numMinted, before.numMinted + 1);
  await chain.command('burn', { asset, wait: 'confirmed' });
  const now = await fetchCollection(umi, chain.demo.collection);
  assert.deepEqual([now.numMinted, now.currentSize], [before.numMinted + 1, before.currentSize]);
});

test('mpl-core reads a sequence number and what a transfer makes of it', async () => {
  const asset = await mint({ seq: 7 });
  await chain.command('transfer', { asset, to: bob, wait: 'confirmed' });
  const read = await fetchAsset(umi, asset);
  assert.equal(read.owner, bob);
  assert.deepEqual(read.seq, { __option: 'Some', value: 8n });
});

test('mpl-core reads plugins whose delegate a transfer has reset to the owner', async () => {
  const asset = await mint({ delegate: bob, attributes: 'model=opus,tier=2' });
  const before = await fetchAsset(umi, asset);
  assert.deepEqual(before.transferDelegate.authority, { type: 'Address', address: bob });
  await chain.command('transfer', { asset, to: bob, wait: 'confirmed' });
  const now = await fetchAsset(umi, asset);
  assert.equal(now.transferDelegate.authority.type, 'Owner');
  assert.equal(now.attributes.attributeList.length, 2);
  assert.equal(now.header.lamports.basisPoints, before.header.lamports.basisPoints);
});

test('mpl-core sees an asset moved out of the collection', async () => {
  const asset = await mint();
  await chain.command('move', { asset, to: bob, wait: 'confirmed' });
  assert.deepEqual((await fetchAsset(umi, asset)).updateAuthority, { type: 'Address', address: bob });
});

test('web3.js reads accounts, slots, hashes and the clock', async () => {
  const info = await connection.getAccountInfo(new PublicKey(chain.demo.assets[0].asset));
  assert.equal(info.owner.toBase58(), CORE.toBase58());
  assert.equal(new PublicKey(info.data.subarray(1, 33)).toBase58(), alice);
  assert.equal(info.rentEpoch, 18446744073709552000);
  assert.equal(await connection.getAccountInfo(Keypair.generate().publicKey), null);
  assert.equal(await connection.getBalance(new PublicKey(alice)), 10_000_000_000);
  const finalized = await connection.getSlot('finalized');
  assert.ok(await connection.getSlot('processed') >= finalized + 32);
  assert.equal((await connection.getLatestBlockhash()).blockhash.length > 40, true);
  assert.equal(await connection.getMinimumBalanceForRentExemption(1), 897_840);
  const clock = await connection.getAccountInfo(new PublicKey('SysvarC1ock11111111111111111111111111111111'));
  assert.equal(clock.owner.toBase58(), 'Sysvar1111111111111111111111111111111111111');
  assert.ok(Math.abs(Number(clock.data.readBigInt64LE(32)) - Date.now() / 1000) < 5);
  assert.equal(await connection.getGenesisHash(), await new Connection(chain.b.rpc_url).getGenesisHash());
});

test('web3.js filters program accounts by collection and by owner', async () => {
  const collection = Buffer.concat([Buffer.from([2]), new PublicKey(chain.demo.collection).toBuffer()]);
  const filters = [
    { memcmp: { offset: 0, bytes: Buffer.concat([Buffer.from([1]), new PublicKey(bob).toBuffer()]).toString('base64'), encoding: 'base64' } },
    { memcmp: { offset: 33, bytes: collection.toString('base64'), encoding: 'base64' } },
  ];
  const asset = await mint({ owner: bob, name: 'Of bob' });
  const found = await connection.getProgramAccounts(CORE, { filters, dataSlice: { offset: 1, length: 32 } });
  assert.ok(found.some(({ pubkey }) => pubkey.toBase58() === asset));
  assert.ok(found.every(({ account }) => new PublicKey(account.data).toBase58() === bob && account.data.length === 32));
});

test('web3.js hears of a transfer and a burn, once each, and of nothing when it subscribes', async () => {
  const asset = await mint();
  const heard = listen(
    (on) => connection.onAccountChange(new PublicKey(asset), on, { commitment: 'confirmed', encoding: 'base64' }),
    (id) => connection.removeAccountChangeListener(id));
  await subscribed();
  const moved = await chain.command('transfer', { asset, to: bob });
  await heard.until(1);
  const burned = await chain.command('burn', { asset });
  await heard.until(2);
  await subscribed();
  assert.deepEqual(heard.seen.map(([, context]) => context.slot), [moved.slot, burned.slot]);
  assert.equal(new PublicKey(heard.seen[0][0].data.subarray(1, 33)).toBase58(), bob);
  assert.deepEqual([...heard.seen[1][0].data], [0]);
  assert.equal(heard.seen[1][0].owner.toBase58(), CORE.toBase58());
  await heard.stop();
});

test('a subscription by collection hears mints and transfers, but neither a burn nor a move out', async () => {
  const filters = [{ memcmp: { offset: 34, bytes: chain.demo.collection } }];
  const heard = listen(
    (on) => connection.onProgramAccountChange(CORE, on, { commitment: 'confirmed', encoding: 'base64', filters }),
    (id) => connection.removeProgramAccountChangeListener(id));
  await subscribed();
  const asset = await mint();
  const other = await mint();
  await chain.command('transfer', { asset, to: bob, wait: 'confirmed' });
  await heard.until(3);
  await chain.command('burn', { asset, wait: 'confirmed' });
  await chain.command('move', { asset: other, to: bob, wait: 'confirmed' });
  await subscribed();
  assert.deepEqual(heard.seen.map(([{ accountId }]) => accountId.toBase58()), [asset, other, asset]);
  await heard.stop();
});

test('a change shows at processed, then confirmed, then finalized', async () => {
  const minted = await chain.command('mint', { owner: alice, collection: chain.demo.collection, wait: 'confirmed' });
  const asset = new PublicKey(minted.asset);
  const { slot } = await chain.command('transfer', { asset: minted.asset, to: bob, wait: 'processed' });
  let newest = Infinity;
  for (const commitment of ['processed', 'confirmed', 'finalized']) {
    const { context, value } = await connection.getAccountInfoAndContext(asset, commitment);
    const expected = context.slot >= slot ? bob : context.slot >= minted.slot ? alice : undefined;
    assert.equal(value ? new PublicKey(value.data.subarray(1, 33)).toBase58() : undefined, expected);
    assert.ok(context.slot < newest);
    newest = context.slot;
  }
});

test('a slot the node has not reached is refused with the true error', async () => {
  const ask = (minContextSlot) => rpc(chain.a.rpc_url, 'getAccountInfo', [alice, { encoding: 'base64', minContextSlot }]);
  const { context } = await ask(0);
  await assert.rejects(ask(context.slot + 1000), (err) => {
    assert.equal(err.code, -32016);
    assert.ok(err.data.contextSlot >= context.slot);
    return true;
  });
});

test('a message of more than 4096 bytes ends the connection, a good one does not', async () => {
  const socket = new WebSocket(chain.a.ws_url);
  await new Promise((resolve) => socket.on('open', resolve));
  const reply = new Promise((resolve) => socket.once('message', (data) => resolve(JSON.parse(data))));
  socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'accountSubscribe', params: [alice, { pad: 'x'.repeat(3900) }] }));
  assert.equal(typeof (await reply).result, 'number');
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.send(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'accountSubscribe', params: [alice, { pad: 'x'.repeat(4096) }] }));
  await closed;
});

test('the second node lies and lags for itself', async () => {
  const b = new Connection(chain.b.rpc_url, 'confirmed');
  const asset = new PublicKey(chain.demo.assets[1].asset);
  const owner = async (c) => new PublicKey((await c.getAccountInfo(asset)).data.subarray(1, 33)).toBase58();
  await chain.command('lie', { asset: asset.toBase58(), owner: bob }, chain.b);
  await chain.command('fault', { lag: 200 }, chain.b);
  assert.deepEqual([await owner(connection), await owner(b)], [alice, bob]);
  const behind = await b.getSlot();
  assert.ok(await connection.getSlot() >= behind + 200);
  await assert.rejects(rpc(chain.b.rpc_url, 'getHealth'), { code: -32005 });
  await chain.command('ok', {}, chain.b);
  assert.equal(await owner(b), alice);
});
