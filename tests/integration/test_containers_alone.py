"""Agents that nobody uses, and agents that nobody looks after."""

import os
import signal
import time

import pytest

from container_suite import ContainerSuite, Stream
from suite import Wallet, wait_until

IDLE_S = 3
ORPHAN_S = 4


@pytest.fixture(scope="module")
def suite(containers):
    made = ContainerSuite(MULTICLAW_SANDBOX_IDLE_S=IDLE_S, MULTICLAW_WARDEN_ORPHAN_S=ORPHAN_S)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def owner(suite):
    made = suite.new_owner(word="the word of this one")
    made.start()
    made.remember("before it slept")
    yield made
    made.sign_in_again()
    made.stop()


def has_process(suite, owner):
    return bool(suite.groups().get(owner.agent))


def asleep(suite, owner):
    """GET /v1/agent does not wake it."""
    owner.wait("sleeping", 20)
    wait_until("no process", lambda: not has_process(suite, owner), 20)


def test_it_sleeps_when_nobody_uses_it_and_the_next_request_waits_for_it(suite, owner):
    used = time.monotonic()
    asleep(suite, owner)
    assert time.monotonic() - used >= IDLE_S - 0.5
    wait_until("nothing of it", lambda: owner.agent not in suite.groups() and not suite.gocryptfs(), 10)
    began = time.monotonic()
    answer = suite.agent(owner.cookie, owner.agent, "/memory", timeout=30)
    took = time.monotonic() - began
    # the decision waits as long as nginx waits for it (under a second); a machine that takes longer says when to come again
    assert answer.status == 200 or (answer.status == 503 and answer.code == "agent_starting" and answer.headers["Retry-After"] == "1" and took > 0.4), (answer.status, took)
    print(f"\nasleep -> {answer.status} in {took * 1000:.0f} ms")
    assert owner.memory == "before it slept"


def test_an_open_websocket_keeps_it_awake(suite, owner):
    stream, boot = Stream(owner, "ws"), owner.shown["boot_id"]
    until = time.monotonic() + 3 * IDLE_S
    while time.monotonic() < until:
        assert not stream.is_over() and owner.state == "running"
        time.sleep(0.2)
    stream.close()
    asleep(suite, owner)
    assert owner.shown["boot_id"] == boot


def test_requests_keep_it_awake(suite, owner):
    boot, until = owner.shown["boot_id"], time.monotonic() + 2.5 * IDLE_S
    while time.monotonic() < until:
        assert owner.ask().status == 200
        time.sleep(IDLE_S / 3)
    assert (owner.state, owner.shown["boot_id"]) == ("running", boot)


@pytest.mark.parametrize("way", ["sale", "revoke"])
def test_one_that_sleeps_is_nobody_elses(suite, way):
    owner, buyer = suite.new_owner(word="the word of this one"), Wallet()
    owner.start()
    owner.remember("the seller's")
    cookie = owner.cookie
    asleep(suite, owner)
    if way == "sale":
        suite.transfer(owner.asset, buyer)
    else:
        suite.cli("revoke", "--asset", owner.asset)
    wait_until("the session is over", lambda: suite.session_status(owner.token) == 401, 15)
    wait_until("of the agent, too", lambda: suite.agent(cookie, owner.agent, "/memory").status in (401, 403), 2)
    wait_until("nothing starts it", lambda: suite.listed().get(owner.agent, {"state": "stopped"})["state"] == "stopped", 10)
    assert not has_process(suite, owner)
    if way == "sale":
        again = suite.buyer(owner, buyer)
        assert again.start().memory == ""
    else:
        again = owner.sign_in_again()
        assert again.memory == "the seller's", "a request with a new session wakes it"
    again.stop()


@pytest.mark.parametrize("way", [signal.SIGSTOP, signal.SIGKILL])
def test_without_its_sandbox_for_long_it_is_stopped(suite, way):
    """SIGKILL: and what starts it again is stopped itself, so that it stays dead."""
    owner = suite.new_owner(word="the word of this one").start()
    stream = Stream(owner, "ws")
    supervisor, pid = suite.process.pid, suite.pid("sandbox-1")
    try:
        if way == signal.SIGKILL:
            os.kill(supervisor, signal.SIGSTOP)
        os.kill(pid, way)
        began = time.monotonic()
        wait_until("it is stopped", lambda: not has_process(suite, owner), ORPHAN_S + 15, 0.05)
        took = time.monotonic() - began
        assert ORPHAN_S - 2 <= took, took
        wait_until("its stream is cut", stream.is_over, 5)
        wait_until("no secrets", lambda: not suite.secrets_mounts(), 5)
        print(f"\nORPHAN_S={ORPHAN_S}: stopped after {took:.1f} s")
    finally:
        os.kill(supervisor, signal.SIGCONT)
        if way == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    suite.wait_sandbox()
    # it should have run: its owner finds it again, without a word
    assert owner.ask().status == 200
    owner.stop()
