"""Snapshots while things end: the agent, its host, the store, the vault, the ownership."""

import contextlib
import os
import random
import signal
import threading
import time

import pytest

from parts import Refused
from sandbox_parts import Hosts
from suite import wait_until
from vault_parts import own, owner, refusal  # noqa: F401


@pytest.fixture(scope="module")
def world():
    made = Hosts(MULTICLAW_SANDBOX_SNAPSHOT_KEEP=3, MULTICLAW_SANDBOX_SNAPSHOT_MAX_MIB=1, MULTICLAW_SANDBOX_FORMER_KEEP_S=1)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    return world


def names(v, owner, kind):
    return [n for n in v.objects(owner) if n.endswith(kind)]


def test_so_many_are_kept_and_one_may_be_discarded(v, owner):
    v.up(owner)
    for i in range(1, 6):
        v.remember(owner, f"version {i}")
        assert v.save(owner)["id"] == i
    assert v.listed(owner) == [5, 4, 3]
    wait_until("older ones are gone", lambda: len(v.objects(owner)) == 6, 10)
    assert refusal(v.ask, "discard", token=owner.token, id=5) == ("conflict", "snapshot_newest")
    assert refusal(v.ask, "discard", token=owner.token, id=2) == ("not_found", "snapshot_unknown")
    v.ask("discard", token=owner.token, id=4)
    assert v.listed(owner) == [5, 3]
    wait_until("and its objects", lambda: len(names(v, owner, ".archive")) == 2, 10)
    v.restore(owner, 3)
    assert v.memory(owner) == "version 3" and v.listed(owner) == [6, 5, 3]
    assert refusal(v.ask, "restore", token=owner.token, id=4) == ("not_found", "snapshot_unknown")
    assert v.metric("multiclaw_sandbox_snapshots_total") >= 6


def test_a_wake_during_the_hold_does_not_wait_for_the_snapshot(v, owner):
    v.up(owner).remember(owner, "awake")
    v.signal("snapshot-store-1", signal.SIGSTOP)
    try:
        v.ask("stop", token=owner.token)
        wait_until("it is being saved", lambda: v.saves(owner).get("doing") == "snapshot", 20, 0.02)
        v.up(owner)
        assert v.memory(owner) == "awake"
    finally:
        v.signal("snapshot-store-1", signal.SIGCONT)
    assert v.listed(owner) == []
    v.save(owner)
    wait_until("nothing is left of the one that was given up", lambda: len(v.objects(owner)) == 2, 10)


def test_a_store_that_is_away_keeps_nobody_from_sleeping(v, owner):
    v.up(owner).remember(owner, "kept here")
    v.kill_store()
    v.down(owner)
    assert v.listed(owner) == []
    v.up(owner)
    assert v.memory(owner) == "kept here"
    assert refusal(v.ask, "snapshot", token=owner.token, wait_ms=0)[0] == "unavailable"
    v.launch_store()
    wait_until("it is back", lambda: try_save(v, owner), 20, 0.2)


def try_save(v, owner):
    try:
        return v.ask("snapshot", timeout=25, token=owner.token, wait_ms=20000).get("outcome") == "made"
    except Refused as e:
        assert e.status in ("unavailable", "busy"), e
        return False


def test_a_start_waits_for_the_store_that_alone_has_its_files(v, owner):
    v.up(owner).remember(owner, "patience")
    v.save(owner)
    v.down(owner)
    v.lose_volume(owner)
    v.kill_store()
    v.ask("start", token=owner.token)
    wait_until("it says why", lambda: "snapshot-store" in v.ask("state", token=owner.token).get("why", ""), 30, 0.05)
    v.launch_store()
    v.wait_state(owner.token, "running", 60)
    assert v.memory(owner) == "patience"


def test_a_store_that_dies_in_the_middle_leaves_the_last_one(v, owner):
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.remember(owner, "second")
    v.signal("snapshot-store-1", signal.SIGSTOP)
    v.ask("snapshot", token=owner.token, wait_ms=0)
    time.sleep(0.3)
    v.kill_store()
    wait_until("it has ended", lambda: v.saves(owner).get("outcome") == "failed", 20, 0.05)
    assert v.listed(owner) == [1]
    v.launch_store()
    wait_until("it is back", lambda: try_save(v, owner), 20, 0.2)
    assert v.listed(owner) == [2, 1]


