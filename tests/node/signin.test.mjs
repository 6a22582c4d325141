// Signing in as a wallet's page does it, with the libraries such pages use.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createSignInMessage, createSignInMessageText, verifySignIn } from '@solana/wallet-standard-util';
import { openSuite } from './suite.mjs';
import { signBytes, wallets } from './wallets.mjs';

let suite, alice, bob, assetOf, challenge, verify, signIn;

before(async () => {
  suite = await openSuite();
  ({ alice, bob, assetOf, challenge, verify, signIn } = wallets(suite));
});

after(() => suite?.stop());

const session = (cookie) => suite.request('GET', '/v1/session', { cookie });

test('the text to sign is, byte for byte, what wallets make of the input', async () => {
  const { input, message, nonce } = await challenge(alice);
  assert.equal(createSignInMessageText(input), message);
  assert.deepEqual(Buffer.from(createSignInMessage(input)), Buffer.from(message));
  assert.equal(input.address, alice.publicKey.toBase58());
  assert.equal(input.domain, new URL(suite.url).host);
  assert.equal(input.uri, suite.url);
  assert.equal(input.nonce, nonce);
  assert.ok(message.includes(assetOf(alice)));
});

test('what a wallet signs passes the wallet standard and opens a session', async () => {
  const issued = await challenge(alice);
  const signedMessage = createSignInMessage(issued.input);
  const signature = signBytes(alice, signedMessage);
  const account = { address: issued.input.address, publicKey: alice.publicKey.toBytes(), chains: [], features: [] };
  assert.equal(verifySignIn(issued.input, { account, signedMessage, signature }), true);

  const answer = await verify(alice, issued, Buffer.from(signedMessage));
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  assert.equal(answer.json.asset, assetOf(alice));
  assert.equal(answer.cookies.length, 1);
  assert.match(answer.cookies[0], /^__Host-multiclaw=[^;]+;/);
  for (const attribute of ['HttpOnly', 'Secure', 'SameSite=Strict', 'Path=/', 'Max-Age=604800'])
    assert.ok(answer.cookies[0].split('; ').includes(attribute), attribute);

  const mine = await session(answer.cookies[0].split(';')[0]);
  assert.equal(mine.status, 200);
  assert.equal(mine.json.wallet, alice.publicKey.toBase58());
  assert.equal(mine.json.agent_id, answer.json.agent_id);
});

test('a nonce works once', async () => {
  const issued = await challenge(alice);
  assert.equal((await verify(alice, issued)).status, 200);
  const again = await verify(alice, issued);
  assert.deepEqual([again.status, again.json.code], [401, 'nonce_unknown']);
});

test("another key's signature and another text are refused", async () => {
  const forged = await verify(alice, await challenge(alice), undefined, bob);
  assert.deepEqual([forged.status, forged.json.code], [401, 'signature_invalid']);
  const issued = await challenge(alice);
  const other = createSignInMessage({ ...issued.input, domain: 'evil.example' });
  assert.equal((await verify(alice, issued, Buffer.from(other))).status, 401);
});

test('a wallet that does not own the asset is refused', async () => {
  const answer = await verify(bob, await challenge(bob, assetOf(alice)));
  assert.deepEqual([answer.status, answer.json.code], [403, 'not_owner']);
});

test('a transfer ends the session of the seller and lets the buyer in', async () => {
  const { asset } = await suite.command('mint', {
    owner: alice.publicKey.toBase58(), collection: suite.demo.collection, wait: 'confirmed',
  });
  const seller = await signIn(alice, asset);
  assert.equal((await session(seller.cookie)).status, 200);
  await suite.command('transfer', { asset, to: bob.publicKey.toBase58(), wait: 'confirmed' });
  const limit = Date.now() + 5000;
  let answer = await session(seller.cookie);
  for (; answer.status === 200 && Date.now() < limit; answer = await session(seller.cookie));
  assert.deepEqual([answer.status, answer.json.code], [401, 'session_revoked']);
  const buyer = await signIn(bob, asset);
  assert.equal((await session(buyer.cookie)).status, 200);
  assert.equal(buyer.agent_id, seller.agent_id);
});
