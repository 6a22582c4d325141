"""The edge under attack: security rules 1-7, the decision endpoint, the API's manners. Real nginx, real router; the agent is echo_upstream.py."""

import base64
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from suite import BIN, ROOT, Suite, Wallet, wait_until

HERE = pathlib.Path(__file__).parent
COOKIE, AGENT_COOKIE = "__Host-multiclaw", "__Host-multiclaw-agent"


class Echo:
    def __init__(self):
        self.process = subprocess.Popen(["/usr/bin/python3", HERE / "echo_upstream.py"], stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[1]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Edge:
    """A suite with a stand-in behind every agent's host, two owners signed in. prepare(suite) is called before it starts."""

    def __init__(self, prepare=None, **settings):
        self.echo = Echo()
        self.suite = Suite(MULTICLAW_AGENT_UPSTREAM=self.echo.address, **settings)
        try:
            if prepare:
                prepare(self.suite)
            self.suite.start()
            self.alice, self.agent = self.sign_in("alice")
            self.bob, self.other = self.sign_in("bob")
            self.enter()
        except BaseException:
            self.stop()
            raise
        self.authority = self.suite.authority
        self.host = f"{self.agent}.{self.authority}"
        self.origin = f"http://{self.host}"

    def sign_in(self, name):
        answer = self.suite.try_sign_in(self.suite.wallet(name), self.suite.asset_of(name))
        assert answer.status == 200, answer.body
        return answer.token, answer.json["agent_id"]

    def enter(self):
        """The owners' sessions of their agents' origins."""
        self.alice_in, self.bob_in = self.suite.enter(self.alice), self.suite.enter(self.bob)

    def stop(self):
        self.suite.stop()
        self.echo.stop()

    def raw(self, data, timeout=5.0):
        """Sends bytes to nginx; returns everything that comes until it closes, or falls silent."""
        with socket.create_connection(("127.0.0.1", self.suite.port), timeout=timeout) as s:
            s.sendall(data)
            return read_all(s)

    def request(self, path="/", host=None, cookie=None, method="GET", headers=(), body=b"", version="1.1"):
        """A request as it is written here, to nginx; (status, headers, body)."""
        lines = [f"{method} {path} HTTP/{version}", f"Host: {self.host if host is None else host}", "Connection: close"]
        lines += [f"Cookie: {cookie}"] if cookie is not None else []
        lines += [f"{k}: {v}" for k, v in headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        return parse(self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body))

    def as_alice(self, path="/", headers=(), host=None, **kwargs):
        cookie = f"{COOKIE}={self.alice}" if host == self.authority else f"{AGENT_COOKIE}={self.alice_in}"
        return self.request(path, host=host, cookie=cookie, headers=headers, **kwargs)

    def seen_by_agent(self, path="/", headers=(), **kwargs):
        """What the agent got, as a dictionary of lower-case names."""
        status, _, body = self.as_alice(path, headers, **kwargs)
        assert status == 200, body
        return {k.lower(): v for k, v in json.loads(body)["headers"]}

    def authz(self, headers, replica="router-1", path="/authz", method="GET"):
        """A sub-request of a proxy, straight to the decision socket."""
        lines = [f"{method} {path} HTTP/1.1", "Connection: close"] + [f"{k}: {v}" for k, v in headers]
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(self.suite.state / f"run/{replica}.authz"))
            s.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
            return parse(read_all(s))


def read_all(s):
    data = b""
    try:
        while chunk := s.recv(65536):
            data += chunk
    except (TimeoutError, ConnectionResetError):
        pass
    return data


class Headers(list):
    def get(self, name, default=None):
        return next((v for k, v in self if k.lower() == name.lower()), default)

    def all(self, name):
        return [v for k, v in self if k.lower() == name.lower()]


def parse(data):
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = Headers((k, v.strip()) for k, _, v in (line.partition(":") for line in lines))
    return (int(first.split(" ")[1]) if first.startswith("HTTP/") else 0), headers, body


def code(body):
    return json.loads(body)["code"]


@pytest.fixture(scope="module")
def edge():
    made = Edge()
    yield made
    made.stop()


@pytest.fixture
def own_edge():
    made = []

    def make(**settings):
        made.append(Edge(**settings))
        return made[-1]

    yield make
    for e in made:
        e.stop()


# ---- who gets in


def test_the_owner_reaches_the_own_agent_and_no_other(edge):
    assert edge.as_alice()[0] == 200
    for cookie in (f"{COOKIE}={edge.alice}", f"{COOKIE}={edge.alice_in}", f"{AGENT_COOKIE}={edge.alice}", f"{AGENT_COOKIE}={edge.bob}"):
        assert edge.request(cookie=cookie)[0] == 401, "only a session of its own opens it"
    status, _, body = edge.as_alice(host=f"{edge.other}.{edge.authority}")
    assert (status, code(body)) == (403, "not_owner")
    assert edge.request(host=f"{edge.other}.{edge.authority}", cookie=f"{AGENT_COOKIE}={edge.bob_in}")[0] == 200
    # and again, now that the table knows both
    assert edge.as_alice()[0] == 200
    assert edge.as_alice(host=f"{edge.other}.{edge.authority}")[0] == 403


def test_every_agent_looks_the_same_to_a_stranger(edge):
    answers = set()
    for host in (edge.agent, edge.other, "a" * 32, "7" * 32):
        for cookie in (None, "x=y", f"{COOKIE}=", f"{COOKIE}=nonsense", f"{AGENT_COOKIE}=a.b.c"):
            status, headers, body = edge.request(host=f"{host}.{edge.authority}", cookie=cookie)
            problem = json.loads(body)
            problem.pop("request_id")
            answers.add((status, json.dumps(problem, sort_keys=True), tuple(k for k, v in headers)))
    assert len(answers) == 1 and next(iter(answers))[0] == 401


