"""agent-wallet end to end on the development chain: each operation, each refusal, sales in between, bad nodes, kills, two replicas, Redis gone."""

import json
import os
import signal
import threading
import time

import pytest

from chain_parts import AGENT_TOOLS, CORE, EXEMPT, SOL, SYSTEM, TOKEN, TOKEN_2022, b64, message, sign, some_signature, transfer
from oracle_parts import Refused
from sandbox_parts import agent_id as agent_id_of
from suite import ROOT, Wallet, b58decode, b58encode, wait_until
from wallet_parts import ENDS, Owner, Wallets, assertion, associated, decode, limit, pda_of, price, signed

USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
WRAPPED_SOL = "So11111111111111111111111111111111111111112"
FEE, EXECUTE, TOKEN_RENT = 5000, 48720, 2039280


@pytest.fixture(scope="module")
def world():
    made = Wallets()
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def w(world):
    yield world
    assert world.processes["agent-wallet-1"].poll() is None, world.log("agent-wallet-1", 60)
    world.ok()
    wait_until("nodes well", lambda: world.healthy("a") and world.healthy("b"), 40)


@pytest.fixture
def alice(w):
    return Owner(w)


@pytest.fixture
def bob():
    return Wallet()


def refused(function, *args, **kwargs):
    with pytest.raises(Refused) as e:
        function(*args, **kwargs)
    return e.value.status, e.value.reason


def texts(answer):
    return "\n".join(line["text"] for line in answer.get("lines", []))


def known_mint(w, mint, decimals=9):
    """One of mainnet's, made on the development chain when it is first needed."""
    if w.rpc("getAccountInfo", mint, {"encoding": "base64"})["value"] is None:
        w.devchain("create_mint", mint=mint, decimals=decimals, wait="confirmed")
    return mint


# ---- operations


def test_sends_sol(w, alice, bob):
    alice.fund(2 * SOL)
    before = w.lamports(alice.wallet.address)
    built = alice.build("transfer_sol", to=bob.address, amount=SOL)
    assert (built["fee_lamports"], built["execute_lamports"], built.get("rent_lamports", 0)) == (FEE, EXECUTE, 0)
    assert built["sim_node"] == "passes" and built["sim_units"] > 0 and built["last_valid"] > built["height"]
    assert alice.status(built)["state"] == "built"
    sent = alice.submit(built)
    assert sent["state"] in ("sent", "confirmed") and sent["operation"] == "transfer_sol"
    alice.wait_for(built, "confirmed", "finalized")
    assert w.lamports(bob.address) == SOL and w.lamports(alice.pda) == SOL
    assert w.lamports(alice.wallet.address) == before - FEE - EXECUTE
    end = alice.wait_for(built)
    assert end["state"] == "finalized" and (end["slot"], None) == w.landed(end["signature"]) and end["signature"] == sent["signature"]
    assert alice.call("recent", limit=5)["recents"][0]["signature"] == sent["signature"]


def test_sends_all_the_sol_there_is(w, alice, bob):
    alice.fund(SOL + 1)
    built, end = alice.do("transfer_sol", to=bob.address, all=True)
    assert end["state"] == "confirmed" and w.lamports(bob.address) == SOL + 1 and w.lamports(alice.pda) == 0
    assert alice.show()["state"] == "clean"


@pytest.mark.parametrize("program", ["token", "token-2022"])
def test_sends_tokens_and_creates_the_recipients_account(w, alice, bob, program):
    address = TOKEN if program == "token" else TOKEN_2022
    mint = w.devchain("create_mint", decimals=6, program=program, wait="confirmed")["mint"]
    w.devchain("fund", mint=mint, owner=alice.pda, amount=2_500_000, wait="confirmed")
    built = alice.build("transfer_token", mint=mint, to=bob.address, amount=1_500_000)
    assert "1.5 " in texts(built) and mint in texts(built) and bob.address in texts(built)
    assert built["rent_lamports"] >= TOKEN_RENT and built["sim_node"] == "passes", built
    alice.submit(built)
    assert alice.wait_for(built, "confirmed", *ENDS)["state"] == "confirmed"
    assert w.tokens(bob.address, mint) == 1_500_000 and w.tokens(alice.pda, mint) == 1_000_000
    assert len(w.ask_account(associated(bob.address, mint, address))) >= 165
    again, end = alice.do("transfer_token", mint=mint, to=bob.address, all=True)
    assert again.get("rent_lamports", 0) == 0 and w.tokens(bob.address, mint) == 2_500_000


def test_a_fee_that_the_token_withholds_is_told(w, alice, bob):
    mint = w.devchain("create_mint", decimals=6, program="token-2022", wait="confirmed")["mint"]
    w.devchain("fund", mint=mint, owner=alice.pda, amount=100, wait="confirmed")
    assert "of it: the recipient gets less" not in texts(alice.build("transfer_token", mint=mint, to=bob.address, amount=7))
    fee = bytes(8) + (10**6).to_bytes(8, "little") + (125).to_bytes(2, "little")
    config = bytes([1, 0, 108, 0]) + bytes(72) + fee + fee
    w.devchain("set_account", key=mint, program=TOKEN_2022, data=b64(w.ask_account(mint)[:82].ljust(165, b"\0") + b"\1" + config), wait="confirmed")
    built = alice.build("transfer_token", mint=mint, to=bob.address, amount=7)
    assert "withholds up to 1.25 % of it: the recipient gets less" in texts(built) and built["warning"]
    assert "less what its mint withholds" in texts(built)


def test_sends_tokens_from_an_account_that_is_named(w, alice, bob):
    mint = w.devchain("create_mint", decimals=2, wait="confirmed")["mint"]
    account = b58encode(os.urandom(32))
    w.devchain("fund", mint=mint, owner=alice.pda, account=account, amount=700, wait="confirmed")
    assert refused(alice.build, "transfer_token", mint=mint, to=bob.address, amount=7) == ("invalid", "amount_too_much")
    _, end = alice.do("transfer_token", mint=mint, to=bob.address, amount=7, account=account)
    assert end["state"] == "confirmed" and w.tokens(bob.address, mint) == 7


def test_sends_an_spl_nft(w, alice, bob):
    mint = w.devchain("create_mint", decimals=0, wait="confirmed")["mint"]
    w.devchain("fund", mint=mint, owner=alice.pda, amount=1, wait="confirmed")
    alice.do("transfer_token", mint=mint, to=bob.address, amount=1)
    assert w.tokens(bob.address, mint) == 1


def test_sends_a_core_nft_that_the_wallet_holds(w, alice, bob):
    nft = w.mint(alice.pda)
    _, end = alice.do("transfer_nft", nft=nft, to=bob.address)
    assert end["state"] == "confirmed"
    data = w.ask_account(nft)
    assert data[1:33] == b58decode(bob.address)


def test_closes_empty_token_accounts(w, alice):
    accounts = []
    for _ in range(2):
        mint = w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
        accounts.append(w.devchain("fund", mint=mint, owner=alice.pda, amount=0, wait="confirmed")["account"])
    built, end = alice.do("close_accounts", keys=[{"key": a} for a in accounts])
    assert end["state"] == "confirmed" and built["execute_lamports"] == 2 * EXECUTE
    assert w.lamports(alice.pda) == 2 * TOKEN_RENT and alice.show().get("holdings", []) == []


