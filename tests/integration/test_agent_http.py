"""An agent behind the edge: where its requests go, by the word of sandboxes that the test plays; the owner's API; the way onto its origin."""

import base64
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from bus_server import BusServer, Refusal, Silence
from suite import BIN, Suite, wait_until
from test_edge import AGENT_COOKIE, COOKIE, Echo, Edge, code, open_websocket, parse
from test_http_contract import check_answer

STATE_COOKIE = "__Host-multiclaw-state"
TOKEN = "gateway.token-of_this~boot+/="
HTML = [("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")]


class Hosts:
    """Two sandboxes; what each says of reach, state and the like is the test's."""

    def __init__(self):
        self.servers = {}
        self.reset()

    def reset(self):
        self.answers = {}
        for server in self.servers.values():
            server.asked.clear()

    def start(self, state):
        self.servers = {name: BusServer(state, "sandbox", name, lambda call, body, name=name: self.handle(name, call, body)).start()
                        for name in ("host-1", "host-2")}

    def stop(self):
        for server in self.servers.values():
            server.stop()

    def handle(self, name, call, body):
        answer = self.answers.get((name, call), self.answers.get(call))
        if answer is None:
            raise Refusal("not_found")
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def say(self, call, answer, host=None):
        self.answers[(host, call) if host else call] = answer

    def count(self, call, host=None):
        return sum(server.count(call) for name, server in self.servers.items() if host in (None, name))

    def asked(self, call):
        return [body for server in self.servers.values() for name, body in server.asked if name == call]


class Containers(Edge):
    """An Edge whose agents are where the sandboxes say."""

    def __init__(self, **settings):
        self.echo = Echo()
        self.port = int(self.echo.address.split(":")[1])
        self.hosts = Hosts()
        self.suite = Suite(MULTICLAW_SANDBOXES="host-1=ipc://run/host-1.bus,host-2=ipc://run/host-2.bus", MULTICLAW_AGENTS_NETWORK="127.0.0.0/16",
                           MULTICLAW_AGENTS_PORT=self.port, **settings)
        try:
            self.suite.start()
            self.hosts.start(self.suite.state)
            self.alice, self.agent = self.sign_in("alice")
            self.bob, self.other = self.sign_in("bob")
            self.enter()
        except BaseException:
            self.stop()
            raise
        self.authority = self.suite.authority
        self.host = f"{self.agent}.{self.authority}"
        self.origin = f"http://{self.host}"
        wait_until("both hosts", lambda: "2 of 2 ready" in self.suite.cli("--json", "status", "--without", "sandbox", check=False).stdout, 20)

    def stop(self):
        self.hosts.stop()
        super().stop()

    def running(self, **more):
        return {"state": "running", "boot_id": "ab" * 16, "image": f"demo@sha256:{'0' * 64}", "started_ms": int(time.time() * 1000),
                "upstream": self.echo.address, "agent_token": TOKEN, "good_ms": 60000, **more}

    def event(self, kind="agent", asset=None):
        """What the ledger writes, and no bell."""
        redis = self.suite.redis()
        redis.xadd("mc:events", {"h": redis.hget("mc:history", "id"), "a": asset or self.suite.asset_of("alice"), "k": kind})

    def place(self, host, asset=None):
        """What the ledger says of an agent's place; None: nobody has it."""
        key = f"mc:place:{asset or self.suite.asset_of('alice')}"
        if host:
            self.suite.redis().set(key, host)
        else:
            self.suite.redis().delete(key)

    def place_of(self):
        host = self.suite.redis().get(f"mc:place:{self.suite.asset_of('alice')}")
        return host.decode() if isinstance(host, bytes) else host

    def restart_router(self):
        before = self.suite.kill("router-1")
        wait_until("another router", lambda: self.suite.pid("router-1") != before, 10)

        def decides():
            try:
                return self.decide()[0] == 200
            except OSError:
                return False

        wait_until("it decides", decides, 20)

    def decide(self):
        return self.authz([("Host", "router"), ("X-Original-Host", self.host), ("X-Original-Method", "GET"), ("X-Original-URI", "/"),
                           ("Cookie", f"{AGENT_COOKIE}={self.alice_in}")])


@pytest.fixture(scope="module")
def shared_edge():
    made = Containers()
    yield made
    made.stop()


@pytest.fixture
def edge(shared_edge):
    """As if nothing was known of any agent, and no event on its way that would take a place away. A host that has it not makes router forget which has."""
    shared_edge.hosts.reset()
    shared_edge.place(None)
    shared_edge.hosts.say("sandbox.reach", shared_edge.running())
    wait_until("a place", lambda: shared_edge.decide()[0] == 200, 3)
    shared_edge.hosts.say("sandbox.reach", {"host": "host-9"})
    shared_edge.event()
    wait_until("the place is forgotten", lambda: shared_edge.decide()[1].get("X-Multiclaw-Reason") == "agent_host_unavailable", 3)
    shared_edge.hosts.reset()
    return shared_edge


# ---- the decision


def test_a_miss_asks_the_sandbox_and_a_hit_does_not(edge):
    edge.hosts.say("sandbox.reach", edge.running())
    for _ in range(5):
        status, headers, body = edge.decide()
        assert (status, body) == (200, b"")
        assert headers.get("X-Multiclaw-Upstream") == edge.echo.address and headers.get("X-Multiclaw-Agent-Token") == TOKEN
    assert edge.hosts.count("sandbox.reach") == 1
    (asked,) = edge.hosts.asked("sandbox.reach")
    assert asked["token"] == edge.alice_in and 100 <= asked["wait_ms"] <= 900
    seen = edge.seen_by_agent(headers=[("Authorization", "Bearer mine")])
    assert seen["authorization"] == f"Bearer {TOKEN}" and "cookie" not in seen
    assert edge.hosts.count("sandbox.reach") == 1
    for path in (edge.suite.state / "log").iterdir():
        assert TOKEN not in path.read_text(errors="replace"), path.name