@pytest.mark.parametrize("cookie", [
    "{c}={alice}; {c}={alice}",
    "{c}={bob}; {c}={alice}",
    "{c}={alice}; x=y; {c}=",
    "{a}={alice}; {a}={alice}",
    "{c}={alice}\r\nCookie: {c}={bob}",
    "{c}={alice}; {c} ={bob}",
])
def test_our_cookie_twice_is_no_session(edge, cookie):
    cookie = cookie.format(c=COOKIE, a=AGENT_COOKIE, alice=edge.alice, bob=edge.bob)
    assert edge.request(cookie=cookie)[0] == 401
    if COOKIE + "=" in cookie:
        status, _, body = edge.request("/v1/session", host=edge.authority, cookie=cookie)
        assert (status, code(body)) == (401, "session_invalid")


def tampered(token):
    head, payload, mac = token.split(".")

    def encode(value):
        return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()

    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    yield "no alg", f"{encode({**header, 'alg': 'none'})}.{payload}."
    yield "alg none with mac", f"{encode({**header, 'alg': 'none'})}.{payload}.{mac}"
    yield "RS256", f"{encode({**header, 'alg': 'RS256'})}.{payload}.{mac}"
    yield "another key id", f"{encode({**header, 'kid': 'x'})}.{payload}.{mac}"
    yield "another subject", f"{head}.{encode({**claims, 'sub': 'B1G47g9FVGv5VZaLVNjUiBmbFy7AZn4FCBdjdcDGtE7U'})}.{mac}"
    yield "a longer life", f"{head}.{encode({**claims, 'exp': claims['exp'] + 1})}.{mac}"
    yield "truncated", token[:-1]
    yield "truncated payload", f"{head}.{payload[:-4]}.{mac}"
    yield "another mac", f"{head}.{payload}.{mac[::-1]}"
    yield "one more part", f"{token}.x"
    yield "padding", f"{token}="
    yield "another case", token.swapcase()
    yield "quoted", f'"{token}"'
    yield "2 kB", "a" * 2049
    yield "7 kB", f"{head}.{payload}.{'a' * 7000}"


def test_a_token_that_is_not_exactly_ours_opens_nothing(edge):
    for name, token in tampered(edge.alice):
        assert edge.request(cookie=f"{AGENT_COOKIE}={token}")[0] == 401, name
        status, headers, body = edge.request("/v1/session", host=edge.authority, cookie=f"{COOKIE}={token}")
        assert (status, code(body)) == (401, "session_invalid"), (name, body)


def test_a_session_that_ended_is_out_at_both_doors_at_once(edge):
    token, _ = edge.sign_in("alice")
    inside = edge.suite.enter(token)
    assert edge.request(cookie=f"{AGENT_COOKIE}={inside}")[0] == 200
    status, headers, _ = edge.request("/v1/auth/logout", host=edge.authority, method="POST", cookie=f"{COOKIE}={token}",
                                      headers=[("Content-Type", "application/json")], body=b"{}")
    assert status == 204
    assert headers.get("Set-Cookie") == f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"
    wait_until("out", lambda: edge.request(cookie=f"{AGENT_COOKIE}={inside}")[0] == 401, 0.5)
    status, _, body = edge.request("/v1/session", host=edge.authority, cookie=f"{COOKIE}={token}")
    assert (status, code(body)) == (401, "session_revoked")
    assert edge.as_alice()[0] == 200


# ---- hosts (rules 1, 6)


@pytest.mark.parametrize("spell", [
    "{id}.{d}.", "{ID}.{d}", "{id}.{D}", "{id}.localhost", "{id}.localhost:1", "{id}.localhost.:{p}", "x.{id}.{d}", "{id}x.{d}",
    "{id}%2elocalhost:{p}", "{id}.localhost@x", "x@{id}.{d}", "{id}.{d}@localhost", "{id}.{d}#", "{id}.{d}?", "[{id}.{d}]", "{id}..{d}",
    "{id}.127.0.0.1:{p}", "127.0.0.1:{p}", "localhost", "LOCALHOST:{p}", "localhost.:{p}", "localhost:{p}0", "", "evil.example",
])
def test_a_host_that_is_not_one_of_ours_byte_for_byte_is_misdirected(edge, spell):
    port = edge.suite.port
    host = spell.format(id=edge.agent, ID=edge.agent.upper(), d=f"localhost:{port}", D=f"LOCALHOST:{port}", p=port)
    for path in ("/", "/v1/session"):
        status, headers, body = edge.as_alice(path, host=host)
        assert status in (400, 421), (host, status, body)
        assert headers.get("Content-Type") == "application/problem+json" and code(body) in ("host_unknown", "request_invalid")


def test_a_request_line_and_a_host_header_that_differ_select_nothing(edge):
    other = f"{edge.other}.{edge.authority}"
    for line, host in ((edge.host, other), (other, edge.host), (edge.authority, edge.host), (edge.host, edge.authority)):
        status, _, body = edge.as_alice(f"http://{line}/v1/session", host=host)
        assert status == 421, body
    # the same in both is one name said twice
    assert edge.as_alice(f"http://{edge.host}/", host=edge.host)[0] in (200, 421)


