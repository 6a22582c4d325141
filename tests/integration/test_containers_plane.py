"""What passes between an owner's browser and the agent's container, through the real edge, with agents that do their worst.

SOCKETS=1000 cuts so many at once (default: 100). PLANE_REPORT=file collects what was measured.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import pathlib
import socket
import struct
import threading
import time

import pytest

from plane_parts import Agent, Plane, cut_by, ending_event, percentile, read_head, read_on, told
from suite import SANITIZED, wait_until
from test_edge import AGENT_COOKIE, COOKIE, code, parse

SOCKETS = int(os.environ.get("SOCKETS", "100"))
GIB = 1 << 30
BLOCK = memoryview(b"x" * (1 << 20))
HTML = [("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")]


@pytest.fixture(scope="module")
def plane(containers):
    made = Plane(with_demo=True, MULTICLAW_EDGE_CONNECTIONS=2 * SOCKETS + 200, MULTICLAW_EDGE_RATE=100000)
    yield made
    made.stop()


@pytest.fixture
def alice(plane):
    """A hostile agent that has seen nothing yet; signed in to again if the test before ended that."""
    return fresh(plane.hostile[0])


@pytest.fixture
def bob(plane):
    return fresh(plane.hostile[1])


def fresh(agent):
    if agent.ask("/forget")[0] == 401:
        agent.sign_in()
    agent.is_up("/forget")
    return agent


# ---- large, long, quick


def upload(agent, target, size, chunked):
    s = agent.open(target, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}", "Connection: close", method="POST")
    with s:
        for _ in range(size // len(BLOCK)):
            if chunked:
                s.sendall(b"%x\r\n" % len(BLOCK))
            s.sendall(BLOCK)
            if chunked:
                s.sendall(b"\r\n")
        if chunked:
            s.sendall(b"0\r\n\r\n")
        return parse(read_on(s))


def download(agent, target):
    """How many bytes of the answer came, its head and what frames chunks among them."""
    total, into = 0, bytearray(1 << 20)
    with agent.open(target, "Connection: close") as s:
        while n := s.recv_into(into):
            total += n
    return total


@pytest.mark.parametrize("chunked", [False, True], ids=["by length", "in chunks"])
def test_a_gibibyte_passes_both_ways_and_nothing_of_it_is_kept(plane, alice, chunked):
    with plane.unbuffered():
        began = time.monotonic()
        status, _, body = upload(alice, "/sink", GIB, chunked)
        up = time.monotonic() - began
        assert (status, body) == (200, b"%d" % GIB)
        began = time.monotonic()
        assert GIB <= download(alice, f"/{'chunks' if chunked else 'bytes'}?{GIB}") < GIB + (1 << 22)
        told(f"1 GiB {'in chunks' if chunked else 'by length'}: up {up:.1f} s, down {time.monotonic() - began:.1f} s")


def test_the_demo_agent_takes_and_gives_large_bodies_too(plane):
    size = 256 << 20
    with plane.unbuffered():
        assert upload(plane.demo, "/sink", size, True)[0] == upload(plane.demo, "/sink", size, False)[0] == 200
        assert download(plane.demo, f"/source?bytes={size}") >= size


def test_the_first_bytes_of_an_upload_arrive_before_the_last_are_sent(alice):
    with alice.open("/sink", f"Content-Length: {GIB}", method="POST") as s:
        s.sendall(b"x")
        wait_until("the agent has seen it", lambda: b"POST /sink" in alice.ask("/seen")[2], 5)


def test_an_upload_without_a_session_is_refused_before_its_body(alice):
    with alice.open("/sink", f"Content-Length: {GIB}", "Cookie: x=y", f"Cookie: {alice.cookie}", method="POST") as s:
        assert read_head(s)[0] == 401
    assert b"/sink" not in alice.seen()


def test_websocket_messages_come_back_and_events_arrive_at_once(alice):
    with alice.upgraded() as s:
        trips = []
        for n in range(300):
            began = time.monotonic()
            s.sendall(b"%08d" % n)
            assert s.recv(64) == b"%08d" % n
            trips.append(time.monotonic() - began)
    ages, data = [], b""
    with alice.open("/sse?10") as s:
        read_head(s)
        while len(ages) < 100:
            chunk = s.recv(65536)
            assert chunk, "closed"
            data += chunk
            now = time.monotonic_ns()
            *events, data = data.split(b"\n\n")  # (each in a chunk of its own)
            ages += [(now - int(event.split()[-1])) / 1e9 for event in events if b"data: " in event]
    told(f"WebSocket echo: p50 {percentile(trips, .5) * 1e3:.2f} ms, p99 {percentile(trips, .99) * 1e3:.2f} ms; "
         f"event's age: p50 {percentile(ages, .5) * 1e3:.2f} ms, p99 {percentile(ages, .99) * 1e3:.2f} ms")
    assert percentile(trips, .5) < 0.02 and percentile(ages, .5) < 0.05


# ---- what the agent is told (rules 1, 3)

SPOOFED = ["X-Original-Host", "X-Original-URI", "X-Original-Method", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-For", "X-Forwarded-Host",
           "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-User", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP",
           "Tailscale-User-Login", "Tailscale-User-Name", "X-OpenClaw-Scopes", "X-OpenClaw-Token", "X-OpenClaw-Session-Key", "X-Multiclaw-Cookie",
           "X-Multiclaw-Agent-Token", "X-Multiclaw-Upstream", "Proxy-Authorization", "Proxy", "X-Accel-Redirect", "Via", "TE", "Trailer"]


def test_what_a_client_claims_never_reaches_the_agent(alice):
    spoofed = [(spelled, "spoofed") for name in SPOOFED for spelled in (name, name.replace("-", "_"))] + [("Authorization", "Bearer spoofed"), ("Connection", "close, Authorization, Cookie")]
    cookie = f"a=1; {AGENT_COOKIE}={alice.inside}; __host-multiclaw-state=spoofed; {COOKIE}={alice.token}; b=2"
    status, _, head = alice.ask("/reflect", spoofed, cookie=cookie)
    assert status == 200, head
    assert b"spoofed" not in head and alice.inside.encode() not in head and alice.token.encode() not in head
    lines = [line.partition(": ")[::2] for line in head.decode().split("\r\n")[1:] if line]
    seen = {name.lower(): value for name, value in lines}
    assert len(seen) == len(lines), "nothing is said twice"
    assert (seen["host"], seen["cookie"], seen["connection"], seen["x-real-ip"]) == (alice.host, "a=1; b=2", "close", "127.0.0.1")
    assert seen["x-forwarded-host"] == alice.host and seen["x-forwarded-for"] == "127.0.0.1" and "forwarded" not in seen
    assert seen["authorization"].startswith("Bearer ") and len(seen["authorization"]) > 30


def test_the_gateways_token_is_an_agents_own_secret_and_opens_nothing_from_outside(plane, alice, bob):
    """An agent knows its token and may write it into a body or a header of its own: nobody can keep it from that. It is worth nothing to who reads it there."""
    def token_of(agent):
        status, headers, _ = agent.ask("/reflect")
        assert not headers.get("X-Multiclaw-Agent-Token")
        return headers.get("X-Reflected").removeprefix("Bearer ") if status == 200 else None

    token, other = token_of(alice), token_of(bob)
    assert len(token) >= 32 and token != other
    assert alice.ask("/reflect", [("Authorization", f"Bearer {token}")], cookie="")[0] == 401
    assert bob.ask("/reflect", [("Authorization", f"Bearer {token}")])[1].get("X-Reflected") == f"Bearer {other}", "and not in place of another's"
    assert alice.ask("/", cookie=f"{AGENT_COOKIE}={token}")[0] == 401
    # what is honest does not say it
    for target in ("/", "/status", "/nothing", "/app.js"):
        _, headers, body = plane.demo.ask(target, HTML)
        assert b"Bearer" not in body and not any("Bearer" in value for _, value in headers) and not headers.get("Authorization")
    for path in (plane.suite.state / "log").iterdir():
        assert token not in path.read_text(errors="replace"), path.name
    assert plane.suite.http("POST", "/v1/agent/restart", {}, token=alice.token).status == 202
    wait_until("another start, another token", lambda: token_of(alice) not in (None, token), 30, every=0.2)


# ---- what the agent says (rule 2)

DROPPED = ["X-Accel-Redirect: /_authz", "X-Accel-Buffering: yes", "X-Accel-Limit-Rate: 1", "X-Accel-Charset: utf-7", "X-Accel-Expires: @1",
           "X-Multiclaw-Asset: x", "X-Multiclaw-Wallet: x", "X-Multiclaw-Upstream: 127.0.0.1:1", "X-Multiclaw-Agent-Token: x", "X-Multiclaw-Cookie: x",
           "X-Multiclaw-Status: 503", "X-Multiclaw-Reason: x", 'Clear-Site-Data: "*"', 'Alt-Svc: h2=":1"', "NEL: {}", "Report-To: {}",
           'Reporting-Endpoints: a="https://evil.example"']


@pytest.mark.parametrize("spell", [str, str.lower, str.upper], ids=["as usual", "lower", "upper"])
def test_headers_that_would_outlive_the_page_are_dropped_in_any_case(alice, spell):
    lines = [spell(line.split(":")[0]) + ":" + line.split(":", 1)[1] for line in DROPPED]
    for eol in ("\r\n", "\n"):
        status, headers, body = alice.say(eol.join(["HTTP/1.1 200 OK", *lines, "X-Good: 1", "Content-Length: 5", "", "hello"]).encode())
        assert (status, body, headers.get("X-Good")) == (200, b"hello", "1")
        assert not {name.lower() for name, _ in headers} & {line.split(":")[0].lower() for line in DROPPED}


@pytest.mark.parametrize("name", ["X-Accel-Redirect", "x-accel-redirect", "X-ACCEL-REDIRECT"])
@pytest.mark.parametrize("target", ["/_authz", "/.multiclaw/enter", "/_problem", "@verdict", "/", "/v1/session", "/../conf/nginx.conf"])
def test_an_internal_redirect_is_the_agents_only_on_paper(alice, name, target):
    status, headers, body = alice.say(f"HTTP/1.1 200 OK\r\n{name}: {target}\r\nContent-Length: 4\r\n\r\nmine".encode())
    assert (status, body) == (200, b"mine") and not headers.get(name)
    assert not any(n.lower().startswith("x-multiclaw") for n, _ in headers) and not headers.get("Set-Cookie")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_passed_on_and_followed_by_nobody(plane, alice, bob, status):
    for location in (f"http://{bob.host}/stolen", "http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "/_authz", "//evil.example/"):
        got, headers, body = alice.say(f"HTTP/1.1 {status} There\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
        assert (got, headers.get("Location"), body) == (status, location, b"")
    assert b"stolen" not in bob.seen()


def test_a_cookie_is_for_the_agents_own_name(alice):
    spelled = ["Domain=localhost", "domain=.localhost", "DOMAIN=evil.example", "Domain = localhost", "Domain=LOCALHOST", " Domain=localhost ", "Domain=", "domain=a;Domain=b"]
    status, headers, _ = alice.say("\r\n".join(["HTTP/1.1 200 OK", *(f"Set-Cookie: n{i}=v;{text}; Path=/" for i, text in enumerate(spelled)), "", ""]).encode())
    assert status == 200
    own = f"{alice.id}.localhost"
    for line in headers.all("Set-Cookie"):
        domains = [part.partition("=")[2].strip().lower() for part in line.split(";")[1:] if part.partition("=")[0].strip().lower() == "domain"]
        assert domains and set(domains) <= {own, ""}, line


def test_our_own_cookies_planted_by_an_agent_open_nothing(plane, alice, bob):
    """nginx cannot leave out a single Set-Cookie. So: no planted value is anybody's session, of any agent, and the way in overwrites it."""
    planted = [f"{name}=planted; Path=/; Secure; HttpOnly" for name in (COOKIE, AGENT_COOKIE, "__Host-multiclaw-state")]
    _, headers, _ = alice.say("\r\n".join(["HTTP/1.1 200 OK", *(f"Set-Cookie: {line}" for line in planted), "", ""]).encode())
    assert headers.all("Set-Cookie") == planted
    # junk, another owner's session, the console's: none is this agent's
    for value, status in (("planted", 401), (bob.inside, 403), (alice.token, 401), (bob.token, 401), ("", 401)):
        assert alice.ask("/mine", cookie=f"{AGENT_COOKIE}={value}")[0] == status
    # a second one beside the good one locks its owner out of this agent, and of nothing else, until the next way in
    assert alice.ask("/mine", cookie=f"{AGENT_COOKIE}=planted; {alice.cookie}")[0] == 401
    assert plane.suite.session_status(alice.token) == 200 and plane.suite.enter(alice.token)
    # nor do they reach an agent, whoever set them
    head = alice.ask("/reflect", cookie=f"{alice.cookie}; {COOKIE}=planted; __Host-multiclaw-state=planted; __host-multiclaw-x=planted")[2]
    assert b"planted" not in head and b"/mine" not in alice.seen()


