"""The command line around an agent's wallet: it signs what was asked for, read from the transaction's own bytes, whatever the service says of it."""

import base64
import json
import os
import subprocess
import types

import pytest

from cli_parts import Service, Terminal
from suite import BIN, Suite, Wallet, b58encode, wait_until
from wallet_composing import TOKEN, TOKEN_2022, Agent, account_of, is_signed_by, lines, pda_of

ID = "0123456789abcdef" * 2
BUILD, STATUS, SUBMIT = "/v1/wallet/transactions", f"/v1/wallet/transactions/{ID}", f"/v1/wallet/transactions/{ID}/submit"
EVIL = "a\x1b]0;owned\x07b\u202ec\nd\u009b31m"
HERE = types.SimpleNamespace(env=os.environ)


@pytest.fixture(scope="module")
def agent():
    return Agent()


class Lying(Service):
    """Answers POST /v1/wallet/transactions with this transaction, whatever was asked for, and with a summary of what was asked for."""

    def __init__(self, agent, transaction, says="passes", state="confirmed", summary="Send 0.5 SOL, as you asked", **more):
        self.agent, self.transaction, self.submitted, self.orders = agent, transaction, [], []
        self.simulation = {"node_says": says, "error": more.get("error"), "why": None, "slot": 1, "units": 1, "logs": []}
        self.code = more.get("code", "service_unavailable")
        self.summary, self.states, self.signature, self.sends = summary, [state] if isinstance(state, str) else state, more.get("signature"), more.get("sends", 202)
        super().__init__({BUILD: (200, self.build), SUBMIT: (self.sends, self.submit), STATUS: (200, self.status),
                          "/v1/wallet": (200, more.get("shown", {}))})

    def build(self, order):
        self.orders.append(order)
        return {"id": ID, "transaction": base64.b64encode(self.transaction).decode(), "summary": [{"text": self.summary, "warning": False}], "warning": False,
                "fee_lamports": "5000", "execute_lamports": "48720", "rent_lamports": "2039280", "simulation": self.simulation, "last_valid_block_height": 1,
                "block_height": 1, "expires_at": "2026-11-29T00:00:00.000Z"}

    def submit(self, body):
        self.submitted.append(base64.b64decode(body["transaction"]))
        return self.state("sent") if self.sends == 202 else {"code": self.code, "detail": "not now"}

    def state(self, name):
        own = b58encode(self.submitted[0][1:65]) if self.submitted else None
        return {"id": ID, "operation": "transfer_sol", "state": name, "signature": self.signature or own, "error": EVIL if name == "failed" else None, "slot": 7,
                "least": "confirmed", "most": "confirmed", "nodes_differ": False, "last_valid_block_height": 1, "built_at": "x", "sent_at": "x"}

    def status(self, _):
        return self.state(self.states.pop(0) if len(self.states) > 1 else self.states[0])

    def cli(self, tmp_path, *words, yes=True):
        keypair = self.agent.owner.write(tmp_path / "owner.json")
        more = ["--keypair", keypair, *(["--yes"] if yes else [])]
        return self.run(HERE, tmp_path, "wallet", *words, *more, asset=self.agent.asset)


def sol(to, amount="0.5"):
    return ["send", "--sol", amount, "--to", to]


def test_what_was_asked_for_is_signed_and_sent(agent, tmp_path):
    to = Wallet().address
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000)), state=["sent", "sent", "confirmed"]) as service:
        done = service.cli(tmp_path, *sol(to))
    assert done.returncode == 0, done.stderr
    assert service.orders == [{"to": to, "operation": "transfer_sol", "lamports": "500000000"}]
    (tx,) = service.submitted
    assert is_signed_by(tx, agent.owner.address)
    assert f"Send 0.5 SOL from the agent's wallet {agent.pda} to {to}" in done.stdout
    assert "One node says, and may be wrong: it would succeed" in done.stdout and "as you asked" not in done.stdout
    assert "confirmed" in done.stdout and b58encode(tx[1:65]) in done.stdout


