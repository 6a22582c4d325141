"""Transactions of an agent's wallet, composed by the tool that other languages use too (tests/wallet/wallet_lines), and read by PyNaCl."""

import json
import subprocess

import nacl.signing

from suite import BIN, Wallet, b58decode, b58encode

LINES = BIN.parent / "wallet/wallet_lines"
TOKEN, TOKEN_2022 = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
SYSTEM = "1" * 32


def lines(request):
    done = subprocess.run([LINES], input=json.dumps(request) + "\n", capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pda_of(asset):
    return lines({"op": "addresses", "wallet": asset, "asset": asset, "mint": asset})["signer"]


def account_of(wallet, mint, program=TOKEN):
    answer = lines({"op": "addresses", "wallet": wallet, "asset": wallet, "mint": mint})
    return answer["token" if program == TOKEN else "token_2022"]


def compose(payer, instructions, blockhash=None, version="legacy"):
    answer = lines({"op": "compose", "version": version, "payer": payer, "blockhash": blockhash or b58encode(b"\x09" * 32), "instructions": instructions})
    assert "tx" in answer, answer
    return bytes.fromhex(answer["tx"])


def message_of(tx):
    """What is signed; fewer than 128 signatures."""
    return tx[1 + 64 * tx[0]:]


def is_signed_by(tx, wallet):
    try:
        nacl.signing.VerifyKey(b58decode(wallet)).verify(message_of(tx), tx[1:65])
        return True
    except nacl.exceptions.BadSignatureError:
        return False


def signed(tx, wallet):
    """The first signature put into its place."""
    return tx[:1] + wallet.sign(message_of(tx)) + tx[65:]


class Agent:
    """An agent's asset and what its owner may have built for it."""

    def __init__(self, owner=None, asset=None, collection=None):
        self.owner = owner or Wallet()
        self.asset = asset or Wallet().address
        self.collection = collection or Wallet().address
        self.pda = pda_of(self.asset)

    def wrap(self, instruction, asset=None):
        return {**instruction, "execute": {"asset": asset or self.asset, "collection": self.collection}}

    def send_sol(self, to, lamports, asset=None):
        return self.wrap({"do": "system_transfer", "from": pda_of(asset) if asset else self.pda, "to": to, "lamports": lamports}, asset)

    def send_token(self, mint, to, amount, decimals, program=TOKEN):
        return self.wrap({"do": "token_transfer", "program": program, "mint": mint, "source": account_of(self.pda, mint, program),
                          "destination": account_of(to, mint, program), "owner": self.pda, "amount": amount, "decimals": decimals})

    def create_account(self, mint, to, program=TOKEN):
        return {"do": "token_create_account", "program": program, "from": self.owner.address, "owner": to, "mint": mint}

    def send_nft(self, nft, to):
        return self.wrap({"do": "core_transfer", "asset": nft, "payer": self.owner.address, "authority": self.pda, "new_owner": to})

    def close(self, account, to=None, program=TOKEN):
        return self.wrap({"do": "token_close", "program": program, "account": account, "to": to or self.pda, "owner": self.pda})

    def revoke(self, record, to=None):
        return {"do": "agent_revoke", "account": record, "asset": self.asset, "to": to or self.owner.address, "owner": self.owner.address}

    def compose(self, *instructions, payer=None):
        return compose(payer or self.owner.address, list(instructions))