SPOOFED = ["X-Original-Host", "X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "X-HTTP-Host-Override", "X-Original-URL", "X-Rewrite-URL",
           "X-Original-URI", "X-Original-Method", "X_Original_Host", "X-Multiclaw-Asset", "X-Multiclaw-Upstream", "X-Multiclaw-Cookie",
           "X-Multiclaw-Agent-Token", "X-Accel-Redirect", "Tailscale-User-Login", "X-OpenClaw-Scopes", "X-OpenClaw-Token", "Via", "TE", "Proxy",
           "Proxy-Authorization", "X-Real-IP", "X-Forwarded-For", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Cf-Access-Jwt-Assertion"]


def test_spoofed_headers_reach_neither_decision_nor_agent(edge):
    other = f"{edge.other}.{edge.authority}"
    spoof = [(name, "6.6.6.6" if "IP" in name or "For" in name else other) for name in SPOOFED] + [("Forwarded", f"host={other};for=6.6.6.6")]
    seen = edge.seen_by_agent(headers=spoof)
    assert seen["host"] == edge.host and seen["x-forwarded-host"] == edge.host
    assert seen["x-real-ip"] == seen["x-forwarded-for"] == "127.0.0.1" and seen["x-forwarded-proto"] == "http"
    assert not any(other in v or "6.6.6.6" in v for v in seen.values()), seen
    # to the other agent they do not help either
    assert edge.as_alice(host=other, headers=[("X-Original-Host", edge.host), ("X-Forwarded-Host", edge.host)])[0] == 403
    # nor does naming them as hop-by-hop take away what nginx sets
    status, _, _ = edge.raw_status = parse(edge.raw(
        f"GET / HTTP/1.1\r\nHost: {other}\r\nCookie: {AGENT_COOKIE}={edge.alice_in}\r\nConnection: close, X-Original-Host, Cookie\r\n"
        f"X-Original-Host: {edge.host}\r\n\r\n".encode()))
    assert status == 403


def test_the_clients_address_comes_from_nginx_alone(edge):
    for name in ("X-Real-IP", "X-Forwarded-For", "Forwarded", "X-Client-IP"):
        body = json.dumps({"wallet": Wallet().address, "asset": edge.suite.asset_of("alice")}).encode()
        status, _, answer = edge.request("/v1/auth/challenge", host=edge.authority, method="POST", body=body,
                                         headers=[(name, "6.6.6.6"), ("Content-Type", "application/json")])
        assert status == 200 and "127.0.0.1" in json.loads(answer)["message"] and "6.6.6.6" not in json.loads(answer)["message"]


# ---- what the agent gets, and what it may say (rules 1-3, 6)


def test_the_agent_sees_the_clients_cookies_without_ours(edge):
    seen = edge.seen_by_agent(headers=[("Accept-Language", "de"), ("Authorization", "Bearer stolen")])
    assert "cookie" not in seen and "authorization" not in seen and seen["accept-language"] == "de"
    for cookie, forwarded in {
        f"a=1; {AGENT_COOKIE}={edge.alice_in}; b=2": "a=1; b=2",
        f"{COOKIE}={edge.alice};{AGENT_COOKIE}={edge.alice_in}; c=\"x; y\"": "c=\"x; y\"",
        f"__host-multiclaw=z; {AGENT_COOKIE}={edge.alice_in}; __HOST-MULTICLAW-AGENT=z; d=4": "d=4",
        f"a=1\r\nCookie: {AGENT_COOKIE}={edge.alice_in}; e=5": "a=1; e=5",
        f"q=\"; {AGENT_COOKIE}={edge.alice_in}": "q=\"",
    }.items():
        status, _, body = edge.request(cookie=cookie)
        assert status == 200, cookie
        headers = {k.lower(): v for k, v in json.loads(body)["headers"]}
        assert headers.get("cookie") == forwarded and edge.alice not in body.decode() and edge.alice_in not in body.decode(), cookie


def test_a_hostile_answer_steers_nothing(edge):
    bad = ["X-Accel-Redirect: /_authz", "X-Accel-Buffering: yes", "X-Accel-Limit-Rate: 1", "X-Accel-Charset: utf-7", "X-Accel-Expires: 1",
           "X-Multiclaw-Asset: x", "X-Multiclaw-Wallet: x", "X-Multiclaw-Upstream: 127.0.0.1:1", "X-Multiclaw-Agent-Token: x",
           "X-Multiclaw-Cookie: x", "X-Multiclaw-Status: 503", "X-Multiclaw-Reason: x", "Clear-Site-Data: \"*\"", "Alt-Svc: h2=\":1\"", "NEL: {}",
           "Report-To: {}", "Reporting-Endpoints: a=\"https://evil.example\""]
    good = ["Set-Cookie: a=1; Domain=localhost; Path=/", "Set-Cookie: b=2; domain=.evil.example", "Set-Cookie: c=3", "X-Frame-Options: DENY"]
    query = "&".join("h=" + urllib.parse.quote(h) for h in bad + good)
    status, headers, body = edge.as_alice(f"/respond?{query}")
    assert status == 200 and json.loads(body)["method"] == "GET"
    names = {k.lower() for k, _ in headers}
    assert not names & {h.split(":")[0].lower() for h in bad}, names
    assert headers.get("X-Frame-Options") == "DENY"
    assert headers.all("Set-Cookie") == [f"a=1; Domain={edge.agent}.localhost; Path=/", f"b=2; domain={edge.agent}.localhost", "c=3"]


def test_the_agents_own_errors_pass_unchanged(edge):
    for status in (401, 403, 404, 429, 500, 503):
        got, headers, body = edge.as_alice(f"/status?code={status}")
        assert got == status and headers.get("Content-Type") == "application/json" and json.loads(body)["method"] == "GET"


def test_methods_bodies_and_targets_arrive_as_they_were_sent(edge):
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        status, _, body = edge.as_alice("/a%2fb//c/..%2e?q=%20&r", method=method, headers=[("Origin", edge.origin)], body=b"hello")
        got = json.loads(body)
        assert status == 200 and (got["method"], got["target"], got["body"]) == (method, "/a%2fb//c/..%2e?q=%20&r", "hello")
    chunked = (f"POST /up HTTP/1.1\r\nHost: {edge.host}\r\nCookie: {AGENT_COOKIE}={edge.alice_in}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
               "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n").encode()
    status, _, body = parse(edge.raw(chunked))
    assert status == 200 and json.loads(body)["body"] == "hello world"
    assert edge.as_alice(method="HEAD")[0] == 200


def test_large_bodies_pass_both_ways(edge):
    size = 20_000_000
    connection = http.client.HTTPConnection("127.0.0.1", edge.suite.port, timeout=30)
    connection.request("POST", "/upload", body=b"x" * size, headers={"Host": edge.host, "Cookie": f"{AGENT_COOKIE}={edge.alice_in}", "Origin": edge.origin})
    assert json.loads(connection.getresponse().read())["length"] == size
    connection.close()
    connection.request("GET", f"/bytes?n={size}", headers={"Host": edge.host, "Cookie": f"{AGENT_COOKIE}={edge.alice_in}"})
    assert len(connection.getresponse().read()) == size
    connection.close()
    # without a session the answer comes before the body
    refused = edge.raw(f"POST /upload HTTP/1.1\r\nHost: {edge.host}\r\nContent-Length: {size}\r\n\r\n".encode(), timeout=1)
    assert parse(refused)[0] == 401


def test_no_connection_to_an_agent_is_used_twice(edge):
    assert edge.seen_by_agent()["connection"] == "close"


def test_reserved_and_internal_paths_are_nobodys(edge):
    for path in ("/_authz", "/x/../_authz", "/%5fauthz", "//_authz", "/_problem", "/.multiclaw/", "//.multiclaw/enter", "/%2emulticlaw/x?ticket=secret",
                 "/x/..%2f.multiclaw/y"):
        status, headers, body = edge.as_alice(path)
        assert (status, code(body)) == (404, "not_found"), path
        assert not headers.get("X-Multiclaw-Asset") and not headers.get("X-Multiclaw-Upstream")
    for path in ("/authz", "/_authz", "/metrics", "/healthz", "/readyz", "/v1/../authz", "/v1/%2e%2e/authz"):
        status, _, body = edge.as_alice(path, host=edge.authority)
        assert (status, code(body)) == (404, "not_found"), path


# ---- smuggling (rule 6)


def test_two_ways_to_read_a_request_are_refused(edge):
    start = f"POST /v1/auth/challenge HTTP/1.1\r\nHost: {edge.authority}\r\n"
    smuggled = f"GET /smuggled HTTP/1.1\r\nHost: {edge.host}\r\nCookie: {AGENT_COOKIE}={edge.alice_in}\r\n\r\n"
    attacks = {
        "CL and TE": f"{start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        "two CL": f"{start}Content-Length: 0\r\nContent-Length: {len(smuggled)}\r\n\r\n{smuggled}",
        "CL with a sign": f"{start}Content-Length: +0\r\n\r\n{smuggled}",
        "obs-fold": f"{start}X-A: b\r\n c: d\r\n\r\n{smuggled}",
        "space before colon": f"{start}Content-Length : 0\r\n\r\n{smuggled}",
        "NUL in a value": f"{start}X-A: \0\r\n\r\n{smuggled}",
        "bare CR": f"{start}X-A: a\rb\r\n\r\n{smuggled}",
        "two hosts": f"{start}Host: {edge.host}\r\n\r\n{smuggled}",
        "unknown TE": f"{start}Transfer-Encoding: xchunked\r\n\r\n{smuggled}",
    }
    for host in (edge.authority, edge.host):
        attacks[f"HEAD with a body to {host}"] = (
            f"HEAD /v1/session HTTP/1.1\r\nHost: {host}\r\nCookie: {AGENT_COOKIE}={edge.alice_in}\r\nContent-Length: {len(smuggled)}\r\n\r\n{smuggled}")
    for name, attack in attacks.items():
        answer = edge.raw(attack.encode("latin-1"), timeout=1)
        assert parse(answer)[0] in (400, 501), (name, answer)
        assert b"smuggled" not in answer, (name, answer)


def test_floods_of_headers_and_long_lines_get_a_clear_error(edge):
    for headers, statuses in (
        ([("X-Long", "a" * 9000)], {431}),
        ([(f"X-Many-{i}", "a" * 500) for i in range(60)], {431}),
        ([("Cookie", "a=" + "b" * 8100), ("X-More", "c" * 7000)], {401}),
    ):
        status, got, body = edge.request(headers=headers)
        assert status in statuses, (status, body)
        assert got.get("Content-Type") == "application/problem+json"
    status, got, body = edge.request("/" + "a" * 9000)
    assert (status, code(body)) == (414, "uri_too_long")
    for garbage in (b"\r\n\r\n\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"G\0T / HTTP/1.1\r\n\r\n", b"GET / HTTP/7.7\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        assert parse(edge.raw(garbage, timeout=1))[0] in (0, 400, 405, 421, 505), garbage
    assert edge.as_alice()[0] == 200


# ---- pages behind the request (rules 4, 5)


def test_a_page_of_another_origin_is_refused(edge):
    foreign = ["null", "http://evil.example", f"http://{edge.authority}", f"http://{edge.other}.{edge.authority}", f"https://{edge.host}",
               edge.origin + "/", edge.origin.upper(), f"http://{edge.agent}.localhost", f"{edge.origin}, {edge.origin}", f"http://x@{edge.host}"]
    for origin in foreign:
        status, _, body = edge.as_alice(headers=[("Origin", origin)])
        assert (status, code(body)) == (403, "origin_refused"), origin
        # a stranger learns nothing more
        assert edge.request(host=f"{'a' * 32}.{edge.authority}", headers=[("Origin", origin)])[0] == 403
    assert edge.as_alice(headers=[("Origin", edge.origin)])[0] == 200
    for site in ("cross-site", "same-site"):
        assert edge.as_alice(method="POST", headers=[("Sec-Fetch-Site", site)])[0] == 403
    assert edge.as_alice(method="POST", headers=[("Sec-Fetch-Site", "same-origin"), ("Origin", edge.origin)])[0] == 200


def test_a_service_worker_is_not_installed(edge):
    status, _, body = edge.as_alice("/sw.js", headers=[("Service-Worker", "script")])
    assert (status, code(body)) == (403, "service_worker_refused")


def open_websocket(edge, token, origin):
    s = socket.create_connection(("127.0.0.1", edge.suite.port), timeout=5)
    origin = f"Origin: {origin}\r\n" if origin else ""
    s.sendall(f"GET /ws HTTP/1.1\r\nHost: {edge.host}\r\nCookie: {AGENT_COOKIE}={token}\r\n{origin}Upgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = s.recv(1)
        if not chunk:
            break
        head += chunk
    return s, parse(head)


def send_text(s, text):
    data = text.encode()
    s.sendall(bytes([0x81, 0x80 | len(data)]) + bytes(4) + data)


def read_text(s):
    def exactly(n):
        data = b""
        while len(data) < n:
            chunk = s.recv(n - len(data))
            assert chunk, "closed"
            data += chunk
        return data

    _, size = exactly(2)
    if size == 126:
        size = int.from_bytes(exactly(2), "big")
    return exactly(size).decode()


def test_websocket_goes_through_the_decision(edge):
    s, (status, headers, _) = open_websocket(edge, edge.alice_in, edge.origin)
    with s:
        assert status == 101 and headers.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        for text in ("hello", "again", "x" * 100):
            send_text(s, text)
            assert read_text(s) == text
        send_text(s, "headers")
        seen = {k.lower(): v for k, v in json.loads(read_text(s))["headers"]}
        assert seen["upgrade"] == "websocket" and "cookie" not in seen and seen["origin"] == edge.origin
    for token, origin, expected in ((edge.alice_in, None, 403), (edge.alice_in, f"http://{edge.authority}", 403), (edge.alice_in, "null", 403),
                                    (edge.bob_in, edge.origin, 403), (edge.alice, edge.origin, 401), ("nonsense", edge.origin, 401)):
        s, (status, _, _) = open_websocket(edge, token, origin)
        s.close()
        assert status == expected, (origin, status)


def test_only_websocket_is_ever_upgraded(edge):
    seen = edge.seen_by_agent(headers=[("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")])
    assert "upgrade" not in seen and "http2-settings" not in seen


def test_server_sent_events_arrive_one_by_one(edge):
    with socket.create_connection(("127.0.0.1", edge.suite.port), timeout=5) as s:
        s.sendall(f"GET /sse?every=0.2 HTTP/1.1\r\nHost: {edge.host}\r\nCookie: {AGENT_COOKIE}={edge.alice_in}\r\n\r\n".encode())
        data, began = b"", time.monotonic()
        while b"data: 3\n" not in data:
            data += s.recv(4096)
        # not gathered in a buffer: the third came before a fourth was due
        assert time.monotonic() - began < 0.6 and b"data: 4\n" not in data


# ---- the decision endpoint itself


def nginx_headers(edge, *extra, host=None, token=None):
    return [("Host", "router"), ("X-Original-Host", host or edge.host), ("X-Original-Method", "GET"), ("X-Original-URI", "/"),
            ("Cookie", f"k=v; {AGENT_COOKIE}={token or edge.alice_in}"), *extra]


def test_the_decision_names_asset_wallet_upstream_and_cookies(edge):
    for method in ("GET", "POST", "PUT", "DELETE"):
        status, headers, body = edge.authz(nginx_headers(edge), method=method)
        assert (status, body) == (200, b"")
        assert headers.get("X-Multiclaw-Asset") == edge.suite.asset_of("alice")
        assert headers.get("X-Multiclaw-Wallet") == edge.suite.wallet("alice").address
        assert headers.get("X-Multiclaw-Upstream") == edge.echo.address
        assert headers.get("X-Multiclaw-Cookie") == "k=v"
        assert headers.get("Set-Cookie") is None
    assert edge.authz(nginx_headers(edge), path="/other")[0] == 404
    assert edge.authz(nginx_headers(edge), path="/authz/")[0] == 404


def test_the_decision_socket_is_not_the_worlds(edge):
    for name in ("authz", "api"):
        assert os.stat(edge.suite.state / f"run/router-1.{name}").st_mode & 0o777 == 0o660


HOST_HEADERS = ["X-Original-Host", "X-Forwarded-Host", "Forwarded", "X-Host", "X-HTTP-Host-Override"]


@pytest.fixture(scope="module")
def dialects(edge):
    """A router of each dialect beside the suite's own."""
    started = []
    for dialect in ("traefik", "envoy"):
        env = edge.suite.env_of("router", MULTICLAW_REPLICA=f"router-{dialect}", MULTICLAW_AUTHZ_DIALECT=dialect)
        log = open(edge.suite.state / f"log/router-{dialect}.log", "wb")
        started.append(subprocess.Popen([BIN / "multiclaw-router", "-c", "conf/suite.conf"], env=env, cwd=edge.suite.state, stderr=log))

    def ready(dialect):
        try:
            return edge.authz(dialect_headers(edge, dialect), f"router-{dialect}", dialect_path(dialect))[0] == 200
        except OSError:
            return False

    for dialect in ("traefik", "envoy"):
        wait_until(f"{dialect} is ready", lambda: ready(dialect), 15)
    yield
    for process in started:
        process.terminate()
        process.wait(10)


def dialect_path(dialect):
    return "/authz/some/path" if dialect == "envoy" else "/authz"


def dialect_headers(edge, dialect, *extra, host=None, token=None):
    host, cookie = host or edge.host, ("Cookie", f"{AGENT_COOKIE}={token or edge.alice_in}")
    if dialect == "envoy":
        return [("Host", host), cookie, *extra]
    name = {"nginx": "X-Original-Host", "traefik": "X-Forwarded-Host"}[dialect]
    return [("Host", "router"), (name, host), cookie, *extra]


@pytest.mark.parametrize("dialect", ["nginx", "traefik", "envoy"])
def test_each_dialect_reads_one_host_header_and_refuses_the_others(edge, dialects, dialect):
    replica = "router-1" if dialect == "nginx" else f"router-{dialect}"
    own = {"nginx": "X-Original-Host", "traefik": "X-Forwarded-Host", "envoy": None}[dialect]

    def ask(*extra, **kwargs):
        status, headers, _ = edge.authz(dialect_headers(edge, dialect, *extra, **kwargs), replica, dialect_path(dialect))
        return status, headers.get("X-Multiclaw-Reason")

    assert ask() == (200, None)
    assert ask(token=edge.bob_in) == (403, "not_owner")
    assert ask(token="x") == (401, "unauthenticated")
    for name in HOST_HEADERS:
        assert ask((name, edge.host)) == (403, "host_refused"), name
        if name != own:
            assert ask((name, "")) == (403, "host_refused"), name
    for host in (edge.host.upper(), edge.host + ".", f"{edge.agent}.localhost", edge.authority, f"{edge.agent}.evil.example", f"{edge.agent}%2e{edge.authority}"):
        assert ask(host=host) == (403, "host_refused"), host
    assert ask(("Origin", "http://evil.example")) == (403, "origin_refused")
    assert ask(("Upgrade", "websocket")) == (403, "origin_refused")
    assert ask(("Upgrade", "websocket"), ("Origin", edge.origin)) == (200, None)
    assert ask(("Service-Worker", "script")) == (403, "service_worker_refused")


def test_what_a_proxy_cannot_pass_on_is_told_beside_a_403(own_edge):
    edge = own_edge()
    edge.echo.stop()
    status, _, body = edge.as_alice()
    assert (status, code(body)) == (502, "agent_unreachable")
    os.kill(edge.suite.pid("redis"), signal.SIGSTOP)
    try:
        wait_until("no lease", lambda: edge.authz(nginx_headers(edge))[0] == 403, 4)
        status, headers, _ = edge.authz(nginx_headers(edge))
        assert (headers.get("X-Multiclaw-Status"), headers.get("Retry-After")) == ("503", "2")
        status, headers, body = edge.as_alice()
        assert (status, code(body), headers.get("Retry-After")) == (503, "service_unavailable", "2")
        # not knowing comes first: a stranger and a wrong host learn nothing else
        assert edge.request()[0] == 503
    finally:
        os.kill(edge.suite.pid("redis"), signal.SIGCONT)
    wait_until("knows again", lambda: edge.as_alice()[0] == 502, 5)


def test_an_agent_without_an_upstream_is_starting(own):
    suite = own()
    answer = suite.try_sign_in(suite.wallet("alice"), suite.asset_of("alice"))
    refused = suite.agent(suite.enter(answer.token), answer.json["agent_id"])
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "agent_starting", "1")


def test_a_decision_that_comes_late_is_thrown_away(own_edge):
    edge = own_edge()
    assert edge.as_alice()[0] == 200
    pid = edge.suite.pid("router-1")
    os.kill(pid, signal.SIGSTOP)
    got = []
    try:
        began = time.monotonic()
        asking = threading.Thread(target=lambda: got.append((edge.as_alice()[0], time.monotonic() - began)))
        asking.start()
        asking.join(5)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert got and got[0][0] == 503 and 0.9 < got[0][1] < 2.0, got
    wait_until("decides again", lambda: edge.as_alice()[0] == 200, 8)


def test_a_dead_router_among_two_is_skipped(own_edge):
    edge = own_edge(replicas=2)
    for _ in range(10):
        assert edge.as_alice()[0] == 200
    # stopped for good: its supervisor would start it again
    os.kill(edge.suite.pid("router-1"), signal.SIGKILL)
    for _ in range(50):
        assert edge.as_alice()[0] in (200, 503)
        # started again it has no lease yet: it says so (503), and is never wrong
        wait_until("it answers", lambda: edge.request("/v1/session", host=edge.authority, cookie=f"{COOKIE}={edge.alice}")[0] == 200, 5)


def test_routers_that_all_died_are_asked_again_as_soon_as_one_is_back(own_edge):
    edge = own_edge(replicas=2)
    session = lambda: edge.request("/v1/session", host=edge.authority, cookie=f"{COOKIE}={edge.alice}")[0]
    assert (session(), edge.as_alice()[0]) == (200, 200)

    def are_asked():
        for name in ("router-1", "router-2"):
            os.kill(edge.suite.pid(name), signal.SIGKILL)
        began = time.monotonic()
        for _ in range(4):  # nginx notices that both are gone
            session(), edge.as_alice()
        edge.suite.wait_ready(10)
        assert [session() for _ in range(4)] == [200] * 4 and [edge.as_alice()[0] for _ in range(4)] == [200] * 4
        return time.monotonic() - began < 4.5

    # later than that nginx would ask both by itself, and nothing is shown
    assert any(are_asked() for _ in range(3)), "too slow to tell"


@pytest.mark.parametrize("servers, tries", [(["unix:a", "unix:b"], 2), (["127.0.0.1:1"], 0)])
def test_a_request_is_tried_as_often_as_there_are_routers(edge, servers, tries):
    env = {**edge.suite.env, "MULTICLAW_PUBLIC_URL": "https://claw.example", "MULTICLAW_AGENTS_DOMAIN": "agents.example", "LISTEN": "127.0.0.1:1",
           "API_SERVERS": " ".join(servers), "AUTHZ_SERVERS": " ".join(servers)}
    conf = subprocess.run([ROOT / "deploy/nginx/render"], env=env, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"proxy_next_upstream_tries (\d+);", conf)) == {str(tries)}
    assert re.findall(r"server (\S+) max_fails=0 backup;", conf) == (servers * 2 if tries else [])


def test_a_logout_at_one_router_is_known_to_the_other(own_edge):
    edge = own_edge(replicas=2)
    for _ in range(8):
        for replica in ("router-1", "router-2"):
            assert edge.authz(nginx_headers(edge), replica)[0] == 200
    assert edge.suite.http("POST", "/v1/auth/logout", {}, token=edge.alice).status == 204
    for replica in ("router-1", "router-2"):
        wait_until("out", lambda: edge.authz(nginx_headers(edge), replica)[0] == 401, 0.5)


# ---- the API's manners


def test_unknown_paths_and_wrong_methods(edge):
    for path in ("/v1", "/v1/", "/v1/nothing", "/v1/session/", "/v1/sessions/", "/v1/sessions/a/b", "/v1/auth", "/favicon.ico", "/v1/sessions/" + "a" * 65):
        answer = edge.suite.http("GET", path, token=edge.alice)
        assert (answer.status, answer.code) == (404, "not_found"), path
    for path, allow in {"/v1/session": "GET", "/v1/sessions": "GET, DELETE", "/v1/auth/verify": "POST", "/v1/assets": "GET",
                        "/v1/sessions/" + "0" * 32: "DELETE", "/v1/events": "GET"}.items():
        for method in ("OPTIONS", "PATCH", "PUT"):
            answer = edge.suite.http(method, path, token=edge.alice)
            assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "method_not_allowed", allow), (method, path)
            assert not [h for h in answer.headers if h.lower().startswith("access-control")]