def other(agent):
    """What a service that was taken over might build instead of 0.5 SOL to `to`; each with a word that the bytes show."""
    to, mallory, another = Wallet().address, Wallet(), Wallet().address
    asked = agent.send_sol(to, 500_000_000)
    return to, {
        "another recipient": (agent.compose(agent.send_sol(mallory.address, 500_000_000)), mallory.address),
        "another amount": (agent.compose(agent.send_sol(to, 500_000_001)), "0.500000001"),
        "ten times as much": (agent.compose(agent.send_sol(to, 5_000_000_000)), "Send 5 SOL"),
        "twice": (agent.compose(asked, asked), to),
        "and something else": (agent.compose(asked, agent.send_sol(mallory.address, 1)), mallory.address),
        "the owner's own money": (agent.compose({"do": "system_transfer", "from": agent.owner.address, "to": to, "lamports": 500_000_000}), "not the agent's money"),
        "the owner's besides": (agent.compose(asked, {"do": "system_transfer", "from": agent.owner.address, "to": mallory.address, "lamports": 1}), mallory.address),
        "another agent's wallet": (agent.compose(agent.send_sol(to, 500_000_000, asset=another)), another),
        "the agent itself": (agent.compose({"do": "core_transfer", "asset": agent.asset, "collection": agent.collection, "payer": agent.owner.address,
                                            "new_owner": mallory.address}), "the agent itself"),
        "another fee payer": (agent.compose(asked, payer=mallory.address), mallory.address),
        "a fee without end": (agent.compose({"do": "budget_limit", "units": 1_400_000}, {"do": "budget_price", "price": 10**12}, asked), "priority fee"),
        "a token": (agent.compose(agent.send_token(another, to, 500_000_000, 9)), another),
    }


