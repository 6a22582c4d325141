"""Snapshots whose answers come late, get lost, or come to another sandbox process than asked. The wardens are fakes, which hold still when they are told to."""

import json
import signal
import threading

import pytest

from fake_warden import UNCHANGED
from parts import BIN
from sandbox_parts import Sandboxes, agent_id
from suite import wait_until
from vault_parts import own, owner, refusal  # noqa: F401


class World(Sandboxes):
    def launch_warden(self, i=1):
        super().launch_warden(i)
        self.launch(f"snapshot-store-{i}", BIN / "multiclaw-snapshot-store", MULTICLAW_REPLICA=f"snapshot-store-{i}", MULTICLAW_STORE_REPLICA=f"sandbox-{i}")

    def saves(self, owner):
        return self.ask("snapshots", token=owner.token, after=0, wait_ms=0)

    def save(self, owner, files):
        self.put_files(owner, files)
        answer = self.ask("snapshot", timeout=25, token=owner.token, wait_ms=20000)
        assert answer.get("outcome") == "made", answer
        return answer["id"]

    def volume(self, owner):
        agent = self.warden.running(owner.agent)
        return agent.id, agent.wallet, agent.period

    def put_files(self, owner, files):
        self.warden.volumes[self.volume(owner)] = files

    def files(self, owner):
        return self.warden.volumes[self.volume(owner)]

    def programs(self, owner):
        """What was run in it, by the words of it."""
        return [bytes(p[3].u.exec.text)[:p[3].u.exec.len].rstrip(b"\0").decode() for p in self.warden.asked("EXEC", agent=owner.agent)]

    def noted(self, owner, number):
        """Where its record is, once that says which one is the newest; sandbox is ended then."""
        wait_until("it is noted", lambda: self.record(owner)["saved"]["number"] == number and not self.record(owner)["saved"]["pending"], 10, 0.02)
        self.stop_sandbox(1, signal.SIGKILL)
        return self.state / "held-1" / agent_id(owner.asset)

    def wait_next(self, owner, boot):
        wait_until("it runs again", lambda: (a := self.warden.running(owner.agent)) and a.boot != boot and self.state_of(owner.token) == "running", 30, 0.05)


@pytest.fixture(scope="module")
def world():
    made = World(MULTICLAW_SANDBOX_SNAPSHOT_INTERVAL_S=0, MULTICLAW_SANDBOX_QUIESCE="/bin/quiet", MULTICLAW_SANDBOX_RESUME="/bin/loud")
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    yield world
    world.warden.holds.clear()
    world.signal("snapshot-store-1", signal.SIGCONT)


def begin_held(v, owner):
    """A snapshot that the agent holds still for, and that its warden does not end."""
    v.warden.holds.add("SNAPSHOT")
    before = len(v.programs(owner))
    v.ask("snapshot", token=owner.token, wait_ms=0)
    wait_until("it is being saved", lambda: v.warden.asked("SNAPSHOT", agent=owner.agent), 10, 0.02)
    assert v.programs(owner)[before:] == ["/bin/quiet"]


def test_an_agent_that_held_still_goes_on_after_a_program_that_was_in_the_way(v, owner):
    agent = v.run(owner)
    begin_held(v, owner)
    v.warden.holds.add("EXEC")
    key = v.exec_key()
    asking = threading.Thread(target=lambda: v.ask("exec", role=key, timeout=20, asset=owner.asset, argv=[{"arg": "/bin/id"}]), daemon=True)
    asking.start()
    wait_until("it is run", lambda: v.programs(owner)[-1] == "/bin/id", 10, 0.02)
    v.warden.say_snapshotted(v.warden.packet("SNAPSHOTTED", agent), outcome=UNCHANGED)
    wait_until("the snapshot has ended", lambda: v.saves(owner).get("doing", "") == "", 10, 0.02)
    assert v.programs(owner)[-1] == "/bin/id"
    v.warden.holds.discard("EXEC")
    v.warden.send(v.warden.packet("EXECED", agent))
    asking.join(20)
    wait_until("it goes on", lambda: v.programs(owner)[-1] == "/bin/loud", 10, 0.02)


def test_an_agent_that_held_still_goes_on_when_its_sandbox_stops(v, owner):
    v.run(owner)
    begin_held(v, owner)
    v.stop_sandbox(1, signal.SIGTERM)
    wait_until("it goes on", lambda: v.programs(owner)[-1] == "/bin/loud", 10, 0.02)
    v.launch_sandbox(1)
    v.wait_sandbox(1)


def test_an_agent_that_held_still_goes_on_with_the_next_warden(v, owner):
    v.run(owner)
    begin_held(v, owner)
    v.warden.stop()
    v.warden.start()
    wait_until("it goes on", lambda: v.programs(owner)[-1] == "/bin/loud", 20, 0.02)
    v.wait_sandbox(1)


