"""chain-oracle against a real development chain and a real Redis: what it sees, how soon, and what bad nodes can do to it (little)."""

import base64
import hashlib
import os
import pathlib
import signal
import time

import pytest
import redis

from oracle_parts import Oracle, Refused
from redis_server import LEDGER
from suite import Wallet, b58decode, b58encode, wait_until

U64_MAX = 2**64 - 1


def gone(one, name="chain-oracle-1"):
    return one.processes[name].poll() is not None


@pytest.fixture(scope="module")
def world():
    made = Oracle(MULTICLAW_RPC_TIMEOUT_MS=500)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def slow_world():
    made = Oracle(MULTICLAW_SWEEP_S=60)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def slow(slow_world):
    """One that sweeps so seldom that only push, or a sign-in, can have seen something."""
    yield slow_world
    assert not gone(slow_world), slow_world.log("chain-oracle-1", 60)
    slow_world.ok()


@pytest.fixture
def o(world):
    """The shared one, with every node well again before and after."""
    yield world
    assert not gone(world), world.log("chain-oracle-1", 60)
    world.ok()
    wait_until("nodes well", lambda: world.healthy("a") and world.healthy("b"), 40)
    wait_until("push", lambda: world.live() == 2, 40)


@pytest.fixture
def own():
    made = []

    def make(*args, **kwargs):
        made.append(Oracle(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def alice():
    return Wallet()


@pytest.fixture
def bob():
    return Wallet()


@pytest.fixture
def asset(o, alice):
    return o.mint(alice)


def refused(function, *args, **kwargs):
    with pytest.raises(Refused) as e:
        function(*args, **kwargs)
    return e.value.status, e.value.reason


def changed_by(o, source, replica=1):
    return o.metric("multiclaw_oracle_observations_total", f'source="{source}",result="changed"', replica)


def wait_for_owner(o, asset, owner, seconds=10):
    wait_until(f"{asset} of {owner}", lambda: o.record_owner(asset) == owner, seconds)


def tries(o, asset, wallet, seconds=10):
    """Signs in as a patient client does."""

    def once():
        try:
            return o.sign_in(asset, wallet)
        except Refused as e:
            assert (e.status, e.reason) == ("unavailable", "chain_unavailable"), e
            return None

    return wait_until("a sign-in", once, seconds, 0.1)


# ---- the sign-in's read


def test_says_who_owns_an_asset_and_begins_to_watch_it(o, alice, asset):
    slot = o.sign_in(asset, alice)
    assert o.record(asset) == (alice.address, slot, 0)
    assert o.redis.sismember("mc:assets", asset)
    assert slot > o.chain()[0] - 1
    answer = o.owner(asset, alice)
    assert answer["name"] == "an agent" and answer["history"] == o.redis.hget("mc:history", "id")
    assert answer["slot"] >= slot


def test_watches_nothing_for_somebody_who_does_not_own_it(o, alice, bob, asset):
    answer = o.owner(asset, bob)
    assert (answer["verdict"], answer["owner"]) == ("owned", alice.address)
    assert o.record(asset) is None and not o.redis.sismember("mc:assets", asset)


def test_has_a_verdict_for_every_kind_of_account(o, alice):
    account = lambda data, program: o.devchain("set_account", key=(key := b58encode(os.urandom(32))), program=program,
                                               data=base64.b64encode(data).decode(), lamports=1000000, wait="confirmed") and key
    core = "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d"
    head = b"\1" + b58decode(alice.address)
    inside = head + b"\2" + b58decode(o.collection)
    rest = (4).to_bytes(4, "little") + b"name" + (3).to_bytes(4, "little") + b"uri" + b"\0"
    program_address = b58encode(next(k for k in (hashlib.sha256(bytes([i])).digest() for i in range(99)) if not on_curve(k)))
    rows = {
        b58encode(os.urandom(32)): "missing",
        account(inside + rest, core): "owned",
        account(inside + rest + b"\3" + b"\xff" * 200, core): "owned",
        account(inside + rest, alice.address): "wrong_program",
        account(b"\0", core): "burned",
        account(b"\2" + bytes(32), core): "hashed",
        account(inside + rest[:-1], core): "malformed",
        account(inside + b"\xff\xff\xff\xff" + rest, core): "malformed",
        account(b"\5" + bytes(71), core): "malformed",
        account(head + b"\0" + rest, core): "no_collection",
        account(head + b"\1" + b58decode(o.collection) + rest, core): "no_collection",
        account(head + b"\2" + os.urandom(32) + rest, core): "wrong_collection",
        account(b"\1" + b58decode(program_address) + inside[33:] + rest, core): "off_curve",
        account(inside + (10_000_000).to_bytes(4, "little") + bytes(40_000), core): "malformed",
        account(inside + rest + bytes(40_000), core): "owned",
    }
    for key, verdict in rows.items():
        answer = o.owner(key, alice)
        assert answer["verdict"] == verdict, key
        named = {"owned": alice.address, "off_curve": program_address}.get(verdict, "")
        assert answer.get("owner", "") == named


def on_curve(key):
    p = 2**255 - 19
    y = int.from_bytes(key, "little") & (2**255 - 1)
    x2 = (y * y - 1) * pow(-121665 * pow(121666, p - 2, p) * y * y + 1, p - 2, p) % p
    return x2 == 0 or pow(x2, (p - 1) // 2, p) == 1


def test_refuses_what_is_no_address_and_who_may_not_ask(o, alice, asset):
    assert refused(o.owner, "0" * 44, alice) == ("invalid", "asset_invalid")
    assert refused(o.owner, "1" * 33, alice) == ("invalid", "asset_invalid")
    assert refused(o.owner, asset, "l" * 44) == ("invalid", "wallet_invalid")
    assert refused(o.oracle.call, "oracle.assets", wallet="l" * 44) == ("invalid", "wallet_invalid")
    assert refused(o.oracle.call, "oracle.reset", asset=asset)[0] == "denied"
    router = o.peer("router", "chain-oracle")
    assert refused(o.owner, asset, alice, peer=router)[0] == "denied"


def test_an_operator_repairs_a_poisoned_record(o, alice, asset):
    slot = o.sign_in(asset, alice)
    o.redis.hset(f"mc:owner:{asset}", mapping={"owner": "nobody", "seen_slot": f"{slot + 10**6:020d}", "other_slot": f"{slot:020d}"})
    assert refused(o.owner, asset, alice) == ("unavailable", "chain_unavailable")
    operator = o.peer("operator", "chain-oracle")
    answer = operator.call("oracle.reset", asset=asset)
    assert answer["history"] == o.redis.hget("mc:history", "id") and o.events(asset)[-1] == "reset"
    assert o.record(asset) is None
    tries(o, asset, alice)
    assert o.record_owner(asset) == alice.address


# ---- seeing


def test_push_shows_a_transfer_at_once(slow, alice, bob):
    asset = slow.mint(alice)
    slot = slow.sign_in(asset, alice)
    before = changed_by(slow, "push")
    slow.transfer(asset, bob)
    wait_for_owner(slow, asset, bob.address, 1)
    owner, seen, other = slow.record(asset)
    assert other >= slot and seen > other and slow.events(asset) == ["transfer"]
    wait_until("it is counted", lambda: changed_by(slow, "push") == before + 1, 1)


def test_push_shows_burns_and_moves_out(slow, alice):
    burned, moved, standalone = (slow.mint(alice) for _ in range(3))
    for one in (burned, moved, standalone):
        slow.sign_in(one, alice)
    before = changed_by(slow, "push")
    collection = slow.devchain("create_collection", wait="confirmed")["collection"]
    slow.devchain("burn", asset=burned, wait="confirmed")
    slow.devchain("move", asset=moved, to=collection, wait="confirmed")
    slow.devchain("move", asset=standalone, to=alice.address, wait="confirmed")
    for one in (burned, moved, standalone):
        wait_for_owner(slow, one, "nobody", 1)
        assert slow.events(one) == ["transfer"]
    wait_until("they are counted", lambda: changed_by(slow, "push") == before + 3, 1)
    assert slow.owner(burned, alice)["verdict"] == "burned"
    assert slow.owner(moved, alice)["verdict"] == "wrong_collection"
    assert slow.owner(standalone, alice)["verdict"] == "no_collection"


def test_the_sweep_finds_what_push_does_not_say(o, alice, bob, asset):
    other = o.mint(alice)
    o.sign_in(asset, alice)
    o.sign_in(other, alice)
    for node in "ab":
        o.fault(node, mute_push=True)
    before = changed_by(o, "sweep")
    o.transfer(asset, bob)
    o.devchain("burn", asset=other, wait="confirmed")
    wait_for_owner(o, asset, bob.address, 5)
    wait_for_owner(o, other, "nobody", 5)
    wait_until("they are counted", lambda: changed_by(o, "sweep") == before + 2, 1)
    assert o.events(asset) == o.events(other) == ["transfer"]


def test_the_buyers_sign_in_throws_the_seller_out_while_push_is_mute(slow, alice, bob):
    asset = slow.mint(alice)
    slow.sign_in(asset, alice)
    for node in "ab":
        slow.fault(node, mute_push=True)
    slow.transfer(asset, bob)
    assert slow.record_owner(asset) == alice.address
    slot = slow.sign_in(asset, bob)
    assert slow.record(asset)[0] == bob.address and slow.events(asset) == ["transfer"]
    assert slot > slow.record(asset)[2]


def test_a_seller_is_told_of_the_buyer(o, alice, bob, asset):
    o.sign_in(asset, alice)
    o.transfer(asset, bob)
    answer = o.owner(asset, alice)
    assert (answer["verdict"], answer["owner"]) == ("owned", bob.address)


def test_what_a_fork_takes_back_never_was(o, alice, bob, asset):
    o.sign_in(asset, alice)
    o.devchain("transfer", asset=asset, to=bob.address, wait="processed")
    o.devchain("fork", slots=2)
    slot, sweeps = o.chain()[0], o.sweeps()
    wait_until("a sweep", lambda: o.sweeps() > sweeps and o.chain()[0] > slot + 40, 10)
    assert o.record_owner(asset) == alice.address and o.events(asset) == []


def test_an_asset_that_another_replica_signed_in_is_watched(own, alice, bob):
    o = own(replicas=2, MULTICLAW_SWEEP_S=60).start()
    asset = o.mint(alice)
    o.sign_in(asset, alice, peer=o.peer("auth", "chain-oracle", 1))
    watched = o.redis.xadd("mc:events", {"h": o.redis.hget("mc:history", "id"), "a": asset, "k": "session"})
    wait_until("the other one watches", lambda: "1 assets watched" in o.ops("/readyz", 2), 3)
    assert watched
    o.signal("chain-oracle-1", signal.SIGSTOP)
    try:
        o.devchain("burn", asset=asset, wait="confirmed")
        wait_for_owner(o, asset, "nobody", 3)
    finally:
        o.signal("chain-oracle-1", signal.SIGCONT)
    assert o.events(asset) == ["session", "transfer"]


# ---- the sweep and mc:chain


def test_a_sweep_of_any_replica_is_everybodys(own):
    o = own(MULTICLAW_SWEEP_S=1).start()
    o.env["MULTICLAW_SWEEP_S"] = "4"
    o.launch_daemon("chain-oracle-2")
    wait_until("ready", lambda: o.is_ready("chain-oracle-2"), 10)
    time.sleep(1)
    first, second = o.sweeps(replica=1), o.sweeps(replica=2)
    time.sleep(6)
    assert o.sweeps(replica=1) >= first + 4 and o.sweeps(replica=2) == second
    o.signal("chain-oracle-1", signal.SIGSTOP)
    try:
        wait_until("the other one goes on", lambda: o.sweeps(replica=2) > second, 8)
    finally:
        o.signal("chain-oracle-1", signal.SIGCONT)


def test_a_clock_of_redis_that_was_set_back_holds_up_no_sweep(o, alice, asset):
    o.sign_in(asset, alice)
    ahead = int(time.time() * 1000) + 86400000
    o.redis.hset("mc:chain", "at", ahead)
    wait_until("it sweeps as before", lambda: o.chain()[1] < ahead, 6)


def test_what_happened_while_it_was_down_is_found_at_the_start(own, alice, bob):
    o = own(MULTICLAW_SWEEP_S=60).start()
    asset, kept = o.mint(alice), o.mint(alice)
    o.sign_in(asset, alice)
    o.sign_in(kept, alice)
    record = o.record(kept)
    o.signal("chain-oracle-1", signal.SIGKILL)
    o.processes["chain-oracle-1"].wait()
    o.transfer(asset, bob)
    o.launch_oracles(wait=False)
    wait_for_owner(o, asset, bob.address, 5)
    assert o.record(kept)[0] == record[0] and o.record(kept)[2] == record[2] and o.events(kept) == []


def test_what_happened_while_redis_was_down_is_found_after(own, alice, bob):
    o = own(MULTICLAW_SWEEP_S=60).start()
    asset = o.mint(alice)
    o.sign_in(asset, alice)
    o.signal("redis", signal.SIGKILL)
    o.processes["redis"].wait()
    o.transfer(asset, bob)
    assert refused(o.owner, asset, bob)[0] == "unavailable"
    o.launch_redis()
    wait_for_owner(o, asset, bob.address, 5)
    tries_until = time.monotonic() + 5
    while time.monotonic() < tries_until:
        try:
            assert o.sign_in(asset, bob)
            break
        except Refused:
            time.sleep(0.1)
    else:
        raise AssertionError("no sign-in after Redis came back")


def test_a_chain_that_restarts_goes_on(own, alice, bob):
    o = own(MULTICLAW_SWEEP_S=1, MULTICLAW_RPC_TIMEOUT_MS=500).start()
    asset = o.asset_of("alice")
    wallet = o.wallet("alice")
    slot = o.sign_in(asset, wallet)
    o.signal("devchain", signal.SIGKILL)
    o.processes["devchain"].wait()
    assert refused(o.owner, asset, wallet) == ("unavailable", "chain_unavailable")
    assert not o.is_ready("chain-oracle-1")
    o.launch_chain()
    assert tries(o, asset, wallet, 30) > slot
    o.transfer(asset, bob)
    wait_for_owner(o, asset, bob.address, 10)
    wait_until("ready", lambda: o.is_ready("chain-oracle-1"), 10)


def test_a_dropped_connection_is_made_again_and_swept(o, alice, bob, asset):
    o.sign_in(asset, alice)
    sweeps = o.sweeps()
    for node in "ab":
        o.devchain("drop_ws", node=node)
    o.transfer(asset, bob)
    wait_for_owner(o, asset, bob.address, 3)
    wait_until("a sweep", lambda: o.sweeps() > sweeps, 3)
    wait_until("push", lambda: o.live() == 2, 5)


def test_a_dead_line_is_noticed(own, alice, bob):
    o = own("a", MULTICLAW_SWEEP_S=60).start()
    assert o.live() == 1
    o.fault("a", mute_push=True)
    wait_until("the silence is noticed", lambda: "nothing heard for 10 s" in o.log("chain-oracle-1", 100), 15)


def test_accounts_beyond_the_limit_wait_for_the_sweep(own, alice):
    o = own(MULTICLAW_WATCH_MAX=1, MULTICLAW_SWEEP_S=3).start()
    first, second = o.mint(alice), o.mint(alice)
    o.sign_in(first, alice)
    o.sign_in(second, alice)
    o.devchain("burn", asset=second, wait="confirmed")
    wait_for_owner(o, second, "nobody", 6)
    wait_until("it is counted", lambda: changed_by(o, "sweep") == 1, 1)
    assert changed_by(o, "push") == 0


def test_hundreds_of_assets_are_swept_in_pages(own, alice, bob):
    o = own(MULTICLAW_SWEEP_S=1, MULTICLAW_WATCH_MAX=0).start()
    assets = [o.devchain("mint", owner=alice.address, collection=o.collection, count=50)["assets"] for _ in range(10)]
    assets = [a if isinstance(a, str) else a["asset"] for some in assets for a in some]
    time.sleep(0.5)
    for one in assets:
        o.sign_in(one, alice)
    assert o.redis.scard("mc:assets") == 500
    slot = o.chain()[0]
    wait_until("a sweep", lambda: o.chain()[0] > slot, 5)
    for node in "ab":
        o.fault(node, mute_push=True)
    for one in assets[::10]:
        o.devchain("transfer", asset=one, to=bob.address)
    wait_until("all are seen", lambda: sum(o.record_owner(a) == bob.address for a in assets) == 50, 10)


# ---- two nodes


def test_two_nodes_that_disagree_let_nobody_in(o, alice, bob, asset):
    o.sign_in(asset, alice)
    for liar in "ab":
        o.devchain("lie", node=liar, asset=asset, owner=bob.address)
        before = o.metric("multiclaw_oracle_disagreements_total")
        results = {refused(o.owner, asset, w) for w in (alice,) if liar == "b"} | {refused(o.owner, asset, w) for w in (bob,) if liar == "a"}
        assert results == {("unavailable", "chain_unavailable")}
        assert o.metric("multiclaw_oracle_disagreements_total") == before + 1
        assert o.events(asset)[-1] == "transfer"
        o.ok(liar)
        tries(o, asset, alice)
    owner, seen, other = o.record(asset)
    assert owner == alice.address and o.sign_in(asset, alice) > other


@pytest.mark.parametrize("liar", "ab")
def test_a_node_that_claims_to_be_ahead_is_not_believed_alone(own, alice, bob, liar):
    """Its slot is one that could be: the honest node must not count as one that lags for that."""
    o = own().start()
    asset = o.mint(bob)
    o.sign_in(asset, bob)
    honest = "ab".replace(liar, "")
    o.devchain("lie", node=liar, asset=asset, owner=alice.address)
    o.fault(liar, ahead=200)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            assert o.owner(asset, alice)["owner"] != alice.address
        except Refused as e:
            assert e.status == "unavailable", e
        assert o.healthy(honest), "set aside for another's claim"
    o.ok(liar)
    wait_until("its slots have come", lambda: tries(o, asset, bob), 30)


def test_one_nodes_word_is_enough_to_refuse(o, alice, bob, asset):
    o.sign_in(asset, alice)
    o.devchain("lie", node="a", asset=asset, owner=bob.address)
    answer = o.owner(asset, alice)
    assert answer["owner"] == bob.address
    assert o.record(asset)[2] > 0 and o.events(asset)[0] == "transfer"


def test_a_lagging_second_node_does_not_turn_the_buyer_away(slow, alice, bob):
    asset = slow.mint(alice)
    slow.sign_in(asset, alice)
    slow.fault("b", lag=15, mute_push=True)
    slow.fault("a", mute_push=True)
    slow.transfer(asset, bob)
    slot = slow.sign_in(asset, bob)
    assert slot > slow.record(asset)[2]


def test_a_second_node_that_is_busy_is_not_an_absent_one(own, alice, bob):
    o = own(MULTICLAW_SWEEP_S=60).start()
    asset = o.mint(bob)
    o.devchain("lie", node="a", asset=asset, owner=alice.address)
    o.fault("b", delay=300)
    sent = [o.oracle.send("oracle.owner", asset=asset, wallet=alice.address) for _ in range(150)]
    answers = [o.oracle.receive() for _ in sent]
    assert not [body for _, body in answers if body and body["owner"] == alice.address]


def test_a_frozen_node_is_set_aside(o, alice, bob, asset):
    o.sign_in(asset, alice)
    o.fault("a", freeze=True)
    slot = o.chain()[0]
    o.transfer(asset, bob)
    wait_for_owner(o, asset, bob.address, 5)
    wait_until("set aside", lambda: not o.healthy("a"), 20)
    assert "too far behind" in o.log("chain-oracle-1", 60)
    assert o.healthy("b") and tries(o, asset, bob) > slot
    wait_until("mc:chain goes on", lambda: o.chain()[0] > slot + 100, 10)


def test_a_node_that_moves_but_is_10_minutes_behind_is_set_aside(o, alice, asset):
    o.fault("a", skew_clock=600)
    o.sign_in(asset, alice)
    wait_until("set aside", lambda: not o.healthy("a"), 1)
    assert "chain's clock too far behind" in o.log("chain-oracle-1", 60)
    o.sign_in(asset, alice)
    o.fault("b", skew_clock=600)
    assert refused(o.owner, asset, alice) == ("unavailable", "chain_unavailable")
    slot = o.chain()[0]
    time.sleep(3)
    assert o.chain()[0] == slot
    o.ok()
    tries(o, asset, alice)


FAULTS = {
    "silent": {"silent": True},
    "429": {"refuse": True},
    "429 inside 200": {"refuse_quiet": True},
    "HTML": {"html": True},
    "half a body": {"half_body": True},
    "half a JSON": {"half_json": True},
    "a wrong id": {"wrong_id": True},
    "slot u64 max": {"bad_slot": True},
    "a lower slot": {"lower_slot": 200},
    "10 s late": {"delay": 10000},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_node_harms_nobody(o, alice, bob, asset, name):
    o.sign_in(asset, alice)
    slot, at = o.chain()
    o.fault("a", **FAULTS[name])
    tries(o, asset, alice, 10)
    o.transfer(asset, bob)
    wait_for_owner(o, asset, bob.address, 10)
    wait_until("mc:chain goes on", lambda: o.chain()[0] > slot + 20, 15)
    assert o.chain()[0] < slot + 10000 and o.record(asset)[1] < slot + 10000
    assert tries(o, asset, bob, 10)


@pytest.mark.parametrize("name", FAULTS)
def test_with_only_bad_nodes_nobody_gets_in(o, alice, asset, name):
    o.sign_in(asset, alice)
    record = o.record(asset)
    for node in "ab":
        o.fault(node, **FAULTS[name])
    assert refused(o.owner, asset, alice) == ("unavailable", "chain_unavailable")
    slot = o.chain()[0]
    time.sleep(1)
    assert o.chain()[0] == slot and o.record(asset)[::2] == record[::2] and o.events(asset) == []
    o.ok()
    tries(o, asset, alice, 40)


def test_retry_after_is_kept(o, alice, asset):
    requests = lambda: o.metric("multiclaw_oracle_rpc_requests_total", 'node="0",outcome="limited"')
    o.fault("a", refuse=True, retry_after=5)
    wait_until("limited", lambda: requests() > 0 and not o.healthy("a"), 10)
    time.sleep(0.5)
    before = requests()
    time.sleep(3)
    assert requests() - before <= 1
    assert o.sign_in(asset, alice)


# ---- at finalized


def read_finalized(o, asset, min_slot=0, seconds=10):
    """Asks again as the vault does, until it is told."""

    def once():
        try:
            return o.finalized(asset, min_slot)
        except Refused as e:
            assert (e.status, e.reason) in (("unavailable", "not_finalized"), ("unavailable", "chain_unavailable")), e
            return None

    return wait_until("a reading at finalized", once, seconds, 0.1)


def until_finalized(o, asset):
    """Since its minting is."""
    wait_until("finalized", lambda: read_finalized(o, asset)["verdict"] == "owned", 10)


def observations(o):
    return sum(float(line.rsplit(" ", 1)[1]) for line in o.ops("/metrics").splitlines()
               if line.startswith("multiclaw_oracle_observations_total{source=\"sign_in\""))


def test_what_is_finalized_is_said_by_two_nodes_and_written_nowhere(slow, alice, bob):
    asset = slow.mint(alice)
    until_finalized(slow, asset)
    slow.sign_in(asset, alice)
    slow.transfer(asset, bob)
    wait_for_owner(slow, asset, bob.address)
    _, seen, _ = slow.record(asset)
    answer = read_finalized(slow, asset, seen)
    assert (answer["verdict"], answer["owner"], answer["nodes"]) == ("owned", bob.address, 2)
    record, before = slow.record(asset), observations(slow)
    assert answer["slot"] >= seen
    assert slow.finalized(asset, seen)["slot"] >= answer["slot"]
    other = slow.mint(alice)
    until_finalized(slow, other)
    assert slow.record(asset) == record and observations(slow) == before
    assert slow.record(other) is None and not slow.redis.sismember("mc:assets", other)


def test_what_is_not_finalized_yet_is_no_answer(o, alice, bob, asset):
    until_finalized(o, asset)
    o.sign_in(asset, alice)
    o.transfer(asset, bob)
    wait_for_owner(o, asset, bob.address)
    _, seen, _ = o.record(asset)
    with pytest.raises(Refused) as e:
        o.finalized(asset, seen)
    assert (e.value.status, e.value.reason, e.value.retry_after_s) == ("unavailable", "not_finalized", 5)
    earlier = o.finalized(asset)
    assert earlier["slot"] < seen and earlier["owner"] == alice.address, "so it was, then"
    assert read_finalized(o, asset, seen)["owner"] == bob.address
    assert refused(o.finalized, asset, U64_MAX) == ("unavailable", "not_finalized")


def test_what_has_no_owner_is_told_at_finalized(o, alice):
    burned, moved, never = o.mint(alice), o.mint(alice), b58encode(os.urandom(32))
    for one in (burned, moved):
        until_finalized(o, one)
        o.sign_in(one, alice)
    o.devchain("burn", asset=burned, wait="confirmed")
    o.devchain("move", asset=moved, to=b58encode(os.urandom(32)), wait="confirmed")
    for one, verdicts in ((burned, ("burned",)), (moved, ("no_collection", "wrong_collection"))):
        wait_for_owner(o, one, "nobody")
        _, seen, _ = o.record(one)
        answer = read_finalized(o, one, seen)
        assert answer["verdict"] in verdicts and not answer.get("owner") and answer["slot"] >= seen
    assert o.finalized(never)["verdict"] == "missing"


def test_one_lying_node_is_no_evidence(o, alice, bob, asset):
    """Whichever of the two it is."""
    until_finalized(o, asset)
    o.sign_in(asset, alice)
    for liar in "ab":
        record = o.record(asset)
        before = o.metric("multiclaw_oracle_finalized_total", 'result="disagreed"')
        o.devchain("lie", node=liar, asset=asset, owner=bob.address)
        assert refused(o.finalized, asset) == ("conflict", "chain_disagrees")
        assert o.metric("multiclaw_oracle_finalized_total", 'result="disagreed"') == before + 1
        o.ok(liar)
        assert o.finalized(asset)["owner"] == alice.address
        assert o.record(asset)[0] in (record[0], bob.address), "push and sweep may have heard the lie"


def test_one_node_of_two_is_not_enough(o, alice, asset):
    until_finalized(o, asset)
    for bad in "ab":
        o.fault(bad, skew_clock=600)
        o.sign_in(asset, alice)  # reads both
        wait_until("set aside", lambda: not o.healthy(bad), 10)
        assert refused(o.finalized, asset) == ("unavailable", "chain_unavailable")
        o.ok(bad)
        wait_until("well", lambda: o.healthy(bad), 20)
    assert o.finalized(asset)["nodes"] == 2


@pytest.mark.parametrize("name, bad", [*((name, "b") for name in FAULTS), ("slot u64 max", "a"), ("a lower slot", "a")])
def test_a_bad_node_gives_no_evidence_and_takes_none_back(o, alice, bob, asset, name, bad):
    until_finalized(o, asset)
    slot = o.devchain("transfer", asset=asset, to=bob.address, wait="finalized")["slot"]
    o.fault(bad, **FAULTS[name])
    for _ in range(3):
        try:
            answer = o.finalized(asset, slot)
            assert answer["owner"] == bob.address and answer["nodes"] == 2 and slot <= answer["slot"] < slot + 10**6
        except Refused as e:
            assert (e.status, e.reason) in (("unavailable", "chain_unavailable"), ("unavailable", "not_finalized")), e
    o.ok(bad)
    assert read_finalized(o, asset, slot, 40)["owner"] == bob.address


def test_a_node_that_is_a_little_behind_is_waited_for(slow, alice, bob):
    asset = slow.mint(alice)
    until_finalized(slow, asset)
    slow.fault("b", lag=15)
    slow.devchain("transfer", asset=asset, to=bob.address, wait="finalized")
    answer = slow.finalized(asset)
    assert answer["owner"] == bob.address and answer["nodes"] == 2


def test_readings_at_finalized_say_nothing_of_how_a_node_is(slow, alice):
    asset = slow.mint(alice)
    until_finalized(slow, asset)
    for node in (0, 1):
        slot = slow.metric("multiclaw_oracle_node_slot", f'node="{node}"')
        for _ in range(5):
            slow.finalized(asset)
        assert slow.metric("multiclaw_oracle_node_slot", f'node="{node}"') >= slot
    assert slow.healthy("a") and slow.healthy("b")


def test_not_too_many_readings_at_finalized_at_once(slow, alice):
    asset = slow.mint(alice)
    until_finalized(slow, asset)
    for node in "ab":
        slow.fault(node, delay=300)
    sent = [slow.vault.send("oracle.finalized", asset=asset, min_slot=0) for _ in range(40)]
    statuses = [slow.vault.receive()[0]["status"] for _ in sent]
    assert (statuses.count("ok"), statuses.count("busy")) == (16, 24)
    slow.ok()
    assert read_finalized(slow, asset)


@pytest.mark.parametrize("listed", (False, True))
def test_the_owner_of_what_is_held_without_a_record_begins_one(o, alice, bob, asset, listed):
    """As after a reset, or in a Redis that lost everything; listed: though nothing should be."""
    as_role(o, "secret-vault", "hold", asset, "vault")
    if listed:
        o.redis.sadd("mc:assets", asset)
    sweeps = o.sweeps()
    wait_until("two sweeps", lambda: o.sweeps() >= sweeps + 2, 10)
    assert o.record(asset) is None, "nobody has said whose it is"
    vault = o.vault
    assert o.owner(asset, bob, peer=vault)["owner"] == alice.address
    assert o.record(asset) is None, "nor does who only asks"
    slot = o.owner(asset, alice, peer=vault)["slot"]
    assert o.record(asset)[:2] == (alice.address, slot) and o.redis.sismember("mc:assets", asset)
    o.transfer(asset, bob)
    wait_for_owner(o, asset, bob.address)
    as_role(o, "secret-vault", "release", asset, "vault")


def as_role(o, role, *arguments):
    """An operation of the ledger with that role's rights in Redis."""
    password = (o.state / f"keys/redis/{role}.password").read_text().strip()
    with redis.Redis(unix_socket_path=str(o.state / "run/redis.sock"), username=role, password=password, decode_responses=True) as client:
        return client.eval(LEDGER, 0, *arguments)


def test_who_holds_something_and_who_forgets_have_the_rights_they_need_and_no_more(o, alice, asset):
    slot = o.sign_in(asset, alice)
    assert as_role(o, "secret-vault", "hold", asset, "vault")[2:4] == [alice.address, f"{slot:020d}"]
    assert as_role(o, "secret-vault", "owner", asset)[2] == alice.address
    wait_until("a sweep", lambda: o.chain()[0] > slot, 10)
    assert as_role(o, "chain-oracle", "forget", asset)[1] == "0"
    for role, *operation in (("secret-vault", "forget", asset), ("secret-vault", "reset", asset),
                             ("secret-vault", "observe", asset, "nobody", f"{slot:020d}", "1"), ("chain-oracle", "release", asset, "vault"),
                             ("router", "hold", asset, "vault"), ("auth", "owner", asset), ("session", "hold", asset, "vault")):
        with pytest.raises(redis.exceptions.ResponseError, match="can't"):
            as_role(o, role, *operation)
    assert as_role(o, "secret-vault", "release", asset, "vault")[1] == "1"
    wait_until("a sweep beyond what was seen", lambda: as_role(o, "chain-oracle", "forget", asset)[1] == "1", 10)


def test_only_the_vault_reads_at_finalized(o, asset):
    for role in ("auth", "router", "session", "operator", "sandbox"):
        assert refused(o.finalized, asset, peer=o.peer(role, "chain-oracle"))[0] == "denied"
    assert refused(o.finalized, "0" * 44) == ("invalid", "asset_invalid")


# ---- one node, other chains


def test_a_single_node_is_named_as_trusted_entirely(own, alice, bob):
    o = own("a", MULTICLAW_SWEEP_S=1).start()
    assert "its word alone decides" in (o.state / "log/chain-oracle-1.log").read_text()
    asset = o.mint(alice)
    o.sign_in(asset, alice)
    o.transfer(asset, bob)
    wait_for_owner(o, asset, bob.address, 3)
    answer = read_finalized(o, asset, o.record(asset)[1])
    assert (answer["owner"], answer["nodes"]) == (bob.address, 1)
    slot, at = o.chain()
    o.fault("a", freeze=True)
    time.sleep(3)
    assert o.chain()[1] <= at + 1500, "a frozen node's sweeps must not count"


def test_state_of_another_chain_stops_the_start(own):
    o = own()
    o.start()
    o.signal("chain-oracle-1", signal.SIGTERM)
    assert o.processes["chain-oracle-1"].wait(timeout=10) == 0
    o.redis.hset("mc:chain", "genesis", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")
    slot = o.chain()
    o.launch_daemon("chain-oracle-1")
    assert o.processes["chain-oracle-1"].wait(timeout=10) == 1
    assert "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d" in o.log("chain-oracle-1", 3)
    assert o.chain() == slot


def test_nothing_is_written_into_the_state_of_another_chain(own, alice, bob):
    o = own(MULTICLAW_SWEEP_S=1).start()
    asset = o.mint(alice)
    o.sign_in(asset, alice)
    genesis = o.redis.hget("mc:chain", "genesis")
    o.redis.hset("mc:chain", "genesis", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")
    wait_until("it is noticed", lambda: not o.is_ready("chain-oracle-1"), 3)
    record, chain = o.record(asset), o.redis.hgetall("mc:chain")
    o.devchain("burn", asset=asset, wait="confirmed")
    assert refused(o.owner, asset, alice) == ("unavailable", "chain_unavailable")
    time.sleep(1.5)
    assert o.record(asset) == record and o.redis.hgetall("mc:chain") == chain
    o.redis.hset("mc:chain", "genesis", genesis)
    wait_for_owner(o, asset, "nobody", 5)


def test_an_api_key_is_never_logged(own, alice):
    key = "kR4zyTopSecret"
    o = own()
    o.start()
    o.signal("chain-oracle-1", signal.SIGTERM)
    assert o.processes["chain-oracle-1"].wait(timeout=10) == 0
    o.env["SOLANA_RPC_URL"] = ",".join(f"http://127.0.0.1:{o.ports[p]}/?api-key={key}" for p in ("rpc_a", "rpc_b"))
    o.env["SOLANA_WS_URL"] = ",".join(f"ws://127.0.0.1:{o.ports[p]}/?api-key={key}" for p in ("ws_a", "ws_b"))
    o.env["MULTICLAW_LOG_LEVEL"] = "debug"
    o.launch_daemon("chain-oracle-1")
    wait_until("push", lambda: is_live(o), 10)
    for node in "ab":
        o.fault(node, html=True)
        o.devchain("drop_ws", node=node)
    wait_until("node fails", lambda: o.log("chain-oracle-1", 200).count("node fails") == 2, 10)
    text = (o.state / "log/chain-oracle-1.log").read_text() + o.ops("/metrics") + o.ops("/readyz")
    assert key not in text


def is_live(o):
    try:
        return o.live() == 2
    except OSError:
        return False


def test_it_stops_cleanly_with_requests_under_way(own, alice):
    o = own(MULTICLAW_RPC_TIMEOUT_MS=30000).start()
    asset = o.mint(alice)
    o.sign_in(asset, alice)
    for node in "ab":
        o.fault(node, silent=True)
    for _ in range(20):
        o.oracle.send("oracle.owner", asset=asset, wallet=alice.address)
        o.vault.send("oracle.finalized", asset=asset, min_slot=0)
    time.sleep(6)  # for the probes of nodes that were not asked for 5 s
    o.signal("chain-oracle-1", signal.SIGTERM)
    assert o.processes["chain-oracle-1"].wait(timeout=10) == 0, o.log("chain-oracle-1", 60)


def test_settings_that_cannot_work_stop_the_start(own):
    o = own()
    o.start()
    o.signal("chain-oracle-1", signal.SIGTERM)
    o.processes["chain-oracle-1"].wait(timeout=10)
    for name, value in (("SOLANA_RPC_URL", "ftp://127.0.0.1"), ("SOLANA_RPC_URL", ""), ("SOLANA_WS_URL", "ws://127.0.0.1:1"),
                        ("MULTICLAW_COLLECTION", "nothing"), ("MULTICLAW_SWEEP_S", "0")):
        old = o.env.get(name)
        o.env[name] = value
        o.launch_daemon("chain-oracle-1")
        assert o.processes["chain-oracle-1"].wait(timeout=10) == 1, name
        o.env[name] = old


# ---- discovery


def test_the_index_follows_mints_transfers_and_burns(o, alice, bob):
    first, second = o.mint(alice, name="first"), o.mint(alice, name="second")
    wait_until("both are found", lambda: o.found(alice) == {first: "first", second: "second"}, 3)
    o.transfer(first, bob)
    wait_until("one is bob's", lambda: (o.found(alice), o.found(bob)) == ({second: "second"}, {first: "first"}), 3)
    o.sign_in(second, alice)
    o.devchain("burn", asset=second, wait="confirmed")
    wait_until("one is burned", lambda: o.found(alice) == {}, 5)
    requests = sum(o.metric("multiclaw_oracle_rpc_requests_total", f'node="{i}",outcome="ok"') for i in range(2))
    for _ in range(50):
        o.found(Wallet())
    assert sum(o.metric("multiclaw_oracle_rpc_requests_total", f'node="{i}",outcome="ok"') for i in range(2)) < requests + 20


def test_the_index_lists_no_more_than_fit_into_an_answer(o, alice):
    o.devchain("mint", owner=alice.address, collection=o.collection, count=120, wait="confirmed")
    wait_until("100 are found", lambda: len(o.found(alice)) == 100, 5)


def test_memory_stays_bounded_under_bad_answers(o, alice, asset):
    status = pathlib.Path(f"/proc/{o.processes['chain-oracle-1'].pid}/status")
    rss = lambda: int(next(l for l in status.read_text().splitlines() if l.startswith("VmRSS")).split()[1])
    before = rss()
    for name in ("HTML", "half a JSON", "a wrong id", "slot u64 max"):
        o.fault("a", **FAULTS[name])
        for _ in range(30):
            try:
                o.owner(asset, alice, timeout=1)
            except Refused:
                pass
        o.ok()
        tries(o, asset, alice)
    assert rss() < before + 20000