def test_a_place_is_kept_no_longer_than_the_sandbox_says(edge):
    edge.hosts.say("sandbox.reach", edge.running(good_ms=0))
    for _ in range(3):
        assert edge.decide()[0] == 200
    assert edge.hosts.count("sandbox.reach") == 3
    edge.hosts.say("sandbox.reach", edge.running(good_ms=300))
    assert edge.decide()[0] == edge.decide()[0] == 200 and edge.hosts.count("sandbox.reach") == 4
    wait_until("asked again", lambda: edge.decide()[0] == 200 and edge.hosts.count("sandbox.reach") == 5, 2)


@pytest.mark.parametrize("answer, reason, retry", [
    ({"state": "starting"}, "agent_starting", "1"),
    ({"state": "sleeping"}, "agent_starting", "1"),
    ({"state": "stopped"}, "agent_stopped", "30"),
    ({"state": "failed", "why": "it ended by itself"}, "agent_failed", "30"),
    ({"state": "nonsense"}, "service_unavailable", "2"),
    ({}, "service_unavailable", "2"),
    (Refusal("unavailable", "vault_sealed"), "service_unavailable", "2"),
    (Refusal("internal"), "service_unavailable", "2"),
    (Refusal("busy", "host_full"), "host_full", "30"),
    (Refusal("invalid", "egress_invalid"), "agent_failed", "30"),
    (Refusal("not_found"), "agent_failed", "30"),
    (Refusal("conflict", "vault_period_destroyed"), "agent_failed", "30"),
    (Refusal("unavailable", "image_invalid"), "service_unavailable", "2"),
])
def test_an_agent_that_is_not_there_is_told_beside_a_403(edge, answer, reason, retry):
    edge.hosts.say("sandbox.reach", answer)
    status, headers, _ = edge.decide()
    assert (status, headers.get("X-Multiclaw-Reason"), headers.get("X-Multiclaw-Status"), headers.get("Retry-After")) == (403, reason, "503", retry)
    status, headers, body = edge.as_alice()
    assert (status, code(body), headers.get("Retry-After")) == (503, reason, retry)
    assert not headers.get("X-Multiclaw-Upstream")


@pytest.mark.parametrize("refusal", [Refusal("unauthenticated", "session_revoked"), Refusal("denied")])
def test_a_sandbox_that_does_not_know_the_session_refuses_it(edge, refusal):
    edge.hosts.say("sandbox.reach", refusal)
    assert edge.decide()[0] == 401


@pytest.mark.parametrize("upstream", [
    "127.0.0.1:{other_port}", "127.1.0.1:{port}", "10.0.0.1:{port}", "169.254.169.254:80", "8.8.8.8:{port}", "[::1]:{port}", "localhost:{port}", "127.0.0.1",
    "127.0.0.1:{port}/x", "127.0.0.1:{port} ", "127.0.0.01:{port}", "127.1:{port}", "unix:/run/redis.sock", "", "127.0.0.1:0{port}", "127.0.0.1:{port}\r\nX: y",
])
def test_a_place_that_is_no_agents_is_refused_and_written_down(edge, upstream):
    text = upstream.format(port=edge.port, other_port=edge.suite.port)
    edge.hosts.say("sandbox.reach", edge.running(upstream=text))
    status, headers, _ = edge.decide()
    assert (status, headers.get("X-Multiclaw-Reason")) == (403, "service_unavailable") and not headers.get("X-Multiclaw-Upstream")
    assert "a place that is no agent's" in (edge.suite.state / "log/router-1.log").read_text()


@pytest.mark.parametrize("token", ["a b", "a\"b", "a\r\nX-Multiclaw-Upstream: 127.0.0.1:1", "ä", "a;b"])
def test_an_agents_token_that_would_change_a_header_is_refused(edge, token):
    edge.hosts.say("sandbox.reach", edge.running(agent_token=token))
    assert edge.decide()[1].get("X-Multiclaw-Reason") == "service_unavailable"


def test_an_agent_that_takes_no_token_gets_no_header(edge):
    edge.hosts.say("sandbox.reach", {k: v for k, v in edge.running().items() if k != "agent_token"})
    assert edge.decide()[1].get("X-Multiclaw-Agent-Token") is None
    assert "authorization" not in edge.seen_by_agent(headers=[("Authorization", "Bearer mine")])


def test_a_host_that_says_nothing_costs_a_second_at_most(edge):
    edge.hosts.say("sandbox.reach", Silence())
    began = time.monotonic()
    status, headers, body = edge.as_alice()
    assert (status, code(body)) == (503, "agent_host_unavailable") and time.monotonic() - began < 1.1
    edge.hosts.say("sandbox.reach", edge.running())
    assert edge.decide()[0] == 200


def hosts_of(edge):
    """The host that router chooses for alice's agent while nobody has it, and the other."""
    edge.hosts.reset()
    edge.hosts.say("sandbox.reach", {"state": "stopped"})
    edge.decide()
    (first,) = [name for name in ("host-1", "host-2") if edge.hosts.count("sandbox.reach", name)]
    edge.hosts.reset()
    return first, "host-2" if first == "host-1" else "host-1"


def asked_at_all(edge, host):
    return [call for call, _ in edge.hosts.servers[host].asked]


def reason(edge):
    return edge.decide()[1].get("X-Multiclaw-Reason")


def test_the_host_that_the_ledger_names_is_asked_and_no_other(edge):
    chosen, placed = hosts_of(edge)
    edge.place(placed)
    edge.hosts.say("sandbox.reach", edge.running(good_ms=0))
    edge.hosts.say("sandbox.state", {"state": "stopped"})
    for round in range(2):
        for _ in range(3):
            assert edge.decide()[0] == 200
        assert edge.suite.http("GET", "/v1/agent", token=edge.alice).status == 200
        assert len(asked_at_all(edge, placed)) >= 4 and asked_at_all(edge, chosen) == []
        if round == 0:
            edge.hosts.servers[placed].asked.clear()
            edge.restart_router()
    # full or silent: it is there all the same
    for answer, told in ((Refusal("busy", "host_full"), "host_full"), (Silence(), "agent_host_unavailable"), (Silence(), "agent_host_unavailable")):
        edge.hosts.say("sandbox.reach", answer, placed)
        assert reason(edge) == told and asked_at_all(edge, chosen) == []