def test_a_planted_state_cookie_neither_makes_a_ticket_nor_uses_one(plane, alice):
    suite, known = plane.suite, "A" * 43
    host, opening = suite.opening(alice.token)
    # the page sets its own over what was there before
    page = suite.http("GET", "/.multiclaw/enter", host=host, headers={"Cookie": f"__Host-multiclaw-state={known}"})
    state = page.cookie("__Host-multiclaw-state")
    assert state and state != known
    # who knows the state has no opening, who has the ticket not the state that it is bound to
    assert suite.entry(host, "ticket", {"opening": known}, known).status == 401
    ticket = suite.entry(host, "ticket", {"opening": opening}, state).json["ticket"]
    assert suite.entry(host, "session", {"ticket": ticket}, known).status == 401
    # two of them are none
    assert suite.entry(host, "session", {"ticket": ticket}, f"{known}; __Host-multiclaw-state={state}").status == 401


GARBAGE = {
    "nothing": b"", "no HTTP": b"hello\r\n\r\n", "half a head": b"HTTP/1.1 200 OK\r\nX-A: b", "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 3900, "NUL in a header": b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 99\r\n\r\nx", "a length of letters": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "a bare 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nPRI",
    "a second answer": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nSet-Cookie: second=1\r\nContent-Length: 6\r\n\r\nSECOND",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_one_answer_to_one_request(alice, name):
    """Two requests on the client's connection: what the agent says to the first is never the answer to the second."""
    with alice.open(f"/raw?{GARBAGE[name].hex()}") as s:
        s.settimeout(3)
        with contextlib.suppress(OSError):
            s.sendall(alice.head("/slow?1", "Connection: close"))
        got = read_on(s)
    assert b"SECOND" not in got and b"second=1" not in got
    assert got.count(b"HTTP/1.1 ") <= 2 and not got.startswith(b"PRI")
    assert alice.ask("/")[0] == 200


# ---- smuggling and hosts (rule 6)


def smuggling(front, back, marker):
    """name: bytes to nginx, all on one connection. Two readers would find the marked request in them, one reader does not."""
    hidden = f"GET /{marker} HTTP/1.1\r\nHost: {back.host}\r\nCookie: {back.cookie}\r\nX-Pad: "
    whole = f"{hidden}\r\nConnection: close\r\n\r\n"

    def post(*headers, body=whole, version="1.1", target="/sink"):
        lines = [f"POST {target} HTTP/{version}", f"Host: {front.host}", f"Cookie: {front.cookie}", f"Origin: http://{front.host}", *headers, "", ""]
        return ("\r\n".join(lines) + body).encode("latin-1")

    length, chunk = len(whole), f"{len(whole):x}\r\n{whole}\r\n0\r\n\r\n"
    return {
        "CL.TE": post("Content-Length: 6", "Transfer-Encoding: chunked", body=f"0\r\n\r\n{whole}"),
        "TE.CL": post("Transfer-Encoding: chunked", "Content-Length: 4", body=chunk),
        "TE.TE": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=f"0\r\n\r\n{whole}"),
        "TE.TE x": post("Transfer-Encoding: xchunked", body=f"0\r\n\r\n{whole}"),
        "TE list": post("Transfer-Encoding: identity, chunked", body=f"0\r\n\r\n{whole}"),
        "TE tab": post("Transfer-Encoding:\tchunked", f"Content-Length: {length}"),
        "TE vertical tab": post("Transfer-Encoding: \x0bchunked", body=f"0\r\n\r\n{whole}"),
        "TE space before colon": post("Transfer-Encoding : chunked", body=f"0\r\n\r\n{whole}"),
        "TE folded": post("Transfer-Encoding:\r\n chunked", body=f"0\r\n\r\n{whole}"),
        "TE in 1.0": post("Transfer-Encoding: chunked", body=chunk, version="1.0"),
        "TE after a bare LF": post("X-A: b\nTransfer-Encoding: chunked", f"Content-Length: {length}"),
        "TE after a bare CR": post("X-A: b\rTransfer-Encoding: chunked", f"Content-Length: {length}"),
        "two CL": post("Content-Length: 0", f"Content-Length: {length}"), "two CL, one line": post(f"Content-Length: 0, {length}"),
        "two same CL": post(f"Content-Length: {length}", f"Content-Length: {length}"), "CL with a sign": post("Content-Length: +0"),
        "CL negative": post("Content-Length: -1"), "CL in hex": post("Content-Length: 0x0"), "CL huge": post("Content-Length: 18446744073709551616"),
        "CL with an underscore": post("Content_Length: 0", f"Content-Length: {length}"), "obs-fold": post("X-A: b", f" Content-Length: {length}"),
        "NUL in a value": post("X-A: \0", "Content-Length: 0"), "NUL in a name": post("X-\0A: b", "Content-Length: 0"),
        "chunk size that overflows": post("Transfer-Encoding: chunked", body=f"10000000000000000\r\n{whole}0\r\n\r\n"),
        "chunk size with 0x": post("Transfer-Encoding: chunked", body=f"0x0\r\n\r\n{whole}"),
        "chunk size with a sign": post("Transfer-Encoding: chunked", body=f"+0\r\n\r\n{whole}"),
        "chunk longer than said": post("Transfer-Encoding: chunked", body=f"1\r\n{whole}\r\n0\r\n\r\n"),
        "two hosts": post(f"Host: {back.host}", f"Content-Length: {length}"),
        "another host in absolute form": post(f"Content-Length: {length}", target=f"http://{back.host}/{marker}"),
        "HEAD with a body": post(f"Content-Length: {length}").replace(b"POST ", b"HEAD ", 1),
        "HEAD in chunks": post("Transfer-Encoding: chunked", body=chunk).replace(b"POST ", b"HEAD ", 1),
        "upgrade that is none": post("Upgrade: websocket", "Connection: Upgrade", f"Content-Length: {length}"),
        "body by length": post(f"Content-Length: {length}"), "body in chunks": post("Transfer-Encoding: chunked", body=chunk),
        "chunks with extensions": post("Transfer-Encoding: chunked", body=f"{length:x};a=\"\r\n\"\r\n{whole}\r\n0\r\n\r\n"),
        "trailers": post("Transfer-Encoding: chunked", body=f"1\r\nx\r\n0\r\nX-Trailer: {marker}\r\nContent-Length: 9\r\n\r\n"),
        "0.9": f"GET /{marker}\r\n".encode(), "0.9 with a version": f"GET /{marker} HTTP/0.9\r\nHost: {back.host}\r\nCookie: {back.cookie}\r\n\r\n".encode(),
        "1.0 without a host": f"GET /{marker} HTTP/1.0\r\nCookie: {back.cookie}\r\n\r\n".encode(),
    }