def test_revokes_an_execution_delegate(w, alice, bob):
    made = w.devchain("delegate", asset=alice.asset, authority=bob.address, wait="confirmed")
    shown = alice.show()
    assert shown["state"] == "captured" and "address" not in shown and shown["usable"] and shown["identity"]
    [delegate] = shown["delegates"]
    assert (delegate["record"], delegate["profile"], delegate["authority"]) == (made["record"], made["profile"], bob.address)
    assert delegate["age"] == "unknown" and "can spend all" in delegate["warning"] and bob.address in texts(shown)
    _, end = alice.do("revoke_delegate", record=made["record"])
    assert end["state"] == "confirmed"
    shown = alice.show()
    assert shown["state"] == "clean" and shown["address"] == alice.pda and "delegates" not in shown


def test_many_delegates_and_slow_nodes_do_not_keep_it_from_being_shown(w, alice):
    for _ in range(8):
        w.devchain("delegate", asset=alice.asset, authority=Wallet().address)
    w.devchain("airdrop", to=alice.pda, lamports=EXEMPT, wait="confirmed")
    for node in "ab":
        w.fault(node, delay=400)
    shown = alice.show(timeout=4.0)
    assert shown["state"] == "captured" and len(shown["delegates"]) == 8
    assert {d["age"] for d in shown["delegates"]} == {"unknown"}


def test_revokes_the_delegate_of_a_token_account(w, alice, bob):
    mint = w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
    account = w.devchain("fund", mint=mint, owner=alice.pda, amount=5, delegate=bob.address, delegated=3, wait="confirmed")["account"]
    assert alice.show()["state"] == "captured" and bob.address in texts(alice.show())
    alice.do("revoke_delegate", account=account)
    assert alice.show()["state"] == "clean"
    assert refused(alice.build, "revoke_delegate", account=account) == ("invalid", "delegate_refused")


def raw_transfer(owner, to, lamports):
    return {
        "instructions": [{"program": SYSTEM, "accounts": 2, "data": (2).to_bytes(4, "little") + lamports.to_bytes(8, "little")}],
        "metas": [{"key": owner.pda, "signs": True, "written": True}, {"key": to, "written": True}],
    }


def proof(owner, act="raw_instructions", signer=None):
    issued = owner.world.auth.call("auth.challenge", wallet=owner.wallet.address, asset=owner.asset, act=act, ip="203.0.113.7")
    return {"nonce": issued["nonce"], "signature": (signer or owner.wallet).sign(issued["message"].encode()), "ip": "203.0.113.7"}


def test_composes_raw_instructions_for_a_fresh_signature_only(w, alice, bob):
    alice.fund(2 * SOL)
    raw = raw_transfer(alice, bob.address, SOL)
    assert refused(alice.build, "instructions", **raw) == ("denied", "dangerous")
    assert refused(alice.build, "instructions", dangerous=True, **raw) == ("denied", "dangerous")
    assert refused(alice.build, "instructions", **raw, **proof(alice)) == ("denied", "dangerous")
    assert refused(alice.build, "instructions", dangerous=True, **raw, **proof(alice, signer=bob))[0] == "unauthenticated"
    assert refused(alice.build, "instructions", dangerous=True, **raw, **proof(alice, act="hot_wallet")) == ("unauthenticated", "message_mismatch")
    once = proof(alice)
    built = alice.build("instructions", dangerous=True, **raw, **once)
    assert refused(alice.build, "instructions", dangerous=True, **raw, **once) == ("unauthenticated", "nonce_unknown")
    alice.submit(built)
    assert alice.wait_for(built, "confirmed", *ENDS)["state"] == "confirmed" and w.lamports(bob.address) == SOL


def test_raw_instructions_list_their_accounts(w, alice, bob):
    raw = raw_transfer(alice, bob.address, SOL)
    few = {**raw, "metas": raw["metas"][:1]}
    many = {**raw, "metas": raw["metas"] + [{"key": SYSTEM}]}
    foreign = {**raw, "metas": [{"key": bob.address, "signs": True, "written": True}, raw["metas"][1]]}
    for bad, reason in ((few, "operation_invalid"), (many, "operation_invalid"), (foreign, "inner_signer")):
        assert refused(alice.build, "instructions", dangerous=True, **bad, **proof(alice)) == ("invalid", reason)


# ---- refusals of build


def test_amounts_are_refused_with_the_numbers(w, alice, bob):
    alice.fund(SOL)

    def no(reason, *numbers, **body):
        with pytest.raises(Refused) as e:
            alice.build("transfer_sol", to=bob.address, **body)
        assert (e.value.status, e.value.reason) == ("invalid", reason)
        assert all(str(n) in str(e.value) for n in numbers), str(e.value)

    no("amount_zero", amount=0)
    no("amount_zero")
    no("amount_too_much", SOL, SOL + 1, amount=SOL + 1)
    no("amount_too_much", 2**64 - 1, amount=2**64 - 1)
    no("amount_leaves_rent", 1, EXEMPT, amount=SOL - 1)
    no("amount_leaves_rent", EXEMPT - 1, EXEMPT, amount=SOL - EXEMPT + 1)
    no("amount_below_rent", EXEMPT - 1, EXEMPT, amount=EXEMPT - 1)
    no("operation_invalid", amount=1, all=True)
    assert alice.build("transfer_sol", to=bob.address, amount=EXEMPT)["sim_node"] == "passes"
    assert alice.build("transfer_sol", to=bob.address, amount=SOL - EXEMPT)["sim_node"] == "passes"
    assert refused(alice.call, "build", operation="transfer_sol", to=bob.address, amount=-1)[0] == "invalid"


def test_an_empty_wallet_sends_nothing(alice, bob):
    assert refused(alice.build, "transfer_sol", to=bob.address, all=True) == ("invalid", "amount_zero")
    assert refused(alice.build, "transfer_sol", to=bob.address, amount=1) == ("invalid", "amount_too_much")


def test_a_small_amount_to_one_who_has_enough_is_sent(w, alice):
    alice.fund(SOL)
    assert alice.build("transfer_sol", to=alice.wallet.address, amount=1)["sim_node"] == "passes"


def test_tokens_are_refused_with_the_numbers(w, alice, bob):
    mint = w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
    assert refused(alice.build, "transfer_token", mint=mint, to=bob.address, amount=1) == ("invalid", "amount_too_much")
    w.devchain("fund", mint=mint, owner=alice.pda, amount=100, wait="confirmed")
    with pytest.raises(Refused, match="100 .* not 101"):
        alice.build("transfer_token", mint=mint, to=bob.address, amount=101)
    assert refused(alice.build, "transfer_token", mint=mint, to=bob.address, amount=2**64 - 1) == ("invalid", "amount_too_much")
    assert refused(alice.build, "transfer_token", mint=mint, to=bob.address) == ("invalid", "amount_zero")
    for bad in (alice.asset, bob.address, SYSTEM):
        assert refused(alice.build, "transfer_token", mint=bad, to=bob.address, amount=1) == ("invalid", "mint_refused")
    theirs = w.devchain("fund", mint=mint, owner=bob.address, amount=5, wait="confirmed")["account"]
    assert refused(alice.build, "transfer_token", mint=mint, to=bob.address, amount=1, account=theirs) == ("invalid", "token_refused")
    assert refused(alice.build, "transfer_token", mint=mint, to=theirs, amount=1, allow_off_curve=True) == ("invalid", "recipient_refused")
    assert refused(alice.build, "transfer_token", mint=mint, to=mint, amount=1, allow_off_curve=True) == ("invalid", "recipient_refused")