def test_a_start_that_asks_for_its_files_goes_on_with_the_next_warden(v, owner):
    boot = v.run(owner).boot
    v.save(owner, b"only in the store")
    key = v.volume(owner)
    v.ask("stop", token=owner.token)
    wait_until("nothing is left of it", lambda: owner.agent not in v.warden.agents, 10, 0.02)
    del v.warden.volumes[key]
    v.signal("snapshot-store-1", signal.SIGSTOP)
    v.ask("start", token=owner.token)
    wait_until("it asks for them", lambda: v.saves(owner).get("doing") == "restore", 10, 0.02)
    v.warden.stop()
    v.warden.start()
    v.wait_sandbox(1)
    v.signal("snapshot-store-1", signal.SIGCONT)
    v.wait_next(owner, boot)
    assert v.files(owner) == b"only in the store"


def test_a_restore_goes_on_when_the_agent_ends(v, owner):
    agent = v.run(owner)
    v.save(owner, b"first")
    v.save(owner, b"second")
    v.signal("snapshot-store-1", signal.SIGSTOP)
    v.ask("restore", token=owner.token, id=1)
    v.warden.end(agent, False)
    v.signal("snapshot-store-1", signal.SIGCONT)
    wait_until("it is the newest", lambda: [s["id"] for s in v.saves(owner)["snapshots"]][0] == 3, 20, 0.02)
    wait_until("and what runs", lambda: v.warden.running(owner.agent) and v.files(owner) == b"first", 20, 0.05)


@pytest.mark.parametrize("then", ["a snapshot", "a sandbox"])
def test_a_restore_that_a_crash_left_in_the_dark_is_not_undone(v, owner, then):
    """The vault has heard of it; the record says as much as there was before the answer, and the agent runs with the other files."""
    agent = v.run(owner)
    v.save(owner, b"first")
    v.save(owner, b"second")
    wait_until("it is noted", lambda: v.record(owner)["saved"]["number"] == 2, 10, 0.02)
    before = v.record(owner)
    v.ask("restore", token=owner.token, id=1)
    v.wait_next(owner, agent.boot)
    path = v.noted(owner, 3)
    record = json.loads(path.read_text())
    saved = record["saved"]
    if then == "a snapshot":
        pending = {"until_ms": saved["versions"][0][1] + 100000, "digest": saved["digest"], "fingerprint": saved["fingerprint"], "fill": True,
                   "version": saved["versions"][0]}
        record["saved"] = {**before["saved"], "pending": pending}
    else:
        record["saved"] = {**saved, "fill": True, "filling": ""}
    path.write_text(json.dumps(record))
    v.put_files(owner, b"older than the restore")
    boot = v.warden.running(owner.agent).boot
    v.launch_sandbox(1)
    v.wait_sandbox(1)
    if then == "a snapshot":
        v.ask("snapshot", timeout=25, token=owner.token, wait_ms=20000)
    v.wait_next(owner, boot)
    assert v.files(owner) == b"first"
    assert [s["id"] for s in v.saves(owner)["snapshots"]] == [3, 2, 1]


def test_what_was_noted_by_a_clock_that_was_ahead_is_settled_all_the_same(v, owner):
    v.run(owner)
    v.save(owner, b"first")
    wait_until("it is noted", lambda: v.record(owner)["saved"]["number"] == 1, 10, 0.02)
    before = v.record(owner)["saved"]
    v.save(owner, b"second")
    path = v.noted(owner, 2)
    record = json.loads(path.read_text())
    saved = record["saved"]
    record["saved"] = {**before, "pending": {"until_ms": saved["versions"][0][1] + 10**10, "digest": saved["digest"], "fingerprint": saved["fingerprint"],
                                             "fill": False, "version": saved["versions"][0]}}
    path.write_text(json.dumps(record))
    v.launch_sandbox(1)
    v.wait_sandbox(1)
    assert v.save(owner, b"third") == 3
    assert [s["id"] for s in v.saves(owner)["snapshots"]] == [3, 2, 1]


def test_what_was_found_damaged_is_not_restored(v, owner):
    v.run(owner)
    v.save(owner, b"first")
    v.save(owner, b"second")
    path = v.noted(owner, 2)
    record = json.loads(path.read_text())
    record["saved"]["versions"][1][7] = True
    path.write_text(json.dumps(record))
    v.launch_sandbox(1)
    v.wait_sandbox(1)
    assert refusal(v.ask, "restore", token=owner.token, id=1) == ("conflict", "snapshot_damaged")
    assert v.files(owner) == b"second"
