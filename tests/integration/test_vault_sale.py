"""What happens to an owner's secrets when the agent is sold: sealed at once, destroyed on evidence, never by one node's word."""

import re
import shutil
import signal
import sqlite3
import time

import pytest

from suite import Wallet, wait_until
from vault_parts import Refused, Vaults, check_all_chains, check_chain, jti_of, ops, random_key, refusal
from vault_parts import own, owner  # noqa: F401: fixtures

GONE = ("denied", "unauthenticated", "not_found")


@pytest.fixture(scope="module")
def world():
    made = Vaults()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    yield world
    world.devchain("ok", node="a")
    world.devchain("ok", node="b")
    assert world.processes["secret-vault-1"].poll() is None, world.log("secret-vault-1", 60)


def rows_of(v, wallet):
    """(period rows, record rows) of a wallet in a copy of the store."""
    with v.copy_of_store() as db:
        periods = db.execute("SELECT * FROM periods WHERE wallet = ? ORDER BY slot", (wallet.address,)).fetchall()
        records = [r for p in periods for r in db.execute("SELECT * FROM records WHERE period_id = ?", (p["id"],)).fetchall()]
        return periods, records


def states_of(v, wallet):
    return [p["state"] for p in rows_of(v, wallet)[0]]


def wait_state(v, wallet, *states, seconds=20):
    def reached():
        try:
            return states_of(v, wallet) == list(states)
        except sqlite3.Error:
            return False  # a copy made in the middle of a write

    wait_until(f"{states}", reached, seconds, 0.05)


def furnish(v, owner):
    """Some secrets of each kind; returns their values."""
    values = {("llm", "anthropic"): random_key(), ("bot", "telegram"): "12345:" + random_key(""), ("custom", "word"): random_key("w-")}
    for (kind, name), value in values.items():
        v.put(owner.token, kind, name, value, **({"delivery": "file"} if kind == "llm" else {}))
    return values


def holds_nothing_of(v, token, values):
    assert v.listed(token) == {}
    assert all(p["source"] != "user" for p in v.resolved(token).values())
    assert not any(value.encode() in data for value in values.values() for _, data in v.files(token).values())


# ---- the sale


def test_a_sale_locks_at_once_and_destroys_once_finalized(v, owner):
    buyer, values = Wallet(), furnish(v, owner)
    other = v.new_owner()
    furnish(v, other)
    grant, boot = v.grant(owner.token)
    (period,), records = rows_of(v, owner)
    assert period["state"] == "live" and len(records) == 3 and len(period["wrapped"]) >= 72
    needles = {"wrapped key": bytes(period["wrapped"])} | {f"{r['kind']}/{r['name']} {column}": bytes(r[column]) for r in records
                                                           for column in ("value", "preview") if r[column]}
    for what, needle in needles.items():
        assert v.holds_bytes(needle) and v.holds_bytes(needle[24:48]), what
    v.transfer(owner.asset, buyer)
    wait_until("the seller is out", lambda: is_out(v, owner.token), 5)
    for call, body in (("resolve", {}), ("audit", {"after": 0}), ("hot", {}), ("put", {"kind": "custom", "name": "x", "value": b"y"})):
        assert refusal(v.ask, call, token=owner.token, **body)[0] in GONE
    assert refusal(v.materialise, grant, boot)[0] in GONE
    wait_state(v, owner, "destroyed")
    # the buyer begins with nothing, and sees nothing of the seller's trail
    token = v.token_of(buyer, owner.asset)
    holds_nothing_of(v, token, values)
    own_chain = f"{owner.asset}/{buyer.address}/"
    assert {(e["act"], e["chain"].startswith(own_chain)) for e in v.trail(token)[0]} == {(act, True) for act in ("period", "grant", "materialise")}
    v.put(token, "custom", "word", "of the buyer")
    entries, seq, head = v.trail(token)
    check_chain(entries, seq, head)
    assert [e["act"] for e in entries][0::len(entries) - 1] == ["period", "put"]
    # what was destroyed is in no file, whole or in part
    assert rows_of(v, owner)[1] == []
    for what, needle in needles.items():
        for part in (needle, needle[:24], needle[24:48], needle[-24:]):
            assert v.holds_bytes(part) == [], what
    # the audit trail tells it, and others keep theirs
    everything = v.export()
    check_all_chains(*everything)
    acts = [e["act"] for e in everything[0] if e["chain"] == entries[0]["chain"].replace(buyer.address, owner.address).rsplit("/", 1)[0]
            + f"/{period['slot']}"]
    assert {"lock", "erase"} <= set(acts), acts
    assert len(v.listed(other.token)) == 3 and len(v.files(other.token)) >= 4


