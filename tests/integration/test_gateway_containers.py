"""Agents in real containers use llm-gateway: real vault, sandbox, warden, a provider that speaks TLS. The key arrives there and is nowhere in between."""

import json
import os
import pathlib
import re
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import pytest

from container_parts import ROLES, import_image
from container_suite import ContainerSuite, Owner, read
from gateway_parts import Provider, key_in
from leak_scanner import LeakScanner
from plane_parts import ending_event, told
from suite import Suite, Wallet, wait_until

BEARER = {"header": "authorization", "prefix": "Bearer "}


class LlmSuite(ContainerSuite):
    def __init__(self, **settings):
        self.provider = Provider()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-llm-"))
        file = self.folder / "providers.json"
        url = self.provider.url
        file.write_text(json.dumps({"providers": [
            {"name": "openai", "env": ["OPENAI_API_KEY"], "base_url": url, "auth": BEARER, "paths": ["/v1/"], "shape": "openai",
             "base_url_env": "OPENAI_BASE_URL", "client_path": "/v1"},
            {"name": "anthropic", "env": ["ANTHROPIC_API_KEY"], "base_url": url, "auth": {"header": "x-api-key"}, "paths": ["/v1/messages"], "shape": "anthropic",
             "base_url_env": "ANTHROPIC_BASE_URL"},
            {"name": "groq", "env": ["GROQ_API_KEY"], "base_url": url, "auth": BEARER, "paths": ["/v1/"], "shape": "openai"},
        ]}))
        super().__init__(MULTICLAW_SANDBOX_IMAGE="probe", MULTICLAW_PROVIDERS=file, MULTICLAW_GATEWAY_CA_FILE=self.provider.ca, **settings)

    def allow_admin(self):
        Suite.allow_admin(self)
        peers = self.state / "keys/curve/peers"
        peers.write_text(peers.read_text().replace(ROLES, ROLES + "+operator-exec"))
        import_image(self.state, "probe")

    def stop(self, **more):
        self.provider.released.set()
        super().stop(**more)
        self.provider.shutdown()
        self.provider.server_close()

    def exec(self, owner, *command, check=True):
        return self.cli("agent", "exec", "--raw", owner.asset, "--", *command, check=check)

    def sh(self, owner, script):
        """What a shell in the agent prints, with what the agent was told in its environment."""
        done = self.exec(owner, "/bin/sh", "-c", f"set -a; . /run/secrets/llm.env; {script}", check=False)
        return done.stdout + done.stderr

    def ask(self, owner, url="$OPENAI_BASE_URL/plain", token="$OPENAI_API_KEY"):
        """By what is in the image: busybox's wget looks names up by libraries that are not."""
        return self.sh(owner, f'url={url}; rest=${{url#http://}}; at=${{rest%%/*}}; '
                       f'{{ printf "GET /${{rest#*/}} HTTP/1.1\\r\\nHost: $at\\r\\nAuthorization: Bearer {token}\\r\\nConnection: close\\r\\n\\r\\n"; sleep 0.5; }} | '
                       'nc -w 5 ${at%:*} ${at#*:} 2>&1')

    def reaches(self, owner):
        return '"ok"' in self.ask(owner)

    def gateway_metrics(self):
        done = subprocess.run(["curl", "-s", "--unix-socket", self.state / "run/llm-gateway-1.ops", "http://localhost/metrics"], capture_output=True, text=True)
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines() if line and line[0] != "#"}

    def admitted(self):
        return self.gateway_metrics().get("multiclaw_gateway_agents")

    def with_key(self, provider="openai", delivery=None):
        owner = self.new_owner()
        key = "sk-" + secrets.token_hex(24)
        self.put(owner, key, provider, delivery)
        owner.key = key
        return owner

    def put(self, owner, key, provider="openai", delivery=None, status=204):
        answer = self.http("PUT", f"/v1/secrets/llm/{provider}", {"value": key, **({"delivery": delivery} if delivery else {})}, token=owner.token)
        assert answer.status == status, (answer.status, answer.body)
        return answer

    def first_pid(self, owner):
        return min(self.living()[owner.agent])

    def in_network(self, owner, script, *arguments):
        """A program of the test's, as root, in the container's network: it outlives the container."""
        return subprocess.Popen(["nsenter", f"--net=/proc/{self.first_pid(owner)}/ns/net", "--", sys.executable, "-u", "-c", script, *map(str, arguments)],
                                stdout=subprocess.PIPE, text=True)

    def told_of(self, owner):
        """What its agent was told: name -> value."""
        return dict(line.split("=", 1) for line in self.exec(owner, "/bin/cat", "/run/secrets/llm.env").stdout.splitlines())


