"""What agent-wallet is told of the chain, by chain-oracle in front of real development nodes, and what bad nodes can make of it."""

import base64
import json
import threading
import time
import urllib.request

import pytest
import redis

from chain_parts import AGENT_TOOLS, CORE, EXEMPT, SOL, SYSTEM, TOKEN, message, sign, some_signature, transfer, unsigned
from oracle_parts import Oracle, Refused
from suite import Wallet, b58decode, b58encode, wait_until

CALLS = ("blockhash", "account", "accounts", "rent", "tokens", "records", "simulate", "send", "statuses", "recent")
EMPTY = b58encode(bytes([7] * 32))


class Chain(Oracle):
    @property
    def wallet_peer(self):
        if not hasattr(self, "_wallet_peer"):
            self._wallet_peer = self.peer("agent-wallet", "chain-oracle")
        return self._wallet_peer

    def ask(self, call, timeout=5.0, **body):
        return self.wallet_peer.call(f"chain.{call}", timeout, **body)

    def rich(self, sol=10):
        made = Wallet()
        self.devchain("airdrop", to=made.address, sol=sol, wait="finalized")
        return made

    def accounts(self, *keys, data_max=0, **more):
        return self.ask("accounts", keys=[{"key": k} for k in keys], data_max=data_max, **more)["accounts"]

    def payment(self, source, to, lamports, blockhash=None):
        return sign(message(source.address, blockhash or self.ask("blockhash")["blockhash"], transfer(source.address, to, lamports)), source)

    def send(self, tx, skip_preflight=False):
        return self.ask("send", transaction=tx, skip_preflight=skip_preflight)

    def statuses(self, *signatures, **more):
        return self.ask("statuses", signatures=[{"signature": s} for s in signatures], **more)

    def height(self, node):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "getBlockHeight", "params": [{"commitment": "confirmed"}]})
        asked = urllib.request.Request(f"http://127.0.0.1:{self.ports[f'rpc_{node}']}", body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return json.load(answer)["result"]

    def wait_for(self, signature, level="confirmed"):
        levels = ["none", "processed", "confirmed", "finalized"]
        wait_until(level, lambda: levels.index(self.state_of(signature)["least"]) >= levels.index(level), 10, 0.05)
        return self.state_of(signature)

    def state_of(self, signature):
        return self.statuses(signature)["states"][0]


@pytest.fixture(scope="module")
def world():
    made = Chain(MULTICLAW_RPC_TIMEOUT_MS=500)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def c(world):
    yield world
    assert world.processes["chain-oracle-1"].poll() is None, world.log("chain-oracle-1", 60)
    world.ok()
    wait_until("nodes well", lambda: world.healthy("a") and world.healthy("b"), 40)


@pytest.fixture
def own():
    made = []

    def make(*args, **kwargs):
        made.append(Chain(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def slow_world():
    made = Chain(MULTICLAW_SWEEP_S=60)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def slow(slow_world):
    """One that sweeps so seldom that a node which stands still is not behind what everybody knows."""
    yield slow_world
    slow_world.ok()
    wait_until("nodes well", lambda: slow_world.healthy("a") and slow_world.healthy("b"), 40)


@pytest.fixture
def alice(c):
    return c.rich()


@pytest.fixture
def bob():
    return Wallet()


def refused(function, *args, **kwargs):
    with pytest.raises(Refused) as e:
        function(*args, **kwargs)
    return e.value.status, e.value.reason


# ---- who may ask


def test_only_agent_wallet_asks(c):
    for role in ("router", "auth", "session", "secret-vault", "sandbox", "operator"):
        peer = c.peer(role, "chain-oracle")
        for call in CALLS:
            assert refused(peer.call, f"chain.{call}")[0] == "denied", (role, call)


def test_agent_wallet_asks_who_owns_an_asset_and_nothing_that_ends_sessions(c, alice):
    asset = c.mint(alice)
    assert c.wallet_peer.call("oracle.owner", asset=asset, wallet=alice.address)["owner"] == alice.address
    for call in ("finalized", "assets", "reset"):
        assert refused(c.wallet_peer.call, f"oracle.{call}", asset=asset)[0] == "denied"


def test_what_agent_wallet_may_do_in_redis(c):
    password = (c.state / "keys/redis/agent-wallet.password").read_text().strip()
    own = redis.Redis(unix_socket_path=str(c.state / "run/redis.sock"), username="agent-wallet", password=password, decode_responses=True)
    own.hset("mc:wallet:op:test", "sent", "bytes")
    assert own.hget("mc:wallet:op:test", "sent") == "bytes" and own.zadd("mc:wallet:due", {"test": 1}) == 1
    own.delete("mc:wallet:op:test", "mc:wallet:due")
    for command in (("GET", "mc:session:x"), ("HGET", "mc:session:x", "wallet"), ("HSET", "mc:rate:put:x", "left", "1"), ("SET", "mc:wallet:x", "1"), ("DEL", "mc:owner:x"), ("SET", "mc:owner:x", "1"), ("KEYS", "*"), ("DEL", "mc:events"), ("FLUSHALL",)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            own.execute_command(*command)


# ---- accounts


def test_names_the_blockhash_and_the_height_of_every_node(c):
    got = c.ask("blockhash")
    assert len(b58decode(got["blockhash"])) == 32 and (got["nodes"], got["of"]) == (2, 2)
    assert 100 < got["last_valid"] - got["height"] <= 160 and got["slot"] >= c.chain()[0]


def test_the_height_is_the_lowest_that_a_node_names(slow):
    before = slow.ask("blockhash")
    slow.fault("b", freeze=True)
    wait_until("the other goes on", lambda: slow.height("a") > before["height"] + 20, 5, 0.05)
    after = slow.ask("blockhash")
    assert after["nodes"] == 2
    assert after["height"] <= before["height"] + 10 and after["last_valid"] >= before["height"] + 20 + 150


def test_reads_accounts_as_they_are(c, alice):
    asset = c.mint(alice)
    wallet, missing, nft, program = c.accounts(alice.address, EMPTY, asset, TOKEN, data_max=1024)
    assert (wallet["exists"], wallet["lamports"], wallet["owner"], wallet["space"] if "space" in wallet else 0) == (True, 10 * SOL, SYSTEM, 0)
    assert missing == {"exists": False}
    assert nft["owner"] == CORE and nft["data"][0] == 1 and nft["data"][1:33] == b58decode(alice.address)
    assert nft["space"] == len(nft["data"])
    assert program["executable"] and not nft.get("executable")


def test_reads_a_part_and_says_how_large_the_whole_is(c, alice):
    asset = c.mint(alice)
    whole = c.ask("account", key=asset, data_max=65536)
    part = c.ask("account", key=asset, data_max=40)
    none = c.ask("account", key=asset, data_max=0)
    assert part["data"] == whole["data"][:40] and part["space"] == whole["space"] == len(whole["data"])
    assert "data" not in none and none["space"] == whole["space"]


def test_reads_a_large_account_whole(c):
    key = b58encode(bytes([9] * 32))
    data = bytes(range(256)) * 256
    c.devchain("set_account", key=key, data=base64.b64encode(data).decode(), program=CORE, wait="confirmed")
    assert c.ask("account", key=key, data_max=65536)["data"] == data


def test_reads_a_hundred_accounts_in_the_order_of_the_keys(c, alice):
    keys = [b58encode(bytes([i] * 32)) for i in range(1, 100)] + [alice.address]
    got = c.accounts(*keys, data_max=1024)
    assert len(got) == 100 and got[99]["lamports"] == 10 * SOL
    assert refused(c.accounts, *keys, alice.address)[0] == "invalid"


def test_a_reading_reaches_the_slot_it_is_asked_for(c, alice):
    slot = c.ask("account", key=alice.address, data_max=0)["slot"]
    assert c.ask("account", key=alice.address, data_max=0, min_slot=slot + 10)["slot"] >= slot + 10
    assert refused(c.ask, "account", key=alice.address, data_max=0, min_slot=slot + 10**6) == ("unavailable", "chain_behind")
    assert refused(c.ask, "account", key=alice.address, data_max=0, min_slot=2**64 - 1) == ("unavailable", "chain_behind")


def test_tells_rent(c):
    sizes = [0, 165, 82, 10485760]
    got = [r["lamports"] for r in c.ask("rent", sizes=[{"size": s} for s in sizes])["rents"]]
    assert got == [(128 + s) * 6960 for s in sizes]


def test_refuses_what_is_no_address_or_signature(c):
    bad = "1" * 33
    assert refused(c.ask, "account", key=bad, data_max=0) == ("invalid", "address_invalid")
    assert refused(c.accounts, SYSTEM, bad) == ("invalid", "address_invalid")
    assert refused(c.ask, "tokens", owner=bad) == ("invalid", "address_invalid")
    assert refused(c.ask, "records", asset=bad) == ("invalid", "address_invalid")
    assert refused(c.ask, "recent", address=bad, limit=1) == ("invalid", "address_invalid")
    assert refused(c.ask, "recent", address=SYSTEM, limit=1, before="x" * 66) == ("invalid", "signature_invalid")
    assert refused(c.statuses, "0" * 64) == ("invalid", "signature_invalid")
    assert refused(c.ask, "simulate", transaction=b"x", keys=[{"key": bad}]) == ("invalid", "address_invalid")


# ---- tokens, delegates


def test_lists_the_tokens_of_both_programs_with_their_decimals(c, alice, bob):
    made = {}
    for program, decimals in (("token", 6), ("token-2022", 9)):
        made[program] = c.devchain("create_mint", decimals=decimals, program=program, wait="confirmed")["mint"]
    c.devchain("fund", mint=made["token"], owner=alice.address, amount=5, delegate=bob.address, delegated=3, closer=bob.address)
    c.devchain("fund", mint=made["token-2022"], owner=alice.address, amount=2**63 - 1, frozen=True, wait="confirmed")
    first, second = c.ask("tokens", owner=alice.address)["holdings"]
    assert (first["mint"], first["amount"], first["decimals"], first["mint_known"]) == (made["token"], 5, 6, True)
    assert (first["delegate"], first["delegated"], first["closer"]) == (bob.address, 3, bob.address)
    assert not first.get("token_2022") and first["lamports"] == (128 + 165) * 6960
    assert (second["mint"], second["amount"], second["decimals"]) == (made["token-2022"], 2**63 - 1, 9)
    assert second["token_2022"] and second["frozen"] and "delegate" not in second
    assert "holdings" not in c.ask("tokens", owner=bob.address)


def test_many_empty_token_accounts_do_not_hide_one_that_is_not(c):
    owner, mint = Wallet(), c.devchain("create_mint", decimals=0)["mint"]
    for i in range(260):
        c.devchain("fund", mint=mint, owner=owner.address, account=b58encode(i.to_bytes(4, "big") + bytes([3] * 28)), amount=0)
    c.devchain("fund", mint=mint, owner=owner.address, amount=77, wait="confirmed")
    got = c.ask("tokens", owner=owner.address)
    assert got["more"] and len(got["holdings"]) == 256
    assert [h["amount"] for h in got["holdings"] if h.get("amount")] == [77]


def test_many_token_accounts_do_not_hide_one_that_another_may_spend_from(c, bob):
    """What a seller could put before a buyer's eyes: an account with a delegate behind more full ones than fit."""
    owner, mint = Wallet(), c.devchain("create_mint", decimals=0)["mint"]
    for i in range(260):
        c.devchain("fund", mint=mint, owner=owner.address, account=b58encode(i.to_bytes(4, "big") + bytes([5] * 28)), amount=1)
    last = b58encode(bytes([255] * 32))
    c.devchain("fund", mint=mint, owner=owner.address, account=last, amount=0, delegate=bob.address, delegated=2**62, wait="confirmed")
    got = c.ask("tokens", owner=owner.address)
    assert got["more"] and len(got["holdings"]) == 256
    assert [h["account"] for h in got["holdings"] if h.get("delegate")] == [last]


def test_what_a_wallet_delegated_to_itself_does_not_hide_what_another_may_spend_from(c, bob):
    owner, mint = Wallet(), c.devchain("create_mint", decimals=0)["mint"]
    for i in range(260):
        c.devchain("fund", mint=mint, owner=owner.address, account=b58encode(i.to_bytes(4, "big") + bytes([6] * 28)), amount=1, delegate=owner.address, delegated=1)
    last = b58encode(bytes([254] * 32))
    c.devchain("fund", mint=mint, owner=owner.address, account=last, amount=0, delegate=bob.address, delegated=2**62, wait="confirmed")
    assert [h["account"] for h in c.ask("tokens", owner=owner.address)["holdings"] if h.get("delegate") == bob.address] == [last]


def test_lists_who_may_execute_for_an_asset(c, alice, bob):
    asset, other = c.mint(alice), c.mint(alice)
    made = c.devchain("delegate", asset=asset, authority=bob.address)
    c.devchain("delegate", asset=other, authority=alice.address, wait="confirmed")
    got = c.ask("records", asset=asset)
    assert [(r["record"], r["profile"], r["authority"]) for r in got["records"]] == [(made["record"], made["profile"], bob.address)]
    assert got["nodes"] == 2
    assert "records" not in c.ask("records", asset=c.mint(alice))


def test_one_node_cannot_hide_a_record_that_another_knows(slow):
    alice, bob = Wallet(), Wallet()
    asset = slow.mint(alice)
    slow.fault("a", freeze=True)
    slow.devchain("delegate", asset=asset, authority=bob.address, wait="confirmed")
    got = slow.ask("records", asset=asset)
    assert got["nodes"] == 2 and [r["authority"] for r in got["records"]] == [bob.address]


def test_what_is_no_record_of_the_asset_is_not_listed(c, alice):
    asset = b58decode(c.mint(alice))
    for i, data in enumerate((bytes([2]) + bytes(71) + asset + b"\0", bytes([1]) + bytes(71) + asset, bytes([2]) + bytes(103))):
        c.devchain("set_account", key=b58encode(bytes([11 + i] * 32)), program=AGENT_TOOLS, data=base64.b64encode(data).decode(), wait="confirmed")
    assert "records" not in c.ask("records", asset=b58encode(asset))


# ---- transactions


def test_simulates_without_signatures_and_changes_nothing(c, alice, bob):
    tx = unsigned(message(alice.address, EMPTY, transfer(alice.address, bob.address, SOL)))
    got = c.ask("simulate", transaction=tx, keys=[{"key": alice.address}, {"key": bob.address}])
    assert "error" not in got and got["units"] > 0 and "Program 11111111111111111111111111111111 success" in got["logs"]
    assert [a["lamports"] for a in got["accounts"]] == [9 * SOL - 5000, SOL]
    assert c.accounts(bob.address) == [{"exists": False}]


def test_a_simulation_says_how_it_would_fail(c, alice, bob):
    def error(lamports):
        tx = unsigned(message(alice.address, EMPTY, transfer(alice.address, bob.address, lamports)))
        return c.ask("simulate", transaction=tx, keys=[{"key": bob.address}])["error"]

    assert error(100 * SOL) == "InstructionError 0 Custom 1"
    assert error(EXEMPT - 1) == "InsufficientFundsForRent 1"
    assert refused(c.ask, "simulate", transaction=b"\1" * 100) == ("invalid", "refused_by_node")


def test_a_payment_is_sent_to_every_node_and_followed_to_its_end(c, alice, bob):
    tx, signature = c.payment(alice, bob.address, SOL)
    assert c.state_of(signature) == {"least": "none", "most": "none"}
    got = c.send(tx)
    assert (got["signature"], got["accepted"]) == (signature, 2)
    assert [r["outcome"] for r in got["relays"]] in (["accepted", "accepted"], ["accepted", "already"])
    state = c.wait_for(signature, "finalized")
    assert "error" not in state and state["slot"] > 0 and not state.get("differ")
    assert c.accounts(bob.address)[0]["lamports"] == SOL
    [recent] = c.ask("recent", address=bob.address, limit=10)["recents"]
    assert (recent["signature"], recent["slot"]) == (signature, state["slot"]) and abs(recent["at"] - time.time()) < 60


def test_the_same_bytes_again_do_no_harm(c, alice, bob):
    tx, signature = c.payment(alice, bob.address, SOL)
    c.send(tx)
    c.wait_for(signature)
    assert [r["outcome"] for r in c.send(tx)["relays"]] == ["already", "already"]
    assert c.send(tx, skip_preflight=True)["accepted"] == 2
    assert c.accounts(bob.address)[0]["lamports"] == SOL


def test_nodes_refuse_in_their_preflight_what_would_fail(c, alice, bob):
    relays = lambda *args, **more: [(r["outcome"], r.get("error", "")) for r in c.send(*args, **more)["relays"]]
    tx, _ = c.payment(alice, bob.address, 100 * SOL)
    assert relays(tx) == [("refused", "InstructionError 0 Custom 1")] * 2
    old, _ = c.payment(alice, bob.address, SOL, blockhash=EMPTY)
    assert relays(old) == [("refused", "BlockhashNotFound")] * 2
    good, _ = c.payment(alice, bob.address, SOL)
    assert relays(good[:10] + bytes([good[10] ^ 1]) + good[11:]) == [("signature", "")] * 2
    assert c.send(tx)["accepted"] == 0


def test_a_failed_payment_is_told_as_it_failed(c, alice, bob):
    tx, signature = c.payment(alice, bob.address, 100 * SOL)
    assert c.send(tx, skip_preflight=True)["accepted"] == 2
    assert c.wait_for(signature)["error"] == "InstructionError 0 Custom 1"
    assert c.ask("recent", address=alice.address, limit=1)["recents"][0]["error"] == "InstructionError 0 Custom 1"
    assert c.accounts(alice.address)[0]["lamports"] == 10 * SOL - 5000


def test_what_is_no_transaction_reaches_no_node(c, alice, bob):
    tx, _ = c.payment(alice, bob.address, SOL)
    for bad in (tx + b"\0", tx[:-1], b"\0" + tx[1:], b"\x81\0" + tx[1:], tx[:65] + b"\x80" + tx[65:]):
        status, reason = refused(c.send, bad)
        assert status == "invalid" and reason.startswith("tx_"), (bad, reason)


def test_lists_the_newest_first_and_goes_on_from_there(c, alice, bob):
    sent = []
    for i in range(3):
        tx, signature = c.payment(alice, bob.address, SOL + i)
        c.send(tx)
        c.wait_for(signature)
        sent.insert(0, signature)
    listed = lambda **more: [r["signature"] for r in c.ask("recent", address=bob.address, **more).get("recents", [])]
    assert listed(limit=50) == sent
    assert listed(limit=1) == sent[:1]
    assert listed(limit=50, before=sent[0]) == sent[1:]


def test_knows_256_signatures_at_a_time(c):
    wanted = [some_signature(str(i)) for i in range(256)]
    got = c.statuses(*wanted)
    assert len(got["states"]) == 256 and all(s == {"least": "none", "most": "none"} for s in got["states"]) and got["nodes"] == 2
    assert refused(c.statuses, *wanted, wanted[0])[0] == "invalid"


# ---- bad nodes


def test_a_node_that_loses_transactions_does_not_lose_them_for_all(c, alice, bob):
    c.fault("a", lose_sent=True)
    tx, signature = c.payment(alice, bob.address, SOL)
    assert c.send(tx)["accepted"] == 2
    c.wait_for(signature)


def test_the_status_of_another_transaction_does_not_make_one_landed(c, alice, bob):
    tx, signature = c.payment(alice, bob.address, SOL)
    c.send(tx)
    c.wait_for(signature, "finalized")
    lost = some_signature("never sent")
    c.fault("a", other_status=True)
    assert c.state_of(lost)["least"] == "none" and c.state_of(lost)["most"] == "finalized"


def test_nodes_that_know_another_end_are_shown(c, alice, bob):
    first, signature = c.payment(alice, bob.address, SOL)
    c.send(first)
    c.wait_for(signature, "finalized")
    second, other = c.payment(alice, bob.address, 2 * SOL)
    c.send(second)
    c.wait_for(other, "finalized")
    c.fault("b", other_status=True)
    assert c.state_of(signature)["differ"] and not c.state_of(other).get("differ")


def test_a_lie_in_a_simulation_is_the_first_nodes_word(c, alice, bob):
    c.fault("a", false_simulation=True)
    tx = unsigned(message(alice.address, EMPTY, transfer(alice.address, bob.address, 100 * SOL)))
    assert "error" not in c.ask("simulate", transaction=tx)


@pytest.mark.parametrize("fault", ["silent", "refuse", "refuse_quiet", "html", "half_body", "half_json", "wrong_id"])
def test_another_node_answers_for_one_that_is_broken(c, alice, bob, fault):
    tx, signature = c.payment(alice, bob.address, SOL)
    c.fault("a", **{fault: True})
    assert c.ask("account", key=alice.address, data_max=0)["lamports"] == 10 * SOL
    assert c.ask("blockhash")["nodes"] >= 1
    got = c.send(tx)
    assert got["accepted"] >= 1 and got["relays"][-1]["outcome"] == "accepted"
    wait_until("landed", lambda: c.state_of(signature)["most"] in ("confirmed", "finalized"), 10, 0.05)


def test_says_that_no_node_answers(c, alice):
    for node in "ab":
        c.fault(node, refuse=True)
    wait_until("both unwell", lambda: not c.healthy("a") and not c.healthy("b"), 20)
    assert refused(c.ask, "account", key=alice.address, data_max=0) == ("unavailable", "chain_unavailable")
    assert refused(c.ask, "blockhash") == ("unavailable", "chain_unavailable")


def test_slots_from_the_future_are_no_answer(c, alice):
    c.fault("a", bad_slot=True)
    assert c.ask("account", key=alice.address, data_max=0)["slot"] < 2**32
    got = c.statuses(some_signature("x"))
    assert (got["nodes"], got["of"]) == (1, 2)


def test_a_late_node_does_not_hold_up_the_others(c, alice):
    c.fault("a", delay=300)
    threads = [threading.Thread(target=lambda: c.peer("agent-wallet", "chain-oracle").call(
        "chain.account", key=alice.address, data_max=0)) for _ in range(4)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert time.monotonic() - began < 5


def test_who_asks_many_nodes_does_not_wait_for_a_silent_one_and_counts_it(slow):
    alice, bob = slow.rich(), Wallet()
    tx, signature = slow.payment(alice, bob.address, SOL)
    slow.fault("b", silent=True)
    began = time.monotonic()
    got = slow.ask("send", 1.0, transaction=tx, skip_preflight=False)
    assert got["accepted"] == 1 and len(got["relays"]) == 1
    got = slow.ask("statuses", 1.0, signatures=[{"signature": signature}])
    assert time.monotonic() - began < 2.5
    assert (got["nodes"], got["of"]) == (1, 2), "one node's word is told as that"


def test_a_single_node_is_trusted_and_counted_as_one(own):
    one = own("a").start()
    for got in (one.ask("blockhash"), one.statuses(some_signature("x")), one.ask("records", asset=EMPTY)):
        assert (got["nodes"], got["of"], got.get("silent", 0)) == (1, 1, 0)


def test_statuses_are_not_older_than_the_height_that_is_told_with_them(slow):
    """A node may be several machines; what one of them has not seen yet is not lost."""
    alice, bob = slow.rich(), Wallet()
    tx, signature = slow.payment(alice, bob.address, SOL)
    slow.send(tx)
    slow.wait_for(signature)
    slow.fault("b", freeze=True)
    wait_until("the other goes on", lambda: slow.height("a") > slow.height("b") + 20, 5, 0.05)
    got = slow.statuses(signature)
    assert got["nodes"] == 2 and got["height"] == slow.height("b") and got["highest"] >= got["height"] + 20
    slow.ok()
    slow.fault("b", old_statuses=100)
    got = slow.statuses(signature)
    assert (got["nodes"], got["of"]) == (1, 2) and got["states"][0]["least"] != "none"
    slow.fault("a", old_statuses=100)
    assert refused(slow.statuses, signature)[0] == "unavailable"


def test_heights_that_cannot_be_are_no_answer(c):
    c.fault("b", high=2**62)
    got = c.ask("blockhash")
    assert (got["nodes"], got["of"]) == (1, 2) and got["last_valid"] <= c.height("a") + 150
    assert c.statuses(some_signature("x"))["nodes"] == 1
    c.fault("a", high=2**62)
    assert refused(c.ask, "blockhash")[0] == "unavailable"


def test_a_node_without_history_tells_the_last_minutes(c, alice, bob):
    for node in "ab":
        c.fault(node, no_history=True)
    tx, signature = c.payment(alice, bob.address, SOL)
    c.send(tx)
    assert c.wait_for(signature)["least"] != "none"
    assert refused(c.statuses, signature, history=True) == ("unavailable", "chain_unavailable")
    c.ok("a")
    got = c.statuses(signature, history=True)
    assert (got["nodes"], got["of"], got["silent"]) == (1, 2, 1)


def test_what_is_on_its_way_finds_room_when_all_ask(own):
    full = own().start()
    for node in "ab":
        full.fault(node, delay=300)
    asked = [full.wallet_peer.send("chain.account", 10.0, key=EMPTY, data_max=0) for _ in range(60)]
    got = full.peer("agent-wallet", "chain-oracle").call("chain.statuses", 10.0, signatures=[{"signature": some_signature("x")}])
    assert got["nodes"] >= 1 and got["of"] == 2
    answers = [full.wallet_peer.receive()[0]["status"] for _ in asked]
    assert "busy" in answers and "ok" in answers


def test_ends_what_waits_when_it_stops(own):
    one = own().start()
    for node in "ab":
        one.fault(node, silent=True)
    one.wallet_peer.send("chain.account", 5.0, key=EMPTY, data_max=0)
    time.sleep(0.2)  # it has reached the node, or waits for one: both have to end
    one.signal("chain-oracle-1", 15)
    assert one.processes["chain-oracle-1"].wait(timeout=10) == 0
