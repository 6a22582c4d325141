"""What a revocation takes and costs: from a transfer to the refusals of four routers, beside a bare ZeroMQ hop and ioredis' pub/sub, in turns; what one
event costs a router that has so many sessions cached, and the memory of each.

A transfer has two beginnings here. *Notified*: the development chain's node sent the PubSub notification (its own clock reading). *Written*: a plain reader of
Redis, blocked in XREAD, was told of the event, which is when the XADD is answered to whoever wrote it (both after the fsync). It ends with the 401 of the last of
the routers to a request for an agent with the session that was allowed until then. Nobody is asked anything before the event is written; then each router
is asked at once and every BENCH_PROBE_US after that, so a refusal is seen up to that much late, and never early.

Sessions come of the real session service, over its own bus calls (chain-oracle reads the owner, session mints), without the wallet's signature, which
only auth would look at.
"""

import contextlib
import json
import os
import pathlib
import selectors
import socket
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

ROUTERS = 4
REVOCATIONS = int(os.environ.get("BENCH_REVOCATIONS", "10000"))
ROUNDS = 10
PROBE_US = int(os.environ.get("BENCH_PROBE_US", "300"))
# as little as the chain allows: 2 slots from a change to `confirmed`
SLOT_MS = int(os.environ.get("BENCH_SLOT_MS", "5"))
BELL_BYTES = 120  # what the bell says: history, id, asset

SESSIONS = [int(n) for n in os.environ.get("BENCH_SESSIONS", "1000,100000").split(",")]
TABLES = ((1_000, 16_384), (100_000, 262_144), (1_000_000, 2_097_152))  # sessions, MULTICLAW_DECISION_ENTRIES
PER_ASSET = 64  # sessions of one asset, at most
EVENTS = 500
EVENTS_APART_S = 0.015

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from bus_server import read_key  # noqa: E402
from parts import Peer  # noqa: E402
from suite import BIN  # noqa: E402
from test_ticket import agent_of  # noqa: E402


# ---- sessions


def ask_all(peer, call, bodies, window=64):
    """The answers of one call, asked for many times with some under way at once; who is busy or short of a lease is asked again."""
    answers, under_way, left = [None] * len(bodies), {}, list(range(len(bodies)))
    answered = time.monotonic()
    while left or under_way:
        while left and len(under_way) < window:
            at = left.pop()
            under_way[peer.send(call, 30, **bodies[at])] = at
        envelope, answer = peer.receive(30)
        at = under_way.pop(envelope["id"])
        if envelope["status"] == "ok":
            answers[at], answered = answer, time.monotonic()
            continue
        assert envelope["status"] in ("busy", "unavailable") and time.monotonic() < answered + 30, envelope
        left.append(at)
        time.sleep(0.01)
    return answers


class Openers:
    """Who opens sessions: we, with auth's and router's keys."""

    def __init__(self, suite):
        keys = SimpleNamespace(state=suite.state, key=lambda name: read_key(suite.state, name))
        self.oracle = Peer(keys, "auth", "chain-oracle")
        self.minter = Peer(keys, "auth", "session")
        self.router = Peer(keys, "router", "session")
        self.operator = Peer(keys, "operator", "session")

    def close(self):
        for peer in vars(self).values():
            peer.close()

    def consoles(self, owned, each=1):
        """`each` sessions of every (asset, wallet): [{"token", "jti", "asset"}]"""
        reads = ask_all(self.oracle, "oracle.owner", [{"asset": asset, "wallet": wallet} for asset, wallet in owned], 16)
        assert all(read["verdict"] == "owned" for read in reads), reads[0]
        bodies = [{"asset": asset, "wallet": wallet, "slot": read["slot"], "history": read["history"], "ip": "192.0.2.1"}
                  for (asset, wallet), read in zip(owned, reads) for _ in range(each)]
        return [{**answer, "asset": body["asset"]} for answer, body in zip(ask_all(self.minter, "session.mint", bodies, 256), bodies)]

    def agents(self, owned):
        """(asset, sandbox id, token of the agent's origin) of each"""
        state = os.urandom(32)
        consoles = self.consoles(owned)
        agents = [agent_of(asset) for asset, _ in owned]
        openings = ask_all(self.router, "session.opening", [{"token": s["token"]} for s in consoles])
        tickets = ask_all(self.router, "session.ticket", [{"opening": o["opening"], "agent": a, "state": state} for o, a in zip(openings, agents)])
        entered = ask_all(self.router, "session.enter", [{"ticket": t["ticket"], "agent": a, "state": state, "ip": "192.0.2.1"}
                                                         for t, a in zip(tickets, agents)])
        return [(asset, agent, answer["token"]) for (asset, _), agent, answer in zip(owned, agents, entered)]


