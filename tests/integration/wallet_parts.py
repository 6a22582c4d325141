"""agent-wallet with all that it needs, real: Redis, session, auth, chain-oracle, the development chain. The test plays router, and the owner's wallet."""

import base64
import hashlib
import json
import urllib.request

from chain_parts import CORE, TOKEN
from oracle_parts import Oracle
from parts import Parts
from suite import Wallet, b58decode, b58encode, wait_until

ENDS = ("finalized", "failed", "expired")
P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P


def is_on_curve(key):
    y = int.from_bytes(key, "little") & (2**255 - 1)
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x2 = u * pow(v, P - 2, P) % P
    return x2 == 0 or pow(x2, (P - 1) // 2, P) == 1


def derive(program, *seeds):
    for bump in range(255, 0, -1):
        found = hashlib.sha256(b"".join(seeds) + bytes([bump]) + b58decode(program) + b"ProgramDerivedAddress").digest()
        if not is_on_curve(found):
            return b58encode(found)


def pda_of(asset):
    return derive(CORE, b"mpl-core-execute", b58decode(asset))


def associated(wallet, mint, program=TOKEN):
    return derive("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL", b58decode(wallet), b58decode(program), b58decode(mint))


def signed(transaction, *wallets):
    """What was built, with signatures put into their places."""
    n = transaction[0]
    message = transaction[1 + 64 * n:]
    return bytes([n]) + b"".join(w.sign(message) for w in wallets) + message


class Owner:
    """A wallet with one agent and its session."""

    def __init__(self, world, wallet=None, asset=None, sol=10):
        self.world, self.wallet = world, wallet or Wallet()
        if wallet is None:
            world.devchain("airdrop", to=self.wallet.address, sol=sol)
        self.asset = asset or world.mint(self.wallet)
        self.pda = pda_of(self.asset)
        self.token = world.login(self.wallet, self.asset)

    def call(self, call, timeout=5.0, replica=1, **body):
        return self.world.router(replica).call(f"wallet.{call}", timeout, token=self.token, **body)

    def build(self, operation, **body):
        return self.call("build", operation=operation, **body)

    def submit(self, built, transaction=None, **more):
        return self.call("submit", id=built["id"], transaction=transaction or signed(built["transaction"], self.wallet), **more)

    def status(self, built, **more):
        return self.call("status", id=built["id"], **more)

    def show(self, **more):
        return self.call("show", **more)

    def fund(self, lamports):
        self.world.devchain("airdrop", to=self.pda, lamports=lamports, wait="confirmed")

    def wait_for(self, built, *states, seconds=20):
        states = states or ENDS
        wait_until(" or ".join(states), lambda: self.status(built)["state"] in states, seconds, 0.05)
        return self.status(built)

    def do(self, operation, state="confirmed", **body):
        """All of it; the operation's state afterwards."""
        built = self.build(operation, **body)
        assert built["sim_node"] == "passes", built
        self.submit(built)
        return built, self.wait_for(built, state, *ENDS)


class Wallets(Oracle):
    def __init__(self, nodes="ab", wallets=1, **settings):
        settings = {"MULTICLAW_WALLET_AGAIN_MS": 300, "MULTICLAW_WALLET_BUILDS_PER_MINUTE": 1000000,
                    "MULTICLAW_WALLET_CALLS_PER_MINUTE": 1000000, "MULTICLAW_RPC_TIMEOUT_MS": 500, **settings}
        super().__init__(nodes, **settings)
        self.wallets, self.routers = wallets, {}

    def start(self):
        super().start()
        for service in ("session", "auth"):
            self.launch_daemon(f"{service}-1")
        for i in range(1, self.wallets + 1):
            self.launch_daemon(f"agent-wallet-{i}")
        names = ["session-1", "auth-1"] + [f"agent-wallet-{i}" for i in range(1, self.wallets + 1)]
        try:
            wait_until("ready", lambda: all(self.is_ready(n) for n in names), 20)
            asset, alice = self.asset_of("alice"), self.wallet("alice")
            wait_until("a sign-in", lambda: self.lets_in(alice, asset), 20, 0.2)
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(self.log(n) for n in names)) from None
        return self

    def sign_in(self, wallet, asset=None, **more):
        return Parts.sign_in(self, wallet, asset, **more)

    def login(self, wallet, asset):
        return self.sign_in(wallet, asset)["token"]

    def router(self, replica=1):
        if replica not in self.routers:
            self.routers[replica] = self.peer("router", "agent-wallet", replica)
        return self.routers[replica]

    def restart_wallet(self, replica=1, **more):
        """A message that was on its way to the one that is killed may be lost, and nobody sends it again: so a new connection."""
        if replica in self.routers:
            gone = self.routers.pop(replica)
            gone.close()
            self.peers.remove(gone)
        self.restart(f"agent-wallet-{replica}", **more)
        wait_until("ready again", lambda: self.is_ready(f"agent-wallet-{replica}"), 20, 0.05)

    def rich(self, sol=10):
        made = Wallet()
        self.devchain("airdrop", to=made.address, sol=sol, wait="confirmed")
        return made

    # ---- the chain as a node tells it, past the suite

    def rpc(self, method, *params, node="a"):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        asked = urllib.request.Request(f"http://127.0.0.1:{self.ports[f'rpc_{node}']}", body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return json.load(answer)["result"]

    def lamports(self, address):
        return self.rpc("getBalance", address, {"commitment": "confirmed"})["value"]

    def tokens(self, owner, mint):
        found = self.rpc("getTokenAccountsByOwner", owner, {"mint": mint}, {"encoding": "base64", "commitment": "confirmed"})["value"]
        return sum(int.from_bytes(base64.b64decode(a["account"]["data"][0])[64:72], "little") for a in found)

    def ask_account(self, address):
        return base64.b64decode(self.rpc("getAccountInfo", address, {"encoding": "base64", "commitment": "confirmed"})["value"]["data"][0])

    def landed(self, signature):
        """(slot, error) of what really happened, or None."""
        [status] = self.rpc("getSignatureStatuses", [signature], {"searchTransactionHistory": True})["value"]
        return status and (status["slot"], status["err"])


# ---- what wallets do to transactions


def decode(transaction):
    """A legacy transaction: (payer, blockhash, [(program, [(key, signs, written)], data)])."""
    at = 1 + 64 * transaction[0]
    signers, read_signed, read_unsigned, n = transaction[at : at + 4]
    at += 4
    keys = [b58encode(transaction[at + 32 * i : at + 32 * i + 32]) for i in range(n)]
    at += 32 * n
    blockhash = b58encode(transaction[at : at + 32])
    at += 32

    def short():
        nonlocal at
        value = shift = 0
        while True:
            byte = transaction[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def flags(i):
        return (keys[i], i < signers, i < signers - read_signed or signers <= i < n - read_unsigned)

    instructions = []
    for _ in range(short()):
        program = keys[transaction[at]]
        at += 1
        count = short()
        accounts = [flags(i) for i in transaction[at : at + count]]
        at += count
        size = short()
        instructions.append((program, accounts, transaction[at : at + size]))
        at += size
    return keys[0], blockhash, instructions


BUDGET = "ComputeBudget111111111111111111111111111111"


def limit(units):
    return BUDGET, [], bytes([2]) + units.to_bytes(4, "little")


def price(micro_lamports):
    return BUDGET, [], bytes([3]) + micro_lamports.to_bytes(8, "little")


def assertion(key, number=5, signs=False, written=False):
    """One of Lighthouse's, as wallets add them."""
    return "L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95", [(key, signs, written)], bytes([number]) + bytes(4)
