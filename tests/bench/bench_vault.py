"""What a start of a container costs the vault, against a Redis that is only asked and a Node service that does less; and how soon a sale takes effect."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import msgpack

HERE = pathlib.Path(__file__).resolve().parent

PROVIDERS = [p["name"] for p in json.loads((HERE.parents[1] / "deploy/providers.json").read_text())["providers"]]
WINDOW = 64  # requests under way, over this many connections
PEERS = 4


def fill(vaults, count, owners=4):
    """Owners with count provider keys each; returns [(grant, boot id)] that are good for 30 s."""
    grants = []
    for _ in range(owners):
        owner = vaults.new_owner()
        for name in PROVIDERS[:count]:
            vaults.put(owner.token, "llm", name, f"sk-{name}-" + os.urandom(24).hex(), delivery="file")
        grants.append(owner)
    return grants


def release(vaults, owners, seconds, cpu_of, pid):
    """Closed loop of materialise calls. (calls per CPU second, calls per second)."""
    from parts import Peer

    grants = [vaults.grant(owner.token) for owner in owners]
    peers = [Peer(vaults, "sandbox", "secret-vault") for _ in range(PEERS)]
    bodies = [msgpack.packb({"grant": grant, "boot_id": boot, "page": 0}) for grant, boot in grants]
    sent = done = 0
    try:
        before, began = cpu_of([pid]), time.monotonic()
        until = began + seconds

        def send(peer):
            nonlocal sent
            sent += 1
            envelope = {"version": 1, "call": "vault.materialise", "id": sent, "deadline": int((time.time() + 10) * 1000)}
            peer.socket.send(msgpack.packb(envelope) + bodies[sent % len(bodies)])

        for i in range(WINDOW):
            send(peers[i % PEERS])
        while done < sent:
            for peer in peers:
                while peer.socket.poll(0 if done < sent - PEERS else 10):
                    unpacker = msgpack.Unpacker()
                    unpacker.feed(peer.socket.recv())
                    status = next(iter(unpacker))["status"]
                    assert status == "ok", status
                    done += 1
                    if time.monotonic() < until:
                        send(peer)
        took = time.monotonic() - began
        return done / (cpu_of([pid]) - before), done / took
    finally:
        for peer in peers:
            peer.close()


def redis_gets(server, cpu_of, seconds):
    """GETs per CPU second of a Redis that has the value in plain, by its own load generator."""
    server.client().set("bench:secret", "sk-" + os.urandom(24).hex())
    before = cpu_of([server.process.pid])
    count = int(60000 * seconds)
    subprocess.run(["redis-benchmark", "-s", server.path, "-c", "32", "-n", str(count), "-q", "GET", "bench:secret"], check=True, stdout=subprocess.DEVNULL)
    return count / (cpu_of([server.process.pid]) - before)


def bench_release(tools, compare, row, load, process, is_listening, cpu_of, seconds):
    from redis_server import RedisServer
    from vault_parts import Vaults

    class Quiet(Vaults):
        chain_options = ("--slot-ms", 200)

    folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-bench-vault-"))
    vaults = Quiet(MULTICLAW_CHAIN_SLOTS_PER_S=10)
    try:
        vaults.start()
        pid = vaults.processes["secret-vault-1"].pid
        wall = {}
        with RedisServer(appendfsync="everysec") as redis, node(folder, redis.path, process, is_listening) as (node_pid, address):
            for count in (1, 20):
                owners = fill(vaults, count)

                def ours():
                    per_core, per_second = release(vaults, owners, seconds, cpu_of, pid)
                    wall.setdefault(count, []).append(per_second)
                    return per_core * count

                request = f"GET /materialise/{count} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                rates, ratios = compare(ours, {"redis": lambda: redis_gets(redis, cpu_of, seconds),
                                               "node": lambda: load(address, request, [node_pid]) * count})
                what = "a start with 1 secret" if count == 1 else f"a start with {count} secrets"
                row(f"{what}: released, per core", f"{rates['ours']:,.0f}/s", "redis GET, of a value in plain", f"{rates['redis']:,.0f}/s",
                    ratios["redis"], "peer resolves, opens, audits, syncs nothing; knows no owner; aim 0.7x")
                row("", "", "Fastify + AES-GCM + ioredis", f"{rates['node']:,.0f}/s", ratios["node"],
                    "peer's audit is an XADD, synced once a second; no ownership, no versions; its Redis not counted; aim 4x")
        syncs = float(subprocess.run([tools / "floor", "fsync", vaults.state / "floor", str(seconds)], capture_output=True, text=True, check=True).stdout)
        for count, values in wall.items():
            row(f"  starts, wall clock, {count} secrets" if count > 1 else "  starts, wall clock, 1 secret", f"{max(values):,.0f}/s",
                "limit: fdatasync of the same disk", f"{syncs:,.0f}/s", None, "each is on disk before it is answered: many share one commit")
    finally:
        vaults.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def node(folder, redis_socket, process, is_listening):
    socket = folder / "node.sock"
    with process("node", HERE / "peers/vault.mjs", socket, redis_socket, ready=is_listening(socket)) as p:
        yield p.pid, f"unix:{socket}"


def bench_sale(row):
    """From the node's notification to the last answer that a seller or a host got; from finalized to the key destroyed."""
    from vault_parts import Refused, Vaults

    from suite import Wallet, wait_until

    rounds = int(os.environ.get("BENCH_SALES", "40"))
    with contextlib.ExitStack() as stack:
        vaults = Vaults(MULTICLAW_VAULT_ERASE_EVERY_S=5, MULTICLAW_VAULT_ERASURES_PER_HOUR=10000)
        stack.callback(vaults.stop)
        vaults.start()
        sealed = []
        for _ in range(rounds):
            owner = vaults.new_owner()
            vaults.put(owner.token, "custom", "x", "y" * 40)
            grant, boot = vaults.grant(owner.token)
            vaults.devchain("transfer", asset=owner.asset, to=Wallet().address)
            last = {}

            def good(name, ask):
                try:
                    ask()
                except Refused:
                    return False
                last[name] = time.time()
                return True

            ways = {"materialise": lambda: vaults.materialise(grant, boot), "list": lambda: vaults.listed(owner.token)}
            left, until = set(ways), time.monotonic() + 10
            while left:
                assert time.monotonic() < until, "the seller is still served"
                left = {name for name in left if good(name, ways[name])}
            answered = max(last.values(), default=0)
            pushed = vaults.devchain("pushed", account=owner.asset)["unix_us"] / 1e6
            sealed.append(max(0.0, answered - pushed) * 1000)
        destroyed, lock = [], threading.Lock()

        def until_destroyed(owner):
            vaults.devchain("transfer", asset=owner.asset, to=Wallet().address, wait="finalized")
            began = time.monotonic()
            wait_until("destroyed", lambda: not vaults.redis.exists(f"mc:held:{owner.asset}"), 90)
            with lock:
                destroyed.append(time.monotonic() - began)

        owners = [vaults.new_owner() for _ in range(rounds)]
        for owner in owners:
            vaults.put(owner.token, "custom", "x", "y" * 40)
        running = []
        for owner in owners:
            running.append(threading.Thread(target=until_destroyed, args=(owner,)))
            running[-1].start()
            time.sleep(0.25)  # at any phase of the eraser's turn
        [t.join() for t in running]
        assert len(destroyed) == rounds
    pick = lambda values, p: sorted(values)[min(len(values) - 1, int(len(values) * p))]  # noqa: E731
    for name, p in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        row(f"transfer -> secrets sealed, {name}" if name == "p50" else f"  {name}", f"{pick(sealed, p):.1f} ms", "aim", "1,000 ms", None,
            f"{rounds} sales; from the node's notification to the last answer a host or the seller got" if name == "p50" else "")
    for name, p in (("p50", 0.5), ("max", 1.0)):
        row(f"finalized -> key destroyed, {name}" if name == "p50" else f"  {name}", f"{pick(destroyed, p):.1f} s", "aim", "60 s", None,
            f"{rounds} sales, asked every 5 s; two nodes agree" if name == "p50" else "")