def is_out(v, token):
    """The seller, at the vault: never an answer that a good session would get."""
    try:
        v.listed(token)
        return False
    except Refused as e:
        assert e.status in GONE, e
        return True


def test_nothing_of_the_seller_is_released_from_the_moment_the_sale_is_known(v):
    """A race: hosts and routers ask all the time while the chain says so."""
    for _ in range(4):
        owner, buyer = v.new_owner(), Wallet()
        furnish(v, owner)
        grants = [v.grant(owner.token) for _ in range(20)]
        v.devchain("transfer", asset=owner.asset, to=buyer.address)
        peer, sent, answered = v.peer_of("sandbox"), {}, []
        known_at = None
        while known_at is None or time.monotonic() - known_at < 0.3:
            grant, boot = grants[len(sent) % len(grants)]
            sent[peer.send("vault.materialise", 2.0, grant=grant, boot_id=boot, page=0)] = time.monotonic()
            envelope, _ = peer.receive()
            answered.append((sent[envelope["id"]], envelope["status"]))
            if known_at is None and v.redis.hget(f"mc:owner:{owner.asset}", "owner") != owner.address.encode():
                known_at = time.monotonic()
        late = {status for at, status in answered if at > known_at}
        assert late and "ok" not in late, late


def test_a_buy_back_finds_nothing(v, owner):
    buyer, values = Wallet(), furnish(v, owner)
    buyer.asset, buyer.token = owner.asset, v.sell(owner, buyer)
    v.put(buyer.token, "custom", "word", "of the buyer")
    wait_state(v, owner, "destroyed")
    token = v.sell(buyer, owner)
    holds_nothing_of(v, token, values)
    v.put(token, "custom", "word", "of the second time")
    assert set(v.listed(token)) == {("custom", "word")}
    wait_state(v, owner, "destroyed", "live")
    wait_state(v, buyer, "destroyed")
    assert v.ask("hot", token=token).get("address", "") == ""


def test_a_buy_back_before_it_is_final_finds_nothing_either(v, owner):
    """Bought back within half a second: no evidence that anybody else owns it, so the key is kept, and locked for good."""
    buyer, values = Wallet(), furnish(v, owner)
    first = owner.token
    v.transfer(owner.asset, buyer)
    wait_until("the seller is out", lambda: is_out(v, first), 5)
    v.transfer(owner.asset, owner)
    token = v.token_of(owner, owner.asset)
    holds_nothing_of(v, token, values)
    assert is_out(v, first)
    v.put(token, "custom", "word", "of the second time")
    assert v.listed(token)["custom", "word"]["version"] == 1
    assert states_of(v, owner)[0] in ("locked", "destroyed") and states_of(v, owner)[1] == "live"


def test_a_burned_agents_secrets_are_destroyed(v, owner):
    furnish(v, owner)
    v.devchain("burn", asset=owner.asset, wait="confirmed")
    wait_until("out", lambda: is_out(v, owner.token), 5)
    wait_state(v, owner, "destroyed")


def test_signing_out_locks_nothing(v, owner):
    values = furnish(v, owner)
    v.redis.delete(f"mc:session:{jti_of(owner.token)}")
    assert is_out(v, owner.token)
    token = v.token_of(owner, owner.asset)
    assert set(v.listed(token)) == set(values)
    assert states_of(v, owner) == ["live"]


# ---- what one node says


@pytest.mark.parametrize("liar", "ab")
def test_a_lying_node_locks_at_most_and_destroys_nothing(v, owner, liar):
    values, thief = furnish(v, owner), Wallet()
    v.devchain("lie", node=liar, asset=owner.asset, owner=thief.address)
    wait_until("somebody believes it, or nobody does", lambda: is_out(v, owner.token) or liar == "b", 10)
    # more than enough time for both commitments and many tries to erase
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert "destroyed" not in states_of(v, owner)
        time.sleep(0.2)
    v.devchain("ok", node=liar)
    token = v.token_of(owner, owner.asset)
    if states_of(v, owner)[0] == "locked":
        holds_nothing_of(v, token, values)
        answer = wait_until("the chain agrees at finalized", lambda: reinstated(v, owner), 10, 0.1)
        assert answer["slot"] > 0
    token = v.token_of(owner, owner.asset)
    assert set(v.listed(token)) == set(values)
    files = [data for _, data in v.files(token).values()]
    assert values["llm", "anthropic"].encode() in files and values["custom", "word"].encode() in files