@pytest.fixture(scope="module")
def s(containers):
    suite = LlmSuite()
    try:
        yield suite.start()
    finally:
        suite.stop()


@pytest.fixture
def alice(s):
    return s.with_key().start()


def sent_keys(s):
    return [key_in(request["headers"]) for request in s.provider.seen]


def test_an_agent_uses_a_key_that_it_does_not_have(s, alice):
    s.provider.seen.clear()
    assert '{"ok": true}' in s.ask(alice)
    assert sent_keys(s) == [alice.key]
    files = s.exec(alice, "/bin/find", "/run/secrets", "-type", "f").stdout
    assert "/run/secrets/llm/OPENAI_API_KEY" in files and "OPENAI_BASE_URL" in files and "ANTHROPIC" not in files and "GROQ" not in files
    of = s.told_of(alice)
    assert re.fullmatch("[0-9a-f]{64}", of["OPENAI_API_KEY"])
    assert s.exec(alice, "/bin/cat", "/run/secrets/llm/OPENAI_API_KEY").stdout.strip() == of["OPENAI_API_KEY"]


def memory_of(pid):
    """Whatever of it can be read."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if " r" not in line or "[vvar" in line or "[vsyscall" in line or last - first > 1 << 28:
                continue
            try:
                memory.seek(first)
                found.append(memory.read(last - first))
            except (OSError, ValueError, OverflowError):
                pass
    return b"\0".join(found)


def test_the_key_is_nowhere_but_upstream(s, alice):
    s.provider.seen.clear()
    assert s.reaches(alice) and alice.key in sent_keys(s)
    token = s.told_of(alice)["OPENAI_API_KEY"]
    alice.remember("what is worth saving")
    assert s.http("POST", "/v1/agent/snapshots", {}, token=alice.token, timeout=60).status == 201
    wait_until("it is saved", lambda: any((s.state / "store").rglob("*")), 30)
    scanner = LeakScanner({"key": alice.key})
    for pid in sorted(s.living()[alice.agent]):
        scanner.add_process(pid)
        scanner.add(f"memory of {pid}", memory_of(pid))
        for folder in ("run/secrets", "data", "tmp", "etc"):
            scanner.add_folder(f"/proc/{pid}/root/{folder}")
    scanner.add_folder(s.state / "log")
    scanner.add_folder(s.state / "sandbox")
    scanner.add_folder(s.state / "store")
    for name in ("sandbox-1", "warden-1", "llm-gateway-1", "snapshot-store-1"):
        scanner.add_process(s.pid(name))
    assert scanner.looked_at > 1 << 20
    assert not scanner.findings()
    # the boot's token: in its files, and in nothing that outlives it
    at_rest = LeakScanner({"token": token})
    for folder in ("log", "sandbox", "store"):
        at_rest.add_folder(s.state / folder)
    assert not at_rest.findings()


def test_the_boots_token_in_a_file_of_the_agents_stops_its_snapshot(s, alice):
    token = s.told_of(alice)["OPENAI_API_KEY"]
    alice.remember(f"my key is {token}")
    s.http("POST", "/v1/agent/snapshots", {}, token=alice.token, timeout=60)
    wait_until("it was refused", lambda: "secret_found" in s.http("GET", "/v1/agent/snapshots", token=alice.token).body.decode(), 30)


def test_the_gateways_address_in_a_file_of_the_agents_stops_nothing(s, alice):
    alice.remember(f"I ask at {s.told_of(alice)['OPENAI_BASE_URL']}")
    answer = s.http("POST", "/v1/agent/snapshots", {}, token=alice.token, timeout=60)
    assert answer.status == 201, answer.body


def test_an_agent_is_refused_with_anothers_token(s, alice):
    bob = s.with_key().start()
    s.provider.seen.clear()
    assert "401" in s.ask(bob, token=s.told_of(alice)["OPENAI_API_KEY"])
    assert not s.provider.seen
    assert s.reaches(bob) and sent_keys(s) == [bob.key]


def test_a_container_reaches_nothing_else_of_its_host(s, alice):
    host = s.told_of(alice)["OPENAI_BASE_URL"].split("/")[2].split(":")[0]
    routes = [line.split() for line in s.exec(alice, "/bin/cat", "/proc/net/route").stdout.splitlines()[1:]]
    link = socket.inet_ntoa(struct.pack("<I", int(next(r[2] for r in routes if r[1] == "00000000"), 16)))  # the host's end
    assert link != host
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("0.0.0.0", 0))
        one.listen()
        port = one.getsockname()[1]
        tried = [(host, port), (host, 22), (host, 18789), (link, port), (link, 18790), ("127.0.0.1", 18790)]
        for target, number in tried:
            out = s.sh(alice, f"/bin/busybox nc -w 2 {target} {number} </dev/null >/dev/null 2>&1 && echo reached || echo not")
            assert out.strip() == "not", (target, number)
    assert "reached" in s.sh(alice, f"/bin/busybox nc -w 2 {host} 18790 </dev/null >/dev/null 2>&1 && echo reached || echo not")


def test_a_narrowed_agent_has_its_gateway(s):
    owner = s.with_key()
    assert s.http("PUT", "/v1/secrets/custom/egress-hosts", {"value": "api.example.com"}, token=owner.token).status == 204
    owner.start()
    assert s.reaches(owner)


def test_a_key_that_its_owner_wants_as_a_file_is_one(s):
    owner = s.with_key(delivery="file")
    s.put(owner, "sk-" + "g" * 40, "groq")
    owner.start()
    assert s.exec(owner, "/bin/cat", "/run/secrets/llm/OPENAI_API_KEY").stdout == owner.key
    of = s.told_of(owner)
    assert set(of) == {"GROQ_API_KEY"}
    listed = {x["name"]: x["delivery"] for x in s.http("GET", "/v1/secrets", token=owner.token).json["secrets"]}
    assert listed == {"openai": "file", "groq": "gateway"}
    s.put(owner, owner.key)  # said again without: the default
    assert {p["provider"]: p["delivery"] for p in s.http("GET", "/v1/llm/keys", token=owner.token).json["providers"]} == {
        "openai": "gateway", "groq": "gateway", "anthropic": None}


def test_a_delivery_that_there_is_not_is_refused(s):
    owner = s.new_owner()
    assert s.put(owner, "sk-" + "x" * 40, delivery="mail", status=400).json["code"] == "delivery_invalid"
    answer = s.http("PUT", "/v1/secrets/custom/x", {"value": "x", "delivery": "file"}, token=owner.token)
    assert answer.status == 400 and answer.json["code"] == "delivery_invalid"


# ---- ends

CALLS = """
import http.client, json, sys, time
host, token = sys.argv[1], sys.argv[2]
until = time.time() + float(sys.argv[3])
while time.time() < until:
    began = time.time()
    try:
        c = http.client.HTTPConnection(host, timeout=2)
        c.request("GET", "/openai/v1/plain", headers={"Authorization": "Bearer " + token})
        said = c.getresponse().status
        c.close()
    except OSError as e:
        said = 0
    print(json.dumps([began, time.time(), said]))
    if said != 200:
        time.sleep(0.001)