def test_what_was_remembered_is_the_ledgers_word_and_no_hosts(edge):
    first, second = hosts_of(edge)
    edge.hosts.say("sandbox.reach", edge.running(good_ms=0), first)
    assert edge.decide()[0] == 200
    # started by another router, on another host
    edge.place(second)
    edge.hosts.say("sandbox.reach", edge.running(good_ms=0), second)
    for _ in range(3):
        assert edge.decide()[0] == 200
    assert (edge.hosts.count("sandbox.reach", first), edge.hosts.count("sandbox.reach", second)) == (1, 3)
    # moved: the host that was remembered says so, and the ledger to where
    edge.place(first)
    edge.hosts.say("sandbox.reach", {"host": "host-9"}, second)
    for _ in range(3):
        assert edge.decide()[0] == 200
    assert (edge.hosts.count("sandbox.reach", first), edge.hosts.count("sandbox.reach", second)) == (4, 4)


def test_a_host_that_an_agent_was_taken_from_is_asked_no_more(edge):
    first, second = hosts_of(edge)
    edge.place(first)
    for host in (first, second):
        edge.hosts.say("sandbox.reach", edge.running(good_ms=0), host)
    assert edge.decide()[0] == 200 and edge.hosts.count("sandbox.reach", first) == 1
    edge.suite.cli("agent", "move", edge.suite.asset_of("alice"), second, "--lost")
    wait_until("the other is asked", lambda: edge.decide()[0] == 200 and edge.hosts.count("sandbox.reach", second), 10)
    asked = edge.hosts.count("sandbox.reach", first)
    for _ in range(3):
        assert edge.decide()[0] == 200
    assert edge.hosts.count("sandbox.reach", first) == asked, "whatever it would answer: it may have been taken over"


def test_the_host_that_a_host_names_does_not_get_the_token(edge):
    chosen, placed = hosts_of(edge)
    edge.place(placed)
    edge.hosts.say("sandbox.reach", {"host": chosen}, placed)
    edge.hosts.say("sandbox.reach", edge.running(), chosen)
    for _ in range(3):
        assert reason(edge) == "agent_host_unavailable"
    assert asked_at_all(edge, chosen) == [] and edge.hosts.count("sandbox.reach", placed) == 3


def test_a_host_that_is_not_configured_is_unavailable(edge):
    edge.hosts.say("sandbox.reach", edge.running())
    edge.place("host-9")
    assert reason(edge) == "agent_host_unavailable" and edge.suite.http("GET", "/v1/agent", token=edge.alice).code == "agent_host_unavailable"
    assert asked_at_all(edge, "host-1") == asked_at_all(edge, "host-2") == []


def test_hosts_that_send_each_other_around_or_to_nowhere_are_unavailable(edge):
    for one, two in (("host-2", "host-1"), ("host-1", "host-2"), ("host-9", "host-9"), ("../x", "../x")):
        edge.hosts.say("sandbox.reach", {"host": one}, "host-1")
        edge.hosts.say("sandbox.reach", {"host": two}, "host-2")
        asked = edge.hosts.count("sandbox.reach")
        assert reason(edge) == "agent_host_unavailable" and edge.hosts.count("sandbox.reach") - asked <= 2
    # nobody has it, whatever the one says: the other may
    first, second = hosts_of(edge)
    edge.hosts.say("sandbox.reach", {"host": "../x"}, first)
    edge.hosts.say("sandbox.reach", edge.running(), second)
    assert edge.decide()[0] == 200


def test_a_full_host_passes_a_first_start_on(edge):
    first, second = hosts_of(edge)
    start = lambda: edge.suite.http("POST", "/v1/agent/start", {}, token=edge.alice)  # noqa: E731
    edge.hosts.say("sandbox.start", Refusal("busy", "host_full"), first)
    edge.hosts.say("sandbox.start", {"state": "starting"}, second)
    answer = start()
    assert (answer.status, answer.json["state"]) == (202, "starting")
    edge.hosts.say("sandbox.start", Refusal("busy", "host_full"), second)
    answer = start()
    assert (answer.status, answer.code) == (503, "host_full") and answer.headers["Retry-After"]
    assert edge.hosts.count("sandbox.start", second) == 2

    def takes_it_all_the_same(body):
        edge.place(first)
        raise Refusal("busy", "host_full")

    edge.hosts.say("sandbox.start", takes_it_all_the_same, first)
    for _ in range(2):
        assert start().code == "host_full" and edge.hosts.count("sandbox.start", second) == 2


def test_without_the_ledgers_word_nobody_gets_the_token(edge):
    """Redis stands still: the decision is 503 within its second, and no host has heard of it."""
    edge.hosts.say("sandbox.reach", edge.running())
    assert edge.decide()[0] == 200
    edge.hosts.reset()
    edge.event()
    wait_until("the place is gone", lambda: reason(edge) is not None, 3)
    edge.hosts.reset()
    pid = edge.suite.pid("redis")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        status, headers, _ = edge.decide()
        took = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (status, headers.get("X-Multiclaw-Reason")) == (403, "service_unavailable") and took < 1
    assert asked_at_all(edge, "host-1") == asked_at_all(edge, "host-2") == []
    edge.hosts.say("sandbox.reach", edge.running())
    wait_until("as before", lambda: edge.decide()[0] == 200, 10)


def test_questions_at_one_time_share_one_call(edge):
    gate = threading.Event()

    def slow(body):
        gate.wait(0.5)
        return edge.running()

    edge.hosts.say("sandbox.reach", slow)
    got = []
    asking = [threading.Thread(target=lambda: got.append(edge.decide()[0])) for _ in range(20)]
    [t.start() for t in asking]
    wait_until("asked", lambda: edge.hosts.count("sandbox.reach"), 2)
    time.sleep(0.1)
    gate.set()
    [t.join(5) for t in asking]
    assert got == [200] * 20 and edge.hosts.count("sandbox.reach") == 1


