"""How secret-vault's records are sealed, in Python alone (PyNaCl's XChaCha20-Poly1305, hashlib's BLAKE2b): reads and writes what the daemon keeps."""

import base64
import hashlib
import os

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as aead_decrypt
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as aead_encrypt

NONCE_LEN = 24


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return len(data).to_bytes(4, "little") + data


def number(value):
    return value.to_bytes(8, "little")


def seal(key, binding, data):
    nonce = os.urandom(NONCE_LEN)
    return nonce + aead_encrypt(data, binding, nonce, key)


def unseal(key, binding, sealed):
    """CryptoError if it is not what was sealed for this place."""
    return aead_decrypt(sealed[NONCE_LEN:], binding, sealed[:NONCE_LEN], key)


class Master:
    def __init__(self, key):
        self.key = key
        self.id = self.derive(b"multiclaw master id v1", b"")[:8]
        self.wrap = self.derive(b"multiclaw master subkey v1", b"wrap")

    @classmethod
    def read(cls, path):
        return cls(base64.b64decode(path.read_bytes()))

    def derive(self, label, purpose):
        return hashlib.blake2b(label + b"\0" + purpose + b"\0", key=self.key, digest_size=32).digest()

    def binding(self, period):
        return text("multiclaw data key v1") + text(self.id) + period_binding(period) + number(period["since"])

    def wrap_key(self, period, data_key):
        return seal(self.wrap, self.binding(period), data_key)

    def unwrap_key(self, period):
        assert bytes(period["key_id"]) == self.id, "it is under another master key"
        return unseal(self.wrap, self.binding(period), bytes(period["wrapped"]))


def period_binding(period):
    return text(period["asset"]) + text(period["wallet"]) + number(period["slot"])


def record_binding(period, kind, name, version, purpose):
    return text("multiclaw record v1") + period_binding(period) + text(kind) + text(name) + number(version) + text(purpose)


def volume_key(data_key, period):
    binding = text("multiclaw volume v1") + period_binding(period)
    return hashlib.blake2b(binding, key=data_key, digest_size=32).digest()


def snapshot_key(data_key, period):
    binding = text("multiclaw snapshots v1") + period_binding(period)
    return hashlib.blake2b(binding, key=data_key, digest_size=32).digest()


def open_snapshot(data_key, period, row):
    """The digest of the newest snapshot's manifest."""
    return unseal(data_key, record_binding(period, "snapshot", "", row["number"], "digest"), bytes(row["sealed"]))


def open_handover(master, row):
    """(key, digest) of a row; None of one that was taken back."""
    assert bytes(row["key_id"]) == master.id, "it is under another master key"
    binding = text("multiclaw hand-over v1") + text(master.id) + text(row["asset"]) + text(row["from_wallet"]) + number(row["from_slot"]) + \
        text(row["to_wallet"]) + number(row["to_slot"]) + number(row["version"])
    value = unseal(master.derive(b"multiclaw master subkey v1", b"hand-over"), binding, bytes(row["sealed"]))
    return (value[:32], value[32:]) if value else None


def open_record(data_key, period, record):
    """The value of a row; None of a tombstone."""
    purpose = "tombstone" if record["deleted"] else "value"
    value = unseal(data_key, record_binding(period, record["kind"], record["name"], record["version"], purpose), bytes(record["value"]))
    return None if record["deleted"] else value


def seal_record(data_key, period, kind, name, version, value, purpose="value"):
    return seal(data_key, record_binding(period, kind, name, version, purpose), value)
