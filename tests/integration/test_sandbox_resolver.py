"""The names that agents ask for: on warden's socket, forwarded to a resolver of the test's own."""

import socket
import struct
import threading

import pytest

from sandbox_parts import Sandboxes, agent_id
from suite import wait_until

PUBLIC, PRIVATE = ["93.184.216.34", "1.1.1.1"], ["10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1", "172.31.0.1", "224.0.0.1"]
ZONE = {"public.example": PUBLIC, "private.example": PRIVATE, "mixed.example": PRIVATE + PUBLIC, "listed.example": ["8.8.8.8"], "a.cdn.example": ["9.9.9.9"],
        "denied.example": ["45.45.45.45"], "half.example": ["45.45.45.45", "8.8.8.8"]}


def encode(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


def decode(data, at=12):
    parts = []
    while data[at]:
        parts.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts), at + 1


class Upstream:
    """Answers A questions from ZONE; NXDOMAIN else."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port, self.asked = self.socket.getsockname()[1], []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            data, who = self.socket.recvfrom(2048)
            name, end = decode(data)
            self.asked.append(name)
            addresses = ZONE.get(name.lower(), [])
            flags = 0x8180 if addresses else 0x8183
            answers = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(a) for a in addresses)
            self.socket.sendto(data[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0) + data[12:end + 4] + answers, who)


class Client:
    """One on an agent's address; asks that resolver."""

    def __init__(self, address, resolver):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(3)
        self.resolver, self.last = resolver, 0

    def ask(self, name, kind=1, timeout=3):
        """(code, addresses), or None."""
        self.last += 1
        self.socket.settimeout(timeout)
        self.socket.sendto(struct.pack(">HHHHHH", self.last, 0x0100, 1, 0, 0, 0) + encode(name) + struct.pack(">HH", kind, 1), self.resolver)
        return self.receive()

    def receive(self):
        """The answer to the last question."""
        try:
            while True:
                data = self.socket.recv(4096)
                if struct.unpack(">H", data[:2])[0] == self.last:
                    break
        except TimeoutError:
            return None
        count = struct.unpack(">H", data[6:8])[0]
        return data[3] & 15, sorted(socket.inet_ntoa(data[len(data) - 16 * i - 4:len(data) - 16 * i]) for i in range(count)) if count else []


@pytest.fixture(scope="module")
def s():
    upstream = Upstream()
    made = Sandboxes()
    made.upstream = upstream
    made.env["MULTICLAW_DENY_CIDRS"] = "45.45.45.0/24,fd00::/8"
    made.resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.resolver.bind(("127.0.0.1", 0))
    made.env["MULTICLAW_SANDBOX_RESOLVERS"] = str(made.state / "resolv.conf")
    (made.state / "resolv.conf").write_text(f"nameserver 127.0.0.1:{upstream.port}\n")
    made.warden_options = {"network": (127, 9), "resolver": made.resolver.fileno()}
    try:
        yield made.start()
    finally:
        made.stop()


def client_of(s, owner):
    agent = s.run(owner)
    return Client(".".join(map(str, agent.address)), s.resolver.getsockname())


def test_names_are_forwarded_and_private_answers_dropped(s):
    client = client_of(s, s.new_owner())
    assert client.ask("public.example") == (0, sorted(PUBLIC))
    assert client.ask("private.example") == (3, [])  # as if there were none
    assert client.ask("mixed.example") == (0, sorted(PUBLIC))
    assert client.ask("missing.example") == (3, [])
    assert client.ask("public.example", 28) == (0, [])  # AAAA: there is no IPv6


def test_a_narrowed_agent_gets_its_list_and_a_way_to_it(s):
    owner = s.new_owner()
    s.put(owner.token, "custom", "egress-hosts", "listed.example\n*.cdn.example\n")
    client = client_of(s, owner)
    asked = len(s.upstream.asked)
    assert client.ask("public.example") == (5, [])
    assert len(s.upstream.asked) == asked  # nothing leaves this host by way of a name
    assert client.ask("listed.example") == (0, ["8.8.8.8"])
    assert client.ask("a.cdn.example") == (0, ["9.9.9.9"])
    allowed = s.warden.asked("ALLOW", agent=owner.agent)
    assert [bytes(p.u.allow.address[0]) for _, _, _, p in allowed] == [bytes([8] * 4), bytes([9] * 4)]
    assert all(p.u.allow.len == 1 and p.u.allow.ttl_s == 60 + 30 for _, _, _, p in allowed)
    # known again after a restart of sandbox
    s.restart_sandbox()
    assert client.ask("public.example") == (5, []) and client.ask("listed.example") == (0, ["8.8.8.8"])