SMUGGLING = list(smuggling(*[type("", (), {"host": "", "cookie": "", "id": ""})] * 2, ""))


@pytest.mark.parametrize("name", SMUGGLING)
def test_no_hidden_request_reaches_any_agent(plane, alice, bob, name):
    """Hidden: one for the other agent, with the other owner's good cookie, and one for the same."""
    for back in (bob, alice):
        if back is alice and "absolute" in name:
            continue  # nothing differs
        marker = f"hidden{time.monotonic_ns()}"
        attack = smuggling(alice, back, marker)[name]
        answer = plane.raw(attack, 0.25)
        assert parse(answer)[0] in (0, 200, 400, 403, 404, 411, 421, 501, 505), answer[:200]
        assert answer.count(b"HTTP/1.1 ") <= 1, "one request, one answer"
        for agent in (alice, bob):
            heads = agent.seen()
            assert marker.encode() not in heads and b"+++ " not in heads, heads
        # the API does not take it either
        answer = plane.raw(attack.replace(alice.host.encode(), plane.suite.authority.encode()).replace(b"/sink", b"/v1/auth/challenge"), 0.1)
        assert answer.count(b"HTTP/1.1 ") <= 1 and marker.encode() not in answer
        assert marker.encode() not in alice.seen() + bob.seen()


