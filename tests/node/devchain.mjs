// Starts a development chain of its own for a test and sends it commands.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = join(process.env.BUILD ?? '../../build', 'bin/multiclaw-devchain');

export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

// resolves when it serves; a chain that ends by itself ends the test, which could only wait for it
function onceServing(child) {
  return new Promise((resolve) => {
    let text = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (chunk) => {
      text += chunk;
      if (text.includes('msg=serving')) resolve();
    });
    child.on('close', (code, signal) => {
      if (child.stopping) return;
      process.stderr.write(`${text}multiclaw-devchain ended by itself: ${signal ?? code}\n`);
      process.exit(1);
    });
  });
}

async function spawnServing(dir, slotMs, options) {
  const anyPorts = ['--port', '0', '--ws-port', '0', '--port-b', '0', '--ws-port-b', '0'];
  const child = spawn(program, ['serve', '--state', dir, '--demo', '--slot-ms', String(slotMs), ...anyPorts, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await onceServing(child);
  return child;
}

function end(child, signal) {
  const ended = new Promise((resolve) => child.on('exit', resolve));
  child.stopping = true;
  child.kill(signal);
  return ended;
}

function readNodes(dir) {
  const ports = readJson(join(dir, 'ports.json'));
  const node = (name) => ({
    rpc_url: `http://127.0.0.1:${ports[`rpc_${name}`]}`,
    ws_url: `ws://127.0.0.1:${ports[`ws_${name}`]}`,
  });
  return { a: node('a'), b: node('b') };
}

export async function startDevchain(slotMs = 40, ...options) {
  const dir = mkdtempSync(join(tmpdir(), 'devchain-'));
  let child = await spawnServing(dir, slotMs, options);
  const chain = {
    ...readNodes(dir),
    demo: readJson(join(dir, 'demo.json')),
    command: (name, params = {}, node = chain.a) => rpc(node.rpc_url, `devchain_${name}`, params),
    async restart(signal) {
      await end(child, signal);
      child = await spawnServing(dir, slotMs, options);
      Object.assign(chain, readNodes(dir));
    },
    async stop() {
      const code = await end(child, 'SIGTERM');
      rmSync(dir, { recursive: true });
      return code;
    },
  };
  return chain;
}

export async function rpc(url, method, params) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 7, method, params }),
  });
  const reply = await response.json();
  if (reply.error) throw Object.assign(new Error(reply.error.message), reply.error);
  return reply.result;
}