def test_a_frozen_token_account_sends_nothing_and_is_shown(w, alice, bob):
    mint = w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
    w.devchain("fund", mint=mint, owner=alice.pda, amount=100, frozen=True, wait="confirmed")
    assert refused(alice.build, "transfer_token", mint=mint, to=bob.address, amount=1) == ("invalid", "token_refused")
    shown = alice.show()
    assert shown["state"] == "clean" and shown["holdings"][0]["frozen"] and "frozen" in texts(shown)


def test_recipients_that_would_lose_it_are_refused(w, alice):
    alice.fund(SOL)
    off_curve = pda_of(w.asset_of("alice"))
    assert refused(alice.build, "transfer_sol", to=off_curve, amount=EXEMPT) == ("invalid", "recipient_off_curve")
    assert alice.build("transfer_sol", to=off_curve, amount=EXEMPT, allow_off_curve=True)["warning"]
    assert refused(alice.build, "transfer_sol", to=alice.pda, amount=EXEMPT, allow_off_curve=True) == ("invalid", "recipient_self")
    assert refused(alice.build, "transfer_sol", to=alice.asset, amount=EXEMPT, allow_off_curve=True) == ("invalid", "recipient_refused")
    for program in (SYSTEM, TOKEN, CORE):
        assert refused(alice.build, "transfer_sol", to=program, amount=EXEMPT, allow_off_curve=True) == ("invalid", "recipient_refused")
    assert refused(alice.build, "transfer_sol", to="1" * 33, amount=EXEMPT) == ("invalid", "address_invalid")


def test_no_nft_not_even_a_burned_one_is_a_recipient(w, alice, bob):
    alice.fund(SOL)
    nft, other, burned, held = w.mint(bob), w.mint(alice.wallet), w.mint(bob), w.mint(alice.pda)
    w.devchain("burn", asset=burned, wait="confirmed")
    mint = w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
    w.devchain("fund", mint=mint, owner=alice.pda, amount=5, wait="confirmed")
    for to in (nft, other, burned, held, w.collection):
        for body in ({"operation": "transfer_sol", "amount": EXEMPT}, {"operation": "transfer_token", "mint": mint, "amount": 5}, {"operation": "transfer_nft", "nft": held}):
            assert refused(alice.build, to=to, allow_off_curve=True, **body) == ("invalid", "recipient_refused"), (to, body)


def test_nfts_that_the_wallet_does_not_hold_are_refused(w, alice, bob):
    theirs, burned = w.mint(bob), w.mint(alice.pda)
    w.devchain("burn", asset=burned, wait="confirmed")
    for nft in (theirs, burned, alice.asset, bob.address):
        assert refused(alice.build, "transfer_nft", nft=nft, to=bob.address) == ("invalid", "nft_refused")
    assert refused(alice.build, "transfer_nft", nft=theirs, to=alice.pda) == ("invalid", "recipient_self")


def test_accounts_that_are_not_empty_or_not_the_wallets_are_not_closed(w, alice, bob):
    mint = w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
    full = w.devchain("fund", mint=mint, owner=alice.pda, amount=1)["account"]
    theirs = w.devchain("fund", mint=mint, owner=bob.address, amount=0)["account"]
    other = w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
    held = w.devchain("fund", mint=other, owner=alice.pda, amount=0, closer=bob.address, wait="confirmed")["account"]
    for bad in (full, theirs, held, mint, alice.asset):
        assert refused(alice.build, "close_accounts", keys=[{"key": bad}]) == ("invalid", "token_refused")
    assert refused(alice.build, "close_accounts", keys=[{"key": full}, {"key": full}]) == ("invalid", "operation_invalid")
    shown = alice.show()
    assert shown["state"] == "clean" and shown["address"] == alice.pda, "anybody can send him such an account"
    assert [line["warning"] for line in shown["lines"] if held in line["text"] and bob.address in line["text"]] == [True]
    w.devchain("fund", mint=known_mint(w, WRAPPED_SOL), owner=alice.pda, amount=0, wrapped=True, closer=bob.address, wait="confirmed")
    assert alice.show()["state"] == "captured"


def test_only_records_of_the_asset_are_revoked(w, alice, bob):
    made = w.devchain("delegate", asset=w.mint(bob), authority=bob.address, wait="confirmed")
    for bad in (made["record"], made["profile"], alice.asset):
        assert refused(alice.build, "revoke_delegate", record=bad) == ("invalid", "delegate_refused")


def test_fields_of_other_operations_are_refused(alice, bob):
    for body in ({"operation": "transfer_sol", "to": bob.address, "amount": 1, "mint": bob.address},
                 {"operation": "transfer_token", "to": bob.address, "amount": 1},
                 {"operation": "transfer_nft", "to": bob.address},
                 {"operation": "close_accounts"},
                 {"operation": "revoke_delegate"},
                 {"operation": "revoke_delegate", "record": bob.address, "account": bob.address},
                 {"operation": "transfer_sol", "amount": 1},
                 {"operation": "assign"}):
        assert refused(alice.call, "build", **body) == ("invalid", "operation_invalid"), body


def test_an_owner_who_cannot_pay_is_told_the_numbers(w, bob):
    wallet = Wallet()
    w.devchain("airdrop", to=wallet.address, lamports=EXEMPT)
    owner = Owner(w, wallet, w.mint(wallet))
    owner.fund(SOL)
    with pytest.raises(Refused, match=f"has {EXEMPT} lamports, pays {FEE + EXECUTE} .* at least {EXEMPT}") as e:
        owner.build("transfer_sol", to=bob.address, amount=EXEMPT)
    assert e.value.reason == "payer_too_poor"
    w.devchain("airdrop", to=wallet.address, lamports=FEE + EXECUTE, wait="confirmed")
    assert owner.build("transfer_sol", to=bob.address, amount=EXEMPT)["sim_node"] == "passes"
    empty = Wallet()
    owner = Owner(w, empty, w.mint(empty))
    owner.fund(SOL)
    with pytest.raises(Refused, match=f"has 0 lamports and pays {FEE + EXECUTE}") as e:
        owner.build("transfer_sol", to=bob.address, amount=EXEMPT)
    assert e.value.reason == "payer_too_poor"


# ---- captured


@pytest.mark.parametrize("program, data", [(SYSTEM, bytes(80)), (AGENT_TOOLS, b""), (SYSTEM, b"\1")])
def test_a_captured_wallet_is_shown_without_its_address_and_spends_nothing(w, alice, bob, program, data):
    record = w.devchain("delegate", asset=alice.asset, authority=bob.address)["record"]
    w.devchain("set_account", key=alice.pda, program=program, data=b64(data), lamports=SOL, wait="confirmed")
    shown = alice.show()
    assert shown["state"] == "captured" and not shown["usable"] and "address" not in shown and shown["lamports"] == SOL
    assert "Captured" in texts(shown)
    assert refused(alice.build, "transfer_sol", to=bob.address, amount=EXEMPT) == ("denied", "wallet_captured")
    assert refused(alice.build, "close_accounts", keys=[{"key": bob.address}]) == ("denied", "wallet_captured")
    _, end = alice.do("revoke_delegate", record=record)
    assert end["state"] == "confirmed"


