"""Measures the suite against its peers and its physical limits, all in one run, and prints one table.

Rates are per CPU second: requests answered, divided by the user and system time that the measured processes spent (from /proc), so
that the load generator and the other core do not count. Ours and the peer take turns (A B A B ...); the ratio is the median of the
rounds' ratios, with the smallest and largest beside it.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from bench_agents import bench_agents  # noqa: E402
from bench_gateway import bench_gateway  # noqa: E402
from bench_revocation import bench_revocation  # noqa: E402
from bench_snapshots import bench_snapshots  # noqa: E402
from bench_vault import bench_release, bench_sale  # noqa: E402
from suite import BUILD, ROOT, Suite, Wallet, free_port, wait_until  # noqa: E402

TOOLS = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "bench"
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
CONNECTIONS = "32"
AGENT_COOKIE = "__Host-multiclaw-agent"  # what the decision reads; the peers read the console's
UPSTREAM = "127.0.0.1:9"  # named in each allow, never connected to
TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def children_of(pid):
    return [pid] + [c for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split() for c in children_of(int(child))]


def load_all(address, request, pids):
    """(what the load generator says, CPU seconds of pids); every answer must be a 2xx."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(request)
        file.flush()
        before = cpu_of(pids)
        out = subprocess.run([TOOLS / "load", address, CONNECTIONS, str(SECONDS), file.name], capture_output=True, text=True)
        spent = cpu_of(pids) - before
    assert out.returncode == 0, out.stderr
    result = json.loads(out.stdout)
    assert result["4xx"] == 0 and result["5xx"] == 0, result
    return result, spent


def load(address, request, pids):
    """Requests per CPU second of pids."""
    result, spent = load_all(address, request, pids)
    return result["2xx"] / spent


def compare(ours, peers):
    """Runs all in turns. Returns the median rates and, per peer, (median, least, most) of the ratio ours/peer."""
    rates = {name: [] for name in ["ours", *peers]}
    for _ in range(ROUNDS):
        rates["ours"].append(ours())
        for name, peer in peers.items():
            rates[name].append(peer())
    ratios = {}
    for name in peers:
        each = [a / b for a, b in zip(rates["ours"], rates[name])]
        ratios[name] = (statistics.median(each), min(each), max(each))
    return {name: statistics.median(values) for name, values in rates.items()}, ratios


def row(work, ours, against, theirs, ratio, note):
    spread = f"{ratio[0]:.2f}x ({ratio[1]:.2f}..{ratio[2]:.2f})" if ratio else ""
    print(f"{work:34} {ours:>14}  {against:44} {theirs:>14}  {spread:22} {note}", flush=True)


def request(path, token, host="localhost", headers=(), cookie="__Host-multiclaw"):
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Cookie: {cookie}={token}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextlib.contextmanager
def process(*command, ready, **kwargs):
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs)
    try:
        wait_until(f"{command[0]} is up", ready, 20)
        yield p
    finally:
        p.terminate()
        p.wait(timeout=10)


def is_listening(path):
    def check():
        import socket

        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(path))
                return True
            except OSError:
                return False

    return check


# ---- peers

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s
frontend f
    bind unix@{socket}
    http-request set-var(txn.t) req.cook(__Host-multiclaw)
    http-request deny deny_status 401 unless {{ var(txn.t),jwt_header_query('$.alg') -m str HS256 }}
    http-request deny deny_status 401 unless {{ var(txn.t),jwt_verify("HS256","{secret}") -m int 1 }}
    http-request set-var(txn.sub) var(txn.t),jwt_payload_query('$.sub')
    http-request deny deny_status 403 unless {{ req.hdr(X-Original-Host),strcmp(txn.sub) eq 0 }}
    http-request return status 200 hdr X-Asset "%[var(txn.sub)]"
"""

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    upstream router {{ server unix:{router}; keepalive 64; keepalive_requests 1000000; }}
    keepalive_requests 1000000;
    server {{
        listen unix:{folder}/constant.sock;
        location = /_authz {{ internal; return 204; }}
        location / {{ auth_request /_authz; root {folder}/www; }}
    }}
    server {{
        listen unix:{folder}/router.sock;
        location = /_authz {{
            internal; proxy_pass http://router/authz; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass_request_headers off;
            proxy_set_header Host router; proxy_set_header Cookie $http_cookie; proxy_set_header X-Real-IP 127.0.0.1;
            proxy_set_header X-Original-Host $http_x_original_host; proxy_set_header X-Original-URI $request_uri;
            proxy_set_header X-Original-Method $request_method;
        }}
        location / {{ auth_request /_authz; root {folder}/www; }}
    }}
}}
"""