def settings(bench):
    return {"MULTICLAW_AGENT_UPSTREAM": bench.UPSTREAM, "MULTICLAW_OPENINGS_PER_MINUTE": 1000000}


@contextlib.contextmanager
def openers(suite):
    made = Openers(suite)
    try:
        yield made
    finally:
        made.close()


def mint_assets(suite, owner, count):
    assets = []
    while len(assets) < count:
        asked = min(count - len(assets), 1000)
        reply = suite.rpc("devchain_mint", {"owner": owner.address, "collection": suite.collection, "name": "bench", "count": max(asked, 2), "wait": "confirmed"})
        assets += reply["assets"][:asked]
    return assets


def decision_request(bench, suite, agent, token):
    forwarded = [f"X-Original-Host: {agent}.{suite.authority}", "X-Original-URI: /", "X-Original-Method: GET", "X-Real-IP: 127.0.0.1"]
    return bench.request("/authz", token, "router", forwarded, bench.AGENT_COOKIE)


# ---- from a transfer to the refusals


@contextlib.contextmanager
def more_routers(bench, suite, count):
    """Beside router-1: two cores show what four routers take only if nothing else is there four times."""
    with contextlib.ExitStack() as stack:
        for i in range(count):
            name = f"router-{i + 2}"
            stack.enter_context(bench.process(BIN / "multiclaw-router", "-c", "conf/suite.conf", ready=lambda name=name: is_ready(suite, name), cwd=suite.state,
                                              env=suite.env_of("router", MULTICLAW_REPLICA=name)))
        yield


def is_ready(suite, name):
    return suite.ops(name, "/readyz").split(" ")[1:2] == ["200"]


