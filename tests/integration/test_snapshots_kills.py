"""kill -9 of sandbox, warden, snapshot-store and packer at random moments of saving and restoring: what was acknowledged is always there again. KILLS=200 for long."""

import contextlib
import os
import pathlib
import random
import signal
import threading
import time

import pytest

from parts import Refused
from sandbox_parts import Hosts
from suite import wait_until
from vault_parts import own, owner  # noqa: F401

KILLS = int(os.environ.get("KILLS", "12"))


@pytest.fixture(scope="module")
def v():
    made = Hosts(prefix="k", MULTICLAW_SANDBOX_SNAPSHOT_KEEP=3, MULTICLAW_SANDBOX_RESTARTS_MAX=60)
    try:
        yield made.start()
    finally:
        made.stop()


def packers(v):
    for procs in pathlib.Path("/sys/fs/cgroup").glob(f"**/multiclaw-{v.prefix}1/packers/*/*/cgroup.procs"):
        with contextlib.suppress(OSError):
            yield from (int(pid) for pid in procs.read_text().split())


def kill(v, what):
    if what == "packer":
        for pid in set(packers(v)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if what in ("warden", "both"):
        v.processes["warden-1"].kill()
        v.processes["warden-1"].wait()
    if what in ("store", "warden", "both"):
        v.kill_store()
    if what in ("sandbox", "both"):
        v.stop_sandbox(1, signal.SIGKILL)
    if what == "store":
        v.launch_store()
    if what in ("warden", "both"):
        v.launch_warden()
    if what in ("sandbox", "both"):
        v.launch_sandbox(1)
    v.wait_sandbox(1)


def save(v, owner, answers):
    with contextlib.suppress(Refused, AssertionError):
        answers.append(v.peer("router", "sandbox").call("sandbox.snapshot", 8.0, token=owner.token, wait_ms=6000))


def restored(v, owner):
    """What is there once this host's disk of it is gone."""
    v.down(owner)
    v.lose_volume(owner)
    v.up(owner)
    return v.memory(owner)


def test_killed_at_random_moments_the_newest_complete_snapshot_restores(v, owner):
    seed = int(os.environ.get("SEED", time.time()))
    pick, began, kills = random.Random(seed), time.monotonic(), {}
    print(f"SEED={seed}")
    v.up(owner).remember(owner, "text 0")
    v.save(owner)
    possible = {"text 0"}
    for turn in range(1, KILLS + 1):
        what = pick.choice(["packer", "store", "warden", "sandbox", "both"])
        kills[what] = kills.get(what, 0) + 1
        if turn % 2:
            text, answers = f"text {turn}", []
            v.remember(owner, text)
            asking = threading.Thread(target=save, args=(v, owner, answers), daemon=True)
            asking.start()
            time.sleep(pick.uniform(0, 0.25))
            kill(v, what)
            asking.join(30)
            made = [a for a in answers if a.get("outcome") in ("made", "unchanged")]
            possible = {text} if made else possible | {text}
            v.up(owner)
            # a host that lost no disk loses nothing
            assert v.memory(owner) == text, (turn, what)
            with contextlib.suppress(AssertionError):
                wait_until("the daemons know each other again", lambda: v.saves(owner) is not None, 10, 0.1)
            lost = restored(v, owner)
            # stopping saved it, too, unless a daemon was not back yet
            assert lost in possible | {text}, (turn, what, lost, possible)
            possible = {lost}
        else:
            v.down(owner)
            v.lose_volume(owner)
            v.ask("start", token=owner.token)
            time.sleep(pick.uniform(0, 0.6))
            kill(v, what)
            v.up(owner)
            now = v.memory(owner)
            assert now in possible, (turn, what, now, possible)
        if turn % 10 == 0:
            print(f"{turn} kills, {time.monotonic() - began:.0f} s, {kills}", flush=True)
    wait_until("no packer is left", lambda: not list(packers(v)), 20, 0.1)