HOSTS = ["{ID}.{d}", "{id}.{D}", "{id}.localhost.:{p}", "{id}.{d}.", "{id}.localhost", "{id}.localhost:80", "{id}.localhost:0{p}", "x.{id}.{d}", "{id}x.{d}", "x{id}.{d}",
         "{id}%2elocalhost:{p}", "%61{id}.{d}", "{id}.localhost@evil.example", "evil.example@{id}.{d}", "a:b@{id}.{d}", "{id}.{d}@localhost", "{id}.{d}/", "{id}.{d}#", "{id}.{d}?",
         "[{id}.{d}]", "{id}..{d}", "{id}\u3002localhost:{p}", "xn--{id}.{d}", "{id}.xn--localhost:{p}", "{id},{other}.{d}", "{id}.{d}, {other}.{d}", "{id}.{d} {other}.{d}",
         "{id}.{d}\t", "http://{id}.{d}", "{id}.{d}\\", "{id}.127.0.0.1:{p}", "{id}.{d}:{p}", "*.{d}", ".{d}", "{id}"]


@pytest.mark.parametrize("spell", HOSTS)
def test_a_host_in_another_spelling_reaches_no_agent(plane, alice, bob, spell):
    port = plane.suite.port
    host = spell.format(id=bob.id, ID=bob.id.upper(), other=alice.id, d=f"localhost:{port}", D=f"LOCALHOST:{port}", p=port)
    marker = f"spelled{time.monotonic_ns()}"
    for owner in (alice, bob):
        lines = [f"GET /{marker} HTTP/1.1", f"Host: {host}", f"Cookie: {owner.cookie}", "Connection: close", "", ""]
        status, headers, _ = parse(plane.raw("\r\n".join(lines).encode(), 3))
        # white space around a value is none of it
        assert status in (400, 421) or (status, owner is bob, host.strip()) in ((200, True, bob.host), (403, False, bob.host)), status
    assert marker.encode() not in alice.seen()
    assert host.strip() == bob.host or marker.encode() not in bob.seen()


