"""secret-vault from the inside: the test is its router, its sandbox and its operator; everything behind it is real."""

import json
import os
import random
import re
import secrets
import signal
import threading
import time

import nacl.bindings
import nacl.signing
import pytest

from parts import Peer
from suite import Wallet, b58decode, b58encode, wait_until
from vault_parts import (CALLERS, PROVIDERS, SECRETS_MAX, VALUE_MAX, Refused, Vaults, act, boot_id, check_all_chains, check_chain, generate, jti_of, ops,
                         preview_of, random_key, refusal)
from vault_parts import own, owner  # noqa: F401: fixtures

NAMES = [p["name"] for p in json.loads(PROVIDERS.read_text())["providers"]]


@pytest.fixture(scope="module")
def world():
    made = Vaults()
    try:
        made.start()
        made.first_owner = made.new_owner()
        made.put(made.first_owner.token, "custom", "x", "y")
        made.first_boot = boot_id()
        made.first_grant = made.ask("grant", token=made.first_owner.token, boot_id=made.first_boot, host_key=made.key("sandbox")["public"].decode())
        yield made
    finally:
        made.stop()


@pytest.fixture
def v(world):
    """The shared one: it must live through every test."""
    pid = world.processes["secret-vault-1"].pid
    yield world
    assert world.processes["secret-vault-1"].pid != pid or world.processes["secret-vault-1"].poll() is None, world.log("secret-vault-1", 60)
    assert world.vault_state["state"] == "open"


# ---- what an owner does


def test_a_secret_goes_in_is_listed_by_its_preview_and_never_comes_out(v, owner):
    key, bot, word = random_key(), "12345678:" + secrets.token_urlsafe(30), "short"
    assert v.listed(owner.token) == {}
    assert v.put(owner.token, "llm", "anthropic", key) == 1
    assert v.put(owner.token, "bot", "telegram", bot) == 1
    assert v.put(owner.token, "custom", "a_word-1", word) == 1
    now = time.time() * 1000
    listed = v.listed(owner.token)
    assert list(listed) == [("bot", "telegram"), ("custom", "a_word-1"), ("llm", "anthropic")]
    for item in listed.values():
        assert set(item) <= {"kind", "name", "preview", "version", "updated_ms", "delivery"}
        assert item["version"] == 1 and abs(item["updated_ms"] - now) < 10000
    assert listed["llm", "anthropic"]["preview"] == key[:8]
    assert listed["custom", "a_word-1"].get("preview", "") == ""
    assert v.put(owner.token, "llm", "anthropic", key + "x") == 2
    assert v.listed(owner.token)["llm", "anthropic"]["version"] == 2
    assert v.delete(owner.token, "llm", "anthropic") is True
    assert v.delete(owner.token, "llm", "anthropic") is False
    assert ("llm", "anthropic") not in v.listed(owner.token)
    # a name that is used again goes on where it was: an old value cannot pass for a new one
    assert v.put(owner.token, "llm", "anthropic", key) > 2


@pytest.mark.parametrize("value", ["x", "x" * 19, "x" * 20, "abcdefgh" + "x" * 23, "abcdefghijkl" + "x" * 100, "ä" * 20, "🔑" * 19, "日本語" * 10,
                                   "a\u0301" * 12, "🔑" * 400])
def test_a_preview_is_eight_characters_a_quarter_at_most_and_none_under_twenty(v, owner, value):
    v.put(owner.token, "custom", "p", value)
    assert v.listed(owner.token)["custom", "p"].get("preview", "") == preview_of(value)


def test_llm_keys_resolve_from_the_owner_then_globally_then_not_at_all(v, owner):
    key, theirs = random_key(), random_key("sk-global-")
    assert {p: v.resolved(owner.token)[p]["source"] for p in NAMES} == dict.fromkeys(NAMES, "none")
    try:
        v.operate("global_put", provider="openai", value=theirs.encode())
        v.put(owner.token, "llm", "anthropic", key)
        found = v.resolved(owner.token)
        assert list(found) == NAMES
        assert (found["anthropic"]["source"], found["anthropic"]["own"], found["anthropic"]["preview"]) == ("user", "set", key[:8])
        assert (found["openai"]["source"], found["openai"]["own"], found["openai"].get("preview", "")) == ("global", "none", "")
        assert (found["groq"]["source"], found["groq"]["own"]) == ("none", "none")
        v.put(owner.token, "llm", "openai", key)
        assert v.resolved(owner.token)["openai"]["source"] == "user"
        v.delete(owner.token, "llm", "openai")
        assert (v.resolved(owner.token)["openai"]["source"], v.resolved(owner.token)["openai"]["own"]) == ("global", "deleted")
        v.delete(owner.token, "llm", "anthropic")
        assert (v.resolved(owner.token)["anthropic"]["source"], v.resolved(owner.token)["anthropic"]["own"]) == ("none", "deleted")
        assert [(s["kind"], s["name"], s["preview"]) for s in v.operate("global_list")["secrets"]] == [("llm", "openai", theirs[:8])]
    finally:
        assert v.operate("global_delete", provider="openai")["existed"] is True
    assert v.operate("global_delete", provider="openai")["existed"] is False
    assert v.resolved(owner.token)["openai"]["source"] == "none"
    assert refusal(v.operate, "global_put", provider="nobody-knows", value=b"x" * 30)[0] == "invalid"