def test_every_answer_is_hardened_and_every_error_a_problem(edge):
    for answer in (edge.suite.http("GET", "/v1/session", token=edge.alice), edge.suite.http("GET", "/v1/session"), edge.suite.http("GET", "/v1/nothing"),
                   edge.suite.http("GET", "/"), edge.suite.http("GET", "/nothing"), edge.suite.http("GET", "/v1/session", host="evil.example")):
        h = answer.headers
        assert "frame-ancestors 'none'" in h["Content-Security-Policy"] and len(h.get_all("Content-Security-Policy")) == 1
        assert (h["X-Content-Type-Options"], h["Referrer-Policy"]) == ("nosniff", "no-referrer")
        assert (h["Cross-Origin-Resource-Policy"], h["Cross-Origin-Opener-Policy"]) == ("same-origin", "same-origin")
        assert h["Strict-Transport-Security"] is None  # http on a loopback name
        if answer.status != 200:
            assert h["Content-Type"] == "application/problem+json" and h["Cache-Control"] == "no-store"
            assert {"type", "title", "status", "code", "request_id"} <= answer.json.keys() and answer.json["status"] == answer.status


def test_bodies_are_read_strictly(edge):
    wallet = edge.suite.wallet("alice").address
    cases = {
        b"": "body_invalid", b"{": "body_invalid", b"[]": "body_invalid", b"null": "body_invalid", b'"x"': "body_invalid",
        b'{"wallet":1}': "body_invalid", b'{"wallet":null}': "body_invalid", b"{}": "body_invalid",
        b'{"wallet":"%s","more":1}' % wallet.encode(): "body_invalid",
        b'{"wallet":"%s","wallet":"%s"}' % (wallet.encode(), wallet.encode()): "body_invalid",
        b'{"wallet":"%s"} x' % wallet.encode(): "body_invalid",
        b'{"wallet":"\xff"}': "body_invalid", b'{"wallet":"\\ud800"}': "body_invalid", b'{"wallet":"\\u0000"}': "body_invalid",
        b'{"wallet":"' + b"1" * 45 + b'"}': "body_invalid",
        b'{"wallet":"x"}': "wallet_invalid", b'{"wallet":""}': "wallet_invalid",
        b'{"wallet":"0%s"}' % wallet[1:].encode(): "wallet_invalid",
        b'{"wallet":"%s"}' % wallet[:-3].encode(): "wallet_invalid",
        b'{"wallet":"%s","asset":""}' % wallet.encode(): "asset_invalid",
        b'{"wallet":"%s","asset":"l%s"}' % (wallet.encode(), wallet[1:].encode()): "asset_invalid",
        b'{"a":' * 3000 + b"1" + b"}" * 3000: "body_invalid",
    }
    for body, expected in cases.items():
        answer = edge.suite.http("POST", "/v1/auth/challenge", body, headers={"Content-Type": "application/json"})
        assert (answer.status, answer.code) == (400, expected), (body[:80], answer.body)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "multipart/form-data"):
        answer = edge.suite.http("POST", "/v1/auth/challenge", {"wallet": wallet}, headers={"Content-Type": content_type})
        assert (answer.status, answer.code) == (400, "body_invalid"), content_type
    large = b'{"wallet":"' + b" " * 65536 + b'"}'
    answer = edge.suite.http("POST", "/v1/auth/challenge", large)
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert edge.suite.http("POST", "/v1/auth/challenge", {"wallet": wallet}, headers={"Content-Type": "application/json; charset=utf-8"}).status == 200


