"""A start of an agent: its period and its volume's key, and the placement with which a host starts it again without the owner."""

import os

import pytest

from parts import Peer
from suite import Wallet, wait_until
from test_ticket import Browser
from vault_format import Master, volume_key
from vault_parts import Vaults, boot_id, check_chain, key_text, owner, own, refusal, write_private  # noqa: F401

REFUSED = ("denied", "grant_refused")


@pytest.fixture(scope="module")
def world():
    made = Vaults()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def v(world):
    return world


@pytest.fixture(scope="module")
def second(world):
    """Another host's key."""
    world.new_key("sandbox2", "sandbox")

    def is_known():
        peer = Peer(world, "sandbox2", "secret-vault")
        try:
            peer.call("vault.materialise", 1.0, grant=b"x", boot_id=boot_id(), page=0)
        except Exception as e:
            return getattr(e, "reason", "").startswith("grant")
        finally:
            peer.close()

    wait_until("the other host is known", is_known, 10)
    return "sandbox2"


def start(v, token, **more):
    """The first page that a start of the owner's brings."""
    return v.materialise(*v.grant(token, **more))[1]


def regrant(v, placement, role="sandbox", boot=None):
    boot = boot or boot_id()
    return v.ask("regrant", role=role, placement=placement, boot_id=boot)["grant"], boot


def note(v, placement, act="exec", detail="operator x: /bin/ls", role="sandbox"):
    return v.ask("note", role=role, placement=placement, act=act, detail=detail)


# ---- a start has a period, and a volume's key


def test_an_owner_who_stored_nothing_has_a_period_once_the_agent_starts(v, owner):
    assert v.trail(owner.token)[1] == 0
    held = f"mc:held:{owner.asset}"
    assert not v.redis.exists(held)
    first = start(v, owner.token)
    assert v.redis.smembers(held) == {b"vault"}
    entries, seq, head = v.trail(owner.token)
    check_chain(entries, seq, head)
    assert [e["act"] for e in entries] == ["period", "grant", "materialise"]
    assert entries[0]["chain"] == f"{owner.asset}/{owner.address}/{first['period']}"


def test_the_volumes_key_is_the_same_over_restarts_and_what_the_header_says(v, owner):
    first = start(v, owner.token)
    v.put(owner.token, "custom", "x", "y")
    v.restart_vault()
    again = start(v, v.token_of(owner, owner.asset))
    assert (again["period"], again["volume_key"]) == (first["period"], first["volume_key"]) and len(first["volume_key"]) == 32
    master = Master.read(v.state / "keys/vault.key")
    with v.copy_of_store() as store:
        row = dict(store.execute("SELECT * FROM periods WHERE asset = ?", (owner.asset,)).fetchone())
    assert row["slot"] == first["period"]
    assert volume_key(master.unwrap_key(row), row) == first["volume_key"]


def test_a_sale_and_a_buy_back_are_other_volumes(v, owner):
    firsts, buyer = [start(v, owner.token)], Wallet()
    bought = v.sell(owner, buyer)
    firsts.append(start(v, bought))
    buyer.asset = owner.asset
    firsts.append(start(v, v.sell(buyer, owner)))
    assert len({f["volume_key"] for f in firsts}) == len({f["period"] for f in firsts}) == 3
    assert firsts[0]["period"] < firsts[1]["period"] < firsts[2]["period"]


def test_only_the_first_page_names_the_volume(v, owner):
    for i in range(70):
        v.put(owner.token, "custom", f"n{i}", "x")
    grant, boot = v.grant(owner.token)
    _, first = v.materialise(grant, boot)
    after = first["files"][-1]["path"]
    second_page = v.ask("materialise", role="sandbox", grant=grant, boot_id=boot, page=first["next"], after=after)
    assert not any(second_page.get(name) for name in ("volume_key", "placement", "period"))


# ---- a sandbox asks for itself


def test_a_sandbox_gets_a_grant_for_its_own_host_alone(v, owner, second):
    mine, other = v.key("sandbox")["public"].decode(), v.key(second)["public"].decode()
    grant, boot = v.grant(owner.token, role="sandbox")
    assert v.materialise(grant, boot)[0]
    assert refusal(v.grant, owner.token, host=other, role="sandbox") == REFUSED
    assert refusal(v.grant, owner.token, host=mine, role=second) == REFUSED
    assert refusal(v.grant, "x", role="sandbox")[0] == "unauthenticated"