"""
STREAM = """
import http.client, json, sys, time
c = http.client.HTTPConnection(sys.argv[1], timeout=30)
c.request("GET", "/openai/v1/endless", headers={"Authorization": "Bearer " + sys.argv[2]})
r = c.getresponse()
print(r.status)
try:
    while r.read1(65536):
        pass
except Exception:
    pass
print(time.time())
"""


def where(s, owner):
    of = s.told_of(owner)
    return of["OPENAI_BASE_URL"].split("/")[2], of["OPENAI_API_KEY"]


def test_a_call_after_a_stop_fails(s, alice):
    at, token = where(s, alice)
    calls = s.in_network(alice, CALLS, at, token, 30)
    assert json.loads(calls.stdout.readline())[2] == 200
    alice.stop()
    asked = len(s.provider.seen)
    time.sleep(0.2)
    assert len(s.provider.seen) == asked
    calls.kill()
    assert s.admitted() is not None
    s.provider.seen.clear()
    alice.start()
    assert s.told_of(alice)["OPENAI_API_KEY"] != token  # of each boot another
    assert s.reaches(alice)


def test_a_sale_ends_calls_and_streams_at_once(s):
    alice = s.with_key().start()
    at, token = where(s, alice)
    calls = s.in_network(alice, CALLS, at, token, 4)
    stream = s.in_network(alice, STREAM, at, token)
    assert stream.stdout.readline().strip() == "200"
    assert json.loads(calls.stdout.readline())[2] == 200
    s.provider.broken.clear()
    s.transfer(alice.asset, Wallet())
    cut_at = float(stream.stdout.readline())
    event = ending_event(s, alice.asset)[0]
    shown = [json.loads(line) for line in calls.communicate(timeout=20)[0].splitlines()]
    assert s.provider.broken.wait(5)
    good = [began for began, _, status in shown if status == 200]
    late = max(good) - event
    told(f"gateway: stream cut {1000 * (cut_at - event):.1f} ms after the event, last good call began {1000 * late:.1f} ms after it")
    assert cut_at - event < 0.25 and late < 0.1
    buyer_calls = [x for x in shown if x[0] > event + 0.1]
    assert all(status != 200 for _, _, status in buyer_calls)


# ---- restarts


def test_agents_go_on_when_the_gateway_was_killed(s, alice):
    at, token = where(s, alice)
    stream = s.in_network(alice, STREAM, at, token)
    assert stream.stdout.readline().strip() == "200"
    pid = s.kill("llm-gateway-1", signal.SIGKILL)
    began = time.time()
    stream.stdout.readline()
    wait_until("it was started again", lambda: s.pid("llm-gateway-1") != pid, 10)
    wait_until("the agent is served again", lambda: s.reaches(alice), 20)
    told(f"gateway: served again {time.time() - began:.1f} s after a kill")
    assert alice.state == "running" and s.told_of(alice)["OPENAI_API_KEY"] == token


def test_an_agent_starts_while_the_gateway_is_down(s):
    pid = s.pid("llm-gateway-1")
    os.kill(pid, signal.SIGSTOP)
    try:
        owner = s.with_key().start()
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until("it is served", lambda: s.reaches(owner), 20)


def test_a_dead_gateway_delays_no_end(s, alice):
    pid = s.pid("llm-gateway-1")
    os.kill(pid, signal.SIGSTOP)
    try:
        s.transfer(alice.asset, Wallet())
        event = wait_until("the event", lambda: ending_event(s, alice.asset), 10)
        wait_until("it is gone", lambda: alice.agent not in s.living(), 10, 0.01)
        took = time.time() - ending_event(s, alice.asset)[0]
        told(f"gateway: paused, the container of a sale gone {1000 * took:.0f} ms after the event")
        assert took < 1.5
    finally:
        os.kill(pid, signal.SIGCONT)


def test_agents_go_on_when_sandbox_was_killed(s, alice):
    at, token = where(s, alice)
    pid = s.kill("sandbox-1", signal.SIGKILL)
    wait_until("it was started again", lambda: s.pid("sandbox-1") != pid, 10)
    s.wait_sandbox()
    wait_until("the agent is served", lambda: s.reaches(alice), 20)
    # and again told when the gateway, too, forgets
    pid = s.kill("llm-gateway-1", signal.SIGKILL)
    wait_until("it was started again", lambda: s.pid("llm-gateway-1") != pid, 10)
    wait_until("the agent is served again", lambda: s.reaches(alice), 20)
    assert s.told_of(alice)["OPENAI_API_KEY"] == token


def test_after_one_sessions_end_the_agent_goes_on(s, alice):
    other = Owner(s, alice.wallet, alice.asset, alice.token).sign_in_again()
    stream = s.in_network(alice, STREAM, *where(s, alice))
    assert stream.stdout.readline().strip() == "200"
    assert s.http("POST", "/v1/auth/logout", {}, token=other.token).status in (200, 204)
    ending_event(s, alice.asset)
    assert s.reaches(alice)
    assert select.select([stream.stdout], [], [], 0.5)[0] == [], "what it was asking for goes on"
    stream.kill()


def test_a_refusal_that_lasts_is_asked_for_again_once_a_second(containers):
    suite = LlmSuite(MULTICLAW_GATEWAY_AGENTS_MAX=1)
    try:
        first, second = (suite.start().with_key() if n == 0 else suite.with_key() for n in range(2))
        first.start()
        second.start()
        refusals = lambda: suite.log("sandbox-1").count("did not admit an agent")  # noqa: E731
        wait_until("it is refused", refusals, 10)
        before = refusals()
        time.sleep(4)
        assert 2 <= refusals() - before <= 5
        assert suite.reaches(first) and not suite.reaches(second)
    finally:
        suite.stop()
