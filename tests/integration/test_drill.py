"""`multiclaw drill` beside real suites: it says that the promise holds where it does, and that it does not where something breaks it."""

import base64
import http.client
import http.server
import json
import pathlib
import signal
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from cli_parts import Serving
from suite import BIN, Suite, free_port, wait_until


@pytest.fixture(scope="module")
def running():
    with Suite(replicas=2) as suite:
        yield suite


def command(suite, *args):
    return [BIN / "multiclaw", "-c", suite.state / "conf/suite.conf", "--url", suite.url, "drill", *map(str, args)]


def drill(suite, *args, timeout=120):
    """(exit status, what --json says or None, standard error)"""
    done = subprocess.run([*command(suite, *args), "--json"], capture_output=True, text=True, env=suite.env, timeout=timeout)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def failed(suite, *args, **kwargs):
    code, report, _ = drill(suite, *args, **kwargs)
    assert code == 1 and not report["held"] and report["could_run"] and report["failures"], report
    return report


def held(suite, *args, **kwargs):
    code, report, err = drill(suite, *args, **kwargs)
    if code != 0:  # whole, which pytest would not show
        print(json.dumps(report), err)
    assert code == 0
    assert report["held"] and report["could_run"] and report["late"] == report["stale"] == report["lost"] == report["shut_out"] == 0, report
    assert report["failures"] == []
    return report


def owners(suite):
    return {a["asset"]: suite.rpc("getAccountInfo", [a["asset"], {"encoding": "base64"}])["value"]["data"] for a in suite.assets}


def drill_assets(suite):
    """What a drill minted and did not burn: an account with its name."""
    found = suite.rpc("getProgramAccounts", ["CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d", {"encoding": "base64", "commitment": "confirmed"}])
    return [a["pubkey"] for a in found if b"multiclaw drill" in base64.b64decode(a["account"]["data"][0])]


