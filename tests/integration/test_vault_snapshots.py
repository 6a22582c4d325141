"""Which snapshot is the newest, known by the vault and not by hosts: compare and set, no way back; and what a seller leaves to the buyer."""

import os
import shutil
import signal
import sqlite3
import time

import pytest

from parts import Peer
from suite import Wallet, wait_until
from test_placement import second, start  # noqa: F401: a fixture
from test_vault_sale import reinstated
from vault_format import Master, open_handover, open_snapshot, snapshot_key
from vault_parts import Vaults, check_all_chains, check_chain, key_text, owner, own, refusal, write_private  # noqa: F401

REFUSED = ("denied", "grant_refused")
OVERTAKEN = ("conflict", "snapshot_overtaken")
ROLLED_BACK = ("internal", "secret_rolled_back")


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
    assert world.processes["secret-vault-1"].poll() is None, world.log("secret-vault-1", 60)


def keep(v, placement, base, digest=None, role="sandbox", **more):
    return v.ask("keep", role=role, placement=placement, base=base, digest=digest or os.urandom(32), **more)["snapshot"]


def hand_over(v, placement, *key_and_digest, role="sandbox"):
    return v.ask("hand_over", role=role, placement=placement, **dict(zip(("key", "digest"), key_and_digest)))


def newest(first):
    return first.get("snapshot", 0), first.get("snapshot_digest", b"")


def handed(first):
    """(key, digest, wallet), or None."""
    found = tuple(first.get(f"handed_{name}") for name in ("key", "digest", "wallet"))
    assert all(found) or not any(found), found
    return found if all(found) else None


def row_of(v, table, **where):
    """One row of a copy of the store, as it is now; None if there is none."""
    names = " AND ".join(f"{name} = ?" for name in where)
    with v.copy_of_store() as db:
        row = db.execute(f"SELECT * FROM {table} WHERE {names}", tuple(where.values())).fetchone()
    return dict(row) if row else None


def wait_state(v, wallet, state):
    def is_so():
        try:
            return row_of(v, "periods", wallet=wallet.address)["state"] == state
        except sqlite3.Error:
            return False  # a copy made in the middle of a write

    wait_until(f"the seller's period is {state}", is_so, 30, 0.05)


def wait_destroyed(v, wallet):
    wait_state(v, wallet, "destroyed")


def acts(entries, act):
    return [e["detail"] for e in entries if e["act"] == act]


def owner_again(v, owner):
    """A vault that was restarted may have to be told again who is the owner."""
    return v.token_of(owner, owner.asset)


# ---- the newest


def test_a_start_is_told_the_newest_over_restarts_and_as_the_header_says(v, owner):
    first = start(v, owner.token)
    assert newest(first) == (0, b"") and len(first["snapshot_key"]) == 32 and first["snapshot_key"] != first["volume_key"]
    digests = [os.urandom(32) for _ in range(3)]
    assert [keep(v, first["placement"], base, digest) for base, digest in enumerate(digests)] == [1, 2, 3]
    v.restart_vault(sig=signal.SIGKILL)
    again = start(v, owner_again(v, owner))
    assert newest(again) == (3, digests[2]) and again["snapshot_key"] == first["snapshot_key"]
    period = row_of(v, "periods", asset=owner.asset)
    data_key = Master.read(v.state / "keys/vault.key").unwrap_key(period)
    assert snapshot_key(data_key, period) == first["snapshot_key"]
    assert open_snapshot(data_key, period, row_of(v, "snapshots", period_id=period["id"])) == digests[2]
    entries, seq, head = v.trail(owner.token)
    check_chain(entries, seq, head)
    assert acts(entries, "snapshot") == [f"number {i} digest {digest.hex()[:16]}" for i, digest in enumerate(digests, 1)]
    assert {e["by"] for e in entries if e["act"] == "snapshot"} == {f"sandbox {v.key('sandbox')['public'].decode()}"}


def test_of_two_hosts_that_snapshot_one_agent_one_goes_on_each_time(v, owner, second):
    """Both at once, over and over, as if each were the only one."""
    hosts = {role: (Peer(v, role, "secret-vault"), start_on(v, owner.token, role)["placement"]) for role in ("sandbox", second)}
    digests = {}
    try:
        for base in range(30):
            sent = {role: os.urandom(32) for role in hosts}
            for role, (peer, placement) in hosts.items():
                peer.send("vault.keep", 5.0, placement=placement, base=base, digest=sent[role])
            said = {role: peer.receive()[0] for role, (peer, _) in hosts.items()}
            won = [role for role, envelope in said.items() if envelope["status"] == "ok"]
            assert len(won) == 1, said
            digests[base + 1] = sent[won[0]]
    finally:
        for peer, _ in hosts.values():
            peer.close()
    assert newest(start(v, owner.token)) == (30, digests[30])
    assert refusal(keep, v, hosts[second][1], 12, role=second) == OVERTAKEN
    assert "made from snapshot 12, the newest is 30" in v.log("secret-vault-1", 100)
    assert acts(v.trail(owner.token)[0], "snapshot") == [f"number {i} digest {digests[i].hex()[:16]}" for i in range(1, 31)]