KINDS = ["another recipient", "another amount", "ten times as much", "twice", "and something else", "the owner's own money", "the owner's besides",
         "another agent's wallet", "the agent itself", "another fee payer", "a fee without end", "a token"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_that_lies_gets_no_signature(agent, tmp_path, kind):
    to, lies = other(agent)
    assert list(lies) == KINDS
    transaction, shown = lies[kind]
    with Lying(agent, transaction) as service:
        done = service.cli(tmp_path, *sol(to))
    assert done.returncode == 1 and "not signed" in done.stderr and "(not_asked_for)" in done.stderr, done.stdout + done.stderr
    assert shown in done.stdout, "the bytes are told, not the summary"
    assert "as you asked" not in done.stdout and not service.submitted


def test_tokens_are_counted_by_the_decimals_in_the_bytes(agent, tmp_path):
    to, mint = Wallet().address, Wallet().address
    words = ["send", "--token", mint, "--amount", "1.25", "--to", to]
    held = {"tokens": [{"mint": Wallet().address, "decimals": 2}, {"mint": mint, "decimals": 6, "amount": "5000000", "account": account_of(agent.pda, mint)}]}
    good = agent.compose(agent.create_account(mint, to), agent.send_token(mint, to, 1_250_000, 6))
    with Lying(agent, good, shown=held) as service:
        done = service.cli(tmp_path, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert service.orders == [{"to": to, "operation": "transfer_token", "mint": mint, "amount": "1250000"}]
        assert f"Send 1.25 of token {mint} (6 decimals)" in done.stdout and f"to {to}" in done.stdout
    bad = {
        "of another mint": agent.compose(agent.send_token(Wallet().address, to, 1_250_000, 6)),
        "to another": agent.compose(agent.send_token(mint, Wallet().address, 1_250_000, 6)),
        "more": agent.compose(agent.send_token(mint, to, 12_500_000, 6)),
        "by other decimals": agent.compose(agent.send_token(mint, to, 1_250_000, 4)),
        "an account for another": agent.compose(agent.create_account(mint, Wallet().address), agent.send_token(mint, to, 1_250_000, 6)),
    }
    for kind, transaction in bad.items():
        with Lying(agent, transaction, shown=held) as service:
            done = service.cli(tmp_path, *words)
        assert done.returncode == 1 and "not signed" in done.stderr and not service.submitted, kind
    # decimals that the service invents make it another amount, which the bytes show
    lie = {"tokens": [{"mint": mint, "decimals": 9, "amount": "5000000"}]}
    with Lying(agent, agent.compose(agent.send_token(mint, to, 1_250_000_000, 6)), shown=lie) as service:
        done = service.cli(tmp_path, *words)
    assert done.returncode == 1 and "Send 1250 of token" in done.stdout and not service.submitted


def test_nfts_accounts_and_delegates_are_those_that_were_named(agent, tmp_path):
    nft, to, record = Wallet().address, Wallet().address, Wallet().address
    accounts = [Wallet().address, Wallet().address]
    cases = [
        (["send", "--nft", nft, "--to", to], agent.compose(agent.send_nft(nft, to)), agent.compose(agent.send_nft(nft, Wallet().address))),
        (["send", "--nft", nft, "--to", to], agent.compose(agent.send_nft(nft, to)), agent.compose(agent.send_token(nft, to, 1, 0))),
        (["send", "--nft", nft, "--to", to], agent.compose(agent.send_nft(nft, to)), agent.compose(agent.send_nft(Wallet().address, to))),
        (["close", *accounts], agent.compose(*(agent.close(a) for a in accounts)), agent.compose(agent.close(accounts[0]))),
        (["close", *accounts], agent.compose(*(agent.close(a, program=TOKEN_2022) for a in reversed(accounts))),
         agent.compose(*(agent.close(a, to=Wallet().address) for a in accounts))),
        (["revoke-delegate", record], agent.compose(agent.revoke(record)), agent.compose(agent.revoke(Wallet().address))),
        (["revoke-delegate", "--token-account", record],
         agent.compose(agent.wrap({"do": "token_revoke", "program": TOKEN, "account": record, "owner": agent.pda})), agent.compose(agent.close(record))),
    ]
    for words, good, bad in cases:
        with Lying(agent, good) as service:
            done = service.cli(tmp_path, *words)
            assert done.returncode == 0 and is_signed_by(service.submitted[0], agent.owner.address), (words, done.stdout + done.stderr)
        with Lying(agent, bad) as service:
            done = service.cli(tmp_path, *words)
            assert done.returncode == 1 and "not signed" in done.stderr and not service.submitted, (words, done.stdout)


@pytest.mark.parametrize("says,words", [("fails", "it would fail: a?]0;owned?b"), ("none", "No node has tried it")])
def test_a_simulation_is_shown_as_a_nodes_word(agent, tmp_path, says, words):
    to = Wallet().address
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000)), says=says, error=EVIL) as service:
        done = service.cli(tmp_path, *sol(to))
    assert words in done.stdout and not {"\x1b", "\x07", "\u202e", "\u009b"} & set(done.stdout + done.stderr)
    if says == "fails":
        assert done.returncode == 1 and "not signed" in done.stderr and not service.submitted, "--yes is no yes to what fails"
    else:
        assert done.returncode == 0 and service.submitted


@pytest.mark.parametrize("typed,goes", [("y\n", True), ("\n", False), ("n\n", False), ("\x04", False)])
def test_it_asks_before_it_signs(agent, tmp_path, typed, goes):
    to = Wallet().address
    keypair = agent.owner.write(tmp_path / "owner.json")
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000)), says="fails", error="Custom 1") as service:
        terminal = Terminal(HERE, "wallet", *sol(to), "--keypair", keypair, session=service.session(tmp_path, agent.asset))
        wait_until("it asks", lambda: terminal.read(0.05) or "Sign and send it? [y/N]" in terminal.shown, 10)
        assert "it would fail: Custom 1" in terminal.shown and to in terminal.shown and not service.submitted
        terminal.type(typed)
        assert terminal.end() == (0 if goes else 1), terminal.shown
    assert len(service.submitted) == goes