def test_what_was_locked_by_a_lie_makes_no_room_for_itself_where_something_was_stored_since(v, owner):
    furnish(v, owner)
    v.devchain("lie", node="a", asset=owner.asset, owner=Wallet().address)
    wait_until("somebody believes it", lambda: is_out(v, owner.token), 10)
    wait_state(v, owner, "locked")
    v.devchain("ok", node="a")
    token = v.token_of(owner, owner.asset)
    v.put(token, "custom", "since", "then")
    v.delete(token, "custom", "since")

    def refused():
        try:
            v.operate("reinstate", asset=owner.asset, wallet=owner.address)
        except Refused as e:
            return e.reason == "period_live"

    wait_until("it is refused", refused, 10, 0.1)
    assert sorted(states_of(v, owner)) == ["live", "locked"]


def reinstated(v, owner):
    try:
        return v.operate("reinstate", asset=owner.asset, wallet=owner.address)
    except Refused as e:
        assert e.status in ("unavailable", "conflict"), e
        return None


def test_nothing_is_reinstated_for_who_does_not_own_it(v, owner):
    buyer = Wallet()
    furnish(v, owner)
    v.transfer(owner.asset, buyer)
    wait_until("out", lambda: is_out(v, owner.token), 5)
    assert refusal(v.operate, "reinstate", asset=owner.asset, wallet=owner.address)[0] in ("conflict", "unavailable", "denied", "not_found")
    wait_state(v, owner, "destroyed")
    assert refusal(v.operate, "reinstate", asset=owner.asset, wallet=owner.address)[0] in ("conflict", "not_found", "denied")
    assert refusal(v.operate, "reinstate", asset=owner.asset, wallet=Wallet().address)[0] in ("conflict", "not_found", "denied")
    assert refusal(v.operate, "reinstate", asset="1" * 33, wallet=owner.address)[0] == "invalid"
    assert is_out(v, owner.token)


@pytest.mark.parametrize("fault", [{"silent": True}, {"refuse": True}, {"html": True}, {"freeze": True}, {"half_json": True}])
def test_one_sick_node_of_two_destroys_nothing_and_loses_nothing(v, owner, fault):
    buyer = Wallet()
    furnish(v, owner)
    v.devchain("fault", node="b", **fault)
    v.transfer(owner.asset, buyer)
    wait_until("locked", lambda: states_of(v, owner) == ["locked"], 15, 0.1)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert states_of(v, owner) == ["locked"]
        time.sleep(0.2)
    v.devchain("ok", node="b")
    wait_state(v, owner, "destroyed", seconds=60)


# ---- the vault was away


def test_a_vault_that_was_down_during_the_sale_reconciles_before_it_serves(v, owner):
    buyer, values = Wallet(), furnish(v, owner)
    back = v.new_owner()
    kept = furnish(v, back)
    there = Wallet()
    v.stop_vault(sig=signal.SIGKILL)
    try:
        v.transfer(owner.asset, buyer)
        # sold and bought back meanwhile
        v.transfer(back.asset, there)
        v.token_of(there, back.asset)
        v.transfer(back.asset, back)
        token_back = v.token_of(back, back.asset)
        token = v.token_of(buyer, owner.asset)
    finally:
        v.launch_vault()
    statuses = []
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            listed = v.listed(token, timeout=1.0)
            assert listed == {}
            break
        except Refused as e:
            statuses.append(e.status)
            assert e.status in ("unavailable", "timeout"), e
        except AssertionError as e:
            assert "no answer" in str(e)
    v.wait_vault()
    assert is_out(v, owner.token)
    holds_nothing_of(v, token, values)
    holds_nothing_of(v, token_back, kept)
    wait_state(v, owner, "destroyed")


def test_a_redis_that_forgot_everything_locks_and_the_oracle_is_asked(own):
    v = own().start()
    owner, sold = v.new_owner(), v.new_owner()
    values = furnish(v, owner)
    furnish(v, sold)
    v.stop_vault()
    v.transfer(sold.asset, Wallet())
    v.redis.flushall()
    v.launch_vault()
    v.wait_vault()
    token = v.token_of(owner, owner.asset)
    wait_until("what is still the owner's is there again", lambda: set(v.listed(token)) == set(values), 20, 0.2)
    wait_state(v, sold, "destroyed", seconds=30)
    assert states_of(v, owner) == ["live"]


class Undecided(Vaults):
    """Nothing is final while a test looks."""

    chain_options = ("--slot-ms", 50, "--finalized-lag", 1000)


