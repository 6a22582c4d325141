// The same hop with ioredis: a process that publishes, and subscribers of a process each. node pubsub.mjs REDIS_SOCKET N SUBSCRIBERS BYTES
// N messages of BYTES, one at a time: from the call of publish until the last subscriber's handler has it, in us, one a line.
import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import Redis from "ioredis";

const [, , socket, n, subscribers, bytes] = process.argv;
const channel = "bench:events";
const redis = new Redis(socket, { username: "tests", password: "x" });
const now = () => Number(process.hrtime.bigint()) / 1000; // CLOCK_MONOTONIC: the same in every process

async function subscriber() {
  const got = [];
  redis.on("message", () => {
    got.push(now());
    if (got.length === Number(n)) process.send({ got }, () => process.exit(0));
  });
  await redis.subscribe(channel);
  process.send({ ready: true });
}

async function publisher() {
  const all = Array.from({ length: Number(subscribers) }, () => fork(new URL(import.meta.url).pathname, process.argv.slice(2), { env: { ...process.env, SUBSCRIBER: "1" } }));
  await Promise.all(all.map((child) => once(child, "message")));
  const results = all.map((child) => once(child, "message"));
  const payload = "x".repeat(Number(bytes));
  const sent = [];
  for (let i = 0; i < Number(n); i++) {
    sent.push(now());
    if ((await redis.publish(channel, payload)) !== all.length) throw new Error("somebody does not listen");
    await setTimeout(1);
  }
  const got = (await Promise.all(results)).map(([message]) => message.got);
  for (let i = 0; i < sent.length; i++) console.log((Math.max(...got.map((times) => times[i])) - sent[i]).toFixed(1));
  redis.disconnect();
}

await (process.env.SUBSCRIBER ? subscriber() : publisher());
