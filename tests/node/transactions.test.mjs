// Transactions on the development chain, built and signed by the ecosystem's own libraries.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { executeV1, fetchAsset, findAssetSignerPda, mplCore, transferV1 } from '@metaplex-foundation/mpl-core';
import { createNoopSigner, publicKey } from '@metaplex-foundation/umi';
import { createUmi } from '@metaplex-foundation/umi-bundle-defaults';
import { toWeb3JsInstruction } from '@metaplex-foundation/umi-web3js-adapters';
import {
  ComputeBudgetProgram, Connection, Keypair, PublicKey, SystemProgram, TransactionInstruction, TransactionMessage,
  VersionedTransaction,
} from '@solana/web3.js';
import { startDevchain } from './devchain.mjs';

const TOKEN = new PublicKey('TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA');
const TOKEN_2022 = new PublicKey('TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb');
const ASSOCIATED = new PublicKey('ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL');
const AGENT_TOOLS = new PublicKey('TLREGni9ZEyGC3vnPZtqUh95xQ8oPqJSvNjvB7FGK8S');
const EXEMPT = 890880;
const SOL = 1_000_000_000;
let chain, connection, umi;

before(async () => {
  chain = await startDevchain(20);
  connection = new Connection(chain.a.rpc_url, { commitment: 'confirmed', wsEndpoint: chain.a.ws_url });
  umi = createUmi(chain.a.rpc_url, 'confirmed').use(mplCore());
});
afterEach(async () => {
  for (const node of [chain.a, chain.b]) await chain.command('ok', {}, node);
});
after(async () => assert.equal(await chain?.stop(), 0));