def test_a_host_that_is_said_twice_or_differs_from_the_line_reaches_no_agent(plane, alice, bob):
    for line, *hosts in ((f"http://{alice.host}", bob.host), (f"http://{bob.host}", alice.host), ("", alice.host, bob.host), ("", bob.host, alice.host),
                         (f"https://{bob.host}", alice.host), (f"http://x@{bob.host}", alice.host), (f"http://{bob.host}.", bob.host), ("", alice.host, alice.host)):
        text = "".join([f"GET {line}/twice HTTP/1.1\r\n", *(f"Host: {host}\r\n" for host in hosts), f"Cookie: {bob.cookie}\r\nConnection: close\r\n\r\n"])
        assert parse(plane.raw(text.encode(), 3))[0] in (400, 421), text
    assert b"twice" not in alice.seen() + bob.seen()


def test_heads_beyond_the_limits_are_answered_by_us(plane, alice):
    for headers in ([("X-Long", "a" * 9000)], [(f"X-{i}", "a" * 500) for i in range(60)]):
        status, _, body = alice.ask("/large", headers)
        assert (status, code(body)) == (431, "headers_too_large")
    assert alice.ask("/large" + "a" * 9000)[0] == 414
    assert b"/large" not in alice.seen()


def test_two_owners_at_one_time_never_get_each_others_answers(plane, alice, bob):
    """A connection of one client, kept alive, with both owners' requests in turn."""
    with socket.create_connection(("127.0.0.1", plane.suite.port), timeout=10) as s:
        for n in range(60):
            agent = (alice, bob)[n % 2]
            s.sendall(agent.head(f"/raw?{answer_of(agent).hex()}"))
            data = b""
            while not data.endswith(agent.id.encode()):
                chunk = s.recv(65536)
                assert chunk, data
                data += chunk