@contextlib.contextmanager
def haproxy(folder, secret):
    conf, socket = folder / "haproxy.cfg", folder / "haproxy.sock"
    conf.write_text(HAPROXY.format(socket=socket, secret=secret))
    with process("haproxy", "-f", conf, ready=is_listening(socket)) as p:
        yield p.pid, f"unix:{socket}"


@contextlib.contextmanager
def nginx(folder, router):
    (folder / "www").mkdir()
    (folder / "www/index.html").write_text("ok\n")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    conf = folder / "nginx.conf"
    user = "user root;\n" if os.getuid() == 0 else ""
    conf.write_text(user + NGINX.format(folder=folder, router=router))
    with process("nginx", "-e", "stderr", "-p", folder, "-c", conf, ready=is_listening(folder / "router.sock")) as p:
        yield children_of(p.pid)


@contextlib.contextmanager
def fastify(folder, redis_socket, secret):
    socket = folder / "fastify.sock"
    with process("node", HERE / "peers/server.mjs", socket, redis_socket, secret, ready=is_listening(socket)) as p:
        yield p.pid, f"unix:{socket}"


def hs256(secret, claims):
    import base64
    import hashlib
    import hmac

    b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()  # noqa: E731
    text = b64(b'{"alg":"HS256","typ":"JWT","kid":"bench"}') + "." + b64(json.dumps(claims).encode())
    return text + "." + b64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


# ---- rows


def bench_decisions(suite, folder):
    alice = suite.wallet("alice")
    asset = suite.asset_of("alice")
    answer = suite.try_sign_in(alice, asset)
    token, agent = suite.enter(answer.token), answer.json["agent_id"]
    host = f"{agent}.{suite.authority}"
    secret = "0123456789abcdef0123456789abcdef"
    now = int(time.time())
    claims = {"iss": "bench", "aud": "console", "sub": host, "iat": now, "exp": now + 604800, "jti": "0" * 32, "wallet": alice.address,
              "slot": 123456}
    peer_token = hs256(secret, claims)
    suite.redis().set("bench:session:" + "0" * 32, "1")

    router = suite.state / "run/router-1.authz"
    forwarded = [f"X-Original-Host: {host}", "X-Original-URI: /", "X-Original-Method: GET", "X-Real-IP: 127.0.0.1"]
    ours_request = request("/authz", token, "router", forwarded, AGENT_COOKIE)
    peer_request = request("/authz", peer_token, "router", forwarded)
    router_pid = suite.pid("router-1")

    with haproxy(folder, secret) as (ha_pid, ha), fastify(folder, suite.state / "run/redis.sock", secret) as (node_pid, node):
        rates, ratios = compare(
            lambda: load(f"unix:{router}", ours_request, [router_pid]),
            {"haproxy": lambda: load(ha, peer_request, [ha_pid]), "node": lambda: load(node, peer_request, [node_pid])},
        )
    ours = f"{rates['ours']:,.0f}/s"
    row("decision, per core", ours, "HAProxy jwt_verify HS256 + subject", f"{rates['haproxy']:,.0f}/s", ratios["haproxy"], "peer knows no revocation; aim 0.7x, then 1x")
    row("", "", "Fastify + jose + ioredis EXISTS", f"{rates['node']:,.0f}/s", ratios["node"], "peer's Redis time not counted; aim 5x")

    with nginx(folder, router) as pids:
        rates, ratios = compare(
            lambda: load(f"unix:{folder}/router.sock", request("/index.html", token, "x", forwarded[:1], AGENT_COOKIE), [*pids, router_pid]),
            {"constant": lambda: load(f"unix:{folder}/constant.sock", request("/index.html", token, "x", forwarded[:1], AGENT_COOKIE), pids)},
        )
    row("decision behind nginx, per core", f"{rates['ours']:,.0f}/s", "nginx auth_request to a constant 204", f"{rates['constant']:,.0f}/s",
        ratios["constant"], "peer decides nothing; an external process reaches about 0.4x")