def test_without_a_terminal_nothing_is_asked_and_nothing_signed(agent, tmp_path):
    to = Wallet().address
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000))) as service:
        done = service.cli(tmp_path, *sol(to), yes=False)
    assert done.returncode == 2 and "--yes" in done.stderr and not service.submitted


@pytest.mark.parametrize("state,code,words", [
    ("finalized", 0, "landed for good"), ("failed", 1, "did nothing but pay its fee: a?]0;owned?b"), ("expired", 1, "nothing was spent"),
])
def test_how_it_ended_is_told_and_is_the_exit_status(agent, tmp_path, state, code, words):
    to = Wallet().address
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000)), state=["sent", state]) as service:
        done = service.cli(tmp_path, *sol(to))
        assert (done.returncode, words in done.stdout) == (code, True), done.stdout + done.stderr
        assert f"The service says: {state}: " in done.stdout
        assert b58encode(service.submitted[0][1:65]) in done.stdout
        looked = service.run(HERE, tmp_path, "wallet", "status", ID, "--json")
        assert looked.returncode == code and json.loads(looked.stdout)["state"] == state


def test_what_is_not_over_is_not_called_done(agent, tmp_path):
    with Lying(agent, agent.compose(agent.send_sol(Wallet().address, 1)), state="sent") as service:
        done = service.run(HERE, tmp_path, "wallet", "status", ID)
    assert done.returncode == 4 and "still may" in done.stdout


def test_a_submit_without_an_answer_is_tried_again_and_then_left_open(agent, tmp_path):
    to = Wallet().address
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000)), sends=503) as service:
        done = service.cli(tmp_path, *sol(to))
    assert done.returncode == 4 and "may have been sent" in done.stderr and f"wallet status {ID}" in done.stderr
    assert len(service.submitted) > 1 and len(set(service.submitted)) == 1, "the same bytes"
    assert b58encode(service.submitted[0][1:65]) in done.stderr


@pytest.mark.parametrize("sends,code", [(409, "operation_expired"), (409, "already_submitted"), (403, "transaction_changed"), (422, "signature_missing"),
                                        (429, "rate_limited"), (401, "session_expired"), (404, "operation_unknown"), (500, "internal")])
def test_a_service_that_says_it_refused_has_the_signature_all_the_same(agent, tmp_path, sends, code):
    to = Wallet().address
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000)), sends=sends, code=code) as service:
        done = service.cli(tmp_path, *sol(to))
    assert done.returncode != 0 and "may have been sent" in done.stderr and "has your signature" in done.stderr
    assert b58encode(service.submitted[0][1:65]) in done.stderr and f"wallet status {ID}" in done.stderr


def test_the_transaction_that_is_named_is_the_one_that_was_signed(agent, tmp_path):
    to, another = Wallet().address, b58encode(bytes(range(1, 65)))
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000)), signature=another) as service:
        done = service.cli(tmp_path, *sol(to))
    assert b58encode(service.submitted[0][1:65]) in done.stdout and another not in done.stdout
    assert "another transaction" in done.stderr


def test_json_is_one_document_and_the_summary_is_beside_it(agent, tmp_path):
    to = Wallet().address
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000))) as service:
        done = service.cli(tmp_path, *sol(to), "--json")
    answer = json.loads(done.stdout)
    assert answer["state"] == "confirmed" and answer["signature"] == b58encode(service.submitted[0][1:65])
    assert f"to {to}" in done.stderr


def test_a_recipient_that_has_no_key_is_named_twice(agent, tmp_path):
    to = pda_of(Wallet().address)
    with Lying(agent, agent.compose(agent.send_sol(to, 500_000_000))) as service:
        done = service.cli(tmp_path, *sol(to))
        assert done.returncode == 2 and "--allow-off-curve" in done.stderr and not service.orders
        done = service.cli(tmp_path, *sol(to), "--allow-off-curve")
        assert done.returncode == 0 and service.orders[0]["allow_off_curve"] is True
        assert "nobody has its key" in done.stdout