def test_a_redis_that_lost_the_sale_unlocks_nothing(own):
    """I3: the record names the seller again, and no oracle says who owns it."""
    v = own(Undecided).start()
    owner = v.new_owner()
    furnish(v, owner)
    shutil.copytree(v.state / "redis", v.state / "redis.old")
    v.transfer(owner.asset, Wallet())
    wait_state(v, owner, "locked")
    v.signal("chain-oracle-1", signal.SIGSTOP)
    looks = v.log("secret-vault-1", 10**6).count("looked at every")
    v.signal("redis", signal.SIGKILL)
    v.processes["redis"].wait()
    shutil.rmtree(v.state / "redis")
    (v.state / "redis.old").rename(v.state / "redis")
    v.launch_redis()
    wait_until("all is looked at again", lambda: v.log("secret-vault-1", 10**6).count("looked at every") > looks, 30)
    assert v.redis.hget(f"mc:owner:{owner.asset}", "owner").decode() == owner.address, "it did not lose the sale"
    assert states_of(v, owner) == ["locked"]
    v.signal("chain-oracle-1", signal.SIGCONT)
    wait_until("the sale is seen again", lambda: v.redis.hget(f"mc:owner:{owner.asset}", "owner").decode() != owner.address, 30)
    assert states_of(v, owner) == ["locked"]
    acts = [entry["act"] for entry in v.export()[0]]
    assert "lock" in acts and "unlock" not in acts


# ---- the breaker, and operators


def test_a_flood_of_sales_trips_the_breaker_until_an_operator_resets_it(own):
    v = own(MULTICLAW_VAULT_ERASURES_PER_HOUR=3).start()
    owners = [v.new_owner() for _ in range(7)]
    for one in owners:
        v.put(one.token, "custom", "x", "y" * 40)
    buyer = Wallet()
    for one in owners:
        v.devchain("transfer", asset=one.asset, to=buyer.address)
    wait_until("the breaker", lambda: v.vault_state["breaker"], 30, 0.1)
    wait_until("all are locked or gone", lambda: all(states_of(v, one) != ["live"] for one in owners), 10, 0.1)
    time.sleep(3)
    gone = [one for one in owners if states_of(v, one) == ["destroyed"]]
    assert len(gone) <= 3, "not more than it may"
    assert re.search(r'"erasing".{0,20}false', ops(v, "/readyz"), re.S), ops(v, "/readyz")
    # a restart does not reset it
    v.stop_vault()
    v.launch_vault()
    wait_until("it tells", lambda: tells_breaker(v), 10, 0.1)
    assert len([one for one in owners if states_of(v, one) == ["destroyed"]]) <= 3
    state = v.operate("reset_breaker")
    assert state["breaker"] is False
    wait_until("a few more", lambda: len([o for o in owners if states_of(v, o) == ["destroyed"]]) > len(gone), 20, 0.1)


def tells_breaker(v):
    try:
        return v.vault_state["breaker"]
    except (Refused, AssertionError):
        return False


def test_an_operator_destroys_what_a_wallet_keeps(v, owner):
    values, other = furnish(v, owner), v.new_owner()
    furnish(v, other)
    (period,), _ = rows_of(v, owner)
    assert v.operate("destroy_owner", asset=owner.asset, wallet=other.address)["periods"] == 0
    assert set(v.listed(owner.token)) == set(values)
    assert v.operate("destroy_owner", asset=owner.asset, wallet=owner.address)["periods"] == 1
    assert v.holds_bytes(bytes(period["wrapped"])) == [] and v.holds_bytes(bytes(period["wrapped"])[24:48]) == []
    assert states_of(v, owner)[0] == "destroyed"
    assert v.operate("destroy_owner", asset=owner.asset, wallet=owner.address)["periods"] == 0
    # the owner is still the owner, and can begin anew after signing in again
    token = v.token_of(owner, owner.asset)
    holds_nothing_of(v, token, values)
    v.put(token, "custom", "word", "again")
    assert set(v.listed(token)) == {("custom", "word")} and len(v.listed(other.token)) == 3
    assert refusal(v.operate, "destroy_owner", asset="x" * 40, wallet=owner.address)[0] == "invalid"


def test_what_is_held_is_watched_and_let_go_of_once_destroyed(v, owner):
    v.put(owner.token, "custom", "x", "y")
    held = f"mc:held:{owner.asset}"
    assert v.redis.smembers(held), "noted before the first secret was acknowledged"
    # without any session the asset stays watched, so that a sale is seen
    v.redis.delete(f"mc:session:{jti_of(owner.token)}", f"mc:sessions:{owner.asset}")
    v.transfer(owner.asset, Wallet())
    wait_state(v, owner, "destroyed")
    wait_until("let go", lambda: not v.redis.smembers(held), 10, 0.1)
