// Transactions composed here mean the same to web3.js, mpl-core and mpl-toolbox, and theirs are the same here.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { execute, getExecuteV1InstructionDataSerializer, getTransferV1InstructionDataSerializer, mplCore, transferV1 } from '@metaplex-foundation/mpl-core';
import {
  closeToken, createIdempotentAssociatedToken, mplToolbox, revokeTokenDelegate, setComputeUnitLimit, setComputeUnitPrice,
  transferSol, transferTokensChecked,
} from '@metaplex-foundation/mpl-toolbox';
import { createNoopSigner, lamports, publicKey, signerIdentity, transactionBuilder } from '@metaplex-foundation/umi';
import { createUmi } from '@metaplex-foundation/umi-bundle-defaults';
import {
  ComputeBudgetInstruction, ComputeBudgetProgram, Keypair, PublicKey, SystemInstruction, SystemProgram, Transaction,
  TransactionInstruction, TransactionMessage, VersionedTransaction,
} from '@solana/web3.js';

const TOKEN = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
const TOKEN_2022 = 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb';
const ASSOCIATED = 'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL';
const TOOLS = 'TLREGni9ZEyGC3vnPZtqUh95xQ8oPqJSvNjvB7FGK8S';
const IDENTITY = '1DREGFgysWYxLnRnKQnwrxnJQeSMk2HmGaC6whw2B2p';
const LIGHTHOUSE = 'L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95';

const pair = (seed) => Keypair.fromSeed(new Uint8Array(32).fill(seed));
const key = (seed) => pair(seed).publicKey.toBase58();
const owner = pair(2);
const collection = key(4), asset = key(5), destination = key(6), mallory = key(7), nft = key(10), mint = key(11);
const payer = owner.publicKey.toBase58();
const blockhash = new PublicKey(new Uint8Array(32).fill(9)).toBase58();
const derive = (program, ...seeds) => PublicKey.findProgramAddressSync(
  seeds.map((seed) => (typeof seed === 'string' ? new PublicKey(seed).toBuffer() : seed)), new PublicKey(program))[0].toBase58();
const wallet = derive('CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d', Buffer.from('mpl-core-execute'), asset);
const source = derive(ASSOCIATED, wallet, TOKEN, mint), target = derive(ASSOCIATED, destination, TOKEN, mint);

let child, lines, umi;

before(() => {
  child = spawn(join(process.env.BUILD ?? '../../build', 'wallet/wallet_lines'), { stdio: ['pipe', 'pipe', 'inherit'] });
  lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  // nothing is asked of a node
  umi = createUmi('http://127.0.0.1:1').use(mplCore()).use(mplToolbox()).use(signerIdentity(createNoopSigner(publicKey(payer))));
});

after(() => child.stdin.end());

async function ask(request) {
  child.stdin.write(`${JSON.stringify(request)}\n`);
  const { value, done } = await lines.next();
  assert.ok(!done, 'wallet_lines ended');
  return JSON.parse(value);
}

async function compose(version, instructions) {
  const { tx, text } = await ask({ op: 'compose', version, payer, blockhash, instructions });
  assert.ok(tx, text);
  return Buffer.from(tx, 'hex');
}

const accept = (built, returned, more = {}) => ask({
  op: 'accept', built: built.toString('hex'), returned: Buffer.from(returned).toString('hex'), max_priority: 100000, ...more });
const summary = async (tx) =>
  (await ask({ op: 'summary', tx: Buffer.from(tx).toString('hex'), asset })).lines.map((line) => line.text);

const own = createNoopSigner(publicKey(wallet));
const wrapped = { asset, collection };
const wrap = (builder) => execute(umi, {
  asset: { publicKey: publicKey(asset) }, collection: { publicKey: publicKey(collection) }, instructions: builder });