def test_a_session_of_the_agents_origin_may_start_the_agent_and_nothing_else(v, owner):
    token = Browser(v, owner).go(owner.token)
    grant, boot = v.grant(token, role="sandbox")
    assert v.materialise(grant, boot)[0]
    for call, body in (("list", {}), ("resolve", {}), ("audit", {"after": 0}), ("hot", {}), ("delete", {"kind": "custom", "name": "x"}),
                       ("put", {"kind": "custom", "name": "x", "value": b"y"}),
                       ("generate", {"nonce": "0" * 32, "signature": bytes(64), "ip": "203.0.113.7"})):
        assert refusal(v.ask, call, token=token, **body) == ("unauthenticated", "session_invalid"), call
    v.session.call("session.end", token=owner.token)
    assert refusal(v.grant, token, role="sandbox") == ("unauthenticated", "session_revoked")


# ---- placements


def test_a_host_starts_an_agent_again_without_the_owner(v, owner):
    v.put(owner.token, "custom", "x", "of the owner")
    first = start(v, owner.token)
    v.session.call("session.end", token=owner.token, all=True)
    grant, boot = regrant(v, first["placement"])
    files, again = v.materialise(grant, boot)
    assert files["custom/x"][1] == b"of the owner"
    assert (again["volume_key"], again["period"], again["wallet"]) == (first["volume_key"], first["period"], owner.address)
    assert refusal(v.materialise, grant, boot_id()) == REFUSED, "it is for one start, like any other"
    entries, seq, head = v.trail(v.token_of(owner, owner.asset))
    check_chain(entries, seq, head)
    (entry,) = [e for e in entries if e["act"] == "regrant"]
    assert entry["by"] == f"sandbox {v.key('sandbox')['public'].decode()}" and boot in entry["detail"]


def test_a_placement_is_worth_nothing_on_another_host(v, owner, second):
    placement = start(v, owner.token)["placement"]
    assert refusal(regrant, v, placement, second) == REFUSED
    assert refusal(note, v, placement, role=second) == REFUSED
    assert regrant(v, placement)


def test_a_placement_is_worth_nothing_after_the_sale_nor_after_a_buy_back(v, owner):
    placement, buyer = start(v, owner.token)["placement"], Wallet()
    bought = v.sell(owner, buyer)
    assert refusal(regrant, v, placement) == ("unauthenticated", "session_revoked")
    assert refusal(note, v, placement) == ("unauthenticated", "session_revoked")
    buyer.asset = owner.asset
    back = v.sell(buyer, owner)
    assert refusal(regrant, v, placement)[0] == "unauthenticated"
    fresh = start(v, back)["placement"]
    assert refusal(regrant, v, placement)[0] == "unauthenticated" and regrant(v, fresh)
    assert bought


def test_nothing_of_a_host_is_worth_anything_once_another_host_has_the_agent(v, owner, second):
    place = f"mc:place:{owner.asset}"
    v.redis.set(place, "sandbox-1")
    placement = start(v, owner.token)["placement"]
    taken, boot = regrant(v, placement)
    owners, owners_boot = v.grant(owner.token)
    v.redis.set(place, "sandbox-2")
    assert refusal(regrant, v, placement) == REFUSED
    assert refusal(note, v, placement) == REFUSED
    assert refusal(v.ask, "keep", role="sandbox", placement=placement, base=0, digest=os.urandom(32)) == REFUSED
    assert refusal(v.ask, "hand_over", role="sandbox", placement=placement, key=bytes(32), digest=bytes(32)) == REFUSED
    assert refusal(v.materialise, taken, boot) == REFUSED, "one that it got just before"
    assert refusal(v.materialise, owners, owners_boot) == REFUSED
    fresh = v.materialise(*v.grant(owner.token, role=second, host=second), role=second)[1]["placement"]
    assert regrant(v, fresh, second)
    v.redis.delete(place)
    assert refusal(regrant, v, fresh, second) == REFUSED, "nobody has it"


def test_a_placement_is_worth_nothing_after_its_period_was_destroyed(v, owner):
    placement = start(v, owner.token)["placement"]
    assert v.operate("destroy_owner", asset=owner.asset, wallet=owner.address)["periods"] == 1
    assert refusal(regrant, v, placement) == REFUSED
    fresh = start(v, owner.token)
    assert refusal(regrant, v, placement) == REFUSED, "the same owner's next period is another"
    assert refusal(note, v, placement) == REFUSED
    assert regrant(v, fresh["placement"])


