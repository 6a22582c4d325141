"""An agent's wallet over HTTP, through the whole suite: fund it, send SOL and tokens, revoke a delegate, sell the NFT in the middle."""

import base64
import json
import signal

import pytest

from suite import Suite, Wallet, b58encode, wait_until
from test_http_contract import check_answer
from wallet_composing import Agent, account_of, message_of, pda_of, signed

WALLET, BUILD = "/v1/wallet", "/v1/wallet/transactions"
ONE, SUBMIT = f"{BUILD}/{{id}}", f"{BUILD}/{{id}}/submit"
LAMPORTS = 1_000_000_000


class Owner:
    """A wallet of the demo, with a session for one of its agents; every answer is checked against the contract."""

    def __init__(self, suite, name, asset):
        self.suite, self.wallet, self.asset = suite, suite.wallet(name), asset
        self.pda, self.token = pda_of(asset), suite.sign_in(suite.wallet(name), asset)

    def ask(self, method, path, body=None, status=200, **parts):
        answer = check_answer(self.suite.http(method, path.format(**parts), body, token=self.token, timeout=20), method, path)
        assert answer.status == status, answer.body
        return answer.json

    def show(self):
        return self.ask("GET", WALLET)

    def build(self, operation, status=200, **members):
        return self.ask("POST", BUILD, {"operation": operation, **members}, status)

    def refused(self, operation, status=422, **members):
        return self.build(operation, status, **members)["code"]

    def submit(self, built, transaction=None, status=202):
        transaction = signed(base64.b64decode(built["transaction"]), self.wallet) if transaction is None else transaction
        return self.ask("POST", SUBMIT, {"transaction": base64.b64encode(transaction).decode()}, status, id=built["id"])

    def state(self, built):
        return self.ask("GET", ONE, id=built["id"])

    def run(self, operation, **members):
        """Built, signed, sent, and seen through."""
        built = self.build(operation, **members)
        assert built["simulation"]["node_says"] == "passes", built
        sent = self.submit(built)
        end = wait_until("it ends", lambda: (s := self.state(built))["state"] in ("finalized", "failed", "expired") and s, 20, 0.1)
        assert end["state"] == "finalized" and end["signature"] == sent["signature"], end
        return built


@pytest.fixture(scope="module")
def suite():
    with Suite(replicas=2) as made:
        for name in ("alice", "bob"):
            made.devchain("airdrop", "--to", made.wallet(name).address, "--sol", "10", "--wait", "finalized")
        yield made


def fund(suite, address, sol):
    suite.devchain("airdrop", "--to", address, "--sol", str(sol), "--wait", "confirmed")


def balance(suite, address):
    return suite.rpc("getBalance", [address, {"commitment": "confirmed"}])["value"]


def tokens(suite, wallet, mint):
    """The amount of a token account's own bytes."""
    account = suite.rpc("getAccountInfo", [account_of(wallet, mint), {"encoding": "base64", "commitment": "confirmed"}])["value"]
    return int.from_bytes(base64.b64decode(account["data"][0])[64:72], "little")


@pytest.fixture(scope="module")
def alice(suite):
    owner = Owner(suite, "alice", suite.asset_of("alice"))
    fund(suite, owner.pda, 5)
    return owner


def test_what_is_funded_is_shown(suite, alice):
    shown = alice.show()
    assert (shown["state"], shown["address"], shown["lamports"], shown["tokens"], shown["delegates"], shown["hot_wallet"]) == ("clean", alice.pda, str(5 * LAMPORTS), [], [], None)
    assert shown["usable"] and not shown["warnings"] and shown["nodes"] == 2