def test_an_associated_account_that_the_seller_kept_is_found(w, alice, bob):
    """Whoever pays the wallet in USDC, or in a token that it holds elsewhere, would pay the thief."""
    usdc, held = known_mint(w, USDC, 6), w.devchain("create_mint", decimals=6, wait="confirmed")["mint"]
    w.devchain("fund", mint=held, owner=alice.pda, amount=5, account=b58encode(os.urandom(32)), wait="confirmed")
    assert alice.show()["state"] == "clean"
    for mint in (usdc, held):
        place = associated(alice.pda, mint)
        w.devchain("fund", mint=mint, owner=bob.address, account=place, amount=0, wait="confirmed")
        shown = alice.show(hot=bob.address)
        assert shown["state"] == "captured" and "address" not in shown and shown["usable"]
        assert place in texts(shown) and mint in texts(shown) and bob.address in texts(shown)
        w.devchain("fund", mint=mint, owner=alice.pda, account=place, amount=0, wait="confirmed")
        assert alice.show()["state"] == "clean"


# ---- who


def test_only_router_asks(w, alice):
    for role in ("auth", "session", "secret-vault", "sandbox", "chain-oracle", "operator"):
        peer = w.peer(role, "agent-wallet")
        for call in ("show", "recent"):
            assert refused(peer.call, f"wallet.{call}", token=alice.token, **({"limit": 1} if call == "recent" else {}))[0] == "denied"


def test_a_session_of_the_agents_own_origin_spends_nothing(w, alice):
    agent_id, state = agent_id_of(alice.asset), os.urandom(32)
    opening = w.session.call("session.opening", token=alice.token)["opening"]
    ticket = w.session.call("session.ticket", opening=opening, agent=agent_id, state=state)["ticket"]
    token = w.session.call("session.enter", ticket=ticket, agent=agent_id, state=state, ip="203.0.113.7")["token"]
    assert refused(w.router().call, "wallet.show", token=token) == ("unauthenticated", "session_invalid")


def test_needs_a_session(w, alice, bob):
    stranger = Owner(w)
    alice.fund(SOL)
    built = alice.build("transfer_sol", to=bob.address, amount=EXEMPT)
    tx = signed(built["transaction"], alice.wallet)
    assert refused(stranger.call, "submit", id=built["id"], transaction=tx) == ("not_found", "operation_unknown")
    assert refused(stranger.call, "status", id=built["id"]) == ("not_found", "operation_unknown")
    for bad in ("0" * 32, "x" * 32):
        assert refused(alice.call, "status", id=bad) == ("not_found", "operation_unknown")
    assert refused(w.router().call, "wallet.show", token="nonsense")[0] == "unauthenticated"
    w.session.call("session.end", token=alice.token)
    assert refused(alice.show)[0] == "unauthenticated"
    assert refused(alice.submit, built)[0] == "unauthenticated"


def test_shows_the_hot_wallets_balance_too(w, alice, bob):
    w.devchain("airdrop", to=bob.address, sol=3, wait="confirmed")
    alice.fund(SOL)
    shown = alice.show(hot=bob.address)
    assert (shown["hot_lamports"], shown["lamports"], shown["rent_exempt"], shown["address"]) == (3 * SOL, SOL, EXEMPT, alice.pda)


# ---- what comes back


def payment(owner, to, lamports=EXEMPT):
    return owner.build("transfer_sol", to=to.address, amount=lamports)


def remade(built, owner, *more, before=(), payer=None, blockhash=None, signers=None):
    """The transaction with other instructions around it, signed."""
    was, hash_was, instructions = decode(built["transaction"])
    made = message(payer or was, blockhash or hash_was, *before, *instructions, *more)
    return sign(made, *(signers or [owner.wallet]))[0]


def test_takes_what_wallets_add(w, alice, bob):
    alice.fund(2 * SOL)
    for more in ([limit(100_000), price(1000)], [price(5)], []):
        built = payment(alice, bob)
        alice.submit(built, remade(built, alice, before=more))
        assert alice.wait_for(built, "confirmed", *ENDS)["state"] == "confirmed"
    assert w.lamports(bob.address) == 3 * EXEMPT


def test_takes_the_assertions_that_wallets_add_and_nothing_else_of_lighthouse(w, alice, bob):
    alice.fund(2 * SOL)
    built = payment(alice, bob)
    changed = ("denied", "transaction_changed")
    for bad in (assertion(alice.pda, 0), assertion(alice.pda, 1), assertion(alice.pda, 16), assertion(w.asset_of("alice"), written=True)):
        assert refused(alice.submit, built, remade(built, alice, bad)) == changed
    alice.submit(built, remade(built, alice, assertion(alice.pda, 5), before=[assertion(alice.wallet.address, 2)]))
    assert alice.wait_for(built, "confirmed", *ENDS)["state"] == "confirmed" and w.lamports(bob.address) == EXEMPT


def test_takes_no_assertion_where_the_setting_says_so(own, bob):
    w = own(MULTICLAW_WALLET_ALLOW_LIGHTHOUSE="no").start()
    alice = Owner(w)
    alice.fund(2 * SOL)
    built = payment(alice, bob)
    assert refused(alice.submit, built, remade(built, alice, assertion(alice.pda))) == ("denied", "transaction_changed")
    alice.submit(built)
    assert alice.wait_for(built, "confirmed", *ENDS)["state"] == "confirmed"


def test_every_change_is_refused_and_nothing_is_sent(w, alice, bob):
    alice.fund(2 * SOL)
    mallory = w.rich()
    built = payment(alice, bob)
    tx = built["transaction"]
    steal = transfer(alice.wallet.address, mallory.address, SOL)
    changed = ("denied", "transaction_changed")
    good = signed(tx, alice.wallet)
    cases = {
        "an instruction more": (remade(built, alice, steal), changed),
        "one before": (remade(built, alice, before=[steal]), changed),
        "twice": (remade(built, alice, *decode(tx)[2]), changed),
        "another blockhash": (remade(built, alice, blockhash=w.rpc("getLatestBlockhash")["value"]["blockhash"]), changed),
        "for the wrong network": (remade(built, alice, blockhash=b58encode(os.urandom(32))), changed),
        "a second signer": (remade(built, alice, payer=mallory.address, signers=[mallory, alice.wallet]), changed),
        "a fee for mallory": (remade(built, alice, before=[price(10**9), limit(1_400_000)]), ("denied", "fee_too_high")),
        "a limit twice": (remade(built, alice, before=[limit(5), limit(6)]), ("invalid", "tx_budget")),
        "not signed": (tx, ("invalid", "signature_missing")),
        "signed by another": (signed(tx, mallory), ("invalid", "signature_missing")),
        "cut": (good[:-1], ("invalid", None)),
        "longer": (good + b"\0", ("invalid", None)),
        "no minimal length": (b"\x81\0" + good[1:], ("invalid", None)),
        "a message alone": (good[65:], ("invalid", None)),
        "nothing": (b"\0", ("invalid", None)),
    }
    for name, (bad, expected) in cases.items():
        got = refused(alice.submit, built, bad)
        assert got[0] == expected[0] and (expected[1] is None or got == expected), (name, got)
    v0 = b"\x80" + tx[65:] + b"\0"
    assert refused(alice.submit, built, sign(v0, alice.wallet)[0]) == changed
    tables = b"\x80" + tx[65:] + b"\1" + b58decode(mallory.address) + b"\1\0\0"
    assert refused(alice.submit, built, sign(tables, alice.wallet)[0]) == ("invalid", "tx_lookup_tables")
    assert refused(alice.submit, built, bytes(1233))[0] == "invalid"
    assert alice.status(built)["state"] == "built" and "signature" not in alice.status(built)
    alice.submit(built, good)
    assert alice.wait_for(built, "confirmed", *ENDS)["state"] == "confirmed"