def start_on(v, token, role):
    return v.materialise(*v.grant(token, host=role), role=role)[1]


def test_told_twice_it_is_kept_once(v, owner):
    placement, digest = start(v, owner.token)["placement"], os.urandom(32)
    assert keep(v, placement, 0, digest) == keep(v, placement, 0, digest) == 1
    assert refusal(keep, v, placement, 0) == OVERTAKEN, "another snapshot of that number"
    assert refusal(keep, v, placement, 2) == OVERTAKEN
    assert refusal(keep, v, placement, 2**64 - 1) == OVERTAKEN
    v.restart_vault()
    owner.token = owner_again(v, owner)
    assert keep(v, placement, 0, digest) == 1
    assert keep(v, placement, 1) == 2
    assert refusal(keep, v, placement, 0, digest) == OVERTAKEN
    assert len(acts(v.trail(owner.token)[0], "snapshot")) == 2


def test_only_the_host_of_the_present_period_is_heard(v, owner, second):
    placement = start(v, owner.token)["placement"]
    assert refusal(keep, v, placement, 0, role=second) == REFUSED
    assert refusal(hand_over, v, placement, role=second) == REFUSED
    assert refusal(keep, v, placement[:-1] + bytes([placement[-1] ^ 1]), 0) == REFUSED
    for digest in (bytes(31), bytes(33), b""):
        assert refusal(v.ask, "keep", role="sandbox", placement=placement, base=0, digest=digest)[0] == "invalid"
    for body in ({"key": bytes(32)}, {"digest": bytes(32)}, {"key": bytes(31), "digest": bytes(32)}):
        assert refusal(v.ask, "hand_over", role="sandbox", placement=placement, **body) == ("invalid", "hand_over_invalid")
    v.transfer(owner.asset, Wallet())
    wait_until("the sale is known", lambda: refusal(keep, v, placement, 7) != OVERTAKEN, 10, 0.02)
    assert refusal(keep, v, placement, 0)[0] in ("denied", "unauthenticated")
    assert refusal(hand_over, v, placement, bytes(32), bytes(32))[0] in ("denied", "unauthenticated")


def test_as_many_as_grants_a_minute(own):
    v = own(MULTICLAW_VAULT_PUTS_PER_MINUTE=3).start()
    owner = v.new_owner()
    placement = start(v, owner.token)["placement"]
    assert [keep(v, placement, base) for base in range(3)] == [1, 2, 3]
    assert refusal(keep, v, placement, 3) == ("busy", "rate_limited")
    hand_over(v, placement)


# ---- no way back


def test_putting_back_an_older_store_brings_no_older_snapshot(own):
    v = own().start()
    owner, buyer, never = v.new_owner(), Wallet(), v.new_owner()
    placement, older, newer = start(v, owner.token)["placement"], os.urandom(32), os.urandom(32)
    start(v, never.token)
    keep(v, placement, 0, older)
    hand_over(v, placement, b"k" * 32, b"d" * 32)
    v.stop_vault()
    shutil.copytree(v.folder, v.state / "older")
    v.launch_vault()
    v.wait_vault()
    keep(v, placement, 1, newer)
    hand_over(v, placement)  # withdrawn
    v.stop_vault()
    shutil.rmtree(v.folder)
    (v.state / "older").rename(v.folder)
    v.launch_vault()
    v.wait_vault()
    token = owner_again(v, owner)
    assert refusal(start, v, token) == ROLLED_BACK
    assert refusal(keep, v, placement, 1, newer) == ROLLED_BACK
    assert newest(start(v, owner_again(v, never))) == (0, b""), "another's is as it was"
    # what was withdrawn is not there for the next owner either, who can start all the same
    first = start(v, v.sell(owner, buyer))
    assert handed(first) is None and newest(first) == (0, b"")
    assert "secret_rolled_back" in v.log("secret-vault-1", 400)