def test_sol_is_sent_by_the_owners_signature_alone(suite, alice):
    to, before = Wallet().address, balance(suite, alice.pda)
    built = alice.run("transfer_sol", to=to, lamports=LAMPORTS // 2)
    assert balance(suite, to) == LAMPORTS // 2 and balance(suite, alice.pda) == before - LAMPORTS // 2
    assert any(to in line["text"] and "0.5 SOL" in line["text"] for line in built["summary"]) and not built["warning"]
    listed = wait_until("a node lists it", lambda: alice.ask("GET", BUILD)["transactions"], 5)
    signature = alice.state(built)["signature"]
    assert signature in {t["signature"] for t in listed}
    # once more: the same answer, and nothing is sent a second time
    assert alice.submit(built)["signature"] == signature
    assert balance(suite, to) == LAMPORTS // 2
    older = check_answer(suite.http("GET", f"{BUILD}?before={signature}", token=alice.token), "GET", BUILD)
    assert signature not in {t["signature"] for t in older.json["transactions"]}


def test_tokens_are_sent_and_no_digit_of_theirs_is_lost(suite, alice):
    mint = suite.devchain("create-mint", "--decimals", "6")["mint"]
    # beyond 2^53, where a double would lose one
    suite.devchain("fund", "--mint", mint, "--owner", alice.pda, "--amount", "9007199254740995", "--wait", "confirmed")
    to = Wallet().address
    assert [t["amount"] for t in alice.show()["tokens"] if t["mint"] == mint] == ["9007199254740995"]
    built = alice.run("transfer_token", to=to, mint=mint, amount="9007199254740993")
    assert any("9007199254.740993" in line["text"] for line in built["summary"]) and int(built["rent_lamports"]) > 0
    assert tokens(suite, to, mint) == 9007199254740993
    alice.run("transfer_token", to=to, mint=mint, amount=1)
    alice.run("transfer_token", to=to, mint=mint, amount="all")
    (left,) = [t for t in alice.show()["tokens"] if t["mint"] == mint]
    assert left["amount"] == "0"
    alice.run("close_accounts", accounts=[left["account"]])
    assert mint not in {t["mint"] for t in alice.show()["tokens"]}


def test_a_delegate_is_seen_and_revoked(suite, alice):
    mint, thief = suite.devchain("create-mint", "--decimals", "0")["mint"], Wallet().address
    account = suite.devchain("fund", "--mint", mint, "--owner", alice.pda, "--amount", "5", "--delegate", thief)["account"]
    record = suite.devchain("delegate", "--asset", alice.asset, "--authority", thief, "--wait", "confirmed")["record"]
    shown = wait_until("it is captured", lambda: (s := alice.show())["state"] == "captured" and len(s["delegates"]) == 1 and s, 10, 0.1)
    assert shown["address"] is None and shown["usable"] and shown["delegates"][0]["authority"] == thief and shown["delegates"][0]["record"] == record
    assert any(t["delegate"] == thief for t in shown["tokens"]) and all(w["text"] for w in shown["warnings"])
    assert alice.refused("revoke_delegate", record=Wallet().address) == "delegate_refused"
    alice.run("revoke_delegate", record=record)
    alice.run("revoke_delegate", account=account)
    wait_until("it is clean", lambda: alice.show()["state"] == "clean", 10, 0.1)


def test_an_nft_of_the_agents_is_handed_over(suite, alice):
    nft, bob = suite.asset_of("alice", 1), suite.wallet("bob").address
    suite.devchain("transfer", "--asset", nft, "--to", alice.pda, "--wait", "confirmed")
    assert alice.refused("transfer_nft", nft=suite.asset_of("bob"), to=bob) == "nft_refused"
    alice.run("transfer_nft", nft=nft, to=bob)
    owned = suite.http("GET", f"/v1/assets?wallet={bob}").json["assets"]
    wait_until("bob has it", lambda: nft in {a["asset"] for a in suite.http("GET", f"/v1/assets?wallet={bob}").json["assets"]}, 10, 0.1)
    assert len(owned) >= 1


# ---- what is refused


def test_an_amount_that_cannot_be_is_refused_with_the_numbers(suite, alice):
    to, has = Wallet().address, balance(suite, alice.pda)
    assert alice.refused("transfer_sol", to=to, lamports=has + 1) == "amount_too_much"
    assert alice.refused("transfer_sol", to=to, lamports="18446744073709551615") == "amount_too_much"
    assert str(has) in alice.build("transfer_sol", 422, to=to, lamports=has + 1)["detail"]
    assert alice.refused("transfer_sol", to=to, lamports=has - 1) == "amount_leaves_rent"
    assert alice.refused("transfer_sol", to=to, lamports=1) == "amount_below_rent"
    assert alice.refused("transfer_sol", 400, to=to, lamports=0) == "amount_zero"
    assert alice.refused("transfer_sol", to=alice.pda, lamports=LAMPORTS) == "recipient_self"
    assert alice.refused("transfer_sol", to=pda_of(to), lamports=LAMPORTS) == "recipient_off_curve"
    assert alice.build("transfer_sol", to=pda_of(to), lamports=LAMPORTS, allow_off_curve=True)["warning"]
    assert alice.refused("transfer_token", to=to, mint=to, amount=1) == "mint_refused"
    assert alice.refused("close_accounts", accounts=[to]) == "token_refused"


@pytest.mark.parametrize("body,code", [
    ({}, "operation_invalid"), ({"operation": "steal"}, "operation_invalid"), ({"operation": "transfer_sol"}, "body_invalid"),
    ({"operation": "transfer_sol", "to": "x", "lamports": 1}, "address_invalid"), ({"operation": "transfer_sol", "to": "1" * 32, "lamports": -1}, "body_invalid"),
    ({"operation": "transfer_sol", "to": "1" * 32, "lamports": 0.5}, "body_invalid"), ({"operation": "transfer_sol", "to": "1" * 32, "lamports": "0.5"}, "body_invalid"),
    ({"operation": "transfer_sol", "to": "1" * 32, "lamports": 1, "memo": "x"}, "body_invalid"), ([], "body_invalid"),
    ({"operation": "instructions", "instructions": [], "dangerous": True, "nonce": "x", "signature": "1" * 64}, "body_invalid"),
    (b'{"operation":"transfer_sol","operation":"transfer_sol","to":"1","lamports":1}', "body_invalid"),
    (b'{"operation":"transfer_sol","to":"' + b"1" * 32 + b'","lamports":18446744073709551616}', "body_invalid"),
])
def test_a_body_that_is_none_is_refused_and_says_what(alice, body, code):
    problem = alice.ask("POST", BUILD, body if isinstance(body, (dict, list)) else body.decode(), 400)
    assert problem["code"] == code and problem["detail"] and "wallet." not in problem["detail"]


def test_what_was_not_built_here_is_not_sent(suite, alice):
    to, before = Wallet().address, balance(suite, alice.pda)
    built = alice.build("transfer_sol", to=to, lamports=LAMPORTS)
    unsigned = base64.b64decode(built["transaction"])
    assert alice.submit(built, unsigned, 422)["code"] == "signature_missing"
    assert alice.submit(built, b"x" * 10, 400)["code"] == "transaction_invalid"
    mine = Agent(alice.wallet, alice.asset, suite.collection)
    for other in (mine.send_sol(Wallet().address, LAMPORTS), mine.send_sol(to, LAMPORTS + 1)):
        assert alice.submit(built, signed(mine.compose(other), alice.wallet), 422)["code"] == "transaction_changed"
    flipped = bytearray(signed(unsigned, alice.wallet))
    flipped[5] ^= 1
    assert alice.submit(built, bytes(flipped), 422)["code"] == "signature_missing"
    for bad in ({}, {"transaction": ""}, {"transaction": "*"}, {"transaction": "QQ==", "more": 1}, {"transaction": base64.b64encode(bytes(2000)).decode()}):
        assert alice.ask("POST", SUBMIT, bad, 400, id=built["id"])["code"] == "body_invalid", bad
    assert alice.state(built)["state"] == "built" and balance(suite, alice.pda) == before
    for unknown in ("0" * 32, "x", "0" * 31, "A" * 32):
        assert alice.ask("GET", ONE, status=404, id=unknown)["code"] == "operation_unknown"
        assert alice.ask("POST", SUBMIT, {"transaction": "QQ=="}, 404, id=unknown)["code"] == "operation_unknown"


def test_only_the_owner_and_only_from_our_pages(suite, alice):
    bob = Owner(suite, "bob", suite.asset_of("bob"))
    built = alice.build("transfer_sol", to=Wallet().address, lamports=LAMPORTS)
    assert bob.ask("GET", ONE, status=404, id=built["id"])["code"] == "operation_unknown"
    assert bob.submit(built, signed(base64.b64decode(built["transaction"]), alice.wallet), 404)["code"] == "operation_unknown"
    for method, path, body in (("GET", WALLET, None), ("GET", BUILD, None), ("POST", BUILD, {}), ("POST", f"{BUILD}/challenge", {})):
        nobody = check_answer(suite.http(method, path, body), method, path)
        assert (nobody.status, nobody.code) == (401, "session_missing")
    for path, named in ((BUILD, BUILD), (f"{BUILD}/challenge",) * 2, (SUBMIT.format(id=built["id"]), SUBMIT)):
        foreign = check_answer(suite.http("POST", path, {}, token=alice.token, headers={"Origin": "http://evil.example"}), "POST", named)
        assert (foreign.status, foreign.code) == (403, "origin_refused")
    assert suite.http("DELETE", ONE.format(id=built["id"]), token=alice.token).status == 405


def test_raw_instructions_need_a_signature_that_names_them(suite, alice):
    to = Wallet().address
    data = (2).to_bytes(4, "little") + LAMPORTS.to_bytes(8, "little")
    transfer = {"program": "1" * 32, "accounts": [{"address": alice.pda, "signer": True, "writable": True}, {"address": to, "writable": True}],
                "data": base64.b64encode(data).decode()}

    def order(signer=alice.wallet, dangerous=True):
        issued = alice.ask("POST", f"{BUILD}/challenge", {})
        assert alice.asset in issued["message"] and "raw instructions" in issued["message"]
        return {"instructions": [transfer], "dangerous": dangerous, "nonce": issued["nonce"], "signature": b58encode(signer.sign(issued["message"].encode()))}

    assert alice.refused("instructions", 401, **order(signer=Wallet())) == "signature_invalid"
    assert alice.refused("instructions", 403, **order(dangerous=False)) == "dangerous"
    used = order()
    alice.run("instructions", **used)
    assert balance(suite, to) == LAMPORTS
    assert alice.refused("instructions", 401, **used) == "nonce_unknown"
    # a text for another act is none for this one
    issued = alice.ask("POST", "/v1/wallet/hot/challenge", {})
    other = {**used, "nonce": issued["nonce"], "signature": b58encode(alice.wallet.sign(issued["message"].encode()))}
    assert alice.build("instructions", 401, **other)["code"] in ("message_mismatch", "nonce_unknown")


# ---- agent-wallet is away


def test_a_restart_between_the_steps_changes_nothing(suite, alice):
    to, names = Wallet().address, ("agent-wallet-1", "agent-wallet-2")
    built = alice.build("transfer_sol", to=to, lamports=10_000_000)
    for step in (lambda: None, lambda: alice.submit(built)):
        step()
        pids = [suite.kill(name) for name in names]
        wait_until("both are back", lambda pids=pids: all(suite.pid(name) not in pids for name in names), 15)
        suite.wait_ready()
    end = wait_until("it ends", lambda: (s := alice.state(built))["state"] == "finalized" and s, 20, 0.1)
    assert balance(suite, to) == 10_000_000 and end["slot"]


def test_without_it_the_wallet_answers_503_and_everything_else_goes_on(suite, alice):
    names = ("agent-wallet-1", "agent-wallet-2")
    for name in names:
        suite.kill(name, signal.SIGSTOP)
    try:
        answer = check_answer(suite.http("GET", WALLET, token=alice.token, timeout=30), "GET", WALLET)
        assert (answer.status, answer.code) == (503, "service_unavailable") and int(answer.headers["Retry-After"]) > 0
        assert suite.session_status(alice.token) == 200 and suite.http("GET", "/v1/secrets", token=alice.token).status == 200
        routers = [s for s in suite.status() if s.get("service") == "router"]
        assert routers and all(r["ready"] for r in routers), routers
    finally:
        for name in names:
            suite.kill(name, signal.SIGCONT)
    suite.wait_ready()
    assert alice.show()["address"] == alice.pda


# ---- the sale


def test_what_the_seller_had_built_is_worth_nothing_after_the_sale(suite):
    """Last: the agent is bob's then."""
    alice = Owner(suite, "alice", suite.asset_of("alice"))
    before, to = balance(suite, alice.pda), Wallet().address
    built = alice.build("transfer_sol", to=to, lamports=LAMPORTS)
    transaction = signed(base64.b64decode(built["transaction"]), alice.wallet)
    suite.transfer(alice.asset, suite.wallet("bob"))
    wait_until("the seller is out", lambda: suite.session_status(alice.token) == 401, 5)
    for method, path, body in (("POST", SUBMIT, {"transaction": base64.b64encode(transaction).decode()}), ("GET", WALLET, None), ("GET", ONE, None),
                               ("POST", BUILD, {"operation": "transfer_sol", "to": to, "lamports": LAMPORTS})):
        answer = check_answer(suite.http(method, path.format(id=built["id"]), body, token=alice.token), method, path)
        assert (answer.status, answer.code) == (401, "session_revoked"), answer.body
    bob = Owner(suite, "bob", alice.asset)
    # the seller's is none of the buyer's
    assert bob.submit(built, transaction, 404)["code"] == "operation_unknown"
    assert bob.ask("GET", ONE, status=404, id=built["id"])["code"] == "operation_unknown"
    # nor does it help to put the seller's signature under the buyer's, or the seller's transaction in its place
    own = bob.build("transfer_sol", to=to, lamports=LAMPORTS)
    assert bob.submit(own, transaction, 422)["code"] == "transaction_changed"
    forged = base64.b64decode(own["transaction"])
    forged = forged[:1] + alice.wallet.sign(message_of(forged)) + forged[65:]
    assert bob.submit(own, forged, 422)["code"] == "signature_missing"
    assert balance(suite, to) == 0 and balance(suite, bob.pda) == before
    assert bob.show()["lamports"] == str(before), "the wallet went with the NFT"
    bob.run("transfer_sol", to=to, lamports=LAMPORTS)
    assert balance(suite, to) == LAMPORTS


def test_nothing_of_a_session_is_in_the_log(suite, alice):
    text = "".join(path.read_text(errors="replace") for path in (suite.state / "log").glob("agent-wallet-*.log"))
    assert alice.asset in text and alice.token.split(".")[2] not in text
    assert json.loads(suite.cli("status", "--json").stdout)