def test_no_byte_of_the_message_may_differ(w, alice, bob):
    """Each mutant is signed by the owner, so that nothing but its meaning speaks against it."""
    alice.fund(2 * SOL)
    built = payment(alice, bob)
    body = built["transaction"][65:]
    for at in range(0, len(body), 3):
        mutant = bytearray(body)
        mutant[at] ^= 1 << at % 8
        status, reason = refused(alice.submit, built, sign(bytes(mutant), alice.wallet)[0])
        assert (status, reason) == ("denied", "transaction_changed") or (status == "invalid" and reason.startswith(("tx_", "signature"))), (at, reason)
    assert alice.status(built)["state"] == "built"


def test_one_version_is_taken_and_no_other_afterwards(w, alice, bob):
    alice.fund(2 * SOL)
    built = payment(alice, bob)
    first, second = remade(built, alice, before=[price(7)]), signed(built["transaction"], alice.wallet)
    sent = alice.submit(built, first)
    again = alice.submit(built, first)
    assert (again["signature"], again["sent_ms"]) == (sent["signature"], sent["sent_ms"])
    assert refused(alice.submit, built, second) == ("conflict", "already_submitted")
    end = alice.wait_for(built)
    assert end["state"] == "finalized" and alice.submit(built, first)["state"] == "finalized"
    assert refused(alice.submit, built, second) == ("conflict", "already_submitted")
    assert w.lamports(bob.address) == EXEMPT


def test_one_that_is_too_old_is_refused(w, alice, bob):
    alice.fund(2 * SOL)
    built = payment(alice, bob)
    wait_until("the blockhash is old", lambda: w.rpc("getBlockHeight", {"commitment": "confirmed"}) > built["last_valid"] + 2, 30)
    wait_until("for both nodes", lambda: w.rpc("getBlockHeight", {"commitment": "confirmed"}, node="b") > built["last_valid"] + 2, 30)
    assert refused(alice.submit, built) == ("conflict", "operation_expired")
    assert w.lamports(bob.address) == 0


def test_one_that_fails_on_the_chain_is_told_as_it_failed(w, alice, bob):
    """The first of two takes all: nodes that run the second beforehand refuse it, and it is lost at the end."""
    alice.fund(SOL)
    first, second = (alice.build("transfer_sol", to=bob.address, all=True) for _ in range(2))
    alice.submit(first)
    assert alice.wait_for(first, "confirmed", *ENDS)["state"] == "confirmed"
    sent = alice.submit(second, remade(second, alice, before=[price(3)]))
    assert sent["state"] == "sent" and sent["error"].startswith("InstructionError"), sent
    end = alice.wait_for(second, seconds=30)
    assert end["state"] == "expired" and w.landed(end["signature"]) is None
    assert w.lamports(bob.address) == SOL


# ---- sales


def test_after_a_sale_nothing_of_the_sellers_is_taken(w, alice, bob):
    alice.fund(2 * SOL)
    built = payment(alice, bob)
    w.transfer(alice.asset, bob)
    assert refused(alice.submit, built) in (("unauthenticated", "session_revoked"), ("denied", "not_owner"))
    assert refused(payment, alice, bob) in (("unauthenticated", "session_revoked"), ("denied", "not_owner"))
    assert refused(alice.submit, built) == ("unauthenticated", "session_revoked")
    w.devchain("airdrop", to=bob.address, sol=1, wait="confirmed")
    buyer = Owner(w, bob, alice.asset)
    assert refused(buyer.status, built) == ("not_found", "operation_unknown")
    assert refused(buyer.call, "submit", id=built["id"], transaction=signed(built["transaction"], alice.wallet)) == ("not_found", "operation_unknown")
    w.transfer(alice.asset, alice.wallet)
    wait_until("the buyer is out", lambda: out(buyer), 10)
    again = Owner(w, alice.wallet, alice.asset)
    assert refused(again.status, built) == ("not_found", "operation_unknown"), "it was built before the sale"
    assert refused(again.submit, built) == ("not_found", "operation_unknown")
    assert w.lamports(alice.pda) == 2 * SOL and w.landed(b58encode(signed(built["transaction"], alice.wallet)[1:65])) is None


def out(owner):
    try:
        owner.show()
    except Refused as e:
        return e.status == "unauthenticated"
    return False


def test_a_submit_that_an_event_overtakes_is_not_accepted_and_keeps_the_event_open(w, alice, bob):
    """Its owner was judged before; whoever asks again is judged anew."""
    alice.fund(2 * SOL)
    built, peer, charged = payment(alice, bob), w.peer("router", "agent-wallet"), f"mc:rate:wallet:{alice.asset}"
    before = w.redis.hgetall(charged)
    w.signal("chain-oracle-1", signal.SIGSTOP)
    try:
        peer.send("wallet.submit", 5.0, token=alice.token, id=built["id"], transaction=signed(built["transaction"], alice.wallet))
        wait_until("its session is known", lambda: w.redis.hgetall(charged) != before, 5)
        ended = w.operator.call("session.revoke", asset=alice.asset)
        wait_until("it is read", lambda: w.enforced(ended)["states"]["auth-1"] == "done", 1)
        assert w.enforced(ended, 300)["states"] == {"auth-1": "done", "session-1": "done", "agent-wallet-1": "open", "chain-oracle-1": "open"}
    finally:
        w.signal("chain-oracle-1", signal.SIGCONT)
    envelope, _ = peer.receive()
    assert (envelope["status"], envelope["reason"], envelope["retry_after_s"]) == ("unavailable", "service_unavailable", 1)
    assert "overtaken by an event" in w.log("agent-wallet-1", 20)
    assert set(w.enforced(ended, 3000)["states"].values()) == {"done"}
    again = Owner(w, alice.wallet, alice.asset)
    assert again.status(built)["state"] == "built" and again.submit(built)["state"] in ("sent", "confirmed")
    assert again.wait_for(built)["state"] == "finalized"


def test_what_happens_to_another_asset_overtakes_no_submit(w, alice, bob):
    alice.fund(2 * SOL)
    built, other, peer, charged = payment(alice, bob), Owner(w), w.peer("router", "agent-wallet"), f"mc:rate:wallet:{alice.asset}"
    before = w.redis.hgetall(charged)
    w.signal("chain-oracle-1", signal.SIGSTOP)
    try:
        peer.send("wallet.submit", 5.0, token=alice.token, id=built["id"], transaction=signed(built["transaction"], alice.wallet))
        wait_until("its session is known", lambda: w.redis.hgetall(charged) != before, 5)
        ended = w.operator.call("session.revoke", asset=other.asset)
        wait_until("it is enforced", lambda: w.enforced(ended)["states"]["agent-wallet-1"] == "done", 1)
    finally:
        w.signal("chain-oracle-1", signal.SIGCONT)
    assert peer.receive()[0]["status"] == "ok"
    assert alice.wait_for(built)["state"] == "finalized"


def test_a_burned_or_moved_asset_spends_nothing(w, alice, bob):
    alice.fund(2 * SOL)
    built = payment(alice, bob)
    w.devchain("burn", asset=alice.asset, wait="confirmed")
    assert refused(alice.submit, built) in (("unauthenticated", "session_revoked"), ("denied", "asset_refused"))
    assert refused(payment, alice, bob) in (("unauthenticated", "session_revoked"), ("denied", "asset_refused"))


