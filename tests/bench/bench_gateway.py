"""What llm-gateway adds to a call, beside nginx' proxy_pass with a fixed header: the same TLS upstream, verified, on kept connections, without buffering; and
what 1,000 streams at one time take of one process. The upstream is peers/stream.mjs; the client is here, and neither's CPU is counted."""

import contextlib
import os
import pathlib
import select
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
STREAMS = int(os.environ.get("BENCH_STREAMS", "1000"))

NGINX = """
worker_processes 1;
daemon off;
user root;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
worker_rlimit_nofile 16384;
http {{
    access_log off;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    upstream provider {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass https://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Authorization "Bearer sk-fixed";
            proxy_buffering off; proxy_request_buffering off; proxy_set_header Accept-Encoding identity;
            proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; proxy_ssl_name provider; proxy_ssl_server_name on; proxy_ssl_session_reuse on;
        }}
    }}
}}
"""


def make_certificate(folder):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key, "-out", cert,
                    "-subj", "/CN=provider", "-addext", "subjectAltName=DNS:provider,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


@contextlib.contextmanager
def upstream(folder):
    """(port, certificate)"""
    cert, key = make_certificate(folder)
    process = subprocess.Popen(["node", HERE / "peers/stream.mjs", cert, key], stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline()), cert
    finally:
        process.kill()
        process.wait()