def test_a_grant_is_no_placement_and_a_placement_no_grant(v, owner):
    grant, boot = v.grant(owner.token)
    placement = v.materialise(grant, boot)[1]["placement"]
    assert refusal(regrant, v, grant) == REFUSED
    assert refusal(note, v, grant) == REFUSED
    assert refusal(v.materialise, placement, boot) == REFUSED
    assert refusal(v.materialise, placement + bytes(len(grant) - len(placement)), boot) == REFUSED


def test_no_bit_of_a_placement_can_be_changed(v, owner):
    placement, peer = start(v, owner.token)["placement"], v.peer_of("sandbox")
    altered = [bytes(b ^ (1 << bit) if i == at else b for i, b in enumerate(placement)) for at in range(len(placement)) for bit in (0, 7)]
    altered += [placement[:n] for n in range(1, len(placement), 7)] + [placement + b"\0", bytes(len(placement)), os.urandom(len(placement))]
    for one in altered:
        peer.send("vault.regrant", placement=one, boot_id=boot_id())
    for _ in altered:
        assert peer.receive()[0]["status"] in ("denied", "unauthenticated")  # by its MAC, or because the ledger knows better
    assert regrant(v, placement)


def test_a_placement_outlives_changes_of_the_master_key(own):
    """Agents that run, and those that are asleep, go on without their owners: what they hold is their period's."""
    v = own().start()
    owner = v.new_owner()
    first = start(v, owner.token)
    new = Master.read(write_private(v.state / "keys/vault.key.next", key_text()))
    v.operate("rotate")
    wait_until("it ends", lambda: v.vault_state["key_id"] == new.id.hex() and not v.vault_state.get("next_key_id"), 20, 0.05)
    grant, boot = regrant(v, first["placement"])
    again = v.materialise(grant, boot)[1]
    assert again["volume_key"] == first["volume_key"], "the volume's key does not change with the master's"
    (v.state / "keys/vault.key.next").rename(v.state / "keys/vault.key")
    v.restart_vault()
    grant, boot = regrant(v, first["placement"])
    assert v.materialise(grant, boot)[1]["volume_key"] == first["volume_key"]
    assert regrant(v, again["placement"])


def test_regrants_are_limited_as_grants_are(own):
    v = own(MULTICLAW_VAULT_PUTS_PER_MINUTE=3).start()
    owner, other = v.new_owner(), v.new_owner()
    placement, theirs = start(v, owner.token)["placement"], start(v, other.token)["placement"]
    for _ in range(3):
        regrant(v, placement)
    assert refusal(regrant, v, placement) == ("busy", "rate_limited")
    assert v.grant(owner.token), "what a host uses up is not its owner's"
    assert regrant(v, theirs)
    for _ in range(3):
        note(v, placement)
    assert refusal(note, v, placement) == ("busy", "rate_limited")


def test_texts_that_name_no_start_are_refused(v, owner):
    placement = start(v, owner.token)["placement"]
    assert refusal(regrant, v, placement, boot="g" * 32) == ("invalid", "grant_invalid")
    assert refusal(regrant, v, placement, boot="0" * 31)[0] == "invalid"


# ---- what an operator does in a container


def test_a_host_says_what_was_run_and_the_owner_reads_it(v, owner):
    placement = start(v, owner.token)["placement"]
    assert note(v, placement, detail="operator x: /bin/cat /data/ä") == {}
    entries, seq, head = v.trail(owner.token)
    check_chain(entries, seq, head)
    last = entries[-1]
    assert (last["act"], last["detail"]) == ("exec", "operator x: /bin/cat /data/ä")
    assert last["by"] == f"sandbox {v.key('sandbox')['public'].decode()}"


@pytest.mark.parametrize("act", ["grant", "period", "erase", "release", "EXEC", "exec2"])
def test_a_host_says_no_other_act(v, owner, act):
    placement = start(v, owner.token)["placement"]
    before = v.trail(owner.token)
    assert refusal(note, v, placement, act) == ("invalid", "note_invalid")
    assert v.trail(owner.token) == before


@pytest.mark.parametrize("detail", ["a\nb", "\x1b[2J", "\x7f"])
def test_a_note_has_no_control_characters(v, owner, detail):
    assert refusal(note, v, start(v, owner.token)["placement"], detail=detail) == ("invalid", "note_invalid")


