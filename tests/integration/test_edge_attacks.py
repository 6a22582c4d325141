"""More attacks on the edge, on real parts: what is too large, what is cached, what stays open, who waits for whom, floods."""

import asyncio
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from suite import SANITIZED, wait_until
from test_edge import AGENT_COOKIE, COOKIE, code, edge, open_websocket, own_edge, parse, read_text, send_text  # noqa: F401 (fixtures)


def owner_request(edge, host, target="/v1/session", headers=(), cookie_size=0):
    """A request of alice's whose Cookie line has cookie_size bytes."""
    cookie = f"Cookie: {COOKIE}={edge.alice}; z=" if host == edge.authority else f"Cookie: {AGENT_COOKIE}={edge.alice_in}; z="
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", cookie + "c" * max(0, cookie_size - len(cookie)),
             *(f"{k}: {v}" for k, v in headers)]
    return parse(edge.raw("\r\n".join(lines).encode() + b"\r\n\r\n"))


@pytest.mark.parametrize("size", [7000, 8000, 8100, 8180, 8190, 8300])
def test_headers_as_large_as_nginx_takes_them_get_an_answer_of_ours(edge, size):  # noqa: F811
    for host in (edge.authority, edge.host):
        for name in ("User-Agent", "Service-Worker", "Accept"):
            headers = [(name, "u" * (size - len(name) - 2))]
            status, got, body = owner_request(edge, host, f"/v1/session?{'q' * 300}", headers, size)
            assert status in (200, 400, 403, 431), (host, name, status)
            # the API's answer is JSON whatever it says; what the agent answers is its own business
            assert got.get("Content-Type") in ("application/json", "application/problem+json"), (host, name, body)
            json.loads(body)


def test_each_problem_has_all_its_members(edge):  # noqa: F811
    answers = {
        "api": edge.request("/v1/session", host=edge.authority), "no such path": edge.request("/v1/x", host=edge.authority),
        "nginx 404": edge.request("/x", host=edge.authority), "unknown host": edge.request(host="evil.example"),
        "no session": edge.request(), "another's": edge.request(cookie=f"{AGENT_COOKIE}={edge.bob_in}"), "reserved": edge.as_alice("/.multiclaw/x"),
        "TRACE": edge.request("/v1/session", host=edge.authority, method="TRACE"), "agent is silent": edge.as_alice("/drop"),
        "too long": edge.request("/" + "a" * 9000),
    }
    for name, (status, headers, body) in answers.items():
        problem = json.loads(body)
        assert {"type", "title", "status", "detail", "code", "request_id"} <= problem.keys(), (name, problem)
        assert problem["status"] == status and all(problem.values()), (name, problem)
        assert headers.get("Content-Type") == "application/problem+json" and headers.get("Cache-Control") == "no-store", name


def test_wrong_methods_are_405_with_allow_wherever_they_are_refused(edge):  # noqa: F811
    for method, path in (("OPTIONS", "/"), ("POST", "/"), ("DELETE", "/"), ("TRACE", "/v1/session"), ("OPTIONS", "/v1/session"),
                         ("HEAD", "/v1/session")):
        status, headers, _ = edge.request(path, host=edge.authority, method=method)
        assert status == 405 and "GET" in headers.get("Allow", ""), (method, path, status)
    for method in ("GET", "HEAD"):
        assert edge.request("/", host=edge.authority, method=method)[0] == 200


def test_a_body_that_is_not_needed_is_read_strictly_too(edge):  # noqa: F811
    path = f"/v1/sessions/{'0' * 32}"
    for body, kind in ((b"junk", "text/plain"), (b"{}", "text/plain"), (b"junk", "application/json"), (b'{"all":true}', "application/json"),
                       (b"[]", "application/json")):
        status, _, answer = edge.request(path, host=edge.authority, method="DELETE", cookie=f"{COOKIE}={edge.alice}",
                                         headers=[("Content-Type", kind)], body=body)
        assert (status, code(answer)) == (400, "body_invalid"), body
    for body in (b"", b"{}"):
        status, _, answer = edge.request(path, host=edge.authority, method="DELETE", cookie=f"{COOKIE}={edge.alice}",
                                         headers=[("Content-Type", "application/json")], body=body)
        assert (status, code(answer)) == (404, "not_found")


def test_a_worker_cannot_come_from_the_browsers_cache(edge):  # noqa: F811
    """register('/sw.js', {updateViaCache: 'all'}) after fetch('/sw.js') asks nobody if the answer may be reused for it."""
    _, headers, _ = edge.as_alice("/respond?h=Cache-Control:%20max-age=31536000&h=Vary:%20Accept")
    assert "service-worker" in ", ".join(headers.all("Vary")).lower().split(", ")


def test_what_is_written_with_bare_line_feeds_is_one_request_and_names_one_agent(edge):  # noqa: F811
    """nginx takes a bare LF for the end of a line. Nothing behind it ever sees one: it writes each request anew."""
    other = f"{edge.other}.{edge.authority}"
    assert parse(edge.raw(f"GET / HTTP/1.1\nHost: {other}\nCookie: {AGENT_COOKIE}={edge.alice_in}\nConnection: close\n\n".encode()))[0] == 403
    assert parse(edge.raw(f"GET / HTTP/1.1\nHost: {other}\nHost: {edge.host}\nCookie: {AGENT_COOKIE}={edge.alice_in}\n\n".encode(), 1))[0] == 400
    smuggled = f"GET /smuggled HTTP/1.1\nHost: {edge.host}\nCookie: {AGENT_COOKIE}={edge.alice_in}\n\n"
    answer = edge.raw(f"POST /v1/auth/challenge HTTP/1.1\nHost: {edge.authority}\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n{smuggled}".encode(), 1)
    assert parse(answer)[0] == 400 and b"smuggled" not in answer
    seen = edge.seen_by_agent(headers=[("X-A", "b\nX-Real-IP: 6.6.6.6\nX-Original-Host: x\nAuthorization: stolen")])
    assert "6.6.6.6" not in seen.values() and "authorization" not in seen and "x-original-host" not in seen