// name, our instructions, the libraries' builder of the same
const operations = [
  ['SOL', [{ do: 'system_transfer', from: wallet, to: destination, lamports: 10000000, execute: wrapped }],
    () => wrap(transferSol(umi, { source: own, destination: publicKey(destination), amount: lamports(10000000) }))],
  ['SOL of an asset without a collection',
    [{ do: 'system_transfer', from: wallet, to: destination, lamports: 1, execute: { asset } }],
    () => execute(umi, { asset: { publicKey: publicKey(asset) },
      instructions: transferSol(umi, { source: own, destination: publicKey(destination), amount: lamports(1) }) })],
  ['SOL with a compute budget', [{ do: 'budget_limit', units: 60000 }, { do: 'budget_price', price: 1000 },
    { do: 'system_transfer', from: wallet, to: destination, lamports: 10000000, execute: wrapped }],
    () => transactionBuilder().add(setComputeUnitLimit(umi, { units: 60000 })).add(setComputeUnitPrice(umi, { microLamports: 1000 }))
      .add(wrap(transferSol(umi, { source: own, destination: publicKey(destination), amount: lamports(10000000) })))],
  ['a token and its account', [
    { do: 'token_create_account', program: TOKEN, from: wallet, owner: destination, mint, execute: wrapped },
    { do: 'token_transfer', program: TOKEN, mint, source, destination: target, owner: wallet, amount: 1500000, decimals: 6, execute: wrapped }],
    () => wrap(createIdempotentAssociatedToken(umi, { payer: own, ata: publicKey(target), owner: publicKey(destination), mint: publicKey(mint) })
      .add(transferTokensChecked(umi, { source: publicKey(source), mint: publicKey(mint), destination: publicKey(target), authority: own, amount: 1500000, decimals: 6 })))],
  ['closing a token account', [{ do: 'token_close', program: TOKEN, account: source, to: wallet, owner: wallet, execute: wrapped }],
    () => wrap(closeToken(umi, { account: publicKey(source), destination: publicKey(wallet), owner: own }))],
  ['revoking a token delegate', [{ do: 'token_revoke', program: TOKEN, account: source, owner: wallet, execute: wrapped }],
    () => wrap(revokeTokenDelegate(umi, { source: publicKey(source), owner: own }))],
  ['an NFT', [{ do: 'core_transfer', asset: nft, collection, payer, authority: wallet, new_owner: destination, execute: wrapped }],
    () => wrap(transferV1(umi, { asset: publicKey(nft), collection: publicKey(collection), authority: own, newOwner: publicKey(destination) }))],
];

const builtByLibraries = (builder, version) => Buffer.from(umi.transactions.serialize(
  builder.setBlockhash(blockhash).setVersion(version === 'v0' ? 0 : 'legacy').build(umi)));

for (const version of ['legacy', 'v0']) {
  for (const [name, instructions, builder] of operations) {
    test(`${name}, ${version}: the same bytes as the libraries make`, async () => {
      const ours = await compose(version, instructions), theirs = builtByLibraries(builder(), version);
      assert.equal(ours.toString('hex'), theirs.toString('hex'));
    });

    test(`${name}, ${version}: web3.js reads, signs and serialises it, and it is accepted`, async () => {
      const ours = await compose(version, instructions);
      const read = VersionedTransaction.deserialize(ours);
      read.sign([owner]);
      assert.deepEqual(await accept(ours, read.serialize()), { ok: true });
      assert.equal((await accept(ours, ours)).reason, 'tx_signature');
    });

    test(`${name}, ${version}: changed by web3.js only as a wallet may, it is accepted, else refused`, async () => {
      const ours = await compose(version, instructions);
      const message = TransactionMessage.decompile(VersionedTransaction.deserialize(ours).message);
      const resign = (change, by = [owner]) => {
        const changed = new TransactionMessage({ ...message, instructions: [...message.instructions] });
        change(changed);
        const tx = new VersionedTransaction(version === 'v0' ? changed.compileToV0Message() : changed.compileToLegacyMessage());
        tx.sign(by);
        return tx.serialize();
      };
      const budget = (changed) => {
        changed.instructions = changed.instructions.filter((ix) => !ix.programId.equals(ComputeBudgetProgram.programId));
        changed.instructions.unshift(
          ComputeBudgetProgram.setComputeUnitLimit({ units: 100000 }), ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 5000 }));
      };
      const assertion = (changed) => changed.instructions.push(new TransactionInstruction({
        programId: new PublicKey(LIGHTHOUSE), data: Buffer.from([5, 0, 0, 0]),
        keys: [{ pubkey: owner.publicKey, isSigner: false, isWritable: false }] }));
      assert.deepEqual(await accept(ours, resign(budget)), { ok: true });
      assert.deepEqual(await accept(ours, resign(assertion), { lighthouse: true }), { ok: true });
      assert.equal((await accept(ours, resign(assertion))).reason, 'tx_changed');
      assert.equal((await accept(ours, resign((changed) => { changed.recentBlockhash = mallory; }))).reason, 'tx_changed');
      assert.equal((await accept(ours, resign((changed) => changed.instructions.push(
        SystemProgram.transfer({ fromPubkey: owner.publicKey, toPubkey: new PublicKey(mallory), lamports: 1 }))))).reason, 'tx_changed');
    });
  }
}

