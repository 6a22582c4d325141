// An owner's agent in a real browser: opened from the console's side, used, sold under the owner's eyes, and fresh for the buyer.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { openSuite } from './suite.mjs';
import { wallets } from './wallets.mjs';

const skip = process.getuid() === 0 ? false : 'containers need root';
const WAIT = { timeout: 20_000 };
let suite, browser, alice, bob, signIn;

before(async () => {
  if (skip) return;
  suite = await openSuite({ MULTICLAW_SANDBOX: 'yes' });
  ({ alice, bob, signIn } = wallets(suite));
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  await suite?.stop();
});

const mint = async (owner) => (await suite.command('mint', {
  owner: owner.publicKey.toBase58(), collection: suite.demo.collection, wait: 'confirmed',
})).asset;

async function openingOf(session) {
  const answer = await suite.request('POST', '/v1/agent/open', { body: {}, cookie: session.cookie });
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  return answer.json.url;
}

// a browser profile of its own, on the agent's page, connected
async function visit(session) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const url = await openingOf(session);
  await page.goto(url);
  await page.waitForURL(new URL('/', url).href, WAIT);
  await page.locator('#connection[data-state=connected]').waitFor(WAIT);
  return { page, context, url };
}

async function say(page, text) {
  await page.fill('#message', text);
  await page.click('#send');
  await page.locator('#log li.agent', { hasText: text }).waitFor(WAIT);
}

async function remember(page, text) {
  await page.fill('#memory', text);
  await page.click('#save');
  await page.locator('#saved', { hasText: 'Saved.' }).waitFor(WAIT);
}

test('an owner opens the agent, a sale throws the owner out, the buyer starts fresh', { skip }, async () => {
  const asset = await mint(alice);
  const seller = await visit(await signIn(alice, asset));
  await say(seller.page, 'hello from alice');
  await remember(seller.page, 'what only alice may read');
  await seller.page.reload();
  await seller.page.locator('#connection[data-state=connected]').waitFor(WAIT);
  assert.equal(await seller.page.inputValue('#memory'), 'what only alice may read');

  await suite.command('transfer', { asset, to: bob.publicKey.toBase58(), wait: 'confirmed' });
  await seller.page.locator('#connection:not([data-state=connected])').waitFor(WAIT);
  await seller.page.locator('#connection[data-state=ended]').waitFor(WAIT);
  await seller.page.reload();
  await seller.page.getByText(/sign in/i).first().waitFor(WAIT);

  const buyer = await visit(await signIn(bob, asset));
  assert.equal(await buyer.page.inputValue('#memory'), '');
  assert.equal(await buyer.page.locator('#log li').count(), 0);
  await say(buyer.page, 'hello from bob');
  await Promise.all([seller.context.close(), buyer.context.close()]);
});

test('what a link opens, it opens once', { skip }, async () => {
  const session = await signIn(alice, await mint(alice));
  const { url, context } = await visit(session);
  const thief = await browser.newContext();
  const page = await thief.newPage();
  await page.goto(url);
  await page.getByText(/used already|older than 30 seconds/).waitFor(WAIT);
  assert.deepEqual((await thief.cookies()).filter((cookie) => cookie.name === '__Host-multiclaw-agent'), []);
  await Promise.all([context.close(), thief.close()]);
});

test('what runs on the page reads no cookie, and the page of another agent gets nothing', { skip }, async () => {
  const { page, context } = await visit(await signIn(alice, await mint(alice)));
  assert.equal(await page.evaluate(() => document.cookie), '');
  const other = await signIn(bob, await mint(bob));
  const status = await page.evaluate(async (agent) => {
    const host = location.host.replace(/^[a-z2-7]{32}/, agent);
    try {
      return (await fetch(`${location.protocol}//${host}/`, { credentials: 'include' })).status;
    } catch (error) {
      return error.message;
    }
  }, other.agent_id);
  assert.notEqual(status, 200);
  await context.close();
});

test('logging out of the console ends what is open, and the page says so', { skip }, async () => {
  const session = await signIn(alice, await mint(alice));
  const { page, context } = await visit(session);
  const answer = await suite.request('POST', '/v1/auth/logout', { body: {}, cookie: session.cookie });
  assert.equal(answer.status, 204);
  await page.locator('#connection[data-state=ended]').waitFor(WAIT);
  await context.close();
});