def test_verify_reads_its_fields_strictly(edge):
    wallet = edge.suite.wallet("alice")
    good = {"nonce": "0" * 32, "wallet": wallet.address, "signature": "1" * 64}
    for change, expected in (({"signature": "x"}, "body_invalid"), ({"signature": "1" * 63}, "body_invalid"), ({"signature": "1" * 65}, "body_invalid"),
                             ({"signed_message": "%%%"}, "body_invalid"), ({"signed_message": "QQ"}, "body_invalid"),
                             ({"signed_message": base64.b64encode(b"a" * 2049).decode()}, "body_invalid"), ({"wallet": "x"}, "wallet_invalid"),
                             ({"nonce": "0" * 65}, "body_invalid"), ({"more": "x"}, "body_invalid")):
        answer = edge.suite.http("POST", "/v1/auth/verify", {**good, **change})
        assert (answer.status, answer.code) == (400, expected), change
    for nonce in ("0" * 32, "", "x", "../../etc", "0" * 64):
        answer = edge.suite.http("POST", "/v1/auth/verify", {**good, "nonce": nonce})
        assert (answer.status, answer.code) == (401, "nonce_unknown"), nonce


def test_assets_reads_its_query_strictly(edge):
    wallet = edge.suite.wallet("alice").address
    assert edge.suite.http("GET", f"/v1/assets?wallet={wallet}").status == 200
    for query in ("", "?", f"?wallet={wallet}&x=1", f"?x=1&wallet={wallet}", "?wallet", "?wallet=" + "1" * 45, f"?Wallet={wallet}"):
        answer = edge.suite.http("GET", f"/v1/assets{query}")
        assert (answer.status, answer.code) == (400, "query_invalid"), query
    for query in ("?wallet=", "?wallet=x", f"?wallet={wallet[:-3]}", f"?wallet=%31{wallet[3:]}"):
        answer = edge.suite.http("GET", f"/v1/assets{query}")
        assert (answer.status, answer.code) == (400, "wallet_invalid"), query