def test_a_vault_that_is_away_loses_nothing(v, owner):
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.remember(owner, "second")
    v.signal("secret-vault-1", signal.SIGSTOP)
    v.ask("snapshot", token=owner.token, wait_ms=0)
    time.sleep(1)
    v.signal("secret-vault-1", signal.SIGCONT)
    wait_until("it ends", lambda: v.saves(owner).get("doing", "") == "", 30, 0.05)
    v.down(owner)
    v.lose_volume(owner)
    v.up(owner)
    assert v.memory(owner) == "second", v.log("sandbox-1", 20)


def test_a_sale_in_the_middle_gives_it_up(v, owner):
    v.up(owner).remember(owner, "the seller's")
    v.signal("snapshot-store-1", signal.SIGSTOP)
    v.ask("snapshot", token=owner.token, wait_ms=0)
    sold = v.sell(owner)
    wait_until("it is over", lambda: not v.processes_of(owner), 20)
    v.signal("snapshot-store-1", signal.SIGCONT)
    v.up(sold)
    assert v.memory(sold) == "" and v.saves(sold).get("snapshots", []) == []
    wait_until("nothing is left of it", lambda: not v.objects(owner), 20)


def test_a_crash_costs_nothing(v, owner):
    v.up(owner).remember(owner, "before")
    v.save(owner)
    v.remember(owner, "after")
    boot = v.ask("state", token=owner.token)["boot_id"]
    for procs in v.cgroup_files(owner):
        for pid in procs.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    v.wait_next(owner, boot)
    assert v.memory(owner) == "after"


def test_kill_9_at_any_moment_leaves_one_that_restores(v, owner):
    """What was acknowledged before is there again, whatever was under way."""
    pick = random.Random(7)
    v.up(owner)
    for turn in range(6):
        text = f"turn {turn}"
        v.remember(owner, text)
        asking = threading.Thread(target=lambda: refusal_or_none(v, owner), daemon=True)
        asking.start()
        time.sleep(pick.uniform(0, 0.35))
        v.stop_sandbox(1, signal.SIGKILL)
        v.launch_sandbox(1)
        v.wait_sandbox(1)
        asking.join(30)
        v.up(owner)
        assert v.memory(owner) == text, "it went on, with its own volume"
    text = "the last one"
    v.remember(owner, text)
    v.save(owner)
    number, listed = v.listed(owner)[0], v.listed(owner)
    assert len(listed) <= 3
    v.down(owner)
    v.lose_volume(owner)
    v.up(owner)
    assert v.memory(owner) == text and v.listed(owner)[0] == number
    wait_until("no more objects than are kept", lambda: len(names(v, owner, ".archive")) <= len(listed) + 1, 20)


def refusal_or_none(v, owner):
    with contextlib.suppress(Refused, AssertionError):
        v.peer("router", "sandbox").call("sandbox.snapshot", 3.0, token=owner.token, wait_ms=2000)


def test_kill_9_while_it_is_restored(v, owner):
    pick = random.Random(8)
    v.up(owner).remember(owner, "restore me")
    v.save(owner)
    for _ in range(3):
        v.down(owner)
        v.lose_volume(owner)
        v.ask("start", token=owner.token)
        time.sleep(pick.uniform(0, 0.8))
        v.stop_sandbox(1, signal.SIGKILL)
        v.launch_sandbox(1)
        v.wait_sandbox(1)
        v.up(owner)
        assert v.memory(owner) == "restore me"


def test_by_the_clock_and_before_sleep(v, owner):
    v.restart_sandbox(1, signal.SIGTERM, MULTICLAW_SANDBOX_SNAPSHOT_INTERVAL_S=1)
    v.up(owner).remember(owner, "tick")
    wait_until("a timer's", lambda: [s["trigger"] for s in v.saves(owner).get("snapshots", [])] == ["timer"], 20, 0.1)
    v.restart_sandbox(1, signal.SIGTERM, MULTICLAW_SANDBOX_SNAPSHOT_INTERVAL_S=1, MULTICLAW_SANDBOX_IDLE_S=4)
    v.remember(owner, "tock")
    wait_until("it sleeps", lambda: v.state_of(owner.token) == "sleeping", 60, 0.1)
    v.wait_quiet(owner)
    listed = v.saves(owner)["snapshots"]
    assert listed[0]["id"] == 2 and listed[0]["trigger"] in ("timer", "sleep")
    assert v.memory(owner) == "tock"
