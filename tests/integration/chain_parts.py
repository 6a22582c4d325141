"""Transactions for tests, made here and not by the suite: legacy messages in the key order that wallets use."""

import base64
import hashlib

from suite import b58decode, b58encode

SYSTEM = "1" * 32
CORE = "CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d"
TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
AGENT_TOOLS = "TLREGni9ZEyGC3vnPZtqUh95xQ8oPqJSvNjvB7FGK8S"
SOL = 1_000_000_000
EXEMPT = 890_880


def transfer(source, to, lamports):
    """(program, [(key, signs, written)], data) of a System transfer."""
    data = (2).to_bytes(4, "little") + lamports.to_bytes(8, "little")
    return SYSTEM, [(source, True, True), (to, False, True)], data


def message(payer, blockhash, *instructions):
    flags = {payer: [True, True]}
    for program, accounts, _ in instructions:
        flags.setdefault(program, [False, False])
        for key, signs, written in accounts:
            at = flags.setdefault(key, [False, False])
            at[0] |= signs
            at[1] |= written
    keys = sorted(flags, key=lambda k: (not flags[k][0], not flags[k][1]))  # stable
    signers = [k for k in keys if flags[k][0]]
    head = bytes([len(signers), sum(not flags[k][1] for k in signers), sum(flags[k] == [False, False] for k in keys), len(keys)])
    body = b"".join(
        bytes([keys.index(program), len(accounts)]) + bytes(keys.index(k) for k, _, _ in accounts) + bytes([len(data)]) + data
        for program, accounts, data in instructions
    )
    return head + b"".join(map(b58decode, keys)) + b58decode(blockhash) + bytes([len(instructions)]) + body


def sign(made, *wallets):
    """(bytes, signature in base58)"""
    signatures = [w.sign(made) for w in wallets]
    return bytes([len(signatures)]) + b"".join(signatures) + made, b58encode(signatures[0])


def unsigned(made):
    return bytes([made[0]]) + bytes(64 * made[0]) + made


def b64(data):
    return base64.b64encode(data).decode()


def some_signature(text):
    return b58encode(hashlib.sha512(text.encode()).digest())