def sales(bench, suite, sessions, to, routers):
    """[(notified, written, [refused by each router])] in Unix microseconds: each session's asset goes to another owner, one after the other."""
    addresses = [f"unix:{suite.state}/run/router-{i + 1}.authz" for i in range(routers)]
    probe = subprocess.Popen([bench.TOOLS / "probe", str(PROBE_US), suite.state / "run/redis.sock", *addresses], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    times = []
    for asset, agent, token in sessions:
        request = decision_request(bench, suite, agent, token)
        probe.stdin.write(f"{asset} {len(request)}\n".encode() + request)
        probe.stdin.flush()
        assert probe.stdout.readline() == b"armed\n"
        suite.rpc("devchain_transfer", {"asset": asset, "to": to.address})
        written, *refused = [int(word) for word in probe.stdout.readline().split()]
        times.append((suite.rpc("devchain_pushed", {"account": asset})["unix_us"], written, refused))
    probe.stdin.close()
    assert probe.wait(timeout=10) == 0
    return times


def hops(*command):
    lines = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout.split()
    return [float(line) / 1000 for line in lines]


def pick(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]


QUANTILES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


def print_latencies(bench, what, rounds, against, peers, note):
    """A row for each quantile of all rounds together; the ratios are of the rounds."""
    ours = [value for one in rounds for value in one]
    for name, p in QUANTILES:
        label, theirs, ratio = f"{what}, {name}" if name == "p50" else f"  {name}", "", None
        if peers:
            each = [pick(a, p) / pick(b, p) for a, b in zip(rounds, peers)]
            theirs, ratio = f"{pick([v for one in peers for v in one], p):.2f} ms", (statistics.median(each), min(each), max(each))
        bench.row(label, f"{pick(ours, p):.2f} ms", against if name == "p50" else "", theirs, ratio, note if name == "p50" else "")


def bench_latency(bench):
    rounds = min(ROUNDS, max(1, REVOCATIONS // 20))
    count = REVOCATIONS // rounds
    notified, written, zmq, ioredis, single, spent = [], [], [], [], [[] for _ in range(ROUTERS)], 0.0
    with contextlib.ExitStack() as stack:
        suite = stack.enter_context(bench.Suite(slot_ms=SLOT_MS, **settings(bench)))
        stack.enter_context(more_routers(bench, suite, ROUTERS - 1))
        opener = stack.enter_context(openers(suite))
        wallets = [suite.wallet("alice"), suite.wallet("bob")]
        assets = mint_assets(suite, wallets[0], count)
        redis = suite.state / "run/redis.sock"
        for i in range(rounds):
            owner, to = wallets[i % 2], wallets[(i + 1) % 2]
            sessions = opener.agents([(asset, owner.address) for asset in assets])
            began = time.monotonic()
            times = sales(bench, suite, sessions, to, ROUTERS)
            spent += time.monotonic() - began
            notified.append([(max(refused) - start) / 1000 for start, _, refused in times])
            written.append([(max(refused) - start) / 1000 for _, start, refused in times])
            for r in range(ROUTERS):
                single[r] += [(refused[r] - start) / 1000 for _, start, refused in times]
            zmq.append(hops(bench.TOOLS / "floor", "zmq", count, ROUTERS, BELL_BYTES))
            ioredis.append(hops("node", HERE / "peers/pubsub.mjs", redis, count, ROUTERS, BELL_BYTES))
    total = count * rounds
    what = f"event written -> 401 by {ROUTERS} routers"
    print_latencies(bench, what, written, f"ZeroMQ PUB -> last of {ROUTERS} SUB, CURVE", zmq,
                    f"{total} transfers; the last of {ROUTERS}, an answered request each; the peer delivers a message of the same size, and decides nothing")
    print_latencies(bench, "the same", written, f"PUBLISH -> last of {ROUTERS} ioredis subscribers", ioredis, "at the suite's Redis; nothing is written, nothing decided")
    print_latencies(bench, "the node's notification -> the same", notified, "", None, "adds chain-oracle's reading and Redis' fsync; aim p50 1 ms, p99 10 ms")
    print(f"    each router, event written -> 401, p50: {', '.join(f'{pick(values, 0.5):.2f}' for values in single)} ms; {total / spent:.0f} transfers/s, "
          f"asked every {PROBE_US} us once the event is written")


# ---- what one revocation costs a router with so many sessions


def cpu_s(pid):
    """Of all its threads, to the nanosecond."""
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def ask_each(address, requests, connections=64):
    """Sends each request once, over kept connections; answers are of any status."""
    waiting, left = list(requests), len(requests)
    selector = selectors.DefaultSelector()
    for _ in range(min(connections, left)):
        one = socket.socket(socket.AF_UNIX)
        one.connect(address)
        one.sendall(waiting.pop())
        selector.register(one, selectors.EVENT_READ)
    while left:
        for key, _ in selector.select(10):
            assert key.fileobj.recv(8192), "closed by the router"
            left -= 1
            if waiting:
                key.fileobj.sendall(waiting.pop())
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    selector.close()


def decisions(suite, source):
    """How many decisions came from the table (hit), or from session (miss)."""
    text = suite.ops("router-1", "/metrics")
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("multiclaw_decisions_total") and f'source="{source}"' in line)


def cached_share(suite, address, requests):
    """Of how many of these the table still knows the answer."""
    before = decisions(suite, "hit")
    ask_each(address, requests)
    return (decisions(suite, "hit") - before) / len(requests)


def event_cost(opener, pid, sessions):
    """CPU seconds that one event adds to the router: sessions are revoked by an operator, far apart."""
    began, before = time.monotonic(), cpu_s(pid)
    time.sleep(3)
    idle = (cpu_s(pid) - before) / (time.monotonic() - began)
    began, before = time.monotonic(), cpu_s(pid)
    for i, session in enumerate(sessions):
        opener.operator.call("session.revoke", asset=session["asset"], jti=session["jti"])
        time.sleep(max(0, began + (i + 1) * EVENTS_APART_S - time.monotonic()))
    return (cpu_s(pid) - before - idle * (time.monotonic() - began)) / len(sessions)


def bench_sessions(bench, sessions):
    """One router that has so many sessions cached."""
    entries = next((entries for n, entries in TABLES if sessions <= n), 1 << 24)
    with bench.Suite(slot_ms=SLOT_MS, **settings(bench), MULTICLAW_DECISION_ENTRIES=entries) as suite, openers(suite) as opener:
        alice, bob = suite.wallet("alice"), suite.wallet("bob")
        pid, address = suite.pid("router-1"), str(suite.state / "run/router-1.authz")
        per_asset = min(PER_ASSET, sessions // 100)
        assets = mint_assets(suite, alice, -(-sessions // per_asset))
        sold = opener.agents([(asset, alice.address) for asset in mint_assets(suite, alice, 200)])
        spare = opener.consoles([(asset, alice.address) for asset in mint_assets(suite, alice, -(-EVENTS // PER_ASSET))], PER_ASSET)[:EVENTS]
        # the console's session is as well cached as the agent's; that the answer at an agent's host is 401 does not matter
        requests = [decision_request(bench, suite, "a" * 32, s["token"]) for s in opener.consoles([(a, alice.address) for a in assets], per_asset)[:sessions]]
        memory = bench.pss(pid)
        ask_each(address, requests)
        memory = bench.pss(pid) - memory
        share = cached_share(suite, address, requests[:: max(1, sessions // 5000)])
        cost = event_cost(opener, pid, spare)
        times = sales(bench, suite, sold, bob, 1)
        left = cached_share(suite, address, requests[:: max(1, sessions // 5000)])
    latencies = [(refused[0] - written) / 1000 for _, written, refused in times]
    return SimpleNamespace(cost=cost, memory=memory * 2**20 / sessions, p50=pick(latencies, 0.5), p99=pick(latencies, 0.99), share=share, left=left, entries=entries)


def print_sessions(bench, sessions, found, least):
    work = f"one revocation, {sessions:,} sessions"
    ratio = found.cost / least.cost
    bench.row(work, f"{found.cost * 1e6:.0f} us CPU", f"a router with {SESSIONS[0]:,} sessions", f"{least.cost * 1e6:.0f} us CPU", (ratio,) * 3,
              f"in the router, {EVENTS} events; the table of {found.entries:,} knew {found.share:.1%} of them, {found.left:.1%} after {EVENTS + 200} events")
    ratio = found.p50 / least.p50
    bench.row("  event written -> 401", f"{found.p50:.2f} ms", "the same", f"{least.p50:.2f} ms", (ratio,) * 3, f"p50 of 200 transfers, one router; p99 {found.p99:.2f} ms")
    bench.row("  router memory, each session", f"{found.memory:.0f} bytes", "the entry itself", "128 bytes", (found.memory / 128,) * 3,
              f"PSS after - before, of {found.entries:,} entries: a page is whole")


def bench_tables(bench):
    for sessions, entries in TABLES:
        found = SimpleNamespace(**json.loads(subprocess.run([bench.TOOLS / "table", str(sessions), str(entries)], capture_output=True, text=True, check=True).stdout))
        bench.row(f"the table alone, {sessions:,} sessions", f"{found.mark_ns} ns", "a lookup that is allowed", f"{found.allow_ns} ns", (found.mark_ns / found.allow_ns,) * 3,
                  f"an event; then a refusal {found.miss_ns} ns; {found.bytes / found.allowed:.0f} bytes a session of {found.allowed:,} in {found.entries:,} entries; "
                  f"{max(0.0, found.voided / found.events - 1):.1f} other sessions an event are asked for again")


def bench_revocation(bench):
    if REVOCATIONS:
        bench_latency(bench)
    bench_tables(bench)
    least = None
    for sessions in SESSIONS:
        found = bench_sessions(bench, sessions)
        least = least or found
        print_sessions(bench, sessions, found, least)
