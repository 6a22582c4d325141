"""What an agent costs: its wake against bare runtimes, its end by a sale, requests through the decision against nginx alone, memory.

Needs root. The suite's containers are the real ones, with the demo agent in them; everybody starts the same rootfs.
"""

import contextlib
import functools
import json
import os
import pathlib
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PORT = 18789
SETTLE_S = 0.3  # the kernel takes apart the one before, and would hold up who comes next
AGENT_COOKIE = "__Host-multiclaw-agent"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
TOKEN = "0123456789abcdef0123456789abcdef"
EDGE = {"MULTICLAW_EDGE_RATE": 1000000, "MULTICLAW_EDGE_CONNECTIONS": 8192}  # one address makes every request here


def pick(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


# ---- the suite's agents


class Agent:
    """An agent of the suite and its owner."""

    def __init__(self, suite, wallet, asset):
        self.suite, self.asset = suite, asset
        answer = suite.try_sign_in(wallet, asset)
        assert answer.status == 200, answer.body
        self.token, self.id = answer.token, answer.json["agent_id"]
        self.session = suite.enter(self.token)
        self.host = f"{self.id}.{suite.authority}"

    def state(self):
        return self.suite.http("GET", "/v1/agent", token=self.token).json["state"]

    def wait(self, state, wait_until):
        wait_until(f"the agent is {state}", lambda: self.state() == state, 60, every=0.05)

    def request(self, path, *headers):
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", f"Cookie: {AGENT_COOKIE}={self.session}", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def ask(self, path="/healthz"):
        """Status of one request through nginx."""
        with socket.create_connection(("127.0.0.1", self.suite.port), timeout=60) as s:
            s.sendall(self.request(path, "Connection: close"))
            return int(s.recv(4096)[9:12])

    def wake(self):
        """(ms to the first byte of a 200, answers of 503 before)."""
        began, refused = time.monotonic(), 0
        while (status := self.ask()) != 200:
            assert status == 503 and time.monotonic() - began < 60, status
            refused += 1
        return (time.monotonic() - began) * 1000, refused

    @functools.cached_property
    def prefix(self):
        return re.search(r"^MULTICLAW_WARDEN_PREFIX=(.*)$", (self.suite.state / "conf/warden.conf").read_text(), re.M).group(1)

    def processes(self):
        """Of its container, its first one first."""
        return sorted(int(pid) for pid in (CGROUPS / f"unified/multiclaw-{self.prefix}/{self.id}/cgroup.procs").read_text().split())


def rootfs_of(suite):
    folder = suite.state / "images" / (suite.state / "images/names/demo").read_text().strip()
    about = json.loads((folder / "image.json").read_text())
    return folder, [*about["entrypoint"], *about["cmd"]]


# ---- starts


@contextlib.contextmanager
def podman(rootfs, secrets, program):
    """A function that runs it once, or None where it does not work."""
    if not shutil.which("podman"):
        yield None
        return
    command = ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, HERE / "peers/podman.py", rootfs, secrets, program, str(PORT)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run():
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line and not line.startswith("failed"):
            return float(line)
        print(f"    podman: {line.strip()}", file=sys.stderr)
        return None

    try:
        yield run
    finally:
        process.communicate()
        for folder in [*CGROUPS.glob("*/libpod_parent/conmon"), *CGROUPS.glob("*/libpod_parent")]:
            with contextlib.suppress(OSError):
                folder.rmdir()


def make_bundle(folder, rootfs, secrets, args, port):
    """What `runc spec` writes, in the host's network so that its listener can be asked: no user namespace, no filter, no limit, no volume."""
    folder.mkdir()
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": [*args, "--port", str(port)]}
    config["root"]["path"] = str(rootfs)
    config["mounts"].append({"destination": "/run/secrets", "source": str(secrets), "type": "none", "options": ["bind", "ro"]})
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "network"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def run_runc(folder, bundle, port, number):
    from first_byte import first_byte

    runc = ["runc", "--root", folder / "runc"]
    name = f"mc-bench-{os.getpid()}-{number}"
    process, ms = first_byte([*runc, "run", "--bundle", bundle, name], "127.0.0.1", port, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    subprocess.run([*runc, "kill", name, "KILL"], check=True, capture_output=True)
    process.wait(30)
    return ms


class Starts:
    """Times of one kind of start in turns with the others."""

    def __init__(self):
        self.ms = {}

    def take(self, name, ms):
        if ms is not None:
            self.ms.setdefault(name, []).append(ms)

    def ratios(self, ours, theirs):
        each = [a / b for a, b in zip(self.ms[ours], self.ms[theirs])]
        return statistics.median(each), min(each), max(each)


def measure_starts(bench, suite, folder, rounds):
    from warden_parts import Warden, agent_id

    image, args = rootfs_of(suite)
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "gateway-token").write_text(TOKEN)
    bundle = make_bundle(folder / "bundle", image / "rootfs", secrets, args, port := bench.free_port())
    alice, starts, refused = Agent(suite, suite.wallet("alice"), suite.asset_of("alice")), Starts(), 0
    with Warden("bn0", "10.236.0.0/17") as warden, podman(image / "rootfs", secrets, args[0]) as run_podman:
        shutil.copytree(image, warden.state / "images" / image.name, symlinks=True)
        client, own = warden.client(), agent_id("bench")

        def start(name):
            time.sleep(SETTLE_S)
            began = time.monotonic()
            client.started(own, image=image.name, owner=name, files={"gateway-token": TOKEN.encode()}, pids=512, memory=2 << 30, tmp=256 << 20, volume=4 << 30)
            ms = (time.monotonic() - began) * 1000
            client.killed(own)
            return ms

        starts.take("first wake", alice.wake()[0])
        for number in range(rounds):
            alice.wait("sleeping", bench.wait_until)
            ms, again = alice.wake()
            starts.take("wake", ms)
            refused += again > 0
            time.sleep(SETTLE_S)
            starts.take("runc", run_runc(folder, bundle, port, number))
            starts.take("new volume", start(f"owner {number}"))
            starts.take("start", start(f"owner {number}"))
            if run_podman:
                time.sleep(SETTLE_S)
                starts.take("podman", run_podman())
        client.close()
    subprocess.run(["nft", "delete", "table", "inet", "bn0_agents"], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "address", "del", "10.236.127.254/32", "dev", "lo"], check=False, stderr=subprocess.DEVNULL)
    return starts, refused