const fresh = async (sol = 10) => {
  const pair = Keypair.generate();
  if (sol) await chain.command('airdrop', { to: pair.publicKey.toBase58(), sol, wait: 'finalized' });
  return pair;
};
const balance = (key) => connection.getBalance(key);
const until = async (what) => {
  for (;;) {
    const found = await what();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
const landed = (signature, level = 'confirmed') => until(async () => {
  const { value: [status] } = await connection.getSignatureStatuses([signature]);
  return status && (status.confirmationStatus === level || status.confirmationStatus === 'finalized') && status;
});

async function build(instructions, signers, { version = 'legacy', blockhash } = {}) {
  const recentBlockhash = blockhash ?? (await connection.getLatestBlockhash()).blockhash;
  const message = new TransactionMessage({ payerKey: signers[0].publicKey, recentBlockhash, instructions });
  const tx = new VersionedTransaction(version === 0 ? message.compileToV0Message() : message.compileToLegacyMessage());
  tx.sign(signers);
  return tx;
}
const send = async (tx, options = {}) =>
  connection.sendRawTransaction(tx.serialize(), { preflightCommitment: 'confirmed', ...options });
// lands, whatever it comes to; the error
const run = async (instructions, signers, options) => {
  const signature = await send(await build(instructions, signers, options), { skipPreflight: true });
  return (await landed(signature)).err;
};
const transfer = (from, to, lamports) => SystemProgram.transfer({ fromPubkey: from, toPubkey: to, lamports });
const failure = (code, index = 0) => ({ InstructionError: [index, { Custom: code }] });

const associated = (owner, mint, program) =>
  PublicKey.findProgramAddressSync([owner.toBuffer(), program.toBuffer(), mint.toBuffer()], ASSOCIATED)[0];
const createAssociated = (payer, owner, mint, program) => new TransactionInstruction({
  programId: ASSOCIATED,
  keys: [
    { pubkey: payer, isSigner: true, isWritable: true },
    { pubkey: associated(owner, mint, program), isSigner: false, isWritable: true },
    ...[owner, mint, SystemProgram.programId, program].map((pubkey) => ({ pubkey, isSigner: false, isWritable: false })),
  ],
  data: Buffer.from([1]),
});
const transferChecked = (program, from, mint, to, authority, amount, decimals) => {
  const data = Buffer.alloc(10, 12);
  data.writeBigUInt64LE(BigInt(amount), 1);
  data[9] = decimals;
  return new TransactionInstruction({
    programId: program,
    keys: [
      { pubkey: from, isSigner: false, isWritable: true },
      { pubkey: mint, isSigner: false, isWritable: false },
      { pubkey: to, isSigner: false, isWritable: true },
      { pubkey: authority, isSigner: true, isWritable: false },
    ],
    data,
  });
};
const closeAccount = (program, account, to, authority) => new TransactionInstruction({
  programId: program,
  keys: [
    { pubkey: account, isSigner: false, isWritable: true },
    { pubkey: to, isSigner: false, isWritable: true },
    { pubkey: authority, isSigner: true, isWritable: false },
  ],
  data: Buffer.from([9]),
});
const mintToken = async (program, decimals = 6) => new PublicKey(
  (await chain.command('create_mint', { decimals, program, wait: 'confirmed' })).mint);
const fund = (mint, owner, amount, more = {}) => chain.command('fund', {
  mint: mint.toBase58(), owner: owner.toBase58(), amount, wait: 'confirmed', ...more });

const mintAsset = async (owner, params = {}) => (await chain.command('mint', {
  owner: owner.toBase58(), collection: chain.demo.collection, wait: 'confirmed', ...params })).asset;
const wallet = (asset) => new PublicKey(findAssetSignerPda(umi, { asset: publicKey(asset) })[0]);
const asSigner = (pair) => createNoopSigner(publicKey(pair.publicKey.toBase58()));

// ExecuteV1 as mpl-core's library builds it around an instruction of web3.js
function execute(asset, instruction, owner, { collection = chain.demo.collection, payer = owner, record } = {}) {
  const [built] = executeV1(umi, {
    asset: publicKey(asset),
    collection: collection ? publicKey(collection) : undefined,
    payer: asSigner(payer),
    authority: asSigner(owner),
    programId: publicKey(instruction.programId.toBase58()),
    instructionData: instruction.data,
  }).getInstructions();
  const web3 = toWeb3JsInstruction(built);
  const pda = wallet(asset);
  if (record) web3.keys.push({ pubkey: record, isSigner: false, isWritable: false });
  for (const key of instruction.keys) web3.keys.push({ ...key, isSigner: key.isSigner && !key.pubkey.equals(pda) });
  return web3;
}

test('web3.js sends SOL, and sees it processed, confirmed and finalized', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const signature = await send(await build([transfer(alice.publicKey, bob.publicKey, SOL)], [alice]));
  const status = await landed(signature);
  assert.equal(status.err, null);
  assert.equal((await landed(signature, 'finalized')).confirmations, null);
  assert.deepEqual([await balance(alice.publicKey), await balance(bob.publicKey)], [9 * SOL - 5000, SOL]);
  const [recent] = await connection.getSignaturesForAddress(bob.publicKey, { limit: 5 });
  assert.deepEqual([recent.signature, recent.slot, recent.err], [signature, status.slot, null]);
});

test('web3.js reads blockhash, fee, rent and whether a blockhash is good', async () => {
  const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash();
  const height = await connection.getBlockHeight();
  assert.ok(lastValidBlockHeight - height > 100 && lastValidBlockHeight - height <= 150);
  assert.equal((await connection.isBlockhashValid(blockhash)).value, true);
  assert.equal((await connection.isBlockhashValid(Keypair.generate().publicKey.toBase58())).value, false);
  assert.equal(await connection.getMinimumBalanceForRentExemption(165), 2039280);
  const [alice, bob] = [Keypair.generate(), Keypair.generate()];
  const tx = await build([
    ComputeBudgetProgram.setComputeUnitLimit({ units: 100_000 }),
    ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 25_000 }),
    transfer(alice.publicKey, bob.publicKey, 5)], [alice]);
  assert.equal((await connection.getFeeForMessage(tx.message)).value, 5000 + 2500);
});

test('the same transaction lands once', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const tx = await build([transfer(alice.publicKey, bob.publicKey, SOL)], [alice]);
  const signature = await send(tx);
  assert.equal(await send(tx, { skipPreflight: true }), signature);
  await landed(signature);
  await assert.rejects(send(tx), /already been processed/);
  assert.equal(await balance(bob.publicKey), SOL);
});

test('a blockhash is good for 150 blocks', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const latest = await connection.getLatestBlockhash();
  const tx = await build([transfer(alice.publicKey, bob.publicKey, SOL)], [alice], { blockhash: latest.blockhash });
  await until(async () => (await connection.getBlockHeight()) > latest.lastValidBlockHeight);
  await assert.rejects(send(tx), /Blockhash not found/);
  const signature = await send(tx, { skipPreflight: true });
  await chain.command('airdrop', { to: bob.publicKey.toBase58(), sol: 1, wait: 'confirmed' });
  assert.deepEqual((await connection.getSignatureStatuses([signature])).value, [null]);
  assert.equal((await connection.isBlockhashValid(latest.blockhash)).value, false);
});