def test_changes_from_another_origin_are_refused(edge):
    token, _ = edge.sign_in("alice")
    jti = edge.suite.http("GET", "/v1/session", token=token).json["jti"]
    for origin in ("null", "http://evil.example", edge.origin, edge.suite.url + "/", edge.suite.url.upper(), edge.suite.url.replace("http:", "https:")):
        for method, path, body in (("POST", "/v1/auth/challenge", {"wallet": Wallet().address}), ("POST", "/v1/auth/logout", {}),
                                   ("DELETE", "/v1/sessions", None), ("DELETE", f"/v1/sessions/{jti}", None)):
            answer = edge.suite.http(method, path, body, token=token, headers={"Origin": origin})
            assert (answer.status, answer.code) == (403, "origin_refused"), (origin, path)
    assert edge.suite.session_status(token) == 200
    assert edge.suite.http("POST", "/v1/auth/logout", {}, token=token, headers={"Origin": edge.suite.url}).status == 204
    assert edge.suite.session_status(token) == 401


def test_ending_a_session_that_is_not_there(edge):
    for jti in ("0" * 32, "x", "0" * 31, "A" * 32, "%30" * 10):
        answer = edge.suite.http("DELETE", f"/v1/sessions/{jti}", token=edge.alice)
        assert (answer.status, answer.code) == (404, "not_found"), jti
    # another asset's session is not there either
    bobs = edge.suite.http("GET", "/v1/session", token=edge.bob).json["jti"]
    assert edge.suite.http("DELETE", f"/v1/sessions/{bobs}", token=edge.alice).status == 404
    assert edge.suite.session_status(edge.bob) == 200
    for method, path, body in (("POST", "/v1/auth/logout", {}), ("DELETE", "/v1/sessions", None), ("GET", "/v1/sessions", None), ("GET", "/v1/events", None)):
        answer = edge.suite.http(method, path, body)
        assert (answer.status, answer.code) == (401, "session_missing"), path