def show_starts(bench, starts, refused, rounds):
    theirs = {"runc": "bare runc run (runc spec's config)", "podman": "podman run --network bridge"}
    aims = {"runc": "aim 3x", "podman": "aim 0.2x"}
    for ours, what in (("wake", "wake -> first byte through nginx"), ("start", "START -> STARTED at warden")):
        for peer, name in theirs.items():
            if peer not in starts.ms:
                bench.row(what, f"{pick(starts.ms[ours], 0.5):.0f} ms", name, "-", None, "podman does not work here")
                continue
            for p, text in ((0.5, "p50"), (0.99, "p99")):
                note = f"{rounds} in turns; {refused} answered 503 first; {aims[peer]}" if ours == "wake" else f"no vault, no decision; {aims[peer]}"
                bench.row(f"{what}, {text}" if text == "p50" and peer == "runc" else f"  {text}", f"{pick(starts.ms[ours], p):.0f} ms", name,
                          f"{pick(starts.ms[peer], p):.0f} ms", starts.ratios(ours, peer) if text == "p50" else None, note if text == "p50" else "")
    bench.row("  START of an owner's first (mkfs)", f"{pick(starts.ms['new volume'], 0.5):.0f} ms", "START of a volume that there is",
              f"{pick(starts.ms['start'], 0.5):.0f} ms", starts.ratios("new volume", "start"), "")