def test_a_delegate_that_the_seller_left_is_shown_as_such(w, alice, bob):
    thief = w.rich()
    record = w.devchain("delegate", asset=alice.asset, authority=thief.address, wait="confirmed")["record"]
    # what makes a record names it; the development chain makes it without a transaction
    tx = sign(message(thief.address, w.rpc("getLatestBlockhash", {"commitment": "confirmed"})["value"]["blockhash"], transfer(thief.address, record, SOL)), thief)[0]
    w.rpc("sendTransaction", b64(tx), {"encoding": "base64", "preflightCommitment": "confirmed"})
    wait_until("named", lambda: w.rpc("getSignaturesForAddress", record, {"commitment": "confirmed"}), 10)
    [named] = w.rpc("getSignaturesForAddress", record, {"commitment": "confirmed"})
    assert alice.show()["delegates"][0]["age"] == "after"
    wait_until("a sweep sees the seller later", lambda: w.record(alice.asset)[1] > named["slot"], 20)
    w.transfer(alice.asset, bob)
    wait_until("the seller is out", lambda: out(alice), 10)
    w.devchain("airdrop", to=bob.address, sol=1, wait="confirmed")
    buyer = Owner(w, bob, alice.asset)
    [delegate] = buyer.show()["delegates"]
    assert delegate["age"] == "before" and "former owner" in delegate["warning"] and buyer.show()["state"] == "captured"
    buyer.do("revoke_delegate", record=record)
    assert buyer.show()["state"] == "clean"


# ---- bad nodes


def test_a_lie_in_the_simulation_is_one_nodes_word(w, alice, bob):
    """Raw instructions are not judged here, so one that spends more than there is gets as far as a node."""
    alice.fund(SOL)
    raw = raw_transfer(alice, bob.address, 2 * SOL)
    honest = alice.build("instructions", dangerous=True, **raw, **proof(alice))
    assert honest["sim_node"] == "fails" and honest["sim_error"] == "InstructionError 0 Custom 1"
    w.fault("a", false_simulation=True)
    lied = alice.build("instructions", dangerous=True, **raw, **proof(alice))
    assert lied["sim_node"] == "passes" and "sim_error" not in lied
    assert texts(lied) == texts(honest), "what it does is read from the bytes"


def test_one_that_every_node_lost_is_sent_again_and_lands_once(w, alice, bob):
    alice.fund(SOL)
    built = payment(alice, bob)
    for node in "ab":
        w.fault(node, lose_sent=True)
    sent = alice.submit(built)
    assert sent["state"] == "sent" and "error" not in sent
    time.sleep(1)
    assert alice.status(built)["state"] == "sent" and w.landed(sent["signature"]) is None
    w.ok()
    end = alice.wait_for(built)
    assert end["state"] == "finalized" and w.lamports(bob.address) == EXEMPT


def test_one_that_is_lost_for_good_is_called_expired_and_not_before(w, alice, bob):
    alice.fund(SOL)
    built = payment(alice, bob)
    for node in "ab":
        w.fault(node, lose_sent=True)
    sent = alice.submit(built)
    seen = set()

    def ended():
        state = alice.status(built)
        height = min(w.rpc("getBlockHeight", {"commitment": "confirmed"}, node=n) for n in "ab")
        seen.add(state["state"])
        assert state["state"] == "sent" or height > built["last_valid"], "too early"
        return state["state"] in ENDS

    wait_until("an end", ended, 40, 0.05)
    assert seen == {"sent", "expired"} and w.landed(sent["signature"]) is None


def test_the_status_of_another_transaction_makes_nothing_landed(w, alice, bob):
    alice.fund(SOL)
    alice.do("transfer_sol", to=bob.address, amount=EXEMPT)  # so that the liar has one to tell of
    time.sleep(2)
    built = payment(alice, bob, SOL - 2 * EXEMPT)
    w.fault("a", lose_sent=True, other_status=True)
    w.fault("b", lose_sent=True)
    alice.submit(built)
    wait_until("the lie is seen", lambda: alice.status(built).get("most", "none") != "none", 10, 0.05)
    state = alice.status(built)
    assert state["state"] == "sent" and state["least"] == "none", state
    w.ok("b")
    wait_until("landed", lambda: w.lamports(bob.address) == SOL - EXEMPT, 10, 0.05)
    w.ok("a")
    assert alice.wait_for(built)["state"] == "finalized"


@pytest.mark.parametrize("quiet", ["silent", "refuse"])
def test_a_liar_is_not_believed_while_the_honest_node_is_quiet(w, alice, bob, quiet):
    alice.fund(SOL)
    alice.do("transfer_sol", to=bob.address, amount=EXEMPT)  # so that the liar has one to tell of
    time.sleep(2)
    built = payment(alice, bob, SOL - 2 * EXEMPT)
    for node in "ab":
        w.fault(node, lose_sent=True)
    alice.submit(built)
    w.fault("b", **{quiet: True})
    w.fault("a", other_status=True)
    wait_until("the lie is seen", lambda: alice.status(built).get("most", "none") != "none", 10, 0.05)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        state = alice.status(built)
        assert (state["state"], state["least"]) == ("sent", "none"), state
    w.ok()
    end = alice.wait_for(built, seconds=40)
    assert (end["state"] == "finalized") == (w.landed(end["signature"]) is not None), end


@pytest.mark.parametrize("quiet", ["silent", "refuse"])
def test_one_node_does_not_make_it_lost_while_the_other_is_quiet(w, alice, bob, quiet):
    alice.fund(SOL)
    built = payment(alice, bob)
    for node in "ab":
        w.fault(node, lose_sent=True)
    alice.submit(built)
    w.fault("b", **{quiet: True})
    last = built["last_valid"] + 32
    wait_until("well past", lambda: w.rpc("getBlockHeight", {"commitment": "confirmed"}) > last + 40, 30)
    assert alice.status(built)["state"] == "sent"
    w.ok()
    assert alice.wait_for(built, seconds=30)["state"] == "expired"


def test_nothing_is_shown_or_built_on_one_nodes_word_of_two(w, alice, bob):
    alice.fund(SOL)
    w.devchain("delegate", asset=alice.asset, authority=bob.address, wait="confirmed")
    w.fault("b", silent=True)
    wait_until("unwell", lambda: not w.healthy("b"), 20)
    assert refused(alice.show) == ("unavailable", "chain_unavailable")
    assert refused(payment, alice, bob) == ("unavailable", "chain_unavailable")
    w.ok()
    wait_until("well", lambda: w.healthy("b"), 40)
    assert alice.show()["state"] == "captured"
    for high in (2**62, 150):  # the one never ends, the other is called lost when nobody remembers it
        w.fault("b", high=high)
        assert refused(payment, alice, bob) == ("unavailable", "chain_unavailable"), high


def test_a_lone_node_does_not_make_a_submit_too_late(w, alice, bob):
    alice.fund(SOL)
    built = payment(alice, bob)
    w.fault("a", silent=True)
    wait_until("unwell", lambda: not w.healthy("a"), 20)
    w.fault("b", high=10**6)
    assert refused(alice.submit, built) == ("unavailable", "chain_unavailable")
    w.ok()
    wait_until("well", lambda: w.healthy("a"), 40)
    alice.submit(built)


def test_a_node_that_lies_does_not_make_others_take_what_fails(w, alice, bob):
    """It says that all is well; the honest one runs it first, each time, and what would fail costs nothing."""
    alice.fund(SOL)
    first, second = (alice.build("transfer_sol", to=bob.address, all=True) for _ in range(2))
    alice.submit(first)
    alice.wait_for(first, "confirmed", *ENDS)
    before = w.lamports(alice.wallet.address)
    w.fault("a", false_simulation=True, lose_sent=True)
    alice.submit(second, remade(second, alice, before=[price(3)]))
    end = alice.wait_for(second, seconds=30)
    assert end["state"] == "expired" and w.landed(end["signature"]) is None
    assert w.lamports(alice.wallet.address) == before