def test_an_operators_word_takes_an_older_store_as_it_is(own):
    v = own().start()
    owner = v.new_owner()
    placement, older = start(v, owner.token)["placement"], os.urandom(32)
    keep(v, placement, 0, older)
    v.stop_vault()
    shutil.copytree(v.folder, v.state / "older")
    v.launch_vault()
    v.wait_vault()
    keep(v, placement, 1)
    v.stop_vault()
    shutil.rmtree(v.folder)
    (v.state / "older").rename(v.folder)
    v.launch_vault()
    v.wait_vault()
    assert refusal(start, v, owner_again(v, owner)) == ROLLED_BACK
    v.operate("unseal", adopt=True)
    v.wait_vault()
    assert newest(start(v, owner_again(v, owner))) == (1, older)
    assert keep(v, placement, 1) == 2


def test_a_store_from_before_snapshots_opens(own):
    v = own().start()
    owner = v.new_owner()
    v.put(owner.token, "custom", "word", "kept")
    v.stop_vault()
    with v.opened_store() as db:
        for table in ("snapshots", "handovers"):
            db.execute(f"DROP TABLE {table}")
        db.execute("UPDATE settings SET value = ? WHERE name = 'schema'", (b"\x01",))
    v.launch_vault()
    v.wait_vault()
    files, first = v.materialise(*v.grant(owner_again(v, owner)))
    assert files["custom/word"][1] == b"kept" and newest(first) == (0, b"")
    assert keep(v, first["placement"], 0) == 1


# ---- a sale


def test_what_is_handed_over_comes_to_the_buyer_and_to_no_third_one(v, owner):
    buyer, third, word = Wallet(), Wallet(), (os.urandom(32), os.urandom(32))
    first = start(v, owner.token)
    keep(v, first["placement"], 0)
    hand_over(v, first["placement"], *word)
    assert handed(start(v, owner.token)) is None, "not to who gives it"
    assert acts(v.trail(owner.token)[0], "hand_over") == [f"digest {word[1].hex()[:16]}"]
    buyer.asset = owner.asset
    v.transfer(owner.asset, buyer)
    wait_destroyed(v, owner)
    period = row_of(v, "periods", wallet=owner.address)
    assert period["wrapped"] is None and row_of(v, "snapshots", period_id=period["id"]) is None
    v.restart_vault()
    buyer.token = v.token_of(buyer, owner.asset)
    for _ in range(2):
        bought = start(v, buyer.token)
        assert handed(bought) == (*word, owner.address)
        assert newest(bought) == (0, b"") and bought["snapshot_key"] != first["snapshot_key"]
    entries, seq, head = v.trail(buyer.token)
    check_chain(entries, seq, head)
    assert acts(entries, "handed") == 2 * [f"from {owner.address}/{first['period']} digest {word[1].hex()[:16]}"]
    assert open_handover(Master.read(v.state / "keys/vault.key"), row_of(v, "handovers", asset=owner.asset)) == word
    token = v.sell(buyer, third)
    assert handed(start(v, token)) is None
    wait_destroyed(v, buyer)
    assert handed(start(v, token)) is None
    assert open_handover(Master.read(v.state / "keys/vault.key"), row_of(v, "handovers", asset=owner.asset)) is None, "it ends with its receiver"


def test_what_is_withdrawn_or_not_wanted_is_gone(v, owner):
    buyer, third, sealed = Wallet(), Wallet(), []
    placement = start(v, owner.token)["placement"]
    hand_over(v, placement, os.urandom(32), os.urandom(32))
    sealed.append(bytes(row_of(v, "handovers", asset=owner.asset)["sealed"]))
    hand_over(v, placement)
    hand_over(v, placement)
    assert acts(v.trail(owner.token)[0], "hand_over")[1:] == ["withdrawn"]
    buyer.asset, buyer.token = owner.asset, v.sell(owner, buyer)
    placement = start(v, buyer.token)["placement"]
    assert handed(start(v, buyer.token)) is None
    hand_over(v, placement, os.urandom(32), os.urandom(32))
    sealed.append(bytes(row_of(v, "handovers", asset=owner.asset)["sealed"]))
    token = v.sell(buyer, third)
    wait_destroyed(v, buyer)
    bought = start(v, token)
    assert handed(bought)[2] == buyer.address
    hand_over(v, bought["placement"])
    assert handed(start(v, token)) is None
    assert acts(v.trail(token)[0], "hand_over") == ["done with"]
    # and in no file of the store any more
    wait_until("scrubbed", lambda: not any(v.holds_bytes(part) for whole in sealed for part in (whole[24:56], whole[-32:])), 30, 0.2)


NEVER = {"MULTICLAW_VAULT_ERASE_EVERY_S": 3600}  # nothing is destroyed while a test runs