def test_every_write_and_release_is_in_the_owners_chain_and_nobody_elses(v, owner):
    other = v.new_owner()
    key = random_key()
    v.put(owner.token, "llm", "anthropic", key)
    v.put(other.token, "llm", "groq", random_key())
    v.delete(owner.token, "llm", "anthropic")
    v.put(owner.token, "custom", "x", "y" * 40)
    v.files(owner.token)
    entries, seq, head = v.trail(owner.token)
    check_chain(entries, seq, head)
    assert all(e["chain"].startswith(f"{owner.asset}/{owner.address}/") and not e.get("all_seq") for e in entries)
    acts = [e["act"] for e in entries]
    assert acts[:4] == ["period", "put", "delete", "put"] and {"grant", "materialise"} <= set(acts[4:]), acts
    assert [(e["kind"], e["name"], e["version"]) for e in entries if e["act"] == "put"] == [("llm", "anthropic", 1), ("custom", "x", 1)]
    assert not any(e.get("name") == "groq" for e in entries)
    assert key not in repr(entries) and key[:12] not in repr(entries)
    assert {e["by"].split()[0] for e in entries} <= {"owner", "sandbox", "vault"}
    everything = v.export()
    check_all_chains(*everything)
    state = v.vault_state
    assert state["head_seq"] >= everything[1] - 1
    assert [e["hash"] for e in everything[0] if e["chain"] == entries[0]["chain"]] == [e["hash"] for e in entries]


def test_a_reader_of_the_trail_pages_through_it(v, owner):
    for i in range(120):
        v.peer_of("router").send("vault.put", token=owner.token, kind="custom", name="x", value=b"v%d" % i)
    for _ in range(120):
        assert v.peer_of("router").receive()[0]["status"] == "ok"
    entries, seq, head = v.trail(owner.token)
    assert seq == len(entries) >= 121
    check_chain(entries, seq, head)
    assert v.ask("audit", token=owner.token, after=seq)["entries"] == []
    assert v.ask("audit", token=owner.token, after=2**63)["entries"] == []


# ---- bad input


VALUES = {
    "empty": b"", "a NUL": b"secret\0value", "a NUL alone": b"\0", "not UTF-8": b"\xff\xfe" * 20, "half a character": "ä".encode()[:1] + b"abc",
    "an overlong form": b"\xc0\xaf" + b"a" * 20, "a surrogate": b"\xed\xa0\x80" + b"a" * 20, "above Unicode": b"\xf4\x90\x80\x80" * 8,
    "too large": b"x" * (VALUE_MAX + 1),
}


@pytest.mark.parametrize("what", VALUES)
def test_values_that_are_no_text_of_this_size_are_refused(v, owner, what):
    for kind, name in (("custom", "x"), ("llm", "anthropic"), ("bot", "telegram")):
        status, reason = refusal(v.put, owner.token, kind, name, VALUES[what])
        assert status == "invalid" and (reason == "secret_value_invalid" or what == "too large"), (kind, status, reason)
    assert v.listed(owner.token) == {}


def test_keys_and_bot_tokens_are_one_line_without_blanks_around(v, owner):
    for value in ("a key\n" * 5, " leading" * 5, "trailing          ", "a\x7fb" * 10, "a\tb" * 10, "\u0085" + "x" * 20):
        for kind, name in (("llm", "anthropic"), ("bot", "telegram")):
            assert refusal(v.put, owner.token, kind, name, value) == ("invalid", "secret_value_invalid"), value
    v.put(owner.token, "custom", "pem", "-----BEGIN-----\nabc\n\tdef\n-----END-----\n")