def test_an_ended_session_opens_nothing_new_even_beside_what_it_had_open(own_edge):  # noqa: F811
    """What is open outlives its session until there are containers (ARCHITECTURE.md, rule 14): this says how far that goes."""
    edge = own_edge()  # noqa: F811
    suite = edge.suite
    s, (status, _, _) = open_websocket(edge, edge.alice_in, edge.origin)
    with s:
        assert status == 101
        suite.transfer(suite.asset_of("alice"), suite.wallet("bob"))
        wait_until("the seller is out", lambda: edge.as_alice()[0] == 401, 2)
        for _ in range(3):
            again, (status, _, _) = open_websocket(edge, edge.alice_in, edge.origin)
            again.close()
            assert status == 401
        # the connection itself carries no second request through the decision
        send_text(s, "GET / HTTP/1.1")
        assert read_text(s) == "GET / HTTP/1.1"


def test_a_decision_before_a_pause_is_no_decision_after_it(own_edge):  # noqa: F811
    """SIGSTOP for longer than a lease, the session ended meanwhile by the other router: not one allow when it wakes."""
    edge = own_edge(replicas=2)  # noqa: F811
    ask = [("Host", "router"), ("X-Original-Host", edge.host), ("X-Original-Method", "GET"), ("Cookie", f"{AGENT_COOKIE}={edge.alice_in}")]
    assert edge.authz(ask, "router-1")[0] == 200 and edge.authz(ask, "router-2")[0] == 200
    pid, got = edge.suite.pid("router-1"), []
    os.kill(pid, signal.SIGSTOP)
    try:
        asking = [threading.Thread(target=lambda: got.append(edge.authz(ask, "router-1")[0])) for _ in range(8)]
        for thread in asking:
            thread.start()
        assert wait_until("logged out by the other", lambda: edge.suite.http("POST", "/v1/auth/logout", {}, token=edge.alice).status, 5) in (204, 401)
        time.sleep(2.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    for thread in asking:
        thread.join(10)
    assert len(got) == 8 and set(got) <= {401, 403}, got
    wait_until("sees clearly again", lambda: edge.authz(ask, "router-1")[0] == 401, 5)


async def junk(port, host, until, seen, turn):
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for n in range(100):
                token = f"eyJ{turn}.{n}.{time.monotonic_ns()}." + "x" * 1900
                writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {AGENT_COOKIE}={token}; z={'c' * 5000}\r\n\r\n".encode())
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
                seen[int(head.split()[1])] = seen.get(int(head.split()[1]), 0) + 1
                if b"Connection: close" in head or time.monotonic() > until:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def resident(pid):
    return int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def flood(edge, seconds, connections=200):  # noqa: F811
    async def run():
        seen = {}
        await asyncio.gather(*(junk(edge.suite.port, edge.host, time.monotonic() + seconds, seen, i) for i in range(connections)))
        return seen
    return asyncio.run(run())


def test_a_flood_of_junk_tokens_costs_no_memory_and_no_owner(own_edge):  # noqa: F811
    edge = own_edge(MULTICLAW_EDGE_RATE="100000", MULTICLAW_EDGE_CONNECTIONS="4000")  # noqa: F811
    router, session = edge.suite.pid("router-1"), edge.suite.pid("session-1")
    flood(edge, 1)
    before = resident(router)
    seen = flood(edge, 3)
    assert seen.keys() <= {401, 503} and seen[401] > 500, seen
    assert SANITIZED or resident(router) - before < 8 << 20
    # nobody answers, the questions pile up: bounded too, and let go of
    os.kill(session, signal.SIGSTOP)
    try:
        seen = flood(edge, 3, 500)
    finally:
        os.kill(session, signal.SIGCONT)
    assert 200 not in seen and (SANITIZED or resident(router) - before < 64 << 20), seen
    wait_until("the owner is served", lambda: edge.as_alice()[0] == 200, 5)


def test_readers_that_do_not_read_hold_little(own_edge):  # noqa: F811
    edge = own_edge()  # noqa: F811
    suite, readers = edge.suite, []
    for _ in range(16):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", suite.port))
        s.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {edge.authority}\r\nCookie: {COOKIE}={edge.alice}\r\n\r\n".encode())
        assert s.recv(12) == b"HTTP/1.1 200"
        readers.append(s)
    assert not stream_opens(edge)
    before = resident(suite.pid("router-1"))
    for _ in range(100):
        token = suite.sign_in(suite.wallet("alice"), suite.asset_of("alice"))
        assert suite.http("POST", "/v1/auth/logout", {}, token=token).status == 204
    assert SANITIZED or resident(suite.pid("router-1")) - before < 4 << 20
    assert edge.as_alice()[0] == 200
    for s in readers:
        s.close()
    wait_until("closed", lambda: stream_opens(edge), 5)


def stream_opens(edge):  # noqa: F811
    with socket.create_connection(("127.0.0.1", edge.suite.port), timeout=5) as s:
        s.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {edge.authority}\r\nCookie: {COOKIE}={edge.alice}\r\n\r\n".encode())
        return s.recv(64).startswith(b"HTTP/1.1 200")