def test_a_narrowed_agent_that_ends_is_not_taken_for_one_that_starts(s):
    owner, other = s.new_owner(), s.new_owner()
    s.put(owner.token, "custom", "egress-hosts", "listed.example\n")
    client = client_of(s, owner)
    s.warden.holds.update(("START", "STOP"))
    try:
        s.ask("stop", token=owner.token)
        s.ask("start", token=other.token)
        wait_until("both are under way", lambda: s.warden.asked("STOP", agent=owner.agent) and agent_id(other.asset) in s.warden.agents, 5)
        asked = len(s.upstream.asked)
        assert client.ask("s3cret.public.example", timeout=0.5) is None
        assert len(s.upstream.asked) == asked
    finally:
        s.warden.holds.clear()
        s.warden.finish_start(s.warden.agents[agent_id(other.asset)])
        s.warden.end(s.warden.agents[owner.agent], True)


def test_an_answer_leaves_when_its_addresses_are_let_through(s):
    owner = s.new_owner()
    s.put(owner.token, "custom", "egress-hosts", "listed.example\n")
    client = client_of(s, owner)
    s.warden.holds.add("ALLOW")
    try:
        assert client.ask("listed.example", timeout=0.5) is None
        (_, _, _, asked), = s.warden.asked("ALLOW", agent=owner.agent)
        asked.u.allow.ticket += 7  # of nobody
        s.warden.do_allow(asked, [])
        assert client.ask("missing.example", timeout=0.5) == (5, [])
        asked.u.allow.ticket -= 7
        s.warden.do_allow(asked, [])
        client.last = 1
        assert client.receive() == (0, ["8.8.8.8"])
    finally:
        s.warden.holds.discard("ALLOW")


def test_ranges_are_told_with_the_start(s):
    owner = s.new_owner()
    s.put(owner.token, "custom", "egress-hosts", "listed.example\n8.8.4.0/24, 9.9.9.9\n")
    assert s.run(owner).ranges == [("8.8.4.0", 24), ("9.9.9.9", 32)]
    assert s.run(s.new_owner()).ranges == []


def test_who_starts_is_answered_by_its_own_list(s):
    """Its address is told before it can send anything: neither it nor others that start are guessed at."""
    narrowed, opened, resolver = s.new_owner(), s.new_owner(), s.resolver.getsockname()
    s.put(narrowed.token, "custom", "egress-hosts", "listed.example\n")
    s.warden.holds.add("START")
    try:
        for owner in (narrowed, opened):
            s.ask("start", token=owner.token)
            owner.agent = agent_id(owner.asset)
            wait_until("asked", lambda: owner.agent in s.warden.agents, 5)
            owner.client = Client(".".join(map(str, s.warden.agents[owner.agent].address)), resolver)
        assert narrowed.client.ask("public.example") == (5, []) and narrowed.client.ask("listed.example") == (0, ["8.8.8.8"])
        assert opened.client.ask("public.example") == (0, sorted(PUBLIC))
        for owner in (narrowed, opened):
            s.warden.finish_start(s.warden.agents[owner.agent])
            s.wait_state(owner.token, "running")
        assert narrowed.client.ask("public.example") == (5, []) and opened.client.ask("public.example") == (0, sorted(PUBLIC))
    finally:
        s.warden.holds.discard("START")
    s.ask("stop", token=opened.token)
    s.wait_state(opened.token, "stopped")
    assert opened.client.ask("public.example", timeout=0.5) is None


def test_denied_addresses_are_not_told(s):
    client = client_of(s, s.new_owner())
    assert client.ask("denied.example") == (3, [])
    assert client.ask("half.example") == (0, ["8.8.8.8"])


def test_who_is_no_agent_gets_nothing(s):
    assert Client("127.9.200.1", s.resolver.getsockname()).ask("public.example", timeout=0.5) is None


def test_a_flood_of_questions_is_cut(s):
    client = client_of(s, s.new_owner())
    answered = sum(client.ask("public.example", timeout=0.02) is not None for _ in range(400))
    assert answered < 350
    other = client_of(s, s.new_owner())
    assert other.ask("public.example") == (0, sorted(PUBLIC))


def test_garbage_harms_nothing(s):
    import random

    owner = s.new_owner()
    client, randoms = client_of(s, owner), random.Random(1)
    for size in (0, 1, 11, 12, 13, 17, 64, 512, 2000):
        client.socket.sendto(randoms.randbytes(size), s.resolver.getsockname())
    client.socket.sendto(struct.pack(">HHHHHH", 1, 0x0100, 65535, 0, 0, 0) + b"\xc0\x0c", s.resolver.getsockname())
    wait_until("answers", lambda: client.ask("public.example", timeout=0.5) == (0, sorted(PUBLIC)), 5)