@pytest.mark.parametrize("transaction", [b"", b"x", bytes(1300), b"\x01" + bytes(64) + b"\x80\x01" + bytes(40)], ids=["nothing", "a byte", "too long", "no message"])
def test_bytes_that_are_no_transaction_are_not_signed(agent, tmp_path, transaction):
    with Lying(agent, transaction) as service:
        done = service.cli(tmp_path, *sol(Wallet().address))
    assert done.returncode == 1 and done.stderr.startswith("multiclaw: ") and not service.submitted


def test_wrong_words_are_told_before_anything_is_asked(agent, tmp_path):
    to, keypair = Wallet().address, agent.owner.write(tmp_path / "owner.json")
    with Lying(agent, b"") as service:
        for words in (["send"], ["send", "--sol", "1"], ["send", "--to", to], ["send", "--sol", "1", "--nft", to, "--to", to], ["send", "--token", to, "--to", to],
                      ["send", "--sol", "1", "--to", "nobody"], ["send", "--token", "x", "--amount", "1", "--to", to], ["close"], ["close", to, "--empty"], ["close", "x"],
                      ["close", *[to] * 9], ["revoke-delegate"], ["revoke-delegate", to, "--token-account", to], ["status"], ["status", "x"], ["what"], ["instructions"],
                      ["instructions", "file"], ["show", "x"], ["delegates", "x"], ["recent", "x"], ["send", "--sol", "1", "--to", to, "--max-fee", "x"]):
            more = ["--keypair", keypair] if words[0] in ("send", "close", "revoke-delegate", "instructions") else []
            done = service.run(HERE, tmp_path, "wallet", *words, *more, asset=agent.asset)
            assert done.returncode == 2 and done.stderr.startswith("multiclaw: "), (words, done)
        for amount in ("-1", "1e3", "0.0000000001", "", "all the money", "18446744074"):
            done = service.cli(tmp_path, *sol(to, amount))
            assert done.returncode == 1 and not service.orders, (amount, done)
        assert service.run(HERE, tmp_path, "wallet", *sol(to), asset=agent.asset).returncode == 2, "no keypair"