test('a forged signature is refused, or lost without preflight', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const tx = await build([transfer(alice.publicKey, bob.publicKey, SOL)], [alice]);
  tx.signatures[0][5] ^= 1;
  await assert.rejects(send(tx), (e) => e.code === -32003 || /signature verification/.test(e.message));
  const signature = await send(tx, { skipPreflight: true });
  await chain.command('airdrop', { to: bob.publicKey.toBase58(), sol: 1, wait: 'confirmed' });
  assert.deepEqual((await connection.getSignatureStatuses([signature])).value, [null]);
  assert.equal(await balance(bob.publicKey), SOL);
});

test('a failed transaction pays its fee and changes nothing else', async () => {
  const [alice, bob] = [await fresh(1), await fresh(1)];
  const error = await run([
    transfer(alice.publicKey, bob.publicKey, SOL / 2), transfer(alice.publicKey, bob.publicKey, SOL)], [alice]);
  assert.deepEqual(error, failure(1, 1));
  assert.deepEqual([await balance(alice.publicKey), await balance(bob.publicKey)], [SOL - 5000, SOL]);
});

test('nobody is left with less than rent exemption', async () => {
  const [alice, bob] = [await fresh(1), await fresh(0)];
  assert.deepEqual(await run([transfer(alice.publicKey, bob.publicKey, EXEMPT - 1)], [alice]),
    { InsufficientFundsForRent: { account_index: 1 } });
  const left = SOL - 2 * 5000;
  assert.deepEqual(await run([transfer(alice.publicKey, bob.publicKey, left - 1)], [alice]),
    { InsufficientFundsForRent: { account_index: 0 } });
  assert.equal(await run([transfer(alice.publicKey, bob.publicKey, left - 5000)], [alice]), null);
  assert.equal(await connection.getAccountInfo(alice.publicKey), null);
});

for (const [name, program, length] of [['token', TOKEN, 165], ['token-2022', TOKEN_2022, 170]]) {
  test(`${name}: an associated account is made, tokens move, the empty account closes`, async () => {
    const [alice, bob] = [await fresh(), await fresh(0)];
    const mint = await mintToken(name);
    await fund(mint, alice.publicKey, 1000);
    const from = associated(alice.publicKey, mint, program), to = associated(bob.publicKey, mint, program);
    const move = (amount, decimals = 6) => transferChecked(program, from, mint, to, alice.publicKey, amount, decimals);
    const make = createAssociated(alice.publicKey, bob.publicKey, mint, program);
    assert.equal(await run([make, make, move(600)], [alice]), null);
    const made = await connection.getAccountInfo(to);
    assert.deepEqual([made.data.length, made.lamports], [length, await connection.getMinimumBalanceForRentExemption(length)]);
    const held = await connection.getTokenAccountsByOwner(bob.publicKey, { programId: program });
    assert.deepEqual(held.value.map(({ pubkey, account }) => [pubkey.toBase58(), account.data.readBigUInt64LE(64)]),
      [[to.toBase58(), 600n]]);
    assert.deepEqual(await run([move(401)], [alice]), failure(1));
    assert.deepEqual(await run([move(1, 7)], [alice]), failure(18));
    assert.deepEqual(await run([closeAccount(program, from, alice.publicKey, alice.publicKey)], [alice]), failure(11));
    assert.equal(await run([move(400), closeAccount(program, from, alice.publicKey, alice.publicKey)], [alice]), null);
    assert.equal(await connection.getAccountInfo(from), null);
  });
}

test('nobody else moves tokens, and frozen ones stay', async () => {
  const [alice, mallory] = [await fresh(), await fresh()];
  const mint = await mintToken('token');
  await fund(mint, alice.publicKey, 1000);
  await fund(mint, mallory.publicKey, 0);
  const from = associated(alice.publicKey, mint, TOKEN), to = associated(mallory.publicKey, mint, TOKEN);
  const take = transferChecked(TOKEN, from, mint, to, mallory.publicKey, 10, 6);
  assert.deepEqual(await run([take], [mallory]), failure(4));
  await fund(mint, alice.publicKey, 1000, { delegate: mallory.publicKey.toBase58(), delegated: 10 });
  assert.equal(await run([take], [mallory]), null);
  await fund(mint, alice.publicKey, 1000, { frozen: true });
  assert.deepEqual(await run([transferChecked(TOKEN, from, mint, to, alice.publicKey, 10, 6)], [alice]), failure(17));
});