def sign_ins(suite, wallets, count, threads=16):
    """Whole sign-ins through nginx; CPU seconds per process."""
    names = ["nginx", "router-1", "auth-1", "session-1", "chain-oracle-1", "redis", "devchain"]
    pids = {name: children_of(suite.pid(name)) for name in names}
    before = {name: cpu_of(pids[name]) for name in names}
    failures = []

    def work(wallet, asset):
        for _ in range(count // threads):
            answer = suite.try_sign_in(wallet, asset)
            if answer.status != 200:
                failures.append(answer.body)

    started = time.monotonic()
    running = [threading.Thread(target=work, args=w) for w in wallets[:threads]]
    [t.start() for t in running]
    [t.join() for t in running]
    assert not failures, failures[:3]
    done = count // threads * threads
    return done, {name: cpu_of(pids[name]) - before[name] for name in names}, time.monotonic() - started


def node_sign_ins(address, pid, count):
    import base64
    import http.client
    import socket

    class Unix(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(address.removeprefix("unix:"))

    wallet = Wallet()
    connection = Unix("x")

    def post(path, body):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return json.loads(data)

    before = cpu_of([pid])
    for _ in range(count):
        issued = post("/challenge", {"wallet": wallet.address})
        post("/verify", {"nonce": issued["nonce"], "signature": base64.b64encode(wallet.sign(issued["message"].encode())).decode(),
                         "publicKey": base64.b64encode(bytes(wallet.key.verify_key)).decode()})
    return count / (cpu_of([pid]) - before)


def bench_sign_ins(suite, folder):
    count = int(200 * SECONDS)
    alice = suite.wallet("alice")
    wallets = [(alice, a["asset"]) for a in suite.assets if a["owner"] == alice.address]
    wallets = (wallets * 16)[:16]
    where = {}

    def ours():
        done, spent, _ = sign_ins(suite, wallets, count)
        for name, seconds in spent.items():
            where.setdefault(name, []).append(seconds / done * 1e6)
        return done / sum(seconds for name, seconds in spent.items() if name not in ("nginx", "redis", "devchain"))

    with fastify(folder, suite.state / "run/redis.sock", "0" * 32) as (pid, address):
        rates, ratios = compare(ours, {
            "floor": lambda: float(subprocess.run([TOOLS / "floor", "ed25519", "1"], capture_output=True, text=True, check=True).stdout),
            "node": lambda: node_sign_ins(address, pid, count // 4),
        })
    row("sign-in, per core", f"{rates['ours']:,.0f}/s", "libsodium, one bare Ed25519 verify", f"{rates['floor']:,.0f}/s", ratios["floor"],
        "ours: router, auth, session, chain-oracle together; aim 0.7x")
    row("", "", "Fastify + wallet-standard-util + ioredis", f"{rates['node']:,.0f}/s", ratios["node"], "peer asks no chain; aim 20x")
    print("    where a sign-in's time goes, us of CPU: " +
          ", ".join(f"{name} {statistics.median(values):.0f}" for name, values in where.items()))


def pss(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) / 1024


def bench_daemons(suite):
    for service in ("router", "auth", "session", "chain-oracle", "secret-vault"):
        name = f"{service}-1"
        pid = suite.pid(name)
        memory = pss(pid)
        suite.kill(name)
        wait_until("restarted", lambda: (suite.state / f"run/{name}.pid").exists() and suite.pid(name) != pid)
        ready = wait_until("ready", lambda: re.findall(r"ready.*?ms=(\d+)", (suite.state / f"log/{name}.log").read_text())[1:], 20)
        row(f"{name[:-2]}: idle memory (PSS)", f"{memory:.1f} MB", "aim", "4 MB", None, "")
        row("  start to ready", f"{ready[-1]} ms", "aim", "50 ms", None, "restarted beside a settled Redis")


def process_started(pid):
    """Seconds since the machine's start, to a tick."""
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]) / TICK


def bench_core(folder):
    with Suite(slot_ms=200, MULTICLAW_AGENT_UPSTREAM=UPSTREAM) as suite:
        time.sleep(2)  # idle memory is measured idle
        bench_decisions(suite, folder)
        shutil.rmtree(folder)
        folder.mkdir()
        bench_sign_ins(suite, folder)
        bench_daemons(suite)


def bench_vault():
    bench_release(TOOLS, compare, row, load, process, is_listening, cpu_of, SECONDS)
    bench_sale(row)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-bench-"))
    parts = {"core": lambda: bench_core(folder), "revocation": lambda: bench_revocation(sys.modules[__name__]), "vault": bench_vault, "agents": lambda: bench_agents(sys.modules[__name__]),
             "snapshots": lambda: bench_snapshots(sys.modules[__name__]), "gateway": lambda: bench_gateway(sys.modules[__name__])}
    only = os.environ.get("BENCH_ONLY", "")
    if only and only not in parts:
        sys.exit(f"BENCH_ONLY is one of {', '.join(parts)}")
    try:
        print(f"{'work':34} {'ours':>14}  {'against':44} {'theirs':>14}  {'ours/theirs (spread)':22} note")
        for name, measure in parts.items():
            if only in ("", name):
                measure()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
