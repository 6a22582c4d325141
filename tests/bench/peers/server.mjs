// The same two jobs with Fastify, jose, ioredis and wallet-standard-util: a decision (JWT + session in Redis + subject) and a sign-in (challenge,
// verify; ownership by a constant, which is less work than ours). node server.mjs SOCKET REDIS_SOCKET SECRET
import { createHash, randomBytes } from "node:crypto";
import Fastify from "fastify";
import Redis from "ioredis";
import { jwtVerify, SignJWT } from "jose";
import { createSignInMessageText, verifySignIn } from "@solana/wallet-standard-util";

const [, , socket, redisSocket, secretText] = process.argv;
const secret = new TextEncoder().encode(secretText);
const redis = new Redis(redisSocket, { username: "tests", password: "x" });
const app = Fastify({ logger: false });

function cookie(header, name) {
  for (const part of (header ?? "").split("; ")) if (part.startsWith(`${name}=`)) return part.slice(name.length + 1);
}

app.get("/authz", async (request, reply) => {
  const token = cookie(request.headers.cookie, "__Host-multiclaw");
  if (!token) return reply.code(401).send();
  let payload;
  try {
    ({ payload } = await jwtVerify(token, secret, { algorithms: ["HS256"], issuer: "bench" }));
  } catch {
    return reply.code(401).send();
  }
  if (!(await redis.exists(`bench:session:${payload.jti}`))) return reply.code(401).send();
  if (payload.sub !== request.headers["x-original-host"]) return reply.code(403).send();
  return reply.code(200).header("X-Asset", payload.sub).send();
});

app.post("/challenge", async (request) => {
  const nonce = randomBytes(16).toString("hex");
  const now = new Date();
  const input = {
    domain: "localhost:8080", address: request.body.wallet, statement: "Sign in.", uri: "http://localhost:8080", version: "1",
    chainId: "localnet", nonce, issuedAt: now.toISOString(), expirationTime: new Date(now.getTime() + 300000).toISOString(),
  };
  await redis.set(`bench:nonce:${nonce}`, JSON.stringify(input), "PX", 300000);
  return { nonce, message: createSignInMessageText(input) };
});

app.post("/verify", async (request, reply) => {
  const { nonce, signature, publicKey } = request.body;
  const stored = await redis.getdel(`bench:nonce:${nonce}`);
  if (!stored) return reply.code(401).send();
  const input = JSON.parse(stored);
  const ok = verifySignIn(input, {
    account: { address: input.address, publicKey: Uint8Array.from(Buffer.from(publicKey, "base64")) },
    signedMessage: new TextEncoder().encode(createSignInMessageText(input)),
    signature: Uint8Array.from(Buffer.from(signature, "base64")),
  });
  if (!ok) return reply.code(401).send();
  const jti = randomBytes(16).toString("hex");
  const token = await new SignJWT({ wallet: input.address }).setProtectedHeader({ alg: "HS256" }).setIssuer("bench").setJti(jti)
    .setSubject(createHash("sha256").update(input.address).digest("hex").slice(0, 32)).setIssuedAt().setExpirationTime("7d").sign(secret);
  await redis.set(`bench:session:${jti}`, "1", "EX", 604800);
  return { token };
});

await app.listen({ path: socket });
console.log("ready");