# ---- event streams


class Stream:
    def __init__(self, edge, token):
        self.socket = socket.create_connection(("127.0.0.1", edge.suite.port), timeout=5)
        self.socket.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {edge.authority}\r\nCookie: {COOKIE}={token}\r\nConnection: close\r\n\r\n".encode())
        self.data = b""

    def read_until(self, text, seconds=3):
        until = time.monotonic() + seconds
        self.socket.settimeout(0.2)
        while text not in self.data and time.monotonic() < until:
            try:
                chunk = self.socket.recv(4096)
            except TimeoutError:
                continue
            if not chunk:
                break
            self.data += chunk
        return self.data

    def close(self):
        self.socket.close()


def test_a_stream_tells_the_owner_and_nobody_else(edge):
    watching, other = Stream(edge, edge.alice), Stream(edge, edge.bob)
    assert b"200 OK" in watching.read_until(b": ping") and b"text/event-stream" in watching.data
    other.read_until(b": ping")
    token, _ = edge.sign_in("alice")
    assert b'"kind":"session"' in watching.read_until(b'"kind":"session"')
    event = json.loads(re.search(rb"data: (\{.*\})", watching.data)[1])
    assert event["asset"] == edge.suite.asset_of("alice") and event["at"].endswith("Z")
    ended = Stream(edge, token)
    ended.read_until(b": ping")
    assert edge.suite.http("POST", "/v1/auth/logout", {}, token=token).status == 204
    assert b"event: session_ended" in ended.read_until(b"0\r\n\r\n") and b'"reason":"session_revoked"' in ended.data
    assert b'"kind":"logout"' in watching.read_until(b'"kind":"logout"')
    assert b"session_ended" not in watching.data
    assert b"data:" not in other.data
    for stream in (watching, other, ended):
        assert edge.alice.encode() not in stream.data
        stream.close()