def test_what_is_refused_is_sent_less_often(w, alice, bob):
    alice.fund(SOL)
    first, second = (alice.build("transfer_sol", to=bob.address, all=True) for _ in range(2))
    alice.submit(first)
    alice.wait_for(first)
    before = sent_again(w)
    alice.submit(second, remade(second, alice, before=[price(3)]))
    assert alice.wait_for(second, seconds=30)["state"] == "expired"
    assert 2 <= sent_again(w) - before <= 14, "at 300 ms it would be some 25"


def sent_again(w):
    return w.metric("multiclaw_wallet_sent_again_total", service="agent-wallet")


# ---- nodes without history


def test_one_that_is_lost_ends_on_nodes_without_history(w, alice, bob):
    alice.fund(SOL)
    built = payment(alice, bob)
    for node in "ab":
        w.fault(node, no_history=True, lose_sent=True)
    alice.submit(built)
    assert alice.wait_for(built, seconds=30)["state"] == "expired"


def test_an_old_one_that_cannot_be_looked_up_holds_up_no_other(w, script, alice, bob):
    """From a time when this service was away: only a history could tell what became of it."""
    alice.fund(SOL)
    for node in "ab":
        w.fault(node, no_history=True)
    old, unreadable = "0" * 31 + "d", "0" * 31 + "e"
    for id, signature in ((old, some_signature("old")), (unreadable, "x" * 70)):
        put(script, id)
        assert script("accept", id, "asset", "wallet", id, signature, 60000, 0)[0] == "accepted"
    built, end = alice.do("transfer_sol", "finalized", to=bob.address, amount=EXEMPT)
    assert end["state"] == "finalized" and state(script("get", old)) == "sent"
    w.ok()
    wait_until("looked up", lambda: state(script("get", old)) == "expired", 20)
    assert state(script("get", unreadable)) == "sent"
    w.redis.delete("mc:wallet:due")


# ---- equal orders


def test_two_equal_orders_are_not_told_as_two_payments(w, alice, bob):
    alice.fund(SOL)
    for node in "ab":
        w.fault(node, freeze=True)  # one blockhash for both
    built = [payment(alice, bob) for _ in range(2)]
    w.ok()
    assert built[0]["transaction"] == built[1]["transaction"] and built[0]["id"] != built[1]["id"]
    alice.submit(built[0])
    assert refused(alice.submit, built[1]) == ("conflict", "already_submitted")
    assert alice.wait_for(built[0])["state"] == "finalized" and alice.status(built[1])["state"] == "built"
    assert w.lamports(bob.address) == EXEMPT
    alice.submit(built[1], remade(built[1], alice, before=[price(9)]))
    assert alice.wait_for(built[1], "confirmed", *ENDS)["state"] == "confirmed" and w.lamports(bob.address) == 2 * EXEMPT


def test_one_that_a_fork_took_back_is_sent_again(w, alice, bob):
    """It was there, and before it is confirmed a fork takes it back; nobody sends it again but us."""
    alice.fund(SOL)
    for turn in range(1, 11):
        built = payment(alice, bob)
        signature = alice.submit(built)["signature"]
        wait_until("there", lambda: w.landed(signature), 10, 0.001)
        w.devchain("fork", slots=2)
        taken_back = w.landed(signature) is None
        assert alice.wait_for(built)["state"] == "finalized" and w.lamports(bob.address) == turn * EXEMPT
        if taken_back:
            return
    pytest.fail("it was always confirmed before the fork")


def test_late_nodes_only_make_it_late(w, alice, bob):
    alice.fund(SOL)
    built = payment(alice, bob)
    w.fault("a", delay=400)
    w.fault("b", delay=400)
    sent = alice.submit(built)
    assert sent["state"] in ("sent", "confirmed")
    w.ok()
    assert alice.wait_for(built)["state"] == "finalized" and w.lamports(bob.address) == EXEMPT


def test_with_no_node_nothing_is_accepted(w, alice, bob):
    alice.fund(SOL)
    built = payment(alice, bob)
    for node in "ab":
        w.fault(node, refuse=True)
    assert refused(alice.submit, built)[0] == "unavailable"
    assert alice.status(built)["state"] == "built"


def test_a_sale_that_nobody_has_noticed_is_seen_at_the_submit(own, bob):
    """Pushes are mute and sweeps rare: only a fresh reading shows it."""
    w = own(MULTICLAW_SWEEP_S=60).start()
    alice = Owner(w)
    alice.fund(SOL)
    built = payment(alice, bob)
    for node in "ab":
        w.fault(node, mute_push=True)
    w.transfer(alice.asset, bob)
    assert refused(alice.submit, built) == ("denied", "not_owner")
    assert w.lamports(alice.pda) == SOL