test('mpl-core transfers an asset', async () => {
  const [alice, bob] = [await fresh(), await fresh()];
  const asset = await mintAsset(alice.publicKey);
  const instruction = (who) => toWeb3JsInstruction(transferV1(umi, {
    asset: publicKey(asset), collection: publicKey(chain.demo.collection), newOwner: publicKey(bob.publicKey.toBase58()),
    payer: asSigner(who), authority: asSigner(who) }).getInstructions()[0]);
  assert.deepEqual(await run([instruction(bob)], [bob]), failure(26));
  assert.equal(await run([instruction(alice)], [alice]), null);
  assert.equal((await fetchAsset(umi, publicKey(asset))).owner, bob.publicKey.toBase58());
});

for (const version of ['legacy', 0]) {
  test(`mpl-core's ExecuteV1 spends from the asset's wallet (${version})`, async () => {
    const [alice, bob] = [await fresh(), await fresh(0)];
    const asset = await mintAsset(alice.publicKey);
    const pda = wallet(asset);
    await chain.command('airdrop', { to: pda.toBase58(), sol: 1, wait: 'confirmed' });
    const before = await balance(new PublicKey(asset));
    assert.equal(await run([execute(asset, transfer(pda, bob.publicKey, 10_000_000), alice)], [alice], { version }), null);
    assert.equal(await balance(bob.publicKey), 10_000_000);
    assert.equal(await balance(pda), SOL - 10_000_000);
    assert.equal(await balance(alice.publicKey), 10 * SOL - 5000 - 48_720);
    assert.equal(await balance(new PublicKey(asset)) - before, 48_720);
  });
}

test('ExecuteV1 fails with the codes of the real program', async () => {
  const [alice, bob, mallory] = [await fresh(), await fresh(0), await fresh()];
  const [asset, alone] = [await mintAsset(alice.publicKey), await mintAsset(alice.publicKey, { collection: undefined })];
  const pda = wallet(asset);
  for (const key of [pda, wallet(alone)]) await chain.command('airdrop', { to: key.toBase58(), sol: 1, wait: 'confirmed' });
  const spend = (lamports) => transfer(pda, bob.publicKey, lamports);
  assert.deepEqual(await run([execute(asset, spend(SOL / 2), mallory)], [mallory]), failure(26));
  assert.deepEqual(await run([execute(asset, spend(SOL / 2), alice, { collection: null })], [alice]), failure(25));
  assert.deepEqual(await run([execute(alone, transfer(wallet(alone), bob.publicKey, SOL / 2), alice)], [alice]), failure(19));
  assert.deepEqual(await run([execute(asset, spend(2 * SOL), alice)], [alice]), failure(1));
  const wrong = execute(asset, spend(SOL / 2), alice);
  wrong.keys[2].pubkey = wallet(alone);
  assert.deepEqual(await run([wrong], [alice]), failure(49));
  const index = (await build([execute(asset, spend(1), alice)], [alice])).message.staticAccountKeys.findIndex((k) => k.equals(pda));
  assert.deepEqual(await run([execute(asset, spend(SOL - EXEMPT + 1), alice)], [alice]),
    { InsufficientFundsForRent: { account_index: index } });
  assert.equal(await run([execute(asset, spend(SOL), alice)], [alice]), null);
  assert.equal(await connection.getAccountInfo(pda), null);
  await chain.command('burn', { asset, wait: 'confirmed' });
  assert.deepEqual(await run([execute(asset, spend(1), alice)], [alice]), failure(1));
});

test('ExecuteV1 moves tokens of the wallet, and the wallet\'s own NFTs', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const asset = await mintAsset(alice.publicKey);
  const pda = wallet(asset);
  const mint = await mintToken('token');
  await fund(mint, pda, 1000);
  const to = associated(bob.publicKey, mint, TOKEN);
  const move = transferChecked(TOKEN, associated(pda, mint, TOKEN), mint, to, pda, 250, 6);
  assert.equal(await run([createAssociated(alice.publicKey, bob.publicKey, mint, TOKEN), execute(asset, move, alice)], [alice]), null);
  assert.equal((await connection.getAccountInfo(to)).data.readBigUInt64LE(64), 250n);
  const held = await mintAsset(pda);
  const give = toWeb3JsInstruction(transferV1(umi, {
    asset: publicKey(held), collection: publicKey(chain.demo.collection), newOwner: publicKey(bob.publicKey.toBase58()),
    payer: asSigner(alice), authority: createNoopSigner(publicKey(pda.toBase58())) }).getInstructions()[0]);
  assert.equal(await run([execute(asset, give, alice)], [alice]), null);
  assert.equal((await fetchAsset(umi, publicKey(held))).owner, bob.publicKey.toBase58());
});