@pytest.mark.parametrize("kind", ["agent", "logout", "session", "transfer", "reset"])
def test_an_event_of_the_asset_takes_the_place_away(edge, kind):
    edge.hosts.say("sandbox.reach", edge.running())
    assert edge.decide()[0] == edge.decide()[0] == 200
    edge.event(kind)
    edge.hosts.say("sandbox.reach", {"state": "stopped"})
    wait_until("gone", lambda: edge.decide()[1].get("X-Multiclaw-Reason") == "agent_stopped", 1)


def test_another_assets_event_takes_nothing_away(edge):
    edge.hosts.say("sandbox.reach", edge.running())
    assert edge.decide()[0] == 200
    asked = edge.hosts.count("sandbox.reach")
    edge.event("agent", edge.suite.asset_of("bob"))
    time.sleep(0.6)
    assert edge.decide()[0] == 200 and edge.hosts.count("sandbox.reach") == asked


def test_an_answer_that_an_event_has_overtaken_is_asked_for_again(edge):
    began = threading.Event()

    def once_upon_a_time(body):
        if not began.is_set():
            began.set()
            edge.event()
            time.sleep(0.5)  # longer than a follower's round
            return edge.running(upstream=f"127.0.9.9:{edge.port}")
        return edge.running()

    edge.hosts.say("sandbox.reach", once_upon_a_time)
    assert edge.decide()[1].get("X-Multiclaw-Upstream") == edge.echo.address
    assert edge.hosts.count("sandbox.reach") == 2


def test_a_stranger_wakes_nobody(edge):
    edge.hosts.say("sandbox.reach", edge.running())
    for cookie in (None, f"{AGENT_COOKIE}=nonsense", f"{COOKIE}={edge.alice}", f"{AGENT_COOKIE}={edge.alice}", f"{AGENT_COOKIE}={edge.bob_in}",
                   f"{AGENT_COOKIE}={edge.alice_in}; {AGENT_COOKIE}={edge.alice_in}"):
        assert edge.request(cookie=cookie)[0] in (401, 403)
    assert edge.as_alice(headers=[("Origin", "http://evil.example")])[0] == 403
    assert edge.request("/sw.js", cookie=None, headers=[("Service-Worker", "script")])[0] == 401
    assert edge.hosts.count("sandbox.reach") == 0


def test_a_service_worker_needs_its_owners_word_for_that_agent(edge):
    def ask(value="script"):
        status, headers, body = edge.as_alice("/sw.js", headers=[("Service-Worker", value)])
        return (status, None) if status == 200 else (status, code(body))

    edge.hosts.say("sandbox.reach", edge.running(workers=False))
    for _ in range(2):  # a miss, a hit
        for value in ("script", "SCRIPT"):
            assert ask(value) == (403, "service_worker_refused")
        assert edge.as_alice()[0] == 200
    edge.event()
    edge.hosts.say("sandbox.reach", edge.running(workers=True))
    wait_until("allowed", lambda: ask() == (200, None), 3)
    asked = edge.hosts.count("sandbox.reach")
    assert ask() == (200, None) and edge.hosts.count("sandbox.reach") == asked
    edge.hosts.say("sandbox.reach", edge.running())
    edge.event()
    wait_until("the word is taken back", lambda: ask() == (403, "service_worker_refused"), 3)
    edge.hosts.say("sandbox.reach", {"state": "starting", "workers": True})
    edge.event()
    wait_until("not while it starts", lambda: ask() == (503, "agent_starting"), 3)


def test_a_place_where_nobody_answers_is_told_as_unreachable(edge):
    edge.hosts.say("sandbox.reach", edge.running(upstream=f"127.0.7.7:{edge.port}"))
    status, headers, body = edge.as_alice()
    assert (status, code(body), headers.get("Retry-After")) == (502, "agent_unreachable", "1")


# ---- who may ask what


def test_each_session_is_good_at_its_own_door_only(edge):
    edge.hosts.say("sandbox.reach", edge.running())
    edge.hosts.say("sandbox.state", {"state": "stopped"})
    assert edge.as_alice()[0] == 200
    assert edge.suite.http("GET", "/v1/agent", token=edge.alice).status == 200
    for path in ("/v1/session", "/v1/agent", "/v1/sessions", "/v1/events"):
        for cookie in (f"{COOKIE}={edge.alice_in}", f"{AGENT_COOKIE}={edge.alice_in}", f"{AGENT_COOKIE}={edge.alice}"):
            status, _, body = edge.request(path, host=edge.authority, cookie=cookie)
            assert (status, code(body)[:8]) == (401, "session_"), (path, cookie)
    for cookie in (f"{COOKIE}={edge.alice}", f"{COOKIE}={edge.alice_in}", f"{AGENT_COOKIE}={edge.alice}"):
        assert edge.request(cookie=cookie)[0] == 401
    answer = edge.suite.http("POST", "/v1/agent/open", {}, token=edge.alice_in)
    assert (answer.status, answer.code) == (401, "session_invalid")


# ---- the way in


def way_in(edge):
    """(opening, state) of a browser that has loaded the entry page."""
    host, opening = edge.suite.opening(edge.alice)
    assert host == edge.host
    return opening, edge.suite.http("GET", "/.multiclaw/enter", host=host).cookie(STATE_COOKIE)


def entry(edge, step, body, state=None, headers=None, host=None, method="POST"):
    return edge.suite.entry(host or edge.host, step, body, state, headers, method)