def state_of(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class OnSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("router", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class SocketServer(http.server.ThreadingHTTPServer):
    address_family, daemon_threads = socket.AF_UNIX, True
    server_bind = socketserver.TCPServer.server_bind


class Front(Serving):
    """A proxy that is wrong in one way: keeps an allow for so many seconds, whatever became of the session since, or lets no more than so many in.

    Before nginx, or in a router's place, whose own socket is another then."""

    def __init__(self, suite, keeps_s=0.0, sign_ins=1000, router=None):
        self.kept, self.sign_ins, self.path = {}, sign_ins, router and suite.state / f"run/{router}.api"
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                cookie = self.headers.get("Cookie")
                until, kept = front.kept.get(cookie, (0, None))
                if self.command == "GET" and time.monotonic() < until:
                    self.answer(200, *kept)
                    return
                if self.path == "/v1/auth/verify":
                    front.sign_ins -= 1
                    if front.sign_ins < 0:
                        self.answer(403, [("Content-Type", "application/problem+json")], b'{"code":"not_owner","title":"Forbidden","status":403}')
                        return
                there = OnSocket(front.own) if front.path else http.client.HTTPConnection("127.0.0.1", suite.port, timeout=10)
                there.request(self.command, self.path, body or None, dict(self.headers.items()))
                got = there.getresponse()
                headers, content = got.getheaders(), got.read()
                there.close()
                if self.command == "GET" and got.status == 200 and cookie not in front.kept:
                    front.kept[cookie] = (time.monotonic() + keeps_s, (headers, content))
                self.answer(got.status, headers, content)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        if self.path:
            self.own = self.path.with_suffix(".own")
            self.path.rename(self.own)
            self.server = SocketServer(str(self.path), Handler)
            self.path.chmod(0o666)
        else:
            self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            self.address = f"127.0.0.1:{self.server.server_port}"

    def __exit__(self, *exc):
        super().__exit__(*exc)
        if self.path:
            self.own.rename(self.path)


# ---- where the promise holds


def test_holds_in_a_quiet_run_and_touches_nobody(running):
    alice, asset = running.wallet("alice"), running.asset_of("alice")
    theirs, before = running.sign_in(alice, asset), owners(running)
    report = held(running, "--rounds", "3")
    assert report["events"] == report["rounds"] == report["signed_in"] == 3
    assert [p["point"] for p in report["points"]] == ["edge", "router-1", "router-2"]
    assert all(p["enforced"] == 3 and p["allowed"] > 0 and p["refused"] > 0 for p in report["points"])
    assert report["latency"]["n"] == 9 == sum(b["n"] for b in report["latency"]["buckets"])
    assert 0 < report["latency"]["p50_us"] <= report["latency"]["p99_us"] <= report["latency"]["max_us"] <= 1000000
    assert running.session_status(theirs) == 200
    assert owners(running) == before
    wait_until("its asset is burned", lambda: drill_assets(running) == [])


def test_holds_while_a_router_is_stopped_and_the_oracles_are_killed(running):
    oracles = [running.pid(f"chain-oracle-{i}") for i in (1, 2)]
    routers = [running.pid(f"router-{i}") for i in (1, 2)]
    report = held(running, "--rounds", "3", "--pause", "router-1:1500", "--kill", "chain-oracle")
    assert (report["stopped"], report["killed"]) == (3, 6)
    assert all(running.pid(f"chain-oracle-{i + 1}") != pid for i, pid in enumerate(oracles))
    assert [running.pid(f"router-{i}") for i in (1, 2)] == routers and state_of(routers[0]) != "T"


def test_holds_while_anything_is_taken_away_by_chance(running):
    # the bound of I2; the default, 1 s, is for a quiet machine
    report = held(running, "--rounds", "4", "--chaos", "--bound", "2000")
    assert report["stopped"] + report["killed"] >= 4


def test_holds_while_redis_is_killed(running):
    pid = running.pid("redis")
    assert held(running, "--rounds", "2", "--kill", "redis")["killed"] == 2
    assert running.pid("redis") != pid


def test_what_pushes_did_not_say_counts_by_the_longer_bound(running):
    for node in ("a", "b"):
        running.devchain("mute-push", "--node", node)
    try:
        assert held(running, "--rounds", "1", "--bound", "50", "--bound-unpushed", "18000")["latency"]["max_us"] > 50000
        # the suite itself is too slow for this one
        report = failed(running, "--rounds", "1", "--bound-unpushed", "20")
        assert report["late"] > 0 and report["stale"] > 0 and report["lost"] == 0
    finally:
        for node in ("a", "b"):
            running.devchain("ok", "--node", node)


# ---- where it does not


def test_a_router_that_keeps_an_allow_is_named(running):
    with Front(running, keeps_s=3600, router="router-1"):
        report = failed(running, "--rounds", "2", "--limit", "3")
    edge, wrong, right = report["points"]
    assert wrong["point"] == "router-1" and wrong["lost"] == 2 and wrong["stale"] > 0, report
    assert right["stale"] == right["lost"] == right["late"] == 0 and right["enforced"] == 2, report
    # nginx asks both in turn
    assert edge["enforced"] == 2 and edge["stale"] > 0 and edge["lost"] == 0, report


def test_a_proxy_that_keeps_an_allow_makes_it_fail(running):
    with Front(running, keeps_s=3600) as front:
        report = failed(running, "--via", front.address, "--rounds", "2", "--limit", "2")
    edge, *routers = report["points"]
    # what was kept in the first round is still let in in the second
    assert edge["lost"] == 2 and edge["stale"] > 0 and edge["enforced"] == 0, report
    assert all(p["stale"] == p["lost"] == p["late"] == 0 and p["enforced"] == 2 for p in routers), report
    assert any("edge was stale" in f for f in report["failures"]) and any("edge lost it" in f for f in report["failures"])


def test_a_proxy_that_keeps_it_for_a_while_makes_it_late(running):
    with Front(running, keeps_s=4) as front:
        args = ["--via", front.address, "--rounds", "1", "--limit", "10"]
        done = subprocess.run(command(running, *args), capture_output=True, text=True, env=running.env, timeout=60)
    assert done.returncode == 1 and "The promise was NOT held." in done.stdout, done.stdout
    assert "edge was late" in done.stdout and "edge was stale" in done.stdout and "lost it" not in done.stdout
    assert "late 1 " in done.stdout and "lost 0 " in done.stdout


def test_a_proxy_that_keeps_nothing_makes_no_difference(running):
    with Front(running) as front:
        held(running, "--via", front.address, "--rounds", "1")


def test_a_new_owner_who_is_kept_out_makes_it_fail(running):
    with Front(running, sign_ins=1) as front:
        code, report, _ = drill(running, "--via", front.address, "--rounds", "1", "--limit", "2")
    assert code == 1 and not report["held"] and report["shut_out"] == 1 and report["signed_in"] == 0
    assert report["late"] == report["stale"] == report["lost"] == 0


# ---- what it refuses


def refused(suite, *args):
    wait_until("nothing is left of a drill before", lambda: drill_assets(suite) == [])
    code, report, err = drill(suite, *args)
    assert code == 2 and report is None, (code, report)
    assert drill_assets(suite) == []
    return err


class Node(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_refuses_a_chain_that_is_no_development_chain(running):
    for url in ("https://api.mainnet.example", "http://127.0.0.1.example.com:8899", "http://127.0.0.1:1@example.com"):
        assert "no development chain" in refused(running, "--chain", url)
    with http.server.HTTPServer(("127.0.0.1", 0), Node) as node:
        threading.Thread(target=node.serve_forever, daemon=True).start()
        assert "no development chain" in refused(running, "--chain", f"http://127.0.0.1:{node.server_port}")
        node.shutdown()


def test_refuses_a_suite_that_stands_on_no_development_chain(running):
    ports = running.state / "chain/ports.json"
    ports.rename(ports.with_suffix(".away"))
    try:
        code, report, err = drill(running)
    finally:
        ports.with_suffix(".away").rename(ports)
    assert code == 2 and report is None and "no development chain" in err


def test_refuses_a_development_chain_that_is_not_the_suites(running, tmp_path):
    port = free_port()
    args = ["--state", tmp_path, "--demo", "--port", port, "--ws-port", 0, "--port-b", 0, "--ws-port-b", 0]
    other = subprocess.Popen([BIN / "multiclaw-devchain", "serve", *map(str, args)], stderr=subprocess.DEVNULL)
    try:
        wait_until("it listens", (tmp_path / "ports.json").exists)
        assert "refuses devchain_mint" in refused(running, "--chain", f"http://127.0.0.1:{port}")
    finally:
        other.terminate()
        other.wait()


@pytest.mark.parametrize("args", [
    ["--read-only"], ["--read-only", "--keypair", "x", "--kill", "router"], ["--read-only", "--keypair", "x", "--chaos"],
    ["--keypair", "x"], ["--asset", "x"], ["--rounds", "0"], ["--rounds", "many"], ["--pause", "router-1:0"], ["--pause", "router-1:x"],
    ["--pause", "router-1:5000", "--limit", "5"],
    ["--via", "a b"], ["--frobnicate"], ["--pause", "nginx"], ["--kill", "redis", "--pause", "redis"], ["--kill", "nobody"], ["--kill", "router-9"], ["--kill", "supervisor"], ["--kill", "devchain"], ["--kill", "../x"],
    ["--kill", ""]])
def test_refuses_words_that_make_no_sense(running, args):
    assert refused(running, *args)


def test_signals_nothing_that_is_not_what_its_pid_file_says(running):
    path = running.state / "run/router-1.pid"
    right = path.read_text()
    with subprocess.Popen(["sleep", "60"], cwd=running.state) as bystander:
        try:
            for pid in (bystander.pid, running.pid("auth-1"), 1, running.process.pid):
                path.write_text(f"{pid}\n")
                err = refused(running, "--kill", "router-1", "--rounds", "1")
                assert "not signalled" in err or "no process" in err, err
            path.unlink()
            path.symlink_to("auth-1.pid")
            assert "no process" in refused(running, "--kill", "router-1", "--rounds", "1")
            assert bystander.poll() is None
        finally:
            path.unlink()
            path.write_text(right)
            bystander.kill()
    running.wait_ready()


# ---- read only


def test_read_only_ends_no_session_but_its_own(running):
    alice, asset = running.wallet("alice"), running.asset_of("alice", 1)
    theirs, before = running.sign_in(alice, asset), owners(running)
    report = held(running, "--read-only", "--keypair", running.state / "chain/wallets/alice.json", "--asset", asset, "--rounds", "2")
    assert report["read_only"] and report["events"] == 2 and report["killed"] == report["stopped"] == 0
    assert len(report["points"]) == 3 and all(p["enforced"] == 2 for p in report["points"])
    assert report["decision"]["n"] > 0
    assert len(running.http("GET", "/v1/sessions", token=theirs).json["sessions"]) == 1
    assert running.session_status(theirs) == 200 and owners(running) == before


def test_read_only_from_elsewhere_asks_the_edge_alone(running, tmp_path):
    args = ["--read-only", "--keypair", running.state / "chain/wallets/alice.json", "--asset", running.asset_of("alice", 1), "--rounds", "1"]
    cmd = [BIN / "multiclaw", "-c", tmp_path / "none", "--url", running.url, "drill", *args, "--json"]
    done = subprocess.run(cmd, capture_output=True, text=True, env=running.env, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [p["point"] for p in json.loads(done.stdout)["points"]] == ["edge"]


def test_read_only_fails_where_a_logout_is_not_heard_of(running):
    with Front(running, keeps_s=3600) as front:
        report = failed(running, "--read-only", "--keypair", running.state / "chain/wallets/alice.json", "--asset", running.asset_of("alice", 1),
                        "--rounds", "1", "--limit", "2", "--via", front.address)
    assert report["points"][0]["lost"] == 1


# ---- its end


def begin(suite, *args):
    return subprocess.Popen(command(suite, *args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=suite.env)


def test_ctrl_c_says_what_was_seen_and_leaves_nothing(running):
    process = begin(running, "--rounds", "1000")
    for line in process.stdout:
        if line.startswith("round 2 "):
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and "Interrupted. The promise held." in out, out
    wait_until("its asset is burned", lambda: drill_assets(running) == [])


def test_ctrl_c_before_any_event_tells_nothing(running):
    with Front(running, sign_ins=0) as front:
        process = begin(running, "--via", front.address, "--rounds", "1000")
        wait_until("it tries to sign in", lambda: front.sign_ins < 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 2
    wait_until("its asset is burned", lambda: drill_assets(running) == [])


def test_ends_when_its_time_is_over(running):
    began = time.monotonic()
    code, report, _ = drill(running, "--rounds", "1000000", "--seconds", "5")
    assert code == 0 and report["events"] >= 1 and report["held"] and not report["interrupted"]
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_what_it_stopped_goes_on_however_it_ends(running, sig):
    pid = running.pid("router-1")
    process = begin(running, "--rounds", "1000", "--pause", "router-1:3000")
    try:
        wait_until("it is stopped", lambda: state_of(pid) == "T", 30)
        process.send_signal(sig)
        wait_until("it goes on", lambda: state_of(pid) != "T", 5)
        process.communicate(timeout=20)  # one that was asked to end burns its asset by itself
    finally:
        process.kill()
        process.communicate()
    running.wait_ready()
    for asset in drill_assets(running) if sig == signal.SIGKILL else []:
        running.devchain("burn", "--asset", asset)
    wait_until("its asset is burned", lambda: drill_assets(running) == [])


def test_the_help_says_what_each_word_means(running):
    out = running.cli("help", "drill").stdout
    for word in ("event", "enforced", "late", "stale", "lost", "closed", "silent", "Exit status"):
        assert f"\n  {word} " in out or f"\n{word}" in out, word