test('a delegate of the previous owner still executes after a sale, until its record is revoked', async () => {
  const [alice, bob, carol, mallory] = [await fresh(), await fresh(), await fresh(), await fresh(0)];
  const asset = await mintAsset(alice.publicKey, { attributes: 'model=opus' });
  const pda = wallet(asset);
  await chain.command('airdrop', { to: pda.toBase58(), sol: 5, wait: 'confirmed' });
  const record = new PublicKey(
    (await chain.command('delegate', { asset, authority: carol.publicKey.toBase58(), wait: 'confirmed' })).record);
  const read = await fetchAsset(umi, publicKey(asset));
  assert.equal(read.agentIdentities.length, 1);
  assert.deepEqual(read.attributes.attributeList, [{ key: 'model', value: 'opus' }]);
  const found = await connection.getProgramAccounts(AGENT_TOOLS, { filters: [
    { memcmp: { offset: 0, bytes: '3' } }, { memcmp: { offset: 72, bytes: asset } }] });
  assert.deepEqual(found.map(({ pubkey }) => pubkey.toBase58()), [record.toBase58()]);
  const spend = (who, options) => run([execute(asset, transfer(pda, mallory.publicKey, SOL), who, options)], [who]);
  assert.deepEqual(await spend(carol), failure(26));
  assert.equal(await spend(carol, { record }), null);
  await chain.command('transfer', { asset, to: bob.publicKey.toBase58(), wait: 'confirmed' });
  assert.equal(await spend(carol, { record }), null);
  assert.deepEqual(await spend(alice), failure(26));
  const revoke = (who) => new TransactionInstruction({
    programId: AGENT_TOOLS,
    keys: [
      { pubkey: record, isSigner: false, isWritable: true },
      { pubkey: new PublicKey(asset), isSigner: false, isWritable: false },
      { pubkey: who.publicKey, isSigner: false, isWritable: true },
      { pubkey: who.publicKey, isSigner: true, isWritable: true },
      { pubkey: AGENT_TOOLS, isSigner: false, isWritable: false },
      { pubkey: SystemProgram.programId, isSigner: false, isWritable: false },
    ],
    data: Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]),
  });
  // whoever executes: a record that comes first is no account of the inner instruction's
  assert.equal(await spend(bob, { record }), null);
  assert.deepEqual(await run([revoke(alice)], [alice]), failure(13));
  assert.equal(await run([revoke(bob)], [bob]), null);
  assert.deepEqual(await spend(carol, { record }), failure(26));
});

test('a simulation shows what would be, and changes nothing', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const keys = [alice.publicKey, bob.publicKey];
  const simulate = async (lamports) => {
    const tx = await build([transfer(alice.publicKey, bob.publicKey, lamports)], [alice], { blockhash: '1'.repeat(32) });
    return (await connection.simulateTransaction(tx, { replaceRecentBlockhash: true, sigVerify: false,
      accounts: { encoding: 'base64', addresses: keys.map((k) => k.toBase58()) } })).value;
  };
  const good = await simulate(SOL);
  assert.equal(good.err, null);
  assert.deepEqual(good.accounts.map((a) => a.lamports), [9 * SOL - 5000, SOL]);
  assert.ok(good.logs.length >= 2 && good.unitsConsumed > 0);
  assert.deepEqual((await simulate(100 * SOL)).err, failure(1));
  assert.equal(await balance(bob.publicKey), 0);
  await chain.command('false_simulation');
  assert.equal((await simulate(100 * SOL)).err, null);
});

test('a node loses what was sent to it; another tells the status of another', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const tx = await build([transfer(alice.publicKey, bob.publicKey, SOL)], [alice]);
  await chain.command('lose_sent');
  const signature = await send(tx);
  await chain.command('airdrop', { to: bob.publicKey.toBase58(), lamports: EXEMPT, wait: 'confirmed' });
  assert.deepEqual((await connection.getSignatureStatuses([signature])).value, [null]);
  await chain.command('other_status');
  const { value: [status] } = await connection.getSignatureStatuses([signature]);
  assert.ok(status && status.slot > 0);
  await chain.command('ok');
  await send(tx);
  assert.equal((await landed(signature)).err, null);
});

test('transactions are still known after a restart', async () => {
  const [alice, bob] = [await fresh(), await fresh(0)];
  const signature = await send(await build([transfer(alice.publicKey, bob.publicKey, SOL)], [alice]));
  await chain.restart('SIGKILL');
  connection = new Connection(chain.a.rpc_url, { commitment: 'confirmed', wsEndpoint: chain.a.ws_url });
  const { value: [status] } = await connection.getSignatureStatuses([signature], { searchTransactionHistory: true });
  assert.equal(status.err, null);
  assert.equal(await until(() => balance(bob.publicKey)), SOL);
});