def test_nothing_is_handed_over_before_the_sale_is_final(own):
    v = own(**NEVER).start()
    owner, buyer, word = v.new_owner(), Wallet(), (os.urandom(32), os.urandom(32))
    hand_over(v, start(v, owner.token)["placement"], *word)
    buyer.asset, token = owner.asset, v.sell(owner, buyer)
    for _ in range(2):
        assert handed(start(v, token)) is None
    assert acts(v.trail(token)[0], "handed") == []
    assert open_handover(Master.read(v.state / "keys/vault.key"), row_of(v, "handovers", asset=owner.asset)) == word
    v.restart_vault(MULTICLAW_VAULT_ERASE_EVERY_S=1)
    wait_destroyed(v, owner)
    assert handed(start(v, owner_again(v, buyer))) == (*word, owner.address)


def test_an_operator_who_destroys_the_seller_s_keys_before_the_sale_is_final_releases_nothing(own):
    v = own(**NEVER).start()
    owner, buyer = v.new_owner(), Wallet()
    hand_over(v, start(v, owner.token)["placement"], os.urandom(32), os.urandom(32))
    token = v.sell(owner, buyer)
    assert handed(start(v, token)) is None
    v.operate("destroy_owner", asset=owner.asset, wallet=owner.address)
    wait_destroyed(v, owner)
    assert handed(start(v, token)) is None
    assert open_handover(Master.read(v.state / "keys/vault.key"), row_of(v, "handovers", asset=owner.asset)) is None


def test_an_operator_who_destroys_an_owners_keys_destroys_what_they_hand_over(v, owner):
    placement = start(v, owner.token)["placement"]
    hand_over(v, placement, os.urandom(32), os.urandom(32))
    v.operate("destroy_owner", asset=owner.asset, wallet=owner.address)
    assert refusal(keep, v, placement, 0) == REFUSED
    assert handed(start(v, v.sell(owner, Wallet()))) is None


def test_a_lying_node_gets_nothing_released_and_a_period_that_made_room_gives_nothing(v, owner):
    buyer = Wallet()
    hand_over(v, start(v, owner.token)["placement"], os.urandom(32), os.urandom(32))
    v.devchain("lie", node="a", asset=owner.asset, owner=Wallet().address)
    wait_state(v, owner, "locked")
    v.devchain("ok", node="a")
    owner.token = v.token_of(owner, owner.asset)
    until = time.monotonic() + 2  # both commitments, and tries to destroy
    while time.monotonic() < until:
        later = start(v, owner.token)
        assert handed(later) is None
        time.sleep(0.1)
    assert row_of(v, "handovers", asset=owner.asset)["to_slot"] == later["period"], "it is the receiver all the same"
    hand_over(v, later["placement"], os.urandom(32), os.urandom(32))
    wait_until("the chain agrees at finalized", lambda: reinstated(v, owner), 20, 0.1)
    assert row_of(v, "periods", wallet=owner.address, slot=later["period"])["state"] == "destroyed", "but not sold"
    token = v.sell(owner, buyer)
    assert handed(start(v, token)) is None
    v.erased()
    assert handed(start(v, token)) is None


# ---- another master key


def test_snapshots_and_hand_overs_follow_the_master_key(own):
    v = own().start()
    owner, seller, buyer = v.new_owner(), v.new_owner(), Wallet()
    first, digest, word = start(v, owner.token), os.urandom(32), (os.urandom(32), os.urandom(32))
    keep(v, first["placement"], 0, digest)
    hand_over(v, start(v, seller.token)["placement"], *word)
    v.transfer(seller.asset, buyer)
    wait_destroyed(v, seller)
    new = Master.read(write_private(v.state / "keys/vault.key.next", key_text()))
    v.operate("rotate")
    wait_until("it ends", lambda: v.vault_state["key_id"] == new.id.hex() and not v.vault_state.get("next_key_id"), 20, 0.05)
    assert keep(v, first["placement"], 1, digest) == 2, "until the old key is forgotten"
    (v.state / "keys/vault.key.next").rename(v.state / "keys/vault.key")
    v.restart_vault()
    again = start(v, owner_again(v, owner))
    assert newest(again) == (2, digest) and again["snapshot_key"] == first["snapshot_key"]
    assert keep(v, first["placement"], 2) == 3, "a placement is its period's, whatever the master key is"
    assert keep(v, again["placement"], 3) == 4
    assert open_handover(new, row_of(v, "handovers", asset=seller.asset)) == word
    assert handed(start(v, v.token_of(buyer, seller.asset))) == (*word, seller.address)
    check_all_chains(*v.export())
