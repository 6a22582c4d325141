// The demo wallets of a suite, and signing in with them.
import assert from 'node:assert/strict';
import { createPrivateKey, sign } from 'node:crypto';
import { Keypair } from '@solana/web3.js';
import { readJson } from './devchain.mjs';

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex'); // RFC 8410: what precedes an Ed25519 seed

export function signBytes(keypair, bytes) {
  const seed = keypair.secretKey.subarray(0, 32);
  return sign(null, bytes, createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' }));
}

function base58(bytes) {
  const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
  let number = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  for (; number; number /= 58n) text = alphabet[Number(number % 58n)] + text;
  for (let i = 0; bytes[i] === 0; i++) text = `1${text}`;
  return text;
}

export function wallets(suite) {
  const [alice, bob] = ['alice', 'bob'].map((name) =>
    Keypair.fromSecretKey(Uint8Array.from(readJson(suite.demo.wallets[name].keypair))));
  const assetOf = (wallet) => suite.demo.assets.find((asset) => asset.owner === wallet.publicKey.toBase58()).asset;

  async function challenge(wallet, asset = assetOf(wallet)) {
    const { status, json } = await suite.request('POST', '/v1/auth/challenge', {
      body: { wallet: wallet.publicKey.toBase58(), asset },
    });
    assert.equal(status, 200, JSON.stringify(json));
    return json;
  }

  function verify(wallet, issued, bytes = Buffer.from(issued.message), signer = wallet) {
    return suite.request('POST', '/v1/auth/verify', {
      body: { nonce: issued.nonce, wallet: wallet.publicKey.toBase58(), signature: base58(signBytes(signer, bytes)) },
    });
  }

  async function signIn(wallet, asset) {
    const answer = await verify(wallet, await challenge(wallet, asset));
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
    return { ...answer.json, cookie: answer.cookies[0].split(';')[0] };
  }

  return { alice, bob, assetOf, challenge, verify, signIn };
}
