"""Started and stopped again and again, several agents at a time: afterwards nothing is there that was not there before.

CYCLES=1000 for the long version; its progress is on standard error.
"""

import os
import sys
import time

import pytest

from container_suite import ContainerSuite, at_once, hidden_namespaces
from suite import SANITIZED, wait_until

CYCLES = int(os.environ.get("CYCLES", "40"))
AT_ONCE = 4


@pytest.fixture(scope="module")
def suite(containers):
    made = ContainerSuite()
    try:
        yield made.start()
    finally:
        made.stop()


def one_cycle(owner, number):
    """In one of the ways that a container ends."""
    owner.start()
    if number % 4 == 0:
        owner.remember(f"{owner.agent} {number}")
    if number % 5 == 3:
        asset = owner.suite.cli("agent", "halt", owner.asset)
        assert asset.returncode == 0
        owner.wait("stopped")
    else:
        owner.stop()


def stopped_starts(owner, number):
    """One that is stopped, or killed, while it starts."""
    assert owner.say("start").status == 202
    time.sleep(number % 7 * 0.05)
    owner.stop()


def nothing_more_than(before, suite, seconds=30):
    def more():
        now = suite.left()
        return {name: sorted(now[name] - before[name]) for name in now if now[name] - before[name]}

    until = time.monotonic() + seconds
    while (left := more()) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left, left


def test_nothing_is_left_of_many_starts_and_stops(suite):
    owners = [suite.new_owner(word="the word of this one") for _ in range(AT_ONCE)]
    for number in range(2):  # what is made once, and kept: volumes, caches, connections
        at_once(owners, lambda owner: one_cycle(owner, number))
        at_once(owners, lambda owner: stopped_starts(owner, number))
    wait_until("all are gone", lambda: not suite.groups(), 20)
    time.sleep(1)
    before, namespaces = suite.left(), min(hidden_namespaces() for _ in range(5))
    fds = {name: suite.fds(name) for name in ("warden-1", "sandbox-1")}
    memory = {name: suite.memory_kib(name) for name in fds}
    began, done = time.monotonic(), [0]

    def cycles(owner):
        for number in range(CYCLES // AT_ONCE):
            (stopped_starts if number % 10 == 9 else one_cycle)(owner, number)
            done[0] += 1
            if done[0] % 50 == 0:
                print(f"{done[0]} cycles, {time.monotonic() - began:.0f} s", file=sys.__stderr__, flush=True)

    at_once(owners, cycles)
    took = time.monotonic() - began
    print(f"\n{done[0]} cycles, {AT_ONCE} at a time: {took:.1f} s, {took / done[0] * 1000:.0f} ms each", file=sys.__stderr__)
    nothing_more_than(before, suite)
    for name in fds:
        wait_until(f"{name} has no more descriptors: {fds[name]} {suite.fds(name)}", lambda: len(suite.fds(name)) <= len(fds[name]), 20)
        grown = suite.memory_kib(name) - memory[name]
        print(f"{name}: {len(fds[name])} descriptors, {memory[name]} KiB, grown by {grown} KiB", file=sys.__stderr__)
        assert SANITIZED or grown < 2048 + CYCLES, (name, memory[name], grown)
    # others on this machine make and end some, too
    wait_until("no namespace is held by nobody", lambda: hidden_namespaces() - namespaces < max(3, CYCLES // 10), 20, 0.5)
    print(f"namespaces held by nobody: {namespaces} before, {hidden_namespaces()} after", file=sys.__stderr__)
    for owner in owners:
        owner.start()
        assert owner.memory.startswith(owner.agent)
    assert not [line for line in suite.log("warden-1").splitlines() if " error " in line or "not cleaned up" in line]
