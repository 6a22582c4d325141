// Starts a development chain of its own for a test and sends it commands.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = join(process.env.BUILD ?? '../../build', 'bin/multiclaw-devchain');

export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function onceListening(child) {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (chunk) => {
      text += chunk;
      if (text.includes('msg=serving')) resolve();
    });
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`devchain ended with ${code}: ${text}`)));
  });
}

export async function startDevchain(slotMs = 40) {
  const dir = mkdtempSync(join(tmpdir(), 'devchain-'));
  const ports = ['--port', '0', '--ws-port', '0', '--port-b', '0', '--ws-port-b', '0'];
  const child = spawn(program, ['serve', '--state', dir, '--demo', '--slot-ms', String(slotMs), ...ports], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await onceListening(child);
  const [a, b] = readJson(join(dir, 'ports.json')).nodes;
  return {
    a, b,
    demo: readJson(join(dir, 'demo.json')),
    command: (name, params = {}, node = a) => rpc(node.rpc_url, `devchain_${name}`, params),
    async stop() {
      const ended = new Promise((resolve) => child.on('exit', resolve));
      child.kill('SIGTERM');
      const code = await ended;
      rmSync(dir, { recursive: true });
      return code;
    },
  };
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