def bench_starts(bench):
    rounds = int(os.environ.get("BENCH_STARTS", "20"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-bench-"))
    try:
        with bench.Suite(containers=True, MULTICLAW_SANDBOX_IDLE_S=1, **EDGE) as suite:
            show_starts(bench, *measure_starts(bench, suite, folder, rounds), rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- the peer: an nginx that asks nobody

PLAIN = """
user www-data;
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Authorization "Bearer {token}"; proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; proxy_buffering off; proxy_buffer_size 16k; proxy_buffers 8 16k; }}
    }}
}}
"""


@contextlib.contextmanager
def plain_nginx(bench, folder, agent, workers=1):
    first = agent.processes()[0]
    token = pathlib.Path(f"/proc/{first}/root/run/secrets/gateway-token").read_text().strip()
    (folder / "plain").mkdir(exist_ok=True)
    conf, port = folder / "plain/nginx.conf", bench.free_port()
    conf.write_text(PLAIN.format(folder=folder / "plain", port=port, upstream=f"{address_of(first)}:{PORT}", token=token, workers=workers))

    def answers():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    with bench.process("nginx", "-e", "stderr", "-p", folder / "plain", "-c", conf, ready=answers) as p:
        # the master listens before its worker is there
        bench.wait_until("a worker", lambda: len(bench.children_of(p.pid)) > 1, 10)
        yield f"127.0.0.1:{port}", bench.children_of(p.pid)


def address_of(pid):
    out = subprocess.run(["nsenter", "--net", "--target", str(pid), "ip", "-j", "address"], capture_output=True, text=True, check=True).stdout
    return next(a["local"] for link in json.loads(out) if link["ifname"] != "lo" for a in link["addr_info"] if a["family"] == "inet")


# ---- a sale

WATCH = """
import os, pathlib, sys, time
procs, secret = pathlib.Path(sys.argv[1]), os.open(sys.argv[2], os.O_RDONLY)
print("watching", flush=True)
killed = wiped = None
while not (killed and wiped):
    try:
        killed = killed or (not procs.read_text() and time.time())
    except OSError:
        killed = time.time()
    wiped = wiped or (not any(os.pread(secret, 4096, 0)) and os.fstat(secret).st_nlink == 0 and time.time())
    time.sleep(0.0005)
print(killed, wiped, flush=True)
"""


def open_websockets(agent, count, port=None):
    ask = agent.request("/ws", f"Origin: http://{agent.host}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    sockets = {}
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", port or agent.suite.port), timeout=30)
        s.sendall(ask)
        sockets[s.fileno()] = s
    for s in sockets.values():
        head = s.recv(4096)
        assert head.startswith(b"HTTP/1.1 101"), head
        s.setblocking(False)
    return sockets


def wait_cut(sockets, seconds=30):
    """When each of them ended."""
    poller, at, left = select.epoll(), [], set(sockets)
    for fd in sockets:
        poller.register(fd, select.EPOLLIN | select.EPOLLRDHUP)
    until = time.monotonic() + seconds
    while left:
        assert time.monotonic() < until, f"{len(left)} streams of the seller go on"
        ready = poller.poll(1, 2048)
        now = time.time()
        for fd, what in ready:
            try:
                is_over = bool(what & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP)) or not sockets[fd].recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                is_over = True
            if is_over:
                left.discard(fd)
                at.append(now)
                poller.unregister(fd)
    return at


def event_ms(suite, asset, since_ms):
    """When the ledger wrote the first event that took the asset from its owner, by Redis' clock: the number of the entry in the stream."""
    for number, event in suite.redis().xrange("mc:events", min=int(since_ms)):
        if event.get("a") == asset and event.get("k") not in ("agent", "session"):
            return int(number.split("-")[0])
    raise AssertionError("there is no event of the sale")


def sell(suite, agent, buyer, count):
    """(event, killed, wiped, each stream cut): ms, the first from the node's notification, the others from the event."""
    first = agent.processes()[0]
    watch = subprocess.Popen([sys.executable, "-c", WATCH, CGROUPS / f"unified/multiclaw-{agent.prefix}/{agent.id}/cgroup.procs",
                              f"/proc/{first}/root/run/secrets/gateway-token"], stdout=subprocess.PIPE, text=True)
    sockets = {}
    try:
        assert watch.stdout.readline() == "watching\n"
        sockets = open_websockets(agent, count)
        suite.transfer(agent.asset, buyer)
        cut = wait_cut(sockets)
        killed, wiped = map(float, watch.communicate(timeout=30)[0].split())
    finally:
        watch.kill()
        for s in sockets.values():
            s.close()
    pushed = suite.rpc("devchain_pushed", {"account": agent.asset})["unix_us"] / 1000
    event = event_ms(suite, agent.asset, pushed)
    return event - pushed, killed * 1000 - event, wiped * 1000 - event, [at * 1000 - event for at in cut]


def kill_plainly(bench, folder, agent, count):
    """ms from a write to cgroup.kill to the end of each stream through an nginx that asks nobody: what the kernel and nginx need for it."""
    with plain_nginx(bench, folder, agent, workers=os.cpu_count()) as (address, _):
        sockets = open_websockets(agent, count, int(address.rpartition(":")[2]))
        try:
            began = time.time()
            (CGROUPS / f"unified/multiclaw-{agent.prefix}/{agent.id}/cgroup.kill").write_text("1")
            return [(at - began) * 1000 for at in wait_cut(sockets)]
        finally:
            for s in sockets.values():
                s.close()


def bench_agent_sale(bench):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-bench-"))
    folder.chmod(0o755)
    try:
        measure_sales(bench, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_sales(bench, folder):
    rounds, count = int(os.environ.get("BENCH_AGENT_SALES", "20")), int(os.environ.get("BENCH_SOCKETS", "1000"))
    heard, killed, wiped, cut, last, plain = [], [], [], [], [], []
    with bench.Suite(containers=True, slot_ms=50, MULTICLAW_SANDBOX_CONNECTIONS=2 * count + 64, **EDGE) as suite:
        wallets, asset = [suite.wallet("alice"), suite.wallet("bob")], suite.asset_of("alice")
        for i in range(rounds):
            agent = Agent(suite, wallets[i % 2], asset)
            agent.wake()
            plain += kill_plainly(bench, folder, agent, count)
            time.sleep(SETTLE_S)
            agent.wake()
            time.sleep(SETTLE_S)
            *times, all_cut = sell(suite, agent, wallets[(i + 1) % 2], count)
            for each, ms in zip((heard, killed, wiped), times):
                each.append(ms)
            cut += all_cut
            last.append(max(all_cut))
    note = f"{rounds} sales, {count:,} streams through nginx each; event: its entry in Redis"
    for p, text in ((0.5, "p50"), (0.99, "p99")):
        bench.row(f"event -> WebSocket cut, {count:,}, {text}" if text == "p50" else f"  {text}", f"{pick(cut, p):.1f} ms", "plain nginx, from a write to cgroup.kill",
                  f"{pick(plain, p):.1f} ms", None, f"aim 50 ms p99; {rounds} of each in turns" if text == "p50" else "")
    for what, values, aim in (("event -> killed", killed, "500 ms"), ("event -> secrets wiped", wiped, "500 ms"),
                              ("event -> the last one cut", last, ""), ("node's notification -> event", heard, "")):
        for name, p in (("p50", 0.5), ("p99", 0.99)):
            bench.row(f"{what}, {name}" if name == "p50" else f"  {name}", f"{pick(values, p):.1f} ms", "aim" if aim else "", aim, None, note)
            note = ""


# ---- requests


def bench_requests(bench):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-bench-"))
    folder.chmod(0o755)
    try:
        with bench.Suite(containers=True, slot_ms=200, NGINX_WORKERS=1, **EDGE) as suite:
            alice = Agent(suite, suite.wallet("alice"), suite.asset_of("alice"))
            alice.wake()
            pids = [*bench.children_of(suite.pid("nginx")), suite.pid("router-1")]
            with plain_nginx(bench, folder, alice) as (plain, plain_pids):
                for path, what in (("/healthz", "small answers"), ("/source?bytes=1048576", "answers of 1 MiB")):
                    show_requests(bench, what, lambda path=path: bench.load_all(f"127.0.0.1:{suite.port}", alice.request(path), pids),
                                  lambda path=path: bench.load_all(plain, alice.request(path), plain_pids))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show_requests(bench, what, ours, theirs):
    seen = {"ours": [], "nginx": []}

    def take(name, measure):
        result, spent = measure()
        seen[name].append(result)
        return result["2xx"] / spent

    rates, ratios = bench.compare(lambda: take("ours", ours), {"nginx": lambda: take("nginx", theirs)})
    wall = {name: statistics.median(r["2xx"] / r["seconds"] for r in results) for name, results in seen.items()}
    each = [a["2xx"] / a["seconds"] / (b["2xx"] / b["seconds"]) for a, b in zip(seen["ours"], seen["nginx"])]
    bench.row(f"edge, {what}: per core", f"{rates['ours']:,.0f}/s", "nginx proxy_pass, the same container", f"{rates['nginx']:,.0f}/s", ratios["nginx"],
              "ours: nginx and router's decision; the container's time not counted")
    bench.row("  wall clock", f"{wall['ours']:,.0f}/s", "", f"{wall['nginx']:,.0f}/s", (statistics.median(each), min(each), max(each)),
              f"{bench.CONNECTIONS} connections; the container is asked anew for each request by both")
    for p in ("p50", "p99"):
        a, b = (statistics.median(r[f"{p}_us"] for r in seen[name]) / 1000 for name in ("ours", "nginx"))
        bench.row(f"  latency, {p}", f"{a:.1f} ms", "", f"{b:.1f} ms", (a / b, a / b, a / b), "")


# ---- memory


def outside_of(prefix):
    """PSS of the processes of all agents that are not the agents: {name: MB}."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, AttributeError):
            name = (folder / "comm").read_text().strip()
            if name in ("gocryptfs", "init", "catatonit") and f"multiclaw-{prefix}" in (folder / "cgroup").read_text():
                pss = int(re.search(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.M).group(1)) / 1024
                found[name] = found.get(name, 0) + pss
    return found


def bench_memory(bench):
    count = int(os.environ.get("BENCH_AGENTS", "8"))
    with bench.Suite(containers=True, slot_ms=200, MULTICLAW_SANDBOX_IDLE_S=8, **EDGE) as suite:
        names = ("sandbox-1", "warden-1")
        weigh = lambda: {name: bench.pss(suite.pid(name)) for name in names}  # noqa: E731
        alice = suite.wallet("alice")
        minted = suite.devchain("mint", "--collection", suite.collection, "--owner", alice.address, "--count", str(count))
        assets = minted.get("assets") or [minted["asset"]]
        time.sleep(2)
        idle = weigh()
        agents = [Agent(suite, alice, asset) for asset in assets]
        for agent in agents:
            agent.wake()
        running, outside = weigh(), outside_of(agents[0].prefix)
        for agent in agents:
            agent.wait("sleeping", bench.wait_until)
        sleeping = weigh()
        for name in names:
            bench.row(f"{name[:-2]}: idle memory (PSS)", f"{idle[name]:.1f} MB", "aim", "4 MB", None, "")
        grown = lambda now: sum(now[name] - idle[name] for name in names) / count  # noqa: E731
        parts = ", ".join(f"{name} {mb / count:.1f}" for name, mb in outside.items())
        bench.row("a running agent, outside of it (PSS)", f"{grown(running) + sum(outside.values()) / count:.2f} MB", "", "", None,
                  f"of it sandbox and warden {grown(running):.2f}, {parts}; {count} agents; kernel not counted")
        bench.row("a sleeping agent", f"{grown(sleeping):.2f} MB", "", "", None, "growth of sandbox and warden, allocators' slack included")
        show_ready(bench, suite)


def show_ready(bench, suite):
    """Start to ready, from the outside: until sandbox says that it and its warden are."""
    took = {}
    for name in ("sandbox-1", "warden-1"):
        pid = suite.pid(name)
        log = suite.state / f"log/{name}.log"
        seen = log.stat().st_size
        suite.kill(name)
        bench.wait_until("restarted", lambda: suite.pid(name) != pid, 20)
        word = "msg=ready|\"ready\"| ready" if name == "sandbox-1" else "started"
        began = bench.process_started(suite.pid(name))
        bench.wait_until("ready", lambda: re.search(word, log.read_text()[seen:]), 20, every=0.0005)
        took[name] = (time.clock_gettime(time.CLOCK_BOOTTIME) - began) * 1000
        bench.row(f"{name[:-2]}: start to ready", f"{took[name]:.0f} ms", "aim", "50 ms", None, "from its process' start; to 10 ms")
        suite.wait_ready()


def bench_agents(bench):
    sys.path.insert(0, str(HERE.parent / "integration"))
    from conftest import why_no_containers

    if why := why_no_containers():
        print(f"agents are not measured: {why}")
        return
    for section in (bench_starts, bench_agent_sale, bench_requests, bench_memory):
        if os.environ.get("BENCH_AGENTS_ONLY", section.__name__) == section.__name__:
            section(bench)
