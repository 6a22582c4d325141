"""Snapshots, with real containers, packer, store, vault and chain: what an agent wrote is there again, for its owner alone. All of it with files, and with an S3-speaking
server that checks signatures."""

import contextlib
import signal

import pytest

from parts import Refused
from sandbox_parts import Hosts
from store_parts import S3Server
from suite import wait_until
from vault_parts import own, owner  # noqa: F401


@pytest.fixture(scope="module", params=["file", "s3"])
def world(request):
    with S3Server() if request.param == "s3" else contextlib.nullcontext() as s3:
        made = Hosts(sandboxes=2, s3=s3, MULTICLAW_SANDBOX_FORMER_KEEP_S=1)
        try:
            yield made.start()
        finally:
            made.stop()


@pytest.fixture
def v(world):
    return world


def test_a_lost_volume_comes_back_from_the_snapshot(v, owner):
    v.up(owner).remember(owner, "remember me")
    made = v.save(owner)
    assert made["id"] == 1 and v.listed(owner) == [1]
    assert v.save(owner, outcome="unchanged")["id"] == 1
    v.down(owner)
    v.lose_volume(owner)
    v.up(owner)
    assert v.memory(owner) == "remember me"
    assert v.metric("multiclaw_sandbox_restores_total") == 1


def test_sleep_saves_and_a_wake_needs_no_restore(v, owner):
    v.up(owner).remember(owner, "good night")
    restores = v.metric("multiclaw_sandbox_restores_total")
    v.down(owner)
    listed = v.saves(owner).get("snapshots", [])
    assert [(s["id"], s["trigger"], s["files"]) for s in listed] == [(1, "stop", 1)], f"{v.ask('state', token=owner.token)}\n{v.log('sandbox-1', 30)}"
    v.up(owner)
    assert v.memory(owner) == "good night"
    v.down(owner)
    assert v.listed(owner) == [1], "nothing had changed"
    assert v.metric("multiclaw_sandbox_restores_total") == restores
    state = v.ask("state", token=owner.token)
    assert state["snapshot"] == 1 and state["snapshot_ms"] > 0


def test_it_moves_to_another_host_with_what_it_knows(v, owner):
    v.up(owner).remember(owner, "I travel")
    v.park(owner, "sandbox-2")
    assert v.redis.get(f"mc:place:{owner.asset}") == b"sandbox-1", "no host's to change"
    reached = v.ask("reach", token=owner.token, wait_ms=0)
    assert reached["state"] == "stopped" and "moved" in reached["why"]
    for call in ({"call": "start"}, {"call": "restart"}, {"call": "restore", "id": 1}):
        with pytest.raises(Refused) as e:
            v.ask(token=owner.token, **call)
        assert e.value.reason == "snapshot_busy"
    assert v.move(owner, "sandbox-2") == {"moved": True, "was": "sandbox-1"}
    wait_until("it is forgotten here", lambda: v.ask("state", token=owner.token).get("host"), 20)
    assert v.redis.get(f"mc:place:{owner.asset}") == b"sandbox-2"
    assert v.ask("state", token=owner.token)["host"] == "sandbox-2"
    v.up(owner, replica=2)
    assert v.memory(owner, replica=2) == "I travel"
    assert [s["trigger"] for s in v.saves(owner, replica=2)["snapshots"]] == ["move"]
    v.remember(owner, "and come back", replica=2)
    v.move(owner, "sandbox-1", replica=2)
    v.up(owner)
    assert v.memory(owner) == "and come back", "not the volume that was left here"
    v.park(owner, "sandbox-2")
    v.ask("stop", token=owner.token)  # the owner's word, and no move any more
    v.up(owner)
    assert v.memory(owner) == "and come back"


def test_objects_of_one_that_moved_and_never_started_there_outlive_its_owner_only(v, owner):
    v.up(owner).remember(owner, "I travel")
    v.park(owner, "sandbox-2")
    v.move(owner, "sandbox-2")
    wait_until("its volume is erased here", lambda: any(owner.address in line for line in v.log("sandbox-1", 80).splitlines() if "volume is erased" in line), 30)
    assert len(v.objects(owner)) == 2, "they are its owner's still"
    v.restart_sandbox()
    v.sell(owner)
    wait_until("they are swept", lambda: not v.objects(owner), 40)


def test_one_that_cannot_be_saved_is_not_moved_and_goes_on(v, owner):
    secret = "sk-live-" + "4b1e0d" * 6
    v.put_secret(owner, "custom", "key", secret)
    v.up(owner).remember(owner, f"do not tell: {secret}")
    boot = v.ask("state", token=owner.token)["boot_id"]
    refusal = wait_until("it is refused", lambda: move_refused(v, owner, "sandbox-2"), 60, 0.1)
    assert refusal.reason == "snapshot_needed"
    v.wait_next(owner, boot)
    assert v.redis.get(f"mc:place:{owner.asset}") == b"sandbox-1"


def move_refused(v, owner, to):
    try:
        v.ask("move", role="operator", asset=owner.asset, to=to)
    except Refused as e:
        return e
    return None


def test_a_lost_hosts_agent_goes_on_elsewhere_and_dies_where_it_was(v, owner):
    v.up(owner).remember(owner, "saved")
    v.save(owner)
    v.remember(owner, "not saved")
    assert v.place(owner, "sandbox-2") == {"moved": True, "was": "sandbox-1"}
    wait_until("it is killed here", lambda: not v.processes_of(owner), 20)
    v.up(owner, replica=2)
    assert v.memory(owner, replica=2) == "saved"