def answer_of(agent):
    return f"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{agent.id}".encode()


# ---- endings (rule 10)


def logout(plane, agent):
    assert plane.suite.http("POST", "/v1/auth/logout", {}, token=agent.token).status == 204


def end_all(plane, agent):
    assert plane.suite.http("DELETE", "/v1/sessions", token=agent.token).status == 200


def revoke(plane, agent):
    plane.suite.cli("revoke", "--asset", agent.asset)


def transfer(plane, agent):
    plane.suite.transfer(agent.asset, plane.suite.wallet("bob"))


def hold(agent, n):
    """Connections of each kind, all of them in use."""
    opened = [agent.upgraded() for _ in range(n)]
    assert not [s for s in opened if isinstance(s, int)]
    # (a stream whose end is its connection's ends as it should when the agent dies, and the client's connection would be kept for the next request)
    opened.append(agent.open("/sse?20", "Connection: close"))
    opened.append(agent.open(f"/bytes?{GIB}", "Connection: close", rcvbuf=65536))
    opened.append(agent.open("/sink", f"Content-Length: {GIB}", method="POST"))
    opened[-1].sendall(b"x" * 65536)
    opened.append(agent.open("/sink", "Transfer-Encoding: chunked", method="POST"))
    opened[-1].sendall(b"5\r\nhello\r\n")
    for s in opened[-4:-2]:
        read_head(s)
    return opened


