"""Provider keys for the gateway of an agent's host: never a file, never after a sale, a move or another hand's asking."""

import os

import pytest

from parts import Peer
from suite import Wallet, wait_until
from vault_format import Master
from vault_parts import Vaults, boot_id, check_chain, key_text, owner, own, random_key, refusal, write_private  # noqa: F401

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
    """Another host's gateway."""
    world.new_key("gateway2", "llm-gateway")

    def is_known():
        peer = Peer(world, "gateway2", "secret-vault")
        try:
            peer.call("vault.use", 1.0, grant=b"x", provider="openai")
        except Exception as e:
            return getattr(e, "reason", "").startswith("grant")
        finally:
            peer.close()

    wait_until("the other gateway is known", is_known, 10)
    return "gateway2"


def public(v, role):
    return v.key(role)["public"].decode()


def begun(v, token, gateway="llm-gateway"):
    """The first page of a start, for a host that has a gateway."""
    grant, boot = v.grant(token)
    return v.ask("materialise", role="sandbox", grant=grant, boot_id=boot, page=0, gateway_key=public(v, gateway))


def use(v, grant, provider="openai", role="llm-gateway"):
    return v.ask("use", role=role, grant=grant, provider=provider)


def test_the_owners_key_comes_before_the_global_one_and_a_deleted_one_gives_way(v, owner):
    mine, everybodys = random_key(), random_key()
    grant = begun(v, owner.token)["gateway_grant"]
    assert use(v, grant) == {"source": "none", "own": "none"}
    v.operate("global_put", provider="openai", value=everybodys.encode())
    try:
        answer = use(v, grant)
        assert (answer["source"], answer["own"], answer["key"]) == ("global", "none", everybodys.encode())
        version = v.put(owner.token, "llm", "openai", mine)
        answer = use(v, grant)
        assert (answer["source"], answer["own"], answer["key"], answer["version"]) == ("user", "set", mine.encode(), version)
        v.delete(owner.token, "llm", "openai")
        assert (use(v, grant)["source"], use(v, grant)["own"]) == ("global", "deleted")
    finally:
        v.operate("global_delete", provider="openai")
    assert use(v, grant) == {"source": "none", "own": "deleted"}
    entries, seq, head = v.trail(owner.token)
    check_chain(entries, seq, head)
    uses = [e for e in entries if e["act"] == "use"]
    assert [e["detail"].split()[0] for e in uses] == ["global", "user", "global", "global"]
    assert all(e["by"] == f"gateway {public(v, 'llm-gateway')}" and (e["kind"], e["name"]) == ("llm", "openai") for e in uses)
    assert mine not in str(entries) and everybodys not in str(entries)
    everybody = [e for e in v.export()[0] if e["chain"] == "global" and e["act"] == "use"]
    assert len(everybody) == 3 and all(owner.asset in e["detail"] for e in everybody)


def test_it_is_for_the_gateway_that_was_named_and_nobody_else(v, owner, second):
    v.put(owner.token, "llm", "openai", random_key())
    page = begun(v, owner.token)
    assert use(v, page["gateway_grant"])["source"] == "user"
    assert refusal(use, v, page["gateway_grant"], role=second) == REFUSED
    assert refusal(use, v, page["placement"]) == REFUSED, "a host's"
    assert refusal(v.ask, "regrant", role="sandbox", placement=page["gateway_grant"], boot_id=boot_id()) == REFUSED
    for role in ("sandbox", "router"):
        assert refusal(use, v, page["gateway_grant"], role=role)[0] == "denied"
    assert refusal(v.ask, "regrant", role="llm-gateway", placement=page["placement"], boot_id=boot_id())[0] == "denied"
    assert refusal(use, v, os.urandom(len(page["gateway_grant"]))) == REFUSED
    assert refusal(use, v, page["gateway_grant"], "nobodys") == ("invalid", "provider_unknown")
    assert "gateway_grant" not in v.materialise(*v.grant(owner.token))[1], "a host without a gateway"
    grant, boot = v.grant(owner.token)
    assert refusal(v.ask, "materialise", role="sandbox", grant=grant, boot_id=boot, page=0, gateway_key="x" * 39) == ("invalid", "grant_invalid")


def test_it_ends_with_the_sale_and_with_a_move(v, owner):
    v.put(owner.token, "llm", "openai", random_key())
    grant, buyer = begun(v, owner.token)["gateway_grant"], Wallet()
    v.redis.set(f"mc:place:{owner.asset}", "sandbox-2")
    assert refusal(use, v, grant) == REFUSED
    v.redis.delete(f"mc:place:{owner.asset}")
    assert use(v, grant)["source"] == "user"
    token = v.sell(owner, buyer)
    assert refusal(use, v, grant) == ("unauthenticated", "session_revoked")
    assert use(v, begun(v, token)["gateway_grant"]) == {"source": "none", "own": "none"}


def test_a_grant_outlives_changes_of_the_master_key(own):
    """An agent that runs for months goes on through each of them."""
    v = own().start()
    owner = v.new_owner()
    v.put(owner.token, "llm", "openai", random_key())
    grant = begun(v, owner.token)["gateway_grant"]
    new = Master.read(write_private(v.state / "keys/vault.key.next", key_text()))
    v.operate("rotate")
    wait_until("it ends", lambda: v.vault_state["key_id"] == new.id.hex() and not v.vault_state.get("next_key_id"), 20, 0.05)
    (v.state / "keys/vault.key.next").rename(v.state / "keys/vault.key")
    v.restart_vault()
    assert use(v, grant)["source"] == "user"
    v.sell(owner, Wallet())
    assert refusal(use, v, grant)[0] in ("denied", "unauthenticated", "unavailable")