def test_the_entry_page_can_do_nothing_but_enter(edge):
    status, headers, body = edge.request("/.multiclaw/enter")
    assert status == 200 and headers.get("Content-Type") == "text/html; charset=utf-8"
    (cookie,) = headers.all("Set-Cookie")
    assert re.fullmatch(STATE_COOKIE + r"=[A-Za-z0-9_-]{43}; Path=/; Max-Age=120; HttpOnly; Secure; SameSite=Strict", cookie), cookie
    again = edge.request("/.multiclaw/enter")[1].get("Set-Cookie")
    assert again.split(";")[0] != cookie.split(";")[0], "new at each load"
    assert headers.get("Cache-Control") == "no-store" and headers.get("X-Content-Type-Options") == "nosniff"
    assert headers.get("Referrer-Policy") == "no-referrer" and headers.get("Cross-Origin-Opener-Policy") == "same-origin"
    policy = headers.get("Content-Security-Policy")
    assert len(headers.all("Content-Security-Policy")) == 1
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", body.decode(), re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert b"location.replace('/')" in body and f'href="http://{edge.authority}/"'.encode() in body
    for host in (edge.other, "a" * 32):
        assert edge.request("/.multiclaw/enter", host=f"{host}.{edge.authority}")[2] == body, "the same for every agent"


def test_an_opening_becomes_a_session_of_the_agents_origin(edge):
    opening, state = way_in(edge)
    ticket = entry(edge, "ticket", {"opening": opening}, state)
    assert ticket.status == 200 and set(ticket.json) == {"ticket"} and ticket.headers["Cache-Control"] == "no-store"
    assert not ticket.headers.get_all("Set-Cookie")
    answer = entry(edge, "session", {"ticket": ticket.json["ticket"]}, state)
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    session, cleared = answer.headers.get_all("Set-Cookie")
    found = re.fullmatch(AGENT_COOKIE + r"=([A-Za-z0-9._-]+); Path=/; Max-Age=(\d+); HttpOnly; Secure; SameSite=Strict", session)
    assert found and 604000 < int(found[2]) <= 604800
    assert cleared == f"{STATE_COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"
    edge.hosts.say("sandbox.reach", edge.running())
    assert edge.request(cookie=f"{AGENT_COOKIE}={found[1]}")[0] == 200
    assert found[1] not in answer.body.decode()
    # and out again
    left = entry(edge, "leave", {}, headers={"Cookie": f"{AGENT_COOKIE}={found[1]}"})
    assert left.status == 204 and left.headers["Set-Cookie"] == f"{AGENT_COOKIE}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"
    wait_until("out", lambda: edge.request(cookie=f"{AGENT_COOKIE}={found[1]}")[0] == 401, 1)
    assert edge.suite.session_status(edge.alice) == 200
    assert entry(edge, "leave", {}, headers={"Cookie": f"{AGENT_COOKIE}={found[1]}"}).status == 401
    assert entry(edge, "leave", {}).code == "session_missing"


def test_a_session_of_the_agents_origin_ends_with_the_consoles(edge):
    token, _ = edge.sign_in("alice")
    inside = edge.suite.enter(token)
    edge.hosts.say("sandbox.reach", edge.running())
    assert edge.request(cookie=f"{AGENT_COOKIE}={inside}")[0] == 200
    assert edge.suite.http("POST", "/v1/auth/logout", {}, token=token).status == 204
    wait_until("out", lambda: edge.request(cookie=f"{AGENT_COOKIE}={inside}")[0] == 401, 1)


def other_state():
    return base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def refused(answer, status=401, reason="ticket_unknown"):
    assert (answer.status, answer.code) == (status, reason), answer.body
    assert not answer.headers.get_all("Set-Cookie") and answer.headers["Content-Type"] == "application/problem+json"


def test_a_ticket_is_of_one_browser_one_agent_and_one_use(edge):
    opening, state = way_in(edge)
    ticket = entry(edge, "ticket", {"opening": opening}, state).json["ticket"]
    refused(entry(edge, "ticket", {"opening": opening}, state))
    # stolen by somebody with another browser: refused, and used up
    refused(entry(edge, "session", {"ticket": ticket}, other_state()))
    refused(entry(edge, "session", {"ticket": ticket}, state))
    for what, body in (("ticket", "opening"), ("session", "ticket")):
        opening, state = way_in(edge)
        value = opening if body == "opening" else entry(edge, "ticket", {"opening": opening}, state).json["ticket"]
        refused(entry(edge, what, {body: value}, state, host=f"{edge.other}.{edge.authority}"))
        opening, state = way_in(edge)
        value = opening if body == "opening" else entry(edge, "ticket", {"opening": opening}, state).json["ticket"]
        refused(entry(edge, what, {body: value}, None))
    opening, state = way_in(edge)
    refused(entry(edge, "session", {"ticket": opening}, state))
    # planted: the attacker's ticket in the victim's browser, whose page has set another state
    opening, state = way_in(edge)
    planted = entry(edge, "ticket", {"opening": opening}, state).json["ticket"]
    victim = edge.suite.http("GET", "/.multiclaw/enter", host=edge.host).cookie(STATE_COOKIE)
    refused(entry(edge, "session", {"ticket": planted}, victim))


def test_what_was_used_once_opens_nothing_twice(edge):
    opening, state = way_in(edge)
    ticket = entry(edge, "ticket", {"opening": opening}, state).json["ticket"]
    assert entry(edge, "session", {"ticket": ticket}, state).status == 200
    refused(entry(edge, "session", {"ticket": ticket}, state))


