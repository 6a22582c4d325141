"""agent-wallet end to end on the development chain: each operation, each refusal, sales in between, bad nodes, kills, two replicas, Redis gone."""

import json
import os
import threading
import time

import pytest

from chain_parts import AGENT_TOOLS, CORE, EXEMPT, SOL, SYSTEM, TOKEN, TOKEN_2022, b64
from oracle_parts import Refused
from suite import Wallet, b58decode, b58encode, wait_until
from wallet_parts import ENDS, Owner, Wallets, associated, pda_of, signed

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
