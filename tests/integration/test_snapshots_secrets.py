"""Which secrets a snapshot must not hold: those that the vault has at that moment, and those that the agent was given at its start, whatever became of them. With real
containers, packer, store and vault."""

import contextlib
import signal

import pytest

from leak_scanner import LeakScanner
from sandbox_parts import Hosts
from suite import wait_until
from vault_parts import own, owner  # noqa: F401

OLD, NEW = "sk-old-" + "7f3a9c" * 6, "sk-new-" + "e41b05" * 6
NAMED = ("notes/memory.txt", "custom/key: as it is")


@pytest.fixture(scope="module")
def world():
    made = Hosts()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    return world


def refused(v, owner):
    answer = v.save(owner, outcome="secret_found")
    assert OLD not in str(answer) and NEW not in str(answer)
    return answer["path"], answer["kind"]


def test_one_that_is_stored_while_it_runs_is_found(v, owner):
    v.up(owner).remember(owner, "harmless")
    v.save(owner)
    v.put_secret(owner, "custom", "key", NEW)
    v.remember(owner, f"my key is {NEW}")
    assert refused(v, owner) == NAMED
    assert v.listed(owner) == [1], "the last good one stays"
    v.remember(owner, "harmless again")
    assert v.save(owner)["id"] == 2


def test_of_one_that_is_replaced_the_old_and_the_new_are_found(v, owner):
    v.put_secret(owner, "custom", "key", OLD)
    v.up(owner).remember(owner, "harmless")
    v.save(owner)
    v.put_secret(owner, "custom", "key", NEW)
    for key in (OLD, NEW):
        v.remember(owner, f"my key is {key}")
        assert refused(v, owner) == NAMED
    # this one does not have it any more
    v.remember(owner, "harmless again")
    assert v.save(owner)["id"] == 2
    v.restart(owner)
    v.remember(owner, f"my key was {OLD}")
    assert v.save(owner)["id"] == 3
    v.remember(owner, f"my key is {NEW}")
    assert refused(v, owner) == NAMED


def test_one_that_is_deleted_is_found_as_long_as_it_was_given(v, owner):
    v.put_secret(owner, "custom", "key", OLD)
    v.up(owner).remember(owner, "harmless")
    v.save(owner)
    assert v.delete(owner.token, "custom", "key")
    v.remember(owner, f"my key was {OLD}")
    assert refused(v, owner) == NAMED
    v.restart_sandbox()  # who knows nothing of that start
    v.wait_state(owner.token, "running", 30)
    assert refused(v, owner) == NAMED
    v.down(owner)  # the last one, of files whose agent has ended
    shown = v.saves(owner)
    assert (shown["outcome"], shown["path"], shown["kind"]) == ("secret_found", *NAMED) and v.listed(owner) == [1]
    v.up(owner)
    assert v.memory(owner) == f"my key was {OLD}", "its files stay here"
    assert v.save(owner)["id"] == 2, "it was not given it any more"


def test_none_is_in_a_log_or_in_what_is_kept(v, owner):
    v.put_secret(owner, "custom", "key", OLD)
    v.up(owner)
    v.put_secret(owner, "custom", "key", NEW)
    v.remember(owner, f"{OLD} {NEW}")
    refused(v, owner)
    v.down(owner)
    scanner = LeakScanner({"old": OLD, "new": NEW})
    for folder in ("log", "store", "held-1", "run"):
        scanner.add_folder(v.state / folder)
    for name in ("sandbox-1", "warden-1", "snapshot-store-1"):
        scanner.add_process(v.processes[name].pid)
    assert not scanner.findings()


WHY = "the vault does not say which secrets to look for: "


@contextlib.contextmanager
def without_the_vault(v):
    v.stop_vault(1, signal.SIGKILL)
    try:
        yield
    finally:
        v.launch_vault(1)
        v.wait_vault(1)
        v.wait_sandbox(1)


@contextlib.contextmanager
def placed_elsewhere(v, owner):
    """Nobody has told this host; the vault looks."""
    v.redis.set(f"mc:place:{owner.asset}", "sandbox-2")
    try:
        yield
    finally:
        v.redis.set(f"mc:place:{owner.asset}", "sandbox-1")


def test_without_the_vaults_word_nothing_is_saved_and_the_next_one_is(v, owner):
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.remember(owner, "second")
    with without_the_vault(v):
        assert v.save(owner, outcome="failed")["why"].startswith(WHY)
    assert v.listed(owner) == [1]
    assert v.save(owner)["id"] == 2


def test_a_placement_that_the_vault_refuses_saves_nothing(v, owner):
    """(The event of that failure has sandbox look, and see that the agent is another host's.)"""
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.remember(owner, "second")
    with placed_elsewhere(v, owner):
        assert v.save(owner, outcome="failed")["why"].startswith(WHY)


def test_the_last_one_waits_for_the_vault_to_come_back(v, owner):
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.remember(owner, "second")
    with without_the_vault(v):
        v.ask("stop", token=owner.token)
        wait_until("it is to be saved", lambda: v.saves(owner).get("doing") == "snapshot" and v.state_of(owner.token) == "stopped", 20, 0.05)
    v.wait_quiet(owner)
    assert [s["trigger"] for s in v.saves(owner)["snapshots"]] == ["stop", "demand"]


def test_a_stop_without_the_vault_keeps_the_files_here(v, owner):
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.remember(owner, "second")
    with without_the_vault(v):
        v.down(owner, seconds=100)
        assert v.saves(owner)["why"].startswith(WHY) and v.listed(owner) == [1]
    v.up(owner)
    assert v.memory(owner) == "second"
    assert v.save(owner)["id"] == 2