def test_the_largest_value_is_kept_to_the_byte(v, owner):
    value = ("ä" * (VALUE_MAX // 2)).encode()
    v.put(owner.token, "custom", "large", value)
    assert value in [data for _, data in v.files(owner.token).values()]


@pytest.mark.parametrize("kind,name", [
    ("llm", ""), ("custom", "A"), ("custom", "ä"), ("custom", "a b"), ("custom", "a/b"), ("custom", ".."), ("custom", "a.b"), ("custom", "a\0"),
    ("custom", "x" * 65), ("custom", "a\n"), ("wallet", "hot"), ("global", "x"), ("LLM", "anthropic"), ("", "x"), ("customs", "x"), ("channel", "x"),
    ("llm", "no-such-provider"), ("custom", "%2e"), ("tombston", "x"),
])
def test_names_outside_the_grammar_are_refused_everywhere(v, owner, kind, name):
    assert refusal(v.put, owner.token, kind, name, "x" * 40)[0] == "invalid"
    if (kind, name) != ("llm", "no-such-provider"):
        assert refusal(v.delete, owner.token, kind, name)[0] == "invalid"
    assert v.listed(owner.token) == {}


def test_names_at_the_edges_of_the_grammar_are_good(v, owner):
    names = ["-", "_", "0", "x" * 64, "a-b_c-9", "con", "null", "__proto__"]
    for name in names:
        v.put(owner.token, "custom", name, f"value of {name}")
    assert {name for _, name in v.listed(owner.token)} == set(names)


def test_types_that_are_not_the_contracts_are_refused(v, owner):
    good = {"token": owner.token, "kind": "custom", "name": "x", "value": b"y"}
    for field, values in {"token": (1, b"x", None, ""), "kind": (1, b"custom", None), "name": (1, None, b"x"), "value": ("text", 1, None, [])}.items():
        for value in values:
            assert refusal(v.ask, "put", **{**good, field: value})[0] in ("invalid", "unauthenticated"), (field, value)
    for field in ("token", "kind", "name"):
        assert refusal(v.ask, "put", **{k: value for k, value in good.items() if k != field})[0] in ("invalid", "unauthenticated")
    assert refusal(v.ask, "put", **good, more=1)[0] == "invalid"
    assert v.listed(owner.token) == {}


def put_many(v, token, names, value=lambda name: b"value of " + name.encode()):
    """Statuses of puts that are all under way at once."""
    peer = v.peer_of("router")
    sent = [peer.send("vault.put", 30.0, token=token, kind="custom", name=name, value=value(name)) for name in names]
    answers = {}
    for _ in sent:
        envelope, body = peer.receive(30.0)
        answers[envelope["id"]] = (envelope["status"], envelope.get("reason") or body.get("version"))
    return [answers[i] for i in sent]


def test_an_owner_has_a_thousand_secrets_and_not_one_more(v, owner):
    names = [f"n{i:04d}" for i in range(SECRETS_MAX)]
    for at in range(0, SECRETS_MAX, 250):
        assert set(put_many(v, owner.token, names[at : at + 250])) == {("ok", 1)}
    assert len(v.listed(owner.token)) == SECRETS_MAX
    assert refusal(v.put, owner.token, "custom", "one-more", "x") == ("conflict", "secrets_exhausted")
    assert refusal(v.put, owner.token, "llm", "anthropic", random_key()) == ("conflict", "secrets_exhausted")
    assert v.put(owner.token, "custom", "n0500", "another value") == 2
    assert v.delete(owner.token, "custom", "n0500")
    assert v.put(owner.token, "custom", "one-more", "x") == 1
    assert refusal(v.put, owner.token, "custom", "n0500", "x") == ("conflict", "secrets_exhausted")
    assert len(v.listed(owner.token)) == SECRETS_MAX
    # other owners have their own thousand
    v.put(v.new_owner().token, "custom", "x", "y")
    # many at once at the edge: exactly one fits
    v.delete(owner.token, "custom", "n0001")
    outcomes = put_many(v, owner.token, [f"edge{i}" for i in range(50)])
    assert outcomes.count(("ok", 1)) == 1 and outcomes.count(("conflict", "secrets_exhausted")) == 49


def test_all_files_of_a_thousand_secrets_come_in_pages(v, owner):
    names = [f"n{i:04d}" for i in range(300)]
    put_many(v, owner.token, names)
    large = {f"large{i}": (f"{i}" * VALUE_MAX).encode()[:VALUE_MAX] for i in range(8)}
    assert {a[0] for a in put_many(v, owner.token, large, lambda name: large[name])} == {"ok"}
    files = v.files(owner.token)
    datas = [data for _, data in files.values()]
    assert all(b"value of " + name.encode() in datas for name in names) and all(value in datas for value in large.values())


def test_writers_of_one_name_each_have_a_version_and_the_last_one_stays(v, owner):
    count, got = 40, {}

    def write(turn):
        peer = Peer(v, "router", "secret-vault")
        try:
            for i in range(turn, count, 8):
                value = b"written by %d" % i
                version = peer.call("vault.put", 10.0, token=owner.token, kind="custom", name="contended", value=value)["version"]
                got[version] = value
        finally:
            peer.close()

    writers = [threading.Thread(target=write, args=(turn,)) for turn in range(8)]
    [w.start() for w in writers]
    [w.join() for w in writers]
    assert sorted(got) == list(range(1, count + 1))
    assert v.listed(owner.token)["custom", "contended"]["version"] == count
    assert got[count] in [data for _, data in v.files(owner.token).values()]
    entries, seq, head = v.trail(owner.token)
    check_chain(entries, seq, head)
    assert sorted(e["version"] for e in entries if e["act"] == "put") == list(range(1, count + 1))


def test_puts_of_an_owner_are_limited_and_of_nobody_else(own):
    v = own(MULTICLAW_VAULT_PUTS_PER_MINUTE=10).start()
    one, two = v.new_owner(), v.new_owner()
    outcomes = put_many(v, one.token, [f"n{i}" for i in range(30)])
    assert 10 <= outcomes.count(("ok", 1)) <= 12 and set(outcomes) == {("ok", 1), ("busy", "rate_limited")}, outcomes
    v.put(two.token, "custom", "x", "y")
    assert len(v.listed(one.token)) == outcomes.count(("ok", 1))


# ---- who may ask


def body_of(v, call, owner):
    grant, boot = v.grant(owner.token)
    placement = v.materialise(grant, boot)[1]["placement"]
    return {
        "put": {"token": owner.token, "kind": "custom", "name": "x", "value": b"stolen"},
        "list": {"token": owner.token}, "resolve": {"token": owner.token}, "hot": {"token": owner.token},
        "delete": {"token": owner.token, "kind": "custom", "name": "kept"},
        "audit": {"token": owner.token, "after": 0},
        "generate": {"token": owner.token, "nonce": "0" * 32, "signature": bytes(64), "ip": "203.0.113.7"},
        "grant": {"token": owner.token, "boot_id": boot, "host_key": v.key("sandbox")["public"].decode()},
        "materialise": {"grant": grant, "boot_id": boot, "page": 0},
        "regrant": {"placement": placement, "boot_id": boot}, "note": {"placement": placement, "act": "exec", "detail": "x"},
        "keep": {"placement": placement, "base": 0, "digest": bytes(32)}, "hand_over": {"placement": placement},
        "use": {"grant": placement, "provider": "openai"},
        "state": {}, "unseal": {"passphrase": "correct horse battery"}, "rotate": {},
        "global_put": {"provider": "openai", "value": b"sk-" + b"x" * 40}, "global_list": {}, "global_delete": {"provider": "openai"},
        "destroy_owner": {"asset": owner.asset, "wallet": owner.address}, "reinstate": {"asset": owner.asset, "wallet": owner.address},
        "reset_breaker": {}, "export": {"after": 0},
    }[call.split(".")[1]]


@pytest.fixture(scope="module")
def operators(world):
    """Operators with one role each."""
    roles = ("operator-read", "operator-revoke", "operator-vault", "operator-exec")
    for role in roles:
        world.new_key(role, role)
    reader = Peer(world, "operator-read", "secret-vault")

    def is_known():
        try:
            return reader.call("vault.state", 1.0)
        except (Refused, AssertionError):
            return None

    wait_until("the keys are known", is_known, 10)
    reader.close()
    return roles


@pytest.mark.parametrize("call", CALLERS)
def test_every_call_is_denied_to_every_role_but_its_own(v, owner, operators, call):
    v.put(owner.token, "custom", "kept", "as it was")
    before = v.listed(owner.token)
    body = body_of(v, call, owner)
    for role in ("router", "auth", "session", "chain-oracle", "secret-vault", "sandbox", "llm-gateway", *operators):
        if role in CALLERS[call]:
            continue
        peer = Peer(v, role, "secret-vault")
        try:
            assert refusal(peer.call, call, **body)[0] == "denied", role
        finally:
            peer.close()
    assert v.listed(owner.token) == before


def test_the_registry_has_no_call_that_the_table_forgets(v):
    declared = set(re.findall(r"C\(vault, (\w+),", (PROVIDERS.parents[1] / "proto/vault.h").read_text()))
    assert {f"vault.{call}" for call in declared} == set(CALLERS)


def test_a_router_with_a_token_that_is_not_good_gets_nothing(v, owner):
    v.put(owner.token, "custom", "x", "of the owner")
    ended = v.sign_in(owner, owner.asset)["token"]
    v.redis.delete(f"mc:session:{jti_of(ended)}")
    flipped = owner.token[:-2] + ("A" if owner.token[-2] != "A" else "B") + owner.token[-1]
    for token in ("x", "a.b.c", flipped, owner.token + "x", ended, "x" * 4096):
        for call, body in (("list", {}), ("resolve", {}), ("audit", {"after": 0}), ("hot", {}), ("delete", {"kind": "custom", "name": "x"}),
                           ("put", {"kind": "custom", "name": "x", "value": b"stolen"}),
                           ("grant", {"boot_id": boot_id(), "host_key": v.key("sandbox")["public"].decode()}),
                           ("generate", {"nonce": "0" * 32, "signature": bytes(64), "ip": "203.0.113.7"})):
            assert refusal(v.ask, call, token=token, **body)[0] == "unauthenticated", (call, token[:10])
    assert b"of the owner" in [data for _, data in v.files(owner.token).values()]


def test_another_owners_token_shows_that_owners_things_alone(v, owner):
    other = v.new_owner()
    v.put(owner.token, "custom", "mine", "of the first")
    v.put(other.token, "custom", "theirs", "of the second")
    assert set(v.listed(owner.token)) == {("custom", "mine")} and set(v.listed(other.token)) == {("custom", "theirs")}
    assert v.delete(other.token, "custom", "mine") is False
    assert [d for _, d in v.files(other.token).values()].count(b"of the first") == 0
    # two agents of one wallet have nothing in common either
    second = v.mint(owner)
    token = v.token_of(owner, second)
    assert v.listed(token) == {}
    v.put(token, "custom", "mine", "of the second agent")
    assert b"of the second agent" not in [d for _, d in v.files(owner.token).values()]


# ---- a start of a container


def test_a_grant_is_good_for_its_host_its_start_and_half_a_minute(v, owner):
    v.put(owner.token, "llm", "anthropic", random_key())
    v.new_key("sandbox2", "sandbox")
    wait_until("the other host is known", lambda: known(v, "sandbox2"), 10)
    grant, boot = v.grant(owner.token)
    assert v.materialise(grant, boot)[0]
    assert v.materialise(grant, boot)[0], "a page may be asked for again"
    for role, boot_used in (("sandbox2", boot), ("sandbox", boot_id()), ("sandbox2", boot_id())):
        assert refusal(v.materialise, grant, boot_used, role) == ("denied", "grant_refused"), role
    # the same for the other host alone
    grant, boot = v.grant(owner.token, host="sandbox2")
    assert v.materialise(grant, boot, "sandbox2")[0]
    assert refusal(v.materialise, grant, boot) == ("denied", "grant_refused")


def known(v, role):
    peer = Peer(v, role, "secret-vault")
    try:
        peer.call("vault.materialise", 1.0, grant=b"x", boot_id=boot_id(), page=0)
    except Refused as e:
        return e.status != "denied" or e.reason.startswith("grant")
    except AssertionError:
        return False
    finally:
        peer.close()


def test_no_bit_of_a_grant_can_be_changed(v, owner):
    v.put(owner.token, "llm", "anthropic", random_key())
    grant, boot = v.grant(owner.token)
    peer = v.peer_of("sandbox")
    altered = [bytes(b ^ (1 << bit) if i == at else b for i, b in enumerate(grant)) for at in range(len(grant)) for bit in (0, 3, 7)]
    altered += [grant[:n] for n in range(1, len(grant))] + [grant + b"\0", grant + grant, bytes(len(grant)), os.urandom(len(grant)), b"\xff" * 256]
    for one in altered:
        if one != grant and len(one) <= 256:
            peer.send("vault.materialise", grant=one, boot_id=boot, page=0)
    for one in altered:
        if one != grant and len(one) <= 256:
            envelope, _ = peer.receive()
            assert envelope["status"] in ("denied", "unauthenticated", "invalid"), envelope
    assert v.materialise(grant, boot)[0]


def test_a_grant_is_worth_nothing_after_the_sale(v, owner):
    v.put(owner.token, "custom", "x", "of the seller")
    grant, boot = v.grant(owner.token)
    assert v.materialise(grant, boot)[0]
    token = v.sell(owner, Wallet())
    assert refusal(v.materialise, grant, boot)[0] in ("denied", "unauthenticated")
    assert b"of the seller" not in [data for _, data in v.files(token).values()]


def test_nothing_is_released_without_a_lease(own):
    v = own().start()
    owner = v.new_owner()
    v.put(owner.token, "custom", "x", "y")
    grant, boot = v.grant(owner.token)
    assert v.materialise(grant, boot)[0]
    v.signal("redis", signal.SIGSTOP)
    try:
        time.sleep(2.2)  # the length of a lease
        for _ in range(3):
            assert refusal(v.materialise, grant, boot)[0] in ("unavailable", "timeout")
            assert refusal(v.listed, owner.token)[0] in ("unavailable", "timeout")
        assert not v.is_ready("secret-vault-1")
    finally:
        v.signal("redis", signal.SIGCONT)
    wait_until("a lease again", lambda: v.is_ready("secret-vault-1"), 10)
    assert v.materialise(grant, boot)[0]


def test_a_key_that_no_gateway_would_use_is_taken_as_a_file_alone(v, owner):
    key = random_key()
    for delivery in ({}, {"delivery": "gateway"}):
        assert refusal(v.put, owner.token, "llm", "litellm", key, **delivery) == ("invalid", "delivery_unavailable")
    v.put(owner.token, "llm", "litellm", key, delivery="file")
    assert v.materialise(*v.grant(owner.token))[0]["llm/LITELLM_API_KEY"][1] == key.encode()


def test_a_delivery_is_of_a_providers_key_and_one_of_two(v, owner):
    for kind, name, delivery in (("llm", "openai", "mail"), ("llm", "openai", "FILE"), ("custom", "x", "file"), ("bot", "telegram", "gateway")):
        assert refusal(v.put, owner.token, kind, name, random_key(), delivery=delivery) == ("invalid", "delivery_invalid")
    assert v.listed(owner.token) == {}
    key = random_key()
    for delivery, files in (("file", True), (None, False), ("file", True), ("gateway", False)):
        v.put(owner.token, "llm", "openai", key, **({"delivery": delivery} if delivery else {}))
        assert ("llm/OPENAI_API_KEY" in v.materialise(*v.grant(owner.token))[0]) == files, delivery
    v.delete(owner.token, "llm", "openai")
    assert "llm/OPENAI_API_KEY" not in v.materialise(*v.grant(owner.token))[0]


def test_the_files_of_a_container_are_private_and_never_hold_a_global_key(v, owner):
    key, theirs, bot = random_key(), random_key("sk-global-"), "123456:" + secrets.token_urlsafe(30)
    v.operate("global_put", provider="groq", value=theirs.encode())
    try:
        v.put(owner.token, "llm", "anthropic", key, delivery="file")
        v.put(owner.token, "llm", "gemini", key + "g", delivery="file")
        v.put(owner.token, "llm", "mistral", key + "m")  # the gateway's, as is "gateway"
        v.put(owner.token, "llm", "xai", key + "x", delivery="gateway")
        v.put(owner.token, "bot", "telegram", bot)
        v.put(owner.token, "custom", "my-thing", "some text\nof two lines\n")
        grant, boot = v.grant(owner.token)
        files, first = v.materialise(grant, boot)
        assert (first["asset"], first["wallet"]) == (owner.asset, owner.address) and first["slot"] > 0
        sources = {p["provider"]: p["source"] for p in first["providers"]}
        assert (sources["anthropic"], sources["groq"], sources["openai"]) == ("user", "global", "none")
        delivered = {p["provider"]: p.get("delivery", "") for p in first["providers"]}
        assert [delivered[p] for p in ("anthropic", "mistral", "xai", "groq", "openai")] == ["file", "gateway", "gateway", "gateway", ""]
        listed = v.listed(owner.token)
        assert (listed["llm", "gemini"]["delivery"], listed["llm", "mistral"]["delivery"]) == ("file", "gateway")
        assert listed["llm", "gemini"]["preview"] == key[:8] and not listed["custom", "my-thing"].get("delivery")
        for path, (mode, data) in files.items():
            assert mode == 0o400, path
            assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", path), path
            assert theirs.encode() not in data and (key + "m").encode() not in data and (key + "x").encode() not in data
        assert set(files) == {"channels.json", "gateway-token", "custom/my-thing", "llm/ANTHROPIC_API_KEY", "llm/GEMINI_API_KEY"}
        data_of = {path: data for path, (_, data) in files.items()}
        assert data_of["llm/ANTHROPIC_API_KEY"] == key.encode() and data_of["llm/GEMINI_API_KEY"] == (key + "g").encode()
        assert data_of["custom/my-thing"] == b"some text\nof two lines\n"
        telegram = json.loads(data_of["channels.json"])["channels"]["telegram"]
        assert telegram["dmPolicy"] == "pairing" and telegram["botToken"] == bot
    finally:
        v.operate("global_delete", provider="groq")


def test_the_gateway_token_is_another_one_at_each_start(v, owner):
    v.put(owner.token, "custom", "x", "y")
    tokens = {v.files(owner.token)["gateway-token"][1] for _ in range(4)}
    assert len(tokens) == 4 and all(re.fullmatch(rb"[0-9a-f]{64}", token) for token in tokens)


def test_a_container_without_secrets_gets_its_gateway_token_and_no_more(v, owner):
    files = v.files(owner.token)
    assert set(files) == {"gateway-token", "channels.json"} and json.loads(files["channels.json"][1]) == {"channels": {}}


# ---- the hot wallet


def test_a_hot_wallet_is_made_once_shown_once_and_handed_to_the_container(v, owner):
    assert v.ask("hot", token=owner.token).get("address", "") == ""
    issued = act(v, owner, owner.asset)
    assert "hot wallet" in issued["message"] and owner.asset in issued["message"]
    made = generate(v, owner, issued)
    key = nacl.signing.SigningKey(made["secret"][:32])
    assert bytes(key.verify_key) == made["secret"][32:] == b58decode(made["address"]) and not made.get("sealed")
    assert v.ask("hot", token=owner.token)["address"] == made["address"]
    assert refusal(generate, v, owner, act(v, owner, owner.asset)) == ("conflict", "already_revealed")
    shown = v.listed(owner.token)
    assert made["address"][:8] == shown["wallet", "hot"]["preview"][:8] and len(shown["wallet", "hot"]["preview"]) <= 8
    mode, data = next(file for path, file in v.files(owner.token).items() if path.endswith("hot.json"))
    assert mode == 0o400 and bytes(json.loads(data)) == made["secret"], "as the Solana command line reads it"
    assert re.fullmatch(rb"\[\d+(,\d+){63}\]\n?", data)
    # it cannot be written, nor deleted
    assert refusal(v.put, owner.token, "wallet", "hot", "x" * 64)[0] == "invalid"
    assert refusal(v.delete, owner.token, "wallet", "hot")[0] == "invalid"
    v.restart_vault()
    assert v.ask("hot", token=owner.token)["address"] == made["address"]
    assert refusal(generate, v, owner, act(v, owner, owner.asset)) == ("conflict", "already_revealed")
    acts = [e["act"] for e in v.trail(owner.token)[0]]
    assert acts.count("generate") == 1


def test_a_hot_wallets_secret_can_be_sealed_to_a_key_that_the_signature_names(v, owner):
    secret_key = nacl.bindings.crypto_box_keypair()
    issued = act(v, owner, owner.asset, recipient=secret_key[0])
    # without the key that was signed for, or with another, there is none
    assert refusal(generate, v, owner, issued)[0] in ("unauthenticated", "denied")
    issued = act(v, owner, owner.asset, recipient=secret_key[0])
    assert refusal(generate, v, owner, issued, recipient=os.urandom(32))[0] in ("unauthenticated", "denied")
    assert refusal(generate, v, owner, act(v, owner, owner.asset), recipient=secret_key[0])[0] in ("unauthenticated", "denied")
    made = generate(v, owner, act(v, owner, owner.asset, recipient=secret_key[0]), recipient=secret_key[0])
    assert not made.get("secret")
    opened = nacl.bindings.crypto_box_seal_open(made["sealed"], *secret_key)
    assert b58encode(opened[32:]) == made["address"] and bytes(nacl.signing.SigningKey(opened[:32]).verify_key) == opened[32:]


@pytest.mark.parametrize("size", [1, 31])
def test_a_recipient_that_is_no_key_is_refused(v, owner, size):
    assert refusal(act, v, owner, owner.asset, recipient=os.urandom(size))[0] == "invalid"
    assert refusal(generate, v, owner, act(v, owner, owner.asset), recipient=os.urandom(size))[0] in ("invalid", "unauthenticated")
    assert v.ask("hot", token=owner.token).get("address", "") == ""


def test_only_a_fresh_signature_of_the_owner_for_this_act_makes_a_hot_wallet(v, owner):
    other = v.new_owner()
    nothing = ("unauthenticated", "denied")
    issued = act(v, owner, owner.asset)
    assert refusal(generate, v, owner, issued, message=b"something else")[0] in nothing
    assert refusal(generate, v, owner, issued)[0] in nothing, "a failed try burns the nonce"
    # another's signature; a sign-in's; of another asset; another's session
    assert refusal(generate, v, owner, act(v, owner, owner.asset), signer=other)[0] in nothing
    assert refusal(generate, v, owner, v.challenge(owner, owner.asset))[0] in nothing
    assert refusal(generate, v, owner, act(v, owner, v.mint(owner)))[0] in nothing
    assert refusal(generate, v, owner, act(v, other, other.asset), signer=other)[0] in nothing
    assert refusal(generate, v, owner, act(v, owner, owner.asset), token=other.token)[0] in nothing
    # and the act's signature opens no session
    issued = act(v, owner, owner.asset)
    assert refusal(v.verify, owner, issued)[0] in nothing
    assert refusal(act, v, owner, owner.asset, act_name="something_else")[0] == "invalid"
    assert v.ask("hot", token=owner.token).get("address", "") == "" and v.ask("hot", token=other.token).get("address", "") == ""


def test_of_many_who_ask_at_once_one_gets_the_hot_wallet(v, owner):
    bodies = []
    for _ in range(12):
        issued = act(v, owner, owner.asset)
        bodies.append({"token": owner.token, "nonce": issued["nonce"], "signature": owner.sign(issued["message"].encode()), "ip": "203.0.113.7"})
    peer = v.peer_of("router")
    for body in bodies:
        peer.send("vault.generate", 10.0, **body)
    outcomes = [peer.receive(10.0) for _ in bodies]
    good = [body for envelope, body in outcomes if envelope["status"] == "ok"]
    assert len(good) == 1 and {e.get("reason") for e, _ in outcomes if e["status"] != "ok"} == {"already_revealed"}
    assert v.ask("hot", token=owner.token)["address"] == good[0]["address"]


# ---- restarts


def test_a_restart_keeps_everything_and_a_kill_loses_nothing_acknowledged(v, owner):
    value = random_key()
    v.put(owner.token, "llm", "anthropic", value, delivery="file")
    for sig in (signal.SIGTERM, signal.SIGKILL):
        v.restart_vault(sig=sig)
        assert v.listed(owner.token)["llm", "anthropic"]["preview"] == value[:8]
        assert value.encode() in [data for _, data in v.files(owner.token).values()]


def test_kill_9_at_any_moment_loses_no_acknowledged_secret(v, owner):
    dice = random.Random(7)
    kept, deleted, turn = {}, set(), 0
    for _ in range(12):
        peer = Peer(v, "router", "secret-vault")
        sent = {}
        for _ in range(40):
            turn += 1
            name = f"n{turn}"
            sent[peer.send("vault.put", 5.0, token=owner.token, kind="custom", name=name, value=f"value {turn}".encode())] = name
            if kept and turn % 5 == 0:
                gone = dice.choice(sorted(kept))
                sent[peer.send("vault.delete", 5.0, token=owner.token, kind="custom", name=gone)] = gone
        unsure = set(sent.values())
        until = time.monotonic() + dice.random() * 0.06
        while time.monotonic() < until and sent:
            if peer.socket.poll(1):
                envelope, body = peer.receive()
                name = sent.pop(envelope["id"])
                assert envelope["status"] == "ok", envelope
                if "existed" in body:
                    deleted.add(name)
                    kept.pop(name, None)
                else:
                    kept[name] = f"value {name[1:]}"
        v.restart_vault(sig=signal.SIGKILL)
        peer.close()
        listed = {name for _, name in v.listed(owner.token)}
        missing = {name for name in kept if name not in listed} - {sent[i] for i in sent}
        assert not missing, f"acknowledged and lost: {missing}"
        assert not deleted & listed, "deleted and back"
        assert listed <= set(kept) | unsure | {f"n{i}" for i in range(turn + 1)}
        for name in list(kept):
            if name not in listed:
                kept.pop(name)
        for name in listed:
            kept.setdefault(name, f"value {name[1:]}")
    files = [data.decode() for _, data in v.files(owner.token).values()]
    assert all(value in files for value in kept.values())
    check_chain(*v.trail(owner.token))
    check_all_chains(*v.export())


def test_a_vault_with_a_client_that_says_nonsense_goes_on(v, owner):
    v.put(owner.token, "custom", "x", "y")
    peer = v.peer_of("router")
    for frame in (b"", b"\xc1", b"\x80", b"\xdd\xff\xff\xff\xff", os.urandom(1000), b"\x81" * 10000, b"x" * (300 << 10)):
        peer.socket.send(frame)
    assert v.listed(owner.token)
    while peer.socket.poll(100):
        peer.socket.recv()


def test_its_metrics_and_readiness_name_no_asset_no_token_and_no_secret(v, owner):
    value = random_key()
    v.put(owner.token, "llm", "anthropic", value)
    v.files(owner.token)
    for path in ("/metrics", "/readyz", "/healthz"):
        said = ops(v, path)
        assert said and not any(word in said for word in (owner.asset, owner.address, owner.token, value, value[:8])), path
    ready = ops(v, "/readyz")
    head = v.vault_state["head"].hex()
    wait_until("the audit trail's head is shown", lambda: head[:16] in ops(v, "/readyz"), 10, 0.1)
    assert "storage" in ready and "vault" in ready


def test_a_grant_ends_after_thirty_seconds(v, owner):
    """The one that was given when this file's tests began."""
    v.put(owner.token, "custom", "x", "y")
    answer = v.ask("grant", token=owner.token, boot_id=(boot := boot_id()), host_key=v.key("sandbox")["public"].decode())
    assert abs(answer["expires_ms"] - time.time() * 1000 - 30000) < 2000
    assert v.materialise(answer["grant"], boot)[0]
    token = v.token_of(v.first_owner, v.first_owner.asset)
    assert v.listed(token), "nothing else is in its way"
    wait_until("half a minute", lambda: time.time() * 1000 > v.first_grant["expires_ms"] + 100, 35)
    assert refusal(v.materialise, v.first_grant["grant"], v.first_boot) == ("denied", "grant_expired")
