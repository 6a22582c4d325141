// A running suite to sign in to: the one MULTICLAW_PUBLIC_URL and MULTICLAW_STATE_DIR name, else one started here with deploy/run.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readJson, rpc } from './devchain.mjs';

const run = resolve('../../deploy/run');

function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

function onceReady(child, url) {
  return new Promise((done, fail) => {
    let text = '';
    const read = (chunk) => {
      text += chunk;
      if (text.includes(`ready ${url}\n`)) done();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('error', fail);
    child.on('close', (code) => fail(new Error(`deploy/run ended with ${code}: ${text}`)));
  });
}

async function launch(settings) {
  const state = mkdtempSync(join(tmpdir(), 'mc-'));
  const url = `http://localhost:${await freePort()}`;
  const { SOLANA_RPC_URL, SOLANA_WS_URL, MULTICLAW_COLLECTION, ...env } = process.env;
  const child = spawn(run, {
    env: {
      ...env, MULTICLAW_STATE_DIR: state, MULTICLAW_PUBLIC_URL: url, MULTICLAW_AGENTS_DOMAIN: new URL(url).host,
      MULTICLAW_DEVCHAIN_PORT: '0', MULTICLAW_DEVCHAIN_SLOT_MS: '50', MULTICLAW_SANDBOX: 'no', ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = async () => {
    const ended = child.exitCode !== null ? Promise.resolve() : new Promise((done) => child.on('exit', done));
    child.kill('SIGTERM');
    await ended;
    rmSync(state, { recursive: true, force: true });
  };
  try {
    await onceReady(child, url);
  } catch (err) {
    await stop();
    throw err;
  }
  return { url, state, stop };
}

// settings: environment of deploy/run; { MULTICLAW_SANDBOX: 'yes' } for containers, which need root
export async function openSuite(settings = {}) {
  const running = process.env.MULTICLAW_PUBLIC_URL && process.env.MULTICLAW_STATE_DIR;
  const { url, state, stop } = running
    ? { url: process.env.MULTICLAW_PUBLIC_URL, state: process.env.MULTICLAW_STATE_DIR, stop: async () => {} }
    : await launch(settings);
  const { rpc_a: port } = readJson(join(state, 'chain/ports.json'));
  return {
    url, stop,
    demo: readJson(join(state, 'chain/demo.json')),
    command: (name, params) => rpc(`http://127.0.0.1:${port}`, `devchain_${name}`, params),
    request: (method, path, { body, cookie } = {}) => request(url, method, path, body, cookie),
  };
}

// fetch would try ::1 for localhost first, where nothing listens
function request(base, method, path, body, cookie) {
  const { hostname, port, host } = new URL(base);
  const headers = { host };
  if (body) headers['content-type'] = 'application/json';
  if (cookie) headers.cookie = cookie;
  return new Promise((done, fail) => {
    const sent = http.request({ hostname, port, path, method, headers, family: 4 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => done({
        status: response.statusCode,
        cookies: response.headers['set-cookie'] ?? [],
        json: text ? JSON.parse(text) : null,
      }));
    });
    sent.on('error', fail);
    sent.end(body ? JSON.stringify(body) : undefined);
  });
}