def measure(plane, agent, end, n):
    opened = hold(agent, n)
    asset = agent.asset
    cut = cut_by(opened, lambda: end(plane, agent))
    at, kind = ending_event(plane.suite, asset)
    waits = [when - at for when in cut]
    told(f"{end.__name__} (event {kind}) with {len(cut)} connections: first {waits[0] * 1e3:.0f} ms, p50 {percentile(waits, .5) * 1e3:.0f}, "
         f"p99 {percentile(waits, .99) * 1e3:.0f}, last {waits[-1] * 1e3:.0f} ms after the event")
    for s in opened:
        s.close()
    return waits


@pytest.mark.parametrize("end", [logout, end_all, revoke], ids=lambda end: end.__name__)
def test_the_end_of_a_session_cuts_what_it_had_open(plane, alice, end):
    assert measure(plane, alice, end, 20)[-1] < 1
    assert alice.ask("/")[0] == 401
    assert isinstance(alice.upgraded(), int)


def test_many_sockets_are_cut_at_once(plane, alice):
    assert measure(plane, alice, logout, SOCKETS)[-1] < 1


def test_another_session_of_the_same_owner_comes_back_by_itself(plane, alice):
    other = Agent(plane.suite, "alice")
    opened = [alice.upgraded(), other.upgraded()]
    cut_by(opened, lambda: logout(plane, alice))
    assert alice.upgraded() == 401
    with other.upgraded() as s:
        s.sendall(b"again")
        assert s.recv(16) == b"again"


def test_another_agents_connections_are_not_touched(plane, alice, bob):
    with bob.upgraded() as s:
        cut_by([alice.upgraded()], lambda: logout(plane, alice))
        s.sendall(b"still here")
        assert s.recv(16) == b"still here"


def most_after_the_cut():
    """What nginx has written towards the client (the listener's sndbuf, which Linux doubles), and what the kernel holds of the agent's for nginx, a size that
    nginx cannot set: the host's tcp_rmem."""
    return int(pathlib.Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2]) + (2 << 20)


@pytest.mark.parametrize("target", ["/stream", "/ws-stream", f"/bytes?{GIB}", f"/chunks?{GIB}"])
def test_a_reader_that_does_not_read_gets_little_after_the_cut(plane, alice, target):
    watch = alice.upgraded()
    s = alice.upgraded(target) if target.startswith("/ws") else alice.open(target)
    got = 0
    while got < 64 << 20:  # at full speed first: windows grow
        chunk = s.recv(1 << 20)
        assert chunk, "closed"
        got += len(chunk)
    time.sleep(0.3)  # and then not at all, until every buffer on the way is full
    cut_by([watch], lambda: logout(plane, alice))
    queued = waiting_in(s)
    late = 0
    s.settimeout(5)
    with contextlib.suppress(ConnectionError):
        while chunk := s.recv(1 << 20):
            late += len(chunk)
    s.close()
    told(f"{target}: {queued >> 10} KiB lay at the reader, {(late - queued) >> 10} KiB came after the cut")
    assert late - queued < most_after_the_cut()


def waiting_in(s):
    return struct.unpack("i", fcntl.ioctl(s, 0x541B, b"\0" * 4))[0]  # FIONREAD


# ---- limits (rule 28)


def test_one_agent_has_so_many_connections_and_the_next_is_told_so(plane, alice, bob):
    most = SOCKETS + 100
    opened = []
    for _ in range(most + 20):
        opened.append(alice.upgraded())
    refused = [s for s in opened if isinstance(s, int)]
    assert set(refused) == {429} and most - 5 <= len(opened) - len(refused) <= most
    status, headers, body = alice.ask("/")
    assert (status, code(body), headers.get("Retry-After")) == (429, "rate_limited", "1")
    # of this address to this agent, that is
    assert bob.ask("/")[0] == 200 and plane.suite.session_status(alice.token) == 200
    assert alice.ask("/", source="127.0.0.2")[0] == 200
    for s in opened:
        if not isinstance(s, int):
            s.close()
    alice.is_up()


async def flood(agent, until, count):
    while time.monotonic() < until:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", agent.suite.port, local_addr=("127.0.0.2", 0))
            for _ in range(50):
                writer.write(agent.head("/"))
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                await reader.readexactly(5)
                count.append(1)
            writer.close()