class Way:
    """How the upstream is reached: request heads for a path, connections, whose CPU and memory it costs."""

    def __init__(self, connect, prefix, host, token, pids):
        self.connect, self.prefix, self.host, self.token, self.pids = connect, prefix, host, token, pids

    def request(self, path):
        return f"GET {self.prefix}{path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()

    def rss(self):
        return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def nginx(bench, folder, port, ca):
    own = bench.free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=port, port=own, ca=ca))

    def answers():
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", own), 1)

    with bench.process("nginx", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf", ready=answers) as p:
        yield Way(lambda: socket.create_connection(("127.0.0.1", own), 30), "", "x", "none", bench.children_of(p.pid))


@contextlib.contextmanager
def gateway(port, ca):
    import json

    from gateway_parts import Gateways
    from vault_parts import random_key

    class One(Gateways):
        def prepare(self):
            super().prepare()
            path = self.state / "providers.json"
            providers = json.loads(path.read_text())
            providers["providers"][0] |= {"base_url": f"https://127.0.0.1:{port}", "paths": ["/v1/"]}
            path.write_text(json.dumps(providers))
            self.of_gateway["MULTICLAW_GATEWAY_CA_FILE"] = str(ca)

    made = One(MULTICLAW_GATEWAY_CONNECTIONS_PER_AGENT=STREAMS + 96, MULTICLAW_GATEWAY_ANSWER_MAX_MIB=65536, MULTICLAW_GATEWAY_AGENT_REQUESTS_MINUTE=0)
    try:
        made.start()
        owner = made.new_owner()
        made.put(owner.token, "llm", "openai", random_key("sk-proj-"))
        container = made.container(owner)
        yield Way(lambda: container.connect(30), "/openai", f"127.0.0.1:{made.port}", container.token, [made.processes["llm-gateway-1"].pid])
    finally:
        made.stop()


# ---- one measurement of each


def is_over(tail):
    return tail.endswith(b"0\r\n\r\n") or tail.endswith(b'{"ok":true}')


def read_all(s):
    """Bytes until the answer's end; it must be a 200."""
    tail, total = s.recv(65536), 0
    assert tail.startswith(b"HTTP/1.1 200"), tail[:200]
    total += len(tail)
    while not is_over(tail[-16:]):
        piece = s.recv(1 << 18)
        assert piece, "broke off"
        total += len(piece)
        tail = tail[-16:] + piece
    return total


def first_bytes(way, seconds):
    """Latencies of one request after the other, ms."""
    request, found = way.request("/v1/one"), []
    with way.connect() as s:
        s.sendall(request)
        read_all(s)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            s.sendall(request)
            data = s.recv(65536)
            found.append((time.perf_counter() - began) * 1000)
            while not is_over(data):
                data += s.recv(65536)
    return sorted(found)


def mb_per_cpu_second(bench, way, path, seconds, connections=4):
    request, total = way.request(path), 0
    sockets = [way.connect() for _ in range(connections)]
    before, until = bench.cpu_of(way.pids), time.monotonic() + seconds
    while time.monotonic() < until:
        for s in sockets:
            s.sendall(request)
        for s in sockets:
            total += read_all(s)
    spent = bench.cpu_of(way.pids) - before
    for s in sockets:
        s.close()
    return total / 1e6 / spent


def many_streams(bench, way):
    """(bytes of memory for each stream while all run, seconds from the first request to the last end, CPU seconds)."""
    with way.connect() as s:
        s.sendall(way.request("/v1/one"))
        read_all(s)
    before, spent, peak = way.rss(), bench.cpu_of(way.pids), 0
    poller, tails = select.epoll(), {}
    began = time.monotonic()
    for _ in range(STREAMS):
        s = way.connect()
        s.sendall(way.request("/v1/events/10/1000"))
        s.setblocking(False)
        tails[s.fileno()] = [s, b""]
        poller.register(s.fileno(), select.EPOLLIN)
    ended = 0
    while ended < STREAMS:
        assert time.monotonic() - began < 120, f"{ended} of {STREAMS} ended"
        for fd, _ in poller.poll(1, 1024):
            s, tail = tails[fd]
            piece = s.recv(65536)
            assert piece and (tail or piece.startswith(b"HTTP/1.1 200")), (len(tail), piece[:200])
            tails[fd][1] = tail = tail[-16:] + piece
            if is_over(tail):
                poller.unregister(fd)
                ended += 1
        peak = max(peak, way.rss())
    took, spent = time.monotonic() - began, bench.cpu_of(way.pids) - spent
    for s, _ in tails.values():
        s.close()
    return (peak - before) / STREAMS, took, spent


# ---- rows


def show_latency(bench, ours, theirs):
    seen = {"ours": [], "nginx": []}
    for _ in range(bench.ROUNDS):
        for name, way in (("ours", ours), ("nginx", theirs)):
            seen[name].append(first_bytes(way, bench.SECONDS))
    for name, p in (("p50", 0.5), ("p99", 0.99)):
        at = {who: [values[int(len(values) * p)] for values in rounds] for who, rounds in seen.items()}
        each = [a / b for a, b in zip(at["ours"], at["nginx"])]
        bench.row(f"gateway, to the first byte, {name}" if name == "p50" else f"  {name}", f"{statistics.median(at['ours']):.2f} ms",
                  "nginx proxy_pass, a fixed header", f"{statistics.median(at['nginx']):.2f} ms", (statistics.median(each), min(each), max(each)),
                  f"both verify TLS, on kept connections; {sum(map(len, seen['ours'])):,} calls, one by one" if name == "p50" else "")


def show_streaming(bench, ours, theirs):
    for what, path, note in (("in large pieces", "/v1/bulk/16", "64 KiB pieces; 4 connections"),
                             ("in events", "/v1/events/5000/0", "200 bytes each, a TLS record each; 4 connections")):
        rates, ratios = bench.compare(lambda: mb_per_cpu_second(bench, ours, path, bench.SECONDS),
                                      {"nginx": lambda: mb_per_cpu_second(bench, theirs, path, bench.SECONDS)})
        bench.row(f"gateway, streaming {what}, per core", f"{rates['ours']:,.0f} MB/s", "nginx proxy_pass, buffering off", f"{rates['nginx']:,.0f} MB/s",
                  ratios["nginx"], f"{1000 / rates['ours']:.1f} and {1000 / rates['nginx']:.1f} ms of CPU for each MB; {note}")


def show_many(bench, ours, theirs):
    each, took, spent = many_streams(bench, ours)
    of_nginx, took_nginx, spent_nginx = many_streams(bench, theirs)
    bench.row(f"gateway, {STREAMS:,} streams: each", f"{each / 1024:.0f} KiB", "nginx proxy_pass", f"{of_nginx / 1024:.0f} KiB", (each / of_nginx,) * 3,
              "growth of RSS at its peak; 10 events, one a second")
    bench.row("  until the last one ended", f"{took:.1f} s", "", f"{took_nginx:.1f} s", (took / took_nginx,) * 3, "all of them complete")
    bench.row("  CPU", f"{spent:.2f} s", "", f"{spent_nginx:.2f} s", (spent / spent_nginx,) * 3, "with a TLS handshake for each")


def bench_gateway(bench):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-bench-"))
    try:
        with upstream(folder) as (port, ca), nginx(bench, folder, port, ca) as theirs, gateway(port, ca) as ours:
            show_latency(bench, ours, theirs)
            show_streaming(bench, ours, theirs)
            show_many(bench, ours, theirs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