test('web3.js and mpl-core decode what an ExecuteV1 composed here holds', async () => {
  const tx = VersionedTransaction.deserialize(await compose('v0', operations[2][1]));
  const { instructions, payerKey, recentBlockhash } = TransactionMessage.decompile(tx.message);
  assert.equal(payerKey.toBase58(), payer);
  assert.equal(recentBlockhash, blockhash);
  assert.equal(ComputeBudgetInstruction.decodeSetComputeUnitLimit(instructions[0]).units, 60000);
  assert.equal(Number(ComputeBudgetInstruction.decodeSetComputeUnitPrice(instructions[1]).microLamports), 1000);
  const [args] = getExecuteV1InstructionDataSerializer().deserialize(instructions[2].data);
  assert.equal(args.discriminator, 31);
  const inner = new TransactionInstruction({
    programId: instructions[2].keys[6].pubkey, keys: instructions[2].keys.slice(7), data: Buffer.from(args.instructionData) });
  const sent = SystemInstruction.decodeTransfer(inner);
  assert.deepEqual([sent.fromPubkey.toBase58(), sent.toPubkey.toBase58(), sent.lamports], [wallet, destination, 10000000n]);
  assert.equal(inner.keys[0].isSigner, false);
});

test('mpl-core decodes the transfer of an NFT composed here', async () => {
  const tx = VersionedTransaction.deserialize(await compose('v0', operations[6][1]));
  const [outer] = TransactionMessage.decompile(tx.message).instructions;
  const [args] = getExecuteV1InstructionDataSerializer().deserialize(outer.data);
  const [inner] = getTransferV1InstructionDataSerializer().deserialize(args.instructionData);
  assert.deepEqual([inner.discriminator, inner.compressionProof], [14, { __option: 'None' }]);
});

test("the old Transaction class sorts the keys its own way, which means the same and is accepted", async () => {
  const ours = await compose('legacy', operations[3][1]);
  const message = TransactionMessage.decompile(VersionedTransaction.deserialize(ours).message);
  const old = new Transaction({ feePayer: owner.publicKey, recentBlockhash: blockhash }).add(...message.instructions);
  old.sign(owner);
  const bytes = old.serialize();
  assert.notEqual(bytes.subarray(65).toString('hex'), ours.subarray(65).toString('hex'));
  assert.deepEqual(await accept(ours, bytes), { ok: true });
});

test('a Token-2022 transfer is laid out as the token library lays one out', async () => {
  const from = derive(ASSOCIATED, wallet, TOKEN_2022, mint), to = derive(ASSOCIATED, destination, TOKEN_2022, mint);
  const ours = await compose('v0', [{ do: 'token_transfer', program: TOKEN_2022, mint, source: from, destination: to, owner: wallet,
    amount: 7, decimals: 2, execute: wrapped }]);
  const builder = transferTokensChecked(umi, { source: publicKey(from), mint: publicKey(mint), destination: publicKey(to), authority: own, amount: 7, decimals: 2 });
  const items = builder.items.map((item) => ({ ...item, instruction: { ...item.instruction, programId: publicKey(TOKEN_2022) } }));
  assert.equal(ours.toString('hex'), builtByLibraries(wrap(transactionBuilder(items)), 'v0').toString('hex'));
});

test('what the libraries built is told as what it does', async () => {
  const tx = builtByLibraries(operations[3][2](), 'v0');
  const [create, send, , fee] = await summary(tx);
  assert.ok(create.startsWith(`Create token account ${target} of ${destination} for token ${mint}, if it is missing; the agent's wallet ${wallet} pays`), create);
  assert.ok(send.startsWith(`Send 1.5 of token ${mint} (6 decimals) of the agent's wallet ${wallet} from token account ${source} to ${destination}, token account ${target}`), send);
  assert.ok(fee.startsWith(`Network fee: 0.000005 SOL, from the fee payer ${payer}`), fee);
  const [sol] = await summary(builtByLibraries(operations[0][2](), 'legacy'));
  assert.ok(sol.startsWith(`Send 0.01 SOL from the agent's wallet ${wallet} to ${destination}`), sol);
});

test('addresses are derived as web3.js derives them', async () => {
  for (let seed = 20; seed < 40; seed++) {
    const [who, what, of] = [key(seed), key(seed + 20), key(seed + 40)];
    const profile = derive(TOOLS, Buffer.from('executive_profile'), who);
    assert.deepEqual(await ask({ op: 'addresses', wallet: who, asset: what, mint: of }), {
      token: derive(ASSOCIATED, who, TOKEN, of), token_2022: derive(ASSOCIATED, who, TOKEN_2022, of),
      signer: derive('CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d', Buffer.from('mpl-core-execute'), what),
      profile, record: derive(TOOLS, Buffer.from('execution_delegate_record'), profile, what),
      identity: derive(IDENTITY, Buffer.from('agent_identity'), what),
    });
  }
});
