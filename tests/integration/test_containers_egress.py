"""What an agent reaches: everything public, or what its owner listed and nothing else. Real containers, in an internet of the test's own."""

import subprocess
import time

import pytest

from private_network import private_network
from sandbox_parts import Sandboxes, agent_id
from suite import BIN, wait_until
from warden_parts import Warden

LISTED, OTHER, RANGED, DENIED, OWN = "23.1.1.1", "23.2.2.2", "23.3.3.3", "23.4.4.4", "5.5.5.1"
NAMES = {
    "listed.example": [LISTED], "other.example": [OTHER], "denied.example": [DENIED], "own.example": [OWN], "rebound.example": ["10.1.2.3"],
    "mixed.listed.example": ["10.1.2.3", LISTED, DENIED, OWN],
}  # fmt: skip
WEBS = [LISTED, OTHER, RANGED, DENIED, "10.1.2.3"]
# wget of a static busybox ends by a signal where there is no NSS
FETCH = """#!/bin/sh
find() { nslookup -type=a "$1" 2>/dev/null | while read -r key value; do case $key$value in Address:*:*) ;; Address:*) echo "$value" ;; esac; done; }
case $1 in *[!0-9.]*) a=$(find "$1") ;; *) a=$1 ;; esac
[ "$a" ] || exit 6
page=$(printf "GET / HTTP/1.0\\r\\n\\r\\n" | nc -w "$2" "$a" 80 | tail -n 1)
[ "$page" ] && echo -n "$page"
"""
# asks at once, before anybody could know that it runs
SERVE = "mkdir -p /tmp/www; cd /tmp/www; fetch listed.example 8 > first || echo failed > first; " \
        f"fetch {RANGED} 3 > range || echo failed > range; exec httpd -f -p 18789 -h /tmp/www"


class Real(Sandboxes):
    def launch_warden(self, i=1):
        digest = Warden.image(self, "/bin/sh", "-c", SERVE)
        for name in ("mkdir", "nslookup"):
            (self.state / f"images/{digest}/rootfs/bin/{name}").symlink_to("busybox")
        (self.state / f"images/{digest}/rootfs/bin/fetch").write_text(FETCH)
        (self.state / f"images/{digest}/rootfs/bin/fetch").chmod(0o755)
        (self.state / "images/names/demo").write_text(digest + "\n")
        self.start_warden()

    def start_warden(self, stops="no"):
        self.launch("warden", BIN / "multiclaw-warden", MULTICLAW_WARDEN_PREFIX="e0", MULTICLAW_WARDEN_NETWORK="10.226.0.0/17",
                    MULTICLAW_WARDEN_QUARANTINE_S="0", MULTICLAW_WARDEN_STOP_ON_EXIT=stops)
        wait_until("warden", lambda: (self.state / "run/sandbox-1.warden").is_socket(), 15)

    def kill_warden(self):
        self.processes["warden"].kill()
        self.processes["warden"].wait()
        (self.state / "run/sandbox-1.warden").unlink()

    def stop_wardens(self):
        """The last one takes its agents along; table and addresses go with the network."""
        self.kill_warden()
        self.start_warden(stops="yes")
        self.processes["warden"].terminate()
        assert self.processes["warden"].wait(30) == 0

    def inside(self, owner, script):
        done = self.operator_ask("exec", asset=owner.asset, argv=[{"arg": "/bin/sh"}, {"arg": "-c"}, {"arg": script}], timeout=20.0)
        return done.get("status", 0), done.get("output", b"").decode()

    def reaches(self, owner, host, seconds=2):
        status, output = self.inside(owner, f"exec fetch {host} {seconds}")
        return output if status == 0 else None

    def knows(self, owner, name):
        return self.inside(owner, f"exec fetch {name} 1")[0] != 6


@pytest.fixture(scope="module")
def s(containers):
    with private_network(NAMES, WEBS):
        made = Real(MULTICLAW_SANDBOX_MEMORY_MB=128, MULTICLAW_SANDBOX_VOLUME_MB=64, MULTICLAW_SANDBOX_TMP_MB=8,
                    MULTICLAW_SANDBOX_RESOLVERS="9.9.9.9", MULTICLAW_DENY_CIDRS=f"{DENIED}/32,fd00::/8")
        try:
            yield made.start()
        finally:
            made.stop()


def run(s, hosts=None):
    owner = s.new_owner()
    if hosts is not None:
        s.put(owner.token, "custom", "egress-hosts", hosts)
    answer = s.reach(owner.token, wait_ms=20000)
    assert answer["state"] == "running", (answer, s.log("sandbox-1", 20), s.log("warden", 20))
    owner.agent, owner.boot = agent_id(owner.asset), answer["boot_id"]
    return owner