def test_streams_are_few_for_one_asset(own_edge):
    edge = own_edge(MULTICLAW_STREAMS_PER_ASSET=3)
    streams = [Stream(edge, edge.alice) for _ in range(3)]
    for stream in streams:
        assert b"200 OK" in stream.read_until(b": ping")
    answer = edge.suite.http("GET", "/v1/events", token=edge.alice)
    assert (answer.status, answer.code) == (429, "streams_exhausted") and answer.headers["Retry-After"]
    bobs = Stream(edge, edge.bob)
    assert b"200 OK" in bobs.read_until(b": ping")
    streams[0].close()

    def room():
        again = Stream(edge, edge.alice)
        streams.append(again)
        return b"200 OK" in again.read_until(b"\r\n\r\n")

    wait_until("room again", room, 5, every=0.1)


def test_a_transfer_ends_streams_and_decisions(own_edge):
    edge = own_edge()
    assert edge.as_alice()[0] == 200
    stream = Stream(edge, edge.alice)
    stream.read_until(b": ping")
    edge.suite.transfer(edge.suite.asset_of("alice"), edge.suite.wallet("bob"))
    assert b"event: session_ended" in stream.read_until(b"0\r\n\r\n", 5)
    assert edge.as_alice()[0] == 401


# ---- operations


def test_nothing_written_down_holds_a_token_a_cookie_or_a_query(edge):
    edge.as_alice("/with?ticket=secret-in-a-query")
    edge.as_alice("/.multiclaw/enter?ticket=secret-ticket")
    edge.request("/v1/session", host=edge.authority, cookie=f"{COOKIE}={edge.alice}; k=secret-cookie")
    time.sleep(0.2)
    log = edge.suite.state / "log"
    assert '"path":"/with"' in (log / "nginx-access.log").read_text()
    for path in log.iterdir():
        text = path.read_text(errors="replace")
        for secret in (edge.alice, edge.alice.split(".")[2], edge.alice_in, "secret-in-a-query", "secret-ticket", "secret-cookie", ".multiclaw"):
            assert secret not in text, (path.name, secret)


def test_decisions_are_counted_without_names(edge):
    for _ in range(5):
        assert edge.as_alice()[0] == 200
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(edge.suite.state / "run/router-1.ops"))
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        s.settimeout(5)
        text = read_all(s).decode()
    hits = re.search(r'multiclaw_decisions_total\{outcome="allowed",source="hit"\} (\d+)', text)
    assert hits and int(hits[1]) >= 4
    assert 'multiclaw_decision_seconds_bucket{source="hit"' in text
    for secret in (edge.alice, edge.agent, edge.suite.asset_of("alice"), edge.suite.wallet("alice").address, "127.0.0.1"):
        assert secret not in text