def test_a_flood_at_one_agent_leaves_the_other_its_answers(plane, alice, bob):
    def times(seconds):
        taken, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            assert bob.ask("/")[0] == 200
            taken.append(time.monotonic() - began)
        return taken

    alone, count = times(1.5), []

    async def all_of_them():
        await asyncio.gather(*(flood(alice, time.monotonic() + 4, count) for _ in range(30)))

    thread = threading.Thread(target=lambda: asyncio.run(all_of_them()))
    thread.start()
    time.sleep(0.5)
    beside = times(2.5)
    thread.join()
    told(f"one request: alone p50 {percentile(alone, .5) * 1e3:.1f} p99 {percentile(alone, .99) * 1e3:.1f} ms, beside a flood of {len(count) / 4:.0f}/s: "
         f"p50 {percentile(beside, .5) * 1e3:.1f} p99 {percentile(beside, .99) * 1e3:.1f} ms")
    assert SANITIZED or percentile(beside, .99) < 1


# ---- the sale; last, for the agent is another's afterwards


def test_a_sale_cuts_everything_and_the_container_is_gone(plane, alice):
    waits = measure(plane, alice, transfer, 20)
    assert waits[-1] < 1
    assert alice.ask("/")[0] == 401


# ---- asleep, late, silent


@pytest.fixture(scope="module")
def sleepy(containers):
    made = Plane(agents=("alice",), MULTICLAW_SANDBOX_IDLE_S=1, MULTICLAW_EDGE_RATE=100000)
    yield made
    made.stop()


def put_to_sleep(agent):
    wait_until("it sleeps", lambda: agent.state() == "sleeping", 20, every=0.1)


def test_a_request_wakes_a_sleeping_agent_and_is_its_answer(sleepy):
    agent, answers, waits = sleepy.hostile[0], [], []
    for _ in range(4):
        put_to_sleep(agent)
        began = time.monotonic()
        answers.append(agent.ask("/")[0])
        waits.append(time.monotonic() - began)
        agent.is_up()
    told(f"asked while asleep: {answers}, after {[f'{w * 1e3:.0f} ms' for w in waits]}")
    # on a loaded machine a start takes longer than a request is let wait
    assert all(answer == 200 or answer == 503 and wait > 0.5 for answer, wait in zip(answers, waits)) and max(waits) < 1.5


def test_an_agent_with_an_open_connection_does_not_fall_asleep(sleepy):
    agent = sleepy.hostile[0].is_up()
    with agent.upgraded() as s:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert agent.state() == "running"
            time.sleep(0.2)
        s.sendall(b"awake")
        assert s.recv(16) == b"awake"


def test_who_asks_an_agent_that_starts_slowly_is_told_to_come_again(sleepy):
    agent = sleepy.hostile[0].is_up()
    assert agent.ask("/late?3000")[0] == 200
    put_to_sleep(agent)
    status, headers, body = agent.ask("/")
    assert (status, code(body), headers.get("Retry-After")) == (503, "agent_starting", "1")
    assert headers.get("Content-Type") == "application/problem+json" and headers.get("Cache-Control") == "no-store"
    status, headers, body = agent.ask("/", HTML)
    assert (status, headers.get("Retry-After")) == (503, "1") and b"Your agent is waking up" in body
    assert headers.get("Content-Type") == "text/html; charset=utf-8" and "default-src 'none'" in headers.get("Content-Security-Policy")
    # a stranger wakes nobody, and is told nothing
    assert agent.ask("/", cookie="")[0] == 401
    agent.is_up()
    assert agent.ask("/late?0")[0] == 200


def test_an_agent_that_does_not_answer_is_a_502_and_a_page(sleepy):
    agent = sleepy.hostile[0].is_up()
    status, headers, body = agent.ask("/close")
    assert (status, code(body), headers.get("Retry-After")) == (502, "agent_unreachable", "1")
    status, headers, body = agent.ask("/close", HTML)
    assert status == 502 and headers.get("Content-Type") == "text/html; charset=utf-8" and headers.get("Retry-After") == "1"
    assert agent.ask("/exit")[0] == 502
    wait_until("it is started again by itself", lambda: agent.ask("/")[0] == 200, 20, every=0.2)


def test_a_stopped_agent_says_so_and_no_request_wakes_it(sleepy):
    agent = sleepy.hostile[0].is_up()
    assert sleepy.suite.http("POST", "/v1/agent/stop", {}, token=agent.token).status == 202
    wait_until("stopped", lambda: agent.state() == "stopped", 20, every=0.1)
    for _ in range(3):
        status, headers, body = agent.ask("/")
        assert (status, code(body), headers.get("Retry-After")) == (503, "agent_stopped", "30")
    status, _, body = agent.ask("/", HTML)
    assert status == 503 and b"Your agent is stopped" in body
    assert agent.state() == "stopped"
    assert sleepy.suite.http("POST", "/v1/agent/start", {}, token=agent.token).status == 202
    agent.is_up()