@pytest.mark.parametrize("headers", [
    {"Origin": None}, {"Origin": "null"}, {"Origin": "http://evil.example"}, {"Origin": "{console}"}, {"Origin": "{other}"}, {"Origin": "{own}/"},
    {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"},
])
def test_only_the_page_itself_may_ask(edge, headers):
    opening, state = way_in(edge)
    fill = {"console": edge.suite.url, "other": f"http://{edge.other}.{edge.authority}", "own": edge.origin}
    headers = {k: v and v.format(**fill) for k, v in headers.items()}
    for step, body in (("ticket", {"opening": opening}), ("session", {"ticket": opening}), ("leave", {})):
        refused(entry(edge, step, body, state, headers), 403, "origin_refused")
    assert entry(edge, "ticket", {"opening": opening}, state, {"Sec-Fetch-Site": None}).status == 200


def test_the_steps_are_read_strictly(edge):
    state = other_state()
    for body in ({}, {"opening": 1}, {"opening": "x", "more": "y"}, {"ticket": "x"}, [], "x", b"{"):
        answer = entry(edge, "ticket", body, state)
        assert (answer.status, answer.code) == (400, "body_invalid"), body
    for value in ("", "x", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "+", "A" * 3000):
        refused(entry(edge, "ticket", {"opening": value}, state))
    answer = entry(edge, "ticket", {"opening": "A" * 43}, state, {"Content-Type": "text/plain"})
    assert (answer.status, answer.code) == (400, "body_invalid")
    answer = entry(edge, "ticket", {"opening": "A" * 5000}, state)
    assert (answer.status, answer.code) == (413, "body_too_large")
    for method, step, allow in (("GET", "ticket", "POST"), ("GET", "session", "POST"), ("GET", "leave", "POST"), ("POST", "enter", "GET"), ("PUT", "ticket", "POST"),
                                ("OPTIONS", "session", "POST")):
        answer = entry(edge, step, {} if method != "GET" else None, state, method=method)
        assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "method_not_allowed", allow), (method, step)
    refused(entry(edge, "ticket", {"opening": "A" * 43}, headers={"Cookie": f"{STATE_COOKIE}={state}; {STATE_COOKIE}={state}"}), 401, "session_invalid")
    chunked = (f"POST /.multiclaw/ticket HTTP/1.1\r\nHost: {edge.host}\r\nOrigin: {edge.origin}\r\nContent-Type: application/json\r\nConnection: close\r\n"
               "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").encode()
    assert parse(edge.raw(chunked))[0] == 411


@pytest.mark.parametrize("path", [
    "/.multiclaw%2fticket", "//.multiclaw/ticket", "/.Multiclaw/ticket", "/.MULTICLAW/ticket", "/%2emulticlaw/ticket", "/.multiclaw//ticket", "/.multiclaw/./ticket",
    "/x/../.multiclaw/ticket", "/x/%2e%2e/.multiclaw/ticket", "/.multiclaw/ticket/", "/.multiclaw/../.multiclaw/ticket", "/.multiclaw/%74icket", "/.multiclaw",
    "/.multiclaw/", "/.multiclaw%2Fticket", "/.multiclaw/TICKET", "/.multiclaw/../v1/session", "/.multiclaw/nothing", "/.multiclaw%00/ticket",
])
def test_the_reserved_path_in_another_spelling_is_nobodys(edge, path):
    edge.hosts.say("sandbox.reach", edge.running())
    body = json.dumps({"opening": "S" * 43}).encode()
    status, headers, answer = edge.as_alice(path, method="POST", body=body, headers=[("Origin", edge.origin), ("Content-Type", "application/json")])
    if path == "/.multiclaw/../v1/session":  # the agent's own path, as nginx reads it
        assert status == 200 and json.loads(answer)["target"] == path
        return
    assert status in (400, 404) and b"SSSS" not in answer, (status, answer)
    assert edge.hosts.count("sandbox.reach") == 0


def test_the_api_is_not_on_an_agents_origin_and_the_way_in_not_on_the_consoles(edge):
    edge.hosts.say("sandbox.reach", edge.running())
    status, _, body = edge.request("/v1/session", cookie=f"{COOKIE}={edge.alice}; {AGENT_COOKIE}={edge.alice_in}")
    assert status == 200 and json.loads(body)["method"] == "GET", "it is the agent's path"
    for path in ("/.multiclaw/enter", "/.multiclaw/ticket"):
        assert edge.request(path, host=edge.authority)[0] == 404


def test_nothing_of_the_way_in_is_written_down(edge):
    logs = list((edge.suite.state / "log").iterdir())
    before = {path: path.stat().st_size for path in logs}
    opening, state = way_in(edge)
    ticket = entry(edge, "ticket", {"opening": opening}, state).json["ticket"]
    inside = entry(edge, "session", {"ticket": ticket}, state).cookie(AGENT_COOKIE)
    for path in ("/.multiclaw/x?ticket=aaaa", "/.multiclaw/enter?opening=aaaa", "/.Multiclaw/x"):
        edge.request(path)
    entry(edge, "ticket", {"opening": "A" * 5000}, state)
    time.sleep(0.2)
    for path in logs:
        text = path.read_bytes()[before[path]:].decode(errors="replace")
        for secret in (opening, ticket, state, inside, inside.split(".")[2], "aaaa", ".multiclaw", ".Multiclaw"):
            assert secret not in text, (path.name, secret)


# ---- pages


def test_a_browser_gets_pages_and_a_program_gets_problems(edge):
    page = lambda cookie=None, path="/some/where?q=1", headers=(), **kw: edge.request(path, cookie=cookie, headers=[*HTML, *headers], **kw)  # noqa: E731
    inside = f"{AGENT_COOKIE}={edge.alice_in}"
    told = {}
    for name, reach in (("starting", {"state": "starting"}), ("stopped", {"state": "stopped"}), ("failed", {"state": "failed"}),
                        ("unavailable", Refusal("internal")), ("full", Refusal("busy", "host_full")),
                        ("unreachable", edge.running(upstream=f"127.0.7.7:{edge.port}", good_ms=0))):
        edge.hosts.say("sandbox.reach", reach)
        told[name] = page(inside)
        status, headers, body = edge.as_alice()
        assert status == told[name][0] and headers.get("Content-Type") == "application/problem+json" and headers.get("Retry-After")
    told["signed out"] = page()
    assert {name: status for name, (status, _, _) in told.items()} == {
        "starting": 503, "stopped": 503, "failed": 503, "unavailable": 503, "full": 503, "unreachable": 502, "signed out": 401}
    for name, (status, headers, body) in told.items():
        text = body.decode()
        assert headers.get("Content-Type") == "text/html; charset=utf-8" and text.lstrip().startswith("<!doctype html>"), name
        policy = headers.get("Content-Security-Policy")
        nonce = re.search(r"script-src 'nonce-([0-9a-f]{32})'", policy)[1]
        assert f'<script nonce="{nonce}">' in text and "frame-ancestors 'none'" in policy and "default-src 'none'" in policy, name
        assert headers.get("Cache-Control") == "no-store" and headers.get("X-Content-Type-Options") == "nosniff", name
        assert f'href="http://{edge.authority}/"' in text and "$" not in text.replace("${", ""), name
        assert bool(headers.get("Retry-After")) == (name != "signed out"), name
    waits = {name: int(re.search(rb"wait = (\d+)", body)[1]) for name, (_, _, body) in told.items()}
    assert {n for n, w in waits.items() if w} == {"starting", "unreachable", "unavailable", "full"}, waits
    # all the same to a stranger
    assert {re.sub(rb"[0-9a-f]{32}", b"", page(host=f"{h}.{edge.authority}")[2]) for h in (edge.agent, edge.other, "a" * 32)} == {
        re.sub(rb"[0-9a-f]{32}", b"", told["signed out"][2])}
    # neither a form nor a WebSocket is answered with a page
    edge.hosts.say("sandbox.reach", {"state": "starting"})
    assert page(inside, method="POST", headers=[("Origin", edge.origin)])[1].get("Content-Type") == "application/problem+json"
    for token, expected in ((edge.alice_in, 503), ("nonsense", 401)):
        s, (status, headers, _) = open_websocket(edge, token, edge.origin)
        s.close()
        assert status == expected and headers.get("Content-Type") == "application/problem+json"
    # and what the agent itself says passes
    edge.hosts.say("sandbox.reach", edge.running())
    for status in (401, 403, 500, 502, 503):
        got, headers, _ = page(inside, f"/status?code={status}")
        assert got == status and headers.get("Content-Type") == "application/json"