@pytest.fixture
def own():
    made = []

    def make(**settings):
        made.append(Wallets(**settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


# ---- limits


def test_builds_are_limited_and_the_oldest_forgotten(own, bob):
    w = own(MULTICLAW_WALLET_BUILDS_PER_MINUTE=4, MULTICLAW_WALLET_BUILDS_KEPT=2, MULTICLAW_WALLET_BUILD_TTL_S=3).start()
    alice = Owner(w)
    alice.fund(SOL)
    built = [payment(alice, bob) for _ in range(3)]
    assert refused(alice.status, built[0]) == ("not_found", "operation_unknown")
    assert [alice.status(b)["state"] for b in built[1:]] == ["built", "built"]
    alice.submit(built[2])
    payment(alice, bob)
    with pytest.raises(Refused) as e:
        payment(alice, bob)
    assert (e.value.status, e.value.reason) == ("busy", "rate_limited") and 0 < e.value.retry_after_s <= 15
    wait_until("forgotten", lambda: refused_now(alice.status, built[1]) == ("not_found", "operation_unknown"), 10)
    assert alice.wait_for(built[2])["state"] == "finalized", "what was sent is kept"
    other = Owner(w)
    other.fund(SOL)
    payment(other, bob)


def refused_now(function, *args):
    try:
        function(*args)
    except Refused as e:
        return e.status, e.reason


# ---- kills, replicas, Redis


def judge(owner, built, transaction):
    """What became of it is what really happened; True if it landed well."""
    try:
        owner.submit(built, transaction)
    except Refused as e:
        assert e.reason == "operation_expired", e
        assert w_landed(owner, transaction) is None
        return False
    end = owner.wait_for(built, seconds=40)
    landed = w_landed(owner, transaction)
    if end["state"] == "expired":
        assert landed is None
    else:
        assert landed and (end["state"] == "finalized") == (landed[1] is None), (end, landed)
        assert end["slot"] == landed[0]
    return end["state"] == "finalized"


def w_landed(owner, transaction):
    return owner.world.landed(b58encode(transaction[1:65]))


def test_kills_during_submits_leave_each_transaction_one_true_end(own, bob):
    w = own(MULTICLAW_WALLET_BUILDS_KEPT=1000, MULTICLAW_WALLET_BUILD_TTL_S=3600).start()
    kills = int(os.environ.get("KILLS", "20"))
    alice = Owner(w)
    alice.fund(100 * SOL)
    made = []
    for i in range(kills):
        built = payment(alice, bob, EXEMPT + i)
        made.append((built, signed(built["transaction"], alice.wallet)))
        peer = w.peer("router", "agent-wallet")
        peer.send("wallet.submit", 5.0, token=alice.token, id=built["id"], transaction=made[-1][1])
        time.sleep(0.001 * (i % 10) ** 2 / 2)
        w.restart_wallet()
        peer.close()
        w.peers.remove(peer)
    landed = sum(EXEMPT + i for i, (built, transaction) in enumerate(made) if judge(alice, built, transaction))
    assert w.lamports(bob.address) == landed > 0


def test_a_wallet_is_viewed_once_at_a_time(w, alice):
    for node in "ab":
        w.fault(node, delay=200)
    for _ in range(2):
        w.router().send("wallet.show", 5.0, token=alice.token)
    answers = [w.router().receive()[0] for _ in range(2)]
    assert sorted((a["status"], a.get("reason", "")) for a in answers) == [("busy", "rate_limited"), ("ok", "")]
    w.ok()
    assert alice.show()["state"] == "clean"


def test_another_replica_goes_on_with_what_one_was_killed_over(own, bob):
    w = own(wallets=2).start()
    alice = Owner(w)
    alice.fund(10 * SOL)
    built = alice.build("transfer_sol", to=bob.address, amount=SOL)
    for node in "ab":
        w.fault(node, lose_sent=True)
    sent = alice.submit(built, replica=2)
    w.signal("agent-wallet-2", 9)
    w.processes["agent-wallet-2"].wait(timeout=10)
    w.ok()
    end = alice.wait_for(built)
    assert end["state"] == "finalized" and end["signature"] == sent["signature"]
    w.launch_daemon("agent-wallet-2")
    wait_until("ready again", lambda: w.is_ready("agent-wallet-2"), 20)


def test_of_two_versions_at_two_replicas_one_is_taken(own, bob):
    w = own(wallets=2).start()
    alice = Owner(w)
    alice.fund(10 * SOL)
    for i in range(5):
        built = payment(alice, bob)
        versions = [signed(built["transaction"], alice.wallet), remade(built, alice, before=[price(i)])]
        for replica in (1, 2):
            w.router(replica).send("wallet.submit", 5.0, token=alice.token, id=built["id"], transaction=versions[replica - 1])
        answers = []
        for replica in (1, 2):
            envelope, body = w.router(replica).receive()
            answers.append((envelope["status"], envelope.get("reason", ""), (body or {}).get("signature")))
        assert sorted(a[:2] for a in answers) == [("conflict", "already_submitted"), ("ok", "")], answers
        won = next(i for i, a in enumerate(answers) if a[0] == "ok")
        end = alice.wait_for(built)
        assert end["state"] == "finalized" and end["signature"] == b58encode(versions[won][1:65])
        assert w.landed(b58encode(versions[1 - won][1:65])) is None
    assert w.lamports(bob.address) == 5 * EXEMPT


def test_redis_gone_and_back(own, bob):
    w = own().start()
    alice = Owner(w)
    alice.fund(10 * SOL)
    built, lost = payment(alice, bob), payment(alice, bob, EXEMPT + 1)
    for node in "ab":
        w.fault(node, lose_sent=True)
    sent = alice.submit(built)
    w.signal("redis", 9)
    w.processes["redis"].wait(timeout=10)
    assert refused(alice.submit, lost)[0] == "unavailable"
    assert w_landed(alice, signed(lost["transaction"], alice.wallet)) is None
    w.launch_redis()
    w.ok()
    wait_until("ready again", lambda: w.is_ready("agent-wallet-1") and w.is_ready("session-1"), 20)
    end = alice.wait_for(built, seconds=40)
    assert end["signature"] == sent["signature"] and (end["state"] == "finalized") == (w.landed(sent["signature"]) is not None)
    assert w.lamports(bob.address) == (EXEMPT if end["state"] == "finalized" else 0)


def test_stops_with_calls_under_way(own, bob):
    w = own().start()
    alice = Owner(w)
    alice.fund(SOL)
    for node in "ab":
        w.fault(node, silent=True)
    peer = w.peer("router", "agent-wallet")
    peer.send("wallet.show", 5.0, token=alice.token)
    peer.send("wallet.build", 5.0, token=alice.token, operation="transfer_sol", to=bob.address, amount=EXEMPT)
    time.sleep(0.2)  # they wait for a node, or are on their way: both have to end
    w.signal("agent-wallet-1", 15)
    assert w.processes["agent-wallet-1"].wait(timeout=10) == 0


# ---- the script that keeps operations


@pytest.fixture
def script(w):
    text = (ROOT / "services/agent-wallet/operations.lua").read_text()
    w.redis.delete("mc:wallet:due")
    return lambda *args: w.redis.eval(text, 0, *args)


def put(script, id, asset="asset", max=10):
    script("put", id, asset, "wallet", 7, "transfer_sol", "built", 1000, 60000, max)


def state(row):
    return row[5] if row else None


def test_states_only_go_forward(script):
    ids = iter(f"{i:032x}" for i in range(100))

    def after(*notes):
        id = next(ids)
        put(script, id)
        assert script("accept", id, "asset", "wallet", "signed", f"sig {id}", 60000, 0)[0] == "accepted"
        for note in notes:
            row = script("note", id, note, "", 0, "none", "none", "", "", 0)
        return state(row)

    for end in ENDS:
        for late in ("sent", "confirmed", *ENDS):
            assert after(end, late) == end
    assert after("confirmed", "sent") == "confirmed"
    assert after("confirmed", "finalized") == "finalized" and after("confirmed", "expired") == "expired"
    unsigned = next(ids)
    put(script, unsigned)
    assert script("note", unsigned, "finalized", "", 0, "none", "none", "", "", 0) == [] and state(script("get", unsigned)) == "built"


def test_one_version_is_kept(script):
    put(script, "f" * 32)
    assert script("accept", "f" * 32, "asset", "thief", "x", "sig", 60000, 0) == ["unknown"]
    assert script("accept", "f" * 32, "other", "wallet", "x", "sig", 60000, 0) == ["unknown"]
    assert script("accept", "e" * 32, "asset", "wallet", "x", "sig", 60000, 0) == ["unknown"]
    assert [script("accept", "f" * 32, "asset", "wallet", v, v, 60000, 0)[0] for v in "xxyx"] == ["accepted", "same", "other", "same"]
    assert script("get", "f" * 32)[9:11] == ["x", "x"]
    put(script, "e" * 31 + "0")
    assert script("accept", "e" * 31 + "0", "asset", "wallet", "x", "x", 60000, 0)[0] == "twin"
    assert state(script("get", "e" * 31 + "0")) == "built"


def test_what_is_due_is_one_replicas_at_a_time(w, script):
    put(script, "d" * 32)
    script("accept", "d" * 32, "asset", "wallet", "x", "bad signature", 60000, 60000)
    assert script("claim", 32, 1000) == []
    w.redis.zadd("mc:wallet:due", {"d" * 32: 1})
    # (the daemon may be quicker: then it is leased, and not ours either)
    first, second = script("claim", 32, 60000), script("claim", 32, 60000)
    assert len(first) <= 1 and second == []
    script("note", "d" * 32, "expired", "", 0, "none", "none", "", "", 0)
    assert w.redis.zscore("mc:wallet:due", "d" * 32) is None


def test_the_oldest_unsigned_is_forgotten_and_no_sent_one(script):
    for i in range(5):
        put(script, f"{i:031x}c", "many", max=3)
        if i == 0:
            script("accept", f"{i:031x}c", "many", "wallet", "x", "sig of many", 60000, 60000)
    assert [state(script("get", f"{i:031x}c")) for i in range(5)] == ["sent", None, "built", "built", "built"]
    script("note", f"{0:031x}c", "expired", "", 0, "none", "none", "", "", 0)