def test_a_session_for_another_agent_than_was_asked_for_is_not_kept(agent, tmp_path):
    """What is signed later would spend from that one's wallet."""
    keypair = agent.owner.write(tmp_path / "owner.json")
    session, asked, theirs = tmp_path / "new.json", agent.asset, Wallet().address
    with Service() as service:
        text = f"{service.url.split('://')[1]} wants you to sign in with your Solana account:\n{agent.owner.address}\n\nSign in to multiclaw agent {asked}"
        service.cookie = "__Host-multiclaw=t.t.t"
        service.answers = {"/v1/auth/challenge": (200, {"nonce": "n", "message": text}), "/v1/auth/verify": (200, {"asset": theirs, "agent_id": "a" * 32, "name": "x"})}
        command = [BIN / "multiclaw", "--url", service.url, "--session", session, "login", "--keypair", keypair, "--asset"]
        done = subprocess.run([*command, asked], capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and "another agent" in done.stderr and not session.exists(), done
        assert subprocess.run([*command, theirs], capture_output=True, text=True, timeout=30).returncode == 0 and session.exists()


# ---- what is shown


def shown(agent, **changed):
    return {"state": "clean", "usable": True, "warnings": [], "address": agent.pda, "slot": 1, "lamports": "1500000000", "rent_exempt_lamports": "890880",
            "tokens": [], "more_tokens": False, "identity": True, "execute_frozen": False, "delegates": [], "more_delegates": False, "nodes": 2,
            "hot_wallet": None, **changed}


def show(agent, tmp_path, *words, **changed):
    with Service({"/v1/wallet": (200, shown(agent, **changed))}) as service:
        return service.run(HERE, tmp_path, "wallet", *words, asset=agent.asset)


def test_the_wallet_is_shown_with_all_its_digits(agent, tmp_path):
    token = {"account": Wallet().address, "mint": Wallet().address, "program": "token-2022", "amount": "18446744073709551615", "decimals": 9, "frozen": True,
             "wrapped_sol": False, "lamports": "2039280", "delegate": None, "delegated_amount": "0", "close_authority": None}
    text = show(agent, tmp_path, "show", lamports="9007199254740993", tokens=[token]).stdout
    assert agent.pda in text and "9007199.254740993 SOL" in text and "18446744073.709551615" in text and "frozen" in text
    assert "hot wallet  none" in text and "state       clean (the account and tokens: one node's word)\n" in text
    assert json.loads(show(agent, tmp_path, "show", "--json").stdout)["address"] == agent.pda


def test_an_address_that_is_not_the_agents_is_not_shown_as_one_to_fund(agent, tmp_path):
    theirs = Wallet().address
    for words in (["show"], [], ["delegates"], ["show", "--json"]):
        done = show(agent, tmp_path, *words, address=theirs)
        assert done.returncode == 1 and theirs not in done.stdout and agent.pda in done.stderr and "fund nothing" in done.stderr, words


def test_a_captured_wallet_says_so_and_names_no_address(agent, tmp_path):
    text = show(agent, tmp_path, "show", state="captured", address=None, warnings=[{"text": "a nonce account", "warning": True}]).stdout
    assert "captured: do not fund it" in text and "! a nonce account" in text and agent.pda not in text


def test_who_else_can_spend_is_told_and_steers_no_terminal(agent, tmp_path):
    delegate = {name: EVIL for name in ("record", "authority", "profile", "age", "warning")}
    token = {"account": EVIL, "mint": EVIL, "program": EVIL, "amount": "5", "decimals": None, "frozen": False, "wrapped_sol": False, "lamports": "1",
             "delegate": EVIL, "delegated_amount": "3", "close_authority": EVIL}
    for words in (["delegates"], ["show"], ["delegates", "--json"], ["show", "--json"]):
        text = show(agent, tmp_path, *words, delegates=[delegate], tokens=[token], warnings=[{"text": EVIL, "warning": True}],
                    hot_wallet={"address": EVIL, "lamports": "1"}).stdout
        assert "owned" in text and not {"\x1b", "\x07", "\u202e", "\u009b"} & set(text), words
    assert "nobody but the owner" in show(agent, tmp_path, "delegates").stdout
    with Service({"/v1/wallet/transactions": (200, {"transactions": [{"signature": EVIL, "at": EVIL, "error": EVIL, "slot": 1}]})}) as service:
        text = service.run(HERE, tmp_path, "wallet", "recent").stdout
        assert "owned" in text and not {"\x1b", "\x07", "\u202e", "\u009b"} & set(text)


def test_wrong_types_in_an_answer_end_no_command(agent, tmp_path):
    for bad in ([], 5, "x", None, [5], [{}], [[]]):
        done = show(agent, tmp_path, "show", tokens=bad, delegates=bad, warnings=bad, lamports=bad, hot_wallet=bad)
        assert done.returncode == 0, (bad, done)


# ---- raw instructions


def raw(agent, tmp_path):
    memo = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
    path = tmp_path / "raw.json"
    path.write_text(json.dumps([{"program": memo, "accounts": [{"address": agent.pda, "signer": True}], "data": base64.b64encode(b"hello").decode()}]))
    return path


def challenge(service, agent, statement):
    text = f"{service.url.split('://')[1]} wants you to sign in with your Solana account:\n{agent.owner.address}\n\n{statement}, asked from 127.0.0.1.\n\nURI: x"
    return {"nonce": "n" * 32, "message": text}


def test_raw_instructions_need_a_word_and_a_signature_that_names_them(agent, tmp_path):
    path = raw(agent, tmp_path)
    act = f"Compose raw instructions for multiclaw agent {agent.asset} that may give all away"
    with Lying(agent, agent.compose(agent.send_sol(Wallet().address, 1))) as service:
        assert service.cli(tmp_path, "instructions", path).returncode == 2, "--dangerous"
        for statement in (f"Sign in to multiclaw agent {agent.asset}", act.replace(agent.asset, Wallet().address)):
            service.answers[f"{BUILD}/challenge"] = (200, challenge(service, agent, statement))
            done = service.cli(tmp_path, "instructions", path, "--dangerous")
            assert done.returncode == 1 and "not signed" in done.stderr and not service.orders
        service.answers[f"{BUILD}/challenge"] = (200, challenge(service, agent, act))
        done = service.cli(tmp_path, "instructions", path, "--dangerous")
        (order,) = service.orders
        assert order["nonce"] == "n" * 32 and order["instructions"] == json.loads(path.read_text())
        # and then it is compared as everything is
        assert done.returncode == 1 and "(not_asked_for)" in done.stderr and not service.submitted


def test_the_tool_reads_what_it_composes(agent):
    to = Wallet().address
    told = lines({"op": "summary", "tx": agent.compose(agent.send_sol(to, 5)).hex(), "asset": agent.asset})["lines"]
    assert any(to in line["text"] for line in told)


# ---- the whole way, against the real suite


@pytest.fixture(scope="module")
def suite():
    with Suite() as made:
        made.devchain("airdrop", "--to", made.wallet("alice").address, "--sol", "10", "--wait", "finalized")
        made.cli("login", "--keypair", made.state / "chain/wallets/alice.json", "--asset", made.asset_of("alice"))
        made.devchain("airdrop", "--to", pda_of(made.asset_of("alice")), "--sol", "5", "--wait", "confirmed")
        yield made


def wallet(suite, *words, check=True, **kwargs):
    """`wallet send ... --yes` of alice's."""
    return suite.cli("wallet", *words, "--keypair", suite.state / "chain/wallets/alice.json", "--yes", check=check, **kwargs)


def balance(suite, address):
    return suite.rpc("getBalance", [address, {"commitment": "confirmed"}])["value"]


def test_it_is_funded_shown_and_sent_from(suite):
    pda, to = pda_of(suite.asset_of("alice")), Wallet().address
    shown = suite.cli("wallet").stdout
    assert "state       clean" in shown and pda in shown and "5 SOL (one node's word)" in shown
    done = wallet(suite, "send", "--sol", "0.5", "--to", to, "--finalized")
    assert "finalized" in done.stdout and balance(suite, to) == 500_000_000
    transaction = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("  transaction "))
    ident = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("  id "))
    assert json.loads(suite.cli("--json", "wallet", "status", ident).stdout)["signature"] == transaction
    wait_until("a node lists it", lambda: transaction in suite.cli("wallet", "recent").stdout, 5, 0.1)
    assert json.loads(wallet(suite, "send", "--sol", "0.25", "--to", to, "--json").stdout)["state"] in ("confirmed", "finalized")
    assert balance(suite, to) == 750_000_000