# ---- the owner's API


def test_the_agent_as_its_owner_sees_it(edge):
    ask = lambda method, path, body=None, token=edge.alice, **kw: check_answer(  # noqa: E731
        edge.suite.http(method, path, body, token=token, **kw), method, path)
    edge.hosts.say("sandbox.state", {"state": "running", "started_ms": 1767323045678, "boot_id": "ab" * 16, "image": "demo@sha256:00"})
    shown = ask("GET", "/v1/agent").json
    assert shown == {"agent_id": edge.agent, "state": "running", "why": None, "url": edge.origin, "started_at": "2026-01-02T03:04:05.678Z", "boot_id": "ab" * 16,
                     "image": "demo@sha256:00", "snapshot": None}
    assert edge.hosts.asked("sandbox.state")[-1] == {"token": edge.alice}
    for word, state in (("start", "starting"), ("restart", "starting"), ("stop", "stopped")):
        edge.hosts.say(f"sandbox.{word}", {"state": state, "why": "a\x1b[2J\r\n\"\u202e<b>"})
        answer = ask("POST", f"/v1/agent/{word}", {})
        assert answer.status == 202 and answer.json["state"] == state and answer.json["boot_id"] is None
        assert answer.json["why"] == "a\x1b[2J\r\n\"\u202e<b>" and not set(answer.body) & {0x1b, 0x0a, 0x0d}
        assert ask("POST", f"/v1/agent/{word}", {"x": 1}).status == 400
        assert ask("POST", f"/v1/agent/{word}", {}, token=None).status == 401
        assert ask("POST", f"/v1/agent/{word}", {}, headers={"Origin": "http://evil.example"}).status == 403
        edge.hosts.say(f"sandbox.{word}", Refusal("unavailable", "vault_sealed"))
        assert ask("POST", f"/v1/agent/{word}", {}).code == "vault_sealed"
    assert ask("POST", "/v1/agent/open", {}).json["url"].startswith(f"{edge.origin}/.multiclaw/enter#")
    assert ask("POST", "/v1/agent/open", {}, token=None).status == 401
    edge.hosts.say("sandbox.state", Silence())
    assert ask("GET", "/v1/agent").code == "agent_host_unavailable"
    assert ask("GET", "/v1/agent", token=None).status == 401
    for path in ("/v1/agent/", "/v1/agent/nothing"):
        assert edge.suite.http("GET", path, token=edge.alice).status == 404
    answer = edge.suite.http("GET", "/v1/agent/start", token=edge.alice)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_the_last_lines_are_what_the_agent_wrote(edge):
    bytes_ = b"hello\nworld\x1b[31m\xff\n"
    edge.hosts.say("sandbox.logs", {"bytes": bytes_, "next": 20})
    answer = edge.suite.http("GET", "/v1/agent/logs", token=edge.alice)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, bytes_, "text/plain; charset=utf-8")
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "no-store"
    assert edge.hosts.asked("sandbox.logs")[-1] == {"token": edge.alice, "after": 0, "wait_ms": 0}
    for query in ("?follow=2", "?follow", "?x=1", "?follow=1&x=1"):
        assert edge.suite.http("GET", f"/v1/agent/logs{query}", token=edge.alice).code == "query_invalid"
    assert edge.suite.http("GET", "/v1/agent/logs").status == 401
    edge.hosts.say("sandbox.logs", Refusal("not_found"))
    assert edge.suite.http("GET", "/v1/agent/logs", token=edge.alice).status == 404


class Follow:
    """HTTP/1.0, so that nginx cuts nothing into chunks."""

    def __init__(self, edge, token, rcvbuf=None, path="/v1/agent/logs"):
        self.socket = socket.socket()
        self.socket.settimeout(5)
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.connect(("127.0.0.1", edge.suite.port))
        self.socket.sendall(f"GET {path}?follow=1 HTTP/1.0\r\nHost: {edge.authority}\r\nCookie: {COOKIE}={token}\r\n\r\n".encode())
        self.data = b""

    def until(self, what, seconds=5):
        end = time.monotonic() + seconds
        while what not in self.data and time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                chunk = self.socket.recv(65536)
            except TimeoutError:
                break
            if not chunk:
                break
            self.data += chunk
        assert what in self.data, self.data[-2000:]
        return self.data

    def rest(self):
        self.socket.settimeout(5)
        while chunk := self.socket.recv(65536):
            self.data += chunk
        return self.data

    @property
    def lines(self):
        return [json.loads(m)["line"] for m in re.findall(rb"event: log\ndata: (.*)\n\n", self.data)]


