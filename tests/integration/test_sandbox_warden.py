"""sandbox and the real warden together: containers that run, are found again, and end with a sale. Needs root."""

import http.client
import os
import signal
import socket
import subprocess
import time

import pytest

from sandbox_parts import Refused, Sandboxes, agent_id
from suite import BIN, Wallet, wait_until
from vault_parts import refusal

warden_parts = pytest.importorskip("warden_parts")
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not (BIN / "multiclaw-warden").exists(), reason="needs root and multiclaw-warden")

SERVE = "echo started; date +%s%N >> /data/starts; mkdir -p /tmp/www; cp /data/starts /tmp/www/starts; cat /run/secrets/custom/word > /tmp/www/word; " \
        "cat /run/secrets/gateway-token > /tmp/www/token; exec httpd -f -p 18789 -h /tmp/www"


class Real(Sandboxes):
    def launch_warden(self, i=1):
        image = warden_parts.Warden.image
        digest = image(self, "/bin/sh", "-c", SERVE)
        (self.state / "images/names/demo").write_text(digest + "\n")
        self.start_warden()

    def start_warden(self):
        self.launch("warden", BIN / "multiclaw-warden", MULTICLAW_WARDEN_PREFIX="s0", MULTICLAW_WARDEN_NETWORK="10.222.0.0/17",
                    MULTICLAW_WARDEN_QUARANTINE_S="0", MULTICLAW_WARDEN_STOP_ON_EXIT="no" if self.survives else "yes")
        wait_until("warden", self.warden_answers, 15)

    def warden_answers(self):
        assert self.processes["warden"].poll() is None, self.log("warden")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(str(self.state / "run/sandbox-1.warden")) == 0

    survives = True

    def stop_wardens(self):
        """The last one takes its agents along."""
        self.processes["warden"].kill()
        self.processes["warden"].wait()
        self.survives = False
        self.start_warden()
        self.processes["warden"].terminate()
        self.processes["warden"].wait(30)
        # what warden leaves for the next one of its prefix
        subprocess.run(["nft", "delete", "table", "inet", "s0_agents"], check=False)
        subprocess.run(["ip", "address", "del", "10.222.127.254/32", "dev", "lo"], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def s():
    made = Real(MULTICLAW_SANDBOX_MEMORY_MB=128, MULTICLAW_SANDBOX_VOLUME_MB=64, MULTICLAW_SANDBOX_TMP_MB=8, MULTICLAW_SANDBOX_FORMER_KEEP_S=3)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def owner(s):
    made = s.new_owner()
    s.put(made.token, "custom", "word", "the word")
    made.agent = agent_id(made.asset)
    return made


def get(upstream, path):
    connection = http.client.HTTPConnection(upstream, timeout=3)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def test_a_request_wakes_it_and_it_has_its_secrets_and_its_volume(s, owner, capsys):
    began = time.monotonic()
    answer = s.reach(owner.token, wait_ms=20000)
    with capsys.disabled():
        print(f"\nreach of one that never ran -> running: {(time.monotonic() - began) * 1000:.0f} ms")
    assert answer["state"] == "running", answer
    assert get(answer["upstream"], "/word") == "the word" and get(answer["upstream"], "/token") == answer["agent_token"]
    assert len(get(answer["upstream"], "/starts").split()) == 1
    wait_until("its log", lambda: b"started" in s.ask("logs", token=owner.token, after=0, wait_ms=0).get("bytes", b""), 5)
    s.ask("restart", token=owner.token)
    again = s.reach(owner.token, wait_ms=20000)
    assert again["state"] == "running" and again["boot_id"] != answer["boot_id"]
    assert len(get(again["upstream"], "/starts").split()) == 2
    done = s.operator_ask("exec", asset=owner.asset, argv=[{"arg": "/bin/cat"}, {"arg": "/run/secrets/custom/word"}])
    assert (done.get("status", 0), done["output"]) == (0, b"the word")


def test_it_is_found_again_by_the_next_sandbox(s, owner):
    before = s.reach(owner.token, wait_ms=20000)
    s.restart_sandbox()
    after = s.reach(owner.token)
    assert (after["upstream"], after["agent_token"], after["boot_id"]) == (before["upstream"], before["agent_token"], before["boot_id"])
    assert get(after["upstream"], "/token") == after["agent_token"]


def test_it_is_found_again_by_the_next_warden(s, owner):
    before = s.reach(owner.token, wait_ms=20000)
    s.signal("warden", signal.SIGKILL)
    s.processes["warden"].wait()
    wait_until("noticed", lambda: not s.is_ready("sandbox-1"), 5)
    s.start_warden()
    s.wait_sandbox()
    after = s.reach(owner.token)
    assert (after["upstream"], after["boot_id"]) == (before["upstream"], before["boot_id"])
    assert get(after["upstream"], "/token") == after["agent_token"]


def test_a_crash_is_followed_by_a_start_without_the_owner(s, owner):
    before = s.reach(owner.token, wait_ms=20000)
    try:
        s.operator_ask("exec", asset=owner.asset, argv=[{"arg": "/bin/sh"}, {"arg": "-c"}, {"arg": "kill -9 -1"}])
    except Refused as e:
        assert e.reason == "exec_failed", e  # it ended itself, too
    wait_until("another boot", lambda: (a := s.ask("state", token=owner.token))["state"] == "running" and a["boot_id"] != before["boot_id"], 20, 0.1)


def test_a_sale_ends_it_and_the_buyers_is_fresh(s, owner, capsys):
    before = s.reach(owner.token, wait_ms=20000)
    buyer, began = Wallet(), time.monotonic()
    s.transfer(owner.asset, buyer)

    def is_dead():
        try:
            get(before["upstream"], "/word")
            return False
        except (OSError, http.client.HTTPException):
            return True

    wait_until("dead", is_dead, 5, 0.002)
    with capsys.disabled():
        print(f"\ntransfer confirmed -> no answer: {(time.monotonic() - began) * 1000:.0f} ms (with the chain's confirmation)")
    assert refusal(s.reach, owner.token)[0] == "unauthenticated"
    token = s.token_of(buyer, owner.asset)
    answer = s.reach(token, wait_ms=20000)
    assert answer["state"] == "running" and answer["agent_token"] != before["agent_token"]
    assert get(answer["upstream"], "/word") == "" and len(get(answer["upstream"], "/starts").split()) == 1
    wait_until("the seller's volume erased", lambda: s.record(owner)["former"] == [], 15, 0.1)


def test_sandbox_killed_at_random_leaves_one_of_each(s, owner):
    for i in range(8):
        try:
            s.ask("restart", token=owner.token, timeout=2.0)
        except Exception:
            pass
        time.sleep(i * 0.03)
        s.restart_sandbox()
        answer = wait_until("running", lambda: (a := s.reach(owner.token, wait_ms=10000))["state"] == "running" and a, 20, 0.1)
        assert get(answer["upstream"], "/token") == answer["agent_token"]