def test_tokens_and_nfts_are_sent_and_accounts_closed(suite):
    pda, to = pda_of(suite.asset_of("alice")), Wallet().address
    mint = suite.devchain("create-mint", "--decimals", "6", "--program", "token-2022")["mint"]
    suite.devchain("fund", "--mint", mint, "--owner", pda, "--amount", "5000000", "--wait", "confirmed")
    assert f"5 of {mint} (token-2022)" in suite.cli("wallet", "show").stdout
    assert "Send 1.25 of token" in wallet(suite, "send", "--token", mint, "--amount", "1.25", "--to", to).stdout
    assert f"3.75 of {mint}" in suite.cli("wallet", "show").stdout
    wallet(suite, "send", "--token", mint, "--amount", "all", "--to", to)
    wallet(suite, "close", "--empty")
    assert mint not in suite.cli("wallet", "show").stdout
    nft = suite.asset_of("alice", 1)
    suite.devchain("transfer", "--asset", nft, "--to", pda, "--wait", "confirmed")
    assert f"Hand over NFT {nft}" in wallet(suite, "send", "--nft", nft, "--to", suite.wallet("bob").address).stdout


def test_delegates_are_named_and_revoked(suite):
    asset, thief = suite.asset_of("alice"), Wallet().address
    mint = suite.devchain("create-mint", "--decimals", "2")["mint"]
    account = suite.devchain("fund", "--mint", mint, "--owner", pda_of(asset), "--amount", "500", "--delegate", thief)["account"]
    record = suite.devchain("delegate", "--asset", asset, "--authority", thief, "--wait", "confirmed")["record"]
    text = wait_until("it is seen", lambda: record in (out := suite.cli("wallet", "delegates").stdout) and out, 10, 0.1)
    assert thief in text and account in text
    assert "captured: do not fund it" in suite.cli("wallet", "show").stdout
    wallet(suite, "revoke-delegate", record)
    wallet(suite, "revoke-delegate", "--token-account", account)
    wait_until("it is clean", lambda: "state       clean" in suite.cli("wallet", "show").stdout, 10, 0.1)
    assert suite.cli("wallet", "delegates").stdout == "nobody but the owner can spend from it\n"
    again = wallet(suite, "revoke-delegate", record, check=False)
    assert again.returncode == 1 and "(delegate_refused)" in again.stderr