class Log:
    """What an agent writes; sandbox.logs as a sandbox would answer it."""

    def __init__(self):
        self.data, self.changed, self.lost = b"", threading.Condition(), False

    def write(self, data):
        with self.changed:
            self.data += data
            self.changed.notify_all()

    def answer(self, body):
        with self.changed:
            if body["after"]:
                self.changed.wait_for(lambda: len(self.data) > body["after"], body["wait_ms"] / 1000)
            part = self.data[body["after"]:][:65536]
            return {"bytes": part, "next": body["after"] + len(part), "lost": self.lost}


HOSTILE = [
    (b"\x1b[2Jcleared", "\x1b[2Jcleared"), (b"\r\rdata: {}", "\r\rdata: {}"), (b"event: session_ended", "event: session_ended"), (b"\xff\xfe", "\ufffd\ufffd"),
    (b"a\x00b", "a\ufffdb"), ("\u202eevil\u2028x".encode(), "\u202eevil\u2028x"), (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"), (b'"}\\', '"}\\'), (b"", ""), (b"crlf\r", "crlf"),
]


def test_who_follows_gets_each_line_as_a_string_whatever_it_holds(edge):
    log = Log()
    edge.hosts.say("sandbox.logs", log.answer)
    log.write(b"first\nsecond\n")
    follow = Follow(edge, edge.alice)
    head = follow.until(b'{"line":"second"}')
    assert b"200 OK" in head and b"text/event-stream" in head and follow.lines == ["first", "second"]
    for data, text in HOSTILE:
        log.write(data + b"\n")
    log.write(b"end\n")
    raw = follow.until(b'{"line":"end"}')
    assert follow.lines[2:-1] == [text for _, text in HOSTILE]
    assert not re.search(rb"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\xff]", raw.partition(b"\r\n\r\n")[2]), "nothing but ASCII"
    log.write(b"x" * 20000 + b"\n")
    log.write(b"behind it\n")
    follow.until(b'"behind it"')
    assert "".join(follow.lines[-4:-1]) == "x" * 20000
    log.write(b"a prompt> ")
    follow.until(b'{"line":"a prompt> "}', 13)
    log.lost = True
    log.write(b"after a gap\n")
    follow.until(b"event: lost")
    follow.socket.close()
    assert edge.hosts.asked("sandbox.logs")[-1]["token"] == edge.alice


def test_who_follows_loses_sight_with_the_session(edge):
    log = Log()
    edge.hosts.say("sandbox.logs", log.answer)
    log.write(b"before\n")
    token, _ = edge.sign_in("alice")
    follow = Follow(edge, token)
    follow.until(b'"before"')
    edge.event("session")
    log.write(b"between\n")
    follow.until(b'"between"')
    assert edge.suite.http("POST", "/v1/auth/logout", {}, token=token).status == 204
    time.sleep(0.5)
    log.write(b"after\n")
    ended = follow.rest()
    assert b"event: session_ended" in ended and b"session_revoked" in ended and "after" not in follow.lines
    answer = edge.suite.http("GET", "/v1/agent/logs?follow=1", token=token)
    assert answer.status == 401


def test_a_reader_of_logs_that_does_not_read_holds_little(edge):
    def endless(body):
        return {"bytes": (b"y" * 99 + b"\n") * 655, "next": body["after"] + 65500}

    edge.hosts.say("sandbox.logs", endless)
    pid = edge.suite.pid("router-1")
    resident = lambda: int(open(f"/proc/{pid}/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")  # noqa: E731
    before = resident()
    followers = [Follow(edge, edge.alice, 4096) for _ in range(4)]

    def rests():
        asked = edge.hosts.count("sandbox.logs")
        time.sleep(1)
        return edge.hosts.count("sandbox.logs") == asked

    wait_until("it asks only for what is read", rests, 20)
    assert resident() - before < 16 << 20
    followers[0].until(b"y" * 99)
    for follow in followers:
        follow.socket.close()


def test_events_name_the_agents(edge):
    with socket.create_connection(("127.0.0.1", edge.suite.port), timeout=5) as s:
        s.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {edge.authority}\r\nCookie: {COOKIE}={edge.alice}\r\n\r\n".encode())
        data = b""
        while b": ping" not in data:
            data += s.recv(4096)
        for kind in (b"agent", b"snapshot", b"secret"):
            edge.event(kind.decode())
            while b'"kind":"%s"' % kind not in data:
                data += s.recv(4096)
            assert b"event: %s\n" % kind in data


# ---- what stops the start


@pytest.mark.parametrize("settings", [
    {"MULTICLAW_SANDBOXES": "ipc://run/host-1.bus"}, {"MULTICLAW_SANDBOXES": "host-1="}, {"MULTICLAW_SANDBOXES": "=ipc://x"}, {"MULTICLAW_SANDBOXES": "Host=ipc://x"},
    {"MULTICLAW_SANDBOXES": "a=ipc://x,a=ipc://y"}, {"MULTICLAW_SANDBOXES": "a=nonsense"}, {"MULTICLAW_AGENTS_NETWORK": "10.0.0.1/16"},
    {"MULTICLAW_AGENTS_NETWORK": "10.0.0.0"}, {"MULTICLAW_AGENTS_NETWORK": "0.0.0.0/0"}, {"MULTICLAW_AGENTS_NETWORK": "fd00::/64"}, {"MULTICLAW_AGENTS_PORT": "0"},
])
def test_settings_that_name_no_place_stop_the_start(shared_edge, settings):
    env = {**shared_edge.suite.env, "MULTICLAW_REPLICA": "router-9", **shared_edge.suite.user_of("router"), **settings}
    done = subprocess.run([BIN / "multiclaw-router", "-c", "conf/suite.conf"], env=env, cwd=shared_edge.suite.state, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and next(iter(settings)).removeprefix("MULTICLAW_")[:8].lower() in done.stderr.lower() or "nonsense" in done.stderr, done.stderr