@pytest.fixture(scope="module")
def narrowed(s):
    return run(s, f"listed.example, *.listed.example\nrebound.example, denied.example\n{RANGED}\n23.3.0.0/16  # holds the one before\n")


@pytest.fixture(scope="module")
def opened(s):
    return run(s)


def written(s, owner, name):
    return wait_until(name, lambda: s.inside(owner, f"cat /tmp/www/{name}")[1].strip(), 15, 0.1)


def test_an_open_agent_reaches_what_is_public(s, opened):
    for host, address in (("listed.example", LISTED), ("other.example", OTHER), (OTHER, OTHER), (RANGED, RANGED)):
        assert s.reaches(opened, host, 8) == address, host
    assert written(s, opened, "first") == LISTED


def test_nobody_is_told_what_is_not_public_denied_or_the_hosts_own(s, opened, narrowed):
    for name, address in (("rebound.example", "10.1.2.3"), ("denied.example", DENIED), ("own.example", OWN)):
        assert not s.knows(opened, name), name
        assert s.reaches(opened, name) is None and s.reaches(opened, address) is None, name
    for name in ("rebound.example", "denied.example"):  # though they are listed
        assert s.reaches(narrowed, name) is None
    assert s.reaches(opened, "mixed.listed.example", 8) == LISTED


def test_a_narrowed_agent_has_names_and_ranges_from_the_beginning(s, narrowed):
    assert written(s, narrowed, "first") == LISTED
    assert written(s, narrowed, "range") == RANGED


def narrowed_as_listed(s, owner):
    assert s.reaches(owner, "listed.example", 8) == LISTED
    assert s.reaches(owner, "mixed.listed.example", 8) == LISTED
    assert s.reaches(owner, RANGED, 8) == RANGED
    assert not s.knows(owner, "other.example")
    for host in ("other.example", OTHER, DENIED):
        assert s.reaches(owner, host) is None, host


def test_a_narrowed_agent_reaches_what_is_listed_and_nothing_else(s, narrowed):
    # by address only once it was told it by name: 23.1.1.1 is in no range of its list
    narrowed_as_listed(s, narrowed)


def test_an_address_that_was_told_to_one_is_shut_for_another(s, narrowed):
    assert s.reaches(narrowed, "listed.example", 8) == LISTED
    other = run(s, "nothing.example")
    assert s.reaches(other, LISTED) is None and s.reaches(other, RANGED) is None
    assert written(s, other, "first") == "failed"


def test_the_answer_comes_after_the_rules(s, narrowed, capsys):
    """The first packet of a connection is let through: a lost one is sent again after a second."""
    slowest = 0
    script = "t() { read a b < /proc/uptime; echo ${a%.*}${a#*.}; }; b=$(t); fetch listed.example 8 > /tmp/page && echo $(($(t) - b))"
    for _ in range(10):
        subprocess.run(["nft", "flush", "set", "inet", "e0_agents", "allowed"], check=True)
        status, output = s.inside(narrowed, script)
        assert status == 0, output
        slowest = max(slowest, int(output) * 10)
    with capsys.disabled():
        print(f"\nname asked, let through, answered, fetched: at most {slowest} ms of 10")
    assert slowest < 1000


def test_it_stays_narrowed_after_a_restart_of_either_daemon(s, narrowed):
    s.restart_sandbox()
    narrowed_as_listed(s, narrowed)
    s.kill_warden()
    wait_until("noticed", lambda: not s.is_ready("sandbox-1"), 5)
    s.start_warden()
    s.wait_sandbox()
    narrowed_as_listed(s, narrowed)
    assert s.reach(narrowed.token)["boot_id"] == narrowed.boot


def test_many_that_are_asked_for_at_once_are_let_through_together(s, narrowed, capsys):
    began = time.monotonic()
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do nslookup -type=a listed.example >/dev/null && echo ok & done; wait"
    status, output = s.inside(narrowed, script)
    with capsys.disabled():
        print(f"\n12 at once: {(time.monotonic() - began) * 1000:.0f} ms")
    assert (status, output) == (0, "ok\n" * 12)


def test_a_list_with_a_mistake_stops_the_start(s):
    for hosts in ("10.0.0.0/8", "https://listed.example", "23.1.1.1/4", "listed.example:443", "fd00::1"):
        owner = s.new_owner()
        s.put(owner.token, "custom", "egress-hosts", hosts)
        s.ask("start", token=owner.token)
        wait_until("stopped", lambda: s.ask("state", token=owner.token)["state"] in ("stopped", "failed"), 10, 0.05)
        assert "egress-hosts" in str(s.ask("state", token=owner.token)), hosts