def test_what_cannot_be_is_refused_with_the_numbers(suite):
    to = Wallet().address
    for words, code in ((["--sol", "1000"], "amount_too_much"), (["--sol", "0.000000001"], "amount_below_rent"), (["--sol", "0"], "amount_zero"),
                        (["--token", Wallet().address, "--amount", "1"], "token_refused"), (["--nft", suite.asset_of("bob")], "nft_refused")):
        done = wallet(suite, "send", *words, "--to", to, check=False)
        assert done.returncode == 1 and f"({code})" in done.stderr and "signed" not in done.stdout, (words, done)
    assert balance(suite, to) == 0


def test_raw_instructions_do_what_they_say(suite, tmp_path):
    pda, to = pda_of(suite.asset_of("alice")), Wallet().address
    data = base64.b64encode((2).to_bytes(4, "little") + (100_000_000).to_bytes(8, "little")).decode()
    path = tmp_path / "raw.json"
    path.write_text(json.dumps([{"program": "1" * 32, "data": data,
                                 "accounts": [{"address": pda, "signer": True, "writable": True}, {"address": to, "writable": True}]}]))
    assert "Send 0.1 SOL" in wallet(suite, "instructions", path, "--dangerous").stdout
    assert balance(suite, to) == 100_000_000


def test_a_sale_while_the_seller_thinks_it_over(suite):
    """Last: the agent is bob's then."""
    to, asset = Wallet().address, suite.asset_of("alice")
    before = balance(suite, pda_of(asset))
    terminal = Terminal(suite, "wallet", *sol(to), "--keypair", suite.state / "chain/wallets/alice.json")
    wait_until("it asks", lambda: terminal.read(0.05) or "Sign and send it? [y/N]" in terminal.shown, 10)
    suite.transfer(asset, suite.wallet("bob"))
    wait_until("the seller is out", lambda: suite.cli("whoami", check=False).returncode == 3, 5)
    terminal.type("y\n")
    assert terminal.end() == 3 and "session" in terminal.shown, terminal.shown
    for words in (["show"], ["delegates"], ["status", ID]):
        assert suite.cli("wallet", *words, check=False).returncode == 3
    assert wallet(suite, *sol(to), check=False).returncode == 3
    assert balance(suite, to) == 0 and balance(suite, pda_of(asset)) == before
    bob = suite.state / "chain/wallets/bob.json"
    suite.cli("login", "--keypair", bob, "--asset", asset)
    suite.cli("wallet", *sol(to), "--keypair", bob, "--yes")
    assert balance(suite, to) == 500_000_000
