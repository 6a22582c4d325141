"""kill -9 of sandbox, of warden, of both, of the runtime, gocryptfs or a job in mid-start, at random moments of starts and stops: no orphan, no double, no
secret left behind, nothing lost that an agent had on its disk.

KILLS=200 for the long version, SEED to do the same again; its progress is on standard error.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from container_suite import ContainerSuite, at_once, read
from leak_scanner import LeakScanner
from suite import wait_until

KILLS = int(os.environ.get("KILLS", "30"))
SEED = int(os.environ.get("SEED", str(random.randrange(1 << 32))))
VICTIMS = ["sandbox", "warden", "both", "runc", "gocryptfs", "job", "agent"]
OWNERS = 3


def say(text):
    print(text, file=sys.__stderr__, flush=True)


@pytest.fixture(scope="module")
def suite(containers):
    made = ContainerSuite(MULTICLAW_SANDBOX_RESTARTS_MAX=60)
    try:
        yield made.start()
    finally:
        made.stop()


class Chaos:
    def __init__(self, suite, seed):
        self.suite, self.random = suite, random.Random(seed)
        self.secrets = {f"word {i}": f"planted-{seed:08x}-{i}-{random.Random(seed + i).getrandbits(160):040x}" for i in range(OWNERS)}
        self.owners = [suite.new_owner(word=word) for word in self.secrets.values()]
        self.written, self.tried, self.done = {}, {}, dict.fromkeys(VICTIMS, 0)

    # ---- what happens

    def write(self, owner, number):
        """Acknowledged means that it is on the disk."""
        self.tried[owner.agent] = f"{owner.agent} {number}"
        owner.remember(self.tried[owner.agent])
        self.written[owner.agent] = self.tried[owner.agent]

    def order(self, owner, word, after):
        time.sleep(after)
        with contextlib.suppress(OSError):
            owner.say(word)

    def kill_named(self, name, root_of):
        for pid in root_of():
            if name in read(f"/proc/{pid}/comm"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    def kill(self, victim):
        """Whether there was one."""
        if victim in ("sandbox", "warden", "both"):
            for name in ("warden", "sandbox") if victim == "both" else (victim,):
                with contextlib.suppress(ProcessLookupError, ValueError, OSError):
                    self.suite.kill(f"{name}-1")
            return True
        below = {"runc": "jobs", "job": "jobs", "gocryptfs": "volumes", "agent": ""}[victim]
        comm = {"runc": "runc", "job": "multiclaw-warde", "gocryptfs": "gocryptfs", "agent": ""}[victim]
        until = time.monotonic() + 3
        while time.monotonic() < until:
            if self.kill_named(comm, lambda: sum(map(sorted, self.suite.groups(below).values()), [])):
                return True
        return False

    def round(self, number):
        victim = self.random.choice(VICTIMS)
        words = [self.random.choice(["start", "stop", "restart", "restart"]) for _ in self.owners]
        threads = [threading.Thread(target=self.order, args=(owner, word, self.random.uniform(0, 0.3))) for owner, word in zip(self.owners, words)]
        wait = self.random.uniform(0, 1.6)
        for thread in threads:
            thread.start()
        time.sleep(wait)
        hit = self.kill(victim)
        self.done[victim] += hit
        if self.random.random() < 0.3:  # while it comes back
            time.sleep(self.random.uniform(0, 0.5))
            self.kill(self.random.choice(["sandbox", "warden"]))
        for thread in threads:
            thread.join()
        self.settle()
        self.check(f"round {number}, {victim} after {wait:.2f} s, {words}")

    # ---- what has to be so

    def settle(self):
        """Nothing starts or ends any more."""
        self.suite.wait_sandbox()
        quiet = [0]

        def is_quiet():
            states = [a["state"] for a in self.suite.listed().values()]
            calm = "starting" not in states and not any(self.suite.groups("jobs").values()) and \
                set(self.suite.living()) <= set(self.suite.gocryptfs()) and set(self.suite.living()) == {i for i, a in self.suite.listed().items() if a["state"] == "running"}
            quiet[0] = quiet[0] + 1 if calm else 0
            return quiet[0] >= 2

        try:
            wait_until("quiet", is_quiet, 90, 0.3)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.suite.listed()} living {self.suite.living()} jobs {self.suite.groups('jobs')}\n{self.suite.log('warden-1')[-5000:]}"
                                 f"\n{self.suite.log('sandbox-1')[-5000:]}") from None

    def check(self, what):
        suite = self.suite
        living, listed, volumes = suite.living(), suite.listed(), suite.gocryptfs()
        for agent, pids in living.items():
            assert listed[agent]["state"] == "running", (what, "an orphan", agent, listed[agent])
            note = json.loads(read(suite.warden_run / f"agents/{agent}.json") or "{}")
            held = json.loads(read(suite.state / f"sandbox/{agent}"))
            assert note.get("boot") == held["boot"] == listed[agent]["boot_id"], (what, note, held, listed[agent])
            assert (note["wallet"], note["period"]) == (held["wallet"], held["period"]), (what, note, held)
            spaces = set()
            for pid in pids:
                with contextlib.suppress(OSError):
                    spaces.add(os.readlink(f"/proc/{pid}/ns/pid"))
            assert len(spaces) == 1, (what, "doubled", agent, pids, spaces)
            assert len(volumes.get(agent, ())) == 1, (what, "its volume", agent, volumes)
        # what ends is still being put away, for a moment
        wait_until(f"{what}: volumes without agents: {volumes}", lambda: set(suite.gocryptfs()) <= set(suite.living()), 30, 0.1)
        inside = lambda: set().union(*suite.living().values(), *suite.groups("jobs").values())  # noqa: E731
        wait_until(f"{what}: secrets mounted elsewhere: {suite.secrets_mounts()}", lambda: {pid for pid, _ in suite.secrets_mounts()} <= inside(), 15, 0.1)
        found = self.plain_secrets()
        assert not found, (what, found)

    def plain_secrets(self):
        """Quickly, in every round; every form of it at the end."""
        command = ["grep", "-rlaF", "--devices=skip"]
        for word in self.secrets.values():
            command += ["-e", word]
        places = [str(self.suite.state), str(self.suite.warden_run), f"/run/multiclaw-{self.suite.prefix}"]
        return subprocess.run([*command, *[p for p in places if os.path.exists(p)]], capture_output=True, text=True).stdout.split()

    def everything(self):
        scanner = LeakScanner(self.secrets)
        for folder in (self.suite.state, self.suite.warden_run):
            scanner.add_folder(folder, skip=["images"])
        for path in pathlib.Path("/tmp").iterdir():
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 22 and path.name.startswith(("runc", "gocryptfs", "multiclaw")):
                scanner.add_file(path)
        for name in ("warden-1", "sandbox-1"):
            scanner.add_process(self.suite.pid(name))
        return scanner.findings()

    def comes_back(self, owner):
        owner.start(90)
        if owner.agent in self.written:
            assert owner.memory in (self.written[owner.agent], self.tried[owner.agent]), owner.agent


def test_killed_at_random_moments_there_is_no_orphan_no_double_and_no_secret_left(suite):
    say(f"\nSEED={SEED} KILLS={KILLS}")
    chaos, began = Chaos(suite, SEED), time.monotonic()
    at_once(chaos.owners, chaos.comes_back)
    for number in range(KILLS):
        if number % 3 == 0:
            at_once(chaos.owners, chaos.comes_back)
            at_once(chaos.owners, lambda owner, n=number: chaos.write(owner, n))
        chaos.round(number)
        if number % 10 == 9:
            say(f"{number + 1} kills, {time.monotonic() - began:.0f} s, {chaos.done}")
    at_once(chaos.owners, chaos.comes_back)
    say(f"\n{KILLS} kills in {time.monotonic() - began:.0f} s: {chaos.done}")
    assert not chaos.everything()
    at_once(chaos.owners, lambda owner: owner.stop())
    assert not chaos.everything()
    wait_until(f"nothing is left: {suite.left()}", lambda: not any(suite.left()[name] for name in ("processes", "secrets", "gocryptfs", "links", "work")), 20, 0.2)
    assert not suite.groups()
    assert not suite.secrets_mounts()