def test_a_buyer_gets_nothing_of_it_and_the_objects_are_removed(v, owner):
    v.up(owner).remember(owner, "the seller's")
    v.down(owner)
    wait_until("it is there", lambda: len(v.objects(owner)) == 2, 10)  # a busy Swift may list it a moment later
    sold = v.sell(owner)
    v.up(sold)
    assert v.memory(sold) == ""
    assert v.saves(sold).get("snapshots", []) == []
    v.remember(sold, "the buyer's")
    v.save(sold)
    wait_until("the seller's are swept", lambda: not any(owner.address in name for name in v.objects(owner)), 30)
    assert any(sold.address in name for name in v.objects(owner))
    v.down(sold)
    back = v.sell(sold, owner)
    v.up(back)
    assert v.memory(back) == "", "bought back, it is a new period"


def test_an_older_manifest_is_refused_and_one_that_is_missing(v, owner):
    v.up(owner).remember(owner, "one")
    v.save(owner)
    old = {name: path.read_bytes() for name, path in v.objects(owner).items()}
    v.remember(owner, "two")
    v.save(owner)
    v.down(owner)
    v.lose_volume(owner)
    newest = next(p for n, p in v.objects(owner).items() if n.endswith(".manifest") and n not in old)
    good = newest.read_bytes()
    newest.write_bytes(next(data for name, data in old.items() if name.endswith(".manifest")))
    assert "manifest" in v.refused_start(owner)
    newest.unlink()
    assert "manifest is not in the store" in v.refused_start(owner)
    newest.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert "manifest" in v.refused_start(owner)
    newest.write_bytes(good)
    v.up(owner)
    assert v.memory(owner) == "two"


def test_a_damaged_archive_falls_back_to_the_one_before(v, owner):
    v.up(owner)
    for text in ("one", "two", "three"):
        v.remember(owner, text)
        v.save(owner)
    v.down(owner)
    v.lose_volume(owner)
    archives = {int(name.rsplit("/", 1)[1].split("-")[0]): path for name, path in v.objects(owner).items() if name.endswith(".archive")}
    data = bytearray(archives[3].read_bytes())
    data[len(data) // 2] ^= 1
    archives[3].write_bytes(data)
    archives[2].unlink()
    v.up(owner)
    assert v.memory(owner) == "one"
    shown = v.saves(owner)
    assert [(s["id"], s.get("damaged", False)) for s in shown["snapshots"]] == [(3, True), (2, True), (1, False)]
    assert "damaged" in v.ask("state", token=owner.token)["snapshot_why"]
    v.remember(owner, "four")
    assert v.save(owner)["id"] == 4
    v.restore(owner, 1)
    assert v.memory(owner) == "one"
    assert v.listed(owner)[0] == 5


def test_a_planted_secret_refuses_it_and_an_exclusion_lets_the_rest_pass(v, owner):
    secret = "sk-live-" + "7f3a9c" * 6
    v.put_secret(owner, "custom", "key", secret)
    v.up(owner).remember(owner, "harmless")
    v.save(owner)
    v.remember(owner, f"do not tell: {secret}")
    refused = v.save(owner, outcome="secret_found")
    assert refused["path"] == "notes/memory.txt" and refused["kind"].startswith("custom/key")
    assert secret not in str(refused) and v.listed(owner) == [1]
    assert "notes/memory.txt" in v.ask("state", token=owner.token)["snapshot_why"]
    v.put_secret(owner, "custom", "snapshot-exclude", "# mine\n/data/notes/memory.txt\n")
    assert v.save(owner, outcome="empty")["id"] == 1, "never an empty one in place of one that is not"
    for log in (v.state / "log").glob("*.log"):
        assert secret not in log.read_text(errors="replace"), log


def test_one_of_two_hosts_goes_on(v, owner):
    v.up(owner).remember(owner, "first")
    v.save(owner)
    v.signal("sandbox-1", signal.SIGSTOP)  # nobody tells it
    v.redis.set(f"mc:place:{owner.asset}", "sandbox-2")
    v.up(owner, replica=2)
    v.remember(owner, "second", replica=2)
    assert v.save(owner, replica=2)["id"] == 2
    v.redis.set(f"mc:place:{owner.asset}", "sandbox-1")
    v.signal("sandbox-1", signal.SIGCONT)
    v.wait_state(owner.token, "running", 30)
    v.remember(owner, "torn away")
    refused = v.save(owner, outcome="failed")
    assert "another host" in refused["why"] and not refused.get("id") == 3
    v.restart(owner)
    assert v.memory(owner) == "second"


def offered(v, owner):
    shown = v.saves(owner)
    return shown if "roots" in shown else None


def test_folders_are_handed_over_by_the_sellers_word(v, owner):
    v.up(owner).remember(owner, "for whoever comes next")
    answer = v.ask("hand_over", timeout=25, token=owner.token, roots=[{"root": "notes"}], wait_ms=20000)
    assert answer["outcome"] == "handed_over", answer
    sold = v.sell(owner)
    v.up(sold)
    assert v.memory(sold) == ""
    shown = wait_until("it is offered, once the sale is final", lambda: offered(v, sold), 60, 0.5)
    assert shown["roots"] == [{"root": "notes"}] and shown["handed_wallet"] == owner.address and shown["handed_bytes"] > 0
    v.remember(sold, "mine")
    v.ask("accept", token=sold.token, wanted=True)
    wait_until("it is taken over", lambda: v.saves(sold).get("doing", "") == "" and v.state_of(sold.token) == "running"
               and v.memory(sold) == "for whoever comes next", 60, 0.2)
    assert v.save(sold)["id"] == 2
    try:
        wait_until("it is not offered any more", lambda: not any(n.startswith("handed-over") for n in v.objects(owner)), 30)
    except AssertionError as e:
        raise AssertionError(f"{e}\n{v.log('sandbox-1', 30)}") from None
    assert "roots" not in v.saves(sold)
